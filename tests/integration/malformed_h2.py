"""Requests in HTTP/2 that must be refused: what malformed.py is for HTTP/1.1, as frames.

Each entry is a Case: the frames of a request on the stream that it is given, and what may come of them (H2Wire.outcome()):

    STREAM    the stream is reset with PROTOCOL_ERROR (RFC 9113 §8.1.1), and the connection goes on
    REFUSED   that, or it is answered with 400: well-formed for HTTP/2, and not for HTTP
    others    a connection error; a close without GOAWAY is one as well

HEADS are malformed in their head: nothing of them goes upstream. BODIES begin well, so that an upstream may see them, but never
as a whole. FRAMES break the connection. Sections are of RFC 9113 unless said.
"""

import struct

import h2raw
import malformed
from h2raw import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PUSH_PROMISE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, data, frame, headers, settings, window_update)

STREAM = frozenset({("reset", h2raw.PROTOCOL_ERROR)})
REFUSED = STREAM | {400}


def broken(*codes):
    return frozenset({("goaway", code) for code in codes} | {"closed"})


class Case:
    def __init__(self, frames, expected):
        self.frames, self.expected = frames, expected

    @property
    def connection_goes_on(self):
        return "closed" not in self.expected


METHOD, SCHEME, AUTHORITY, PATH = (":method", "GET"), (":scheme", "http"), (":authority", "example.com"), (":path", "/")
GOOD = [METHOD, SCHEME, AUTHORITY, PATH]
POST = [(":method", "POST"), SCHEME, AUTHORITY, PATH]


def _head(fields, expected=STREAM):
    return Case(lambda stream: headers(stream, fields, end_stream=True), expected)


def _replaced(name, *values):
    """The good request with this field so often."""
    at = [n for n, _ in GOOD].index(name)
    return GOOD[:at] + [(name, value) for value in values] + GOOD[at + 1:]


# --- pseudo-fields (§8.3, §8.3.1) ------------------------------------------------------------------------------------

PSEUDO = {
    "no fields at all": _head([]),
    "no method": _head(_replaced(":method")),
    "no scheme": _head(_replaced(":scheme")),
    "no path": _head(_replaced(":path")),
    "empty path": _head(_replaced(":path", "")),
    "two methods": _head(_replaced(":method", "GET", "GET")),
    "two different methods": _head(_replaced(":method", "GET", "POST")),
    "two schemes": _head(_replaced(":scheme", "http", "http")),
    "two paths": _head(_replaced(":path", "/", "/")),
    "two authorities": _head(_replaced(":authority", "example.com", "example.com")),
    "unknown pseudo-field": _head(GOOD + [(":other", "x")]),
    "pseudo-field of a response": _head(GOOD + [(":status", "200")]),
    "pseudo-field behind a field": _head(GOOD[:3] + [("a", "b"), PATH]),
    "pseudo-field in capitals": _head(GOOD[:3] + [(":Path", "/")]),
    "a colon alone": _head(GOOD + [(":", "x")]),
    "path without a slash": _head(_replaced(":path", "admin"), REFUSED),
    "path that is a URL": _head(_replaced(":path", "http://example.com/"), REFUSED),
    "asterisk with GET": _head(_replaced(":path", "*"), REFUSED),
    "empty method": _head(_replaced(":method", ""), REFUSED),
    "method that is no token": _head(_replaced(":method", "GE(T"), REFUSED),
    "method with a request line": _head(_replaced(":method", "GET / HTTP/1.1"), REFUSED),
    "method with CR LF": _head(_replaced(":method", "GET / HTTP/1.1\r\nx: y")),
    "method with NUL": _head(_replaced(":method", "GE\0T")),
    "empty scheme": _head(_replaced(":scheme", ""), REFUSED),
    "scheme with a blank": _head(_replaced(":scheme", "ht tp"), REFUSED),
    "scheme with CR LF": _head(_replaced(":scheme", "http\r\nx: y")),
    "path with CR LF": _head(_replaced(":path", "/ HTTP/1.1\r\nx: y")),
    "path with a version": _head(_replaced(":path", "/ HTTP/1.1"), REFUSED),
    "authority with CR LF": _head(_replaced(":authority", "example.com\r\nx: y")),
    "CONNECT with a path": _head([(":method", "CONNECT"), AUTHORITY, PATH]),
    "CONNECT with a scheme": _head([(":method", "CONNECT"), SCHEME, AUTHORITY]),
    "CONNECT without an authority": _head([(":method", "CONNECT")]),
    # RFC 8441 §4
    "protocol without CONNECT": _head(GOOD + [(":protocol", "websocket")]),
    "extended CONNECT without a path": _head([(":method", "CONNECT"), SCHEME, AUTHORITY, (":protocol", "websocket")]),
    "extended CONNECT without a scheme": _head([(":method", "CONNECT"), AUTHORITY, PATH, (":protocol", "websocket")]),
}

