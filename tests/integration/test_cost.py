"""What a small request costs on kept-alive connections: system calls, and instructions in user space.

Both are counted, not timed, so they are the same on every machine that runs the same binary. The instructions are those
of the program as users run it, optimised over its files and trained (bench/train.py): another build has others, and is not held to
them. Training is never quite the same twice, so there is room for a fiftieth.
"""

import itertools
import json
import re
import signal
import subprocess
import threading
import time

import pytest

from collector import telling
from gateway import BINARY, ROOT, Lines, configuration, eventually, merged, sanitizer
from h2wire import h2_connect
from raw import TIMEOUT, get
from servers import command, tool

pytestmark = pytest.mark.skipif(sanitizer() is not None, reason="what a sanitizer adds is not the program's cost")

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n" + b"x" * 128

INSTRUCTIONS_MAX = 2890

# When requests have come together: 16 clients, whose requests stand in the sockets before the first answer is read.
BATCH = 16
BATCH_INSTRUCTIONS_MAX = 2870

# A turn of the loop beside what it is told of, with its one system call. How many of a batch have a turn in common is chance, and more
# than what is measured where two ways of serving are compared.
TURN_INSTRUCTIONS = 43

# Lines of the cache that one touches. Those of the code are laid out by training, and so there is room for a tenth.
CODE_LINES_MAX = 265
DATA_LINES_MAX = 125

# The same with all that is told of it: most of it is the line of JSON, on the log's thread.
TELLING_INSTRUCTIONS_MAX = 1870

# Tracing, of a request that is not sampled.
TRACING_INSTRUCTIONS_MAX = 305

# What learns a limit, of a request: at least, and at most.
LEARNING_INSTRUCTIONS = (15, 19)

# By HTTP/2, as many streams on one connection at once.
H2_INSTRUCTIONS_MAX = 18800


def is_release():
    """As its build directory says: optimised, over the files too, trained, without the assertions. False if nothing says so."""
    try:
        told = json.loads((BINARY.parent / "meson-info" / "intro-buildoptions.json").read_text())
    except OSError:
        return False
    options = {option["name"]: option["value"] for option in told}
    return (options["buildtype"], options["b_lto"], options["b_ndebug"], options["b_pgo"]) == ("release", True, "if-release", "use")


release_only = pytest.mark.skipif(not is_release(), reason="the limit is that of the release build: ./dev build")


def serve_fixed(wire, _):
    """Answers without looking: an origin that costs nothing."""
    wire.sock.settimeout(None)
    while data := wire.sock.recv(65536):
        assert data.endswith(b"\r\n\r\n")
        wire.sock.sendall(ANSWER)


def collect_fixed(wire, _):
    """The same of spans: whatever comes is good."""
    wire.sock.settimeout(None)
    while wire.unread or wire.more():
        wire.read_request()
        wire.sock.sendall(ANSWER)


class Together:
    """The same, of so many requests at once: each is answered when all have come."""

    def __init__(self, count):
        self.count, self.asking, self.lock = count, [], threading.Lock()

    def __call__(self, wire, _):
        wire.sock.settimeout(None)
        while wire.sock.recv(65536):
            with self.lock:
                self.asking.append(wire)
                if len(self.asking) == self.count:
                    for one in self.asking:
                        one.sock.sendall(ANSWER)
                    self.asking.clear()


def quieted(origin):
    """One worker that logs nothing, tells nobody, and does nothing by the clock."""
    return configuration(origin, log={"access": "off"}, admin="off", shedding="off")


@pytest.fixture
def quiet(origin):
    return quieted(origin.serve(serve_fixed))


