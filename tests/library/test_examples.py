"""The examples, built as a stranger would: their own Makefile, with the installed library and pkg-config."""

import re
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

from installed import ROOT, WARNINGS, run

sys.path.append(str(ROOT / "tests" / "integration"))

from gateway import free_port  # noqa: E402

SANITIZERS = "-fsanitize=address,undefined"


def build(library, name, directory):
    """A copy of the example, so that nothing is left in the tree."""
    copy = directory / name
    shutil.copytree(ROOT / "examples" / name, copy)
    run("make", "-C", copy, f"CFLAGS=-O1 -g {' '.join(WARNINGS)} {SANITIZERS}", env=library.environment)
    return copy / name


# --- rpc-timeout ------------------------------------------------------------------------------------------------------

TICK = re.compile(r" *([\d.]+) s  server (\w+) +answered +(\d+)  timed out +(\d+)  leased +(\d+)  waiting +(\d+)")


@pytest.fixture(scope="module")
def rpc_timeout(library, tmp_path_factory):
    program = build(library, "rpc-timeout", tmp_path_factory.mktemp("rpc"))

    def scenario(pool):
        # The naive pool's lost connections are leaks that AddressSanitizer sees, too.
        environment = {**library.environment, "ASAN_OPTIONS": f"detect_leaks={int(pool != 'naive')}"}
        output = run(program, pool, env=environment, timeout=60)
        ticks = [TICK.match(line).groups() for line in output.splitlines()[:-1]]
        return [(float(at), server, *map(int, counts)) for at, server, *counts in ticks], output.splitlines()[-1]

    return scenario


def answered(ticks, begin, end):
    return [count for at, _, count, *_ in ticks if begin < at <= end]


@pytest.mark.parametrize("pool", ["naive", "weir"])
def test_both_pools_serve_before_the_stall_and_nothing_can_during_it(rpc_timeout, pool):
    ticks, _ = rpc_timeout(pool)
    assert min(answered(ticks, 0, 1.0)) >= 98
    assert [server for at, server, *_ in ticks if 1.0 < at <= 2.0] == ["stalled"] * 5
    assert max(answered(ticks, 1.0, 2.0)) == 0


def test_naive_pool_is_dead_although_the_server_has_recovered(rpc_timeout):
    ticks, last = rpc_timeout("naive")
    after = [tick for tick in ticks if tick[0] > 2.0]
    assert len(after) == 11 and {server for _, server, *_ in after} == {"well"}
    assert answered(ticks, 2.0, 10) == [0] * 11
    # Every connection is lent, to nobody; and who was not served is in the queue for ever.
    assert {leased for *_, leased, _ in after} == {8}
    assert re.match(r"naive: since the recovery 0 calls answered, \d{3} timed out; at rest leased 8, waiting \d{4};", last)


def test_weir_pool_is_back_at_once(rpc_timeout):
    ticks, last = rpc_timeout("weir")
    assert min(answered(ticks, 2.0, 3.8)) >= 100
    assert max(waiting for *_, waiting in ticks) < 30
    assert re.match(r"weir: since the recovery \d{3} calls answered, \d timed out; at rest leased 0, waiting 0; books agree",
                    last)


# --- redis-pool -------------------------------------------------------------------------------------------------------

class Redis:
    """A redis-server of our own, on a free port, which keeps nothing."""

    def __init__(self, directory):
        # Not one that the kernel gives to clients: somebody may have it while the server is away, or who connects to it, itself.
        self.directory, self.process, self.port = directory, None, free_port()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), "--save", "",
             "--appendonly", "no", "--daemonize", "no"], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None, "redis-server does not start"
                time.sleep(0.01)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None


@pytest.fixture
def redis(tmp_path):
    server = Redis(tmp_path)
    yield server
    server.kill()


class Running:
    """The example, running; its lines are read as they come."""

    def __init__(self, library, program, *arguments):
        self.process = subprocess.Popen([program, *map(str, arguments)], stdout=subprocess.PIPE, text=True,
                                        env=library.environment)
        self.watchdog = threading.Timer(60, self.process.kill)
        self.watchdog.start()

    def until(self, accepts):
        """The first line with counts that are accepted."""
        for line in self.process.stdout:
            counts = {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", line)}
            if accepts(counts):
                return counts
        raise AssertionError("the program has ended, or was ended for it took too long")

    def end(self):
        """Its last lines, and how it ended."""
        self.process.send_signal(2)
        rest = self.process.stdout.read()
        return rest, self.process.wait(10)

    def close(self):
        self.watchdog.cancel()
        self.process.kill()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def redis_pool(library, tmp_path_factory):
    return build(library, "redis-pool", tmp_path_factory.mktemp("redis"))


@pytest.fixture
def start(library, redis_pool):
    running = []

    def begin(*arguments):
        running.append(Running(library, redis_pool, *arguments))
        return running[-1]

    yield begin
    for program in running:
        program.close()


def connections(text):
    """The line of the books that begins so: {"opened": 4, "open failed": 0, ...}."""
    line = re.search(r"^connections: (.*)$", text, re.MULTILINE).group(1)
    return {name: int(number) for name, number in re.findall(r"([a-z][a-z ]*) (\d+)", line)}


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server")
class TestRedisPool:
    def test_commands_over_few_connections(self, library, redis, redis_pool):
        redis.start()
        output = library.run(redis_pool, redis.port, 5000)
        assert connections(output) == {"opened": 4, "closed": 4, "open failed": 0, "leased": 0, "idle": 0}
        assert int(re.findall(r"^answered (\d+)", output, re.MULTILINE)[-1]) >= 5000
        assert output.endswith("\nbooks: agree\n")

    def test_restart_of_redis_costs_no_slot(self, redis, start):
        redis.start()
        program = start(redis.port, 0)
        before = program.until(lambda counts: counts["answered"] > 1000 and counts["connections"] == 4)
        assert before["failed"] == 0
        redis.kill()
        away = program.until(lambda counts: counts["failed"] > before["failed"] + 64 and counts["connections"] == 0)
        redis.start()
        program.until(lambda counts: counts["answered"] > away["answered"] + 1000 and counts["connections"] == 4)
        rest, status = program.end()
        counts = connections(rest)
        assert status == 0, rest
        assert counts["opened"] == counts["closed"] >= 8
        assert counts["leased"] == counts["idle"] == 0
        assert counts["open failed"] > 0
        assert "\nbooks: agree\n" in rest

    def test_stalled_redis_costs_the_commands_their_time_and_no_slot(self, redis, start):
        redis.start()
        program = start(redis.port, 0)
        before = program.until(lambda counts: counts["answered"] > 1000)
        redis.process.send_signal(19)
        away = program.until(lambda counts: counts["failed"] > before["failed"] + 64)
        redis.process.send_signal(18)
        program.until(lambda counts: counts["answered"] > away["answered"] + 1000 and counts["connections"] == 4)
        rest, status = program.end()
        assert status == 0 and "\nbooks: agree\n" in rest
        counts = connections(rest)
        assert counts["opened"] == counts["closed"] and counts["leased"] == 0

    def test_nothing_listens(self, redis, start):
        program = start(redis.port, 0)
        program.until(lambda counts: counts["failed"] > 100)
        rest, status = program.end()
        assert status == 0 and "\nbooks: agree\n" in rest
