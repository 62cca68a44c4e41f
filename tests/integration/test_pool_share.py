"""Two workers under uneven load: the cap holds at every instant, and whoever has the work has the connections.

What "at every instant" means: the gateway has a connection from its call of connect() until its call of close() has
returned. The origin learns of both later, and counts as ledger.py says. So that nothing escapes between two looks, the
gateway runs under strace as well, which stops each thread at each of these calls and so sees them in the one order in
which they happened: counted there, a single connection too many for a microsecond is seen.
"""

import concurrent.futures
import contextlib
import re
import socket
import threading
import time

import pytest

from gateway import Gateway, configuration, eventually, free_port, sanitizer
from ledger import Ledger
from raw import TIMEOUT, Wire, get
from servers import tool

pytestmark = [pytest.mark.threads, pytest.mark.alone]

CAP = 16
SHARE_MIN = 0.95

# So long that the way from one answer to the next request, on a busy machine some milliseconds, is small beside it.
LONG = "/250"


class Two:
    """A gateway with two workers, and clients on the one or the other.

    A unix socket cannot be shared: it is worker 0's. Of the connections by TCP the kernel gives some to each worker; a
    worker begins its request ids with a number of its own.
    """

    def __init__(self, directory, origin, pool):
        self.trace = None if sanitizer() else directory / "strace"
        self.path = directory / "weir.sock"
        # How many connections are in use is what is measured, and under strace this gateway is slow.
        config = configuration(origin, workers=2, admin="off", log={"access": "off"},
            upstream={"pool": {"max_connections": CAP, **pool}, "concurrency": "off"})
        config["listeners"].append({"name": "first", "address": f"unix:{self.path}"})
        # It becomes the gateway; strace itself is a child.
        under = [tool("strace"), "-D", "-f", "-q", "--seccomp-bpf", "-e", "trace=connect,close", "-o", self.trace]
        self.origin = origin
        self.gateway = Gateway(config, directory, under=under if self.trace else ())
        self.first = self.worker_of(self.connect_first())

    @staticmethod
    def worker_of(wire):
        return wire.ask(get("/1")).get("X-Request-Id")[:16]

    def connect_first(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT)
        sock.connect(str(self.path))
        wire = Wire(sock)
        self.gateway.wires.append(wire)
        return wire

    def connect_second(self):
        while True:
            wire = self.gateway.connect()
            if self.worker_of(wire) != self.first:
                return wire

    def clients(self, worker, count):
        connect = self.connect_second if worker else self.connect_first
        return [connect() for _ in range(count)]

    def used_by(self, worker, seconds):
        """How many connections the worker had in use, on average, over a time that begins now."""
        before = self.origin.report()
        time.sleep(seconds)
        after = self.origin.report()
        area = sum(after["used"][name] - before["used"].get(name, 0) for name in after["used"]
            if (name != self.first) == bool(worker))
        return area / (after["now"] - before["now"])

    def comes_to_use(self, worker):
        """The worker has them all in use, for two seconds together: how many of them. A busy machine may interrupt that."""
        return eventually(lambda: (used := self.used_by(worker, 2)) >= SHARE_MIN * CAP and used)

    def open_max(self):
        """As the system calls tell, after the gateway's end."""
        self.gateway.stop()
        if self.trace is None:
            return None
        eventually(lambda: "exited with" in self.trace.read_text().splitlines()[-1])
        return most_at_once(self.trace.read_text(), self.origin.port)


def most_at_once(trace, port):
    """A connection counts from the entry into connect() until the return from close(). Its number is free before that:
    another thread may have a new connection of the same number while this one's close has not returned."""
    opened, closing, most = set(), {}, 0
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        call = call.strip()
        if match := re.match(rf"connect\((\d+), \{{sa_family=AF_INET, sin_port=htons\({port}\)", call):
            opened.add(match[1])
            most = max(most, len(opened))
        elif match := re.match(r"close\((\d+)\) +=", call):
            opened.discard(match[1])
        elif match := re.match(r"close\((\d+) <unfinished", call):
            if match[1] in opened:
                opened.remove(match[1])
                closing[thread] = (match[1], thread)
                opened.add(closing[thread])
        elif call.startswith("<... close resumed>"):
            opened.discard(closing.pop(thread, None))
    assert most > 0, "nothing was traced"
    return most


def trace_of(*calls):
    """What strace writes: connects to port 80, the rest as it stands."""
    to_origin = "{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = -1 EINPROGRESS"
    return "\n".join(re.sub(r"connect\((\d+)\)", rf"connect(\1, {to_origin}", call) for call in calls)


@pytest.mark.parametrize("calls, most", [
    (["1 connect(7)", "1 close(7)             = 0", "1 connect(7)"], 1),
    (["1 connect(7)", "2 connect(8)", "1 close(7)             = 0", "1 connect(9)"], 2),
    # The close has not returned: there are two; then there is one, whatever its number.
    (["1 connect(7)", "1 close(7 <unfinished ...>", "2 connect(8)", "1 <... close resumed>) = 0", "2 connect(9)"], 2),
    # The number is used anew before the close has returned: three, and two afterwards.
    (["1 connect(7)", "1 connect(8)", "1 close(7 <unfinished ...>", "2 connect(7)", "1 <... close resumed>) = 0"], 3),
    (["1 connect(7)", "1 close(7 <unfinished ...>", "2 connect(7)", "1 <... close resumed>) = 0", "1 connect(9)",
      "1 connect(10)"], 3),
    # Twice over, and its second user closes it first.
    (["1 connect(7)", "1 close(7 <unfinished ...>", "2 connect(7)", "2 close(7 <unfinished ...>", "3 connect(7)",
      "2 <... close resumed>) = 0", "1 <... close resumed>) = 0", "3 connect(8)"], 3),
    # Somebody else's descriptors.
    (["1 connect(7)", "1 close(5 <unfinished ...>", "2 connect(8)", "1 <... close resumed>) = 0", "1 close(6) = 0"], 2),
])
def test_the_count_of_system_calls(calls, most):
    assert most_at_once(trace_of(*calls), 80) == most


