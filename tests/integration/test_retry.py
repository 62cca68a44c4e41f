"""Requests that are sent again for what came of them (`retry`): what is, what is not, where to, when, and how much of it."""

import email.utils
import time

import pytest

from gateway import configuration, eventually, free_port
from grpcs import metric
from origin import closed_port, full_backlog
from raw import get, post, response
from timing import AMPLE_TEXT
from translators import UPSTREAM

OK = response("served")
DOWN = response("down", status="503 Service Unavailable")


def retrying(*origins, upstream=None, **retry):
    return configuration(*origins, upstream={"balance": {"policy": "round_robin"}, "retry": retry} | (upstream or {}))


def put(body, fields=()):
    return post(body, fields=fields).replace(b"POST", b"PUT", 1)


def answers(data):
    """A handler that answers each request so and keeps the connection."""
    def handler(wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            origin.note(wire.read_request())
            wire.send(data)
    return handler


def drops(wire, origin):
    """Takes a request and resets the connection."""
    origin.note(wire.read_request())
    wire.reset()


def keeps_silent(wire, origin):
    origin.note(wire.read_request())
    wire.sock.settimeout(None)
    wire.more()


def counts(*origins):
    return [len(origin.requests) for origin in origins]


FAILURES = {"reset": drops, "status_502": answers(response("bad", status="502 Bad Gateway")), "status_503": answers(DOWN),
    "status_504": answers(response("late", status="504 Gateway Timeout")), "first_byte_timeout": keeps_silent}


def per_try(reason):
    """Where that is what fails: enough for whoever answers. Else none: on a busy machine it would be another failure."""
    return {"per_try_timeout": AMPLE_TEXT} if reason == "first_byte_timeout" else {}


@pytest.mark.parametrize("reason", FAILURES)
def test_goes_to_another_endpoint(start, make_origin, reason):
    """Each reason that is named in `on` has a GET sent to the other endpoint, and the access log says so."""
    bad, good = make_origin().serve(FAILURES[reason]), make_origin().serve()
    gateway = start(retrying(bad, good, on=[reason], **per_try(reason)))
    client = gateway.connect()
    for _ in range(2):
        assert client.ask(get("/")).body == b"ok"
    # The second turn was the second try's.
    assert counts(bad, good) == [2, 2]
    records = gateway.records(2)
    assert [r["retries"] for r in records] == [1, 1]
    assert [(r["status"], r["endpoint"]) for r in records] == [(200, good.address)] * 2


@pytest.mark.parametrize("reason", FAILURES)
def test_not_unasked(start, make_origin, reason):
    """The same failures without `on` are the client's to hear of."""
    bad, good = make_origin().serve(FAILURES[reason]), make_origin().serve()
    gateway = start(retrying(bad, good, **per_try(reason)))
    assert gateway.connect().ask(get("/")).status in (502, 503, 504)
    bad.wait(lambda o: o.requests)
    assert counts(bad, good) == [1, 0]
    assert gateway.record()["retries"] == 0


@pytest.mark.parametrize("body", [b"an order", b""], ids=["content", "head"])
@pytest.mark.parametrize("reason", FAILURES)
def test_no_post_once_bytes_went_out(start, make_origin, reason, body):
    """A POST of which something was sent is never sent again."""
    bad, good = make_origin().serve(FAILURES[reason]), make_origin().serve()
    gateway = start(retrying(bad, good, attempts=5, on=list(FAILURES), **per_try(reason)))
    assert gateway.connect().ask(post(body)).status in (502, 503, 504)
    bad.wait(lambda o: o.requests)
    assert counts(bad, good) == [1, 0]
    assert gateway.record()["retries"] == 0


@pytest.mark.parametrize("reason", FAILURES)
def test_content_goes_along(start, make_origin, reason):
    """A PUT is sent again with all its content; what is too much to be kept is not sent again."""
    bad, good = make_origin().serve(FAILURES[reason]), make_origin().serve(answers(OK))
    gateway = start(retrying(bad, good, on=[reason], **per_try(reason)))
    client = gateway.connect()
    assert client.ask(put(b"x" * 50_000)).body == b"served"
    assert counts(bad, good) == [1, 1]
    assert good.requests[0].body == b"x" * 50_000


def test_content_that_is_too_much(start, make_origin):
    bad, good = make_origin().serve(answers(DOWN)), make_origin().serve(answers(OK))
    gateway = start(retrying(bad, good, on=["status_503"]))
    assert gateway.connect().ask(put(b"x" * 200_000)).status == 503
    assert counts(bad, good) == [1, 0]


@pytest.mark.parametrize("request_of", [lambda: get("/"), lambda: post(b"an order")], ids=["GET", "POST"])
def test_connect_failed(start, make_origin, request_of):
    """By default; any method, since nothing was sent. Nobody else hears of the endpoint that is down."""
    good = make_origin().serve()
    held, port = closed_port()
    gateway = start(configuration(good, f"127.0.0.1:{port}", upstream={"balance": {"policy": "round_robin"},
        "protocol": "h2" if UPSTREAM == "h2" else "h1"}))
    client = gateway.connect()
    for _ in range(6):
        assert client.ask(request_of()).body == b"ok"
    assert sum(r["retries"] for r in gateway.records(6)) >= 1
    held.close()


def test_connect_timeout(start, make_origin):
    """One endpoint swallows connections: the request goes on to the other one, in what is left of its time."""
    good = make_origin().serve()
    hanging, fillers = full_backlog(make_origin)
    gateway = start(configuration(hanging, good, upstream={"balance": {"policy": "round_robin"},
        "timeouts": {"connect": AMPLE_TEXT}, "protocol": "h2" if UPSTREAM == "h2" else "h1"}))
    assert gateway.connect().ask(get("/")).body == b"ok"
    assert gateway.record()["retries"] == 1
    for sock in fillers:
        sock.close()


def test_connect_failed_is_turned_off(start, make_origin):
    good = make_origin().serve()
    held, port = closed_port()
    gateway = start(configuration(f"127.0.0.1:{port}", good, upstream={"balance": {"policy": "round_robin"},
        "retry": {"attempts": 0}, "protocol": "h2" if UPSTREAM == "h2" else "h1"}))
    assert gateway.connect().ask(get("/")).status == 502
    assert counts(good) == [0]
    held.close()


def test_one_endpoint_is_asked_again_after_a_pause(start, make_origin):
    """With nobody else to ask, the same one is asked `attempts` times more, and its last answer passes."""
    bad = make_origin().serve(answers(DOWN))
    gateway = start(retrying(bad, attempts=3, on=["status_503"], backoff={"base": "10ms", "max": "50ms"}))
    answer = gateway.connect().ask(get("/"))
    assert (answer.status, answer.body) == (503, b"down")
    assert counts(bad) == [4]
    assert gateway.record()["retries"] == 3


def test_the_connection_goes_on(start, make_origin):
    """What stands behind the head of an answer that is not passed on is read to its end, and never taken for the next answer."""
    bad = make_origin().serve(answers(DOWN))
    gateway = start(retrying(bad, attempts=2, on=["status_503"], backoff={"base": "1ms", "max": "1ms"}))
    client = gateway.connect()
    for _ in range(5):
        assert client.ask(get("/")).body == b"down"
    assert counts(bad) == [15]
    assert bad.accepted == 1


def test_rest_that_has_not_come(start, make_origin):
    """An answer whose content is still to come is not waited for: its connection is given up."""
    bad, good = make_origin(), make_origin().serve()
    gateway = start(retrying(bad, good, on=["status_503"]))
    client = gateway.connect().send(get("/"))
    wire = bad.accept()
    wire.read_request()
    wire.send(b"HTTP/1.1 503 Down\r\nContent-Length: 1000\r\n\r\n")
    assert client.read_response().body == b"ok"
    if UPSTREAM == "h1":
        assert not wire.more()


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_of_the_only_endpoint(start, origin, form):
    """It is not asked before it has said it may be."""
    gateway = start(retrying(origin, on=["status_503"], backoff={"base": "1ms", "max": "1ms"}))
    # The gateway may be kept from going on when it has just sent the request, and take the answer as of then.
    began, day = time.monotonic(), int(time.time()) + 2
    client = gateway.connect().send(get("/"))
    wire = origin.accept()
    wire.read_request()
    after = "1" if form == "seconds" else email.utils.formatdate(day, usegmt=True)
    wire.send(response("down", status="503 Down", fields=[f"Retry-After: {after}"]))
    wire.read_request()
    assert time.monotonic() - began >= 0.95 if form == "seconds" else time.time() >= day - 0.05
    wire.send(OK)
    assert client.read_response().body == b"served"


def test_retry_after_and_another_endpoint(start, make_origin):
    """It is that endpoint which wants to be left alone: the other one is asked at once."""
    bad = make_origin().serve(answers(response("down", status="503 Down", fields=["Retry-After: 30"])))
    good = make_origin().serve()
    gateway = start(retrying(bad, good, on=["status_503"]))
    assert gateway.connect().ask(get("/")).body == b"ok"
    assert gateway.record()["total_us"] < 20_000_000


@pytest.mark.parametrize("after, retry, timeouts",
    [("50", {}, {"request": "25s"}), ("50", {"per_try_timeout": "14s"}, {}), ("90", {}, {"request": 0})])
def test_retry_after_that_is_too_long(start, origin, after, retry, timeouts):
    """Longer than the deadline, than a try may take, than anybody waits: the answer is passed on as it is."""
    gateway = start(retrying(origin, upstream={"timeouts": timeouts}, on=["status_503"], **retry))
    client = gateway.connect().send(get("/"))
    origin.answer(response("down", status="503 Down", fields=[f"Retry-After: {after}"]))
    answer = client.read_response()
    assert (answer.status, answer.get("Retry-After"), answer.body) == (503, after, b"down")


def test_budget(start, make_origin):
    """A service that fails entirely is asked 1.2 times as much as clients ask, whatever `attempts` says."""
    bad = make_origin().serve(answers(DOWN))
    gateway = start(retrying(bad, attempts=5, on=["status_503"], min_retries_per_second=0,
        backoff={"base": "1ms", "max": "1ms"}) | {"admin": {"address": f"127.0.0.1:{free_port()}"}})
    client = gateway.connect()
    for _ in range(200):
        assert client.ask(get("/")).status == 503
    assert 200 < counts(bad)[0] <= 240
    where = {"upstream": "origin", "endpoint": bad.address}
    assert metric(gateway, "weir_upstream_retries_total", **where, reason="status_503") == counts(bad)[0] - 200
    assert metric(gateway, "weir_upstream_retries_denied_total", **where) > 0
    assert metric(gateway, "weir_retried_requests_total", outcome="failed") > 0
    assert metric(gateway, "weir_retried_requests_total", outcome="succeeded") == 0


def test_budget_over_workers(start, make_origin):
    bad = make_origin().serve(answers(DOWN))
    gateway = start(retrying(bad, attempts=5, on=["status_503"], min_retries_per_second=0, backoff={"base": "1ms", "max": "1ms"})
        | {"workers": 2})
    for _ in range(20):
        client = gateway.connect()
        for _ in range(10):
            assert client.ask(get("/")).status == 503
    assert counts(bad)[0] <= 240


def test_no_budget(start, make_origin):
    """0% and no minimum: nothing that was sent is sent again. A quiet service can retry with the minimum."""
    bad = make_origin().serve(answers(DOWN))
    gateway = start(retrying(bad, attempts=5, on=["status_503"], budget="0%", min_retries_per_second=0))
    assert gateway.connect().ask(get("/")).status == 503
    assert counts(bad) == [1]


def test_deadline_is_one_for_all_tries(start, make_origin):
    silent = [make_origin().serve(keeps_silent) for _ in range(3)]
    # Less than two tries, and of both so much that the second one is sent, however busy the machine is.
    gateway = start(retrying(*silent, upstream={"timeouts": {"request": "5s"}}, attempts=2, on=["first_byte_timeout"],
        per_try_timeout="2700ms"))
    answer = gateway.connect().ask(get("/"))
    assert answer.status == 504 and b"request_deadline" in answer.body
    assert gateway.record()["retries"] == 1
    eventually(lambda: sum(counts(*silent)) == 2)


def test_client_leaves_in_the_pause(start, origin):
    gateway = start(retrying(origin, on=["status_503"]))
    client = gateway.connect().send(get("/"))
    origin.answer(response("down", status="503 Down", fields=["Retry-After: 20"]))
    client.wait_taken()
    client.reset()
    assert gateway.record()["cause"] == "client_gone"


def test_nothing_after_a_hint(start, make_origin):
    """A client that was told 103 has heard something of an answer: it hears of the failure, too."""
    bad, good = make_origin(), make_origin().serve()
    gateway = start(retrying(bad, good, on=["status_503"]))
    client = gateway.connect().send(get("/"))
    wire = bad.accept()
    wire.read_request()
    wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    assert client.read_response().status == 103
    wire.send(DOWN)
    assert client.read_response().status == 503
    assert counts(good) == [0]


def test_right_behind_an_interim_answer(start, make_origin):
    """100 and a refusal that come together: the client hears of 100, and another endpoint serves."""
    bad, good = make_origin().serve(answers(b"HTTP/1.1 100 Continue\r\n\r\n" + DOWN)), make_origin().serve()
    gateway = start(retrying(bad, good, on=["status_503"]))
    client = gateway.connect()
    for _ in range(2):
        assert client.ask(get("/")).status == 100
        assert client.read_response().body == b"ok"
    assert counts(bad, good) == [2, 2]


def test_expected_content(start, make_origin):
    """A refusal before the content has been asked for, and 100 from the next one."""
    bad, good = make_origin(), make_origin()
    gateway = start(retrying(bad, good, on=["status_503"]))
    client = gateway.connect().send(put(b"content", fields=["Expect: 100-continue"])[:-len(b"content")])
    wire = bad.accept()
    wire.read_head()
    wire.send(DOWN)
    wire = good.accept()
    head = wire.read_head()
    wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert client.read_response().status == 100
    client.send(b"content")
    assert wire.read_content(head).body == b"content"
    wire.send(OK)
    assert client.read_response().body == b"served"


def test_record_is_of_the_last_endpoint(start, make_origin):
    """A is slow to say 503, and B takes nobody in: what A took is not said of B."""
    def slow(wire, origin):
        origin.note(wire.read_request())
        time.sleep(0.05)
        wire.send(DOWN)

    (sock, port), bad = closed_port(), make_origin().serve(slow)
    config = configuration(bad, upstream={"balance": {"policy": "round_robin"}, "retry": {"on": ["status_503"]},
        "health": {"passive": "off"}, "protocol": UPSTREAM,
        "endpoints": [{"address": bad.address}, {"address": f"127.0.0.1:{port}"}]})
    gateway = start(config)
    # Each second request goes to A first.
    for _ in range(2):
        gateway.connect().ask(get())
    record = next(r for r in gateway.records(2) if r["retries"] == 1 and r["endpoint"] != bad.address)
    assert (record["cause"], record["reused"], record["connect_us"], record["first_byte_us"]) == ("connect_refused", False, None, None)
    assert record["phases_us"]["first_byte"] >= 45_000
    sock.close()
