"""The four ways of a request: HTTP/1.1 or HTTP/2 to the gateway, and from it to the upstream."""

import select
import time

import pytest

import h2raw
from gateway import configuration, merged
from h1_leg import KEY, proof
from h2raw import H2Wire
from raw import Message, get

WAYS = [(client, upstream) for client in ("h1", "h2") for upstream in ("h1", "h2")]

all_ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]} to {way[1]}")


def configured(way, *origins, listener=None, upstream=None, **more):
    client, up = way
    listener = merged({"protocols": ["h1", "h2"]} if client == "h2" else {}, listener)
    upstream = merged({"protocol": "h2", "pool": {"max_connections": 1}} if up == "h2" else {}, upstream)
    return configuration(*origins, listener=listener, upstream=upstream, **more)


# --- what goes both ways behind a head, on a connection or on a stream ------------------------------------------------


class Pipe:
    """A connection of HTTP/1.1."""

    def __init__(self, wire, message=None):
        self.wire, self.message = wire, message

    def send(self, data):
        self.wire.send(data)

    def take(self, n):
        return self.wire.take(n)

    def end(self):
        self.wire.half_close()

    def expect_end(self):
        self.wire.expect_end()

    def expect_silence(self, seconds=0.05):
        self.wire.expect_silence(seconds)

    def cut(self):
        self.wire.reset()

    def expect_gone(self):
        """It has ended in no order."""
        return self.wire.expect_gone()

    close = cut


class Stream:
    """A stream of an h2raw.H2Wire."""

    def __init__(self, wire, number):
        self.wire, self.number, self.at = wire, number, 0
        self.message = wire.messages[number]

    def send(self, data):
        self.wire.send_data(self.number, data if isinstance(data, bytes) else data.encode(), end_stream=False)

    def take(self, n):
        message = self.message
        self.wire.read_until(lambda: len(message.body) - self.at >= n or message.ended or message.reset is not None)
        data = message.body[self.at:self.at + n]
        assert len(data) == n, f"ended after {len(data)} of {n} bytes; reset: {message.reset}"
        self.at += n
        return data

    def end(self):
        self.wire.send(h2raw.data(self.number, end_stream=True))

    def expect_end(self):
        message = self.message
        self.wire.read_until(lambda: message.ended or message.reset is not None)
        assert message.ended and len(message.body) == self.at, f"reset: {message.reset}, {message.body[self.at:]!r}"

    def expect_silence(self, seconds=0.0):
        self.wire.ping()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self.wire.sock], [], [], left)[0]:
                self.wire.read_one()
        assert len(self.message.body) == self.at and not self.message.ended and self.message.reset is None

    def cut(self):
        self.wire.send(h2raw.rst_stream(self.number, h2raw.CANCEL))

    def expect_gone(self):
        message = self.message
        self.wire.read_until(lambda: message.reset is not None)
        data, self.at = message.body[self.at:], len(message.body)
        return data

    def close(self):
        self.wire.close()


# --- WebSockets -------------------------------------------------------------------------------------------------------


def ask_websocket(way, gateway, path="/chat", fields=(), early=b""):
    """A client's request; nothing was answered yet. `early`: what it sends without waiting."""
    if way[0] == "h1":
        handshake = ["Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"]
        return Pipe(gateway.connect(translated=False).send(get(path, fields=handshake + [f"{n}: {v}" for n, v in fields]) + early))
    wire = h2raw.connect(gateway.address()).start()
    stream, wire.next_stream = wire.next_stream, wire.next_stream + 2
    wire.send(h2raw.headers(stream, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
        (":authority", "example.com"), (":path", path), ("sec-websocket-version", "13"), *fields]))
    client = Stream(wire, stream)
    if early:
        client.send(early)
    return client


def answered(client):
    """The head of the answer: its status and a function that gives a field."""
    if isinstance(client, Stream):
        head = client.wire.head(client.number)
        assert head.reset is None, f"reset with {head.reset}"
    else:
        head = client.message = client.wire.read_head()
    return head.status, head.get


def h2_server(wire, connect_protocol=True):
    return H2Wire(wire.sock, server=True).start({h2raw.ENABLE_CONNECT_PROTOCOL: 1} if connect_protocol else {})


def next_stream(server):
    """The next request's stream on a server's connection."""
    known = set(server.messages)
    server.read_until(lambda: any(m.fields is not None for n, m in server.messages.items() if n not in known))
    return Stream(server, max(server.messages))


def asked_websocket(way, origin, server=None):
    """The upstream's end of it, whose handshake is looked at and was not answered yet."""
    if way[1] == "h1":
        wire = origin.accept()
        head = wire.read_head()
        assert (head.method, head.get("Upgrade"), head.get("Connection").lower()) == ("GET", "websocket", "upgrade")
        assert head.get("Sec-WebSocket-Version") == "13" and head.framing is None
        return Pipe(wire, head)
    stream = next_stream(server or h2_server(origin.accept()))
    message = stream.message
    assert (message.get(":method"), message.get(":protocol")) == ("CONNECT", "websocket")
    assert message.get("sec-websocket-key") is None and message.get("sec-websocket-version") == "13"
    assert message.get(":scheme") in ("http", "https") and message.get(":authority") == "example.com"
    assert not message.ended, "an extended CONNECT whose direction has ended"
    return stream


def grant(server, fields=()):
    """The upstream takes it."""
    if isinstance(server, Stream):
        server.wire.send(h2raw.headers(server.number, [(":status", "200"), *fields]))
        return
    lines = [f"Sec-WebSocket-Accept: {proof(server.message.get('Sec-WebSocket-Key'))}", *(f"{n}: {v}" for n, v in fields)]
    server.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + "".join(line + "\r\n" for line in lines) + "\r\n")


def open_websocket(way, gateway, origin, fields=()):
    """Both ends, open."""
    client = ask_websocket(way, gateway, fields=fields)
    server = asked_websocket(way, origin)
    grant(server)
    status, get_field = answered(client)
    assert status == (101 if way[0] == "h1" else 200)
    if way[0] == "h1":
        assert (get_field("Upgrade"), get_field("Connection").lower()) == ("websocket", "upgrade")
        assert get_field("Sec-WebSocket-Accept") == proof(KEY)
        assert get_field("Content-Length") is None and get_field("Transfer-Encoding") is None
    else:
        assert get_field("sec-websocket-accept") is None and get_field("upgrade") is None
    return client, server


def frame(opcode, data=b"", mask=None):
    """One whole message (RFC 6455 §5.2). A client masks."""
    length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
    if mask is None:
        return bytes([0x80 | opcode]) + length + data
    masked = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
    return bytes([0x80 | opcode, 0x80 | length[0]]) + length[1:] + mask + masked
