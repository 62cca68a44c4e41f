"""One side of an HTTP/1.1 connection on a raw socket.

What is sent is exactly what was written, in the pieces in which it was written. What is read is read strictly: a line
that does not end in CRLF, a doubtful length or a malformed chunk is a failed test, not something to be forgiving about.
Clients (`Gateway.connect`) and scripted origins (`Origin.accept`) are both a Wire.
"""

import contextlib
import errno
import fcntl
import os
import re
import select
import socket
import struct
import termios
import time

# For what happens at once on a machine that has nothing else to do, and late on one that has.
TIMEOUT = 30.0

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST = 4, 20, 1

TOKEN = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
STATUS_LINE = re.compile(r"^HTTP/1\.1 ([1-5][0-9][0-9]) ([\t -~\x80-\xff]*)$")
REQUEST_LINE = re.compile(r"^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/1\.1$")


class Message:
    """A head, and the content once it was read."""

    def __init__(self, head):
        self.head = head
        lines = head.decode("latin-1").split("\r\n")
        assert lines[-2:] == ["", ""], f"no blank line at the end of {head!r}"
        self.start = lines[0]
        self.fields = [self._field(line) for line in lines[1:-2]]
        self.body = b""
        self.chunks = []
        self.trailers = []
        status = STATUS_LINE.match(self.start)
        request = REQUEST_LINE.match(self.start)
        assert status or request, f"neither a status line nor a request line: {self.start!r}"
        self.status = int(status[1]) if status else None
        self.method, self.target = (request[1], request[2]) if request else (None, None)

    @staticmethod
    def _field(line):
        name, colon, value = line.partition(":")
        assert colon and TOKEN.match(name), f"not a field line: {line!r}"
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value), f"control character in {line!r}"
        return name, value.strip(" \t")

    def all(self, name):
        return [value for n, value in self.fields if n.lower() == name.lower()]

    def get(self, name):
        """The one value of a field, None without it; twice is an error."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times in {self.head!r}"
        return values[0] if values else None

    def names(self):
        return [name for name, _ in self.fields]

    @property
    def framing(self):
        """'chunked', a length, or None."""
        coding, length = self.get("Transfer-Encoding"), self.get("Content-Length")
        assert not (coding and length is not None), f"two framings in {self.head!r}"
        if coding:
            assert coding == "chunked"
            return "chunked"
        if length is not None:
            assert re.fullmatch(r"[0-9]+", length), f"Content-Length: {length}"
            return int(length)
        return None


class Wire:
    def __init__(self, sock):
        self.sock = sock
        self.unread = b""
        self.translator = lambda: None      # finds who passes on what is sent (translators.py), as long as it does
        sock.settimeout(TIMEOUT)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # --- sending -----------------------------------------------------------------------------------------------------

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))
        return self

    def send_apart(self, pieces):
        """Each piece only when the other side has received the one before: every piece is a receive of its own."""
        for piece in pieces:
            self.send(piece)
            self.wait_taken()
        return self

    def wait_taken(self, timeout=TIMEOUT):
        """Until nothing of what was sent (an end included) waits in the other side's receive queue, on this machine. Where a
        translator stands between, its queue and then the gateway's."""
        until = time.monotonic() + timeout
        sock, translator = self.sock, self.translator()
        if translator is not None:
            _wait(translator.is_settled, until)
            sock = translator.sock
        _wait(lambda: _is_taken(sock), until)

    def end_by(self, end):
        """Ends it by this function, until the kernel has told the other side's socket: on a busy machine not at once."""
        sock = (self.translator() or self).sock
        there, here = sock.getpeername(), sock.getsockname()
        end(self)
        _wait(lambda: not _is_established(there, here), time.monotonic() + TIMEOUT)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    # --- receiving ---------------------------------------------------------------------------------------------------

    def more(self):
        """Receives something. False at the end."""
        data = self.sock.recv(262144)
        self.unread += data
        return bool(data)

    def take(self, n):
        """Exactly so many bytes."""
        gathered = bytearray(self.unread)
        while len(gathered) < n:
            data = self.sock.recv(262144)
            assert data, f"ended after {len(gathered)} of {n} bytes: {bytes(gathered[:200])!r}"
            gathered += data
        self.unread = bytes(gathered[n:])
        return bytes(gathered[:n])

    def take_line(self):
        while b"\r\n" not in self.unread:
            assert self.more(), f"ended inside a line: {self.unread[:200]!r}"
        line, _, self.unread = self.unread.partition(b"\r\n")
        assert b"\n" not in line and b"\r" not in line, f"bare CR or LF in {line!r}"
        return line

    def read_head(self):
        while b"\r\n\r\n" not in self.unread:
            assert self.more(), f"ended inside a head: {self.unread[:300]!r}"
        head, blank, self.unread = self.unread.partition(b"\r\n\r\n")
        return Message(head + blank)

    def read_request(self):
        message = self.read_head()
        assert message.method, f"not a request: {message.start}"
        return self.read_content(message)

    def read_response(self, method="GET"):
        """The next response, informational ones too. Content without a length goes to the end of the connection."""
        message = self.read_head()
        assert message.status, f"not a response: {message.start}"
        if method == "HEAD" or message.status < 200 or message.status in (204, 304):
            return message
        if message.framing is None:
            message.body = self.read_to_end()
            return message
        return self.read_content(message)

    def read_content(self, message):
        if message.framing == "chunked":
            self._read_chunks(message)
        elif message.framing:
            message.body = self.take(message.framing)
        return message

    def read_chunk(self):
        """One chunk's data; b'' for the last one, whose trailer section is still to be read."""
        line = self.take_line()
        assert re.fullmatch(rb"[0-9a-fA-F]+", line), f"chunk size {line!r}"
        size = int(line, 16)
        if size == 0:
            return b""
        data = self.take(size)
        assert self.take(2) == b"\r\n"
        return data

    def read_trailers(self):
        fields = []
        while line := self.take_line():
            fields.append(Message._field(line.decode("latin-1")))
        return fields

    def _read_chunks(self, message):
        while chunk := self.read_chunk():
            message.chunks.append(chunk)
        message.body = b"".join(message.chunks)
        message.trailers = self.read_trailers()

    def read_to_end(self):
        gathered = bytearray(self.unread)
        self.unread = b""
        while data := self.sock.recv(262144):
            gathered += data
        return bytes(gathered)

    def has_more(self):
        """Whether there is something to be read already."""
        return self.unread != b"" or select.select([self.sock], [], [], 0)[0] != []

    # --- expecting ---------------------------------------------------------------------------------------------------

    def expect_end(self):
        """The other side ends its direction, cleanly and without a byte more."""
        assert self.read_to_end() == b""

    def expect_abort(self):
        """The connection is reset. Returns what came before."""
        try:
            while self.more():
                pass
        except ConnectionResetError:
            data, self.unread = self.unread, b""
            return data
        raise AssertionError(f"ended cleanly, after {self.unread[-200:]!r}")

    def expect_gone(self):
        """Closed one way or the other. Returns what came before."""
        try:
            while self.more():
                pass
        except ConnectionResetError:
            pass
        data, self.unread = self.unread, b""
        return data

    def expect_silence(self, seconds=0.05):
        """Nothing comes, and the connection stays: the one thing that can only be seen by waiting."""
        assert self.unread == b"" and not select.select([self.sock], [], [], seconds)[0], "something came"

    def ask(self, request, method=None):
        """Sends a request and reads its final response."""
        self.send(request)
        method = method or (request if isinstance(request, str) else request.decode("latin-1")).split(" ")[0]
        return self.read_response(method)


