"""Hedged requests: when there is a second try, who answers, and what is given up."""

import itertools
import threading

import pytest

from admin import administered
from gateway import eventually, merged
from origin import answer_all, is_open
from raw import get, post, response

# By far longer than a service that answers takes for it, on a busy machine, too.
AFTER = {"after": "300ms"}


class Service:
    """An origin that answers with its name, or keeps silent until it may."""

    def __init__(self, origin, name):
        self.origin, self.name, self.may = origin, name.encode(), threading.Event()
        self.address = origin.address
        self.ended = []
        self.may.set()
        origin.serve(self._serve)

    def _serve(self, wire, origin):
        wire.sock.settimeout(None)
        try:
            while wire.unread or wire.more():
                request = wire.read_request()
                origin.note(request)
                # A client that leaves ends the wait.
                while not self.may.wait(0.01):
                    assert is_open(wire.sock)
                wire.send(response(self.name))
        except (AssertionError, OSError):
            pass
        self.ended.append(True)

    @property
    def asked(self):
        return len(self.origin.requests)


@pytest.fixture
def services(make_origin):
    return [Service(make_origin(), name) for name in ("one", "two")]


def hedged(start, services, upstream=None, **options):
    """A gateway that asks them in turn."""
    return administered(start, *services, workers=1, upstream=merged({"balance": {"policy": "round_robin"}, "hedge": AFTER,
        "health": {"passive": "off"}}, upstream), **options)


def count(admin, what, service):
    return admin.metrics().get(f"weir_upstream_{what}_total", upstream="origin", endpoint=service.address)


def test_second_answers_first(start, services):
    gateway, admin = hedged(start, services)
    wire = gateway.connect()
    services[0].may.clear()
    assert {wire.ask(get()).body for _ in range(4)} == {b"two"}
    eventually(lambda: services[0].asked >= 1)
    assert count(admin, "hedges_won", services[1]) >= 1
    assert count(admin, "hedges", services[1]) == count(admin, "hedges_won", services[1])
    # What was given up is not held.
    eventually(lambda: admin.metrics().get("weir_pool_connections", upstream="origin", endpoint=services[0].address,
        state="leased") == 0)
    assert {record["endpoint"] for record in gateway.records(4)} == {services[1].address}


def test_slow_one_is_known_for_it(start, services):
    """What was given up was waited for: who lets everybody wait is not taken for one that was never asked. Where a busy machine has
    made the other one slow for once, that is soon forgotten."""
    gateway, _ = hedged(start, services, upstream={"balance": {"policy": "peak_ewma", "ewma_decay": "300ms"}, "retry": {"budget": "100%"}})
    wire = gateway.connect()
    services[0].may.clear()
    assert {wire.ask(get()).body for _ in range(20)} == {b"two"}
    assert services[0].asked < 10


def ask_both(gateway, services):
    """A request that both have, and neither answers."""
    for service in services:
        service.may.clear()
    wire = gateway.connect()
    wire.send(get())
    eventually(lambda: services[0].asked + services[1].asked == 2)
    return wire


def test_silent_both_are_counted(start, services):
    """Neither answers in time, and the request is sent again, since there is budget: one was the second."""
    gateway, admin = hedged(start, services, upstream={"timeouts": {"first_byte": "2500ms"},
        "retry": {"on": ["first_byte_timeout"], "attempts": 1, "budget": "100%"}})
    for service in services:
        service.may.clear()
    assert gateway.connect().ask(get()).status == 504
    eventually(lambda: services[0].asked + services[1].asked == 3)
    assert count(admin, "hedges", services[0]) + count(admin, "hedges", services[1]) == 1


def test_first_answers_first(start, services):
    """Both are asked, and the first has its answer while the second is silent, too."""
    gateway, admin = hedged(start, services)
    wire = ask_both(gateway, services)
    services[0].may.set()
    assert wire.read_response().body == b"one"
    assert count(admin, "hedges", services[0]) + count(admin, "hedges", services[1]) == 1
    services[1].may.set()
    assert wire.ask(get()).status == 200


def test_what_is_not_sent_twice(start, services):
    gateway, admin = hedged(start, services)
    for service in services:
        service.may.clear()
    wire = gateway.connect()
    wire.send(post(b"once"))
    eventually(lambda: services[0].asked + services[1].asked == 1)
    # By then a second GET has both.
    other = gateway.connect()
    other.send(get())
    eventually(lambda: services[0].asked + services[1].asked == 3)
    for service in services:
        service.may.set()
    assert wire.read_response().status == 200 and other.read_response().status == 200
    methods = [request.method for service in services for request in service.origin.requests]
    assert sorted(methods) == ["GET", "GET", "POST"]


def test_content_is_sent_again(start, services):
    gateway, _ = hedged(start, services)
    services[0].may.clear()
    wire = gateway.connect()
    for _ in range(2):
        answer = wire.ask(post(b"c" * 5000).replace(b"POST", b"PUT", 1))
        assert answer.status == 200 and answer.body == b"two"
    bodies = {request.body for service in services for request in service.origin.requests}
    assert bodies == {b"c" * 5000}


def test_one_fails_the_other_answers(start, make_origin):
    """The first breaks off while the second is asked: the second's answer is the answer, and nobody is asked a third time."""
    def breaks(wire, origin):
        request = wire.read_request()
        origin.note(request)
        second.wait(lambda o: request.target in targets(o))

    def answers(wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            origin.note(wire.read_request())
            first.wait(lambda o: o.open == 0)
            wire.send(response(b"second"))

    def targets(origin):
        return [request.target for request in origin.requests]

    first, second = make_origin(), make_origin()
    first.serve(breaks)
    second.serve(answers)
    gateway, _ = hedged(start, [first, second])
    wire = gateway.connect()
    # In turn: it is the first's turn sooner or later.
    for i in itertools.count():
        assert wire.ask(get(f"/{i}")).body == b"second"
        if first.requests:
            break
    for origin in (first, second):
        assert len(set(targets(origin))) == len(targets(origin)) <= i + 1


def test_budget(start, services):
    """A service that is slow as a whole is not asked twice for everything."""
    gateway, admin = hedged(start, services, upstream={"hedge": {"after": "1ms"},
        "retry": {"budget": "1%", "min_retries_per_second": 0}})
    wire = gateway.connect()
    for service in services:
        service.may.clear()
    threading.Timer(0.1, lambda: [service.may.set() for service in services]).start()
    assert wire.ask(get()).status == 200
    assert services[0].asked + services[1].asked == 1
    assert count(admin, "hedges", services[0]) + count(admin, "hedges", services[1]) == 0


def test_client_leaves_both(start, services):
    gateway, admin = hedged(start, services)
    wire = ask_both(gateway, services)
    wire.close()
    eventually(lambda: sum(admin.metrics().get("weir_pool_connections", upstream="origin", endpoint=s.address, state="leased")
        for s in services) == 0)
    assert gateway.record()["cause"] == "client_gone"


def test_percentile(start, make_origin):
    origins = [make_origin().serve(answer_all) for _ in range(2)]
    gateway, admin = hedged(start, origins, upstream={"hedge": {"after": "p90"}, "retry": {"budget": "100%"}})
    wire = gateway.connect()
    for _ in range(300):
        assert wire.ask(get()).status == 200
    hedges = sum(count(admin, "hedges", origin) for origin in origins)
    # A tenth of them is slower than nine tenths, but for buckets of 9 %, and where the machine becomes slower meanwhile. All might be.
    assert hedges <= 150
