"""What it costs to know what goes on: processor time per small request with everything that tells of it switched on, beside off.

    ./dev bench everything [--check] [--rounds N] [--format json|text] [--beside BINARY]

On: the access log into a file, the administration with a scrape of /metrics each second, and traces, 1 % of them sent to a collector. Off:
none of these. The split of time by phases has no switch, so it is in both; --beside names another build of the program, one from
before there was such a thing, that is measured with everything off as well.

All are the same program with one worker on the first processor, with all its threads: the one that writes the log costs, too. Load
(bench/load.c: 16 clients that ask again as soon as they were answered, 128 bytes a time), service, collector and whoever scrapes have the
second one. What counts is the time that the gateway has spent on its processor, by the kernel's own books (schedstat), divided by
requests; what it does until its next turn (the last lines and spans are written then) is in it, too. Rounds are many and short, each in
an order that is drawn anew, so that whatever else goes on here is on all sides; the ratio is the median of those within a round, and the
quartiles say how far they are apart.

A request that is refused makes the round count for nothing, and it is made again: on a machine without processor time to spare the loop
is late, and new requests are refused (`shedding.loop_lag`, by default on, as it is for users). With --check the exit status is 1 when
everything on takes more than 8 % more than everything off.
"""

import argparse
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from gateway import BINARY, free_port  # noqa: E402
from processes import end, pinned, thread_ns, two_processors  # noqa: E402
from servers import Server  # noqa: E402

LOAD = pathlib.Path(os.environ.get("LOAD_BIN", ROOT / "build-sim" / "bench" / "load"))

RATIO_MAX = 1.08
CLIENTS = 16
SECONDS = 1
SCRAPE_S = 1.0
SPOILT_MAX = 10


class Variant:
    """One gateway, which stays; its turn is when the load is on it."""

    def __init__(self, name, binary, directory, cpu, origin, **more):
        self.name, self.port, self.rows = name, free_port(), []
        config = {
            "version": 1,
            "workers": 1,
            "listeners": [{"name": "public", "address": f"127.0.0.1:{self.port}"}],
            "upstreams": [{"name": "origin", "endpoints": [{"address": f"127.0.0.1:{origin}"}]}],
            "routes": [{"name": "all", "match": {"path": "/*"}, "upstream": "origin"}],
            "admin": "off",
            "log": {"access": "off"},
            **more,
        }
        config["upstreams"] += config.pop("more_upstreams", [])
        self.admin = config["admin"]["address"] if config["admin"] != "off" else None
        file = directory / f"{name.replace(' ', '-')}.yaml"
        file.write_text(json.dumps(config))
        self.server = Server(pinned(cpu, [binary, "run", "-c", file]), self.port)
        self.booked_ns = thread_ns(self.server.process.pid)

    def scrape(self):
        with urllib.request.urlopen(f"http://{self.admin}/metrics") as answer:
            return len(answer.read())

    def exported(self):
        with urllib.request.urlopen(f"http://{self.admin}/metrics") as answer:
            return int(re.search(r"^weir_trace_spans_exported_total (\d+)", answer.read().decode(), re.M)[1])

    def turn(self, cpu, seconds):
        """Microseconds of processor time per request. None, when not all were answered well: then why is printed."""
        ended = threading.Event()

        def scrapes():
            pause = SCRAPE_S / 2
            while not ended.wait(pause):
                self.scrape()
                pause = SCRAPE_S

        scraping = threading.Thread(target=scrapes if self.admin else ended.wait)
        scraping.start()
        try:
            load = subprocess.run(pinned(cpu, [LOAD, self.port, "--clients", CLIENTS, "--seconds", seconds]), check=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        finally:
            ended.set()
            scraping.join()
        booked_ns, self.booked_ns = self.booked_ns, thread_ns(self.server.process.pid)
        whole = json.loads(load.stdout.splitlines()[-1])
        if whole["bad"] == whole["broken"] == whole["refused"] == 0:
            return (self.booked_ns - booked_ns) / 1000 / whole["good"]
        print(f"{self.name}: {whole}: {load.stderr.strip()}", flush=True)
        return None


def start_origin(cpu):
    port = free_port()
    return Server(pinned(cpu, [BINARY, "origin", "--listen", f"127.0.0.1:{port}", "--size", "128"]), port), port


def everything(directory, log_format, collector):
    """The settings of all that can be switched on."""
    return {
        "more_upstreams": [{"name": "collector", "endpoints": [{"address": f"127.0.0.1:{collector}"}]}],
        "tracing": {"upstream": "collector", "sample": "1%"},
        "admin": {"address": f"127.0.0.1:{free_port()}"},
        "log": {"access": {"format": log_format, "path": str(directory / "access.log")}},
    }


def take_round(variants, cpu, seconds):
    """False: it is spoilt."""
    took = {variant: variant.turn(cpu, seconds) for variant in random.sample(variants, len(variants))}
    if None in took.values():
        return False
    for variant in variants:
        variant.rows.append(took[variant])
    return True


def measure(variants, cpu, rounds, seconds):
    spoilt = 0
    while len(variants[0].rows) <= rounds and spoilt <= SPOILT_MAX:
        if not take_round(variants, cpu, seconds):
            spoilt += 1
            continue
        print("  ".join(f"{variant.name} {variant.rows[-1]:6.2f} us" for variant in variants), flush=True)
    if spoilt > SPOILT_MAX:
        raise SystemExit(f"requests were not answered in {spoilt} rounds (see above): this machine has no time to measure anything")
    # In the first one everything is done for the first time.
    for variant in variants:
        del variant.rows[0]


def ratio(variant, off):
    """Its quartiles: the median is the middle one."""
    return statistics.quantiles((row / of_off for row, of_off in zip(variant.rows, off.rows)), n=4)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench everything", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help=f"fail when the ratio is above {RATIO_MAX}")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a turn")
    parser.add_argument("--format", choices=("json", "text"), default="json", help="of the access log")
    parser.add_argument("--beside", type=pathlib.Path, metavar="BINARY", help="another build, with everything off")
    arguments = parser.parse_args()
    processors = two_processors()
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as scratch:
        directory, servers = pathlib.Path(scratch), []
        try:
            # The collector takes all that is posted to it, as the service does.
            (origin, port), (collector, collector_port) = start_origin(processors[1]), start_origin(processors[1])
            servers += [origin, collector]
            variants = [Variant("off", BINARY, directory, processors[0], port),
                Variant("on", BINARY, directory, processors[0], port, **everything(directory, arguments.format, collector_port))]
            if arguments.beside:
                variants.append(Variant("beside", arguments.beside, directory, processors[0], port))
            servers += [variant.server for variant in variants]
            measure(variants, processors[1], arguments.rounds, arguments.seconds)
            assert variants[1].exported() > 0, "no span has come to the collector"
        finally:
            for server in servers:
                end(server.process)
    for variant in variants:
        low, median, high = ratio(variant, variants[0])
        print(f"{variant.name:8} {statistics.median(variant.rows):6.2f} us a request, {median:.3f} of off (quartiles {low:.3f} to {high:.3f})")
    median = ratio(variants[1], variants[0])[1]
    if arguments.check and median > RATIO_MAX:
        raise SystemExit(f"everything on takes {median:.3f} times what off takes; {RATIO_MAX} is the most")


if __name__ == "__main__":
    main()