def _wait(predicate, until):
    while not predicate():
        assert time.monotonic() < until, "the other side does not receive"
        time.sleep(0.001)


def _is_taken(sock):
    """Whether the other end of a connection has received everything. One that is gone receives nothing any more."""
    assert sock.family == socket.AF_INET, "the kernel is asked for IPv4 only"
    try:
        _, queued, arrived = _told(sock.getpeername(), sock.getsockname())
        return queued == 0 and (unacknowledged(sock.fileno()) == 0 or arrived is None or arrived >= _said(sock))
    except OSError:
        return True


def end_accepting(listener, *threads):
    """Closes it when those who accept there have ended: one that still did would go on with whatever has the descriptor next, and end who
    comes there."""
    try:
        listener.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(TIMEOUT)
    except OSError:
        pass
    listener.close()


def unread_there(sock):
    """How many bytes of what has come the other side of a TCP connection has not received."""
    return _told(sock.getpeername(), sock.getsockname())[1]


def unacknowledged(fd):
    """How much of what was sent on a TCP socket, an end included, the other side's kernel has not acknowledged."""
    return struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)))[0]


def wait_arrived(seconds=0.3):
    """Until whatever this process has sent by TCP has come to the other sides' sockets. Where somebody has no room for it, that
    goes on for as long as nothing moves."""
    last, until = None, 0
    while (now := _all_unacknowledged()) != last or now and time.monotonic() < until:
        if now != last:
            last, until = now, time.monotonic() + seconds
        time.sleep(0.001)


