"""Upstreams of HTTP/2 that break its rules, or flood: what they say never becomes a whole answer, and the next request is served."""

import struct
import threading

import pytest

import h2raw
from h2raw import END_HEADERS, H2Wire, PADDED, data, frame, goaway, headers, rst_stream
from raw import get
from ways import configured

OK, BLANK = (":status", "200"), b"HTTP/1.1 200 OK\r\n\r\n"
TWO = ("content-length", "2")

versions = pytest.mark.parametrize("version", ["h1", "h2"])


class Hostile:
    """Answers "/hostile" with the frames that script(stream's number) gives, and everything else with "fine"."""

    def __init__(self, origin, script, gives_windows=True):
        self.script, self.gives_windows = script, gives_windows
        self.hostile, self.lock = 0, threading.Lock()
        origin.serve(self.run)

    def run(self, wire, _):
        wire = H2Wire(wire.sock, server=True)
        wire.gives_windows = self.gives_windows
        try:
            wire.start()
            answered = set()
            while True:
                for number in [n for n, m in wire.messages.items() if m.fields is not None and n not in answered]:
                    answered.add(number)
                    self.answer(wire, number)
                wire.read_one()
        except (EOFError, OSError):
            pass

    def answer(self, wire, number):
        if wire.messages[number].get(":path") != "/hostile":
            wire.respond(number, body=b"fine")
            return
        with self.lock:
            self.hostile += 1
        wire.send(self.script(number))


def outcome(gateway, version, request, content=()):
    """The status and the content that a client is shown as whole, or None for the content; `content` in pieces."""
    if version == "h1":
        wire = gateway.connect().send(request)
        try:
            wire.send_apart(content)
            answer = wire.read_response()
            while answer.status < 200:
                answer = wire.read_response()
            return answer.status, answer.body
        except (AssertionError, OSError):
            return None, None
    wire = h2raw.connect(gateway.address()).start()
    method, path = request.split(b" ", 2)[:2]
    number = wire.request(h2raw.get(path.decode(), method=method.decode()), b"".join(content) if content else None)
    message = wire.message(number)
    return message.status, message.body if message.ended else None


def assert_serves(gateway):
    assert gateway.connect().ask(get("/fine")).body == b"fine"


# --- the rules --------------------------------------------------------------------------------------------------------

def ok(number, *fields, body=b"ok"):
    return headers(number, [OK, *fields]) + data(number, body, True)


def begun(number, *behind):
    return headers(number, [OK]) + data(number, b"ok") + b"".join(behind)


MALFORMED = {
    "trailers with a status": lambda n: begun(n, headers(n, [OK], True)),
    "trailers that do not end it": lambda n: begun(n, headers(n, [("x", "y")]), data(n, b"more", True)),
    "trailers with a line in them": lambda n: begun(n, headers(n, [("x", "y\r\n\r\n" + BLANK.decode())], True)),
    "content before the head": lambda n: data(n, b"early") + ok(n),
    "two heads": lambda n: headers(n, [OK, TWO]) + ok(n, TWO),
    "103 that ends it": lambda n: headers(n, [(":status", "103")], True),
    "103 behind the head": lambda n: headers(n, [OK]) + headers(n, [(":status", "103")]) + data(n, b"ok", True),
    "101 unasked": lambda n: headers(n, [(":status", "101")]) + data(n, b"ok", True),
    "17 times 103": lambda n: headers(n, [(":status", "103")]) * 17 + ok(n),
    "no status": lambda n: headers(n, [("x", "y")]) + data(n, b"ok", True),
    "two statuses": lambda n: headers(n, [OK, (":status", "404")]) + data(n, b"ok", True),
    "status 099": lambda n: headers(n, [(":status", "099")]) + data(n, b"ok", True),
    "a status and a line": lambda n: headers(n, [(":status", "200 OK\r\nX: y")]) + data(n, b"ok", True),
    "a path": lambda n: ok(n, (":path", "/")),
    "the status last": lambda n: headers(n, [("x", "y"), OK]) + data(n, b"ok", True),
    "a line in a value": lambda n: ok(n, ("x", "a\r\nSet-Cookie: a")),
    "a line in a name": lambda n: ok(n, ("x\r\ny", "a")),
    "a zero byte": lambda n: ok(n, ("x", "a\0b")),
    "chunks": lambda n: ok(n, ("transfer-encoding", "chunked")),
    "a length that is too large": lambda n: ok(n, ("content-length", "3")),
    "a length that is too small": lambda n: ok(n, ("content-length", "1")),
    "two lengths": lambda n: ok(n, TWO, ("content-length", "3")),
    "a head without its content": lambda n: headers(n, [OK, ("content-length", "5")], True),
    "a push": lambda n: frame(h2raw.PUSH_PROMISE, END_HEADERS, n, struct.pack(">I", 2) + h2raw.block(h2raw.get())) + ok(2) + ok(n),
    "a stream of its own": lambda n: headers(2, [OK]) + ok(n),
    "a stream that is not open": lambda n: headers(n + 200, [OK]) + ok(n),
    "a ping within a head": lambda n: frame(h2raw.HEADERS, 0, n, h2raw.block([OK])) + frame(h2raw.PING, 0, 0, b"12345678"),
    "a window that overflows": lambda n: h2raw.window_update(0, 2**31 - 1) * 2 + ok(n),
    "a stream's window that overflows": lambda n: h2raw.window_update(n, 2**31 - 1) * 2 + ok(n),
    "SETTINGS of 4 bytes": lambda n: frame(h2raw.SETTINGS, 0, 0, b"abcd") + ok(n),
    "a frame that is too large": lambda n: headers(n, [OK]) + frame(h2raw.DATA, 1, n, b"a" * 20000),
    "more padding than frame": lambda n: headers(n, [OK]) + frame(h2raw.DATA, PADDED | 1, n, b"\x05ab"),
    "an index of no field": lambda n: headers(n, [b"\xff\xff\xff\xff\xff\xff"]),
    "HTTP/1.1": lambda n: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
}


