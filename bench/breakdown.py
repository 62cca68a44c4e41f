"""Where a small request's time goes: in which system calls, beside a relay that makes the same ones, and in user space by function.

Time is sampled by perf while the load runs, and belongs to the system call that is under way: what the kernel's network does for it, to
the wake-up of whoever waits for the bytes, is in it. Instructions are counted by callgrind (counts.py), each where it is executed: what the
compiler has put into another function counts there.
"""

import collections
import os
import pathlib
import random
import re
import select
import shutil
import signal
import subprocess
import tempfile

from counts import FEW, MANY, counted
from gateway import BINARY, ROOT, Lines
from raw import TIMEOUT
from servers import command, tool
from works import US, turn

BESIDE = "relay-epoll"
PER_SECOND = 4000           # samples
USER, REST = "user space", "the rest of the kernel"

SYSTEM_CALL = re.compile(r"__\w+?_sys_(\w+)")
FUNCTION = re.compile(r"^\s*([\d,]+)\s*\(\s*[\d.]+%\)\s+\S*?:(.+?)(?:\s+\[(.*)\])?$", re.M)
MADE_OF = re.compile(r"\.(?:lto_priv|isra|constprop|part|cold)\b.*|'\d+$")
DEFINED = re.compile(r"^(?:__attribute__\(\([^)]*\)\)\s+)*[A-Za-z][\w \t*]*?[ *](\w+)\((?=[^;{]*\)\n\{)", re.M)

# What is less than this is told as a sum.
US_MIN, INSTRUCTIONS_MIN = 0.02, 30

WHAT = {"profile": "a small request (HTTP/1.1, 128 bytes) by system call, and by function"}


def profile(bench, name):
    bench.results.profile = {"unit": US, "time": times(bench), "instructions": functions(bench)}


# --- time by system call --------------------------------------------------------------------------------------------------------


def part_of(stack):
    """Of a sample's stack, the innermost address first: where its time belongs."""
    call = next((found[1] for frame in stack if (found := SYSTEM_CALL.search(frame))), None)
    if call:
        return call
    # Addresses of the kernel have their highest bit set.
    return REST if stack[0].split()[0] >= "8" and len(stack[0].split()[0]) == 16 else USER


def parts_of(script):
    """How many samples belong to each part. `script`: what perf tells of them."""
    stacks = [[line for line in sample.splitlines() if line.strip()] for sample in script.split("\n\n")]
    return collections.Counter(part_of(stack) for stack in stacks if stack)


