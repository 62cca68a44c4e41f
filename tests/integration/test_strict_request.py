"""Strict reading of requests: what is malformed gets a 400, the connection is closed, nothing goes upstream."""

import json

import pytest

from gateway import Gateway, configuration
from malformed import CHUNKS, HEADS
from origin import Origin
from raw import ends_with_last_chunk, get, response

CHUNKED = b"POST / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n"

# What a refused request must not become for anyone who reads on.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """One gateway and its origin for the whole table."""
    origin = Origin()
    gateway = Gateway(configuration(origin), tmp_path_factory.mktemp("strict"))
    yield gateway, origin
    gateway.stop()
    untouched = origin.is_untouched()
    origin.close()
    assert untouched, "something went upstream after all"


def assert_refused(client):
    answer = client.read_response()
    assert answer.status == 400
    assert answer.get("Connection") == "close"
    error = json.loads(answer.body)
    assert (error["error"], error["status"]) == ("bad_request", 400)
    client.half_close()
    client.expect_end()


@pytest.mark.parametrize("request_bytes", HEADS.values(), ids=HEADS.keys())
def test_malformed_head(pair, request_bytes):
    gateway, origin = pair
    client = gateway.connect()
    client.send(request_bytes + SMUGGLED)
    assert_refused(client)
    assert origin.is_untouched()


@pytest.mark.parametrize("request_bytes", HEADS.values(), ids=HEADS.keys())
def test_malformed_head_in_two_pieces(pair, request_bytes):
    """Where the input is cut makes no difference."""
    gateway, origin = pair
    middle = len(request_bytes) * 2 // 3
    client = gateway.connect()
    client.send(request_bytes[:middle])
    client.wait_taken()
    client.send(request_bytes[middle:] + SMUGGLED)
    assert_refused(client)
    assert origin.is_untouched()


@pytest.mark.parametrize("content", CHUNKS.values(), ids=CHUNKS.keys())
def test_malformed_chunks(start, origin, content):
    """The head may have gone upstream; a whole request must not, and the connection carries no other."""
    gateway = start(configuration(origin))
    client = gateway.connect()
    client.send(CHUNKED + content + SMUGGLED)
    assert_refused(client)
    if origin.is_wanted():
        seen = origin.accept().expect_gone()
        assert b"smuggled" not in seen
        assert not ends_with_last_chunk(seen)
    record = gateway.record()
    assert (record["status"], record["cause"]) == (400, "bad_request")
    assert record["why"]


@pytest.mark.parametrize("content", [b"zz\r\n", b"5\r\nhelloX", b"5;\0"], ids=["size", "data end", "extension"])
def test_malformed_chunk_after_good_ones(start, origin, content):
    gateway = start(configuration(origin))
    client = gateway.connect()
    client.send(CHUNKED + b"4\r\ngood\r\n")
    wire = origin.accept()
    wire.read_head()
    assert wire.read_chunk() == b"good"
    client.send(content)
    assert_refused(client)
    seen = wire.expect_gone()
    assert not ends_with_last_chunk(seen)
    assert gateway.record()["cause"] == "bad_request"


def test_refusal_is_logged_with_its_reason(start, origin):
    gateway = start(configuration(origin))
    gateway.connect().ask(get("/a%00b"))
    record = gateway.record()
    assert (record["status"], record["cause"], record["upstream"]) == (400, "bad_request", None)
    assert record["target"] == "/a%00b"
    assert "control" in record["why"] or "NUL" in record["why"]


def test_refused_as_soon_as_it_can_be_seen(pair):
    """No waiting for the end of a head that is already wrong."""
    gateway, _ = pair
    client = gateway.connect().send(b"GET / HTTP/1.1\r\nHost: example.com\r\nA : b")
    assert client.read_response().status == 400


@pytest.mark.parametrize("pieces", [
    [b"GET / HTTP/1.1\r\nHost: example.com\r\nAccept: text/plain, text/html\r\n", b"Bad Name: x\r\n"],
    [b"GET / HTTP/1.1\r\nHost: example.com\r\nAccept: text/plain, text/html\r\nA: b", b"\r\n folded\r\n"],
    [b"GET / HTTP/1.1\r\n", b"Host: example.com\r\n", b"Content-Length: 1\r\n", b"Content-Length: 2\r\n"],
], ids=["name", "fold", "lines"])
def test_refused_as_soon_as_it_can_be_seen_in_pieces(pair, pieces):
    """The same bytes get the same answer however they arrive; not a timeout when they come line by line."""
    gateway, _ = pair
    client = gateway.connect().send_apart(pieces)
    assert client.read_response().status == 400


@pytest.mark.parametrize("pieces", [
    [b"\r\n\r\n" + get()],
    [b"\r\n", b"\r\n" + get()],
    [b"\r\n\r", b"\n" + get()],
    [b"\r", b"\n\r\n" + get()],
    [b"\r\n", b"\r\n", get()],
], ids=["whole", "2+", "3+", "1+", "2+2+"])
def test_two_empty_lines_however_they_arrive(pair, pieces):
    """One is skipped (RFC 9112 §2.2), a second one is not, wherever the input is cut."""
    gateway, _ = pair
    client = gateway.connect().send_apart(pieces[:-1])
    client.send(pieces[-1])
    assert client.read_response().status == 400


def test_answer_is_not_lost_to_a_reset(pair):
    """Closing with unread input resets a connection, and may destroy the answer on its way (RFC 9112 §9.6)."""
    gateway, _ = pair
    client = gateway.connect(receive_buffer=4096)
    client.send(b"GET / HTTP/1.1\r\nA : b\r\n\r\n" + b"x" * 100_000)
    client.wait_taken()
    assert client.read_response().status == 400
    client.half_close()
    client.expect_end()


CANONICAL = {
    "/": "/",
    "//a///b//": "/a/b/",
    "/./a/./b/.": "/a/b/",
    "/a/../b": "/b",
    "/a/b/..": "/a/",
    "/a/%2e%2e/b": "/b",
    "/a/%2E/b": "/a/b",
    "/%7euser": "/~user",
    "/%41%42": "/AB",
    "/a%20b": "/a%20b",
    "/a%c3%a4": "/a%C3%A4",
    "/a%3fb": "/a%3Fb",
    "/a%25b": "/a%25b",
    "/%252e%252e/x": "/%252e%252e/x",
    "/...": "/...",
    "/a?x=/../y&z=%2f%00": "/a?x=/../y&z=%2f%00",
    "/a?": "/a?",
    "/a;v=1/b": "/a;v=1/b",
}


@pytest.mark.parametrize("target", CANONICAL.keys())
def test_one_canonical_target_is_forwarded(gateway, origin, target):
    gateway.connect().send(get(target))
    wire, request = origin.answer(response())
    assert request.target == CANONICAL[target]
    assert gateway.record()["target"] == CANONICAL[target]


def test_raw_bytes_beyond_ascii_are_encoded(gateway, origin):
    gateway.connect().send(b"GET /\xc3\xa4?\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert origin.accept().read_request().target == "/%C3%A4?%C3%A4"