# --- fields (§8.2) ---------------------------------------------------------------------------------------------------


def _field(name, value, expected=STREAM):
    return _head(GOOD + [(name, value)], expected)


FIELDS = {
    "name in capitals": _field("Accept", "x"),
    "one capital": _field("x-aBc", "x"),
    "empty name": _field("", "x"),
    "space in a name": _field("a b", "x"),
    "space behind a name": _field("a ", "x"),
    "space before a name": _field(" a", "x"),
    "tab in a name": _field("a\tb", "x"),
    "colon in a name": _field("a:b", "x"),
    "a field in a name": _field("a: b\r\nc", "x"),
    "NUL in a name": _field("a\0", "x"),
    "LF in a name": _field("a\nb", "x"),
    "quote in a name": _field('a"b', "x"),
    "umlaut in a name": _field(b"\xc3\xa4", "x"),
    "DEL in a name": _field("a\x7f", "x"),
    "NUL in a value": _field("a", "b\0c"),
    "CR in a value": _field("a", "b\rc"),
    "LF in a value": _field("a", "b\nc"),
    "a field in a value": _field("a", "b\r\nc: d"),
    "a request in a value": _field("a", "b\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n"),
    "CR LF at the end of a value": _field("a", "b\r\n"),
    "control in a value": _field("a", "b\x01c", REFUSED),
    "escape in a value": _field("a", "\x1b[31m", REFUSED),
    "DEL in a value": _field("a", "b\x7fc", REFUSED),
    "space before a value": _field("a", " b"),
    "space behind a value": _field("a", "b "),
    "tab before a value": _field("a", "\tb"),
    # §8.2.2
    "connection": _field("connection", "close"),
    "connection that names a field": _field("connection", "a"),
    "keep-alive": _field("keep-alive", "timeout=5"),
    "proxy-connection": _field("proxy-connection", "keep-alive"),
    "transfer-encoding": _field("transfer-encoding", "chunked"),
    "transfer-encoding in capitals": _field("Transfer-Encoding", "chunked"),
    "transfer-encoding: identity": _field("transfer-encoding", "identity"),
    "upgrade": _field("upgrade", "websocket"),
    "te with more than trailers": _field("te", "gzip"),
    "te with trailers and more": _field("te", "trailers, gzip"),
}

# --- content-length (§8.1.1; RFC 9110 §8.6) --------------------------------------------------------------------------


def _length(*values):
    fields = POST + [("content-length", value) for value in values]
    return Case(lambda stream: headers(stream, fields) + data(stream, b"hello", end_stream=True), REFUSED)


LENGTHS = {
    "with a plus": _length("+5"),
    "with a minus": _length("-5"),
    "in hexadecimal": _length("0x5"),
    "with a fraction": _length("5.0"),
    "with an exponent": _length("5e0"),
    "with a blank inside": _length("5 5"),
    "with an underscore": _length("5_0"),
    "as a list of equals": _length("5, 5"),
    "as a list": _length("1,2"),
    "empty": _length(""),
    "of 2^63": _length("9223372036854775808"),
    "of 2^64": _length("18446744073709551616"),
    "of 2^64 + 5": _length("18446744073709551621"),
    "of a hundred digits": _length("9" * 100),
    "differing": _length("5", "6"),
    "equal": _length("5", "5"),
    "of a GET, malformed": _head(GOOD + [("content-length", "x")], REFUSED),
}

