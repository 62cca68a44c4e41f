"""Requests that must be refused before a byte of them goes upstream.

Each entry is a name and the request as bytes. All of them are malformed in the head (or in framing that the head
settles), so the whole answer is: 400, connection closed, the upstream untouched. RFC sections are of 9112 unless said.
"""

HOST = b"Host: example.com\r\n"


def _get(target=b"/", fields=b"", version=b"HTTP/1.1", host=HOST):
    return b"GET " + target + b" " + version + b"\r\n" + host + fields + b"\r\n"


def _post(fields, body=b"hello"):
    return b"POST / HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


REQUEST_LINES = {
    "empty method": b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no target": b"GET HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces after the method": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces before the version": b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n",
    "tab as separator": b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "space behind the version": b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
    "space in the target": _get(b"/a b"),
    "method that is no token": b"GE(T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "method with NUL": b"GE\0T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no version (HTTP/0.9)": b"GET /\r\n" + HOST + b"\r\n",
    "version 1.2": _get(version=b"HTTP/1.2"),
    "version 2.0": _get(version=b"HTTP/2.0"),
    "version 0.9": _get(version=b"HTTP/0.9"),
    "version in lower case": _get(version=b"http/1.1"),
    "version 1.10": _get(version=b"HTTP/1.10"),
    "version 01.1": _get(version=b"HTTP/01.1"),
    "version without digits": _get(version=b"HTTP/1."),
    "another protocol": _get(version=b"HTTQ/1.1"),
    "bare LF after the request line": b"GET / HTTP/1.1\n" + HOST + b"\r\n",
    "bare CR in the request line": b"GET /\rx HTTP/1.1\r\n" + HOST + b"\r\n",
    "bare CR after the version": b"GET / HTTP/1.1\rX: y\r\n" + HOST + b"\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS client hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "blank before the method": b" GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "two empty lines before the method": b"\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n",
}

FIELDS = {
    "bare LF after a field": _get(fields=b"A: b\nC: d\r\n"),
    "bare LF as the blank line": b"GET / HTTP/1.1\r\n" + HOST + b"\n",
    "bare CR in a value": _get(fields=b"A: b\rc\r\n"),
    "CR CR LF": _get(fields=b"A: b\r\r\n"),
    "obs-fold with a space": _get(fields=b"A: b\r\n c\r\n"),
    "obs-fold with a tab": _get(fields=b"A: b\r\n\tc\r\n"),
    "fold before the first field": b"GET / HTTP/1.1\r\n " + HOST + b"\r\n",
    "space before the colon": _get(fields=b"A : b\r\n"),
    "tab before the colon": _get(fields=b"A\t: b\r\n"),
    "space before the colon of a length": _post(b"Content-Length : 5\r\n"),
    "no colon": _get(fields=b"A\r\n"),
    "empty name": _get(fields=b": b\r\n"),
    "space in a name": _get(fields=b"A B: c\r\n"),
    "quote in a name": _get(fields=b'A"B: c\r\n'),
    "umlaut in a name": _get(fields=b"\xc3\xa4: c\r\n"),
    "DEL in a name": _get(fields=b"A\x7f: c\r\n"),
    "NUL in a name": _get(fields=b"A\0: c\r\n"),
    "NUL in a value": _get(fields=b"A: b\0c\r\n"),
    "control in a value": _get(fields=b"A: b\x01c\r\n"),
    "escape in a value": _get(fields=b"A: \x1b[31m\r\n"),
    "DEL in a value": _get(fields=b"A: b\x7fc\r\n"),
    "vertical tab behind Transfer-Encoding": _post(b"Transfer-Encoding:\x0bchunked\r\n", b"0\r\n\r\n"),
    "Connection that names Host": _get(fields=b"Connection: Host\r\n"),
    "Connection that names Content-Length": _post(b"Content-Length: 5\r\nConnection: Content-Length\r\n"),
    "Connection that names X-Forwarded-For": _get(fields=b"Connection: close, X-Forwarded-For\r\n"),
}

