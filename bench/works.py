"""The works that are measured by processor time: what is asked for, through which gateways.

One turn: a load (bench/turn.h says how it is led) on one gateway, whose processor time is read between the load's first and last
request. A round: a turn of each, in an order that is drawn anew.
"""

import contextlib
import dataclasses
import json
import random
import subprocess

from gateway import eventually
from gateways import PEERS, PROGRAMS, RELAYS, VARIANTS
from processes import pinned

ALL = ["weir", *PEERS, *VARIANTS]
# Beside the one for everything, and in some works one that tells which configuration is in force: 10,000 in all.
ROUTES = 9998
US = "us of processor time per request"


@dataclasses.dataclass
class Work:
    what: str
    load: tuple                     # the program, and its options
    gateways: list = dataclasses.field(default_factory=lambda: ALL)
    tls: bool = False
    routes: int = 0


WORKS = {
    "h1": Work("HTTP/1.1, 16 clients, 128 bytes", ("load_h1",), [*ALL, *RELAYS]),
    "64k": Work("HTTP/1.1, 16 clients, 64 KiB", ("load_h1", "--path", "/bytes/65536", "--length", 65536), [*ALL, *RELAYS]),
    "1m": Work("HTTP/1.1, 16 clients, 1 MiB", ("load_h1", "--path", "/bytes/1048576", "--length", 1048576), [*ALL, *RELAYS]),
    "upload": Work("HTTP/1.1, 16 clients, uploads of 1 MiB", ("load_h1", "--upload", 1048576), [*ALL, *RELAYS]),
    "h1-tls": Work("HTTP/1.1 over TLS 1.3, 16 clients, 128 bytes", ("load_h1", "--tls", "on"), tls=True),
    "h2-tls": Work("HTTP/2 over TLS 1.3, 16 connections with 16 streams, 128 bytes", ("load_h2",), tls=True),
    "close": Work("HTTP/1.1, 16 clients, a connection for each request, 128 bytes", ("load_h1", "--connection", "close"),
        [*ALL, *RELAYS]),
    "routes": Work("HTTP/1.1, 16 clients, 128 bytes, one of 10,000 routes each time",
        ("load_h1", "--path", "/r#####/x", "--paths", ROUTES), routes=ROUTES),
    "pipelined": Work("HTTP/1.1, 16 clients with 16 requests in one go, 128 bytes", ("load_h1", "--pipeline", 16), [*ALL, *RELAYS]),
}
WHAT = {name: work.what for name, work in WORKS.items()}


class Load:
    """A load that is led through a turn."""

    def __init__(self, gateway, cpu, program, *options, tls=False):
        self.gateway = gateway
        self.process = subprocess.Popen(pinned(cpu, [PROGRAMS / program, gateway.port(tls), *options]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.gateway.name} has spoilt the measurement (see above): {' '.join(map(str, self.process.args))}")
        return line

    def ready(self):
        self.read()

    def begin(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self):
        return json.loads(self.read())


def turn(bench, gateway, load, tls=False, cpu=None, meanwhile=contextlib.nullcontext()):
    """What the load tells, and what the gateway took, in ns. `meanwhile` is entered and left where that time is read."""
    with Load(gateway, cpu or bench.load_cpu, *load, tls=tls) as running:
        running.ready()
        eventually(gateway.is_quiet)
        with meanwhile:
            before = gateway.used_ns()
            running.begin()
            told = running.result()
            eventually(gateway.is_quiet)
            return told, gateway.used_ns() - before


def timed(bench, name):
    """Rounds of one of the works above."""
    work = WORKS[name]
    gateways = [bench.gateway(one, routes=work.routes) for one in bench.chosen(work.gateways)]
    for _ in bench.rounds():
        for gateway in random.sample(gateways, len(gateways)):
            told, used_ns = turn(bench, gateway, (*work.load, "--seconds", bench.seconds), work.tls)
            bench.results.add(name, US, gateway.name, used_ns / 1000 / told["answers"])
            bench.results.add_share(name, gateway.name, used_ns / 1e9 / told["seconds"])
