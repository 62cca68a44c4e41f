"""1xx responses go through before the final one (RFC 9110 §15.2)."""

import pytest

from raw import get, post, response


def test_early_hints_are_forwarded_at_once(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
    hints = client.read_response()
    assert (hints.status, hints.get("Link")) == (103, "</a.css>; rel=preload")
    wire.send(response("final"))
    assert client.read_response().body == b"final"
    client.send(get("/next"))
    assert wire.read_request().target == "/next"


def test_several_in_one_piece_with_the_final_one(gateway, origin):
    client = gateway.connect().send(get())
    origin.answer(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + response("final"))
    assert [client.read_response().status for _ in range(3)] == [102, 103, 200]


def test_unknown_ones_too(gateway, origin):
    client = gateway.connect().send(get())
    origin.answer(b"HTTP/1.1 199 Whatever\r\n\r\n" + response("final"))
    assert client.read_response().status == 199
    assert client.read_response().body == b"final"


def test_not_for_http_1_0(gateway, origin):
    client = gateway.connect().send("GET / HTTP/1.0\r\n\r\n")
    origin.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n" + response("final"))
    answer = client.read_response()
    assert (answer.status, answer.body) == (200, b"final")


def test_100_without_an_expectation(gateway, origin):
    """Allowed at any time, and no reason to think that the request is over."""
    client = gateway.connect().send(post("hello world")[:-6])
    wire = origin.accept()
    wire.read_head()
    assert wire.take(5) == b"hello"
    wire.send("HTTP/1.1 100 Continue\r\n\r\n")
    assert client.read_response().status == 100
    client.send(" world")
    assert wire.take(6) == b" world"
    wire.send(response("final"))
    assert client.read_response().body == b"final"


def test_hop_by_hop_fields_are_removed(gateway, origin):
    client = gateway.connect().send(get())
    origin.answer(b"HTTP/1.1 103 Early Hints\r\nConnection: X-Own\r\nX-Own: a\r\nKeep-Alive: 5\r\nX-Stays: b\r\n\r\n" +
        response())
    hints = client.read_response()
    assert (hints.get("X-Own"), hints.get("Keep-Alive"), hints.get("X-Stays")) == (None, None, "b")


@pytest.mark.parametrize("cut", [8, 20, 27, 30])
def test_cut_anywhere(gateway, origin, cut):
    both = b"HTTP/1.1 103 Early Hints\r\n\r\n" + response("final")
    client, wire, _ = origin.asked(gateway)
    wire.send_apart([both[:cut], both[cut:]])
    assert client.read_response().status == 103
    assert client.read_response().body == b"final"


def test_connection_that_ends_after_1xx_is_an_error(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    assert client.read_response().status == 103
    wire.close()
    assert client.read_response().status == 502
    assert gateway.record()["cause"] == "upstream_reset"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("named", ["Via", "Content-Length", "X-Request-Id"])
def test_one_that_takes_away_what_must_stay_is_malformed(gateway, origin, version, named):
    """Its Connection names such a field: refused as in a final response, not passed on with its hop-by-hop fields."""
    client = gateway.connect().send(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n")
    wire, _ = origin.answer(f"HTTP/1.1 103 Early Hints\r\nConnection: {named}, X-Own\r\nKeep-Alive: 5\r\n"
        "X-Own: a\r\n\r\n".encode() + response("final"))
    assert client.read_response().status == 502
    wire.expect_gone()
    record = gateway.record()
    assert record["cause"] == "upstream_bad_response"
    assert "Connection names a field" in record["why"]
