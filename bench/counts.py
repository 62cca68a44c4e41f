"""What a small request costs in things that are counted, and so are the same on every machine: instructions and system calls."""

import re
import signal
import subprocess

from gateway import Lines, eventually
from gateways import RELAYS, Gateway
from servers import tool
from works import ALL, Load

FEW, MANY = 1000, 3000
CALLS = 4000
STOP_S = 60             # with valgrind, everything takes its time

WHAT = {
    "instructions": "HTTP/1.1, one client, 128 bytes",
    "calls": "HTTP/1.1, 16 clients, 128 bytes",
}


def ask(bench, gateway, clients, requests):
    with Load(gateway, bench.load_cpu, "load_h1", "--clients", clients, "--requests", requests) as running:
        running.ready()
        running.begin()
        running.result()


def counted(bench, name, requests):
    """Instructions of a whole run, from start to end, by all threads."""
    # What Weir does by the clock is no request's, and everything is slow here.
    place = bench.place(name, weir={"shedding": "off"})
    file = place.directory.with_suffix(".callgrind")
    gateway = Gateway(name, place, bench.gateway_cpu, under=[tool("valgrind"), "--tool=callgrind", f"--callgrind-out-file={file}"])
    try:
        ask(bench, gateway, 1, requests)
    finally:
        gateway.stop(STOP_S)
    return int(re.search(r"^(?:summary|totals): (\d+)", file.read_text(), re.M)[1])


def instructions(bench, name):
    """The difference of two runs: starting and ending are in both."""
    for gateway in bench.chosen([*ALL, "relay-epoll"]):
        few, many = (counted(bench, gateway, requests) for requests in (FEW, MANY))
        bench.results.add(name, "instructions in user space per request", gateway, (many - few) / (MANY - FEW))


def calls(bench, name):
    for gateway in bench.chosen([*ALL, *RELAYS]):
        counts = traced(bench, bench.gateway(gateway))
        bench.results.add(name, "system calls per request", gateway, sum(counts.values()) / CALLS)
        often = sorted(((count / CALLS, call) for call, count in counts.items() if count > CALLS / 100), reverse=True)
        bench.results.tell(name, gateway, ", ".join(f"{call} {count:.2f}" for count, call in often))


def traced(bench, gateway):
    """How often each was called by all threads while the load ran."""
    summary = gateway.place.directory / "strace"
    with Load(gateway, bench.load_cpu, "load_h1", "--requests", CALLS) as running:
        running.ready()
        process = subprocess.Popen([tool("strace"), "-f", "-c", "-U", "calls,name", "-o", summary, "-p", str(gateway.pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        told = Lines(process.stderr)
        if not told.wait_for(lambda lines: any("attached" in line for line in lines)):
            raise SystemExit(told.text())
        running.begin()
        running.result()
        eventually(gateway.is_quiet)
        process.send_signal(signal.SIGINT)
        process.wait()
    rows = re.findall(r"^\s*(\d+)\s+(\w+)$", summary.read_text(), re.M)
    return {name: int(count) for count, name in rows if name != "total"}