class Load:
    """Requests on some connections: a request on each, then the answers, and so on."""

    def __init__(self, gateway, connections=1, length=128):
        self.plain = get("/", host=f"127.0.0.1:{gateway.port}")
        self.requests = itertools.repeat(self.plain)
        self.wires = [gateway.connect() for _ in range(connections)]
        for wire in self.wires:
            wire.send(self.plain)
        for wire in self.wires:
            answer = wire.read_response()
            assert (answer.status, len(answer.body)) == (200, length)
        self.length = len(answer.head) + len(answer.body)

    def send(self, n):
        """So many in all."""
        for _ in range(n // len(self.wires)):
            for wire in self.wires:
                wire.sock.sendall(next(self.requests))
            for wire in self.wires:
                left = self.length
                while left > 0:
                    left -= len(wire.sock.recv(left))


class Sampled(Load):
    """Of every hundred one whose client has it traced: as many as `sample: 1%` picks, and never by chance more."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        traced = get("/", fields=["traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"])
        self.requests = itertools.cycle([self.plain] * 99 + [traced])


class Streams:
    """The same on one HTTP/2 connection: so many requests at once, then their answers."""

    def __init__(self, gateway, streams):
        self.streams = streams
        self.wire = h2_connect(gateway, keep=False)
        self.send(2 * streams)

    def send(self, n):
        wire = self.wire
        for _ in range(n // self.streams):
            opened = [wire.open() for _ in range(self.streams)]
            wire.send(*(frame for _, frame in opened))
            for stream, _ in opened:
                answer = wire.answer(stream)
                assert (answer.status, answer.bytes) == (200, 128)
                del wire.answers[stream]


# --- system calls ----------------------------------------------------------------------------------------------------


KINDS = {"receives": ("recvfrom", "recvmsg", "read", "readv"), "sends": ("sendto", "sendmsg", "write", "writev"),
    "waits": ("epoll_wait", "epoll_pwait", "epoll_pwait2")}

# Threads that were waiting when they were looked at go on waiting.
OF_BEING_LOOKED_AT = ("restart_syscall", "rt_sigtimedwait", "poll", "ppoll", "rt_sigreturn")

# So much later than it wants to a loop waits for what comes, and so it comes together.
LATER_US = 20_000


def system_calls(gateway, load, directory, more=()):
    """How often each was called while the load ran. `more`: options of strace."""
    summary = directory / "strace"
    process = subprocess.Popen([tool("strace"), "-f", "-c", "-U", "calls,name", "-o", summary, *more, "-p", str(gateway.pid)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    told = Lines(process.stderr)
    assert told.wait_for(lambda lines: any("attached" in line for line in lines)), told.text()
    load()
    # The last call is counted when its thread has gone on to wait, not when its bytes have arrived.
    eventually(gateway.is_at_rest)
    process.send_signal(signal.SIGINT)
    process.wait(TIMEOUT)
    rows = re.findall(r"^\s*(\d+)\s+(\w+)$", summary.read_text(), re.M)
    return {name: int(calls) for calls, name in rows if name != "total"}


def calls_by_kind(*arguments, **options):
    """The same, with those of a kind as one; every other call has its own name."""
    calls = system_calls(*arguments, **options)
    for name in OF_BEING_LOOKED_AT:
        calls.pop(name, None)
    kinds = {kind: sum(calls.pop(name, 0) for name in names) for kind, names in KINDS.items()}
    return {**kinds, **calls}


def test_system_calls(start, quiet, tmp_path):
    """Two receives, two sends, and the waiting in between; nothing that allocates, locks or registers."""
    gateway = start(quiet)
    load = Load(gateway)
    load.send(100)
    began = time.monotonic()
    calls = calls_by_kind(gateway, lambda: load.send(1000), tmp_path)
    # Timers are waited for, too.
    assert calls.pop("waits") <= 2000 + 20 * (time.monotonic() - began) + 10
    assert calls == {"receives": 2000, "sends": 2000}


def test_system_calls_of_requests_that_come_together(start, origin, tmp_path):
    """The same, and a share of the waiting: one for all requests that have come, and one for their answers."""
    config = quieted(origin.serve(Together(BATCH)))
    config["upstreams"][0]["concurrency"] = "off"     # a service that seems slow would be given fewer at a time
    gateway = start(config)
    load, rounds = Load(gateway, BATCH), 20
    later = ["-e", f"inject={','.join(KINDS['waits'])}:delay_enter={LATER_US}"]
    # Once before: only when all are under way at a time there is a connection to the service for each.
    for _ in range(2):
        calls = calls_by_kind(gateway, lambda: load.send(rounds * BATCH), tmp_path, more=later)
    # Where all come in time it is an eighth.
    assert calls.pop("waits") < rounds * BATCH / 4
    assert calls == {"receives": 2 * rounds * BATCH, "sends": 2 * rounds * BATCH}


def serve_large(wire, _):
    """The same, with 64 KiB."""
    wire.sock.settimeout(None)
    while wire.sock.recv(65536):
        wire.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + b"x" * 65536)


@pytest.mark.parametrize("connections", [1, 4], ids=["alone", "waiting"])
def test_system_calls_of_large_answers(start, origin, tmp_path, connections):
    """Through a pipe, in and out. Whether anything stands behind the answer is asked once, whether the connection rests then or goes to
    who waits for it."""
    config = quieted(origin.serve(serve_large))
    config["upstreams"][0]["pool"] = {"max_connections": 1}
    gateway = start(config)
    load, n = Load(gateway, connections, 65536), 400
    calls = calls_by_kind(gateway, lambda: load.send(n), tmp_path)
    # The end of an answer may come later than the rest of it.
    assert calls["splice"] >= 2 * n
    assert 3 * n <= calls["receives"] <= 3.2 * n
    assert 2 * n <= calls["sends"] <= 2.2 * n


def ask_on_connections_of_their_own(gateway, n):
    """One after another; the gateway ends each."""
    for _ in range(n):
        client = gateway.connect(translated=False).send(get(fields=["Connection: close"]))
        assert client.read_to_end().endswith(b"x" * 128)
        client.close()


def test_system_calls_of_a_connection(start, quiet, tmp_path):
    """Beside those of its request: it is accepted, watched, asked for what may stand behind its request, and closed. Whoever comes is
    there: only now and then it is tried whether there are more."""
    gateway = start(quiet)
    ask_on_connections_of_their_own(gateway, 20)
    gateway.rest()
    before, began = gateway.open_files(), time.monotonic()

    def load():
        ask_on_connections_of_their_own(gateway, 400)
        eventually(lambda: gateway.open_files() <= before)

    calls = calls_by_kind(gateway, load, tmp_path)
    assert calls.pop("waits") <= 4 * 400 + 20 * (time.monotonic() - began) + 10
    assert calls.pop("accept4") <= 400 + 400 / 8 + 1
    assert calls == {"receives": 3 * 400, "sends": 2 * 400, "epoll_ctl": 400, "close": 400}


def test_what_looking_at_itself_costs(start, quiet, tmp_path):
    """With the marks of `shedding`, as by default: a handful of calls each 100 ms, and none for a request."""
    gateway = start(merged(quiet, {"shedding": {"loop_lag": "10s"}}))
    load = Load(gateway)
    load.send(100)
    began = time.monotonic()
    calls = system_calls(gateway, lambda: load.send(1000), tmp_path)
    looks = 10 * (time.monotonic() - began) + 2
    assert calls.pop("recvfrom") == calls.pop("sendto") == 2000
    for name in ("openat", "read", "close", "getsockopt", "write"):
        assert calls.pop(name, 0) <= looks


def test_a_first_request_reads_no_file(start, origin, tmp_path):
    """Whatever the program needs of the disk it has read before it serves: a loop waits for no disk. (What the kernel tells in /proc, for
    `shedding`, is on none.)"""
    origin.serve()
    gateway = start(configuration(origin, shedding="off"))
    calls = system_calls(gateway, lambda: gateway.connect().ask(get()), tmp_path)
    assert calls["recvfrom"] >= 2
    assert not {"open", "openat", "stat", "newfstatat", "statx"} & set(calls)


# --- instructions ----------------------------------------------------------------------------------------------------


def counted_run(start, config, counted, requests, connections, load=Load):
    """Of a whole run, from start to end: instructions, and system calls."""
    gateway = start(config, under=[tool("valgrind"), "--tool=callgrind", "--collect-systime=yes", f"--callgrind-out-file={counted}"])
    load(gateway, connections).send(requests)
    gateway.stop()
    return [int(n) for n in re.search(r"^(?:summary|totals): (\d+) (\d+)", counted.read_text(), re.M).groups()]


def instructions(*arguments):
    return counted_run(*arguments)[0]


def apart_from_turns(start, config, directory, few, many, load=Load):
    """Instructions that a request of a batch takes, but for the turns of the loop: to be compared with what others take."""
    directory.mkdir()
    (few_cost, few_calls), (many_cost, many_calls) = (
        counted_run(start, config, directory / str(n), n, BATCH, load) for n in (few, many))
    return (many_cost - few_cost - TURN_INSTRUCTIONS * (many_calls - few_calls)) / (many - few)


@release_only
@pytest.mark.parametrize("connections, most", [(1, INSTRUCTIONS_MAX), (BATCH, BATCH_INSTRUCTIONS_MAX)],
    ids=["alone", "batch"])
def test_instructions(start, quiet, tmp_path, connections, most):
    """The difference of two runs: starting and ending are in both."""
    few, many = 2000, 6000
    # This origin serves one at a time: with a limit learned most of a batch would wait, and it is not waiting that is counted.
    if connections > 1:
        quiet["upstreams"][0]["concurrency"] = "off"
    few_cost, many_cost = (instructions(start, quiet, tmp_path / str(n), n, connections) for n in (few, many))
    cost = (many_cost - few_cost) / (many - few)
    print(f"{cost:.0f} instructions a request")
    assert cost < most
    # Less than this is impossible: then it was not the program that was counted.
    assert cost > most / 10


def lines_of_requests(start, config, directory, requests):
    """Of each request how many lines of the cache it touches, of code and of data; those before have made all of it warm."""
    gateway = start(config, under=[tool("valgrind"), "--tool=lackey", "--trace-mem=yes", "--basic-counts=no", f"--log-file={directory}/%p"])
    load, trace = Load(gateway), directory / str(gateway.pid)
    load.send(requests)
    first = trace.stat().st_size
    load.send(requests)
    maps = open(f"/proc/{gateway.pid}/maps").read()
    gateway.stop()
    base = int(re.search(rf"^(\w+)-.*{re.escape(str(BINARY))}$", maps, re.M)[1], 16)
    begin = base + int(re.search(r"^(\w+) [tT] exchange_start$", command("nm", BINARY), re.M)[1], 16)
    found, code, data = [], set(), set()
    with trace.open() as lines:
        lines.seek(first)
        for kind, at, size in (match.groups() for line in lines if (match := re.match(r"(I | [LSM]) (\w+),(\d+)$", line))):
            at = int(at, 16)
            if kind == "I " and at == begin:
                found.append((len(code), len(data)))
                code, data = set(), set()
            (code if kind == "I " else data).update(range(at // 64, (at + int(size) - 1) // 64 + 1))
    trace.unlink()
    # What stands before the first begin is not whole.
    return found[1:]


@release_only
def test_lines_of_the_cache(start, quiet, tmp_path):
    """
    The kernel has the cache for itself between two turns of the loop, and each line that a request touches is fetched anew. Of
    some requests the least: nothing else has come between.
    """
    code, data = (min(counts) for counts in zip(*lines_of_requests(start, quiet, tmp_path, 40), strict=True))
    print(f"{code} lines of code, {data} of data")
    assert CODE_LINES_MAX / 10 < code < CODE_LINES_MAX
    assert DATA_LINES_MAX / 10 < data < DATA_LINES_MAX


@release_only
def test_what_learning_costs(start, quiet, tmp_path):
    """
    A limit that is learned (concurrency: auto) costs less than 3 % where the backend is not what limits. It may seem to cost less
    than nothing, as the program is trained with it and laid out for it: the next test counts what learning does by itself.
    """
    few, many, cost = 1000, 4000, {}
    for setting in ("off", "auto"):
        quiet["upstreams"][0]["concurrency"] = setting
        run = [instructions(start, quiet, tmp_path / f"{setting}-{n}", n, 1) for n in (few, many)]
        cost[setting] = (run[1] - run[0]) / (many - few)
    print(f"{cost['auto'] - cost['off']:.0f} instructions of {cost['off']:.0f}")
    assert cost["auto"] < 1.03 * cost["off"]


def test_what_a_request_is_learned_from_costs(tmp_path):
    """The additions to its worker's window, and its thousandth of what is decided of one: the same from run to run."""
    program = tmp_path / "limiter_bench"
    sources = [ROOT / "bench" / "limiter_bench.c", ROOT / "src" / "upstream" / "limiter.c", ROOT / "src" / "base" / "check.c"]
    command("gcc", "-std=gnu11", "-O3", "-DNDEBUG", "-D_GNU_SOURCE", "-fno-strict-aliasing", f"-I{ROOT / 'src'}", *sources, "-o", program)
    run = {}
    for requests in (20_000, 120_000):
        counted = tmp_path / str(requests)
        command("valgrind", "--tool=callgrind", f"--callgrind-out-file={counted}", program, requests)
        run[requests] = int(re.search(r"^(?:summary|totals): (\d+)", counted.read_text(), re.M)[1])
    cost = (run[120_000] - run[20_000]) / 100_000
    print(f"{cost:.1f} instructions a request")
    assert LEARNING_INSTRUCTIONS[0] < cost < LEARNING_INSTRUCTIONS[1]


@release_only
def test_what_is_not_logged_costs_next_to_nothing(start, quiet, tmp_path):
    """By the sample, or because the route says so: the question is asked, and no line is made. (With the writer's work in it.)"""
    quiet["upstreams"][0]["concurrency"] = "off"
    settings = {"off": ({"access": "off"}, {}), "route": ({"access": {"path": "/dev/null"}}, {"access": "off"}),
                "sample": ({"access": {"path": "/dev/null", "sample": "0%"}}, {}), "on": ({"access": {"path": "/dev/null"}}, {})}
    cost = {}
    for name, (log, of_route) in settings.items():
        config = merged(quiet, {"log": log})
        config["routes"][0]["log"] = of_route
        cost[name] = apart_from_turns(start, config, tmp_path / name, 500, 2500)
    print({name: f"{value:.0f}" for name, value in cost.items()})
    assert cost["route"] < cost["off"] + 60
    assert cost["sample"] < cost["off"] + 120
    assert cost["on"] > cost["off"] + 500


@release_only
def test_what_telling_everything_costs(start, quiet, make_origin, tmp_path):
    """The access log into a file and traces of 1 %: on the worker and on the log's thread together, the collector's share too, which is told
    once, at the end, and not as often as time lets it. Which are traced their client says: of those drawn by chance a run has more or fewer,
    and each costs as much as several lines of the log."""
    quiet["upstreams"][0]["concurrency"] = "off"
    collector = make_origin().serve(collect_fixed)
    everything = merged(telling(quiet, collector, {"sample": "0%", "export": {"interval": "1m"}}),
        {"log": {"access": {"format": "json", "path": str(tmp_path / "access.log")}}})
    off = apart_from_turns(start, quiet | {"tracing": "off"}, tmp_path / "off", 1000, 5000)
    on = apart_from_turns(start, everything, tmp_path / "on", 1000, 5000, Sampled)
    print(f"{on - off:.0f} instructions beside {off:.0f}")
    assert not collector.errors
    assert 500 < on - off < TELLING_INSTRUCTIONS_MAX


@release_only
def test_instructions_of_http_2(start, origin, tmp_path):
    """Of requests that have come together and are answered together: else it is chance how many turns of the loop they have in common."""
    config = quieted(origin.serve(Together(BATCH)))
    config["listeners"][0]["protocols"] = ["h2"]
    config["upstreams"][0]["concurrency"] = "off"
    few, many = 800, 5600
    few_cost, many_cost = (instructions(start, config, tmp_path / str(n), n, BATCH, Streams) for n in (few, many))
    cost = (many_cost - few_cost) / (many - few)
    print(f"{cost:.0f} instructions a request")
    assert H2_INSTRUCTIONS_MAX / 10 < cost < H2_INSTRUCTIONS_MAX


@release_only
def test_what_tracing_costs(start, quiet, tmp_path):
    """Who is not sampled pays for ids, and for 70 bytes more in the request."""
    quiet["upstreams"][0]["concurrency"] = "off"
    off, on = (apart_from_turns(start, quiet | {"tracing": setting}, tmp_path / name, 1000, 4000)
        for name, setting in (("off", "off"), ("on", {"upstream": "origin", "sample": "0%"})))
    print(f"{on - off:.0f} instructions beside {off:.0f}")
    assert 0 < on - off < TRACING_INSTRUCTIONS_MAX
