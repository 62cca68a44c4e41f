"""How long it takes with 10,000 routes until a gateway that is started answers, and until one that reloads answers by its new
configuration."""

import contextlib
import random
import signal
import socket
import time

from gateway import eventually
from gateways import Gateway
from works import ALL, ROUTES

PATIENCE_S = 120

WHAT = {
    "start": "from the command to the first answer, with 10,000 routes",
    "reload": "from the signal to the first answer by the new configuration, with 10,000 routes",
}

# h2o reloads only below a program of its own that starts another one, which nothing here is about.
RELOAD = {"weir": signal.SIGHUP, "nginx": signal.SIGHUP, "haproxy": signal.SIGUSR2}


def starts(bench, name):
    names = bench.chosen(ALL)
    for _ in bench.rounds():
        for gateway in random.sample(names, len(names)):
            measure(bench, gateway)


def measure(bench, name):
    gateway = Gateway(name, bench.place(name, routes=ROUTES, generation=1), bench.gateway_cpu)
    try:
        bench.results.add("start", "ms", name, until(gateway, "1") - gateway.began_ms)
        if name in RELOAD:
            gateway.place.generation = 2
            gateway.write()
            # HAProxy's worker answers before its master hears signals.
            eventually(gateway.is_quiet)
            began_ms = time.monotonic() * 1000
            gateway.server.process.send_signal(RELOAD[name])
            bench.results.add("reload", "ms", name, until(gateway, "2") - began_ms)
    finally:
        gateway.stop()


def until(gateway, generation):
    """When a new connection was first answered with it, in ms."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if asked(gateway) == generation or gateway.name not in RELOAD:
                return time.monotonic() * 1000
        time.sleep(0.001)
    raise SystemExit(f"{gateway.name} did not come to its configuration within {PATIENCE_S} s")


def asked(gateway):
    """The content of /generation, by a connection of its own."""
    with socket.create_connection(("127.0.0.1", gateway.place.plain), PATIENCE_S) as sock:
        sock.sendall(b"GET /generation HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    if not answer.startswith(b"HTTP/1.1 200"):
        raise OSError("not yet")
    return answer.partition(b"\r\n\r\n")[2].decode()
