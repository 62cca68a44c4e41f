"""What others notice of an HTTP/2 connection that is flooded: nothing that they would mind.

The gateway has one processor to itself; the flooder (flooder.py), the client whose answers are timed and the origin share
another. The flooder connects again as soon as it was thrown out. It is bounded by its class of scheduling (SCHED_IDLE):
it floods when client and origin have nothing to do, that is while the client waits for the gateway, and gives way at once
when they have. What it sends is made beforehand, so that this is enough to keep the gateway busy.

Other people's processes make the same answers late. So windows with and without a flood take turns, and each is compared with
the one before it.
"""

import contextlib
import gc
import os
import socket
import statistics
import subprocess
import sys
import time

import pytest

import h2raw
from flooder import FLOODS
from gateway import BINARY, configuration, free_port, sanitizer
from raw import TIMEOUT, get
from servers import PYTHON, Server, tool

pytestmark = [pytest.mark.alone,
    pytest.mark.skipif(sanitizer() is not None, reason="times of a build that nobody runs"),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the flooder and the gateway want a processor each")]

WINDOW_S = 0.2
PAIRS = 5
ROUNDS_MAX = 3

# How often in a second the gateway has to throw the flooder out: fewer would be no flood. But for who waits with shut windows,
# and who sends eight megabytes before it is enough.
ENDS_MIN = 20
ENDS_LATE = "stalled windows", "content of the dead"


@pytest.fixture
def apart(start):
    """The gateway on a processor of its own."""
    processors = sorted(os.sched_getaffinity(0))
    on_its_own, ours = processors[0], processors[1]
    os.sched_setaffinity(0, {ours})
    gc.disable()
    port = free_port()
    server = Server([BINARY, "origin", "--listen", f"127.0.0.1:{port}"], port)
    try:
        yield start(configuration(server, listener={"protocols": ["h1", "h2"]}, log={"access": "off"}, workers=1),
            under=(tool("taskset"), "-c", str(on_its_own)))
    finally:
        server.stop()
        gc.enable()
        os.sched_setaffinity(0, processors)


class Flooder:
    def __init__(self, gateway, name):
        self.process = subprocess.Popen([PYTHON, sys.modules["flooder"].__file__, str(gateway.port), "1", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def begin(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def ended(self):
        return int(self.process.stdout.readline())

    def close(self):
        self.process.kill()
        self.process.wait()


def h1_client(gateway):
    """A function that asks once."""
    sock = socket.create_connection(gateway.address(), TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = get("/", host="well.behaved")

    def ask():
        sock.sendall(request)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")

    return contextlib.closing(sock), ask


def h2_client(gateway):
    wire = h2raw.connect(gateway.address()).start()
    fields = h2raw.get("/", authority="well.behaved")

    def ask():
        assert wire.ask(fields).status == 200

    return contextlib.closing(wire), ask


def p99(ask, seconds):
    times = []
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        ask()
        times.append(time.monotonic() - began)
    times.sort()
    return times[len(times) * 99 // 100]


@pytest.mark.parametrize("client", [h1_client, h2_client], ids=["h1", "h2"])
@pytest.mark.parametrize("flood", FLOODS)
def test_p99_at_most_doubles(apart, flood, client):
    flooder, ratios, ended = Flooder(apart, flood), [], 0
    connection, ask = client(apart)
    with connection, contextlib.closing(flooder):
        p99(ask, WINDOW_S)
        for _ in range(ROUNDS_MAX):
            for _ in range(PAIRS):
                calm = p99(ask, WINDOW_S)
                flooder.begin(WINDOW_S)
                ratios.append(p99(ask, WINDOW_S) / calm)
                ended += flooder.ended()
            # More windows where others disturb: what is wrong stays so.
            if statistics.median(ratios) <= 2:
                break
    print(f"p99 with and without: {statistics.median(ratios):.2f} (" + " ".join(f"{r:.2f}" for r in ratios) +
        f"), thrown out {ended / (len(ratios) * WINDOW_S):.0f} times a second")
    assert statistics.median(ratios) <= 2
    assert flood in ENDS_LATE or ended > ENDS_MIN * len(ratios) * WINDOW_S
