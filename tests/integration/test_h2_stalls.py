"""A session to an upstream that takes nothing for a while: who stands on it waits, and nobody else does."""

import contextlib
import socket
import threading
import time

import h2raw
from gateway import configuration, eventually
from h2raw import H2Wire, data, headers, window_update
from raw import get, post
from timing import SHORT

SECONDS = 60
MAX_STREAMS, INITIAL_WINDOW, HEADER_LIST = 3, 4, 6      # SETTINGS
WINDOW = 65535
STREAM_WINDOW = 48 * 1024       # that the gateway gives an upstream
TIMEOUTS = {"first_byte": f"{SECONDS}s", "request": f"{SECONDS}s", "idle": f"{SECONDS}s"}


def spoken(origin, **pool):
    return configuration(origin, upstream={"protocol": "h2", "pool": pool, "timeouts": TIMEOUTS},
        listener={"protocols": ["h1", "h2"], "limits": {"streams": 1000}})


class Service:
    """Answers what it reads, on each connection; `script(wire, number)` goes before that, and tells the streams that it has dealt
    with."""

    def __init__(self, origin, script=lambda *_: (), settings=((MAX_STREAMS, 1000),), buffer=None):
        self.script, self.settings = script, settings
        self.connections = 0
        self.seen = []          # (number of the connection, path) of what was answered
        if buffer:
            origin.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            origin.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        origin.serve(self._serve)

    def _serve(self, connection, origin):
        self.connections += 1
        number = self.connections
        wire = H2Wire(connection.sock, server=True)
        connection.sock.settimeout(SECONDS)
        with contextlib.suppress(EOFError, ConnectionError):
            wire.start(self.settings)
            answered = set(self.script(wire, number) or ())
            while True:
                self._answer(wire, number, answered)
                wire.read_one()

    def _answer(self, wire, number, answered):
        for stream, message in list(wire.messages.items()):
            if message.ended and message.reset is None and stream not in answered:
                answered.add(stream)
                self.seen.append((number, message.get(":path")))
                wire.respond(stream, 200, b"ok")


def complete(wire):
    return [stream for stream, message in wire.messages.items() if message.ended]


def client_h2(gateway, settings=()):
    return h2raw.connect(gateway.address()).start(settings)


def ask_and_leave(gateway, each=60):
    client = client_h2(gateway)
    client.send(*(headers(1 + 2 * i, h2raw.get("/left", fields=[("x-fill", f"{i:04}" * 1000)]), True) for i in range(each)))
    client.ping()
    client.close()


def test_who_asks_and_leaves_stops_nobody(start, origin):
    """A service reads nothing for two seconds. 3,000 requests that are given up meanwhile do not fill what others need."""
    def pause(wire, number):
        if number == 1:
            wire.read_until(lambda: complete(wire))
            time.sleep(2)

    service = Service(origin, pause, buffer=65536)
    config = spoken(origin, max_connections=3)
    # Beside those that are given up 100 wait, and a limit that is learned begins with so many.
    config["upstreams"][0]["concurrency"] = "off"
    gateway = start(config)
    others = [gateway.connect().send(post(b"abc", "/before"))]
    eventually(lambda: service.connections == 1)
    for _ in range(50):
        ask_and_leave(gateway)
        others += [gateway.connect().send(post(b"abc", "/meanwhile")), gateway.connect().send(get("/meanwhile"))]
    answers = [client.read_response() for client in others]
    assert [answer.status for answer in answers] == [200] * len(others), {answer.body for answer in answers}
    assert origin.errors == []


