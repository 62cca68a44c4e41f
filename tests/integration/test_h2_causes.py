"""What fails because of HTTP/2 itself, on either side: each failure under its own name, and nobody else's with it."""

import json
import time

import h2.errors
import h2.events
import h2.settings
import pytest

from gateway import configuration, eventually, free_port
from h2peer import Peer
from h2raw import CONTINUATION, DATA, END_STREAM, HEADERS, MAX_HEADER_LIST_SIZE, PADDED, WINDOW_UPDATE, frame
from h2wire import INTERNAL_ERROR, PROTOCOL_ERROR, h2_connect
from raw import chunk, get, post, response

BOTH = {"protocols": ["h1", "h2"]}
HEAD_LIST = h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE


@pytest.fixture
def speaking(start, origin):
    """To an upstream of HTTP/2, over one connection at a time."""
    return start(configuration(origin, listener=BOTH, upstream={"protocol": "h2", "pool": {"max_connections": 1}},
        admin={"address": f"127.0.0.1:{free_port()}"}))


@pytest.fixture
def gateway(start, origin):
    return start(configuration(origin, listener=BOTH))


def served(gateway, origin, **options):
    """A connection that has served: what is lost on it may be the fault of its rest."""
    client = gateway.connect().send(get("/warm"))
    peer = Peer(origin.accept(), **options)
    peer.answer(peer.request()[0])
    assert client.read_response().status == 200
    return client, peer


def error(answer):
    return answer.status, json.loads(bytes(answer.body))["error"]


# --- an upstream that breaks the rules of its connection --------------------------------------------------------------

# What comes on the stream of the only request.
BREAKS = {
    "data first": lambda stream: frame(DATA, 0, stream, b"early"),
    "flood of CONTINUATION": lambda stream: frame(HEADERS, 0, stream, b"\x88") + frame(CONTINUATION, 0, stream, b"") * 2000,
    "head that cannot be decompressed": lambda stream: frame(HEADERS, 4, stream, b"\xff\xff\xff\xff\xff\xff"),
    "padding beyond the frame": lambda stream: frame(HEADERS, 4, stream, b"\x88") + frame(DATA, PADDED, stream, b"\x05ab"),
    "window beyond all": lambda stream: frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"),
    "HTTP/1": lambda stream: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "content of nothing": lambda stream: frame(DATA, END_STREAM, stream + 200, b"x"),
}


@pytest.mark.parametrize("closes", [False, True], ids=["stays", "closes"])
@pytest.mark.parametrize("name", BREAKS)
def test_an_upstream_that_breaks_the_rules(speaking, origin, name, closes):
    """It is its answer that is bad, also where it has gone before we could say so; and no second connection is broken by it."""
    client, peer = served(speaking, origin)
    client.send(get())
    stream, _ = peer.request()
    peer.wire.sock.sendall(BREAKS[name](stream))
    if closes:
        peer.wire.close()
    if name == "padding beyond the frame":
        client.expect_gone()
    else:
        assert error(client.read_response()) == (502, "upstream_bad_response")
    record = speaking.records(2)[1]
    assert record["cause"] == "upstream_bad_response" and record["why"] and record["retries"] == 0
    assert origin.is_untouched()


def two_requests(gateway, origin, second):
    """A POST, and beside it another request, on a connection that has served."""
    client, peer = served(gateway, origin)
    client.send(post(b"x", target="/guilty"))
    guilty, _ = peer.request()
    other = gateway.connect().send(second)
    innocent, _ = peer.request()
    return client, guilty, other, innocent, peer


def test_others_on_a_broken_connection_are_innocent(speaking, origin):
    guilty, stream, other, _, peer = two_requests(speaking, origin, get("/innocent"))
    peer.wire.sock.sendall(frame(HEADERS, 4, stream, b"\xff\xff\xff\xff\xff\xff"))
    assert error(guilty.read_response()) == (502, "upstream_bad_response")
    again = Peer(origin.accept())
    stream, fields = again.request()
    assert fields[":path"] == "/innocent"
    again.answer(stream, b"here")
    assert other.read_response().body == b"here"