LENGTHS = {
    "length with a plus": _post(b"Content-Length: +5\r\n"),
    "length with a minus": _post(b"Content-Length: -5\r\n"),
    "length in hexadecimal": _post(b"Content-Length: 0x5\r\n"),
    "length with a fraction": _post(b"Content-Length: 5.0\r\n"),
    "length with an exponent": _post(b"Content-Length: 5e0\r\n"),
    "length with a blank inside": _post(b"Content-Length: 5 5\r\n"),
    "length with an underscore": _post(b"Content-Length: 5_0\r\n"),
    "length as a list of equals": _post(b"Content-Length: 5, 5\r\n"),
    "length as a list": _post(b"Content-Length: 1,2\r\n"),
    "empty length": _post(b"Content-Length: \r\n"),
    "length of 2^64": _post(b"Content-Length: 18446744073709551616\r\n"),
    "length of 2^64 + 5": _post(b"Content-Length: 18446744073709551621\r\n"),
    "length of 2^63": _post(b"Content-Length: 9223372036854775808\r\n"),
    "length of a hundred digits": _post(b"Content-Length: " + b"9" * 100 + b"\r\n"),
    "differing lengths": _post(b"Content-Length: 5\r\nContent-Length: 6\r\n"),
    "equal lengths": _post(b"Content-Length: 5\r\nContent-Length: 5\r\n"),
    "length of a GET, malformed": _get(fields=b"Content-Length: x\r\n"),
}

