"""Who asks the gateway, and notes what came of it."""

import json
import os
import pathlib
import socket
import subprocess
import threading
import time

from gateway import ROOT, Lines
from raw import TIMEOUT

LOAD = pathlib.Path(os.environ.get("LOAD_BIN", ROOT / "build-sim" / "bench" / "load"))

WARM = 3                # seconds until load is steady: pools are full, limits are learned
WINDOW = 6              # seconds that a verdict is about


class Load:
    """bench/load.c under way. Its lines are the second's books."""

    def __init__(self, port, seconds, under, options):
        arguments = [*under, LOAD, port, "--seconds", seconds]
        for name, value in options.items():
            arguments += ["--" + name.replace("_", "-"), value]
        self.process = subprocess.Popen(list(map(str, arguments)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.lines = Lines(self.process.stdout)

    def seconds_told(self):
        with self.lines.changed:
            return [json.loads(line) for line in self.lines.lines]

    def wait_for_second(self, second):
        assert self.lines.wait_for(lambda lines: any(json.loads(line)["at"] >= second - 0.5 for line in lines), second + 30), \
            "the load has ended"

    def rate(self, *names, last=WINDOW):
        """How many a second of them there were, in the last seconds."""
        told = self.seconds_told()[-last:]
        return sum(second[name] for second in told for name in names) / len(told)

    def end(self):
        self.process.terminate()
        self.process.wait(TIMEOUT)
        self.lines.join(TIMEOUT)


class SlowReaders:
    """Clients that take answers at a pace of their own, one after the other on a connection each, and note what each took."""

    def __init__(self, port, count, path, bytes_per_s):
        self.request = f"GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n".encode()
        self.port, self.bytes_per_s, self.running = port, bytes_per_s, True
        self.taken = []         # of each answer: seconds until its first byte, and until its last
        self.threads = [threading.Thread(target=self._read, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _read(self):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        sock.settimeout(TIMEOUT)
        sock.connect(("127.0.0.1", self.port))
        with sock:
            while self.running:
                began = time.monotonic()
                sock.sendall(self.request)
                data = sock.recv(16384)
                first = time.monotonic()
                head, _, content = data.partition(b"\r\n\r\n")
                self._take(sock, int(head.lower().partition(b"content-length: ")[2].split()[0]) - len(content))
                self.taken.append((first - began, time.monotonic() - began))

    def _take(self, sock, left):
        began, taken = time.monotonic(), 0
        while self.running and taken < left:
            time.sleep(max(0.0, began + taken / self.bytes_per_s - time.monotonic()))
            got = len(sock.recv(16384))
            assert got > 0, "the answer was cut off"
            taken += got

    def share(self):
        """Of the time of all answers, that in which they were being taken."""
        return 1 - sum(first for first, _ in self.taken) / sum(whole for _, whole in self.taken)

    def end(self):
        self.running = False
        for thread in self.threads:
            thread.join(TIMEOUT)


class Idlers:
    """Clients that ask and then take nothing."""

    def __init__(self, port, count, path):
        self.sockets = []
        for _ in range(count):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", port))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n".encode())
            self.sockets.append(sock)

    def end(self):
        for sock in self.sockets:
            sock.close()


class Tunnels:
    """Clients that have a tunnel each through the gateway, and leave it at that."""

    def __init__(self, port, count):
        self.sockets = []
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
            sock.sendall(b"GET /upgrade HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 101"), "there was no place for it"
            self.sockets.append(sock)

    def end(self):
        for sock in self.sockets:
            sock.close()


class Knocker:
    """A client with an address of its own, that has all the connections that it may have, asks for nothing, and comes for more."""

    def __init__(self, port, count, every_s):
        self.port, self.every_s = port, every_s
        self.ended = threading.Event()
        self.sockets = [self._come() for _ in range(count)]
        self.thread = threading.Thread(target=self._knock, daemon=True)
        self.thread.start()

    def _come(self):
        sock = socket.create_connection(("127.0.0.1", self.port), TIMEOUT, source_address=("127.0.0.2", 0))
        sock.sendall(b"G")
        return sock

    def _knock(self):
        while not self.ended.wait(self.every_s):
            self._come().close()

    def end(self):
        self.ended.set()
        self.thread.join(TIMEOUT)
        for sock in self.sockets:
            sock.close()


def steady(origin, name, seconds=3):
    """By how much a number in a service's books grows in a second."""
    before = origin.books()
    time.sleep(seconds)
    after = origin.books()
    return (after[name] - before[name]) / (after["at_s"] - before["at_s"])
