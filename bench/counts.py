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
PATIENCE_S = 120        # with valgrind, everything takes its time

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
    """Callgrind's counts of a whole run, from start to end, by all threads: a file."""
    # What Weir does by the clock is no request's, and everything is slow here.
    place = bench.place(name, weir={"shedding": "off"})
    file = place.directory.with_suffix(".callgrind")
    callgrind = [tool("valgrind"), "--tool=callgrind", f"--callgrind-out-file={file}"]
    gateway = Gateway(name, place, bench.gateway_cpu, callgrind, PATIENCE_S)
    try:
        ask(bench, gateway, 1, requests)
        end_by_itself(gateway)
    finally:
        gateway.stop()
    return file


def total(file):
    return int(re.search(r"^(?:summary|totals): (\d+)", file.read_text(), re.M)[1])


def end_by_itself(gateway):
    """Callgrind writes its counts when the program ends, and none when it is killed. nginx hears nothing of a signal that comes just before
    it begins to wait (epoll_wait has no mask, as epoll_pwait has): it then waits for what comes next, which here is nothing. So it is told
    when it waits already."""
    eventually(gateway.is_quiet, PATIENCE_S)
    if not gateway.stop(PATIENCE_S):
        raise SystemExit(f"{gateway.name} has not ended within {PATIENCE_S} s of being told: nothing was counted")


def instructions(bench, name):
    """The difference of two runs: starting and ending are in both."""
    for gateway in bench.chosen([*ALL, "relay-epoll"]):
        few, many = (total(counted(bench, gateway, requests)) for requests in (FEW, MANY))
        bench.results.add(name, "instructions in user space per request", gateway, (many - few) / (MANY - FEW))


def calls(bench, name):
    # Who is traced is slow, so its service seems to be, and Weir would learn a lower limit than is so: those who then wait for others look
    # at the connection that they are given, which is one receive more.
    unlimited = {"upstream": {"concurrency": "off"}}
    for one in bench.chosen([*ALL, *RELAYS]):
        gateway = Gateway(one, bench.place(one, weir=unlimited), bench.gateway_cpu)
        try:
            counts = traced(bench, gateway)
        finally:
            gateway.stop()
        bench.results.add(name, "system calls per request", one, sum(counts.values()) / CALLS)
        often = sorted(((count / CALLS, call) for call, count in counts.items() if count > CALLS / 100), reverse=True)
        bench.results.tell(name, one, ", ".join(f"{call} {count:.2f}" for count, call in often))


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
