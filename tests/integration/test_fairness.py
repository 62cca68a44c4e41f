"""Nobody keeps a worker's loop to itself: a turn is bounded by receives, however small the pieces in them are."""

import contextlib
import re
import signal
import subprocess
import threading

import pytest

from gateway import Lines, configuration, sanitizer
from raw import chunk, get
from servers import tool

# Receives of one side between two looks at all the others.
RECEIVES_MAX = 24


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


@pytest.mark.skipif(sanitizer() is not None, reason="where it is slower than its peers there is nothing to be seen")
def test_tiny_chunks_do_not_lengthen_a_turn(start, origin, tmp_path):
    gateway = start(configuration(origin.serve(flood), admin="off"))
    client, enough = gateway.connect().send(get()), threading.Event()
    reader = threading.Thread(target=swallow, args=(client, enough))
    reader.start()
    trace = tmp_path / "strace"
    process = subprocess.Popen([tool("strace"), "-f", "-e", "trace=recvfrom,/epoll_p?wait", "-s", "0", "-o", trace,
        "-p", str(gateway.pid)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    told = Lines(process.stderr)
    assert told.wait_for(lambda lines: any("attached" in line for line in lines)), told.text()
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait(10)
    enough.set()
    client.reset()
    reader.join()
    turns = [turn.count("recvfrom(") for turn in re.split(r"epoll_p?wait2?\(", trace.read_text())]
    assert sum(turns) > 100
    assert max(turns) <= RECEIVES_MAX
