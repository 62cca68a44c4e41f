"""Reloads in a row under load, each with other routes and endpoints: who notices?"""

import json
import pathlib
import socket
import subprocess
import threading
import time

from admin import Admin
from gateway import BINARY, UNHURRIED, free_port
from raw import Wire, get, post

RELOAD = post("{}", "/v1/reload", ["Content-Type: application/json"]).replace(b"example.com", b"localhost")
UPGRADE = get("/tunnel/upgrade", fields=["Connection: Upgrade", "Upgrade: echo"])


class Service:
    """`weir origin` at all addresses of this machine, so that an endpoint may be any of 127.0.0.0/8."""

    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen([BINARY, "origin", "--listen", f"0.0.0.0:{self.port}", "--workers", "1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("weir origin does not listen")

    def close(self):
        self.process.terminate()
        self.process.wait()


class Changes:
    """A configuration with so many routes and endpoints, of which each turn changes many."""

    def __init__(self, service, routes, endpoints):
        self.port, self.routes, self.endpoints = service.port, routes, endpoints

    def upstream(self, i, turn):
        # Of each two endpoints one stays and one is another in each turn; in each third upstream the pool is another, too.
        moving = f"127.{1 + turn % 200}.{i // 200}.{1 + i % 200}:{self.port}"
        pool = {"max_connections": 50 + turn % 5} if i % 3 == 0 else {}
        return {"name": f"u{i}", "endpoints": [{"address": f"127.0.{i // 200}.{1 + i % 200}:{self.port}"}, {"address": moving}],
            "pool": pool}

    def route(self, i, turn):
        # Every other route has another path in each turn; those that are asked for stay where they are.
        path = f"/r{i}/*" if i % 2 == 0 else f"/r{i}/{turn:03}/*"
        return {"name": f"r{i}", "match": {"path": path}, "upstream": f"u{i % (self.endpoints // 2)}"}

    def at(self, turn, **base):
        return {**base,
            "upstreams": [*(self.upstream(i, turn) for i in range(self.endpoints // 2)),
                {"name": "tunnel", "endpoints": [{"address": f"127.99.{turn % 200}.1:{self.port}"}]}],
            "routes": [*(self.route(i, turn) for i in range(self.routes)),
                {"name": "tunnel", "match": {"path": "/tunnel/*"}, "rewrite": {"path": "/*"}, "upstream": "tunnel"}]}


class Load(threading.Thread):
    """A client that asks all the time, on connections that it keeps."""

    def __init__(self, address, routes, first):
        super().__init__(daemon=True)
        self.address, self.routes, self.first = address, routes, first
        self.stopped = threading.Event()
        self.failures, self.times = [], []
        self.wire = Wire(socket.create_connection(address, 30))

    def run(self):
        i = self.first
        while not self.stopped.is_set():
            i = (i + 2) % self.routes
            began = time.monotonic()
            try:
                answer = self.wire.ask(get(f"/r{i // 2 * 2}/x"))
                if answer.status != 200:
                    self.failures.append((i, answer.status, answer.body[:200]))
            except Exception as failure:  # pylint: disable=broad-except
                self.failures.append((i, repr(failure)))
                return
            self.times.append(time.monotonic() - began)
            time.sleep(0.001)

    def end(self):
        self.stopped.set()
        self.join(60)
        self.wire.close()


class Tunnel:
    """To an endpoint that is soon gone from the file; what is said in it comes back."""

    def __init__(self, address):
        self.wire = Wire(socket.create_connection(address, 30)).send(UPGRADE)
        assert self.wire.read_head().status == 101

    def check(self, text):
        self.wire.send(text)
        assert self.wire.take(len(text)) == text


def ask_reload(admin):
    wire = admin.connect()
    answer = wire.ask(RELOAD)
    wire.close()
    receipt = json.loads(answer.body)
    assert answer.status == 200 and receipt["outcome"] == "reloaded", receipt
    return receipt


def fill_window(admin, tunnels):
    """The gateway keeps its last minute, second by second: 0.3 MiB each with a thousand routes. Returns once it keeps no more.
    Tunnels in which nothing is said are closed meanwhile."""
    whole, since = 0, time.monotonic()
    while time.monotonic() - since < 5:
        span = admin.why("?window=60s")["window_s"]
        if span > whole + 0.5:
            whole, since = span, time.monotonic()
        for tunnel in tunnels:
            tunnel.check(b"still there")
        time.sleep(0.5)


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def stolen():
    """Ticks that a machine which is itself a guest has been kept from its processors by its host: no program's doing (proc(5))."""
    return int(pathlib.Path("/proc/stat").read_text().split()[8])


class Outcome:
    def __init__(self):
        self.receipts, self.failures, self.times, self.memory = [], [], [], []
        self.undisturbed = []           # of the receipts, those for whose time the machine was there

    def reload(self, admin):
        before = stolen()
        self.receipts.append(ask_reload(admin))
        if stolen() == before:
            self.undisturbed.append(self.receipts[-1])

    def percentile(self, key, share):
        """Of what the machine itself has not disturbed."""
        return percentile([receipt[key] for receipt in self.undisturbed], share)

    def worst(self, key):
        return self.percentile(key, 1)

    def median(self, key):
        return percentile([receipt[key] for receipt in self.receipts], 0.5)

    def tell(self):
        return (f"{len(self.receipts)} reloads ({len(self.undisturbed)} on a machine that was there for them), {len(self.times)} requests, {len(self.failures)} failed\n"
            f"longest turn of a loop: {self.worst('longest_pause_ms'):.2f} ms at worst, "
            f"{self.median('longest_pause_ms'):.2f} ms in the middle; of processor time "
            f"{self.worst('longest_pause_busy_ms'):.2f} ms at worst, {self.percentile('longest_pause_busy_ms', 0.9):.2f} ms in nine of ten\n"
            f"as a client sees it: {1000 * percentile(self.times, 0.5):.2f} ms, 99%: {1000 * percentile(self.times, 0.99):.2f} ms, "
            f"99.9%: {1000 * percentile(self.times, 0.999):.2f} ms\n"
            f"memory: {self.memory[:: max(1, len(self.memory) // 10)]} and {self.memory[-1]} KiB")


def reload_many(start, turns, routes, endpoints, settled_at=None):
    """Returns an Outcome. Every tunnel has lived through all of it. Behind the turn `settled_at` it waits until all that fills
    by the clock is full, so that memory from then on is what reloads take."""
    service = Service()
    loads, tunnels = [], []
    try:
        changes = Changes(service, routes, endpoints)
        base = {"version": 1, "workers": 2, "log": {"access": "off"}, "admin": {"address": f"127.0.0.1:{free_port()}"},
            "listeners": [{"name": "public", "address": f"127.0.0.1:{free_port()}"}], **UNHURRIED}
        gateway = start(changes.at(0, **base))
        admin, outcome = Admin(gateway), Outcome()
        address = "127.0.0.1", gateway.port
        loads = [Load(address, routes, i) for i in range(3)]
        for load in loads:
            load.start()
        tunnels = [Tunnel(address) for _ in range(3)]
        for turn in range(1, turns + 1):
            gateway.write(changes.at(turn, **base))
            outcome.reload(admin)
            if turn == settled_at:
                fill_window(admin, tunnels)
            outcome.memory.append(gateway.anonymous_bytes() // 1024)
            for tunnel in tunnels:
                tunnel.check(b"turn %d" % turn)
        for load in loads:
            load.end()
            outcome.failures += load.failures
            outcome.times += load.times
        return outcome
    finally:
        for load in loads:
            load.stopped.set()
        for tunnel in tunnels:
            tunnel.wire.close()
        service.close()