def _all_unacknowledged():
    """By file descriptor."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        # Other threads open and close theirs meanwhile.
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found[name] = _unacknowledged_by_tcp(int(name))
    return {name: n for name, n in found.items() if n}


def _unacknowledged_by_tcp(fd):
    with socket.socket(fileno=os.dup(fd)) as sock:
        is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM
        return unacknowledged(fd) if is_tcp else 0


def _said(sock):
    """How much was sent, an end included, as the other side counts what has come: that side may acknowledge it late. (One less
    for a connection that was accepted, where no SYN was acknowledged.) On a busy machine even the kernel takes its time from one
    socket to the other, so an empty queue alone means nothing."""
    acknowledged, = struct.unpack_from("Q", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES), BYTES_ACKED)
    return acknowledged + unacknowledged(sock.fileno()) - 1


def _is_established(local, remote):
    try:
        return _told(local, remote)[0] == 1
    except OSError:
        return False


def is_open_there(sock):
    """Whether a TCP connection is open, in both directions, at its other side. On a busy machine that ends it some time before
    this side is told."""
    try:
        return _is_established(sock.getpeername(), sock.getsockname())
    except OSError:
        return False


# <linux/inet_diag.h>: the request, and what it says of one socket up to its queues; behind that attributes, of which the one that
# was asked for is a struct tcp_info.
DIAG_REQUEST = struct.Struct("=IHHII" "BBBBI")
DIAG_ANSWER = struct.Struct("=IHHII" "4B48xI" "II")
DIAG_ATTRIBUTES = DIAG_ANSWER.size + 8
ATTRIBUTE = struct.Struct("=HH")
INET_DIAG_INFO = 2

# <linux/tcp.h>
TCP_INFO_BYTES, BYTES_ACKED, BYTES_RECEIVED = 256, 120, 128


def _told(local, remote):
    """Of this machine's TCP socket with these addresses: its state, how many bytes stand in its receive queue, and how many have
    ever come (None: it is closed), an end being one. The kernel finds it at once, while /proc/net/tcp would have to be read as a
    whole. OSError: there is none."""
    any_socket = 0xffffffff
    ident = struct.pack(">HH4s12x4s12x", local[1], remote[1], socket.inet_aton(local[0]), socket.inet_aton(remote[0])) \
        + struct.pack("=III", 0, any_socket, any_socket)
    request = DIAG_REQUEST.pack(DIAG_REQUEST.size + len(ident), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0, socket.AF_INET,
        socket.IPPROTO_TCP, 1 << INET_DIAG_INFO - 1, 0, any_socket)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
        netlink.send(request + ident)
        told = netlink.recv(4096)
    if len(told) < DIAG_ANSWER.size:
        raise OSError(errno.ENOENT, "no such connection")
    answer = DIAG_ANSWER.unpack_from(told)
    return answer[6], answer[10], _arrived(told[DIAG_ATTRIBUTES:])


def _arrived(attributes):
    while attributes:
        length, kind = ATTRIBUTE.unpack_from(attributes)
        if kind == INET_DIAG_INFO:
            return struct.unpack_from("Q", attributes, ATTRIBUTE.size + BYTES_RECEIVED)[0]
        attributes = attributes[length + 3 & ~3:]
    return None


def get(target="/", host="example.com", fields=()):
    """A GET as bytes; `fields` are whole lines."""
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", *fields]
    return "".join(line + "\r\n" for line in lines).encode("latin-1") + b"\r\n"


def post(body, target="/", fields=()):
    body = body if isinstance(body, bytes) else body.encode()
    lines = [f"POST {target} HTTP/1.1", "Host: example.com", f"Content-Length: {len(body)}", *fields]
    return "".join(line + "\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


def chunk(data):
    data = data if isinstance(data, bytes) else data.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def ends_with_last_chunk(data):
    """Whether content in chunks, with or without its head, looks complete. A head alone, whose last field ends in 0, does not."""
    return (b"\r\n" + data).endswith(b"\r\n0\r\n\r\n")


def response(body=b"", status="200 OK", fields=()):
    """A response with a length as bytes."""
    body = body if isinstance(body, bytes) else body.encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "".join(line + "\r\n" for line in lines).encode("latin-1") + b"\r\n" + body
