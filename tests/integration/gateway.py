"""The program under test: its configuration, its process, its logs."""

import contextlib
import copy
import functools
import itertools
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

import translators
from raw import TIMEOUT, Wire, wait_arrived

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("WEIR_BIN", ROOT / "build" / "weir")).absolute()

# What must never stand on standard error.
REPORTS = ("Sanitizer", "runtime error:", "bug:", "CHECK failed", "check failed")


@functools.cache
def sanitizer():
    """The sanitizer that the binary was built with, or None."""
    code = BINARY.read_bytes()
    return next((name for name in ("asan", "tsan", "msan") if f"__{name}_init".encode() in code), None)


def scale(n):
    """How large a large thing is: smaller by WEIR_SCALE, by default 16 under a sanitizer, and where it is translated."""
    translated = (translators.CLIENT, translators.UPSTREAM) != ("h1", "h1")
    divisor = int(os.environ.get("WEIR_SCALE", 16 if sanitizer() or translated else 1))
    return max(1, n // divisor)


def _range():
    """Of ports, those from which the kernel gives none to clients, nor to servers that ask for any: none that a test has let go for a
    moment is somebody else's when it comes back. Where the kernel gives all of them, as many as it is."""
    first, last = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    # Browsers refuse to go to some of those below.
    ours = max(range(11000, first), range(last + 1, 65536), key=len)
    return ours if len(ours) >= 3000 else range(11000, 32000)


def _blocks(size=100):
    """Blocks of ports that nobody else has who runs these tests at the same time. A name in the abstract namespace stands for a
    block: one process has it at a time."""
    ports = _range()
    blocks = list(range(ports.start, ports.stop - size + 1, size))
    begin = os.getpid() * 101 % len(blocks)
    for block in itertools.cycle(blocks[begin:] + blocks[:begin]):
        with socket.socket(socket.AF_UNIX) as claim:
            try:
                claim.bind(f"\0weir-tests-{block}")
            except OSError:
                continue
            yield range(block, block + size)


_ports = itertools.chain.from_iterable(_blocks())


def free_port():
    for port in _ports:
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no port is free")


def _has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


# Containers often have no ::1.
needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback address")


def merged(base, extra):
    """base with extra laid over it, mappings key by key."""
    result = copy.deepcopy(base)
    for key, value in (extra or {}).items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


# What takes a second at most by default, connecting and waiting for a connection, may take a busy machine longer: with scripted
# peers, to which a connection of HTTP/2 is made when they have said their SETTINGS. Tests of such times have times of their own.
PATIENT = {"timeouts": {"connect": "20s"}, "pool": {"acquire_timeout": "20s"}}

# A gateway that a busy machine lets stand still for two seconds refuses those who come next, where it has others to protect.
UNHURRIED = {"shedding": {"loop_lag": "20s"}}


def configuration(*origins, listener=None, upstream=None, route=None, **top):
    """One listener, one upstream with these origins as endpoints, one route for everything; parts laid over it."""
    config = {
        "version": 1,
        "workers": 1,
        "drain_timeout": "5s",
        **UNHURRIED,
        "listeners": [merged({"name": "public", "address": f"127.0.0.1:{free_port()}"}, listener)],
        "routes": [{"name": "all", "match": {"path": "/*"}}],
    }
    if origins:
        endpoints = [{"address": o if isinstance(o, str) else o.address} for o in origins]
        config["upstreams"] = [merged({"name": "origin", "endpoints": endpoints, **PATIENT}, upstream)]
        config["routes"][0]["upstream"] = "origin"
    if isinstance(route, list):
        config["routes"] = route
    elif route:
        config["routes"][0] = merged(config["routes"][0], route)
        if "respond" in route or "redirect" in route:
            config["routes"][0].pop("upstream", None)
    return merged(config, top)


def _in_versions(config):
    """In WEIR_MATRIX's versions of HTTP, where the test says nothing of them. Only origins that are translated speak HTTP/2."""
    if isinstance(config, str) or (translators.CLIENT, translators.UPSTREAM) == ("h1", "h1"):
        return config
    config = copy.deepcopy(config)
    for listener in config.get("listeners", []) if translators.CLIENT == "h2" else []:
        listener.setdefault("protocols", ["h1", "h2"])
    for upstream in config.get("upstreams", []):
        ports = {endpoint["address"].rpartition(":")[2] for endpoint in upstream["endpoints"]}
        if ports <= translators.OriginTranslator.ports and upstream.setdefault("protocol", "h2") == "h2":
            _cap_in_streams(upstream.setdefault("pool", {}))
    return config


# Whether requests are to have connections of their own, as with HTTP/1.1 (matrix.py says which tests want that).
apart = False


def _cap_in_streams(pool):
    """A cap is one of requests at a time: as many streams of one connection, or as many connections with one each. What is
    counted in connections beside it leaves only the second."""
    if "max_streams" in pool or not apart and "max_connections" not in pool:
        return
    if apart or "max_overflow" in pool or "min_idle" in pool:
        pool["max_streams"] = 1
    else:
        pool["max_streams"], pool["max_connections"] = pool["max_connections"], 1


def _text(config):
    return config if isinstance(config, str) else json.dumps(_in_versions(config), indent=1)


class Lines(threading.Thread):
    """Gathers a stream's lines and lets tests wait for them."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream = stream
        self.lines = []
        self.ended = False
        self.changed = threading.Condition()
        self.start()

    def run(self):
        for line in self.stream:
            with self.changed:
                self.lines.append(line.decode("utf-8", "surrogateescape").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_for(self, predicate, timeout=TIMEOUT):
        """Until predicate(lines) is true, or the stream has ended. Returns its value."""
        with self.changed:
            self.changed.wait_for(lambda: self.ended or predicate(self.lines), timeout)
            return predicate(self.lines)

    def text(self):
        with self.changed:
            return "\n".join(self.lines)


class Gateway:
    def __init__(self, config, directory, files=None, ready=True, under=()):
        """`under`: a command that runs the program, and becomes it or passes on what it is told."""
        self.file = directory / f"weir-{next(_numbers)}.yaml"
        self.file.write_text(_text(config))
        self.config = None if isinstance(config, str) else config
        # Not by a function between fork and exec, where Python has its locks and other threads held them.
        limit = () if files is None else ("sh", "-c", f'ulimit -n {files} && exec "$@"', "sh")
        self.process = subprocess.Popen([*limit, *under, BINARY, "run", "-c", self.file], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self.process.pid
        self.access, self.events = Lines(self.process.stdout), Lines(self.process.stderr)
        self.wires, self.translators = [], []
        self.checked = False
        if ready:
            self._wait_until_ready()

    def _wait_until_ready(self):
        """A program that does not get there is not left behind, as nobody would have a hold on it."""
        try:
            started = self.events.wait_for(lambda lines: any("weir: ready" in line for line in lines), 60)
            assert started, f"did not start:\n{self.events.text()}"
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    # --- clients -----------------------------------------------------------------------------------------------------

    def address(self, listener=0):
        host, _, port = self.config["listeners"][listener]["address"].rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def port(self):
        return self.address()[1]

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def refuses_connections(self):
        """Every worker has begun to drain."""
        try:
            self.connect(translated=False).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            pass    # It came in the moment of the closing.
        return False

    def connect(self, listener=0, receive_buffer=None, translated=True):
        """A new connection. A small receive buffer makes a client that does not read block the gateway early."""
        sock = socket.socket(socket.AF_INET6 if ":" in self.address(listener)[0] else socket.AF_INET)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(TIMEOUT)
        sock.connect(self.address(listener))
        if translated and translators.CLIENT == "h2" and "tls" not in self.config["listeners"][listener]:
            named = self.config["listeners"][listener].get("proxy_protocol", "off") != "off"
            translator = translators.ClientTranslator(sock, receive_buffer, named)
            self.translators.append(translator)
            wire = Wire(translator.left)
            wire.translator = lambda: translator
        else:
            wire = Wire(sock)
        self.wires.append(wire)
        return wire

    # --- what it tells -----------------------------------------------------------------------------------------------

    def records(self, n):
        """The access log's first n records, as soon as they are there."""
        assert self.access.wait_for(lambda lines: len(lines) >= n), \
            f"{len(self.access.lines)} of {n} records:\n{self.access.text()}\n{self.events.text()}"
        with self.access.changed:
            return [json.loads(line) for line in self.access.lines]

    def record(self):
        """The one record of a test with one request."""
        records = self.records(1)
        assert len(records) == 1, records
        return records[0]

    def event(self, text):
        """The first line on standard error that holds the text."""
        found = self.events.wait_for(lambda lines: next((line for line in lines if text in line), None))
        assert found, f"never said {text!r}:\n{self.events.text()}"
        return found

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def is_at_rest(self):
        """No thread of it runs or wants to."""
        return self._states() == {"S"}

    def _states(self):
        """Of its threads."""
        stats = pathlib.Path(f"/proc/{self.pid}/task").glob("*/stat")
        return {stat.read_text().rpartition(") ")[2][0] for stat in stats}

    def rest(self):
        """Until it has done what there was to do: it has used no processor for a moment, and has not waited for one either.
        The time counts in hundredths of a second."""
        def rested():
            before = self.cpu_seconds()
            at_rest = [time.sleep(0.01) or self.is_at_rest() for _ in range(5)]
            return all(at_rest) and self.cpu_seconds() == before

        eventually(rested)

    def anonymous_bytes(self):
        """Resident memory that is no file's: heap and stacks."""
        for line in pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no Anonymous in smaps_rollup")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # --- its end -----------------------------------------------------------------------------------------------------

    def signal(self, number):
        if number == signal.SIGCONT:
            self.settle()
        self.process.send_signal(number)

    def write(self, config):
        """Into its file, which it does not read by itself."""
        self.file.write_text(_text(config))

    def hang_up(self, config=None):
        """Has it read its configuration again, perhaps another one (a mapping, or YAML text). Returns what it says of
        it: all lines up to the one that says how it ended."""
        if config is not None:
            self.write(config)
            self.config = self.config if isinstance(config, str) else config
        before = len(self.events.lines)
        self.signal(signal.SIGHUP)

        def told(lines):
            ends = (i for i, line in enumerate(lines[before:], before + 1) if "reloaded" in line)
            return lines[before:next(ends, 0)]

        said = self.events.wait_for(told)
        assert said, f"said nothing of a reload:\n{self.events.text()}"
        return said

    def reload(self, config=None):
        said = self.hang_up(config)
        assert " main reloaded: " in said[-1], "\n".join(said)
        return said

    def freeze(self):
        """It stands still until SIGCONT, so that what is sent meanwhile comes to it in one go: it is not in the midst of anything,
        such as of what an event of earlier has told it, when it is stopped."""
        eventually(self._rests)
        self.signal(signal.SIGSTOP)
        # Each thread stops for itself, the workers after the main one.
        eventually(lambda: self._states() == {"T"})

    def stand_still(self, seconds):
        """It is given no processor for so long, as soon as it has taken a client. There is no event for time that passes."""
        eventually(self._stops_at_work)
        time.sleep(seconds)
        self.signal(signal.SIGCONT)

    def _stops_at_work(self):
        """It watches its loop while work comes, and looks a tenth of a second later whether more has come. Whether it was stopped before
        that; if not, it goes on."""
        self.rest()
        began, before = time.monotonic(), self.open_files()
        wire = self.connect(translated=False)
        # Or has turned it away.
        eventually(lambda: self.open_files() > before or wire.has_more())
        self.signal(signal.SIGSTOP)
        eventually(lambda: self._states() == {"T"})
        stopped = time.monotonic() - began < 0.1
        if not stopped:
            self.signal(signal.SIGCONT)
        return stopped

    def _rests(self):
        """Whether all that was sent to it has come, and its threads sleep again. (What comes wakes them at once.)"""
        self.settle()
        return self.is_at_rest() and translators.are_settled(self.translators)

    def settle(self):
        """Until all that was sent, by clients and by origins, has come as far as to its sockets."""
        eventually(lambda: translators.are_settled(self.translators))
        wait_arrived()

    def wait(self, timeout=TIMEOUT):
        # subprocess itself looks now and then, by far later than the end has come. (Whoever traces it hears of that first.)
        until = time.monotonic() + timeout
        with contextlib.suppress(ProcessLookupError), os.fdopen(os.pidfd_open(self.pid)) as end:
            ended = select.poll()
            ended.register(end, select.POLLIN)
            ended.poll(timeout * 1000)
        code = self.process.wait(max(until - time.monotonic(), 1))
        self.access.join(TIMEOUT)
        self.events.join(TIMEOUT)
        return code

    def stop(self):
        """Ends it as an operator would, and looks for what must not have happened."""
        if self.checked:
            return
        self.checked = True
        for wire in self.wires:
            wire.close()
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            code = self.wait(60)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        told = self.events.text()
        assert not any(report in told for report in REPORTS), told
        assert code == 0, f"exit status {code}\n{told}"
        translators.check(self.translators)


_numbers = itertools.count()


def run(*arguments, timeout=60):
    """A command of the program, to its end."""
    return subprocess.run([BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=timeout, check=False)


def eventually(predicate, timeout=TIMEOUT):
    """For what can only be looked at, such as /proc: looks until it is so."""
    until = time.monotonic() + timeout
    while not (value := predicate()):
        assert time.monotonic() < until, "it never became so"
        time.sleep(0.002)
    return value
