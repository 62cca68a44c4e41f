"""The bench's own parts: what measures wrongly is worse than nothing. A few seconds; nothing here looks at how long anything takes."""

import contextlib
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree

import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "integration")]

import breakdown  # noqa: E402
import counts  # noqa: E402
import document  # noqa: E402
import report  # noqa: E402
from certificates import Authority  # noqa: E402
from gateway import eventually, free_port, sanitizer  # noqa: E402
from gateways import PATIENT, PEERS, PROGRAMS, RELAYS, Gateway, Place, runs_here  # noqa: E402
from goals import GOALS, Goal, judge, verdicts  # noqa: E402
from plot import BAR  # noqa: E402
from processes import end, family, is_quiet  # noqa: E402
from raw import end_accepting  # noqa: E402
from results import Results  # noqa: E402
from servers import Server  # noqa: E402
from works import Load  # noqa: E402

TIMEOUT = 300
MIB = 1 << 20
CPUS = ",".join(map(str, os.sched_getaffinity(0)))


@pytest.fixture
def start():
    """Runs one of the bench's programs on a port of its own."""
    servers = []

    def start(program, *arguments):
        port = free_port()
        servers.append(Server([PROGRAMS / program, str(port), *map(str, arguments)], port))
        return port

    yield start
    for server in servers:
        end(server.process)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), TIMEOUT)


def read_all(sock):
    pieces = []
    while piece := sock.recv(MIB):
        pieces.append(piece)
    return b"".join(pieces)


# --- the relays ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RELAYS)
def test_relays_bytes_in_both_directions_and_the_end(start, name):
    """More than sockets hold, at the same time, past readers that begin late."""
    if not runs_here(name):
        pytest.skip("no io_uring here")
    up, down = random.randbytes(7 * MIB + 1), random.randbytes(9 * MIB + 3)
    seen = []

    with socket.create_server(("127.0.0.1", 0)) as service:
        port = start(name.replace("-", "_"), service.getsockname()[1])
        # Whoever looked whether it listens has come first, and gone.
        def send(sock):
            with contextlib.suppress(OSError):
                sock.sendall(down)

        def serve(sock):
            sender = threading.Thread(target=send, args=(sock,))
            sender.start()
            got = b""
            while len(got) < len(up) and (piece := sock.recv(MIB)):
                got += piece
            sender.join()
            seen.append(got)
            sock.close()

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(service.accept()[0],), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        with connect(port) as client:
            client.settimeout(TIMEOUT)
            sender = threading.Thread(target=client.sendall, args=(up,))
            sender.start()
            sender.join(0.2)
            assert read_all(client) == down
            sender.join()
        end_accepting(service, accepting)
    assert up in seen


# --- the service ----------------------------------------------------------------------------------------------------------


def split(answers):
    """Heads and contents of answers that stand one behind the other."""
    while answers:
        head, _, rest = answers.partition(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])
        yield head, rest[:length]
        answers = rest[length:]