@versions
@pytest.mark.parametrize("script", MALFORMED.values(), ids=MALFORMED)
def test_malformed(start, origin, version, script):
    gateway = start(configured((version, "h2"), origin))
    upstream = Hostile(origin, script)
    status, body = outcome(gateway, version, get("/hostile"))
    assert status == 502 or body is None
    # It is not asked again: another connection would be told the same.
    assert upstream.hostile == 1
    assert gateway.record()["cause"] == "upstream_bad_response"
    assert_serves(gateway)


# --- floods -----------------------------------------------------------------------------------------------------------

def in_parts(number, *parts):
    kinds = [(h2raw.HEADERS, number)] + [(h2raw.CONTINUATION, number)] * (len(parts) - 1)
    return b"".join(frame(kind, 0, n, part) for (kind, n), part in zip(kinds, parts))


FLOODS = {
    "a bomb": lambda n: headers(n, [OK, b"\x40" + h2raw._octets("x") + h2raw._octets("b" * 3900)] + [b"\xbe"] * 3000, True),
    "CONTINUATION without end": lambda n: in_parts(n, h2raw.block([OK]), *[h2raw.block([("a", "b" * 2000)])] * 1000),
    "empty CONTINUATION without end": lambda n: in_parts(n, h2raw.block([OK]), *[b""] * 5000),
    "1xx": lambda n: headers(n, [(":status", "103"), ("link", "x" * 100)]) * 2000,
    "pings": lambda n: frame(h2raw.PING, 0, 0, b"12345678") * 20000 + ok(n),
    "SETTINGS": lambda n: h2raw.settings({4: 65535}) * 5000 + ok(n),
    "GOAWAY": lambda n: goaway(2**31 - 1) * 5000 + ok(n),
    "unknown frames": lambda n: frame(0xee, 0xff, n, b"x" * 100) * 5000 + ok(n),
    "empty content": lambda n: headers(n, [OK]) + data(n) * 50000 + data(n, b"ok", True),
    "padding": lambda n: headers(n, [OK]) + frame(h2raw.DATA, PADDED, n, b"\xff" + b"\0" * 255) * 200 + data(n, b"ok", True),
}


@versions
@pytest.mark.parametrize("script", FLOODS.values(), ids=FLOODS)
def test_floods(start, origin, version, script):
    """Some are borne and some are not; none costs memory, and what is passed on was said."""
    gateway = start(configured((version, "h2"), origin))
    Hostile(origin, script)
    assert_serves(gateway)
    before = gateway.anonymous_bytes()
    status, body = outcome(gateway, version, get("/hostile"))
    assert status == 502 or body in (None, b"ok")
    assert gateway.anonymous_bytes() - before < 4 << 20
    assert_serves(gateway)


# --- answers before the request is complete ---------------------------------------------------------------------------

def big(number, *behind):
    return headers(number, [(":status", "413"), ("content-length", "3")]) + data(number, b"big", True) + b"".join(behind)


EARLY = {
    "nothing behind it": (lambda n: big(n), b"big"),
    "reset in order": (lambda n: big(n, rst_stream(n, h2raw.NO_ERROR)), b"big"),
    "cancelled": (lambda n: big(n, rst_stream(n, h2raw.CANCEL)), b"big"),
    "refused behind it": (lambda n: big(n, rst_stream(n, h2raw.REFUSED_STREAM)), b"big"),
    "GOAWAY behind it": (lambda n: big(n, goaway(0)), b"big"),
    "refused behind the head": (lambda n: headers(n, [OK, TWO]) + rst_stream(n, h2raw.REFUSED_STREAM), None),
    "refused behind a 1xx": (lambda n: headers(n, [(":status", "103")]) + rst_stream(n, h2raw.REFUSED_STREAM), 502),
}


@versions
@pytest.mark.parametrize("bytes_of_content", [0, 1000, 60000])
@pytest.mark.parametrize("script, whole", EARLY.values(), ids=EARLY)
def test_answer_before_the_content(start, origin, version, script, whole, bytes_of_content):
    """It is passed on as it came, and the request is not sent again: the upstream has begun with it, whatever it says then."""
    gateway = start(configured((version, "h2"), origin))
    upstream = Hostile(origin, script, gives_windows=bytes_of_content < 60000)
    method = "POST" if bytes_of_content else "GET"
    head = f"{method} /hostile HTTP/1.1\r\nHost: example.com\r\nContent-Length: {bytes_of_content}\r\n\r\n".encode()
    status, body = outcome(gateway, version, head, [b"z" * (bytes_of_content // 2)] * min(bytes_of_content, 2))
    if whole == 502:
        assert status == 502
    else:
        assert body == whole
    assert upstream.hostile == 1
    assert_serves(gateway)
