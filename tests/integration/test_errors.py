"""The gateway's own errors: JSON with the cause, Proxy-Status with the same, Retry-After where it helps."""

import json
import re

import pytest

from gateway import configuration
from origin import closed_port
from raw import chunk, get, post, response


def assert_error(answer, record, status, cause, kind):
    assert answer.status == record["status"] == status
    assert answer.get("Content-Type") == "application/json"
    error = json.loads(answer.body)
    assert set(error) == {"error", "status", "request_id", "message"}
    assert (error["error"], error["status"]) == (cause, status)
    assert error["message"]
    assert error["request_id"] == answer.get("X-Request-Id") == record["request_id"]
    # RFC 9209: a list of members with parameters.
    proxy_status = answer.get("Proxy-Status")
    assert re.match(r"weir(;|$)", proxy_status)
    assert f"error={kind}" in proxy_status.replace(" ", "")
    assert cause in proxy_status
    assert (answer.get("Retry-After") is not None) == (status in (429, 503))
    assert answer.get("Date")
    assert record["cause"] == cause


def test_no_route(start):
    gateway = start(configuration(route={"match": {"path": "/only"}, "respond": {"status": 200}}))
    answer = gateway.connect().ask(get("/none"))
    assert_error(answer, gateway.record(), 404, "no_route", "destination_not_found")


def test_bad_request(gateway):
    answer = gateway.connect().ask(b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n")
    assert_error(answer, gateway.record(), 400, "bad_request", "http_request_error")


def test_connect_refused(start):
    keeper, port = closed_port()
    with keeper:
        gateway = start(configuration(f"127.0.0.1:{port}"))
        answer = gateway.connect().ask(get())
        assert_error(answer, gateway.record(), 502, "connect_refused", "connection_refused")
        record = gateway.record()
        assert (record["upstream"], record["endpoint"]) == ("origin", f"127.0.0.1:{port}")


def test_upstream_reset(gateway, origin):
    client, wire, _ = origin.asked(gateway)
    wire.reset()
    assert_error(client.read_response(), gateway.record(), 502, "upstream_reset", "connection_terminated")


def test_pool_queue_full(start, origin):
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 1, "max_pending": 0}}))
    first, wire, _ = origin.asked(gateway, get("/1"))
    answer = gateway.connect().ask(get("/2"))
    assert_error(answer, gateway.record(), 503, "pool_queue_full", "connection_limit_reached")
    wire.send(response())
    assert first.read_response().status == 200


def test_error_to_head_has_no_body(start):
    gateway = start(configuration(route={"match": {"path": "/only"}, "respond": {"status": 200}}))
    client = gateway.connect()
    for _ in range(2):
        answer = client.ask("HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.status == 404
        assert int(answer.get("Content-Length")) > 0


def test_error_to_an_http_1_0_client(start):
    gateway = start(configuration(route={"match": {"path": "/only"}, "respond": {"status": 200}}))
    client = gateway.connect()
    assert client.ask("GET /none HTTP/1.0\r\n\r\n").status == 404
    client.expect_end()


def test_error_does_not_repeat_what_the_client_sent(gateway):
    """Neither markup nor secrets of a request come back in an error."""
    answer = gateway.connect().ask(get("/a%00<script>alert(1)</script>", fields=["Cookie: secret"]))
    assert answer.status == 400
    assert b"script" not in answer.body and b"secret" not in answer.body


def test_client_connection_survives_an_error_of_the_upstream(gateway, origin):
    client = gateway.connect()
    for _ in range(3):
        client.send(post("hello"))
        wire = origin.accept()
        wire.read_request()
        wire.reset()
        assert client.read_response().status == 502


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_failure_after_the_head_closes_so_that_nothing_looks_complete(gateway, origin, framing):
    client = gateway.connect().send(get())
    head = "Content-Length: 100" if framing == "length" else "Transfer-Encoding: chunked"
    part = b"part" if framing == "length" else chunk("part")
    wire, _ = origin.answer(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + part)
    client.read_head()
    while len(client.unread) < len(part):
        client.more()
    wire.reset()
    assert client.expect_abort() == part
    record = gateway.record()
    assert (record["status"], record["cause"], record["upstream_status"]) == (200, "upstream_reset", True)
    assert record["bytes_out"] == 4
