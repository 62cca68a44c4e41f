"""Health checks by the gRPC health protocol: who is taken out of service, who comes back, and why it is said."""

import concurrent.futures
import pathlib
import signal
import threading
import time

import grpc
import h2.events
import pytest

import h2raw
from admin import administered
from authority import authorities
from gateway import eventually, free_port
from grpcs import KIND
from h2peer import Peer
from health import is_out, results, told
from raw import TIMEOUT, get

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
CHECK = "/grpc.health.v1.Health/Check"

# As quick as it may be.
QUICK = {"type": "grpc", "interval": "100ms", "timeout": "5s", "rise": 2, "fall": 2}


class Backend:
    """A gRPC server that says of itself what `health` is, and its name to everybody else's question."""

    def __init__(self, name, port=None, certificate=None):
        self.health = SERVING
        self.asked = []
        self.name = name
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers([
            grpc.method_handlers_generic_handler("grpc.health.v1.Health",
                {"Check": grpc.unary_unary_rpc_method_handler(self._check)}),
            grpc.method_handlers_generic_handler("test.Name",
                {"Say": grpc.unary_unary_rpc_method_handler(lambda request, context: self.name)})])
        self.address = f"127.0.0.1:{port or free_port()}"
        if certificate:
            pair = tuple(pathlib.Path(certificate[what]).read_bytes() for what in ("key", "cert"))
            assert self.server.add_secure_port(self.address, grpc.ssl_server_credentials([pair]))
        else:
            assert self.server.add_insecure_port(self.address)
        self.server.start()

    def _check(self, request, context):
        self.asked.append(request)
        if isinstance(self.health, grpc.StatusCode):
            context.abort(self.health, "so it is")
        return self.health

    def stop(self):
        self.server.stop(0).wait(TIMEOUT)


@pytest.fixture
def backend():
    backends = []

    def make(name, **options):
        backends.append(Backend(name, **options))
        return backends[-1]

    yield make
    for made in backends:
        made.stop()


def checked(start, *backends, active=None, health=None, **more):
    health = {"active": {**QUICK, **(active or {})}, **(health or {})}
    upstream = {"protocol": "h2", "health": health, **more.pop("upstream", {})}
    return administered(start, *backends, upstream=upstream, listener={"protocols": ["h1", "h2"]}, **more)


def names(gateway, n=10):
    """Who answers that many calls."""
    with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        say = channel.unary_unary("/test.Name/Say")
        return {say(b"", timeout=TIMEOUT) for _ in range(n)}


def test_out_and_back(start, backend):
    a, b = backend(b"a"), backend(b"b")
    gateway, admin = checked(start, a, b)
    eventually(lambda: results(admin, a, "passed") > 0)
    assert names(gateway) == {b"a", b"b"}
    a.health = NOT_SERVING
    eventually(lambda: is_out(admin, a))
    told(gateway, "warning", f"endpoint {a.address} is out of service", "it does not say SERVING")
    assert names(gateway) == {b"b"} and not is_out(admin, b)
    a.health = SERVING
    eventually(lambda: not is_out(admin, a))
    told(gateway, f"endpoint {a.address} is back in service")
    assert names(gateway) == {b"a", b"b"}
    assert set(a.asked) == {b""}


def test_nobody_is_left(start, backend):
    a = backend(b"a")
    a.health = NOT_SERVING
    gateway, admin = checked(start, a, health={"panic_threshold": 0})
    eventually(lambda: is_out(admin, a))
    answer = gateway.connect().ask(get())
    assert (answer.status, answer.get("Retry-After") is not None) == (503, True)
    assert b"no_healthy_endpoint" in answer.body and b"every endpoint fails its health checks" in answer.body
    a.health = SERVING
    eventually(lambda: not is_out(admin, a))
    assert names(gateway) == {b"a"}


