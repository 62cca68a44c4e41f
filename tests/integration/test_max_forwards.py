"""Max-Forwards of OPTIONS and TRACE is counted down, and the last hop answers itself (RFC 9110 §7.6.2)."""

import json

import pytest

from gateway import configuration
from raw import response


def request(method, value, version="1.1"):
    return f"{method} /x HTTP/{version}\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n"


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
@pytest.mark.parametrize("value, less", [("1", "0"), ("10", "9"), ("007", "6")])
def test_it_is_counted_down(gateway, origin, method, value, less):
    client = gateway.connect().send(request(method, value))
    _, forwarded = origin.answer(response())
    assert forwarded.all("Max-Forwards") == [less]
    assert client.read_response().status == 200


def test_last_hop_answers_options(gateway, origin):
    client = gateway.connect()
    for _ in range(2):
        answer = client.ask(request("OPTIONS", 0))
        assert (answer.status, answer.body, answer.get("Server")) == (204, b"", "weir")
    assert origin.is_untouched()
    assert [(record["status"], record["cause"]) for record in gateway.records(2)] == [(204, None)] * 2


def test_last_hop_reflects_no_trace(gateway, origin):
    answer = gateway.connect().ask(request("TRACE", 0))
    assert (answer.status, json.loads(answer.body)["error"]) == (405, "method_not_allowed")
    assert origin.is_untouched()


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_other_methods_pass_it_on_untouched(gateway, origin, method):
    gateway.connect().send(request(method, 0))
    assert origin.accept().read_request().all("Max-Forwards") == ["0"]


@pytest.mark.parametrize("method, passed", [("OPTIONS", 204), ("TRACE", 405)])
def test_filters_are_asked_before_the_last_hop_answers(start, origin, method, passed):
    limit = {"rate": "1/h", "burst": 1, "key": "route"}
    gateway = start(configuration(origin, route={"filters": [{"access": {"allow": ["127.0.0.1"]}}, {"rate_limit": limit}]}))
    assert [gateway.connect().ask(request(method, 0)).status for _ in range(2)] == [passed, 429]
    gateway.config["routes"][0]["filters"][0] = {"access": {"deny": ["127.0.0.1"]}}
    gateway.reload(gateway.config)
    assert gateway.connect().ask(request(method, 0)).status == 403
    assert origin.is_untouched()
