"""What becomes of a service when more is asked of it than it can do: behind Weir as it comes, nginx as it comes, HAProxy as it
comes, and HAProxy with the service's capacity written into its configuration by hand.

    ./dev bench overload [--check] [--case NAME]... [--server NAME]... [--seconds N]

The service is `weir origin` with a model of a backend that does 8 requests at once in 5 ms each, slows down in proportion
beyond, gets in its own way beyond 16, and resets what comes while 512 are in flight (docs/origin.md). What it can do is
measured directly, with 8 clients, before each case, and everything is told as a share of that.

Gateways have the first processor and one worker each, load and service the second, on which the service goes first: it is
not to be short of the processor because of those that ask. The load is one process of its own (bench/load.c). A closed loop
of clients is the kinder load: who waits asks nothing meanwhile. Who was refused comes again at once, whatever Retry-After
says. In the flood requests come whatever becomes of those before. Every case begins with a fresh gateway and a fresh
service, and its first seconds, in which a limit is found, are told apart.

With --check the exit status is 1 when Weir does not keep what is promised (docs/concurrency.md).
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from gateway import BINARY, free_port  # noqa: E402
from processes import end, pinned, two_processors  # noqa: E402
from servers import Server, tool  # noqa: E402

LOAD = pathlib.Path(os.environ.get("LOAD_BIN", ROOT / "build-sim" / "bench" / "load"))

CAPACITY, SERVICE_MS = 8, 5
WARM = 3                # seconds in which a limit may be found

# What a request may wait in Weir's queue by default; the reference is tested to tell the truth.
QUEUE_MS = int(re.search(r"^\| `target` .* `(\d+)ms` \|", (ROOT / "docs" / "configuration.md").read_text(), re.M)[1])

GOOD = 0.95             # of what the service can do directly
GOOD_AFTER = 0.90       # of what it can do then, 10 s after a change
SLOWER = 3              # times what an answer takes without load, beside the queue
FLOOD = 10              # times the capacity
FLOOD_CLIENTS = 8000    # connections that it may have
FLOOD_KIB = 4           # of memory for each of them, at most

CLOSED = {"8 clients": 8, "128 clients": 128, "1024 clients": 1024}

NGINX = """\
daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr crit; worker_processes 1;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  upstream origin {{ {servers} keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""

HAPROXY = """\
global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout queue 10s
frontend public
  bind 127.0.0.1:{port}
  default_backend origin
backend origin
{servers}
"""

WEIR = """\
version: 1
workers: 1
listeners: [{{name: public, address: "127.0.0.1:{port}"}}]
upstreams: [{{name: origin, endpoints: [{servers}]}}]
routes: [{{name: all, upstream: origin}}]
log: {{access: off, level: warning}}
"""


def nginx_servers(ports):
    return " ".join(f"server 127.0.0.1:{port};" for port in ports)


def haproxy_servers(more):
    return lambda ports: "".join(f"  server origin{port} 127.0.0.1:{port}{more}\n" for port in ports)


def weir_servers(ports):
    return ", ".join(f'{{address: "127.0.0.1:{port}"}}' for port in ports)


GATEWAYS = {
    "weir": (WEIR, weir_servers, lambda file: [BINARY, "run", "-c", file]),
    "nginx": (NGINX, nginx_servers, lambda file: [tool("nginx"), "-p", file.parent, "-c", file, "-e", "stderr"]),
    "haproxy": (HAPROXY, haproxy_servers(""), lambda file: [tool("haproxy"), "-db", "-f", file]),
    "haproxy-tuned": (HAPROXY, haproxy_servers(f" maxconn {CAPACITY}"), lambda file: [tool("haproxy"), "-db", "-f", file]),
}


class Bench:
    def __init__(self, directory, processors):
        self.directory = directory
        self.gateway_cpu, self.load_cpu = processors[:2]
        self.running = []

    def origin(self, *options):
        port = free_port()
        server = Server(pinned(self.load_cpu, [BINARY, "origin", "--listen", f"127.0.0.1:{port}", *options]), port)
        self.running.append(server)
        return server

    def limited_origin(self):
        return self.origin("--capacity", CAPACITY, "--service-time", f"{SERVICE_MS}ms", "--reset-above", "512")

    def gateway(self, name, ports):
        template, servers, command = GATEWAYS[name]
        directory = pathlib.Path(tempfile.mkdtemp(dir=self.directory))
        file, port = directory / "gateway.conf", free_port()
        file.write_text(template.format(directory=directory, port=port, servers=servers(ports)))
        server = Server(pinned(self.gateway_cpu, command(file)), port)
        self.running.append(server)
        return server

    def load(self, server, seconds, **options):
        """What it saw: a mapping for each second, and one for all."""
        return self.start_load(server, seconds, **options).result()

    def start_load(self, server, seconds, **options):
        arguments = [LOAD, server.port, "--seconds", seconds]
        for name, value in options.items():
            arguments += ["--" + name.replace("_", "-"), value]
        return Loading(pinned(self.load_cpu, ["nice", "-n", "10", *arguments]), seconds)

    def direct(self):
        """What the service can do in a second, and what its answers take in microseconds without load."""
        origin = self.limited_origin()
        alone = self.load(origin, 2, clients=1)[-1]["p50"]
        whole = self.load(origin, 4, clients=CAPACITY)
        self.end_all()
        return whole[-1]["good"] / 4, alone

    def end_all(self):
        said = ""
        for server in reversed(self.running):
            end(server.process)
            server.output.wait_for(lambda lines: False)
            said += server.output.text() + "\n"
        self.running = []
        return said


class Loading:
    """Load under way."""

    def __init__(self, arguments, seconds):
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.seconds = seconds

    def result(self):
        said, _ = self.process.communicate(timeout=self.seconds + 30)
        if self.process.returncode != 0:
            raise SystemExit("the load has failed")
        return [json.loads(line) for line in said.splitlines()]


def over(told, begin, until):
    """What was seen from one second to another: good a second, refused a second, and the worst second's p99."""
    seconds = [one for one in told[:-1] if begin < one["at"] <= until + 0.5]
    return {"good": sum(one["good"] for one in seconds) / max(1, len(seconds)),
            "refused": sum(one["refused"] for one in seconds) / max(1, len(seconds)),
            "failed": sum(one["bad"] + one["broken"] for one in seconds),
            "p50": sorted(one["p50"] for one in seconds)[len(seconds) // 2] if seconds else 0,
            "p99": sorted(one["p99"] for one in seconds)[len(seconds) // 2] if seconds else 0}


def set_capacity(origin, n):
    urllib.request.urlopen(urllib.request.Request(f"http://{origin.address}/capacity?n={n}", method="POST"), timeout=10).read()


def resident_kib(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def resets(said):
    """Of the origin's last words."""
    for line in said.splitlines():
        if "reset as too many" in line:
            return int(line.split(", ")[1].split()[0])
    return 0


# --- cases: what is measured, and which of it Weir does not keep -------------------------------------------------------------


def closed(bench, name, clients, seconds):
    capacity, alone = bench.direct()
    gateway = bench.gateway(name, [bench.limited_origin().port])
    seen = over(bench.load(gateway, seconds, clients=clients), WARM, seconds)
    lost = resets(bench.end_all())
    allowed = SLOWER * alone + QUEUE_MS * 1000
    kept = seen["good"] >= GOOD * capacity and seen["p99"] <= allowed and lost == 0 and seen["failed"] == 0
    return [f"{seen['good']:.0f}/s", f"{seen['good'] / capacity:.2f}", f"{seen['p50'] / 1000:.0f}/{seen['p99'] / 1000:.0f} ms",
            f"{seen['refused']:.0f}/s refused", f"{lost} resets", f"{seen['failed']} failed"], kept


def changed(bench, name, factor, seconds):
    """The capacity is another one from one moment to the next, under 128 clients."""
    before, after = max(WARM + 5, seconds), 10
    capacity, _ = bench.direct()
    origin = bench.limited_origin()
    gateway = bench.gateway(name, [origin.port])
    loading = bench.start_load(gateway, before + after + 5, clients=128)
    time.sleep(before)
    set_capacity(origin, int(CAPACITY * factor))
    told = loading.result()
    lost = resets(bench.end_all())
    seen, then = over(told, before + after, before + after + 5), over(told, WARM, before)
    share = seen["good"] / (capacity * factor)
    return [f"{then['good']:.0f}/s, then {seen['good']:.0f}/s", f"{share:.2f}", f"{lost} resets"], share >= GOOD_AFTER and lost == 0


def flood(bench, name, seconds):
    """Ten times what it can do, for a minute, and how soon all is well behind it."""
    seconds = max(seconds, 60)
    capacity, alone = bench.direct()
    gateway = bench.gateway(name, [bench.limited_origin().port])
    bench.load(gateway, WARM, clients=CAPACITY)
    before = resident_kib(gateway)
    most = [before]
    watch = threading.Event()

    def look():
        while not watch.wait(0.25):
            most.append(resident_kib(gateway))

    looking = threading.Thread(target=look)
    looking.start()
    told = bench.load(gateway, seconds, rate=FLOOD * capacity, in_flight=FLOOD_CLIENTS)
    behind = bench.load(gateway, 3, rate=capacity / 2, in_flight=200)
    watch.set()
    looking.join()
    lost = resets(bench.end_all())
    seen, after = over(told, WARM, seconds), over(behind, 1, 3)
    share = seen["good"] / capacity
    well = after["good"] >= 0.9 * capacity / 2 and after["refused"] == 0 and after["failed"] == 0
    bounded = max(most) - before <= FLOOD_CLIENTS * FLOOD_KIB
    return [f"{seen['good']:.0f}/s", f"{share:.2f}", f"{seen['p50'] / 1000:.0f}/{seen['p99'] / 1000:.0f} ms",
            f"{seen['refused']:.0f}/s refused, {told[-1]['unsent']} unsent, {seen['failed']} failed",
            f"{before // 1024} to {max(most) // 1024} MiB", f"then {after['good']:.0f}/s, p99 {after['p99'] / 1000:.0f} ms",
            f"{lost} resets"], (share >= GOOD and well and bounded and lost == 0 and
            seen["p99"] <= SLOWER * alone + QUEUE_MS * 1000)


TEN = 10
RATE = 2000


def one_of_ten(bench, name, trouble, seconds):
    """Ten endpoints, of which one is in trouble; under a load that they have no trouble with."""
    seconds = max(seconds, 12)
    well = [bench.origin("--delay", "5ms") for _ in range(TEN)]
    healthy = over(bench.load(bench.gateway(name, [one.port for one in well]), 5, rate=RATE), 1, 5)
    bench.end_all()
    ports = [bench.origin("--delay", "5ms").port for _ in range(TEN - 1)]
    options = {"slow": ["--delay", "100ms"], "failing": ["--delay", "5ms", "--fault", "error=50"],
        "silent": ["--fault", "hang=100"]}[trouble]
    ill = bench.origin(*options)
    told = bench.load(bench.gateway(name, [ill.port, *ports]), seconds, rate=RATE)
    said = bench.end_all()
    requests = sum(int(line.split(": ")[-1].split()[0]) for line in said.splitlines() if " requests on " in line)
    seen, whole = over(told, 5, seconds), told[-1]
    asked = sum(whole[what] for what in ("good", "refused", "bad", "broken")) + whole["unsent"]
    good, storm = whole["good"] / asked, requests / asked
    kept = seen["p99"] <= 2 * healthy["p99"] and good >= 0.98 and storm <= 1.2
    return [f"p99 {seen['p99'] / 1000:.1f} ms, healthy {healthy['p99'] / 1000:.1f}", f"{good:.4f} good",
            f"{storm:.2f} requests upstream for each"], kept


CASES = {
    **{what: lambda bench, name, seconds, n=n: closed(bench, name, n, seconds) for what, n in CLOSED.items()},
    "halved": lambda bench, name, seconds: changed(bench, name, 0.5, seconds),
    "doubled": lambda bench, name, seconds: changed(bench, name, 2, seconds),
    "flood": flood,
    "one slow": lambda bench, name, seconds: one_of_ten(bench, name, "slow", seconds),
    "one failing": lambda bench, name, seconds: one_of_ten(bench, name, "failing", seconds),
    "one silent": lambda bench, name, seconds: one_of_ten(bench, name, "silent", seconds),
}


def main():
    parser = argparse.ArgumentParser(prog="./dev bench overload", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail when Weir does not keep what is promised")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--case", action="append", choices=CASES, help="only these")
    parser.add_argument("--server", action="append", choices=GATEWAYS, help="only these")
    arguments = parser.parse_args()
    processors = two_processors()
    broken = []
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as scratch:
        bench = Bench(pathlib.Path(scratch), processors)
        try:
            for case in arguments.case or CASES:
                print(case, flush=True)
                for name in arguments.server or GATEWAYS:
                    row, kept = CASES[case](bench, name, arguments.seconds)
                    if name == "weir" and not kept:
                        broken.append(case)
                    print(f"  {name:14} " + "   ".join(row) + ("" if kept else "   (not kept)"), flush=True)
        finally:
            bench.end_all()
    if broken:
        print("Weir does not keep: " + ", ".join(broken))
    return 1 if broken and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