class Busy:
    """Clients that ask, each as soon as it has its answer."""

    def __init__(self, wires, target):
        self.enough = threading.Event()
        self.pool = concurrent.futures.ThreadPoolExecutor(len(wires))
        self.running = [self.pool.submit(self._run, wire, get(target)) for wire in wires]

    def _run(self, wire, request):
        statuses = []
        while not self.enough.is_set():
            statuses.append(wire.ask(request).status)
        return statuses

    def stop(self):
        self.enough.set()
        with self.pool:
            return [status for one in self.running for status in one.result()]


def trickle(wire, enough):
    """Now and then a short request: its status, and how long it took."""
    took = []
    while not enough.is_set():
        began = time.monotonic()
        status = wire.ask(get("/5")).status
        took.append((status, time.monotonic() - began))
        time.sleep(0.25)
    return took


@contextlib.contextmanager
def beside_trickle(here, worker):
    """What came of it is there at the end."""
    waits, enough = [], threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(trickle, here.clients(worker, 1)[0], enough)
        try:
            yield waits
        finally:
            enough.set()
        waits += running.result()


@pytest.fixture
def two(tmp_path):
    origins, gateways = [], []

    def start(**pool):
        origins.append(Ledger(50, free_port()))
        gateways.append(Two(tmp_path, origins[-1], pool))
        return gateways[-1]

    yield start
    for each in gateways:
        each.gateway.stop()
    for each in origins:
        each.close()


@pytest.mark.parametrize("busy", [0, 1])
def test_busy_worker_has_the_connections(two, busy):
    here = two(acquire_timeout="10s")
    quiet = 1 - busy

    # The other one had the load before, and all connections; it keeps them idle.
    earlier = Busy(here.clients(quiet, 2 * CAP), LONG)
    had = here.used_by(quiet, 1.5)
    assert set(earlier.stop()) == {200}
    assert had > CAP / 2 and here.origin.report()["open"] == CAP

    load = Busy(here.clients(busy, 2 * CAP), LONG)
    alone = here.comes_to_use(busy)
    with beside_trickle(here, quiet) as waits:
        beside = here.comes_to_use(busy)
    assert set(load.stop()) == {status for status, _ in waits} == {200}
    counted = here.origin.report()
    most = here.open_max()
    slowest = max(took for _, took in waits)
    print(f"\nworker {busy} busy: {alone:.2f} of {CAP} in use by it alone, {beside:.2f} beside {len(waits)} requests "
          f"of the other, which took {slowest * 1000:.0f} ms at most; at most {counted['open_max']} open as the origin "
          f"counts, {most} as the system calls tell")
    assert counted["open_max"] <= CAP
    assert most is None or most <= CAP


def test_two_busy_workers_keep_what_they_have(two):
    here = two()
    # A few more clients than connections: the queues run empty now and then, and something is idle for a moment.
    loads = [Busy(here.clients(worker, CAP // 2 + 2), "/1") for worker in (0, 1)]
    time.sleep(0.5)
    before = here.origin.report()
    time.sleep(2)
    after = here.origin.report()
    exchanged = after["accepted"] - before["accepted"]
    statuses = [status for load in loads for status in load.stop()]
    print(f"\n{exchanged} connections opened anew in 2 s, beside {len(statuses)} requests")
    assert set(statuses) == {200}
    assert exchanged <= CAP * (after["now"] - before["now"])


@pytest.mark.parametrize("busy", [0, 1])
def test_overflow_is_bounded_and_goes(two, busy):
    overflow = 4
    here = two(acquire_timeout="300ms", on_acquire_timeout="new", max_overflow=overflow)
    quiet = 1 - busy
    # 64 clients of 16 connections, 250 ms for each: they wait for 750 ms, and for less with four more.
    stay, go = Busy(here.clients(busy, CAP // 2), LONG), Busy(here.clients(busy, 4 * CAP - CAP // 2), LONG)
    with beside_trickle(here, quiet) as waits:
        used = here.comes_to_use(busy)
        eventually(lambda: here.origin.report()["open_max"] > CAP)
    assert {status for status, _ in waits} <= {200, 503}
    pressed = here.origin.report()
    statuses = go.stop()
    eventually(lambda: here.origin.report()["open"] <= CAP)
    here.origin.tell("mark")
    time.sleep(0.5)
    back = here.origin.report()
    statuses += stay.stop()
    most = here.open_max()
    print(f"\nworker {busy} busy, with overflow: {used:.2f} in use by it; at most {pressed['open_max']} open as the "
          f"origin counts, {most} as the system calls tell; {back['open_max']} once the pressure is gone")
    assert CAP < pressed["open_max"] <= CAP + overflow
    assert most is None or most <= CAP + overflow
    assert back["open_max"] <= CAP
    assert statuses.count(200) > 0 and set(statuses) <= {200, 503}