def test_an_innocent_that_may_not_be_repeated(speaking, origin):
    guilty, stream, other, _, peer = two_requests(speaking, origin, post(b"y", target="/innocent"))
    peer.wire.sock.sendall(frame(HEADERS, 4, stream, b"\xff\xff\xff\xff\xff\xff"))
    for client in (guilty, other):
        assert error(client.read_response()) == (502, "upstream_bad_response")
    assert origin.is_untouched()


def test_nobody_knows_for_whom_a_connection_was_broken(speaking, origin):
    guilty, _, other, _, peer = two_requests(speaking, origin, get("/perhaps"))
    peer.wire.sock.sendall(BREAKS["HTTP/1"](0))
    for client in (guilty, other):
        assert error(client.read_response()) == (502, "upstream_bad_response")
    assert origin.is_untouched()


def test_trailers_of_an_answer_beyond_the_limits(start, origin):
    gateway = start(configuration(origin, upstream={"protocol": "h2", "limits": {"header_bytes": "8KiB"}}))
    client = gateway.connect().send(get())
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    peer.head(stream).data(stream, b"some")
    peer.h2.send_headers(stream, [("x", "y" * 9000)], end_stream=True)
    peer.flush()
    client.expect_gone()
    record = gateway.record()
    assert (record["cause"], record["why"]) == ("upstream_bad_response", "the trailers are larger than is allowed")


# --- what the upstream takes ------------------------------------------------------------------------------------------


def goes_on(client, peer, number):
    """What was refused was whole and in order for the client's own connection."""
    client.send(get("/next"))
    stream, fields = peer.request()
    assert (stream, fields[":path"]) == (number, "/next")
    peer.answer(stream)
    assert client.read_response().status == 200


def test_a_head_that_the_upstream_does_not_take(speaking, origin):
    """It is not sent: nobody knows what it would do to the others on the connection."""
    client, peer = served(speaking, origin, settings={HEAD_LIST: 2000})
    client.send(get(fields=["X-Big: " + "x" * 2000]))
    answer = client.read_response()
    assert error(answer) == (431, "headers_too_large")
    assert "the upstream takes no more than 2000 bytes" in json.loads(answer.body)["message"]
    goes_on(client, peer, 3)
    assert origin.is_untouched()
    record = speaking.records(3)[1]
    assert record["cause"] == "headers_too_large" and "SETTINGS_MAX_HEADER_LIST_SIZE" in record["why"]


def test_trailers_that_the_upstream_does_not_take(speaking, origin):
    client, peer = served(speaking, origin, settings={HEAD_LIST: 2000})
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x"))
    stream, _ = peer.request()
    client.send(b"0\r\nX-Big: " + b"x" * 2000 + b"\r\n\r\n")
    answer = client.read_response()
    assert error(answer) == (431, "headers_too_large")
    assert "the upstream takes no more than 2000 bytes" in json.loads(answer.body)["message"]
    assert peer.take(h2.events.StreamReset, stream).error_code == h2.errors.ErrorCodes.CANCEL
    assert not any(isinstance(event, h2.events.TrailersReceived) for event in peer.events)
    goes_on(client, peer, 5)


def test_a_replayed_head_that_the_next_connection_does_not_take(speaking, origin):
    client, peer = served(speaking, origin)
    client.send(get(fields=["X-Big: " + "x" * 2000]))
    peer.request()
    peer.wire.close()
    Peer(origin.accept(), {HEAD_LIST: 2000})
    assert error(client.read_response()) == (431, "headers_too_large")


# --- what the client takes --------------------------------------------------------------------------------------------


def test_an_answer_that_the_client_does_not_take(gateway, origin):
    client = h2_connect(gateway, settings={MAX_HEADER_LIST_SIZE: 1500})
    other = client.request("/other")
    beside = origin.accept()
    beside.read_request()
    stream = client.request("/")
    origin.answer(response("x", fields=["X-Big: " + "x" * 1500]))
    assert error(client.answer(stream)) == (502, "upstream_bad_response")
    beside.send(response("here"))
    assert bytes(client.answer(other).body) == b"here" and client.goaway == []
    assert "larger than the client takes" in gateway.records(2)[0]["why"]


