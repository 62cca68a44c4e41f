"""What a client does is not held against the service: no breaker opens for it, and no endpoint is ejected."""

import select
import signal
import time

import pytest

from admin import administered
from gateway import eventually
from raw import get, post, response
from tunnels import switch, upgrade

BREAKER = {"min_calls": 2, "open_for": "30s", "open_max": "30s"}
BREAKERS = {"endpoint": {"upstream": {"breaker": BREAKER}}, "route": {"route": {"breaker": BREAKER}}}


def serve_some(wire, origin):
    """Answers what is whole and is no call."""
    wire.sock.settimeout(None)
    while wire.unread or wire.more():
        head = wire.read_head()
        origin.note(head)
        if head.method == "GET" and head.target != "/never":
            wire.send(response(b"ok"))


# An upload that never ends, and a call whose client has no patience at all.
DAWDLING = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx"
HURRIED = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nGrpc-Timeout: 20m\r\nContent-Length: 0\r\n\r\n"


def with_breaker(start, origin, whose):
    """What fails for its deadline does so soon, but for a service of a busy machine late enough."""
    parts = {**BREAKERS[whose]}
    parts["upstream"] = {"timeouts": {"request": "3s"}, **parts.get("upstream", {})}
    return administered(start, origin.serve(serve_some), workers=1, **parts)[0]


@pytest.mark.parametrize("request_", [DAWDLING, HURRIED], ids=["dawdle", "hurry"])
@pytest.mark.parametrize("whose", BREAKERS)
def test_deadlines_of_clients_open_no_breaker(start, origin, whose, request_):
    gateway = with_breaker(start, origin, whose)
    for client in [gateway.connect().send(request_) for _ in range(4)]:
        client.read_response()
    assert [r["cause"] for r in gateway.records(4)] == ["request_deadline"] * 4
    eventually_told(gateway.connect())


@pytest.mark.parametrize("whose", BREAKERS)
def test_a_gateway_that_stands_still_blames_nobody(start, origin, whose):
    """What a call has waited for beyond its deadline is not the service's time."""
    gateway = with_breaker(start, origin, whose)
    clients = [gateway.connect().send(HURRIED.replace("20m", "500m")) for _ in range(4)]
    origin.wait(lambda o: len(o.requests) == 4)
    gateway.signal(signal.SIGSTOP)
    time_passes(1.2)
    gateway.signal(signal.SIGCONT)
    for client in clients:
        client.read_response()
    assert [r["cause"] for r in gateway.records(4)] == ["request_deadline"] * 4
    eventually_told(gateway.connect())


@pytest.mark.parametrize("whose", BREAKERS)
def test_deadlines_of_the_gateway_do(start, origin, whose):
    gateway = with_breaker(start, origin, whose)
    clients = [gateway.connect().send(get("/never")) for _ in range(4)]
    assert [client.read_response().status for client in clients] == [504] * 4
    time_passes(0.05)
    eventually(lambda: gateway.connect().ask(get()).status == 503)


# The origin itself takes its time on a machine that has other work.
SLOW_S = 2.5
SLOW = {**BREAKER, "slow_after": "2500ms", "slow_rate": "1%"}


def time_passes(seconds):
    """There is no event for it."""
    begun = time.monotonic()
    eventually(lambda: time.monotonic() - begun > seconds)


