"""Fallbacks of routes: who answers when the upstream does not, and what is not sent twice."""

from admin import administered
from gateway import PATIENT, merged
from origin import answer_all, closed_port
from raw import get, post
from test_admin_endpoints import change


class Nobody:
    """An address at which connections are refused."""

    def __init__(self):
        self.sock, port = closed_port()
        self.address = f"127.0.0.1:{port}"


def fallen(start, upstream, other=None, upstreams=None, **fallback):
    """A gateway whose only route leads to `upstream`, and falls back on `other`, or on what the fallback says."""
    names = {"origin": upstream, **({"other": other} if other else {})}
    if other:
        fallback["upstream"] = "other"
    return administered(start, upstream, upstreams=[merged({"name": name, "endpoints": [{"address": one.address}], **PATIENT},
        (upstreams or {}).get(name)) for name, one in names.items()],
        routes=[{"name": "all", "upstream": "origin", "fallback": fallback}])


def test_own_answer(start):
    nobody = Nobody()
    gateway, admin = fallen(start, nobody, respond={"status": 203, "body": "not now", "content_type": "text/x-sorry"})
    wire = gateway.connect()
    for request in (get(), post(b"content"), get("/again")):
        answer = wire.ask(request)
        assert (answer.status, answer.body, answer.get("Content-Type")) == (203, b"not now", "text/x-sorry")
    record = gateway.records(3)[0]
    assert (record["status"], record["cause"], record["why"]) == (203, "connect_refused", "the route's fallback has answered")
    assert admin.metrics().get("weir_fallbacks_total") == 3


def test_other_upstream(start, make_origin):
    nobody, other = Nobody(), make_origin().serve()
    gateway, _ = fallen(start, nobody, other)
    wire = gateway.connect()
    for request in (get(), post(b"c" * 100_000), get("/again")):
        answer = wire.ask(request)
        assert (answer.status, answer.body) == (200, b"ok")
    assert [len(request.body) for request in other.requests] == [0, 100_000, 0]
    records = gateway.records(3)
    assert {(r["upstream"], r["endpoint"], r["cause"]) for r in records} == {("other", other.address, "connect_refused")}


def lost(wire, origin):
    """Takes a request and ends the connection."""
    origin.note(wire.read_request())


def test_other_causes_are_told(start, make_origin):
    """That a connection breaks off is not among the causes for which it is by default."""
    gateway, _ = fallen(start, make_origin().serve(lost), respond={"body": "not now"})
    assert gateway.connect().ask(post(b"once")).status == 502
    assert gateway.record()["cause"] == "upstream_reset"


def test_what_may_not_be_sent_twice(start, make_origin):
    """Of what may have been done only idempotent requests are sent again."""
    origin, other = make_origin().serve(lost), make_origin().serve(answer_all)
    gateway, _ = fallen(start, origin, other, on=["upstream_reset"])
    assert gateway.connect().ask(get()).status == 200
    assert gateway.connect().ask(post(b"once")).status == 502
    assert [request.method for request in origin.requests] == ["GET", "POST"]
    assert [request.method for request in other.requests] == ["GET"]


def test_right_behind_an_interim_answer(start, make_origin):
    """103 and what is no answer come together: the client hears of 103, and the other upstream serves."""
    def fails(wire, origin):
        origin.note(wire.read_request())
        wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nX: y\0z\r\n\r\n")

    gateway, _ = fallen(start, make_origin().serve(fails), make_origin().serve(), on=["upstream_bad_response"])
    wire = gateway.connect()
    for _ in range(2):
        assert wire.ask(get()).status == 103
        assert wire.read_response().body == b"ok"
    assert [record["cause"] for record in gateway.records(2)] == ["upstream_bad_response"] * 2


def test_taken_once(start, make_origin):
    """What fails behind the fallback is the answer."""
    origin, other = make_origin().serve(lost), make_origin().serve(lost)
    gateway, admin = fallen(start, origin, other, on=["upstream_reset"])
    assert gateway.connect().ask(get()).status == 502
    record = gateway.record()
    assert (record["cause"], record["upstream"]) == ("upstream_reset", "other")
    assert len(origin.requests) == len(other.requests) == 1
    assert admin.metrics().get("weir_fallbacks_total") == 1


def test_begun_answers_stay(start, make_origin):
    """What has begun is cut off, not answered twice."""
    def cut(wire, origin):
        origin.note(wire.read_request())
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    gateway, _ = fallen(start, make_origin().serve(cut), respond={"body": "not now"}, on=["upstream_reset"])
    wire = gateway.connect()
    wire.send(get())
    wire.expect_abort()
    record = gateway.record()
    assert (record["status"], record["cause"]) == (200, "upstream_reset")


def test_open_breaker(start, make_origin):
    def oops(wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            origin.note(wire.read_request())
            wire.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")

    origin, other = make_origin().serve(oops), make_origin().serve()
    gateway, _ = fallen(start, origin, other,
        upstreams={"origin": {"breaker": {"min_calls": 5, "open_for": "30s", "open_max": "30s"}}})
    wire = gateway.connect()
    answers = []
    while not answers or answers[-1] != 200:
        answers.append(wire.ask(get()).status)
    assert set(answers[:-1]) == {500} and len(answers) >= 5
    asked = len(origin.requests)
    assert [wire.ask(get()).status for _ in range(10)] == [200] * 10 and len(origin.requests) == asked


def test_record_where_nobody_is_left(start, make_origin):
    """The fallback's upstream has no endpoint in service: nothing of the one before is said to have been there."""
    origin, other = make_origin().serve(lost), make_origin().serve()
    gateway, admin = fallen(start, origin, other, on=["upstream_reset"])
    change(admin, other.address, upstream="other", enabled=False)
    assert gateway.connect().ask(get()).status == 503
    record = gateway.record()
    told = ("cause", "upstream", "endpoint", "reused", "queue_us", "connect_us", "first_byte_us")
    assert [record[key] for key in told] == ["no_healthy_endpoint", "other", None, False, None, None, None]
    assert sum(record["phases_us"].values()) == record["total_us"]
    assert len(origin.requests) == 1 and not other.requests