def test_many_requests_beside_answers_that_wait(start, origin):
    """A service that does not read while it writes: 290 requests that wait for it do not keep the gateway from reading."""
    asked, writes = threading.Event(), threading.Event()

    def pour(wire, number):
        wire.read_until(lambda: len(complete(wire)) == 40)
        asked.set()
        writes.wait(SECONDS)
        for stream in complete(wire):
            wire.send(headers(stream, [(":status", "200")]))
            for at in range(0, STREAM_WINDOW, 16384):
                wire.send(data(stream, b"x" * 16384, at + 16384 == STREAM_WINDOW))
        return complete(wire)

    service = Service(origin, pour, buffer=8192)
    gateway = start(spoken(origin, max_connections=1, max_streams=1000))
    client = client_h2(gateway)
    client.sock.settimeout(SECONDS)
    large = [client.request(h2raw.get("/large")) for _ in range(40)]
    assert asked.wait(SECONDS)
    rest = [client.request(h2raw.get("/small", fields=[("x-fill", f"{i}" + "~" * 3000)])) for i in range(290)]
    client.ping()
    writes.set()
    assert {client.outcome(stream) for stream in large + rest} == {200}
    assert {len(client.messages[stream].body) for stream in large} == {STREAM_WINDOW}
    assert service.connections == 1


class Shut:
    """The first connection gives nothing of its window back, until it is told to."""

    def __init__(self):
        self.full = threading.Event()
        self.opens = threading.Event()

    def __call__(self, wire, number):
        if number > 1:
            return
        wire.gives_windows = False
        wire.read_until(lambda: sum(len(message.body) for message in wire.messages.values()) == WINDOW)
        self.full.set()
        self.opens.wait(SECONDS)
        wire.gives_windows = True
        wire.send(window_update(0, 1 << 30))


def shut(start, origin, **pool):
    script = Shut()
    service = Service(origin, script, ((MAX_STREAMS, 100), (INITIAL_WINDOW, 1 << 21)))
    gateway = start(spoken(origin, **pool))
    first = gateway.connect().send(post(b"x" * 1100 * 1024, "/first"))
    assert script.full.wait(SECONDS)
    # That it stays so for 100 ms can only be waited for.
    time.sleep(SHORT)
    return script, service, gateway, first


def test_a_shut_window_of_all_stops_those_who_wait_for_it(start, origin):
    script, service, gateway, first = shut(start, origin, max_connections=4)
    for i in range(3):
        # Behind the window it would not be answered as long as that is shut.
        assert gateway.connect().send(post(b"abc", f"/{i}")).read_response().status == 200
    assert service.seen == [(2, "/0"), (2, "/1"), (2, "/2")]
    script.opens.set()
    assert first.read_response().status == 200
    assert service.connections == 2


def test_who_finds_all_stalled_waits_and_is_told_why(start, origin):
    script, service, gateway, first = shut(start, origin, max_connections=1, acquire_timeout="5s")
    answer = gateway.connect().send(get("/told")).read_response()
    assert answer.status == 503
    assert b"pool_acquire_timeout" in answer.body and b"takes nothing at the moment" in answer.body
    waiting = gateway.connect().send(post(b"abc", "/waits"))
    script.opens.set()
    assert waiting.read_response().status == 200
    assert first.read_response().status == 200
    assert {number for number, _ in service.seen} == {1} and service.connections == 1


def test_a_window_of_one_stream_stops_that_one_only(start, origin):
    """The others stay where they are."""
    full = threading.Event()

    def one(wire, number):
        wire.gives_windows = False
        wire.send(window_update(0, 1 << 30))
        wire.read_until(lambda: any(len(message.body) == WINDOW for message in wire.messages.values()))
        full.set()

    service = Service(origin, one)
    gateway = start(spoken(origin, max_connections=4))
    first = gateway.connect().send(post(b"x" * 1100 * 1024, "/first"))
    assert full.wait(SECONDS)
    time.sleep(SHORT)
    assert gateway.connect().send(post(b"abc", "/other")).read_response().status == 200
    assert service.seen == [(1, "/other")] and service.connections == 1
    first.close()


def test_a_service_that_takes_no_head_at_all(start, origin):
    """SETTINGS_MAX_HEADER_LIST_SIZE of 0 is a limit like any."""
    Service(origin, settings=((HEADER_LIST, 0),))
    gateway = start(spoken(origin, max_connections=1))
    for _ in range(2):
        answer = gateway.connect().send(get()).read_response()
        assert answer.status == 431 and b"the upstream takes no more than 0 bytes" in answer.body
    assert "SETTINGS_MAX_HEADER_LIST_SIZE" in gateway.records(2)[-1]["why"]
