"""What fails because of HTTP/2 itself, on either side: each failure under its own name, and nobody else's with it."""

import json

import pytest

from gateway import configuration, free_port
from h2peer import Peer
from h2raw import CONTINUATION, DATA, END_STREAM, HEADERS, PADDED, WINDOW_UPDATE, frame
from h2wire import PROTOCOL_ERROR, h2_connect
from raw import get, post

BOTH = {"protocols": ["h1", "h2"]}


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