# --- hosts and targets: those of HTTP/1.1 ----------------------------------------------------------------------------


def _authority(value):
    return _head(_replaced(":authority", value), REFUSED)


def _host_values(request):
    return [line[6:] for line in request.split(b"\r\n") if line.startswith(b"Host: ")]


HOSTS = {
    # As the authority, where the request has one Host and says nothing in its target.
    **{f"authority for {name}": _authority(_host_values(request)[0]) for name, request in malformed.HOSTS.items()
        if len(_host_values(request)) == 1 and request.startswith(b"GET / ")},
    # As a Host, which is what there is without an authority.
    **{name: _head([METHOD, SCHEME, PATH, ("host", _host_values(request)[0])], REFUSED)
        for name, request in malformed.HOSTS.items()
        if len(_host_values(request)) == 1 and request.startswith(b"GET / ")},
    "neither authority nor Host": _head([METHOD, SCHEME, PATH], REFUSED),
    "empty authority": _authority(""),
    "empty authority, and a Host": _head(_replaced(":authority", "") + [("host", "example.com")], REFUSED),
    "empty Host": _head([METHOD, SCHEME, PATH, ("host", "")], REFUSED),
    "Host that contradicts the authority": _head(GOOD + [("host", "other.example")], REFUSED),
    "Host whose port contradicts the authority": _head(GOOD + [("host", "example.com:8080")], REFUSED),
    "empty Host beside the authority": _head(GOOD + [("host", "")], REFUSED),
    "two Hosts": _head([METHOD, SCHEME, PATH, ("host", "example.com"), ("host", "example.com")], REFUSED),
    "two different Hosts": _head([METHOD, SCHEME, PATH, ("host", "example.com"), ("host", "other.example")], REFUSED),
    "two Hosts beside the authority": _head(GOOD + [("host", "example.com"), ("host", "other.example")], REFUSED),
}

TARGETS = {name: _head(_replaced(":path", request.split(b" ", 1)[1].partition(b" HTTP/1.1\r\n")[0]), REFUSED)
    for name, request in malformed.TARGETS.items()}

HEADS = {
    f"{group}: {name}": case
    for group, table in (("pseudo-field", PSEUDO), ("field", FIELDS), ("length", LENGTHS), ("host", HOSTS),
        ("target", TARGETS))
    for name, case in table.items()
}

# --- behind the head -------------------------------------------------------------------------------------------------


def _body(fields, *pieces, expected=STREAM):
    """`pieces`: functions of the stream."""
    return Case(lambda stream: headers(stream, POST + fields) + b"".join(piece(stream) for piece in pieces), expected)


def _data(payload, end=False):
    return lambda stream: data(stream, payload, end_stream=end)


def _trailers(fields, end=True):
    return lambda stream: headers(stream, fields, end_stream=end)


def _five(*more):
    return [_data(b"hello"), *more]