def test_a_hint_that_the_client_does_not_take_is_left_out(gateway, origin):
    client = h2_connect(gateway, settings={MAX_HEADER_LIST_SIZE: 1500})
    stream = client.request("/")
    origin.answer(b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 1500 + b"\r\n\r\n" + response("x"))
    answer = client.answer(stream)
    assert (answer.status, answer.informational, bytes(answer.body)) == (200, [], b"x")


def test_trailers_that_the_client_does_not_take(gateway, origin):
    client = h2_connect(gateway, settings={MAX_HEADER_LIST_SIZE: 1500})
    stream = client.request("/")
    wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    assert client.head_of(stream).status == 200
    wire.send(b"0\r\nX-Big: " + b"x" * 1500 + b"\r\n\r\n")
    answer = client.answer(stream)
    assert (answer.reset, answer.ended, answer.trailers) == (INTERNAL_ERROR, False, None)
    assert gateway.record()["cause"] == "upstream_bad_response" and client.ping().goaway == []


def asks_websocket(client):
    """Of a service that gives everybody a page. Answered it would look open."""
    return client.answer(client.request("/", "CONNECT", [(":protocol", "websocket"), ("sec-websocket-version", "13")], end=False))


@pytest.mark.parametrize("settings, ask", [({MAX_HEADER_LIST_SIZE: 1500}, lambda client: client.ask("/")), ({}, asks_websocket)],
    ids=["head", "websocket"])
def test_what_the_client_cannot_take_opens_no_breaker(start, origin, settings, ask):
    def serve(wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            origin.note(wire.read_request())
            wire.send(response("x", fields=["X-Big: " + "x" * 1500]))

    origin.serve(serve)
    gateway = start(configuration(origin, listener=BOTH, route={"breaker": {"min_calls": 2}}))
    client = h2_connect(gateway, settings=settings)
    assert [error(ask(client)) for _ in range(4)] == [(502, "upstream_bad_response")] * 4
    begun = time.monotonic()
    # What a worker has counted is told some milliseconds later, with the next call.
    eventually(lambda: time.monotonic() - begun > 0.05)
    wire = gateway.connect()
    assert [wire.ask(get()).status for _ in range(3)] == [200] * 3


# --- what a client sends ----------------------------------------------------------------------------------------------


def sending(gateway, origin, fields=()):
    """A request whose head has been passed on."""
    client = h2_connect(gateway)
    stream = client.request("/", "POST", fields=fields, end=False)
    wire = origin.accept()
    wire.read_head()
    return client, stream, wire


@pytest.mark.parametrize("body", [b"four", b"longer than that"], ids=["short", "long"])
def test_content_that_belies_its_length(gateway, origin, body):
    client, stream, wire = sending(gateway, origin, [("content-length", "10")])
    client.content(stream, body)
    assert client.answer(stream).reset == PROTOCOL_ERROR
    wire.expect_gone()
    record = gateway.record()
    assert (record["cause"], record["status"]) == ("bad_request", None)
    assert client.ping().goaway == []


def test_trailers_beyond_the_limits_are_answered(start, origin):
    gateway = start(configuration(origin, listener={**BOTH, "limits": {"header_bytes": "8KiB"}}))
    client, stream, wire = sending(gateway, origin)
    client.trailers(stream, [("x", "y" * 9000)])
    assert error(client.answer(stream)) == (431, "headers_too_large")
    wire.expect_gone()
    record = gateway.record()
    assert (record["cause"], record["why"]) == ("headers_too_large", "the trailers are larger than is allowed")
    assert client.ping().goaway == []


def test_a_client_that_breaks_the_rules(gateway, origin):
    """Its requests end because of that, and it has not left."""
    client, stream, wire = sending(gateway, origin)
    client.send_bytes(frame(DATA, PADDED, stream, b"\x05ab"))
    client.read_to_end()
    assert client.goaway[0][0] == PROTOCOL_ERROR
    wire.expect_gone()
    record = gateway.record()
    assert record["cause"] == "bad_request" and record["why"]
