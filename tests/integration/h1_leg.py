"""HTTP/1.1 on a test's connection, taken apart and put together for a translator (translators.py)."""

import base64
import collections
import hashlib
import socket
import struct

from raw import Message

OF_THE_CONNECTION = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host",
    "sec-websocket-key", "sec-websocket-accept"}


# What is read of content before it goes on, and what a section of fields has at most.
AHEAD, SECTION = 65536, 1 << 20

# Of the WebSockets that are asked for here.
KEY = base64.b64encode(b"sixteen bytes...").decode()


def proof(key):
    """Sec-WebSocket-Accept (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def capital(name):
    return "-".join(part.capitalize() for part in name.split("-"))


def field_lines(fields):
    return "".join(f"{capital(name)}: {value}\r\n" for name, value in fields if not name.startswith(":"))


def octets(fields):
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


def reset_at_close(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Reader:
    """Messages of HTTP/1.1, read strictly, one event at a time: ("head", Message), ("data", bytes), ("end", trailers)."""

    def __init__(self):
        self.data = bytearray()
        self.closed = False
        self.method = None          # of the request that is answered; None: it reads requests
        self.tunnels = False        # whether a 101 is an answer to it
        self.state, self.left = self._head, 0

    def next(self):
        """None: more is needed."""
        return self.state()

    @property
    def ahead(self):
        """How much may be here, unread."""
        return SECTION if self.state in (self._head, self._trailers) else AHEAD

    def _take(self, n):
        taken = bytes(self.data[:n])
        del self.data[:n]
        return taken

    def _line(self):
        at = self.data.find(b"\r\n")
        return None if at < 0 else self._take(at + 2)[:-2]

    def stay(self):
        """What was to be a tunnel is none: the next message begins where it would have begun."""
        self.state = self._head

    def _head(self):
        at = self.data.find(b"\r\n\r\n")
        if at < 0:
            return None
        message = Message(self._take(at + 4))
        named = {n.strip().lower() for v in message.all("Connection") for n in v.split(",")}
        message.upgrades = "upgrade" in named
        assert named <= {"", "close", "keep-alive", "upgrade"}, f"Connection names {named}"
        assert message.get("Upgrade") == ("websocket" if message.upgrades else None) or message.status not in (None, 101), \
            "an upgrade that cannot be translated"
        assert message.status != 101 or self.tunnels, "an upgrade that nobody has asked for"
        if message.status == 101 or (message.method and message.upgrades):
            self.state = self._rest
            return "head", message
        if message.status and message.status < 200:
            return "head", message
        empty = self.method == "HEAD" or message.status in (204, 304)
        framing = 0 if empty or (message.method and message.framing is None) else message.framing
        self.state = {"chunked": self._size, None: self._rest}.get(framing, self._length)
        self.left = framing if isinstance(framing, int) else 0
        return "head", message

    def _length(self):
        if self.left == 0:
            return self._end([])
        return self._piece()

    def _piece(self):
        data = self._take(min(self.left, len(self.data)))
        self.left -= len(data)
        return ("data", data) if data else None

    def _size(self):
        line = self._line()
        if line is None:
            return None
        self.left = int(line.split(b";")[0], 16)
        self.state = self._chunk if self.left else self._trailers
        return self.state()

    def _chunk(self):
        if self.left:
            return self._piece()
        if len(self.data) < 2:
            return None
        assert self._take(2) == b"\r\n"
        self.state = self._size
        return self.state()

    def _trailers(self):
        at = 0 if self.data.startswith(b"\r\n") else self.data.find(b"\r\n\r\n") + 2
        if at == 1:
            return None
        lines = self._take(at + 2).decode("latin-1").split("\r\n")[:-2]
        return self._end([(n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines) if n])

    def _rest(self):
        if self.data:
            return "data", self._take(len(self.data))
        return self._end([]) if self.closed else None

    def _end(self, trailers):
        self.state = self._head
        return "end", trailers


class Leg:
    """A connection of HTTP/1.1, and the stream that is on it."""

    def __init__(self, sock):
        sock.setblocking(False)
        self.sock, self.reader, self.out = sock, Reader(), bytearray()
        self.owed = collections.Counter()     # bytes of content in `out`, to be given back to their streams' windows
        self.closing = False                  # when `out` is out
        self.ended = False                    # nothing more is written: the other side was told
        self.begin(None)

    def begin(self, stream):
        self.stream = stream
        self.pending, self.trailers = bytearray(), None   # what is read and not yet put on the stream; what ends it
        self.chunked = self.headed = self.answered = False
        self.read_done = self.written_done = False        # the message that is read, that is written
        self.closes, self.late = False, []
        self.key, self.tunnel = None, False               # of an upgrade that was asked for; it was granted

    @property
    def wants_out(self):
        """Whether an end is to be said behind what is still in `out`."""
        return self.tunnel and self.written_done and not self.ended

    def head(self, start, fields, content):
        """Writes a head, with or without content to come."""
        self.chunked = content and not any(n == "content-length" for n, _ in fields)
        coding = "Transfer-Encoding: chunked\r\n" if self.chunked else ""
        self.out += (start + "\r\n" + field_lines(fields) + coding + "\r\n").encode("latin-1")

    def switch(self, fields):
        """Writes the head behind which there is a tunnel."""
        self.tunnel = True
        start = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket"
        self.head(start, [("sec-websocket-accept", proof(self.key)), *fields], False)

    def content(self, data):
        if data:
            self.out += b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data

    def end(self):
        if self.chunked:
            self.out += ("0\r\n" + field_lines(self.late) + "\r\n").encode("latin-1")
        self.written_done = True

    def tell_end(self):
        """That nothing more comes, once all of it is out."""
        if self.wants_out and not self.out:
            self.sock.shutdown(socket.SHUT_WR)
            self.ended = True

    def reset(self):
        reset_at_close(self.sock)
