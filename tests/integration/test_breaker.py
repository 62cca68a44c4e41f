"""Breakers: when one opens, what is answered then, what is tried, and when it closes again."""

import select
import time

import pytest

from admin import administered
from gateway import eventually
from raw import get, response

BREAKER = {"min_calls": 5, "open_for": "200ms", "open_max": "200ms", "half_open_calls": 2}

# For longer than any test takes, and by a fifth more at most.
OPEN = {"open_for": "5m", "open_max": "5m"}
OPEN_S = range(200, 361)


class Service:
    """An origin whose answers have the status that it is told, and its name."""

    def __init__(self, origin, name):
        self.origin, self.name, self.status = origin, name, "200 OK"
        self.address = origin.address
        origin.serve(self._serve)

    def _serve(self, wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            origin.note(wire.read_request())
            wire.send(response(self.name.encode(), status=self.status))

    @property
    def asked(self):
        return len(self.origin.requests)


@pytest.fixture
def services(make_origin):
    return [Service(make_origin(), name) for name in ("one", "two")]


def state(admin, service):
    return admin.metrics().get("weir_upstream_breaker_state", upstream="origin", endpoint=service.address)


def ask(wire, n, path="/"):
    """The statuses of that many answers."""
    return [wire.ask(get(path)).status for _ in range(n)]


def blamed(admin):
    """What `weir why` says of breakers: whose they are, and the keys."""
    verdicts = eventually(lambda: [v for v in admin.why("?window=60s")["verdicts"] if v["what"] == "breaker"])
    return [(verdict["subject"], verdict["knob"]["key"]) for verdict in verdicts]


def test_opens_and_closes(start, services):
    service = services[0]
    gateway, admin = administered(start, service, workers=1, upstream={"breaker": BREAKER})
    admin.why()
    wire = gateway.connect()
    assert ask(wire, 20) == [200] * 20
    service.status = "500 Oops"
    # The next one may be a trial, if it comes late.
    answer = eventually(lambda: (answer := wire.ask(get())).status == 503 and answer)
    assert b"breaker_open" in answer.body and answer.get("Retry-After") == "1"
    gateway.event("its breaker has opened: of ")
    [(subject, key)] = blamed(admin)
    assert subject["upstream"] == "origin" and "route" not in subject and key == "upstreams[origin].breaker"
    assert admin.metrics().get("weir_upstream_breaker_opened_total", upstream="origin", endpoint=service.address) >= 1
    # It is tried with two at a time, which fail, too; then they do not.
    gateway.event("is half open, for 2 calls")
    service.status = "200 OK"
    eventually(lambda: ask(wire, 1) == [200] and state(admin, service) == 0)
    gateway.event("its breaker has closed: of 2 trials 0 failed")
    assert ask(wire, 20) == [200] * 20


def test_others_take_over(start, services):
    # Ejected for what it fails at, it would not be asked either.
    gateway, admin = administered(start, *services, workers=1, upstream={"balance": {"policy": "round_robin"},
        "health": {"passive": "off"}, "breaker": {**BREAKER, **OPEN}})
    wire = gateway.connect()
    services[0].status = "502 Bad"
    eventually(lambda: (ask(wire, 1), state(admin, services[0]) == 1)[1])
    asked = services[0].asked
    assert ask(wire, 50) == [200] * 50 and services[0].asked == asked
    # A reload does not forget it; other settings do.
    gateway.reload()
    assert ask(wire, 10) == [200] * 10 and services[0].asked == asked and state(admin, services[0]) == 1
    gateway.config["upstreams"][0]["breaker"]["min_calls"] = 1000
    gateway.reload(gateway.config)
    assert sorted(ask(wire, 10)) == [200] * 5 + [502] * 5


def test_slow_calls(start, make_origin):
    origin = make_origin()
    release = []

    def serve(wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            origin.note(wire.read_request())
            origin.wait(lambda o: release)
            wire.send(response(b"at last"))

    origin.serve(serve)
    gateway, admin = administered(start, origin, workers=1, upstream={
        "breaker": {**BREAKER, "min_calls": 1, "slow_after": "50ms", "slow_rate": "10%", **OPEN}})
    wire = gateway.connect()
    wire.send(get())
    origin.wait(lambda o: o.requests)
    # The answer begins when the gateway's own clock says so.
    eventually(lambda: admin.metrics().get("weir_pool_connections", upstream="origin", endpoint=origin.address,
        state="leased") == 1)
    begun = time.monotonic()
    eventually(lambda: time.monotonic() - begun > 0.06)
    release.append(True)
    with origin.lock:
        origin.changed.notify_all()
    assert wire.read_response().status == 200
    gateway.event("of 1 calls 0 failed and 1 were slow")
    answer = wire.ask(get())
    assert answer.status == 503 and int(answer.get("Retry-After")) in OPEN_S


def test_route(start, make_origin):
    """What fails for one route does not shut the others."""
    origin, bad = make_origin(), ["200 OK"]

    def serve(wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            request = wire.read_request()
            origin.note(request)
            wire.send(response(b"", status=bad[0] if request.target.startswith("/bad") else "200 OK"))

    origin.serve(serve)
    gateway, admin = administered(start, origin, workers=2, routes=[
        {"name": "bad", "match": {"path": "/bad/*"}, "upstream": "origin", "breaker": {**BREAKER, **OPEN}},
        {"name": "all", "upstream": "origin"}])
    admin.why()
    wire = gateway.connect()
    assert ask(wire, 10, "/bad/1") == [200] * 10
    assert admin.metrics().get("weir_route_breaker_state", route="bad") == 0
    bad[0] = "500 Oops"
    eventually(lambda: 503 in ask(wire, 1, "/bad/2"))
    asked = len(origin.requests)
    assert ask(wire, 10, "/bad/3") == [503] * 10 and len(origin.requests) == asked
    answer = wire.ask(get("/bad/4"))
    assert b"the route's breaker is open" in answer.body and int(answer.get("Retry-After")) in OPEN_S
    assert ask(wire, 10, "/good") == [200] * 10
    gateway.event("route bad: its breaker has opened")
    assert blamed(admin) == [({"route": "bad"}, "routes[bad].breaker")]
    gateway.reload()
    # A reload keeps it, and the route without one has none to tell of.
    told = admin.metrics()
    assert told.get("weir_route_breaker_state", route="bad") == 1
    assert told.get("weir_route_breaker_opened_total", route="bad") == 1
    assert told.labels("weir_route_breaker_state", "route") == ["bad"]
    assert ask(wire, 3, "/bad/5") == [503] * 3
    # On the other worker, too.
    wires = [gateway.connect() for _ in range(16)]
    assert {ask(one, 1, "/bad/6")[0] for one in wires} == {503}


def test_clients_that_leave_say_nothing(start, make_origin):
    """A trial whose client leaves gives its place to another, again and again."""
    origin = make_origin()
    mode = {"status": "500 Oops", "silent": False}

    def serve(wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            origin.note(wire.read_request())
            if not mode["silent"]:
                wire.send(response(b"", status=mode["status"]))

    origin.serve(serve)
    gateway, admin = administered(start, origin, workers=1, upstream={"breaker": {**BREAKER, "open_for": "50ms",
        "open_max": "50ms"}})
    wire = gateway.connect()
    eventually(lambda: 503 in ask(wire, 1))
    mode["silent"] = True
    left = 0
    while left < 6:
        before = len(origin.requests)
        client = gateway.connect()
        client.send(get())
        eventually(lambda: len(origin.requests) > before or select.select([client.sock], [], [], 0)[0])
        left += len(origin.requests) > before
        client.close()
    mode.update(silent=False, status="200 OK")
    eventually(lambda: ask(gateway.connect(), 1) == [200])
    eventually(lambda: (ask(gateway.connect(), 1), state(admin, origin) == 0)[1])
