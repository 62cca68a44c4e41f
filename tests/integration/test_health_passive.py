"""Passive health checks: an endpoint that is worse than the others is left out for a time, and why that is said."""

import itertools
import random
import threading
import time

import pytest

from admin import administered
from gateway import eventually
from health import told
from origin import answer_all
from raw import TIMEOUT, get, response

# Nothing but what a test is about, and ejections that last as long as it does.
ALONE = {"consecutive_failures": 0, "error_rate": 0, "slow_factor": 0, "max_wait": 0, "base_time": "1h", "max_time": "1h"}


class Backend:
    """Answers with its name, or as `manner(wire, request)` does while there is one."""

    def __init__(self, origin, name):
        self.address, self.name, self.manner, self.asked = origin.address, name, None, 0
        origin.serve(self._run)

    def _run(self, wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            request = wire.read_request()
            self.asked += 1
            if self.manner:
                self.manner(wire, request)
            else:
                wire.send(response(self.name))


@pytest.fixture
def backends(make_origin):
    return lambda n: [Backend(make_origin(), b"%d" % i) for i in range(n)]


def watched(start, backends, passive=None, health=None, **more):
    upstream = {"balance": {"policy": "round_robin"}, "health": {"passive": passive or {}, **(health or {})},
        **more.pop("upstream", {})}
    return administered(start, *backends, upstream=upstream, **more)


def state(admin, backend):
    metrics = admin.metrics()
    at = {"upstream": "origin", "endpoint": backend.address}
    found = [word for word in ("healthy", "unhealthy", "ejected", "probation")
        if metrics.get("weir_upstream_health", **at, state=word) == 1]
    assert len(found) == 1
    return found[0]


def reason(admin, backend):
    metrics = admin.metrics()
    at = {"upstream": "origin", "endpoint": backend.address}
    return next(dict(labels)["reason"] for (name, labels), value in metrics.values.items()
        if name == "weir_upstream_health_reason" and value == 1 and dict(labels)["endpoint"] == backend.address)


def ejections(admin, backend, why):
    return admin.metrics().get("weir_upstream_ejections_total", upstream="origin", endpoint=backend.address, reason=why)


def ask(gateway, n=1):
    """What n requests, one after the other, are answered with."""
    client = gateway.connect()
    return [client.ask(get()) for _ in range(n)]


def asked_until(gateway, done, timeout=30, clients=4):
    """Some clients ask until it is so."""
    ended = threading.Event()

    def run():
        client = gateway.connect()
        while not ended.is_set():
            client.ask(get())
            time.sleep(0.002)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        eventually(done, timeout)
    finally:
        ended.set()
        for thread in threads:
            thread.join(timeout)


def refuses(wire, request):
    wire.send(response(b"no", "503 No"))


def test_failures_in_a_row(start, backends):
    a, b = backends(2)
    gateway, admin = watched(start, (a, b), {**ALONE, "consecutive_failures": 5})
    ask(gateway, 20)
    a.manner = refuses
    ask(gateway, 8)
    time.sleep(1)
    assert state(admin, a) == "healthy"
    ask(gateway, 4)
    eventually(lambda: state(admin, a) == "ejected")
    told(gateway, "warning", f"endpoint {a.address} is ejected for 3600000 ms", "failures in a row")
    assert (reason(admin, a), ejections(admin, a, "failures_in_a_row")) == ("failures_in_a_row", 1)
    assert {answer.body for answer in ask(gateway, 20)} == {b"1"}


def test_a_success_ends_the_row(start, backends):
    a, b = backends(2)
    count = iter(range(10**6))
    a.manner = lambda wire, request: wire.send(response(b"", "503 No" if next(count) % 5 else "200 OK"))
    gateway, admin = watched(start, (a, b), {**ALONE, "consecutive_failures": 5})
    ask(gateway, 200)
    time.sleep(1)
    assert state(admin, a) == "healthy"


def test_connections_that_are_refused_count(start, backends, make_origin):
    (a,), gone = backends(1), make_origin()
    gone.refuse()
    gateway, admin = watched(start, (a, gone))
    asked_until(gateway, lambda: state(admin, gone) == "ejected")
    told(gateway, f"endpoint {gone.address} is ejected")
    assert {answer.body for answer in ask(gateway, 20)} == {b"0"}


def test_where_all_fail_nobody_is_ejected(start, backends):
    several = backends(4)
    for backend in several:
        backend.manner = refuses
    gateway, admin = watched(start, several, {"slow_factor": 0, "max_wait": 0})
    ask(gateway, 400)
    time.sleep(1)
    ask(gateway, 400)
    assert [state(admin, backend) for backend in several] == ["healthy"] * 4


def test_an_error_rate_beyond_the_others(start, backends):
    several = backends(4)
    count = iter(range(10**6))
    several[2].manner = lambda wire, request: wire.send(response(b"", "500 No" if next(count) % 2 else "200 OK"))
    gateway, admin = watched(start, several, {**ALONE, "error_rate": "25%"})
    asked_until(gateway, lambda: state(admin, several[2]) == "ejected")
    told(gateway, f"endpoint {several[2].address} is ejected", "requests failed, of the others' 0 of")
    assert reason(admin, several[2]) == "error_rate"
    assert [state(admin, backend) for backend in several].count("ejected") == 1


def test_a_slow_one(start, backends):
    several = backends(4)
    several[1].manner = lambda wire, request: (time.sleep(0.5), wire.send(response(b"at last")))
    gateway, admin = watched(start, several, {**ALONE, "slow_factor": 5})
    asked_until(gateway, lambda: state(admin, several[1]) == "ejected", clients=8)
    told(gateway, f"endpoint {several[1].address} is ejected", "its answers take", "those of the others")
    assert reason(admin, several[1]) == "slow"


def test_one_pause_is_not_slow(start, backends):
    """All that it answers in its window has waited, and not what it answers behind that."""
    several = backends(4)
    gateway, admin = watched(start, several, {**ALONE, "slow_factor": 5}, upstream={"concurrency": "off"})
    ask(gateway, 20)
    clients = [gateway.connect() for _ in range(80)]
    pause, before = threading.Event(), several[1].asked
    several[1].manner = lambda wire, request: (pause.wait(TIMEOUT), wire.send(response(b"at last")))
    for client in clients:
        client.send(get())
    # All that it gets comes within the pause, however long that takes, and is answered at its end.
    eventually(lambda: several[1].asked == before + 20)
    time.sleep(0.3)
    several[1].manner = None
    pause.set()
    assert [client.read_response().body for client in clients].count(b"at last") == 20
    for _ in range(4):
        ask(gateway, 4)
        time.sleep(0.3)
    assert state(admin, several[1]) == "healthy"


def test_a_black_hole(start, backends):
    """Long before any timeout."""
    several = backends(4)
    several[3].manner = lambda wire, request: None
    gateway, admin = watched(start, several, {**ALONE, "consecutive_failures": 5, "max_wait": "1s"},
        upstream={"timeouts": {"first_byte": "1h", "request": 0}})
    ended = threading.Event()

    def run():
        sent = 0
        while not ended.is_set():
            # A machine that is too busy is asked less: else what waits there would make black holes of all of them.
            if sent - sum(backend.asked for backend in several) < 4:
                gateway.connect().send(get())
                sent += 1
            time.sleep(0.01)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    eventually(lambda: state(admin, several[3]) == "ejected")
    ended.set()
    thread.join()
    assert [state(admin, backend) for backend in several] == ["healthy"] * 3 + ["ejected"]


def test_those_who_wait_for_a_black_hole_wait_for_another(start, backends):
    """It gets one request at once, which it keeps; nothing of the others has been sent. The other one has time to be slow."""
    hole, other = several = backends(2)
    hole.manner = lambda wire, request: None
    gateway, admin = watched(start, several, {**ALONE, "max_wait": "2500ms", "consecutive_failures": 1}, upstream={
        "timeouts": {"first_byte": "1h", "request": 0}, "pool": {"acquire_timeout": "1h"}, "concurrency": 1})
    clients = [gateway.connect() for _ in range(24)]
    for client in clients:
        client.send(get())
    eventually(lambda: other.asked == 23 and hole.asked == 1)
    metrics = admin.metrics()
    for backend, count in ((hole, 1), (other, 23)):
        at = {"upstream": "origin", "endpoint": backend.address}
        assert metrics.get("weir_pool_acquires_total", **at, outcome="delivered") == count
        assert metrics.get("weir_pool_waiters", **at) == 0
    assert state(admin, hole) == "ejected"


def test_those_that_all_answer_late_are_not_late(start, backends):
    """Requests for which every endpoint takes its time: nobody is a black hole."""
    several = backends(3)
    gateway, admin = watched(start, several, {"max_wait": "50ms"})
    for backend in several:
        backend.manner = lambda wire, request: (time.sleep(0.3), wire.send(response(b"at last")))
    clients = [gateway.connect() for _ in range(12)]
    for _ in range(5):
        for client in clients:
            client.send(get())
        assert {client.read_response().status for client in clients} == {200}
    assert [state(admin, backend) for backend in several] == ["healthy"] * 3


def test_it_comes_back_and_is_out_again_soon(start, backends):
    a, b = backends(2)
    a.manner = refuses
    gateway, admin = watched(start, (a, b), {**ALONE, "consecutive_failures": 4, "base_time": "500ms", "max_time": "1h"})
    # In turn, and no request too many: one more might fall into its probation.
    ask(gateway, 8)
    eventually(lambda: ejections(admin, a, "failures_in_a_row") == 1)
    eventually(lambda: state(admin, a) == "probation")
    told(gateway, f"endpoint {a.address} is not ejected any more")
    assert reason(admin, a) == "time_served"
    # Two are enough now, and it is out for longer.
    ask(gateway, 4)
    eventually(lambda: ejections(admin, a, "failures_in_a_row") == 2)
    told(gateway, f"endpoint {a.address} is ejected for 1000 ms")
    a.manner = None
    eventually(lambda: state(admin, a) == "probation")
    asked_until(gateway, lambda: state(admin, a) == "healthy")
    assert reason(admin, a) == "proven" and ejections(admin, a, "failures_in_a_row") == 2


def test_who_is_asked_nothing_proves_nothing(start, backends):
    """Probation goes on for as long as no request tells how it is. That nothing changes in a time can only be waited for."""
    a, b = backends(2)
    a.manner = refuses
    gateway, admin = watched(start, (a, b), {**ALONE, "consecutive_failures": 4, "base_time": "100ms", "max_time": "1h"})
    ask(gateway, 8)
    eventually(lambda: ejections(admin, a, "failures_in_a_row") == 1)
    eventually(lambda: state(admin, a) == "probation")
    time.sleep(1)
    assert (state(admin, a), ejections(admin, a, "failures_in_a_row")) == ("probation", 1)
    a.manner = None
    asked_until(gateway, lambda: state(admin, a) == "healthy")


@pytest.mark.parametrize("share, out", [("1%", 1), ("50%", 2), ("100%", 3)])
def test_no_more_than_a_share(start, backends, share, out):
    """One at least, and never the last."""
    several = backends(4)
    for backend in several[:3]:
        backend.manner = refuses
    gateway, admin = watched(start, several, {**ALONE, "consecutive_failures": 3, "error_rate": 0, "max_ejected": share},
        {"panic_threshold": 0})
    # The others' failures must not look like everybody's: the last one gets most.
    for backend in several[:3]:
        backend.manner = None
    ask(gateway, 400)

    def are_out():
        return [state(admin, backend) for backend in several].count("ejected")

    for i, backend in enumerate(several[:3]):
        backend.manner = refuses
        ask(gateway, 16)
        eventually(lambda i=i: are_out() == min(i + 1, out))
    ask(gateway, 100)
    time.sleep(1)
    assert are_out() == out
    assert state(admin, several[3]) == "healthy"


def test_a_single_one_is_never_ejected(start, backends):
    a, = backends(1)
    a.manner = refuses
    gateway, admin = watched(start, (a,), {"consecutive_failures": 1})
    ask(gateway, 50)
    time.sleep(0.6)
    assert state(admin, a) == "healthy"


def test_a_reload_can_end_it(start, backends):
    a, b = backends(2)
    gateway, admin = watched(start, (a, b), {"base_time": "1h", "max_time": "1h"})
    a.manner = refuses
    asked_until(gateway, lambda: state(admin, a) == "ejected")
    watching = gateway.config
    gateway.reload({**watching, "routes": [{**watching["routes"][0], "name": "other"}]})
    assert state(admin, a) == "ejected"
    upstream = {**watching["upstreams"][0], "health": {"passive": "off"}}
    gateway.reload({**watching, "upstreams": [upstream]})
    eventually(lambda: state(admin, a) == "healthy")
    assert len({answer.status for answer in ask(gateway, 20)}) == 2


@pytest.mark.threads
def test_all_workers_know(start, backends):
    several = backends(3)
    gateway, admin = watched(start, several, {"base_time": "1h", "max_time": "1h"}, workers=2)
    several[0].manner = refuses
    asked_until(gateway, lambda: state(admin, several[0]) == "ejected")
    for _ in range(20):
        assert b"no" not in {answer.body for answer in ask(gateway, 3)}


# --- one of ten -------------------------------------------------------------------------------------------------------


def fails_half():
    """The same half in each run; by the clock it would be all for a while, and then none."""
    drawn = random.Random(1)
    return lambda wire, request: wire.send(response(b"", "500 No") if drawn.random() < 0.5 else response(b"yes"))


SICK = {
    "slow": lambda: lambda wire, request: (time.sleep(0.25), wire.send(response(b"at last"))),
    "failing": fails_half,
    "black hole": lambda: lambda wire, request: None,
}


RATE = 150  # requests a second
STRETCH = 2 * RATE  # answers that are looked at together
IN_TIME_S = 5
STRETCHES_MAX = 10  # and on a machine that is busy, sooner than whoever was ejected is tried again


UNDISTURBED_S = 0.25  # later than that, or for that long, a machine that has nothing else to do asks and answers nobody


class Crowd:
    """Asks at a steady rate. Whoever is caught in a black hole asks no more; the others go on at the same rate."""

    def __init__(self, gateway, clients=200):
        self.gateway, self.began_at, self.ended = gateway, time.monotonic(), False
        self.slots, self.lock = itertools.count(), threading.Lock()
        self.seen, self.disturbed = [], False
        for _ in range(clients):
            threading.Thread(target=self._run, daemon=True).start()

    def _next(self):
        with self.lock:
            return next(self.slots)

    def _run(self):
        client = self.gateway.connect()
        while not self.ended:
            due = self.began_at + self._next() / RATE
            time.sleep(max(0, due - time.monotonic()))
            late = time.monotonic() - due
            try:
                answer = client.ask(get())
            except (AssertionError, OSError):
                return
            # What the well ones answer takes them no time to speak of.
            late = max(late, time.monotonic() - due if answer.body == b"yes" else 0)
            self.disturbed = self.disturbed or late > UNDISTURBED_S
            self.seen.append(answer.status)

    def stretch(self):
        """The next so many answers."""
        before = len(self.seen)
        eventually(lambda: len(self.seen) >= before + STRETCH)
        return self.seen[before:before + STRETCH]


@pytest.mark.parametrize("policy", ["round_robin", "least_request"])
@pytest.mark.parametrize("sickness", SICK)
def test_one_of_ten(start, backends, sickness, policy):
    """After five seconds nobody but those who asked in these sees anything of it, with the default configuration. Five seconds are
    long for a machine that has nothing else to do; a busy one has more of them."""
    several = backends(10)
    for backend in several:
        backend.manner = lambda wire, request: (time.sleep(0.005), wire.send(response(b"yes")))
    gateway, _ = watched(start, several, upstream={"balance": {"policy": policy}})
    crowd = Crowd(gateway)
    time.sleep(3)
    several[4].manner = SICK[sickness]()
    time.sleep(IN_TIME_S)
    for _ in range(STRETCHES_MAX):
        before = several[4].asked
        statuses = crowd.stretch()
        # Times are the machine's; that nobody gets there is what makes them good again.
        is_over = several[4].asked - before <= STRETCH / 100 and statuses.count(200) >= 0.98 * STRETCH
        if is_over or not crowd.disturbed:
            break
    crowd.ended = True
    assert is_over, gateway.events.text()
