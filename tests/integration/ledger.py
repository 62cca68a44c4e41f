"""An origin that keeps books of its own, in a process of its own: how many connections are open, and who uses them.

    python3 ledger.py SERVICE_MS PORT

The test speaks to it through `Ledger`: a command is a line on its standard input, the answer a line of JSON. It answers
each request after its service time; the target may name another one, and a size: `/MS` or `/MS/BYTES`.

How many connections are open "at one instant" is a matter of two clocks: a gateway may have closed one connection and
opened the next when we are told of neither. But on one machine the kernel can be asked of the gateway's side. So whenever
one is accepted beyond the most that there were, it is asked of all others whether they have ended there; what has not
ended by then was open together with the new one, without a doubt. (What is exceeded for
less than the time between the two looks is not seen here; test_pool_share.py watches the gateway's own system calls.)
"""

import heapq
import itertools
import json
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time

from raw import is_open_there

BODY = b"x" * 1024

ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Ledger:
    """The test's end of it."""

    def __init__(self, service_ms, port):
        self.process = subprocess.Popen(["/usr/bin/python3", __file__, str(service_ms), str(port)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        self.port = port
        # It listens.
        self.process.stdout.readline()
        self.address = f"127.0.0.1:{self.port}"

    def tell(self, command, *arguments):
        """The books after the command: `report`, `stall`, `go`, `refuse`, `accept`, `mark`, `faults {kind: share}`."""
        self.process.stdin.write((" ".join([command, *map(json.dumps, arguments)]) + "\n").encode())
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def report(self):
        return self.tell("report")

    def arrivals(self):
        """When the attempts of a crowd have arrived, by their numbers; the last time of each."""
        return {int(attempt): at for attempt, at in self.tell("arrivals").items()}

    def freeze(self):
        """The process stands still; the kernel goes on taking connections for it. The books before that."""
        books = self.report()
        self.process.send_signal(signal.SIGSTOP)
        return books

    def thaw(self):
        """The books after it, as of the moment in which it was let go."""
        now = time.monotonic()
        self.process.send_signal(signal.SIGCONT)
        return {**self.report(), "now": now}

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.unread = b""
        self.out = b""
        self.request = 0       # number of the one in service; 0: none
        self.worker = None     # of the gateway: who has asked
        self.size = 0          # of the answer's content
        self.fault = None
        self.closes = False    # after what is in `out`


class Use:
    """How many requests of one worker are in service, summed up over time."""

    def __init__(self, now):
        self.count, self.since, self.area = 0, now, 0.0

    def change(self, by, now):
        self.area += self.count * (now - self.since)
        self.count, self.since = self.count + by, now


def parse(unread):
    """(target, gateway's worker, the client's attempt, rest) of a complete request; None: more is needed."""
    head, end, rest = unread.partition(b"\r\n\r\n")
    if not end:
        return None
    lines = head.split(b"\r\n")
    length, worker, attempt = 0, None, None
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name == b"content-length":
            length = int(value)
        elif name == b"x-request-id":
            worker = value.strip()[:16].decode()
        elif name == b"x-attempt":
            attempt = int(value)
    if len(rest) < length:
        return None
    return lines[0].split(b" ")[1].decode(), worker, attempt, rest[length:]


class Server:
    def __init__(self, service, port):
        self.service, self.port = service, port
        self.random = random.Random(1)
        self.faults = {}
        self.epoll = select.epoll()
        self.listener = None
        self.connections = {}
        self.due = []             # heap of (when, number, connection)
        self.held = []            # what was due while it stalled
        self.numbers = itertools.count(1)
        self.stalled = False
        self.uses = {}
        self.open_max = self.accepted = self.requests = self.answered = 0
        self.in_service = self.in_service_max = 0
        self.arrived = {}         # when, by the client's attempt

    # --- commands ---------------------------------------------------------------------------------------------------

    def accept(self):
        if self.listener is None:
            self.listener = socket.create_server(("127.0.0.1", self.port), backlog=4096)
            self.listener.setblocking(False)
            self.epoll.register(self.listener, select.EPOLLIN)

    def refuse(self):
        self.epoll.unregister(self.listener)
        self.listener.close()
        self.listener = None

    def stall(self):
        self.stalled = True

    def go(self):
        """What was held begins to be served now."""
        self.stalled = False
        held, self.held = self.held, []
        for number, connection, service in held:
            heapq.heappush(self.due, (time.monotonic() + service, number, connection))

    def mark(self):
        """Both maxima begin anew."""
        self.sweep()
        self.open_max, self.in_service_max = len(self.connections), self.in_service

    def report(self):
        now = time.monotonic()
        for use in self.uses.values():
            use.change(0, now)
        return {"now": now, "open": len(self.connections), "open_max": self.open_max,
            "accepted": self.accepted, "requests": self.requests, "answered": self.answered,
            "in_service": self.in_service, "in_service_max": self.in_service_max,
            "used": {worker: use.area for worker, use in self.uses.items()}}

    def obey(self, line):
        command, _, argument = line.partition(" ")
        if command == "arrivals":
            print(json.dumps(self.arrived), flush=True)
            return
        if command == "faults":
            self.faults = json.loads(argument)
        else:
            getattr(self, command)()
        print(json.dumps(self.report()), flush=True)

    # --- connections ------------------------------------------------------------------------------------------------

    def accept_all(self):
        while self.listener is not None:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections[sock.fileno()] = Connection(sock)
            self.epoll.register(sock, select.EPOLLIN | select.EPOLLRDHUP)
            self.accepted += 1
            if len(self.connections) > self.open_max:
                self.sweep()
                self.open_max = max(self.open_max, len(self.connections))

    def sweep(self):
        for connection in list(self.connections.values()):
            if not is_open_there(connection.sock):
                self.end(connection)

    def end(self, connection, reset=False):
        self.leave_service(connection)
        del self.connections[connection.sock.fileno()]
        if reset:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sock.close()

    def enter_service(self, connection, worker):
        now = time.monotonic()
        connection.worker, connection.request = worker, next(self.numbers)
        self.uses.setdefault(worker, Use(now)).change(1, now)
        self.requests += 1
        self.in_service += 1
        self.in_service_max = max(self.in_service_max, self.in_service)

    def leave_service(self, connection):
        if connection.request:
            connection.request = 0
            self.uses[connection.worker].change(-1, time.monotonic())
            self.in_service -= 1

    def on_event(self, fd, events):
        connection = self.connections[fd]
        if events & ENDED:
            self.end(connection)
            return
        if events & select.EPOLLOUT:
            self.send(connection, b"")
        if events & select.EPOLLIN and fd in self.connections:
            connection.unread += connection.sock.recv(65536)
            self.look(connection)

    def look(self, connection):
        """One request at a time: a gateway does not pipeline."""
        parsed = None if connection.request or connection.out else parse(connection.unread)
        if parsed is None:
            return
        target, worker, attempt, connection.unread = parsed
        if attempt is not None:
            self.arrived[attempt] = time.monotonic()
        self.enter_service(connection, worker)
        numbers = [int(part) for part in target.split("/")[1:] if part.isdigit()]
        connection.size = numbers[1] if len(numbers) > 1 else 128
        service = numbers[0] / 1000 if numbers else self.service
        fault = self.draw()
        if fault == "reset":
            self.end(connection, reset=True)
            return
        connection.fault = fault
        if fault == "delay":
            service += 0.2
        if self.stalled:
            self.held.append((connection.request, connection, service))
        else:
            heapq.heappush(self.due, (time.monotonic() + service, connection.request, connection))

    def draw(self):
        kinds = list(self.faults)
        rest = 1 - sum(self.faults.values())
        return self.random.choices([None, *kinds], [rest, *self.faults.values()])[0] if kinds else None

    def answer_due(self):
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            _, number, connection = heapq.heappop(self.due)
            if connection.request != number:
                continue
            if self.stalled:
                self.held.append((number, connection, 0))
            else:
                self.answer(connection)

    def answer(self, connection):
        """Faults: `close`: without a word about it afterwards; `cut`: in the middle of the content."""
        self.leave_service(connection)
        self.answered += 1
        data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % connection.size
        data += (BODY * (connection.size // len(BODY) + 1))[:connection.size]
        connection.closes = connection.fault in ("close", "cut")
        self.send(connection, data[:-1] if connection.fault == "cut" else data)

    def send(self, connection, data):
        connection.out += data
        try:
            while connection.out:
                connection.out = connection.out[connection.sock.send(connection.out):]
        except BlockingIOError:
            pass
        except OSError:
            self.end(connection)
            return
        if connection.closes and not connection.out:
            self.end(connection)
            return
        wanted = select.EPOLLIN | select.EPOLLRDHUP | (select.EPOLLOUT if connection.out else 0)
        self.epoll.modify(connection.sock, wanted)
        self.look(connection)

    # --- the loop ---------------------------------------------------------------------------------------------------

    def run(self):
        self.epoll.register(sys.stdin, select.EPOLLIN)
        while True:
            wait = max(0, self.due[0][0] - time.monotonic()) if self.due else 1
            events = dict(self.epoll.poll(wait, 64))
            for fd in events.keys() & self.connections.keys():
                self.on_event(fd, events[fd])
            self.answer_due()
            # Last: a new connection may have an old one's descriptor, for which there are events in this batch.
            self.accept_all()
            if sys.stdin.fileno() in events:
                line = sys.stdin.readline()
                if not line:
                    return
                self.obey(line.strip())


def main():
    server = Server(float(sys.argv[1]) / 1000, int(sys.argv[2]))
    server.accept()
    print(json.dumps(server.report()), flush=True)
    server.run()


if __name__ == "__main__":
    main()
