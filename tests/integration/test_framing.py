"""Where a message ends: lengths, chunks, trailers, responses without content, and the translation between them."""

import pytest

from gateway import configuration
from raw import chunk, get, post, response
from translators import CLIENT

CHUNKED = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_chunked_request_stays_chunked(gateway, origin):
    client = gateway.connect().send(CHUNKED.encode() + chunk("one") + chunk("two") + b"0\r\n\r\n")
    _, request = origin.answer(response())
    assert request.framing == "chunked"
    assert request.body == b"onetwo"
    assert client.read_response().status == 200
    assert gateway.record()["bytes_in"] == 6


def test_chunk_is_forwarded_before_the_next_one_comes(gateway, origin):
    client = gateway.connect().send(CHUNKED.encode() + chunk("one"))
    wire = origin.accept()
    wire.read_head()
    assert wire.read_chunk() == b"one"
    client.send(chunk("two"))
    assert wire.read_chunk() == b"two"
    client.send("0\r\n\r\n")
    assert wire.read_chunk() == b""
    assert wire.read_trailers() == []


def test_content_of_known_length_is_forwarded_as_it_comes(gateway, origin):
    client = gateway.connect().send(post("x" * 1000)[:-600])
    wire = origin.accept()
    assert wire.read_head().framing == 1000
    wire.take(400)
    client.send("y" * 600)
    assert wire.take(600) == b"y" * 600


def test_chunks_byte_by_byte(gateway, origin):
    content = b"a;x=\"y\"\r\n0123456789\r\n0\r\nT: v\r\n\r\n"
    client = gateway.connect().send(CHUNKED)
    client.send_apart([content[i:i + 1] for i in range(len(content))])
    _, request = origin.answer(response())
    assert request.body == b"0123456789"
    assert request.trailers == [("T", "v")]


def test_chunk_extensions_are_not_passed_on(gateway, origin):
    client = gateway.connect().send(CHUNKED.encode() + b"3;a=b;c=\"d;e\"\r\none\r\n0;last\r\n\r\n")
    _, request = origin.answer(response())
    assert request.body == b"one"
    assert client.read_response().status == 200


def test_sizes_in_capitals_and_with_leading_zeros(gateway, origin):
    client = gateway.connect().send(CHUNKED.encode() + b"000A\r\n0123456789\r\n00\r\n\r\n")
    _, request = origin.answer(response())
    assert request.body == b"0123456789"
    assert client.read_response().status == 200


# In HTTP/2 it contradicts the content.
LENGTH_IN_TRAILERS = b"Content-Length: 5\r\n" if CLIENT == "h1" else b""


def test_request_trailers(gateway, origin):
    client = gateway.connect()
    client.send(CHUNKED.encode() + chunk("x") + b"0\r\nX-Sum: 1\r\n" + LENGTH_IN_TRAILERS + b"Host: b\r\n\r\n")
    _, request = origin.answer(response())
    assert [(name.lower(), value) for name, value in request.trailers] == [("x-sum", "1")]
    assert client.read_response().status == 200


def test_response_trailers(gateway, origin):
    client = gateway.connect().send(get())
    origin.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + chunk("x") +
        b"0\r\nX-Sum: 1\r\nSet-Cookie: no\r\n\r\n")
    answer = client.read_response()
    assert answer.body == b"x"
    assert [(name.lower(), value) for name, value in answer.trailers] == [("x-sum", "1")]


def test_trailers_of_a_request_larger_than_a_head_may_be(gateway, origin):
    client = gateway.connect()
    client.send(CHUNKED.encode() + chunk("x"))
    wire = origin.accept()
    wire.read_head()
    assert wire.read_chunk() == b"x"
    client.send(b"0\r\nA: " + b"b" * 40_000)
    assert 400 <= client.read_response().status < 500
    assert not wire.expect_gone().startswith(b"0\r\n")
    assert gateway.record()["cause"] in ("bad_request", "headers_too_large")


def test_trailers_of_a_response_larger_than_a_head_may_be(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("x"))
    client.read_head()
    assert client.read_chunk() == b"x"
    wire.send(b"0\r\nA: " + b"b" * 80_000)
    client.expect_abort()
    assert gateway.record()["cause"] == "upstream_bad_response"


def test_content_length_0_is_passed_on(gateway, origin):
    client = gateway.connect().send(post(""))
    _, request = origin.answer(response())
    assert request.get("Content-Length") == "0"
    assert client.read_response().get("Content-Length") == "0"


def test_chunked_response_is_forwarded_as_it_comes(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"))
    assert client.read_head().framing == "chunked"
    assert client.read_chunk() == b"one"
    wire.send(chunk("two"))
    assert client.read_chunk() == b"two"
    wire.send("0\r\n\r\n")
    assert client.read_chunk() == b""
    assert client.read_trailers() == []
    client.send(get("/next"))
    assert wire.read_request().target == "/next"


def test_chunked_response_for_an_http_1_0_client_ends_with_the_connection(gateway, origin):
    client = gateway.connect().send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    origin.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one") + chunk("two") +
        b"0\r\nX-Sum: 1\r\n\r\n")
    answer = client.read_response()
    assert answer.get("Transfer-Encoding") is None
    assert answer.body == b"onetwo"
    assert (answer.get("Connection") or "close").lower() == "close"


