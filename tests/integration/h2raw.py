"""One side of an HTTP/2 connection, frame by frame, over any socket (plain or TLS).

What is sent is exactly what was written. Fields are written as literals that touch no table, so that anything can be said
in them. What is read is read strictly: a frame that RFC 9113 does not allow here is a failed test.
"""

import collections
import re
import socket
import ssl
import struct

import hpack

from raw import TIMEOUT

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
    REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY,
    HTTP_1_1_REQUIRED) = range(14)

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = \
    range(1, 7)
ENABLE_CONNECT_PROTOCOL = 8

FRAME_BYTES_MAX = 16384
WINDOW = 65535

Frame = collections.namedtuple("Frame", "kind flags stream payload")


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _integer(value, prefix_bits, first):
    """RFC 7541 §5.1."""
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + [value])


def _octets(text):
    text = text if isinstance(text, bytes) else text.encode("latin-1")
    return _integer(len(text), 7, 0) + text


def literal(name, value):
    """A field as it stands, without indexing and without Huffman (§6.2.2)."""
    return b"\0" + _octets(name) + _octets(value)


def block(fields):
    """A header block of (name, value) pairs; a bytes object among them goes as it is."""
    return b"".join(f if isinstance(f, bytes) else literal(*f) for f in fields)


def headers(stream, fields, end_stream=False, flags=END_HEADERS):
    return frame(HEADERS, flags | (END_STREAM if end_stream else 0), stream, block(fields))


def data(stream, payload=b"", end_stream=False):
    return frame(DATA, END_STREAM if end_stream else 0, stream, payload)


def settings(values=()):
    """`values`: pairs, or a mapping."""
    pairs = values.items() if isinstance(values, dict) else values
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window_update(stream, n):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", n))


def rst_stream(stream, code):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway(last, code=NO_ERROR, debug=b""):
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code) + debug)


def get(path="/", authority="example.com", fields=(), method="GET", scheme="http"):
    """The fields of a request."""
    return [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path), *fields]


class Message:
    """What came on a stream."""

    def __init__(self):
        self.fields = None      # of the final head; a request's on a server
        self.informational = []
        self.body = b""
        self.trailers = None
        self.ended = False      # END_STREAM
        self.reset = None       # an error code

    def get(self, name):
        values = [value for n, value in self.fields if n == name]
        assert len(values) <= 1, f"{name} stands {len(values)} times in {self.fields}"
        return values[0] if values else None

    @property
    def status(self):
        return int(self.get(":status")) if self.fields else None


