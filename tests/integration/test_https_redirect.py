"""Listeners that lead to https, and those that keep browsers there."""

import json
import socket

import pytest

from certificates import Authority
from gateway import configuration, run
from raw import TIMEOUT, Wire, get, post, response

REDIRECT = {"https_redirect": True}


def ask(gateway, request):
    answer = gateway.connect().ask(request)
    return answer.status, answer.get("Location")


def test_redirects(start, origin):
    gateway = start(configuration(origin, listener=REDIRECT))
    assert ask(gateway, get("/a/b?c=d&e")) == (308, "https://example.com/a/b?c=d&e")
    assert ask(gateway, get("/", host="Example.com:8080")) == (308, "https://example.com/")
    assert ask(gateway, get("/x", host="[::1]:8080")) == (308, "https://[::1]/x")
    assert ask(gateway, get("http://example.com/y")) == (308, "https://example.com/y")
    assert ask(gateway, b"OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n") == (308, "https://example.com/")
    assert origin.is_untouched()


def test_another_port_and_status(start, origin):
    gateway = start(configuration(origin, listener={"https_redirect": {"port": 8443, "status": 301}}))
    assert ask(gateway, get("/a", host="example.com:80")) == (301, "https://example.com:8443/a")


def test_before_the_routes(start):
    """Whatever they say, and the connection goes on after content that nobody wants."""
    gateway = start(configuration(listener=REDIRECT, route=[{"name": "a", "match": {"path": "/a"}, "respond": {}}]))
    wire = gateway.connect()
    assert wire.ask(post("some content", "/none")).get("Location") == "https://example.com/none"
    assert wire.ask(get("/a")).status == 308


@pytest.mark.parametrize("request_bytes, status", [(b"GET / HTTP/1.0\r\n\r\n", 400), (get("/%00"), 400),
    (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 405)])
def test_what_cannot_be_redirected(start, origin, request_bytes, status):
    gateway = start(configuration(origin, listener=REDIRECT))
    assert ask(gateway, request_bytes) == (status, None)


def test_who_came_by_https(start, origin):
    """A trusted proxy that has ended TLS itself says so; from anybody else that is not believed."""
    origin.serve()
    by_https = get(fields=["X-Forwarded-Proto: https"])
    trusting = start(configuration(origin, listener={**REDIRECT, "trusted_proxies": ["127.0.0.1"]}))
    assert ask(trusting, by_https) == (200, None)
    assert ask(trusting, get(fields=["X-Forwarded-Proto: http"]))[0] == 308
    assert ask(trusting, get())[0] == 308
    assert ask(start(configuration(origin, listener=REDIRECT)), by_https)[0] == 308


# --- Strict-Transport-Security ---------------------------------------------------------------------------------------

HSTS = {"max_age": "365d", "include_subdomains": True, "preload": True}


@pytest.mark.parametrize("hsts, value", [(True, "max-age=31536000"), ({"max_age": "0"}, "max-age=0"),
    (HSTS, "max-age=31536000; includeSubDomains; preload")], ids=["default", "forget", "all"])
def test_hsts(start, origin, tmp_path, hsts, value):
    """One field on every answer, in place of what the service says."""
    authority = Authority(tmp_path / "authority")
    certificate = authority.issue("localhost")
    tls = {"certificates": [{"cert": str(certificate.cert), "key": str(certificate.key)}]}
    config = configuration(origin, listener={"tls": tls, "hsts": hsts})
    file = tmp_path / "tls.yaml"
    file.write_text(json.dumps(config))
    if "tls: not supported by this version" in run("check", file).stderr:
        pytest.skip("this version does not speak TLS")
    gateway = start(config)
    sock = socket.create_connection(gateway.address(), TIMEOUT)
    client = Wire(authority.context().wrap_socket(sock, server_hostname="localhost"))
    gateway.wires.append(client)
    client.send(get())
    origin.answer(response("ok", fields=["strict-transport-security: max-age=1"]))
    assert client.read_response().get("Strict-Transport-Security") == value
    assert client.ask(get("/%00")).get("Strict-Transport-Security") == value