CODINGS = {
    "length and chunked": _post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "chunked and length": _post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    "chunked and length 0": _post(b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", b"0\r\n\r\n"),
    "chunked twice": _post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "chunked twice in one": _post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
    "gzip, chunked": _post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "chunked, identity": _post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
    "identity": _post(b"Transfer-Encoding: identity\r\n"),
    "identity and length": _post(b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n"),
    "unknown coding": _post(b"Transfer-Encoding: cow\r\n"),
    "chunked with a parameter": _post(b"Transfer-Encoding: chunked;a=b\r\n", b"0\r\n\r\n"),
    "chunked in quotes": _post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"),
    "xchunked": _post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "empty coding": _post(b"Transfer-Encoding:\r\n", b"0\r\n\r\n"),
    "a comma before chunked": _post(b"Transfer-Encoding: ,chunked\r\n", b"0\r\n\r\n"),
    "chunked in HTTP/1.0":
        b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length in HTTP/1.0":
        b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
}

HOSTS = {
    "no Host": _get(host=b""),
    "two Hosts": _get(host=HOST + HOST),
    "two different Hosts": _get(host=HOST + b"Host: other.example\r\n"),
    "empty Host": _get(host=b"Host:\r\n"),
    "Host with a path": _get(host=b"Host: example.com/admin\r\n"),
    "Host with user information": _get(host=b"Host: me@example.com\r\n"),
    "Host with a blank": _get(host=b"Host: example.com other\r\n"),
    "Host as a list": _get(host=b"Host: a, b\r\n"),
    "Host with port 0": _get(host=b"Host: example.com:0\r\n"),
    "Host with port 65536": _get(host=b"Host: example.com:65536\r\n"),
    "Host with a port in letters": _get(host=b"Host: example.com:http\r\n"),
    "Host with a signed port": _get(host=b"Host: example.com:+80\r\n"),
    "Host with two ports": _get(host=b"Host: example.com:80:80\r\n"),
    "Host with percent": _get(host=b"Host: ex%61mple.com\r\n"),
    "Host with a query": _get(host=b"Host: example.com?x\r\n"),
    "Host with an open bracket": _get(host=b"Host: [::1\r\n"),
    "Host with no address in brackets": _get(host=b"Host: [example.com]\r\n"),
    "Host with an empty label": _get(host=b"Host: a..b\r\n"),
    "only a port as Host": _get(host=b"Host: :80\r\n"),
    "Host that contradicts the target": _get(b"http://other.example/"),
    "Host whose port contradicts the target": _get(b"http://example.com:8080/"),
    "target with user information": _get(b"http://me@example.com/"),
    "target with an empty host": _get(b"http:///x"),
    "two Hosts in HTTP/1.0": _get(version=b"HTTP/1.0", host=HOST + HOST),
}

TARGETS = {
    "encoded NUL": _get(b"/a%00b"),
    "encoded NUL at the end": _get(b"/a%00"),
    "encoded CR LF": _get(b"/a%0d%0aX:%20y"),
    "encoded control": _get(b"/%1f"),
    "encoded DEL": _get(b"/%7f"),
    "encoded slash": _get(b"/a%2fb"),
    "encoded slash in capitals": _get(b"/a%2Fb"),
    "encoded backslash": _get(b"/a%5cb"),
    "encoded backslash in capitals": _get(b"/a%5Cb"),
    "backslash": _get(b"/a\\b"),
    "climbs out": _get(b"/.."),
    "climbs out with a slash": _get(b"/../x"),
    "climbs out further down": _get(b"/a/../../x"),
    "climbs out encoded": _get(b"/%2e%2e/x"),
    "climbs out half encoded": _get(b"/.%2e/x"),
    "climbs out in capitals": _get(b"/%2E%2E/x"),
    "dots with an encoded slash": _get(b"/a/..%2fb"),
    "dots with an encoded backslash": _get(b"/a/..%5cb"),
    "dots with a parameter": _get(b"/a/..;x/b"),
    "one percent": _get(b"/a%"),
    "percent and one digit": _get(b"/a%4"),
    "percent and no digits": _get(b"/a%zz"),
    "fragment": _get(b"/a#b"),
    "fragment in a query": _get(b"/a?b#c"),
    "NUL in the target": _get(b"/a\0b"),
    "DEL in the target": _get(b"/a\x7fb"),
    "tab in the target": _get(b"/a\tb"),
    "no slash in front": _get(b"admin"),
    "another scheme": _get(b"ftp://example.com/"),
    "scheme without slashes": _get(b"http:example.com/"),
    "authority as a target": _get(b"example.com:80"),
    "asterisk with GET": _get(b"*"),
    "only a query": _get(b"?a=b"),
}

HEADS = {
    f"{group}: {name}": request
    for group, table in (("request line", REQUEST_LINES), ("field", FIELDS), ("length", LENGTHS), ("coding", CODINGS),
        ("host", HOSTS), ("target", TARGETS))
    for name, request in table.items()
}

# Malformed behind the head: content in chunks, whose head is in order.
CHUNKS = {
    "empty size": b"\r\n0\r\n\r\n",
    "size that is no number": b"x\r\n\r\n",
    "size with a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size with a plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "negative size": b"-1\r\nhello\r\n0\r\n\r\n",
    "blank before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "blank behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "size of 2^64 + 5": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "size of 2^60": b"1000000000000000\r\nhello\r\n0\r\n\r\n",
    "bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "bare CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "more data than the size says": b"3\r\nhello\r\n0\r\n\r\n",
    "less data than the size says": b"7\r\nhello\r\n0\r\n\r\n",
    "bare LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "nothing behind the data": b"5\r\nhello0\r\n\r\n",
    "bare LF behind the last chunk": b"5\r\nhello\r\n0\n\n",
    "extension with a bare LF": b"5;a\nhello\r\n0\r\n\r\n",
    "extension with NUL": b"5;a=\0\r\nhello\r\n0\r\n\r\n",
    "extension without a name": b"5;=b\r\nhello\r\n0\r\n\r\n",
    "extension whose quotes stay open": b'5;a="b\r\nhello\r\n0\r\n\r\n',
    "extension of a kilobyte": b"5;a=" + b"b" * 1024 + b"\r\nhello\r\n0\r\n\r\n",
    "many extensions": b"".join(b"1;a=" + b"b" * 400 + b"\r\nx\r\n" for _ in range(50)) + b"0\r\n\r\n",
    "trailer without a colon": b"5\r\nhello\r\n0\r\nbad\r\n\r\n",
    "trailer with an empty name": b"5\r\nhello\r\n0\r\n: b\r\n\r\n",
    "trailer with a blank before the colon": b"5\r\nhello\r\n0\r\nA : b\r\n\r\n",
    "trailer that is folded": b"5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n",
    "trailer with NUL": b"5\r\nhello\r\n0\r\nA: \0\r\n\r\n",
    "trailer with a bare LF": b"5\r\nhello\r\n0\r\nA: b\n\r\n",
}