def test_slow_uploads_are_no_slow_calls(start, origin):
    origin.serve()
    gateway, _ = administered(start, origin, workers=1, route={"breaker": SLOW})
    wires = [gateway.connect().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx") for _ in range(3)]
    for wire in wires:
        wire.wait_taken()
    time_passes(SLOW_S * 1.1)
    for wire in wires:
        assert wire.send("y").read_response().status == 200
    eventually_told(gateway.connect())


def test_delays_by_a_rate_limit_are_no_slow_calls(start, origin):
    origin.serve()
    gateway, _ = administered(start, origin, workers=1, route={"breaker": SLOW, "filters": [
        {"rate_limit": {"algorithm": "leaky_bucket", "rate": "20/m", "max_delay": "10s"}}]})
    wire = gateway.connect()
    assert [wire.ask(get()).status for _ in range(3)] == [200] * 3


def test_refusals_for_want_of_room_open_no_breaker(start, origin):
    """What is refused so that a service is not overrun says nothing of what it does with the rest."""
    gateway, _ = administered(start, origin, workers=1, route={"breaker": BREAKER},
        upstream={"pool": {"max_connections": 1, "max_pending": 0}})
    client, wire, _ = origin.asked(gateway)
    assert [gateway.connect().ask(get()).status for _ in range(4)] == [503] * 4
    assert {r["cause"] for r in gateway.records(4)} == {"pool_queue_full"}
    wire.send(response(b"ok"))
    assert client.read_response().status == 200
    # What the worker has counted is told by now.
    time_passes(0.05)
    for _ in range(3):
        client.send(get())
        wire.read_request()
        wire.send(response(b"ok"))
        assert client.read_response().status == 200


TRIED = {"min_calls": 1, "open_for": "20ms", "open_max": "20ms", "half_open_calls": 1}


@pytest.mark.parametrize("whose", BREAKERS)
def test_answers_that_last_keep_no_trial(start, origin, whose):
    """A trial is back when its answer has begun: a stream, or a tunnel, may last for days."""
    mode = {"fails": True}

    def serve(wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            head = wire.read_head()
            if mode["fails"]:
                wire.send(response(b"", status="500 Oops"))
            elif head.target == "/chat":
                wire.send(switch(head))
            elif head.target == "/events":
                wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            else:
                wire.send(response(b"ok"))

    kind, parts = next(iter(BREAKERS[whose].items()))
    gateway, _ = administered(start, origin.serve(serve), workers=1, **{kind: {**parts, "breaker": TRIED}})
    for request in (upgrade("/chat"), get("/events")):
        mode["fails"] = True
        eventually(lambda: gateway.connect().ask(get()).status == 503)
        mode["fails"] = False
        eventually(lambda request=request: gateway.connect().send(request).read_head().status in (101, 200))
        eventually(lambda: gateway.connect().ask(get()).status == 200)


@pytest.mark.parametrize("whose", BREAKERS)
def test_trial_that_is_never_sent_whole(start, origin, whose):
    """Its client keeps it, and so its place goes to another when it has had its time."""
    mode = {"fails": True}

    def serve(wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            head = wire.read_head()
            origin.note(head)
            if head.method == "GET":
                wire.send(response(b"", status="500 Oops" if mode["fails"] else "200 OK"))

    kind, parts = next(iter(BREAKERS[whose].items()))
    gateway, _ = administered(start, origin.serve(serve), workers=1, **{kind: {**parts, "breaker": TRIED}})

    def takes_the_place():
        """Whoever is not refused has come through."""
        wire = gateway.connect().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx")
        eventually(lambda: select.select([wire.sock], [], [], 0)[0] or origin.requests[-1].method == "POST")
        return origin.requests[-1].method == "POST"

    eventually(lambda: gateway.connect().ask(get()).status == 503)
    eventually(takes_the_place)
    mode["fails"] = False
    eventually(lambda: gateway.connect().ask(get()).status == 200)


@pytest.mark.parametrize("whose", BREAKERS)
def test_methods_that_no_service_knows(start, origin, whose):
    def serve(wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            known = wire.read_head().method == "GET"
            wire.send(response(b"ok") if known else response(b"", status="501 Never Heard"))

    gateway, _ = administered(start, origin.serve(serve), workers=1, **BREAKERS[whose])
    wire = gateway.connect()
    assert [wire.ask("BREW / HTTP/1.1\r\nHost: a\r\n\r\n").status for _ in range(4)] == [501] * 4
    eventually_told(wire)


def eventually_told(wire):
    """What a worker has counted is told some milliseconds later, with the next call."""
    time_passes(0.05)
    assert [wire.ask(get()).status for _ in range(3)] == [200] * 3