# Content and a length that do not agree, and trailers. §8.1.1, §8.1
BODIES = {
    "less content than the length says": _body([("content-length", "7")], _data(b"hello", end=True)),
    "more content than the length says": _body([("content-length", "3")], _data(b"hello", end=True)),
    "more content in two pieces": _body([("content-length", "7")], *_five(_data(b"hello", end=True))),
    "less content, then trailers": _body([("content-length", "7")], *_five(_trailers([("a", "b")]))),
    "a length and no content": Case(lambda stream: headers(stream, POST + [("content-length", "5")], end_stream=True), STREAM),
    "content behind a length of 0": _body([("content-length", "0")], _data(b"hello", end=True)),
    "trailers that end nothing": _body([], *_five(_trailers([("a", "b")], end=False))),
    "pseudo-field in trailers": _body([], *_five(_trailers([(":path", "/")]))),
    "pseudo-field of responses in trailers": _body([], *_five(_trailers([(":status", "200")]))),
    "trailer in capitals": _body([], *_five(_trailers([("A", "b")]))),
    "trailer with an empty name": _body([], *_five(_trailers([("", "b")]))),
    "trailer with CR LF": _body([], *_five(_trailers([("a", "b\r\nc: d")]))),
    "trailer with NUL": _body([], *_five(_trailers([("a", "b\0")]))),
    "trailer with a blank in its name": _body([], *_five(_trailers([("a b", "c")]))),
    "transfer-encoding in trailers": _body([], *_five(_trailers([("transfer-encoding", "chunked")]))),
    "connection in trailers": _body([], *_five(_trailers([("connection", "close")]))),
    # §5.1: half-closed (remote)
    "DATA behind the end": _body([], _data(b"hello", end=True), _data(b"more", end=True),
        expected=broken(h2raw.STREAM_CLOSED) | {("reset", h2raw.STREAM_CLOSED)}),
    "HEADERS behind the end": _body([], _data(b"hello", end=True), _trailers([("a", "b")]),
        expected=broken(h2raw.STREAM_CLOSED) | {("reset", h2raw.STREAM_CLOSED)}),
    # §6.9
    "window of 0 more": _body([], lambda stream: window_update(stream, 0), expected=STREAM | broken(h2raw.PROTOCOL_ERROR)),
    "window beyond 2^31": _body([], lambda stream: window_update(stream, 0x7fffffff),
        expected=frozenset({("reset", h2raw.FLOW_CONTROL_ERROR)})),
}

# --- frames ----------------------------------------------------------------------------------------------------------


def _frames(*pieces, code=h2raw.PROTOCOL_ERROR, codes=()):
    """`pieces`: bytes, or functions of the stream."""
    return Case(lambda stream: b"".join(p if isinstance(p, bytes) else p(stream) for p in pieces), broken(code, *codes))


def _on_stream(kind, flags=0, payload=b""):
    return lambda stream: frame(kind, flags, stream, payload)


def _block(payload, code=h2raw.COMPRESSION_ERROR):
    return _frames(_on_stream(HEADERS, END_HEADERS | END_STREAM, payload), code=code)


_good_block = h2raw.block(GOOD)
_request = _on_stream(HEADERS, END_HEADERS | END_STREAM, _good_block)