class H2Wire:
    """`server`: which side this is. Nothing is sent until start()."""

    def __init__(self, sock, server=False):
        self.sock = sock
        self.server = server
        self.unread = b""
        self.decoder = hpack.Decoder()
        self.next_stream = 2 if server else 1
        self.messages = collections.defaultdict(Message)
        self.peer_settings = {}
        self.goaway = None      # (last stream, error code, debug data)
        self.gives_windows = True
        self.heard_settings = False
        self.acks = 0           # of our settings
        self.pongs = []
        self.windows = collections.Counter()  # what was allowed beyond the initial windows, by stream; 0: the connection
        self.block = None       # a header block that is not complete: (stream, flags, bytes)
        sock.settimeout(TIMEOUT)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # --- sending -----------------------------------------------------------------------------------------------------

    def send(self, *pieces):
        self.sock.sendall(b"".join(pieces))
        return self

    def start(self, values=()):
        """The preface (a server reads its peer's) and SETTINGS; the other side's are awaited and acknowledged."""
        if self.server:
            self._await(len(PREFACE))
            assert self.unread.startswith(PREFACE), f"not a preface: {self.unread[:40]!r}"
            self.unread = self.unread[len(PREFACE):]
        self.send(b"" if self.server else PREFACE, settings(values))
        self.read_until(lambda: self.heard_settings)
        return self

    def request(self, fields, body=None, trailers=None):
        """Sends a request in whole; the number of its stream."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.send(headers(stream, fields, end_stream=body is None and trailers is None))
        if body is not None:
            self.send_data(stream, body, end_stream=trailers is None)
        if trailers is not None:
            self.send(headers(stream, trailers, end_stream=True))
        return stream

    def respond(self, stream, status=200, body=b"", fields=(), trailers=None):
        fields = [(":status", str(status)), *fields]
        self.send(headers(stream, fields, end_stream=not body and trailers is None))
        if body:
            self.send_data(stream, body, end_stream=trailers is None)
        if trailers is not None:
            self.send(headers(stream, trailers, end_stream=True))

    def send_data(self, stream, body, end_stream=True):
        """As much as the windows allow at a time; they are waited for."""
        if not body:
            self.send(data(stream, b"", end_stream))
        initial = self.peer_settings.get(INITIAL_WINDOW_SIZE, WINDOW)
        while body:
            room = min(WINDOW + self.windows[0], initial + self.windows[stream], FRAME_BYTES_MAX)
            if room <= 0:
                self.read_one()
                assert self.messages[stream].reset is None and self.goaway is None, "ended before it was all sent"
                continue
            piece, body = body[:room], body[room:]
            self.windows[0] -= len(piece)
            self.windows[stream] -= len(piece)
            self.send(data(stream, piece, end_stream and not body))

    # --- receiving ---------------------------------------------------------------------------------------------------

    def _await(self, n):
        while len(self.unread) < n:
            received = self.sock.recv(262144)
            if not received:
                raise EOFError(f"ended with {self.unread!r} unread")
            self.unread += received

    def read_frame(self):
        """The next one as it is. EOFError at the end of the connection."""
        self._await(9)
        length = int.from_bytes(self.unread[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.unread[3:9])
        assert length <= FRAME_BYTES_MAX, f"a frame of {length} bytes"
        assert not stream >> 31, "the reserved bit is set"
        self._await(9 + length)
        payload, self.unread = self.unread[9:9 + length], self.unread[9 + length:]
        return Frame(kind, flags, stream, payload)

    def read_one(self):
        """The next frame, and what it means: settings and pings are answered, windows given back."""
        f = self.read_frame()
        assert self.heard_settings or f.kind == SETTINGS, f"the first frame is {f}"
        assert self.block is None or f.kind == CONTINUATION, f"{f} inside a header block"
        handler = {DATA: self._data, HEADERS: self._headers, CONTINUATION: self._continuation, SETTINGS: self._settings,
            PING: self._ping, GOAWAY: self._goaway, RST_STREAM: self._reset, WINDOW_UPDATE: self._window}.get(f.kind)
        assert handler or f.kind == PRIORITY, f"unexpected frame {f}"
        if handler:
            handler(f)
        return f

    def read_until(self, predicate):
        while not predicate():
            self.read_one()

    def message(self, stream):
        """All that comes on a stream, until it has ended one way or the other."""
        message = self.messages[stream]
        self.read_until(lambda: message.ended or message.reset is not None)
        return message

    def head(self, stream):
        message = self.messages[stream]
        self.read_until(lambda: message.fields is not None or message.reset is not None)
        return message

    def ask(self, fields, body=None, trailers=None):
        return self.message(self.request(fields, body, trailers))

    def ping(self):
        """There and back: what was sent before has been dealt with, in so far as frames are in order."""
        payload = struct.pack(">Q", len(self.pongs) + 1)
        self.send(frame(PING, 0, 0, payload))
        self.read_until(lambda: payload in self.pongs)

    def outcome(self, stream):
        """How a stream ended: its status, ("reset", code), ("goaway", code) or "closed" for the connection."""
        message = self.messages[stream]
        try:
            self.read_until(lambda: message.ended or message.reset is not None or self.goaway is not None)
        except (EOFError, ConnectionError, ssl.SSLError):
            return ("goaway", self.goaway[1]) if self.goaway else "closed"
        if message.reset is not None and message.status is None:
            return "reset", message.reset
        return message.status if message.status is not None else ("goaway", self.goaway[1])

    def expect_end(self):
        """The connection is closed. Returns what GOAWAY said, None without one."""
        try:
            while True:
                self.read_one()
        except (EOFError, ConnectionError, ssl.SSLError):
            return self.goaway

    def close(self):
        self.sock.close()

    # --- frames ------------------------------------------------------------------------------------------------------

    def _data(self, f):
        assert f.stream, "DATA on stream 0"
        payload = f.payload
        if f.flags & PADDED:
            payload = payload[1:len(payload) - payload[0]]
        message = self.messages[f.stream]
        assert message.fields is not None and not message.ended, "DATA where none may be"
        message.body += payload
        message.ended = bool(f.flags & END_STREAM)
        if self.gives_windows and f.payload:
            n = len(f.payload)
            self.send(window_update(0, n), b"" if message.ended else window_update(f.stream, n))

    def _headers(self, f):
        payload = f.payload
        if f.flags & PADDED:
            payload = payload[1:len(payload) - payload[0]]
        if f.flags & HAS_PRIORITY:
            payload = payload[5:]
        self.block = (f.stream, f.flags, payload)
        if f.flags & END_HEADERS:
            self._block_complete()

    def _continuation(self, f):
        assert self.block and self.block[0] == f.stream, "CONTINUATION of nothing"
        self.block = (f.stream, self.block[1], self.block[2] + f.payload)
        if f.flags & END_HEADERS:
            self._block_complete()

    def _block_complete(self):
        stream, flags, payload = self.block
        self.block = None
        fields = [(str(name), str(value)) for name, value in self.decoder.decode(payload)]
        _check_fields(fields)
        message = self.messages[stream]
        assert not message.ended, "HEADERS behind the end"
        status = dict(fields).get(":status", "")
        if message.fields is not None:
            assert not any(name.startswith(":") for name, _ in fields) and flags & END_STREAM, f"bad trailers {fields}"
            message.trailers = fields
        elif status.startswith("1"):
            message.informational.append(fields)
        else:
            message.fields = fields
        message.ended = bool(flags & END_STREAM)

    def _settings(self, f):
        assert f.stream == 0 and len(f.payload) % 6 == 0
        if f.flags & ACK:
            self.acks += 1
            return
        for key, value in struct.iter_unpack(">HI", f.payload):
            self.peer_settings[key] = value
        self.heard_settings = True
        self.send(frame(SETTINGS, ACK))

    def _ping(self, f):
        assert f.stream == 0 and len(f.payload) == 8
        if f.flags & ACK:
            self.pongs.append(f.payload)
        else:
            self.send(frame(PING, ACK, 0, f.payload))

    def _goaway(self, f):
        last, code = struct.unpack(">II", f.payload[:8])
        self.goaway = (last, code, f.payload[8:])

    def _reset(self, f):
        self.messages[f.stream].reset = struct.unpack(">I", f.payload)[0]

    def _window(self, f):
        n = struct.unpack(">I", f.payload)[0]
        assert 0 < n < 1 << 31
        self.windows[f.stream] += n


CONNECTION_SPECIFIC = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}


def _check_fields(fields):
    """RFC 9113 §8.2: whoever writes this to us must not be sloppy."""
    regular = False
    for name, value in fields:
        assert re.fullmatch(r":?[!#$%&'*+.^_`|~0-9a-z-]+", name), f"field name {name!r}"
        assert not re.search(r"[\x00\r\n]", value) and value == value.strip(" \t"), f"{name}: {value!r}"
        assert name not in CONNECTION_SPECIFIC, f"{name} is of the connection"
        assert not (name.startswith(":") and regular), f"{name} behind a field"
        regular = regular or not name.startswith(":")


def connect(address, context=None, name="localhost"):
    """A client's connection to ("host", port), with TLS and ALPN where there is a context. Not started."""
    sock = socket.create_connection(address, TIMEOUT)
    if context:
        sock = context.wrap_socket(sock, server_hostname=name)
        assert sock.selected_alpn_protocol() == "h2"
    return H2Wire(sock)