class Sampler:
    """perf, which looks at the gateway while it is entered. It says when it has begun."""

    def __init__(self, gateway):
        directory = pathlib.Path(tempfile.mkdtemp(dir=gateway.place.directory))
        self.file = directory / "samples"
        control, ack = directory / "control", directory / "ack"
        os.mkfifo(control)
        os.mkfifo(ack)
        self.process = subprocess.Popen([tool("perf"), "record", "-e", "cpu-clock", "-F", str(PER_SECOND), "-g", "-o", self.file, "-D", "-1",
            f"--control=fifo:{control},{ack}", "-p", str(gateway.pid)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.said = Lines(self.process.stderr)
        # For both directions, so that nothing here waits for perf to open them.
        self.control, self.ack = (os.open(path, os.O_RDWR) for path in (control, ack))

    def __enter__(self):
        os.write(self.control, b"enable\n")
        if not select.select([self.ack], [], [], TIMEOUT)[0]:
            self.__exit__()
            raise SystemExit(f"perf has not begun: {self.said.text()}")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        os.close(self.control)
        os.close(self.ack)

    def parts(self):
        return parts_of(command("perf", "script", "-i", self.file, "-F", "ip,sym"))


def sampled(bench, gateway):
    """Samples of a turn by part, and microseconds and requests that the turn took."""
    sampler = Sampler(gateway)
    told, used_ns = turn(bench, gateway, ("load_h1", "--seconds", bench.seconds), meanwhile=sampler)
    return sampler.parts(), used_ns / 1000, told["answers"]


def times(bench):
    """For each gateway: microseconds per request of each part. None: perf is not here, or not allowed to look at the kernel."""
    if shutil.which("perf") is None:
        bench.results.note("profile: no perf here (apt-get install linux-perf), so no time by system call")
        return None
    gateways = [bench.gateway(name) for name in bench.chosen(["weir", BESIDE])]
    samples = {gateway: collections.Counter() for gateway in gateways}
    took = {gateway: [0, 0] for gateway in gateways}
    for _ in bench.rounds():
        for gateway in random.sample(gateways, len(gateways)):
            parts, us, requests = sampled(bench, gateway)
            samples[gateway] += parts
            took[gateway][0] += us
            took[gateway][1] += requests
    if any(set(parts) <= {USER, REST} for parts in samples.values()):
        bench.results.note("profile: perf may not look at the kernel here, so no time by system call")
        return None
    return {gateway.name: {part: count / parts.total() * took[gateway][0] / took[gateway][1] for part, count in parts.most_common()}
        for gateway, parts in samples.items()}


# --- instructions by function --------------------------------------------------------------------------------------------------------


def places():
    """Where each function of the program is defined."""
    return {name: str(file.relative_to(ROOT)) for file in sorted((ROOT / "src").rglob("*.[ch]")) for name in DEFINED.findall(file.read_text())}


def functions_of(annotated, where):
    """Instructions by (function, where it stands), from what callgrind_annotate tells."""
    told = collections.Counter()
    for count, name, at in FUNCTION.findall(annotated):
        name = MADE_OF.sub("", name)
        # Without debugging information it knows the program or library only.
        of = pathlib.Path(at).name or BINARY.name
        told[name, where.get(name, of) if of == BINARY.name else of] += int(count.replace(",", ""))
    return told


def functions(bench):
    """Of a request, by function: the difference of two runs."""
    where = places()
    few, many = (functions_of(command("callgrind_annotate", "--threshold=100", counted(bench, "weir", requests)), where)
        for requests in (FEW, MANY))
    each = {key: (many[key] - few[key]) / (MANY - FEW) for key in many}
    return [{"function": name, "where": of, "instructions": count} for (name, of), count in sorted(each.items(), key=lambda one: -one[1])
        if count >= 0.5]


# --- tables, as Markdown has them ----------------------------------------------------------------------------------------------------


def table(head, rows):
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] + ["---:"] * (len(head) - 1), *rows)]


def same_waits(parts):
    """Waiting goes by several names."""
    told = collections.Counter()
    for part, us in parts.items():
        told["epoll_wait" if part.startswith("epoll_p") else part] += us
    return told


def time_lines(profile):
    times = {name: same_waits(parts) for name, parts in profile["time"].items()}
    names = [name for name in ("weir", BESIDE) if name in times]
    parts = [part for part, _ in times["weir"].most_common()]
    often = [part for part in parts if any(times[name][part] >= US_MIN for name in names)]
    rows = [[part, *(times[name][part] for name in names)] for part in often]
    rows.append(["others", *(sum(us for part, us in times[name].items() if part not in often) for name in names)])
    rows.append(["**all of it**", *(times[name].total() for name in names)])
    more = ["more in weir"] if len(names) > 1 else []
    return table([profile["unit"], *names, *more],
        [[part, *(f"{us:.2f}" for us in of), *(f"{of[0] - of[1]:+.2f}" for _ in more)] for part, *of in rows])


def room_of(where):
    return "/".join(where.split("/")[:2]) if where.startswith("src/") else where


def function_lines(instructions):
    rooms = collections.Counter()
    for one in instructions:
        rooms[room_of(one["where"])] += one["instructions"]
    whole = rooms.total()
    often = [one for one in instructions if one["instructions"] >= INSTRUCTIONS_MIN]
    rest = whole - sum(one["instructions"] for one in often)
    return [
        *table(["Room", "Instructions", "Share"], [[f"`{room}`", f"{count:.0f}", f"{count / whole:.1%}"] for room, count in rooms.most_common()]),
        "",
        *table(["Function", "Instructions", "Where it stands"], [
            *([f"`{one['function']}`", f"{one['instructions']:.0f}", f"`{one['where']}`"] for one in often),
            [f"others, each less than {INSTRUCTIONS_MIN}", f"{rest:.0f}", ""], ["**all of them**", f"{whole:.0f}", ""]]),
    ]


def lines(profile):
    return [*(time_lines(profile) if profile["time"] else []), "", *function_lines(profile["instructions"])]