@pytest.mark.parametrize("service", ["users.v1.Users", "s" * 200])
def test_a_service_is_asked_for(start, backend, service):
    a = backend(b"a")
    _, admin = checked(start, a, active={"service": service})
    eventually(lambda: results(admin, a, "passed") > 0)
    length = len(service)
    varint = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
    assert set(a.asked) == {b"\x0a" + varint + service.encode()}


@pytest.mark.parametrize("code, why", [
    (grpc.StatusCode.NOT_FOUND, "it knows no such service (grpc-status 5)"),
    (grpc.StatusCode.UNIMPLEMENTED, "it has no grpc.health.v1.Health (grpc-status 12)"),
    (grpc.StatusCode.UNAVAILABLE, "it answers with another grpc-status than 0"),
])
def test_refusals(start, backend, code, why):
    a = backend(b"a")
    a.health = code
    gateway, admin = checked(start, a)
    eventually(lambda: is_out(admin, a))
    told(gateway, f"endpoint {a.address}", why)


def test_a_dead_server_comes_back(start, backend):
    a, b = backend(b"a"), backend(b"b")
    gateway, admin = checked(start, a, b)
    a.stop()
    eventually(lambda: is_out(admin, a))
    told(gateway, f"endpoint {a.address}", "refused")
    assert names(gateway) == {b"b"}
    again = backend(b"again", port=int(a.address.rpartition(":")[2]))
    eventually(lambda: not is_out(admin, again))
    assert names(gateway) == {b"again", b"b"}


def test_over_tls(start, backend):
    authority, _ = authorities()
    a = backend(b"a", certificate=authority.issue("health", "127.0.0.1"))
    tls = {"ca": authority.ca}
    gateway, admin = checked(start, a, upstream={"tls": tls})
    eventually(lambda: results(admin, a, "passed") > 1)
    assert results(admin, a, "failed") == 0
    assert names(gateway) == {b"a"}


@pytest.mark.threads
def test_all_workers_know(start, backend):
    a, b = backend(b"a"), backend(b"b")
    gateway, admin = checked(start, a, b, workers=2)
    a.health = NOT_SERVING
    eventually(lambda: is_out(admin, a))
    for _ in range(20):
        assert names(gateway, 2) == {b"b"}
    before = len(b.asked)
    eventually(lambda: len(b.asked) >= before + 3)


def test_a_reload_can_end_it(start, backend):
    a = backend(b"a")
    a.health = NOT_SERVING
    gateway, admin = checked(start, a)
    eventually(lambda: is_out(admin, a))
    asking = gateway.config
    gateway.reload({**asking, "upstreams": [{k: v for k, v in asking["upstreams"][0].items() if k != "health"}]})
    eventually(lambda: not is_out(admin, a))
    assert names(gateway) == {b"a"}
    asked = len(a.asked)
    gateway.reload(asking)
    eventually(lambda: is_out(admin, a))
    assert len(a.asked) >= asked + 2


def test_a_reload_that_replaces_the_pool_forgets_nothing(start, backend):
    a = backend(b"a")
    a.health = NOT_SERVING
    gateway, admin = checked(start, a)
    eventually(lambda: is_out(admin, a))
    upstream = {**gateway.config["upstreams"][0], "pool": {"max_connections": 7}}
    gateway.reload({**gateway.config, "upstreams": [upstream]})
    assert is_out(admin, a)
    a.health = SERVING
    eventually(lambda: not is_out(admin, a))
    assert names(gateway) == {b"a"}


def asked(origin):
    """A probe that is under way: whoever has been asked."""
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    return peer, stream, peer.content(stream)


def changed(gateway, **active):
    upstream = gateway.config["upstreams"][0]
    health = {"active": {**upstream["health"]["active"], **active}}
    gateway.reload({**gateway.config, "upstreams": [{**upstream, "health": health}]})


