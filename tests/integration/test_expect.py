"""Expect: 100-continue (RFC 9110 §10.1.1)."""

import pytest

from gateway import configuration
from raw import get, post, response

HEAD = "POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"


@pytest.fixture
def gateway_without_route(start):
    return start(configuration(route={"match": {"path": "/only"}, "respond": {"status": 200}}))


def test_continue_is_asked_upstream_and_passed_back(gateway, origin):
    client = gateway.connect().send(HEAD)
    wire = origin.accept()
    assert wire.read_head().get("Expect") == "100-continue"
    client.expect_silence()
    wire.send("HTTP/1.1 100 Continue\r\n\r\n")
    assert client.read_response().status == 100
    client.send("hello")
    assert wire.take(5) == b"hello"
    wire.send(response("done"))
    assert client.read_response().body == b"done"
    client.send(get("/next"))
    assert wire.read_request().target == "/next"


def test_early_answer_instead_of_100(gateway, origin):
    """Whether the content will come is open then, so this connection carries nothing more."""
    client = gateway.connect().send(HEAD)
    wire = origin.accept()
    wire.read_head()
    wire.send(response("no", status="403 Forbidden"))
    answer = client.read_response()
    assert (answer.status, answer.body) == (403, b"no")
    assert answer.get("Connection") == "close"
    client.half_close()
    client.expect_end()
    wire.expect_gone()


def test_client_that_does_not_wait(gateway, origin):
    client = gateway.connect().send(HEAD + "hello")
    wire = origin.accept()
    wire.read_head()
    assert wire.take(5) == b"hello"
    wire.send(response("done"))
    assert client.read_response().body == b"done"


def test_client_that_stops_waiting(gateway, origin):
    client = gateway.connect().send(HEAD)
    wire = origin.accept()
    wire.read_head()
    client.send("hello")
    assert wire.take(5) == b"hello"
    wire.send(b"HTTP/1.1 100 Continue\r\n\r\n" + response("done"))
    answer = client.read_response()
    if answer.status == 100:
        answer = client.read_response()
    assert answer.body == b"done"


def test_upstream_that_never_says_100(gateway, origin):
    """An upstream may answer only when it has the content."""
    client = gateway.connect().send(HEAD)
    wire = origin.accept()
    wire.read_head()
    client.send("hel").wait_taken()
    client.send("lo")
    assert wire.take(5) == b"hello"
    wire.send(response("done"))
    assert client.read_response().body == b"done"


def test_expectation_with_chunked_content(gateway, origin):
    client = gateway.connect()
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
    wire = origin.accept()
    wire.read_head()
    wire.send("HTTP/1.1 100 Continue\r\n\r\n")
    assert client.read_response().status == 100
    client.send("5\r\nhello\r\n0\r\n\r\n")
    assert wire.read_chunk() == b"hello"
    assert wire.read_chunk() == b""
    wire.read_trailers()
    wire.send(response())
    assert client.read_response().status == 200


def test_own_answer_without_100(gateway_without_route):
    """What the gateway refuses by itself needs no content either."""
    client = gateway_without_route.connect().send(HEAD)
    answer = client.read_response()
    assert answer.status == 404
    assert answer.get("Connection") == "close"


def test_http_1_0_has_no_expectations(gateway, origin):
    client = gateway.connect().send("POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
    wire = origin.accept()
    request = wire.read_request()
    assert request.get("Expect") is None
    wire.send(b"HTTP/1.1 100 Continue\r\n\r\n" + response("done"))
    assert client.read_response().body == b"done"


def test_other_expectations_are_passed_on(gateway, origin):
    """Only the upstream knows what it can fulfil."""
    client = gateway.connect().send(get(fields=["Expect: the-unexpected"]))
    _, request = origin.answer(response(status="417 Expectation Failed"))
    assert request.get("Expect") == "the-unexpected"
    assert client.read_response().status == 417


def test_requests_without_the_expectation_get_no_100_of_ours(gateway, origin):
    client = gateway.connect().send(post("hello"))
    origin.answer(response("done"))
    assert client.read_response().status == 200


@pytest.mark.parametrize("expectation", ["foo", "foo, 100-continue", "foo=bar;baz"])
def test_other_expectations_are_the_upstreams_to_judge(gateway, origin, expectation):
    """It may answer 417 (RFC 9110 §15.5.18); the gateway does not know them all."""
    gateway.connect().send(get(fields=[f"Expect: {expectation}"]))
    assert origin.accept().read_head().all("Expect") == [expectation]


@pytest.mark.parametrize("expectation", ["foo", "100-continue"])
def test_expectations_of_http_1_0_are_not_passed_on(gateway, origin, expectation):
    gateway.connect().send(f"GET / HTTP/1.0\r\nExpect: {expectation}\r\n\r\n")
    assert origin.accept().read_head().all("Expect") == []