def test_origin(start):
    """Pipelined requests, content of any size, and uploads in pieces; the last one says that the connection ends."""
    with connect(start("origin")) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 40 + b"GET /bytes/3000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 200000\r\n\r\n" + b"u" * 50000)
        sock.sendall(b"u" * 150000 + b"GET /bytes/0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answers = list(split(read_all(sock)))
    assert [len(content) for _, content in answers] == [128] * 40 + [3000000, 128, 0]
    assert b"Connection: close" in answers[-1][0]


# --- the loads ----------------------------------------------------------------------------------------------------------


def load(port, *options, program="load_h1"):
    return subprocess.run([PROGRAMS / program, str(port), *map(str, options)], input="\n", capture_output=True, text=True,
        timeout=TIMEOUT, check=False)


@pytest.mark.parametrize("options", [
    (), ("--path", "/bytes/70000", "--length", 70000), ("--upload", 100000), ("--pipeline", 16), ("--connection", "close"),
    ("--path", "/r#####/", "--paths", 10)], ids=["usual", "long", "upload", "pipelined", "close", "paths"])
def test_load_counts_every_answer(start, options):
    run = load(start("origin"), "--clients", 5, "--requests", 320 if "--pipeline" not in options else 20, *options)
    assert run.returncode == 0, run.stderr
    said = run.stdout.splitlines()
    assert said[0] == "ready"
    assert json.loads(said[1])["answers"] == 320


def test_load_at_a_rate(start):
    told = json.loads(load(start("origin"), "--rate", 2000, "--seconds", 0.5).stdout.splitlines()[1])
    # They come by chance: five times the deviation.
    assert abs(told["answers"] - 1000) < 160
    assert 0 < told["p50"] <= told["p99"] <= told["p99.9"] <= told["longest"]


def test_time_counts_from_when_a_request_was_due(start):
    """A server that stands still for half a second has had half a second's requests wait for it, not one."""
    stood = threading.Event()

    def serve(sock):
        answered = 0
        while piece := sock.recv(65536):
            for _ in range(piece.count(b"\r\n\r\n")):
                answered += 1
                if answered == 200:
                    stood.wait(0.5)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as service:
        threading.Thread(target=lambda: serve(service.accept()[0]), daemon=True).start()
        run = load(service.getsockname()[1], "--clients", 1, "--rate", 400, "--seconds", 1, "--length", 0)
    told = json.loads(run.stdout.splitlines()[1])
    assert told["longest"] > 450_000
    assert told["p99"] > 300_000


WRONG = {
    "status": b"HTTP/1.1 503 Busy\r\nContent-Length: 128\r\n\r\n" + b"x" * 128,
    "shorter": b"HTTP/1.1 200 OK\r\nContent-Length: 127\r\n\r\n" + b"x" * 127,
    "more": b"HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n" + b"x" * 129,
    "no length": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 128,
    "closing": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 128\r\n\r\n" + b"x" * 128,
    "cut off": b"HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n" + b"x" * 100,
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_answer_spoils_the_turn(wrong):
    def serve(sock):
        sock.recv(65536)
        sock.sendall(wrong)
        sock.close()

    with socket.create_server(("127.0.0.1", 0)) as service:
        threading.Thread(target=lambda: serve(service.accept()[0]), daemon=True).start()
        run = load(service.getsockname()[1], "--clients", 1)
    assert run.returncode == 1
    assert run.stderr


def test_a_spoilt_turn_ends_the_run():
    class Refusing:
        name = "refusing"

        def port(self, tls):
            return service.getsockname()[1]

    def serve(sock):
        sock.recv(65536)
        sock.sendall(WRONG["status"])

    with socket.create_server(("127.0.0.1", 0)) as service:
        threading.Thread(target=lambda: serve(service.accept()[0]), daemon=True).start()
        with pytest.raises(SystemExit, match="refusing has spoilt"), Load(Refusing(), CPUS, "load_h1", "--clients", 1) as running:
            running.ready()


@pytest.mark.parametrize("program", ["load_h1", "load_h2"])
def test_load_over_tls(start, tmp_path, program):
    """Through Weir, which ends it. An answer of another length, or another status, spoils the turn here, too."""
    place = Place(tmp_path / "weir", start("origin"), Authority(tmp_path / "ca").issue("bench", "bench.example"), weir=PATIENT)
    more = ("--tls", "on") if program == "load_h1" else ("--streams", 8)
    gateway = Gateway("weir", place, CPUS)
    try:
        run = load(place.tls, "--clients", 4, "--requests", 200, "--path", "/bytes/20000", "--length", 20000, *more, program=program)
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout.splitlines()[1])["answers"] == 200
        for wrong in (("--length", 127), ("--path", "/generation/%", "--length", 128)):
            run = load(place.tls, "--requests", 10, *wrong, *more, program=program)
            assert run.returncode == 1
            assert run.stderr
    finally:
        gateway.stop(TIMEOUT)


# --- who is measured --------------------------------------------------------------------------------------------------------

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n" + b"x" * 128


class CountingService:
    """Counts connections that asked for something, and requests."""

    def __init__(self):
        self.connections, self.requests = set(), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.accepting = threading.Thread(target=self.accept, daemon=True)
        self.accepting.start()

    def end(self):
        end_accepting(self.listener, self.accepting)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, sock):
        with contextlib.suppress(OSError):
            while piece := sock.recv(65536):
                asked = piece.count(b"\r\n\r\n")
                with self.lock:
                    self.requests += asked
                    self.connections.add(sock.fileno())
                sock.sendall(asked * ANSWER)


