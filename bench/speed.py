"""How fast Weir is: beside nginx, HAProxy and h2o, and beside relays that do nothing but relay, which is the limit.

    ./dev bench [NAME]... [--rounds N] [--seconds S] [--peers NAME,...] [--json FILE] [--svg FILE] [--check]

What counts is what a gateway takes of its processor, by the kernel's own books, for a request: the gateway has the first processor
for itself, load and service have the second. docs/PERFORMANCE.md says how each work is measured and what the columns mean.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from certificates import Authority  # noqa: E402
from gateway import free_port, merged  # noqa: E402
from breakdown import profile  # noqa: E402
from counts import calls, instructions  # noqa: E402
from goals import verdicts  # noqa: E402
from gateways import PATIENT, PEERS, PROGRAMS, RELAYS, VARIANTS, Gateway, Place, runs_here  # noqa: E402
from idle import idle  # noqa: E402
from latency import latency  # noqa: E402
from plot import svg  # noqa: E402
from processes import end, pinned, raise_limit, two_processors  # noqa: E402
from report import as_json, panels, table, title  # noqa: E402
from results import Results  # noqa: E402
from servers import Server  # noqa: E402
from starts import starts  # noqa: E402
from workers import workers  # noqa: E402
from works import WORKS, timed  # noqa: E402

FILES = 40000               # descriptors: HAProxy wants two for each connection that it may have
SECONDS_MAX = 90            # of one work: then no other round begins

MEASURES = {**{name: timed for name in WORKS}, "idle": idle, "latency": latency, "starts": starts, "instructions": instructions,
    "calls": calls, "workers": workers, "profile": profile}


class Bench:
    """Who runs where, and what was measured."""

    def __init__(self, directory, arguments):
        self.directory = directory
        self.count, self.seconds = arguments.rounds, arguments.seconds
        self.weir = PATIENT if arguments.patient else {}
        self.peers = [name for name in arguments.peers if runs_here(name)]
        self.gateway_cpu, self.load_cpu = two_processors()
        self.results = Results()
        self.certificate = Authority(directory / "ca").issue("bench", "bench.example", key="ec")
        self.origin = Server(pinned(self.load_cpu, [PROGRAMS / "origin", port := free_port()]), port)
        self.running = {}

    def chosen(self, names):
        return [name for name in names if name == "weir" or name in self.peers]

    def place(self, name, weir=None, **settings):
        directory = self.directory / f"{name}-{len(list(self.directory.iterdir()))}"
        return Place(directory, self.origin.port, self.certificate, weir=merged(self.weir, weir), **settings)

    def gateway(self, name, cpu=None, **settings):
        """It stays until the end, so that its next turn finds it warm."""
        key = (name, cpu, *sorted(item for item in settings.items() if item[1]))
        if key not in self.running:
            self.running[key] = Gateway(name, self.place(name, **settings), cpu or self.gateway_cpu)
        return self.running[key]

    def end_special(self):
        """Those with settings of their own, which the next work has no use for: the processor is for who is measured."""
        for key in [key for key in self.running if len(key) > 2 or key[1]]:
            self.running.pop(key).stop()

    def rounds(self):
        """The first, in which everything is done for the first time, does not count."""
        until = time.monotonic() + SECONDS_MAX
        self.results, kept = Results(), self.results
        began = time.monotonic()
        yield 0
        took = time.monotonic() - began
        self.results = kept
        for number in range(1, self.count + 1):
            if number > 1 and time.monotonic() + took > until:
                break
            yield number

    def end(self):
        for gateway in self.running.values():
            gateway.stop()
        end(self.origin.process)


def read_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these works: " + ", ".join(MEASURES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1, help="of a turn")
    parser.add_argument("--peers", type=lambda text: text.split(","), default=[*PEERS, *RELAYS], 
        help="beside which: " + ", ".join([*PEERS, *RELAYS, *VARIANTS]))
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--svg", type=pathlib.Path, metavar="FILE", help="bars")
    parser.add_argument("--check", action="store_true", help="fail when a goal is missed (bench/goals.py)")
    parser.add_argument("--patient", action="store_true", help="for tests: Weir refuses nobody for having waited, as on a busy machine it would")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in MEASURES:
            parser.error(f"no work '{name}'; there are {', '.join(MEASURES)}")
    return arguments


def measure(arguments, directory):
    bench = Bench(directory, arguments)
    try:
        for name in arguments.names or MEASURES:
            print(f"{name} ...", file=sys.stderr, flush=True)
            MEASURES[name](bench, name)
            bench.end_special()
    finally:
        bench.end()
    return bench


def main():
    arguments = read_arguments()
    raise_limit(FILES)
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as scratch:
        bench = measure(arguments, pathlib.Path(scratch))
    judged = verdicts(bench.results)
    print(table(bench.results))
    print("\n" + "\n".join(verdict.text() for verdict in judged))
    settings = {"rounds": arguments.rounds, "seconds": arguments.seconds, "patient": arguments.patient}
    told = as_json(bench.results, judged, settings)
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1) + "\n")
    if arguments.svg:
        arguments.svg.write_text(svg(panels(bench.results), title([told])))
    return 1 if arguments.check and any(verdict.met is False for verdict in judged) else 0


if __name__ == "__main__":
    sys.exit(main())