FRAMES = {
    # where frames may stand
    "HEADERS on stream 0": _frames(frame(HEADERS, END_HEADERS | END_STREAM, 0, _good_block)),
    "HEADERS on an even stream": _frames(frame(HEADERS, END_HEADERS | END_STREAM, 2, _good_block)),
    "DATA on stream 0": _frames(frame(DATA, 0, 0, b"hello")),
    "DATA on an idle stream": _frames(_on_stream(DATA, 0, b"hello")),
    "RST_STREAM on an idle stream": _frames(_on_stream(RST_STREAM, 0, struct.pack(">I", 8))),
    "RST_STREAM on stream 0": _frames(frame(RST_STREAM, 0, 0, struct.pack(">I", 8))),
    "WINDOW_UPDATE on an idle stream": _frames(lambda stream: window_update(stream, 1)),
    "CONTINUATION of nothing": _frames(_on_stream(CONTINUATION, END_HEADERS, _good_block)),
    "CONTINUATION behind the end of the block": _frames(_request, _on_stream(CONTINUATION, END_HEADERS, b"")),
    "DATA inside a block": _frames(_on_stream(HEADERS, 0, _good_block), _on_stream(DATA, 0, b"hello")),
    "PING inside a block": _frames(_on_stream(HEADERS, 0, _good_block), frame(PING, 0, 0, bytes(8))),
    "an unknown frame inside a block": _frames(_on_stream(HEADERS, 0, _good_block), frame(0xee, 0, 0, b"x")),
    "CONTINUATION of another stream": _frames(_on_stream(HEADERS, 0, _good_block),
        lambda stream: frame(CONTINUATION, END_HEADERS, stream + 2, b"")),
    "a stream that is lower than the last": _frames(lambda stream: frame(HEADERS, END_HEADERS | END_STREAM, stream + 4,
        _good_block), _request, codes=[h2raw.STREAM_CLOSED]),
    "PUSH_PROMISE of a client": _frames(_on_stream(PUSH_PROMISE, END_HEADERS, struct.pack(">I", 2) + _good_block)),
    "SETTINGS on a stream": _frames(_on_stream(SETTINGS)),
    "PING on a stream": _frames(_on_stream(PING, 0, bytes(8))),
    "GOAWAY on a stream": _frames(_on_stream(GOAWAY, 0, bytes(8))),
    # how long they are
    "frame of more than 16 KiB": _frames(_on_stream(HEADERS, END_HEADERS, bytes(16385)), code=h2raw.FRAME_SIZE_ERROR),
    "PING of 7 bytes": _frames(frame(PING, 0, 0, bytes(7)), code=h2raw.FRAME_SIZE_ERROR),
    "SETTINGS of 5 bytes": _frames(frame(SETTINGS, 0, 0, bytes(5)), code=h2raw.FRAME_SIZE_ERROR),
    "acknowledgement with settings": _frames(frame(SETTINGS, h2raw.ACK, 0, bytes(6)), code=h2raw.FRAME_SIZE_ERROR),
    "WINDOW_UPDATE of 3 bytes": _frames(frame(WINDOW_UPDATE, 0, 0, bytes(3)), code=h2raw.FRAME_SIZE_ERROR),
    "RST_STREAM of 3 bytes": _frames(_on_stream(HEADERS, END_HEADERS, h2raw.block(POST)), _on_stream(RST_STREAM, 0, bytes(3)),
        code=h2raw.FRAME_SIZE_ERROR),
    "padding longer than the frame": _frames(_on_stream(HEADERS, END_HEADERS | END_STREAM | PADDED, b"\xff" + _good_block)),
    "padding of DATA longer than the frame": _frames(_on_stream(HEADERS, END_HEADERS, h2raw.block(POST)),
        _on_stream(DATA, END_STREAM | PADDED, b"\x06hello")),
    "PRIORITY on stream 0": _frames(frame(PRIORITY, 0, 0, bytes(5))),
    # what they say
    "initial window beyond 2^31": _frames(settings({h2raw.INITIAL_WINDOW_SIZE: 1 << 31}), code=h2raw.FLOW_CONTROL_ERROR),
    "frame size below 16 KiB": _frames(settings({h2raw.MAX_FRAME_SIZE: 16383})),
    "frame size beyond 16 MiB": _frames(settings({h2raw.MAX_FRAME_SIZE: 1 << 24})),
    "ENABLE_PUSH of 2": _frames(settings({h2raw.ENABLE_PUSH: 2})),
    "connection window of 0 more": _frames(window_update(0, 0)),
    "connection window beyond 2^31": _frames(window_update(0, 0x7fffffff), code=h2raw.FLOW_CONTROL_ERROR),
    # what header blocks hold (RFC 7541)
    "block that is cut off": _block(_good_block + b"\0\x05ab"),
    "index of 0": _block(b"\x80"),
    "index of nothing": _block(_good_block + b"\xfe"),
    "name index of nothing": _block(_good_block + b"\x7f\x20\x01x"),
    "integer without end": _block(_good_block + b"\xff" + b"\xff" * 20),
    "table size beyond the limit": _block(b"\x3f\xe1\xff\x03" + _good_block),
    "table size at the end": _block(_good_block + b"\x20"),
    "Huffman code with EOS": _block(_good_block + b"\0\x01a\x84\xff\xff\xff\xff"),
    "Huffman padding of zeros": _block(_good_block + b"\0\x01a\x81\x00"),
    "Huffman padding of a byte": _block(_good_block + b"\0\x01a\x82\x1f\xff"),
}


def refusal(wire, case):
    """Sends the case on the wire's next stream; what came of it. Anything but the `expected` is a failure."""
    stream, wire.next_stream = wire.next_stream, wire.next_stream + 2
    try:
        wire.send(case.frames(stream))
    except OSError:
        pass
    return wire.outcome(stream)