def test_a_probe_answers_for_the_settings_that_it_began_with(start, origin):
    """A reload that changes them ends it; the next one asks by the new ones."""
    gateway, admin = checked(start, origin, active={"service": "first", "fall": 1})
    peer, _, question = asked(origin)
    assert question.endswith(b"first")
    changed(gateway, service="second")
    assert peer.take(h2.events.ConnectionTerminated).error_code == 0
    peer, stream, question = asked(origin)
    assert question.endswith(b"second")
    say(peer, stream, body=message(SERVING))
    eventually(lambda: results(admin, origin, "passed") == 1)
    assert results(admin, origin, "failed") == 0


def test_a_reload_that_changes_something_else_lets_a_probe_be(start, origin):
    gateway, admin = checked(start, origin)
    peer, stream, _ = asked(origin)
    gateway.reload({**gateway.config, "routes": [{**gateway.config["routes"][0], "name": "other"}]})
    say(peer, stream, body=message(SERVING))
    eventually(lambda: results(admin, origin, "passed") == 1)


def test_endpoints_are_not_asked_all_at_once(start, make_origin):
    """Of so many it is all but certain that the first and the last are asked far apart."""
    origins = [make_origin() for _ in range(24)]
    times, lock = [], threading.Lock()

    def handler(wire, _):
        with lock:
            times.append(time.monotonic())
        Peer(wire).request()

    for origin in origins:
        origin.serve(handler)
    checked(start, *origins, active={"interval": "1h"})
    eventually(lambda: len(times) == len(origins))
    assert 0.3 < max(times) - min(times)


# --- what is no answer ------------------------------------------------------------------------------------------------


def message(body, compressed=0):
    return bytes([compressed]) + len(body).to_bytes(4, "big") + body


OK = ("grpc-status", "0")
NO_MESSAGE = "what it answered is not one message of gRPC"
NO_GRPC = "it answers with another content-type than application/grpc"
TWO_STATUSES = "it says more than one grpc-status"


def say(peer, stream, body=b"", trailers=(OK,), kind="application/grpc", more=()):
    peer.head(stream, [("content-type", kind), *more])
    peer.data(stream, body)
    peer.h2.send_headers(stream, trailers, end_stream=True)
    peer.flush()


def pour_trailers(peer, stream):
    """SERVING, and behind it more fields than are allowed."""
    say(peer, stream, body=message(SERVING), trailers=[OK] + [(f"x-{i}", "v") for i in range(1000)])