@pytest.mark.parametrize("name", ["weir", *PEERS])
def test_who_is_measured_is_set_up_as_the_document_says(tmp_path, name):
    """Connections to the service are kept, as many as requests come at a time; each request reaches it; nobody writes a log; one process with
    one thread works."""
    service, clients, requests = CountingService(), 16, 4800
    place = Place(tmp_path / name, service.port, Authority(tmp_path / "ca").issue("bench", "bench.example"), weir=PATIENT)
    gateway = Gateway(name, place, CPUS)
    try:
        # What starts has done so when it has answered.
        run = load(place.plain, "--clients", clients, "--requests", clients)
        assert run.returncode == 0, run.stderr
        eventually(gateway.is_quiet)
        asked, before = service.requests, thread_times(gateway.pid)
        run = load(place.plain, "--clients", clients, "--requests", requests)
        assert run.returncode == 0, run.stderr
        assert service.requests - asked == requests + clients
        assert len(service.connections) <= clients, service.connections
        # What it says of its start, at most.
        assert len(gateway.server.output.text().splitlines()) < 10
        assert all(file.stat().st_size < 10 * requests for file in place.directory.rglob("*") if file.is_file())
        took = [after - before.get(thread, 0) for thread, after in thread_times(gateway.pid).items()]
        assert max(took) > 0.9 * sum(took)
    finally:
        gateway.stop(TIMEOUT)
        service.end()


def thread_times(pid):
    return {path: int(path.read_text().split()[0]) for one in family(pid) for path in pathlib.Path(f"/proc/{one}/task").glob("*/schedstat")}


# --- the goals ------------------------------------------------------------------------------------------------------------


def results(**gateways):
    told = Results()
    for name, values in gateways.items():
        for value in values:
            told.add("h1", "us", name, value)
    return told


def test_ratios_are_those_within_a_round():
    """The machine was half as fast in the second and third rounds, for both."""
    told = results(weir=[10, 22, 20], nginx=[10, 20, 20])
    assert told.ratio("h1", "weir", "nginx")[1] == 1
    assert judge(Goal("h1", 1.0, ("nginx",)), told).met


def test_goals_are_met_or_missed():
    told = results(weir=[10, 10, 10], nginx=[9.99, 9.99, 9.99], haproxy=[20, 20, 20])
    assert not judge(Goal("h1", 1.0, ("nginx", "haproxy")), told).met, "the best of them counts, and nothing is rounded"
    assert judge(Goal("h1", 0.5, ("haproxy",)), told).met
    assert judge(Goal("h1", 10), told).met
    assert not judge(Goal("h1", 9.999), told).met
    assert judge(Goal("h1", 10, least=True), told).met
    assert not judge(Goal("h1", 10.001, least=True), told).met


def test_goals_of_what_was_not_measured():
    told = results(weir=[1, 1], haproxy=[5, 5])
    assert judge(Goal("h1", 1.0, ("nginx",)), told).met is None
    assert judge(Goal("h1", 1.0, ("haproxy", "nginx")), told).met is None, "the other one might be the best"
    assert {verdict.goal.figure for verdict in verdicts(told)} == {"h1"}
    assert {goal.figure for goal in GOALS} > {"h1"}


# --- what is counted --------------------------------------------------------------------------------------------------------

# Like nginx it ends when it is told while it waits; what it is told while it is at work has no consequence, as nothing comes after it.
DEAF_AT_WORK = """
import select, signal, sys, time
waits = False
signal.signal(signal.SIGTERM, lambda *_: sys.exit() if waits else None)
print("works", flush=True)
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    pass
waits = True
select.select([], [], [])
"""


class Deaf:
    name = "deaf"

    def __init__(self, seconds):
        self.process = subprocess.Popen([sys.executable, "-c", DEAF_AT_WORK, str(seconds)], stdout=subprocess.PIPE)
        self.process.stdout.readline()

    def is_quiet(self):
        return is_quiet(self.process.pid)

    def stop(self, seconds):
        return end(self.process, seconds)


def test_who_is_counted_ends_by_itself():
    """It is told when it waits, and hears."""
    gateway = Deaf(0.5)
    counts.end_by_itself(gateway)
    assert gateway.process.returncode == 0


def test_who_had_to_be_killed_was_not_counted(monkeypatch):
    monkeypatch.setattr(counts, "PATIENCE_S", 0.1)
    gateway = Deaf(TIMEOUT)
    gateway.is_quiet = lambda: True     # which it is not yet
    with pytest.raises(SystemExit, match="deaf has not ended"):
        counts.end_by_itself(gateway)


# --- where it goes -----------------------------------------------------------------------------------------------------------

SAMPLES = """\
        ffffffff821ee9ba skb_copy
        ffffffff81d0b57b __x64_sys_sendto
        ffffffff81000130 entry_SYSCALL_64_after_hwframe
            55d2e22f9e60 io_sendv

            55d2e22f9e60 forward_request
            55d2e22f9e61 [unknown]

        ffffffff813a2293 finish_task_switch.isra.0
        ffffffff8172f44a __x64_sys_epoll_pwait

        ffffffff813a2293 sysvec_apic_timer_interrupt
            55d2e22f9e60 forward_request

        ffffffff81d0b57b __arm64_sys_sendto
"""


