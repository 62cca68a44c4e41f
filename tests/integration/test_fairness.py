"""Nobody keeps a worker's loop to itself: a turn is bounded by receives, however small the pieces in them are."""

import contextlib
import re
import signal
import subprocess
import threading

import pytest

import h2raw
from gateway import Lines, configuration, eventually, sanitizer
from raw import TIMEOUT, chunk, get
from servers import tool

# Receives of one side between two looks at all the others.
RECEIVES_MAX = 24

# Enough of them to be sure of that.
RECEIVES_SEEN = 500

# What is received in a turn behind bytes of no use: 8 KiB for an event, and as much to go on.
BARREN_BYTES_MAX = 2 * 8 * 1024
FRAMES = 100_000


def flood(wire, _):
    """Content in chunks of one byte: six bytes on the wire, and a piece of work, for each."""
    wire.read_request()
    wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            wire.send(chunk("x") * 50_000)


def swallow(wire, enough):
    with contextlib.suppress(OSError):
        while not enough.is_set() and wire.sock.recv(1 << 20):
            pass


@contextlib.contextmanager
def turns_of(gateway, tmp_path):
    """A list, in the end of the receives of each turn of its loop: the numbers of bytes; and the trace of which it is made."""
    turns, trace = [], tmp_path / "strace"
    process = subprocess.Popen([tool("strace"), "-f", "-e", "trace=recvfrom,/epoll_p?wait", "-s", "0", "-o", trace,
        "-p", str(gateway.pid)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    told = Lines(process.stderr)
    assert told.wait_for(lambda lines: any("attached" in line for line in lines)), told.text()
    yield turns, trace
    process.send_signal(signal.SIGINT)
    process.wait(TIMEOUT)
    for turn in re.split(r"epoll_p?wait2?\(", trace.read_text()):
        turns.append([int(n) for n in re.findall(r"recvfrom.* = (\d+)$", turn, re.MULTILINE)])


@pytest.mark.skipif(sanitizer() is not None, reason="where it is slower than its peers there is nothing to be seen")
def test_tiny_chunks_do_not_lengthen_a_turn(start, origin, tmp_path):
    gateway = start(configuration(origin.serve(flood), admin="off"))
    client, enough = gateway.connect().send(get()), threading.Event()
    reader = threading.Thread(target=swallow, args=(client, enough))
    reader.start()
    with turns_of(gateway, tmp_path) as (turns, trace):
        eventually(lambda: trace.read_text().count("recvfrom") > 2 * RECEIVES_SEEN)
    enough.set()
    client.reset()
    reader.join()
    counts = [len(turn) for turn in turns]
    assert sum(counts) > RECEIVES_SEEN
    assert max(counts) <= RECEIVES_MAX


def test_bytes_of_no_use_do_not_lengthen_a_turn(start, tmp_path):
    """Empty frames for a stream of HTTP/2 that is over: seven thousand of them are in 64 KiB, and each is looked at."""
    gateway = start(configuration(listener={"protocols": ["h2"]}, route={"respond": {"body": "ok"}}, admin="off"))
    wire = h2raw.connect(gateway.address()).start()
    refused = wire.request([*h2raw.get(), ("connection", "close")])
    assert wire.message(refused).reset == h2raw.PROTOCOL_ERROR
    with turns_of(gateway, tmp_path) as (turns, _):
        wire.send(h2raw.data(refused) * FRAMES)
        wire.ping()
    counts = [sum(turn) for turn in turns]
    assert sum(counts) > 9 * FRAMES
    # The first receive of a turn is of what may be useful.
    assert max(counts) <= 64 * 1024 + BARREN_BYTES_MAX
    assert sorted(counts)[-2] <= BARREN_BYTES_MAX