STRANGE = {
    "another status": (lambda p, s: p.head(s, status="404", end=True), "it answers with another status than 200"),
    "no trailers": (lambda p, s: p.answer(s, message(SERVING), [KIND]), "its answer has no grpc-status"),
    "nothing": (lambda p, s: say(p, s), NO_MESSAGE),
    "no message": (lambda p, s: say(p, s, body=b"<html>"), NO_MESSAGE),
    "compressed": (lambda p, s: say(p, s, body=message(SERVING, 1)), NO_MESSAGE),
    "a length of 258": (lambda p, s: say(p, s, body=b"\0\0\0\1\2" + SERVING), NO_MESSAGE),
    "two messages": (lambda p, s: say(p, s, body=2 * message(SERVING)), NO_MESSAGE),
    "another field": (lambda p, s: say(p, s, body=message(b"\x10\x01")), "it does not say SERVING"),
    "a page": (lambda p, s: say(p, s, body=message(SERVING), kind="text/html"), NO_GRPC),
    "gRPC-Web": (lambda p, s: say(p, s, body=message(SERVING), kind="application/grpc-web+proto"), NO_GRPC),
    "JSON": (lambda p, s: say(p, s, body=message(SERVING), kind="application/grpc+json"), NO_GRPC),
    "no content-type": (lambda p, s: p.answer(s, message(SERVING)), NO_GRPC),
    "two content-types": (lambda p, s: p.answer(s, message(SERVING), [KIND, KIND]), NO_GRPC),
    "two statuses": (lambda p, s: say(p, s, body=message(SERVING), trailers=[OK, ("grpc-status", "14")]), TWO_STATUSES),
    "one status twice": (lambda p, s: say(p, s, body=message(SERVING), trailers=[OK, OK]), TWO_STATUSES),
    "a status in the head, too": (lambda p, s: say(p, s, body=message(SERVING), more=[OK]), TWO_STATUSES),
    "unknown": (lambda p, s: say(p, s, body=message(b"")), "it does not say SERVING"),
    "too long": (lambda p, s: say(p, s, body=message(b"x" * 100)), "its answer is longer than any"),
    "cut": (lambda p, s: say(p, s, body=message(SERVING)[:-1]), NO_MESSAGE),
    "reset": (lambda p, s: p.reset(s), "it reset the request"),
    "late reset": (lambda p, s: (p.head(s), p.reset(s)), "it"),
    "end": (lambda p, s: p.wire.close(), "it closed the connection"),
    "trailers beyond the limits": (pour_trailers, "the trailers are larger than is allowed"),
    "a head beyond the limits": (lambda p, s: p.head(s, [KIND, *[(f"x-{i}", "v") for i in range(300)]], end=True),
        "the response head is larger than is allowed"),
    "content before the head": (lambda p, s: p.wire.sock.sendall(h2raw.frame(h2raw.DATA, 0, s, b"early")),
        "a frame is not one that may come there"),
    "less content than was said": (lambda p, s: p.answer(s, message(SERVING), [KIND, ("content-length", "100")]),
        "its answer is malformed"),
    "silence": (lambda p, s: None, "it did not answer in time"),
}


@pytest.mark.parametrize("answer, why", STRANGE.values(), ids=STRANGE)
def test_strange_answers(start, make_origin, answer, why):
    origin = make_origin()

    def handler(wire, _):
        peer = Peer(wire)
        stream, fields = peer.request()
        assert (fields[":method"], fields[":path"], fields["te"]) == ("POST", CHECK, "trailers")
        assert peer.content(stream) == b"\0\0\0\0\0"
        try:
            answer(peer, stream)
            while peer.receive():
                pass
        except OSError:
            pass

    origin.serve(handler)
    # Even so the request is there before: it is sent behind the other side's SETTINGS.
    patience = {"timeout": "2500ms", "fall": 1} if why == "it did not answer in time" else {}
    gateway, admin = checked(start, origin, active=patience)
    eventually(lambda: is_out(admin, origin))
    told(gateway, f"endpoint {origin.address} is out of service", why)
    assert not origin.errors, origin.errors


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto", "Application/GRPC; a=b",
    "application/grpc+proto;a=b"])
def test_what_serves(start, origin, kind):
    _, admin = checked(start, origin)
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    say(peer, stream, body=message(SERVING), kind=kind)
    eventually(lambda: results(admin, origin, "passed") == 1)


def test_something_that_speaks_http1(start, origin):
    origin.serve()
    gateway, admin = checked(start, origin)
    eventually(lambda: is_out(admin, origin))
    told(gateway, f"endpoint {origin.address} is out of service")


def test_ending_does_not_wait_for_a_probe(start, origin):
    gateway, _ = checked(start, origin, active={"interval": "1h", "timeout": "1h"})
    wire = origin.accept()
    Peer(wire).request()
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0


def test_connections_are_ended_in_order(start, origin):
    """The probe's connection is closed with a GOAWAY behind its answer, and every probe has one of its own."""
    _, admin = checked(start, origin)
    for _ in range(3):
        peer = Peer(origin.accept())
        stream, _ = peer.request()
        peer.content(stream)
        say(peer, stream, body=message(SERVING))
        assert peer.take(h2.events.ConnectionTerminated).error_code == 0
    eventually(lambda: results(admin, origin, "passed") >= 3)
    assert results(admin, origin, "failed") == 0
