"""What an idle kept-alive connection takes of user space."""

import random

from gateway import eventually
from gateways import Gateway
from processes import anonymous_bytes
from works import ALL, Load

CLIENTS, BEFORE = 10000, 16
ROUNDS_MAX = 3

WHAT = {"idle": f"{CLIENTS:,} idle kept-alive connections of HTTP/1.1"}


def idle(bench, name):
    """Each has had one answer, 16 at a time. The kernel's memory is not counted, nor what is reserved at the start for connections that
    there may be."""
    names = bench.chosen(ALL)
    for _ in range(min(bench.count, ROUNDS_MAX)):
        for gateway in random.sample(names, len(names)):
            bench.results.add(name, "bytes of user space each", gateway, bytes_each(bench, gateway))


def bytes_each(bench, name):
    """Of a gateway that has just been started."""
    gateway = Gateway(name, bench.place(name), bench.gateway_cpu)
    try:
        before, after = (resident(bench, gateway, clients) for clients in (BEFORE, CLIENTS))
    finally:
        gateway.stop()
    return (after - before) / CLIENTS


def resident(bench, gateway, clients):
    """With so many connections that are idle."""
    with Load(gateway, bench.load_cpu, "load_h1", "--clients", clients) as running:
        running.ready()
        eventually(gateway.is_quiet)
        return anonymous_bytes(gateway.pid)
