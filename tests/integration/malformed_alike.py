"""Which mistake of HTTP/1.1 (malformed.py) is which of HTTP/2 (malformed_h2.py), and which has no likeness there, and why.

Names are those of their tables, with `chunk: ` and `body: ` before those that are behind a head. test_malformed_matrix.py
asserts that no mistake of either version is left out here.
"""

import malformed
import malformed_h2

HTTP1 = {**malformed.HEADS, **{f"chunk: {name}": content for name, content in malformed.CHUNKS.items()}}
HTTP2 = {**malformed_h2.HEADS, **{f"body: {name}": case for name, case in malformed_h2.BODIES.items()}}

LINE = "how a line is divided: HTTP/2 has its parts one by one"
LINE_END = "how a line ends: HTTP/2 has no lines"
VERSION = "a version: HTTP/2 does not say one in a request"
CHUNK = "how content is cut into chunks: HTTP/2 has frames for it, whose mistakes are in malformed_h2.FRAMES"

# Of HTTP/1.1 alone.
HTTP1_ONLY = {
    **dict.fromkeys([f"request line: {name}" for name in ("two spaces after the method", "two spaces before the version",
        "tab as separator", "space behind the version", "blank before the method")], LINE),
    **dict.fromkeys(["field: no colon", "chunk: trailer without a colon"], LINE),
    **dict.fromkeys([f"request line: {name}" for name in ("bare LF after the request line", "bare CR after the version",
        "two empty lines before the method")], LINE_END),
    **dict.fromkeys(["field: bare LF as the blank line", "field: obs-fold with a space", "field: obs-fold with a tab",
        "field: fold before the first field", "chunk: trailer that is folded"], LINE_END),
    **dict.fromkeys([f"request line: {name}" for name in ("no version (HTTP/0.9)", "version 1.2", "version 2.0", "version 0.9",
        "version in lower case", "version 1.10", "version 01.1", "version without digits", "another protocol")], VERSION),
    "request line: HTTP/2 preface": "HTTP/2's own beginning",
    "request line: TLS client hello": "the beginning of a connection, and no request",
    **dict.fromkeys([name for name in HTTP1 if name.startswith("chunk: ") and "trailer" not in name], CHUNK),
}

# A mistake of HTTP/1.1: that of HTTP/2, or several.
ALIKE = {
    "request line: empty method": "pseudo-field: empty method",
    "request line: no target": "pseudo-field: no path",
    "request line: space in the target": "pseudo-field: path with a version",
    "request line: method that is no token": "pseudo-field: method that is no token",
    "request line: method with NUL": "pseudo-field: method with NUL",
    "request line: bare CR in the request line": "pseudo-field: path with CR LF",
    "field: bare LF after a field": "field: LF in a value",
    "field: bare CR in a value": "field: CR in a value",
    "field: CR CR LF": "field: CR LF at the end of a value",
    "field: space before the colon": "field: space behind a name",
    "field: tab before the colon": "field: tab in a name",
    "field: space before the colon of a length": "field: space behind a name",
    "field: vertical tab behind Transfer-Encoding": "field: transfer-encoding",
    **{f"field: {name}": f"field: {name}" for name in ("empty name", "space in a name", "quote in a name", "umlaut in a name",
        "DEL in a name", "NUL in a name", "NUL in a value", "control in a value", "escape in a value", "DEL in a value")},
    **{f"field: Connection that names {name}": "field: connection that names a field"
        for name in ("Host", "Content-Length", "X-Forwarded-For")},
    **{f"length: {name}": "length: " + name.removeprefix("length ") for name in malformed.LENGTHS if name.startswith("length ")},
    "length: empty length": "length: empty",
    "length: differing lengths": "length: differing",
    "length: equal lengths": "length: equal",
    # Whatever it says, the field itself is one.
    **{f"coding: {name}": "field: transfer-encoding" for name in malformed.CODINGS},
    "coding: identity": "field: transfer-encoding: identity",
    "host: no Host": "host: neither authority nor Host",
    "host: target with user information": "host: authority for Host with user information",
    "host: target with an empty host": ("host: empty authority", "host: empty authority, and a Host"),
    "host: two Hosts in HTTP/1.0": "host: two Hosts",
    "host: two Hosts": "host: two Hosts",
    "host: two different Hosts": ("host: two different Hosts", "host: two Hosts beside the authority"),
    "host: empty Host": ("host: empty Host", "host: empty Host beside the authority"),
    "host: Host that contradicts the target": "host: Host that contradicts the authority",
    "host: Host whose port contradicts the target": "host: Host whose port contradicts the authority",
    **{f"host: {name}": (f"host: authority for {name}", f"host: {name}") for name in malformed.HOSTS
        if f"authority for {name}" in malformed_h2.HOSTS},
    **{f"target: {name}": f"target: {name}" for name in malformed.TARGETS},
    "target: no slash in front": ("target: no slash in front", "pseudo-field: path without a slash"),
    "target: asterisk with GET": ("target: asterisk with GET", "pseudo-field: asterisk with GET"),
    "chunk: trailer with a blank before the colon": "body: trailer with a blank in its name",
    "chunk: trailer with an empty name": "body: trailer with an empty name",
    "chunk: trailer with NUL": "body: trailer with NUL",
    "chunk: trailer with a bare LF": "body: trailer with CR LF",
}

