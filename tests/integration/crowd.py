"""Clients in great number, in one process of their own, each with a temper.

    python3 crowd.py OPTIONS         (a mapping in JSON: see `Crowd`)

A client asks, reads the answer, and asks again on the same connection. If it is not answered within its patience it
closes its connection and begins again with a new one; so it does after an answer that is an error, a moment later.
When the line `stop` comes, or the end of standard input, nobody begins anew; when the last has its answer or has lost
its patience the books are written, as one line of JSON.
"""

import heapq
import itertools
import json
import random
import select
import socket
import struct
import subprocess
import sys
import time

# After an error, so that a refused crowd does not only make refusals.
PAUSE = 0.05


class Crowd:
    """The test's end of it.

    clients: how many. patience: seconds. target: of the ordinary request. leave: how they close ("fin", "rst",
    "either"). tempers: {name: share}; the rest are patient. seed.
    """

    def __init__(self, gateway, **options):
        options = {"address": gateway.address(), "target": "/", "leave": "fin", "tempers": {}, "seed": 1, **options}
        self.process = subprocess.Popen(["/usr/bin/python3", __file__, json.dumps(options)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)

    def stop(self, timeout=60):
        """Ends it and returns its books: `served`, the times of all 200s; `statuses`; `left`; `gone`, when, by attempt;
        `lost`."""
        told, _ = self.process.communicate(b"stop\n", timeout=timeout)
        assert self.process.returncode == 0
        return json.loads(told)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Client:
    def __init__(self):
        self.sock = None
        self.serial = 0       # of the attempt: an older one's alarm is void
        self.attempt = 0      # over all clients
        self.out = b""
        self.unread = b""
        self.slow = False
        self.connecting = False


class Load:
    def __init__(self, options):
        self.options = options
        self.address = tuple(options["address"])
        self.host = b"%s:%d" % (self.address[0].encode(), self.address[1])
        self.random = random.Random(options["seed"])
        self.epoll = select.epoll()
        self.clients = {}        # by descriptor
        self.alarms = []         # heap of (when, number, client, serial, what to do)
        self.numbers = itertools.count()
        self.stopping = False
        self.served, self.statuses, self.left, self.lost = [], {}, 0, 0
        self.attempts, self.gone = itertools.count(1), {}
        self.request = self.get(options["target"])

    def get(self, target):
        return b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target.encode(), self.host)

    def post(self, size):
        return b"POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n" % (self.host, size) + b"x" * size

    # --- tempers: what is sent, and when the client leaves at the latest --------------------------------------------

    def patient(self, client):
        return self.request, self.options["patience"]

    def leaver(self, client):
        """Leaves at any moment."""
        return self.request, self.random.uniform(0, self.options["patience"])

    def slow_reader(self, client):
        """A large answer in small pieces, not always to its end."""
        client.slow = True
        return self.get("/1/200000"), self.random.uniform(0, 4 * self.options["patience"])

    def uploader(self, client):
        return self.post(self.random.randrange(100_000)), self.options["patience"]

    def cutter(self, client):
        """Content that is cut off."""
        whole = self.post(20_000)
        return whole[:self.random.randrange(len(whole))], self.random.uniform(0, 0.1)

    def stub(self, client):
        """A head that is cut off."""
        return self.request[:self.random.randrange(len(self.request))], self.random.uniform(0, 0.1)

    def plan(self, client):
        tempers = self.options["tempers"]
        name = "patient"
        if tempers:
            name = self.random.choices(["patient", *tempers], [1 - sum(tempers.values()), *tempers.values()])[0]
        client.slow = False
        return getattr(self, name)(client)

    # --- a client's life --------------------------------------------------------------------------------------------

    def alarm(self, seconds, client, action):
        entry = time.monotonic() + seconds, next(self.numbers), client, client.serial, action
        heapq.heappush(self.alarms, entry)

    def begin(self, client):
        """A request: on the connection that there is, else on a new one."""
        client.serial += 1
        if self.stopping:
            self.drop(client)
            return
        client.unread = b""
        client.out, patience = self.plan(client)
        client.attempt = next(self.attempts)
        client.out = client.out.replace(b"\r\n\r\n", b"\r\nX-Attempt: %d\r\n\r\n" % client.attempt, 1)
        self.alarm(patience, client, self.leave)
        if client.sock is None:
            self.connect(client)
        else:
            self.send(client)

    def connect(self, client):
        client.sock = socket.socket()
        client.sock.setblocking(False)
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if client.slow:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sock.connect_ex(self.address)
        client.connecting = True
        self.clients[client.sock.fileno()] = client
        self.epoll.register(client.sock, select.EPOLLOUT)

    def drop(self, client, reset=False):
        if client.sock is None:
            return
        del self.clients[client.sock.fileno()]
        if reset:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sock.close()
        client.sock = None

    def leave(self, client):
        self.left += 1
        how = self.options["leave"]
        self.drop(client, reset=how == "rst" or how == "either" and self.random.random() < 0.5)
        self.gone[client.attempt] = time.monotonic()
        self.begin(client)

    def lose(self, client):
        """The gateway has closed the connection."""
        self.lost += 1
        self.drop(client)
        client.serial += 1
        self.alarm(PAUSE, client, self.begin)

    # --- events -----------------------------------------------------------------------------------------------------

    def on_event(self, client, events):
        try:
            if client.connecting and events & select.EPOLLOUT:
                client.connecting = False
                self.send(client)
            elif events & select.EPOLLOUT and client.out:
                self.send(client)
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and client.sock is not None:
                self.receive(client)
        except BlockingIOError:
            pass
        except OSError:
            self.lose(client)

    def send(self, client):
        try:
            client.out = client.out[client.sock.send(client.out):]
        except BlockingIOError:
            pass
        except OSError:
            self.lose(client)
            return
        self.epoll.modify(client.sock, select.EPOLLIN | (select.EPOLLOUT if client.out else 0))

    def receive(self, client):
        data = client.sock.recv(2048 if client.slow else 262144)
        if not data:
            self.lose(client)
            return
        client.unread += data
        if client.slow:
            self.epoll.modify(client.sock, 0)
            self.alarm(0.002, client, self.read_on)
        head, end, content = client.unread.partition(b"\r\n\r\n")
        if end and len(content) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            self.answered(client, head)

    def read_on(self, client):
        self.epoll.modify(client.sock, select.EPOLLIN)

    def answered(self, client, head):
        status = head[9:12].decode()
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status == "200":
            self.served.append(round(time.monotonic(), 4))
            if client.slow or b"close" in head.lower():
                self.drop(client)
            self.begin(client)
        else:
            self.drop(client)
            client.serial += 1
            self.alarm(PAUSE, client, self.begin)

    # --- the loop ---------------------------------------------------------------------------------------------------

    def ring(self):
        now = time.monotonic()
        while self.alarms and self.alarms[0][0] <= now:
            _, _, client, serial, action = heapq.heappop(self.alarms)
            if client.serial == serial:
                action(client)

    def run(self):
        self.epoll.register(sys.stdin, select.EPOLLIN)
        for _ in range(self.options["clients"]):
            # Not all in one moment: a listener's backlog is no part of this.
            client = Client()
            self.alarm(self.random.uniform(0, 0.2), client, self.begin)
        while not (self.stopping and not self.clients):
            wait = max(0, self.alarms[0][0] - time.monotonic()) if self.alarms else 1
            for fd, events in self.epoll.poll(wait, 256):
                if fd == sys.stdin.fileno():
                    self.stopping = True
                    self.epoll.unregister(sys.stdin)
                elif fd in self.clients:
                    self.on_event(self.clients[fd], events)
            self.ring()
        print(json.dumps({"served": self.served, "statuses": self.statuses, "left": self.left,
            "gone": self.gone, "lost": self.lost}))


if __name__ == "__main__":
    Load(json.loads(sys.argv[1])).run()
