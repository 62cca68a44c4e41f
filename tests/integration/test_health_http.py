"""Health checks by HTTP and TCP: what is asked, which answers pass, and who is taken out of service and put back."""

import ssl
import threading

import h2.events
import pytest

from admin import administered
from authority import authorities
from gateway import eventually, free_port
from h2peer import Peer
from health import is_out, results, told
from origin import Origin
from raw import get, response

QUICK = {"interval": "100ms", "timeout": "5s", "rise": 2, "fall": 2}


class Backend:
    """Answers checks as `health` says (a status, bytes, or a function of wire and request), and others with its name."""

    def __init__(self, origin, name, path="/healthz"):
        self.origin, self.name, self.path, self.health = origin, name, path, 200
        self.address, self.checks = origin.address, []
        origin.serve(self._run)

    def _run(self, wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            request = wire.read_request()
            if request.get("User-Agent") != "weir":
                wire.send(response(self.name))
                continue
            self.checks.append(request)
            if callable(self.health):
                self.health(wire, request)
            else:
                said = self.health if isinstance(self.health, bytes) else response(b"" if self.health == 204 else b"so it is", f"{self.health} Said")
                wire.send(said)
            return


@pytest.fixture
def backend(make_origin):
    def make(name, **options):
        return Backend(make_origin(), name, **options)

    return make


def checked(start, *backends, active=None, health=None, upstream=None, **more):
    asks = {"path": "/healthz", **QUICK, **(active or {})}
    health = {"active": {key: value for key, value in asks.items() if value is not None}, **(health or {})}
    return administered(start, *backends, upstream={"health": health, **(upstream or {})}, **more)


def names(gateway, n=10):
    client = gateway.connect()
    return {client.ask(get()).body for _ in range(n)}


def test_out_and_back(start, backend):
    a, b = backend(b"a"), backend(b"b")
    gateway, admin = checked(start, a, b)
    eventually(lambda: results(admin, a, "passed") > 0)
    assert names(gateway) == {b"a", b"b"}
    a.health = 503
    eventually(lambda: is_out(admin, a))
    told(gateway, "warning", f"endpoint {a.address} is out of service", "the status 503, which is not expected")
    assert names(gateway) == {b"b"} and not is_out(admin, b)
    a.health = 204
    eventually(lambda: not is_out(admin, a))
    told(gateway, f"endpoint {a.address} is back in service")
    assert names(gateway) == {b"a", b"b"}


def test_what_is_asked(start, backend):
    a = backend(b"a")
    _, admin = checked(start, a)
    eventually(lambda: results(admin, a, "passed") > 0)
    request = a.checks[0]
    assert request.start == "GET /healthz HTTP/1.1"
    assert request.fields == [("Host", a.address), ("User-Agent", "weir"), ("Accept", "*/*"), ("Connection", "close")]


def test_another_question(start, backend):
    a = backend(b"a")
    _, admin = checked(start, a, active={"path": "/ready?deep=1", "host": "users.internal:81", "method": "HEAD"})
    eventually(lambda: results(admin, a, "passed") > 1)
    assert a.checks[0].start == "HEAD /ready?deep=1 HTTP/1.1" and a.checks[0].get("Host") == "users.internal:81"


@pytest.mark.parametrize("expect, good, bad", [
    (["204"], 204, 200), (["200-299", "401"], 401, 402), (["500-599"], 599, 200), (["301"], 301, 302)])
def test_expected_statuses(start, backend, expect, good, bad):
    a = backend(b"a")
    a.health = good
    _, admin = checked(start, a, active={"expect": expect, "fall": 1})
    eventually(lambda: results(admin, a, "passed") > 1)
    assert results(admin, a, "failed") == 0
    a.health = bad
    eventually(lambda: is_out(admin, a))


PASS = {
    "a long page": b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 100_000,
    "to the end of the connection": b"HTTP/1.1 200 OK\r\n\r\nyes",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\nX: y\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "hints before": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n",
}

FAIL = {
    "cut": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nno", "it broke the answer off"),
    "nothing": (b"", "it closed the connection"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Le", "it closed the connection"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", ""),
    "bad chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ""),
    "an endless head": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, "more fields than are allowed"),
    "a switch": (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", ""),
}


@pytest.mark.parametrize("answer", PASS.values(), ids=PASS)
def test_passes(start, backend, answer):
    a = backend(b"a")
    a.health = answer
    _, admin = checked(start, a)
    eventually(lambda: results(admin, a, "passed") > 1)
    assert results(admin, a, "failed") == 0


@pytest.mark.parametrize("answer, why", FAIL.values(), ids=FAIL)
def test_fails(start, backend, answer, why):
    a = backend(b"a")
    a.health = answer
    gateway, admin = checked(start, a)
    eventually(lambda: is_out(admin, a))
    told(gateway, f"endpoint {a.address} is out of service", why)
    assert results(admin, a, "passed") == 0


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1234"])
def test_too_slow(start, backend, said):
    """The whole answer has to come in time, and nobody is asked a second time meanwhile."""
    a = backend(b"a")
    ended = threading.Event()
    a.health = lambda wire, request: (wire.send(said), ended.wait(20))
    gateway, admin = checked(start, a, active={"timeout": "500ms"})
    eventually(lambda: is_out(admin, a))
    told(gateway, f"endpoint {a.address} is out of service", "it did not answer in time")
    ended.set()
    a.health = 200
    eventually(lambda: not is_out(admin, a))


def test_flapping_changes_nothing(start, backend):
    """Every second check fails: neither `fall` nor `rise` is ever reached in a row."""
    a, b = backend(b"a"), backend(b"b")
    a.health = lambda wire, request: wire.send(response(b"", "503 No" if len(a.checks) % 2 else "200 OK"))
    gateway, admin = checked(start, a, b)
    eventually(lambda: results(admin, a, "failed") > 4)
    assert not is_out(admin, a) and "out of service" not in gateway.events.text()


def test_over_tls(start, make_origin):
    """The certificate is verified as that of every other connection."""
    authority, other = authorities()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.issue("health-http", "127.0.0.1")
    context.load_cert_chain(pair["cert"], pair["key"])
    origin = make_origin()

    def handler(wire, _):
        with context.wrap_socket(wire.sock, server_side=True) as sock:
            assert sock.recv(4096).startswith(b"GET /healthz")
            sock.sendall(response(b"yes"))

    origin.serve(handler)
    _, admin = checked(start, origin, upstream={"tls": {"ca": authority.ca}})
    eventually(lambda: results(admin, origin, "passed") > 1)
    gateway, admin = checked(start, origin, upstream={"tls": {"ca": other.ca}})
    eventually(lambda: is_out(admin, origin))
    told(gateway, f"endpoint {origin.address} is out of service", "certificate")


def test_over_http_2(start, origin):
    # Longer than this test: who is asked next does not answer.
    _, admin = checked(start, origin, upstream={"protocol": "h2"}, active={"timeout": "1m"})
    for status in ("200", "503"):
        peer = Peer(origin.accept())
        stream, fields = peer.request()
        assert (fields[":method"], fields[":path"], fields[":scheme"]) == ("GET", "/healthz", "http")
        peer.head(stream, status=status)
        peer.h2.end_stream(stream)
        peer.flush()
        assert peer.take(h2.events.ConnectionTerminated).error_code == 0
    eventually(lambda: (results(admin, origin, "passed"), results(admin, origin, "failed")) == (1, 1))


@pytest.mark.parametrize("how", ["reset", "content", "close"])
def test_over_http_2_and_cut(start, origin, how):
    gateway, admin = checked(start, origin, upstream={"protocol": "h2"}, active={"fall": 1})
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    if how == "content":
        peer.head(stream, [("content-length", "10")])
        peer.data(stream, b"no")
    if how == "close":
        peer.wire.close()
    else:
        peer.reset(stream)
    eventually(lambda: is_out(admin, origin))
    told(gateway, f"endpoint {origin.address} is out of service", {"reset": "it reset the request",
        "content": "it broke the answer off", "close": "it closed the connection"}[how])


@pytest.mark.parametrize("version, header", [("v1", b"PROXY UNKNOWN\r\n"), ("v2", b"\r\n\r\n\0\r\nQUIT\n")])
def test_behind_the_proxy_protocol(start, origin, version, header):
    """Who wants the header gets one that names nobody."""
    _, admin = checked(start, origin, upstream={"proxy_protocol": version})
    wire = origin.accept()
    received = b""
    while b"GET /healthz" not in received:
        received += wire.sock.recv(4096)
    assert received.startswith(header)
    wire.send(response(b""))
    eventually(lambda: results(admin, origin, "passed") == 1)


# --- TCP --------------------------------------------------------------------------------------------------------------


def test_tcp_out_and_back(start, backend, make_origin):
    # Of a port that the kernel gives to nobody else meanwhile.
    a, b = Backend(make_origin(port=free_port()), b"a"), backend(b"b")
    gateway, admin = checked(start, a, b, active={"type": "tcp", "path": None})
    eventually(lambda: results(admin, a, "passed") > 1)
    a.origin.close()
    eventually(lambda: is_out(admin, a))
    told(gateway, f"endpoint {a.address} is out of service", "refused")
    assert names(gateway) == {b"b"}
    again = Origin(port=a.origin.port)
    again.serve()
    eventually(lambda: not is_out(admin, a))
    again.close()


def test_tcp_says_nothing(start, origin):
    _, admin = checked(start, origin, active={"type": "tcp", "path": None})
    assert origin.accept().sock.recv(1) == b""
    eventually(lambda: results(admin, origin, "passed") > 0)


def test_tcp_with_tls_finishes_the_handshake(start, origin):
    authority, _ = authorities()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.issue("health-tcp", "127.0.0.1")
    context.load_cert_chain(pair["cert"], pair["key"])
    gateway, admin = checked(start, origin, active={"type": "tcp", "path": None, "fall": 1},
        upstream={"tls": {"ca": authority.ca}})
    with context.wrap_socket(origin.accept().sock, server_side=True):
        eventually(lambda: results(admin, origin, "passed") == 1)
    origin.accept().send(b"no TLS\r\n")
    eventually(lambda: is_out(admin, origin))


# --- panic ------------------------------------------------------------------------------------------------------------


def test_all_are_used_when_too_few_are_left(start, backend):
    a, b = backend(b"a"), backend(b"b")
    gateway, admin = checked(start, a, b, health={"panic_threshold": "60%", "passive": "off"})
    a.health = 500
    eventually(lambda: is_out(admin, a))
    told(gateway, "warning", "upstream origin", "too few", "all endpoints are used")
    assert names(gateway) == {b"a", b"b"}
    a.health = 200
    eventually(lambda: not is_out(admin, a))
    told(gateway, "upstream origin", "enough endpoints")


def test_who_has_no_weight_is_not_left(start, backend):
    """Requests that nobody else may have are no use to who gets none."""
    a, b = backend(b"a"), backend(b"b")
    endpoints = [{"address": a.address}, {"address": b.address, "weight": 0}]
    gateway, admin = checked(start, a, b, upstream={"endpoints": endpoints})
    a.health = 500
    eventually(lambda: is_out(admin, a))
    assert names(gateway) == {b"a"}


def test_without_panic_nobody_is_left(start, backend):
    a = backend(b"a")
    a.health = 500
    gateway, admin = checked(start, a, health={"panic_threshold": 0})
    eventually(lambda: is_out(admin, a))
    answer = gateway.connect().ask(get())
    assert answer.status == 503 and b"no_healthy_endpoint" in answer.body


def test_endless_informational_responses(start, backend):
    """They end the check, rather than keep the worker until its time is over."""
    slow, good = backend("slow"), backend("good")

    def hint(wire, _):
        while True:
            wire.send("HTTP/1.1 103 Hint\r\n\r\n" * 1000)

    slow.health = hint
    gateway, _ = checked(start, slow, good)
    gateway.event("is out of service, its health checks fail: too many informational responses")
    assert names(gateway) == {b"good"}