PSEUDO = "pseudo-fields are HTTP/2's"
WHOLE = "in HTTP/1.1 it ends the line, and is no mistake, or another one"
EDGES = "HTTP/1.1 allows blanks around a value, and does not count them to it"
CAPITALS = "HTTP/1.1 allows capitals"
HOP = "HTTP/1.1 allows it: it is of the connection"
FRAMED = "in HTTP/1.1 a length is all that says where content ends, so nothing can contradict it"
STREAMS = "streams are HTTP/2's"

# Of HTTP/2 alone.
HTTP2_ONLY = {
    **dict.fromkeys([name for name in HTTP2 if name.startswith("pseudo-field: ")], PSEUDO),
    **dict.fromkeys(["body: pseudo-field in trailers", "body: pseudo-field of responses in trailers"], PSEUDO),
    **dict.fromkeys([f"field: {name}" for name in ("a field in a name", "colon in a name", "LF in a name", "a field in a value",
        "a request in a value", "space before a name")], WHOLE),
    **dict.fromkeys([f"field: {name}" for name in ("space before a value", "space behind a value", "tab before a value")], EDGES),
    **dict.fromkeys(["field: name in capitals", "field: one capital", "body: trailer in capitals"], CAPITALS),
    **dict.fromkeys([f"field: {name}" for name in ("connection", "keep-alive", "proxy-connection", "upgrade",
        "te with more than trailers", "te with trailers and more")], HOP),
    "field: transfer-encoding in capitals": CAPITALS,
    **dict.fromkeys([f"body: {name}" for name in ("less content than the length says", "more content than the length says",
        "more content in two pieces", "less content, then trailers", "a length and no content", "content behind a length of 0")],
        FRAMED),
    **dict.fromkeys(["body: transfer-encoding in trailers", "body: connection in trailers"], "HTTP/1.1 leaves them out"),
    **dict.fromkeys([f"body: {name}" for name in ("trailers that end nothing", "DATA behind the end", "HEADERS behind the end",
        "window of 0 more", "window beyond 2^31")], STREAMS),
}


def likenesses(name):
    """Those of HTTP/2 that are like it."""
    found = ALIKE.get(name, ())
    return (found,) if isinstance(found, str) else found


_MATCHED = {like for name in ALIKE for like in likenesses(name)}
HTTP2_ONLY = {name: reason for name, reason in HTTP2_ONLY.items() if name not in _MATCHED}


def left_out():
    """What the tables above do not say, or say of nothing or twice; empty when they are in order."""
    return [
        *((name, "is said nothing of") for name in HTTP1 if (name in ALIKE) + (name in HTTP1_ONLY) != 1),
        *((name, "is said nothing of") for name in HTTP2 if (name in _MATCHED) + (name in HTTP2_ONLY) != 1),
        *((name, "is no mistake") for name in {**ALIKE, **HTTP1_ONLY} if name not in HTTP1),
        *((name, "is no mistake") for name in {*_MATCHED, *HTTP2_ONLY} if name not in HTTP2),
    ]