def test_response_until_close_becomes_chunked(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\n\r\nsome ")
    assert client.read_head().framing == "chunked"
    assert client.read_chunk() == b"some "
    wire.send("content")
    assert client.read_chunk() == b"content"
    wire.close()
    assert client.read_chunk() == b""
    assert client.read_trailers() == []
    client.send(get("/next"))
    assert origin.accept().read_request().target == "/next"


def test_response_until_close_that_is_empty(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\n\r\n")
    wire.close()
    assert client.read_response().body == b""


def test_response_of_an_http_1_0_upstream(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold")
    answer = client.read_response()
    assert (answer.start, answer.body) == ("HTTP/1.1 200 OK", b"old")
    wire.expect_end()


def test_http_1_0_upstream_that_keeps_its_connection(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold")
    assert client.read_response().body == b"old"
    client.send(get("/next"))
    assert wire.read_request().target == "/next"


@pytest.mark.parametrize("fields", [["Content-Length: 1000"], ["Transfer-Encoding: chunked"], []],
    ids=["length", "chunked", "neither"])
def test_head_has_no_content(gateway, origin, fields):
    client = gateway.connect().send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    head = "".join(line + "\r\n" for line in ["HTTP/1.1 200 OK", *fields]) + "\r\n"
    wire = origin.accept()
    assert wire.read_request().method == "HEAD"
    wire.send(head)
    answer = client.read_response("HEAD")
    if fields == ["Content-Length: 1000"]:
        assert answer.get("Content-Length") == "1000"
    # Both connections go on.
    client.send(get("/next"))
    assert wire.read_request().target == "/next"
    wire.send(response("y"))
    assert client.read_response().body == b"y"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_content(gateway, origin, status):
    client, wire, _ = origin.asked(gateway)
    wire.send(f"HTTP/1.1 {status}\r\nETag: \"x\"\r\n\r\n")
    answer = client.read_response()
    assert (answer.status, answer.get("ETag"), answer.get("Transfer-Encoding")) == (int(status[:3]), '"x"', None)
    client.send(get("/next"))
    assert wire.read_request().target == "/next"


def test_204_with_a_length_of_0_goes_on_without_it(gateway, origin):
    """RFC 9110 §8.6 forbids the field; with 0 it is a harmless slip of the upstream."""
    client, wire, _ = origin.asked(gateway)
    wire.send("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
    answer = client.read_response()
    assert (answer.status, answer.get("Content-Length")) == (204, None)
    client.send(get("/next"))
    assert wire.read_request().target == "/next"


def test_304_may_have_the_length_of_what_it_does_not_send(gateway, origin):
    client, wire, _ = origin.asked(gateway)
    wire.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n")
    assert client.read_response().get("Content-Length") == "1000"
    client.send(get("/next"))
    assert wire.read_request().target == "/next"


def test_205_is_a_response_like_others(gateway, origin):
    client = gateway.connect().send(get())
    origin.answer(response(status="205 Reset Content"))
    assert client.read_response().status == 205


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_truncated_content_never_looks_complete(gateway, origin, framing):
    client, wire, _ = origin.asked(gateway)
    if framing == "length":
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    else:
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("half"))
    client.read_head()
    wire.close()
    seen = client.expect_abort()
    assert seen in (b"half", chunk("half"))
    record = gateway.record()
    assert (record["status"], record["cause"]) == (200, "upstream_reset")


def test_reset_in_content_until_close_is_no_end(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    client.read_head()
    assert client.read_chunk() == b"half"
    wire.reset()
    client.expect_abort()
    assert gateway.record()["cause"] == "upstream_reset"


def test_truncated_content_for_an_http_1_0_client_never_looks_complete(gateway, origin):
    """Here the end of the connection is the end of the content, so only a reset can tell."""
    client = gateway.connect().send("GET / HTTP/1.0\r\n\r\n")
    wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("half"))
    client.read_head()
    wire.close()
    client.expect_abort()


def test_large_content_both_ways(gateway, origin):
    content = bytes(range(256)) * 4096
    origin.serve(lambda wire, _: wire.send(response(wire.read_request().body)))
    answer = gateway.connect().ask(post(content))
    assert answer.body == content
    record = gateway.record()
    assert (record["bytes_in"], record["bytes_out"]) == (len(content), len(content))


def test_large_chunked_content_both_ways(start, origin):
    gateway = start(configuration(origin))
    content = bytes(range(256)) * 1024

    def echo(wire, _):
        request = wire.read_request()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        wire.send(head + b"".join(chunk(request.body[i:i + 777]) for i in range(0, len(content), 777)) + b"0\r\n\r\n")

    origin.serve(echo)
    chunks = b"".join(chunk(content[i:i + 999]) for i in range(0, len(content), 999))
    assert gateway.connect().ask(CHUNKED.encode() + chunks + b"0\r\n\r\n").body == content