def test_samples_belong_to_the_call_that_is_under_way():
    assert breakdown.parts_of(SAMPLES) == {"sendto": 2, "user space": 1, "epoll_pwait": 1, "the rest of the kernel": 1}


ANNOTATED = """\
Ir
--------------------------------------------------------------------------------
1,234,567 (100.0%)  PROGRAM TOTALS

Ir                  file:function
--------------------------------------------------------------------------------
1,000,000 (81.00%)  ???:exchange_start.lto_priv.0 [/usr/bin/weir]
  200,000 (16.20%)  ???:exchange_start'2 [/usr/bin/weir]
   34,000 ( 2.75%)  ./string/../sysdeps/memcpy.S:__memcpy_avx [/usr/lib/libc.so.6]
      567 ( 0.05%)  ???:nobody_knows.constprop.0
"""


def test_functions_are_told_with_where_they_stand(monkeypatch):
    monkeypatch.setattr(breakdown, "BINARY", pathlib.Path("/usr/bin/weir"))
    where = breakdown.places()
    assert where["exchange_start"] == "src/gateway/exchange.c"
    assert where["weir_pool_acquire"].startswith("src/pool/")
    assert breakdown.functions_of(ANNOTATED, where) == {("exchange_start", "src/gateway/exchange.c"): 1_200_000,
        ("__memcpy_avx", "libc.so.6"): 34_000, ("nobody_knows", "weir"): 567}


# --- the document ------------------------------------------------------------------------------------------------------------

PROFILE = {"unit": "us", "time": {"weir": {"sendto": 5.0, "epoll_pwait": 1.5, "user space": 1.0}, "relay-epoll": {"sendto": 4.0, "epoll_wait": 1.25}},
    "instructions": [{"function": "exchange_start", "where": "src/gateway/exchange.c", "instructions": 150.0},
        {"function": "memcpy", "where": "libc.so.6", "instructions": 50.0}, {"function": "tiny", "where": "src/gateway/tiny.c", "instructions": 4.0}]}


def run_of(rows, profile=None):
    told = results(**rows)
    return json.loads(json.dumps({**report.as_json(told, [], {"rounds": 3, "seconds": 1.0}), "profile": profile}))


def test_the_document_is_written_between_its_marks():
    relays = {"relay-epoll": [5, 5, 5], "relay-splice": [4, 4, 4], "relay-uring": [6, 6, 6]}
    text = "before\n" + "".join(f"<!-- {name}: begin -->\nold\n<!-- {name}: end -->\nbetween\n" for name in ("results", "profile", "uring")) + "after\n"
    older, newer = run_of({"weir": [1, 1, 1]}), run_of({"weir": [10, 20, 30], "nginx": [20, 20, 20], **relays}, PROFILE)
    written, told = document.written(text, [older, newer], "picture.svg")
    assert told.values["h1"]["weir"] == [10, 20, 30]
    assert "old" not in written
    assert (written[:7], written.count("between\n"), written[-6:]) == ("before\n", 3, "after\n")
    for line in ("![A bar for each gateway in each work](picture.svg)", "| `h1`, us | 20 (15 to 25) | 20 | 5 | 4 | 6 |",
            "| `h1`, us | 1.000 (0.750 to 1.250) |", "| h1: at most 1.06 x relay-epoll | 4 x relay-epoll (quartiles 3 to 5) | **missed** |",
            "| epoll_wait | 1.50 | 1.25 | +0.25 |", "| **all of it** | 7.50 | 5.25 | +2.25 |", "| `src/gateway` | 154 | 75.5% |",
            "| others, each less than 30 | 4 |  |", "| `h1`, us | 6 | 1.200 | 1.500 |"):
        assert line in written
    # What was measured again is not told of the older run.
    assert written.count("rounds of 1 s: h1.") == 2 and written.count("rounds of 1 s: profile.") == 1
    # The same figures make the same document.
    assert document.written(written, [older, newer], "picture.svg")[0] == written


def test_a_document_without_marks_is_refused():
    with pytest.raises(SystemExit, match="results: begin"):
        document.written("nothing", [run_of({"weir": [1]})], "picture.svg")


def test_the_document_has_all_marks():
    text = (HERE.parent / "docs" / "PERFORMANCE.md").read_text()
    assert all(document.fill(text, name, ["x"]).count("\nx\n") == 1 for name in ("results", "profile", "uring"))


# --- all of it --------------------------------------------------------------------------------------------------------------


def bench(*arguments):
    return subprocess.run([sys.executable, HERE / "speed.py", "--patient", *map(str, arguments)], capture_output=True, text=True, timeout=TIMEOUT,
        check=False)


