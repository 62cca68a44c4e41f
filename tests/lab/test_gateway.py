"""Bottlenecks in the gateway itself and in what the machine gives it."""

import itertools
import os
import signal
import threading
import time

import pytest

from clients import WARM, WINDOW
from network import NEEDS_ROOT
from raw import TIMEOUT
from stage import configuration

FILES = 200


def test_descriptors(stage):
    """It may have two hundred files; each request takes two of them for as long as this lasts, and they go on coming."""
    origin = stage.origin("--delay", "14s")
    gateway = stage.gateway(configuration(origin, upstream={"concurrency": "off"}), files=FILES)
    load = stage.load(gateway.port, rate=300, in_flight=600)
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "descriptors", gateway.open_files, turn=("raise",))
    assert load.rate("refused", "broken") > 100, "there was room"


@NEEDS_ROOT
def test_ephemeral_ports(stage):
    """There are 64 local ports for connections to the service, and it would take eighty."""
    network = stage.in_network(**{"net.ipv4.ip_local_port_range": "40000 40063"})
    origin = stage.origin("--delay", "200ms")
    listeners = configuration()["listeners"] + configuration()["listeners"]
    listeners[1]["name"] = "second"
    config = configuration(origin, upstream={"concurrency": "off"})
    gateway = stage.gateway({**config, "listeners": listeners})
    # They need ports as well, but to other addresses.
    loads = [stage.load(gateway.address(i)[1], rate=200, in_flight=60) for i in range(2)]
    for load in loads:
        load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "ephemeral_ports", lambda: network.ports_to(origin.port), upstream="backend")
    assert network.ports_to(origin.port) == 64, "there were ports"


@NEEDS_ROOT
def test_accept_queue(stage):
    """Sixteen connections may wait to be accepted; they come in crowds of 200, while the worker has no processor."""
    network = stage.in_network(**{"net.core.somaxconn": 16})
    cpu = max(os.sched_getaffinity(0))
    origin = stage.origin(cpu=cpu)
    gateway = stage.gateway(configuration(origin), cpu=cpu, under=("nice", "-n", "19"))
    load = stage.load(gateway.port, rate=400, burst=200, in_flight=2000, connection="close", cpu=cpu)
    load.wait_for_second(WARM)
    began, before = time.monotonic(), network.overflows()
    load.wait_for_second(WARM + WINDOW)
    truth = (network.overflows() - before) / (time.monotonic() - began)
    assert truth > 1, "it never was full"
    stage.judge(gateway, "accept_queue", truth)


def test_gateway_processor(stage):
    """One worker with a processor of its own, and as much as it can take; everybody else is on the other one."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        pytest.skip("it takes two processors: one for the gateway, one for the others")
    origin = stage.origin(cpu=processors[1])
    # Something to do for it alone: fields that come and go before the service sees them.
    names = [f"X-Name-{i}" for i in range(100)]
    editing = [{"headers": {"request": {"set": dict.fromkeys(names, "value")}}}, {"headers": {"request": {"remove": names}}}]
    gateway = stage.gateway(configuration(origin, upstream={"concurrency": "off"}, route={"filters": editing * 2}), cpu=processors[0])
    load = stage.load(gateway.port, clients=64, cpu=processors[1])
    load.wait_for_second(WARM)
    began, before = time.monotonic(), gateway.cpu_seconds()
    load.wait_for_second(WARM + WINDOW)
    truth = (gateway.cpu_seconds() - before) / (time.monotonic() - began)
    stage.judge(gateway, "gateway_processor", truth)


class Halts:
    """The process stands still now and then, as one does that waits for a disk, or whose machine is paused; then it goes on at once. It
    notes from when to when."""

    def __init__(self, pid, still_s, between_s):
        self.pid, self.still_s, self.between_s, self.over = pid, still_s, between_s, threading.Event()
        self.noted = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        # Never in step with what looks ten times a second.
        for i in itertools.count():
            if self.over.wait(self.between_s + 0.013 * (i % 8)):
                return
            os.kill(self.pid, signal.SIGSTOP)
            began = time.monotonic()
            self.over.wait(self.still_s)
            os.kill(self.pid, signal.SIGCONT)
            self.noted.append((began, time.monotonic()))

    def mean_wait(self, since):
        """Of what comes at a steady pace: whoever comes during a halt waits for its end, on average for half of it."""
        return sum((end - began) ** 2 / 2 for began, end in self.noted if began > since) / (time.monotonic() - since)

    def end(self):
        self.over.set()
        self.thread.join(TIMEOUT)


def test_loop_lag(stage):
    """It stands still for two fifths of the time, and hardly needs a processor."""
    origin = stage.origin()
    gateway = stage.gateway(configuration(origin))
    load = stage.load(gateway.port, rate=200, in_flight=200)
    load.wait_for_second(1)
    halts = stage.keep(Halts(gateway.pid, still_s=0.25, between_s=0.3))
    load.wait_for_second(WARM)
    began = time.monotonic()
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "loop_lag", lambda: halts.mean_wait(began), turn=("leave",))


def test_memory(stage):
    """Four hundred clients take nothing of their answers, and what the gateway has received of these is beyond its mark."""
    origin = stage.origin()
    gateway = stage.gateway(configuration(origin, shedding={"memory": "16MiB"}, upstream={"pool": {"max_connections": 1000},
        "concurrency": "off"}))
    stage.idlers(gateway.port, 400, "/?size=8MiB")
    load = stage.load(gateway.port, rate=100, in_flight=400)
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "memory", lambda: resident_bytes(gateway.pid), turn=("raise",))
    assert load.rate("refused") > 50, "there was memory"


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))
