"""The filter `headers`: remove, then set, then add, on requests and responses."""

import json

import pytest

from gateway import configuration, run
from raw import chunk, get, post, response


def filtered(start, origin, *filters):
    return start(configuration(origin, route={"filters": [{"headers": f} for f in filters]}))


def exchange(gateway, origin, request_fields=(), response_fields=()):
    """The request as the upstream saw it and the response as the client saw it."""
    client = gateway.connect().send(get(fields=request_fields))
    _, request = origin.answer(response("x", fields=response_fields))
    return request, client.read_response()


def test_request_edits(start, origin):
    gateway = filtered(start, origin, {"request": {
        "remove": ["X-Gone"], "set": {"X-Set": "new", "X-Fresh": "made"}, "add": {"X-Added": "second"}}})
    request, _ = exchange(gateway, origin,
        ["X-Gone: a", "x-gone: b", "X-SET: old", "x-set: older", "X-Added: first", "X-Stays: s"])
    assert request.all("X-Gone") == []
    assert request.all("X-Set") == ["new"]
    assert request.all("X-Fresh") == ["made"]
    assert request.all("X-Added") == ["first", "second"]
    assert request.all("X-Stays") == ["s"]


def test_response_edits(start, origin):
    gateway = filtered(start, origin, {"response": {
        "remove": ["Server"], "set": {"Cache-Control": "no-store"}, "add": {"Set-Cookie": "b=2"}}})
    _, answer = exchange(gateway, origin, (), ["Server: origin", "cache-control: public", "Set-Cookie: a=1"])
    assert answer.all("Server") == []
    assert answer.all("Cache-Control") == ["no-store"]
    assert answer.all("Set-Cookie") == ["a=1", "b=2"]


def test_remove_comes_before_set_and_set_before_add(start, origin):
    gateway = filtered(start, origin, {"request": {"remove": ["A"], "set": {"A": "set"}, "add": {"A": "added"}}})
    request, _ = exchange(gateway, origin, ["A: client"])
    assert request.all("A") == ["set", "added"]


def test_requests_go_through_in_order_and_responses_in_reverse(start, origin):
    first = {"request": {"add": {"A": "1"}}, "response": {"add": {"B": "1"}}}
    second = {"request": {"add": {"A": "2"}}, "response": {"add": {"B": "2"}}}
    request, answer = exchange(filtered(start, origin, first, second), origin)
    assert request.all("A") == ["1", "2"]
    assert answer.all("B") == ["2", "1"]


def test_edits_of_one_request_do_not_show_in_the_next(start, origin):
    gateway = filtered(start, origin, {"request": {"add": {"A": "1"}}})
    origin.serve()
    client = gateway.connect()
    for _ in range(3):
        client.ask(get())
    assert [request.all("A") for request in origin.requests] == [["1"]] * 3


def test_many_edits(start, origin):
    """More than fits beside the request in its first block of memory."""
    fields = {f"X-{i}": "v" * 100 for i in range(100)}
    gateway = filtered(start, origin, {"request": {"set": fields}, "response": {"set": fields}})
    request, answer = exchange(gateway, origin)
    for message in (request, answer):
        assert {name: value for name, value in message.fields if name in fields} == fields


@pytest.mark.parametrize("side", ["request", "response"])
def test_edits_that_make_a_head_too_large(start, origin, side):
    """They are an error with a cause, not the end of the program."""
    edits = [{side: {"add": {f"X-{i}": "v" * 4096 for i in range(100)}}} for _ in range(4)]
    gateway = filtered(start, origin, *edits)
    origin.serve()
    for _ in range(2):
        assert gateway.connect().ask(get()).status >= 400
    assert all(record["cause"] for record in gateway.records(2))


def test_content_is_untouched(start, origin):
    gateway = filtered(start, origin, {"request": {"set": {"Content-Type": "text/other"}}})
    client = gateway.connect().send(post("hello", fields=["Content-Type: text/plain"]))
    _, request = origin.answer(response("world"))
    assert (request.all("Content-Type"), request.body) == (["text/other"], b"hello")
    assert client.read_response().body == b"world"


