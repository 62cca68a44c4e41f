"""Strict reading of responses: a malformed one is a 502, and no connection in doubt is used again."""

import json

import pytest

from gateway import configuration
from raw import chunk, ends_with_last_chunk, get, response

OK = b"HTTP/1.1 200 OK\r\n"

MALFORMED = {
    "not HTTP": b"hello\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>\r\n",
    "version in lower case": b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
    "status in letters": b"HTTP/1.1 OK OK\r\nContent-Length: 0\r\n\r\n",
    "two spaces before the status": b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
    "control in the reason": b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n",
    "bare LF after the status line": b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "bare LF after a field": OK + b"A: b\nContent-Length: 0\r\n\r\n",
    "bare CR in a value": OK + b"A: b\rc\r\nContent-Length: 0\r\n\r\n",
    "obs-fold": OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": OK + b"Content-Length : 0\r\n\r\n",
    "empty name": OK + b": b\r\nContent-Length: 0\r\n\r\n",
    "space in a name": OK + b"A b: c\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": OK + b"A: \0\r\nContent-Length: 0\r\n\r\n",
    "length and chunked": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "differing lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "equal lengths": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "list of lengths": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "length with a plus": OK + b"Content-Length: +5\r\n\r\nhello",
    "negative length": OK + b"Content-Length: -1\r\n\r\n",
    "length in hexadecimal": OK + b"Content-Length: 0x5\r\n\r\nhello",
    "empty length": OK + b"Content-Length:\r\n\r\n",
    "length of 2^64": OK + b"Content-Length: 18446744073709551616\r\n\r\n",
    "gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": OK + b"Transfer-Encoding: identity\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    "204 with chunks": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "100 with a length": b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello",
    "101 without being asked":
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_head(gateway, origin, answer):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(answer)
    refused = client.read_response()
    assert refused.status == 502
    assert json.loads(refused.body)["error"] == "upstream_bad_response"
    # The upstream's connection is not used again; the client's is in order.
    wire.expect_gone()
    client.send(get("/next"))
    origin.answer(response("fine"))
    assert client.read_response().body == b"fine"
    record = gateway.records(2)[0]
    assert (record["cause"], record["upstream_status"]) == ("upstream_bad_response", False)
    assert record["why"]


MALFORMED_CHUNKS = {
    "size that is no number": b"zz\r\n",
    "size of 2^64": b"10000000000000000\r\n",
    "bare LF behind the size": b"5\nhello\r\n",
    "more data than the size says": b"3\r\nhello\r\n",
    "trailer without a colon": b"0\r\nbad\r\n\r\n",
    "endless extension": b"5;" + b"a" * 1000,
}


@pytest.mark.parametrize("content", MALFORMED_CHUNKS.values(), ids=MALFORMED_CHUNKS.keys())
def test_malformed_chunk_aborts_what_has_begun(gateway, origin, content):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk("good"))
    assert client.read_head().framing == "chunked"
    assert client.read_chunk() == b"good"
    wire.send(content)
    seen = client.expect_abort()
    assert not ends_with_last_chunk(seen)
    wire.expect_gone()
    record = gateway.record()
    assert (record["status"], record["cause"]) == (200, "upstream_bad_response")


SURPLUS = {
    "bytes behind the length": response("hello") + b"surplus",
    "a second response": response("hello") + response("injected"),
    "bytes behind the last chunk":
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk("hello") + b"0\r\n\r\n" + b"surplus",
    "content of a 304": b"HTTP/1.1 304 Not Modified\r\n\r\nhello",
    "content of a 204": b"HTTP/1.1 204 No Content\r\n\r\nhello",
}


@pytest.mark.parametrize("answer", SURPLUS.values(), ids=SURPLUS.keys())
def test_surplus_bytes_end_the_connection(gateway, origin, answer):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(answer)
    assert client.read_response().body in (b"hello", b"")
    wire.expect_gone()
    client.send(get("/next"))
    origin.answer(response("the right one"))
    assert client.read_response().body == b"the right one"


def test_content_of_a_response_to_head_ends_the_connection(gateway, origin):
    client = gateway.connect().send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    wire, _ = origin.answer(response("hello"))
    assert client.read_response("HEAD").get("Content-Length") == "5"
    wire.expect_gone()
    client.send(get("/next"))
    origin.answer(response("the right one"))
    assert client.read_response().body == b"the right one"


def test_bytes_on_an_idle_connection_end_it(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(response("hello"))
    assert client.read_response().body == b"hello"
    wire.send(response("unsolicited"))
    wire.expect_gone()
    client.send(get("/next"))
    origin.answer(response("the right one"))
    assert client.read_response().body == b"the right one"


def test_too_many_informational_responses(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + response("x"))
    while (answer := client.read_response()).status == 103:
        pass
    assert answer.status == 502
    wire.expect_gone()
    assert gateway.record()["cause"] == "upstream_bad_response"


def test_head_larger_than_allowed(start, origin):
    gateway = start(configuration(origin, upstream={"limits": {"header_bytes": "4KiB"}}))
    client = gateway.connect().send(get())
    origin.answer(response(fields=["A: " + "b" * 5000]))
    assert client.read_response().status == 502
    assert gateway.record()["cause"] == "upstream_bad_response"


def test_more_fields_than_allowed(start, origin):
    gateway = start(configuration(origin, upstream={"limits": {"header_count": 10}}))
    client = gateway.connect().send(get())
    origin.answer(response(fields=["A: b"] * 11))
    assert client.read_response().status == 502
    assert gateway.record()["cause"] == "upstream_bad_response"


def test_upstream_closes_without_an_answer(gateway, origin):
    client, wire, _ = origin.asked(gateway)
    wire.close()
    assert client.read_response().status == 502
    assert gateway.record()["cause"] == "upstream_reset"


def test_upstream_closes_in_the_middle_of_a_head(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\nContent-Le")
    wire.close()
    assert client.read_response().status == 502
    assert gateway.record()["cause"] == "upstream_reset"


def test_upstream_resets_without_an_answer(gateway, origin):
    client, wire, _ = origin.asked(gateway)
    wire.reset()
    assert client.read_response().status == 502
    assert gateway.record()["cause"] == "upstream_reset"


def test_reason_may_be_missing(gateway, origin):
    """RFC 9112 §4: recipients ignore the phrase; some servers leave it out with its space."""
    client = gateway.connect()
    for line in (b"HTTP/1.1 200\r\n", b"HTTP/1.1 200 \r\n"):
        client.send(get())
        wire, _ = origin.answer(line + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        assert client.read_response().status == 200
        wire.expect_gone()
