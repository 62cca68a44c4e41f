"""What a small request costs on kept-alive connections: system calls, and instructions in user space.

Both are counted, not timed, so they are the same on every machine that runs the same binary.
"""

import re
import signal
import subprocess

import pytest

from gateway import Lines, configuration, sanitizer
from raw import get
from servers import tool

pytestmark = pytest.mark.skipif(sanitizer() is not None, reason="what a sanitizer adds is not the program's cost")

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n" + b"x" * 128

INSTRUCTIONS_MAX = 6000


def serve_fixed(wire, _):
    """Answers without looking: an origin that costs nothing."""
    wire.sock.settimeout(None)
    while data := wire.sock.recv(65536):
        assert data.endswith(b"\r\n\r\n")
        wire.sock.sendall(ANSWER)


@pytest.fixture
def quiet(origin):
    """One worker that logs nothing and tells nobody."""
    return configuration(origin.serve(serve_fixed), log={"access": "off"}, admin="off")


class Load:
    """Small requests on one connection, one after the other."""

    def __init__(self, gateway):
        self.wire = gateway.connect()
        self.request = get("/", host=f"127.0.0.1:{gateway.port}")
        answer = self.wire.ask(self.request)
        assert (answer.status, len(answer.body)) == (200, 128)
        self.length = len(answer.head) + len(answer.body)

    def send(self, n):
        sock = self.wire.sock
        for _ in range(n):
            sock.sendall(self.request)
            left = self.length
            while left > 0:
                left -= len(sock.recv(left))


# --- system calls ----------------------------------------------------------------------------------------------------


def system_calls(gateway, load, directory):
    """How often each was called while the load ran."""
    summary = directory / "strace"
    process = subprocess.Popen([tool("strace"), "-f", "-c", "-U", "calls,name", "-o", summary, "-p", str(gateway.pid)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    told = Lines(process.stderr)
    assert told.wait_for(lambda lines: any("attached" in line for line in lines)), told.text()
    load()
    process.send_signal(signal.SIGINT)
    process.wait(10)
    rows = re.findall(r"^\s*(\d+)\s+(\w+)$", summary.read_text(), re.M)
    return {name: int(calls) for calls, name in rows if name != "total"}


def test_system_calls(start, quiet, tmp_path):
    """Two receives, two sends, and the waiting in between; nothing that allocates, locks or registers."""
    gateway = start(quiet)
    load = Load(gateway)
    load.send(100)
    calls = system_calls(gateway, lambda: load.send(1000), tmp_path)
    receives = sum(calls.pop(name, 0) for name in ("recvfrom", "recvmsg", "read", "readv"))
    sends = sum(calls.pop(name, 0) for name in ("sendto", "sendmsg", "write", "writev"))
    assert (receives, sends) == (2000, 2000)
    waits = sum(calls.pop(name, 0) for name in ("epoll_wait", "epoll_pwait", "epoll_pwait2"))
    assert waits <= 2000 + 50
    # Threads that were waiting when they were looked at go on waiting.
    for name in ("restart_syscall", "rt_sigtimedwait", "poll", "ppoll", "rt_sigreturn"):
        calls.pop(name, None)
    assert calls == {}


# --- instructions ----------------------------------------------------------------------------------------------------


def instructions(start, config, directory, requests):
    """Of a whole run, from start to end."""
    counted = directory / f"callgrind-{requests}"
    gateway = start(config, under=[tool("valgrind"), "--tool=callgrind", f"--callgrind-out-file={counted}"])
    Load(gateway).send(requests)
    gateway.stop()
    return int(re.search(r"^(?:summary|totals): (\d+)", counted.read_text(), re.M)[1])


def test_instructions(start, quiet, tmp_path):
    """The difference of two runs: starting and ending are in both."""
    few, many = 2000, 6000
    cost = (instructions(start, quiet, tmp_path, many) - instructions(start, quiet, tmp_path, few)) / (many - few)
    print(f"{cost:.0f} instructions a request")
    assert cost < INSTRUCTIONS_MAX
    # Less than this is impossible: then it was not the program that was counted.
    assert cost > INSTRUCTIONS_MAX / 10