def test_answer_of_the_route_itself_is_edited_too(start):
    gateway = start(configuration(route={"respond": {"body": "own", "content_type": "text/html"},
        "filters": [{"headers": {"response": {"set": {"X-A": "b", "Content-Type": "text/css"}}}}]}))
    answer = gateway.connect().ask(get())
    assert (answer.get("X-A"), answer.get("Content-Type"), answer.body) == ("b", "text/css", b"own")


@pytest.mark.parametrize("name", ["Via", "X-Forwarded-For", "X-Request-Id", "Forwarded"])
def test_what_the_gateway_says_of_itself_cannot_be_removed(start, origin, tmp_path, name):
    """The configuration refuses it, or the gateway's own word stands there all the same."""
    config = configuration(origin, route={"filters": [{"headers": {"request": {"remove": [name]}}}]})
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config))
    if "nothing was started" in run("check", path).stderr:
        return
    request, _ = exchange(start(config), origin)
    assert request.all(name)


def with_trailers(start, *trailers):
    lines = "".join(line + "\r\n" for line in trailers)
    return f"{start}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunk("x") + f"0\r\n{lines}\r\n".encode()


EDITS = {"remove": ["X-User", "Server"], "set": {"X-Role": "guest"}, "add": {"X-Added": "1"}}
LATE = ["x-user: root", "X-ROLE: admin", "X-Sum: 1", "X-Added: 2", "X-User: again"]


def test_what_is_edited_does_not_come_by_trailers_of_a_request(start, origin):
    gateway = filtered(start, origin, {"request": EDITS})
    gateway.connect().send(with_trailers("POST / HTTP/1.1\r\nHost: a", *LATE))
    request = origin.accept().read_request()
    assert request.get("X-Role") == "guest" and request.body == b"x"
    assert [(name.lower(), value) for name, value in request.trailers] == [("x-sum", "1"), ("x-added", "2")]


def test_what_is_edited_does_not_come_by_trailers_of_a_response(start, origin):
    gateway = filtered(start, origin, {"request": {"remove": ["X-Sum"]}}, {"response": EDITS})
    client = gateway.connect().send(get())
    origin.answer(with_trailers("HTTP/1.1 200 OK", *LATE))
    answer = client.read_response()
    assert answer.get("X-Role") == "guest" and answer.body == b"x"
    assert [(name.lower(), value) for name, value in answer.trailers] == [("x-sum", "1"), ("x-added", "2")]


def test_what_is_edited_does_not_come_by_informational_responses(start, origin):
    gateway = filtered(start, origin, {"response": EDITS})
    client = gateway.connect().send(get())
    origin.answer(b"HTTP/1.1 103 Early Hints\r\nServer: old\r\nX-Role: admin\r\nx-user: root\r\nLink: x\r\n\r\n" + response("x"))
    hints = client.read_response()
    assert [(name.lower(), value) for name, value in hints.fields] == [("link", "x")]
    assert client.read_response().get("X-Role") == "guest"


def test_informational_responses_are_not_edited(start, origin):
    gateway = filtered(start, origin, {"response": {"set": {"X-A": "b"}}})
    client = gateway.connect().send(get())
    origin.answer(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + response("x"))
    assert client.read_response().get("X-A") is None
    assert client.read_response().get("X-A") == "b"


@pytest.mark.parametrize("action", [{"respond": {"body": "own"}}, {"redirect": {"location": "/there"}}])
@pytest.mark.parametrize("name", ["Server", "Date"])
def test_field_that_is_set_in_an_own_answer_has_that_value_and_no_other(start, action, name):
    gateway = start(configuration(route=action | {"filters": [{"headers": {"response": {"set": {name: "mine"}}}}]}))
    assert gateway.connect().ask(get()).all(name) == ["mine"]


@pytest.mark.parametrize("action", [{"respond": {"body": "own"}}, {"redirect": {"location": "/there"}}])
def test_field_that_is_removed_from_an_own_answer_is_gone(start, action):
    gateway = start(configuration(route=action | {"filters": [{"headers": {"response": {"remove": ["Server"]}}}]}))
    answer = gateway.connect().ask(get())
    assert answer.all("Server") == []
    assert len(answer.all("Date")) == 1