def test_a_short_run(tmp_path):
    run = bench("h1", "close", "h2-tls", "--peers", "relay-epoll,relay-splice", "--rounds", 2, "--seconds", 0.05, "--json", tmp_path / "run.json",
        "--svg", tmp_path / "run.svg")
    assert run.returncode == 0, run.stderr
    told = json.loads((tmp_path / "run.json").read_text())
    assert {(row["figure"], row["gateway"]) for row in told["rows"]} == {
        ("h2-tls", "weir"), *((figure, gateway) for figure in ("h1", "close") for gateway in ("weir", "relay-epoll", "relay-splice"))}
    assert all(len(row["values"]) == 2 and row["median"] > 0 for row in told["rows"])
    assert {"date", "machine", "versions", "built", "goals"} <= told.keys()
    for row in told["rows"]:
        assert row["figure"] in run.stdout and row["gateway"] in run.stdout
    assert {goal["met"] for goal in told["goals"]} <= {True, False, None}
    picture = ElementTree.parse(tmp_path / "run.svg").getroot()
    bars = [one for one in picture.iter("{http://www.w3.org/2000/svg}rect") if one.get("height") == str(BAR)]
    assert len(bars) == len(told["rows"])
    assert all(float(one.get("width")) > 0 for one in bars)


PROGRAM = "import sys; sys.path.insert(0, {here!r}); import speed; import goals; goals.GOALS += [goals.Goal('calls', 1)]; sys.exit(speed.main())"


@pytest.mark.parametrize("more, status", [([], 0), (["--check"], 1)], ids=["told", "checked"])
def test_a_missed_goal(tmp_path, more, status):
    """No gateway does with one system call for a request, and a relay with four."""
    file = tmp_path / "run.json"
    run = subprocess.run([sys.executable, "-c", PROGRAM.format(here=str(HERE)), "calls", "--patient", "--peers", "relay-epoll", "--json", file, *more],
        capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert run.returncode == status, run.stderr
    assert "calls: at most 1: MISSED" in run.stdout
    calls = {row["gateway"]: row["median"] for row in json.loads(file.read_text())["rows"]}
    assert 4 <= calls["relay-epoll"] < 5.1
    assert calls["weir"] >= 4


FEWER = "import sys; sys.path.insert(0, {here!r}); import speed; import counts; counts.FEW, counts.MANY = 20, 120; sys.exit(speed.main())"


without_sanitizer = pytest.mark.skipif(sanitizer() is not None, reason="valgrind runs no sanitizer's program")


@without_sanitizer
@pytest.mark.parametrize("figure, peers, least, most", [("instructions", ["nginx"], 1000, 100_000), ("calls", ["nginx", "haproxy", "h2o"], 4, 20)])
def test_counts_beside_others(tmp_path, figure, peers, least, most):
    file = tmp_path / "run.json"
    run = subprocess.run([sys.executable, "-c", FEWER.format(here=str(HERE)), figure, "--patient", "--peers", ",".join(peers), "--json", file],
        capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert run.returncode == 0, run.stderr
    told = {row["gateway"]: row["median"] for row in json.loads(file.read_text())["rows"]}
    assert told.keys() == {"weir", *peers}
    assert all(least <= value < most for value in told.values())


@without_sanitizer
def test_profile_in_short(tmp_path):
    """Where perf is, and may look, by system call as well."""
    file = tmp_path / "run.json"
    run = subprocess.run([sys.executable, "-c", FEWER.format(here=str(HERE)), "profile", "--patient", "--peers", "relay-epoll", "--rounds", "1",
        "--seconds", "0.2", "--json", file], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert run.returncode == 0, run.stderr
    told = json.loads(file.read_text())
    assert sum(one["instructions"] for one in told["profile"]["instructions"]) > 1000
    if told["profile"]["time"] is None:
        assert "perf" in told["notes"][0]
    else:
        assert all({"sendto", "recvfrom"} < parts.keys() for parts in told["profile"]["time"].values())
    assert "| Function |" in run.stdout


def test_other_works_in_short(tmp_path):
    run = bench("latency", "starts", "workers", "--peers", "relay-epoll", "--rounds", 1, "--seconds", 0.05, "--json", tmp_path / "run.json")
    assert run.returncode == 0, run.stderr
    told = json.loads((tmp_path / "run.json").read_text())
    figures = {row["figure"]: row["median"] for row in told["rows"] if row["gateway"] == "weir"}
    assert {"p50 at 50 %", "p99.9 at 80 %", "start", "reload", "workers"} <= figures.keys()
    assert all(value > 0 for value in figures.values())
