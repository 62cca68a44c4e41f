"""Spans: what is told of requests, in the collector's hands, and what becomes of them when it is slow, away, or unwilling."""

import threading
import time

import pytest

from admin import administered
from collector import CLIENT, Collector, telling
from gateway import PATIENT, eventually, merged
from origin import closed_port
from raw import get, post, response
from translators import CLIENT as CLIENT_SPEAKS, UPSTREAM as UPSTREAM_SPEAKS

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def traced(start, collector, *origins, tracing=None, **options):
    """A gateway that tells the collector soon, and of every request unless it is told otherwise."""
    return administered(lambda config, **more: start(telling(config, collector, tracing), **more), *origins, workers=1, **options)


def dropped(admin):
    metrics = admin.metrics()
    name = "weir_trace_spans_dropped_total"
    return {why: metrics.get(name, reason=why) for why in metrics.labels(name, "reason") if metrics.get(name, reason=why)}


# --- what is told ------------------------------------------------------------------------------------------------------


def test_request_and_its_try(start, collector, origin):
    gateway, admin = traced(start, collector, origin.serve(), route={"match": {"path": "/users/*"}})
    fields = [f"traceparent: 00-{TRACE}-{SPAN}-01", "tracestate: a=1", "User-Agent: me"]
    assert gateway.connect().ask(get("/users/7?secret=1", fields=fields)).status == 200
    server, (attempt,) = collector.request_span()
    seen = origin.requests[0]
    assert seen.get("traceparent") == f"00-{TRACE}-{attempt.id}-01"
    assert (server.trace, server.parent, server.is_remote_child, server.sampled) == (TRACE, SPAN, True, True)
    assert (server.name, server.state, server.service, server.failed) == ("GET /users/*", "a=1", "weir", False)
    told = server.attributes
    host, port = gateway.address()
    assert told.items() >= {"http.request.method": "GET", "http.response.status_code": 200, "url.path": "/users/7",
        "url.scheme": "http", "http.route": "/users/*", "server.address": "example.com", "client.address": host,
        "network.protocol.version": "2" if CLIENT_SPEAKS == "h2" else "1.1", "user_agent.original": "me", "weir.route": "all",
        "weir.upstream": "origin", "weir.request_id": gateway.record()["request_id"], "weir.exported_for": "sampled",
        "http.response.body.size": 2}.items()
    assert not {"error.type", "weir.cause"} & set(told) and "secret" not in str(told)
    assert any(key.startswith("weir.phase.") for key in told)
    assert not attempt.is_remote_child and not attempt.failed and attempt.name == "GET"
    host, _, port = origin.address.rpartition(":")
    assert attempt.attributes.items() >= {"server.address": host, "server.port": int(port), "http.response.status_code": 200,
        "weir.upstream": "origin", "weir.endpoint": origin.address, "weir.try": "first"}.items()
    assert "http.request.resend_count" not in attempt.attributes
    assert list(attempt.events) == ["weir.connection_leased", "weir.request_sent", "weir.first_byte"]
    # Nothing of the exporter's own doing is a request.
    assert len(gateway.access.lines) == 1 and admin.metrics().get("weir_exchanges_finished_total") == 1
    eventually(lambda: admin.metrics().get("weir_trace_spans_exported_total") == 2)
    assert not dropped(admin) and admin.metrics().get("weir_trace_spans_queued") == 0


def test_answer_of_the_gateway_has_no_try(start, collector, origin):
    gateway, _ = traced(start, collector, origin, route=[{"name": "own", "match": {"path": "/*"}, "respond": {"status": 204}}])
    assert gateway.connect().ask(get("/x")).status == 204
    server, tries = collector.request_span(1)
    assert server.parent is None and not tries and server.attributes["http.response.status_code"] == 204


def test_malformed_request(start, collector, origin):
    gateway, _ = traced(start, collector, origin)
    gateway.connect(translated=False).send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").read_response()
    server, _ = collector.request_span(1)
    assert server.attributes["error.type"] == "bad_request" and not server.failed


def test_retry(start, collector, make_origin):
    """Each has its span, and the upstream the one that it is in."""
    origins = make_origin(), make_origin()
    answers = [response(status="503 Later"), response()]

    def serve(wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            origin.note(wire.read_request())
            wire.send(answers.pop(0))

    gateway, _ = traced(start, collector, *(origin.serve(serve) for origin in origins),
        upstream={"retry": {"attempts": 1, "on": ["status_503"], "budget": "100%"}})
    assert gateway.connect().ask(get()).status == 200
    server, (first, second) = collector.request_span(3)
    assert [span.attributes["weir.try"] for span in (first, second)] == ["first", "retry"]
    assert [span.attributes["http.response.status_code"] for span in (first, second)] == [503, 200]
    assert [span.failed for span in (server, first, second)] == [False, True, False]
    assert first.attributes["weir.endpoint"] != second.attributes["weir.endpoint"]
    assert second.attributes["http.request.resend_count"] == 1 and first.end <= second.start + 1_000_000
    sent = {request.get("traceparent").split("-")[2] for origin in origins for request in origin.requests}
    assert sent == {first.id, second.id}


def test_retry_of_a_refused_connection(start, collector, origin):
    sock, port = closed_port()
    with sock:
        gateway, _ = traced(start, collector, f"127.0.0.1:{port}", origin.serve(), upstream={"balance": {"policy": "round_robin"},
            "protocol": "h2" if UPSTREAM_SPEAKS == "h2" else "h1",
            "retry": {"attempts": 1, "on": ["connect_failed"], "budget": "100%"}})
        client = gateway.connect()
        for _ in range(2):
            assert client.ask(get()).status == 200
    refused = [span for span in collector.have(5) if span.attributes.get("error.type")]
    assert {(span.kind, span.attributes["error.type"], span.failed) for span in refused} == {(CLIENT, "connect_refused", True)}
    assert not any(span.events for span in refused)


def test_hedge(start, collector, make_origin):
    """Two tries at once; that which is given up says nothing of failure."""
    origins, may = [make_origin(), make_origin()], threading.Event()
    asked = []

    def serve(wire, origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            origin.note(wire.read_request())
            asked.append(origin)
            if len(asked) == 1:
                may.wait(60)
            wire.send(response())

    gateway, _ = traced(start, collector, *(origin.serve(serve) for origin in origins),
        upstream={"hedge": {"after": "30ms"}, "retry": {"budget": "100%"}})
    assert gateway.connect().ask(get()).status == 200
    server, (first, second) = collector.request_span(3)
    may.set()
    assert [span.attributes["weir.try"] for span in (first, second)] == ["first", "hedge"]
    # On a busy machine the second may arrive first: who arrives first is not answered.
    loser, winner = [next(span for span in (first, second) if origin.requests[0].get("traceparent").split("-")[2] == span.id)
        for origin in asked]
    assert loser is not winner and "http.response.status_code" not in loser.attributes
    assert winner.attributes["http.response.status_code"] == 200
    assert first.end >= second.start and not server.failed and not loser.failed and not winner.failed


def test_fallback(start, collector, origin, make_origin):
    sock, port = closed_port()
    with sock:
        config = {"name": "other", "endpoints": [{"address": origin.serve().address}], **PATIENT,
            "protocol": "h2" if UPSTREAM_SPEAKS == "h2" else "h1"}
        how = {"route": {"fallback": {"on": ["connect_refused"], "upstream": "other"}}}

        def begin(config_, **more):
            config_["upstreams"].append(config)
            return start(config_, **more)

        gateway, _ = traced(begin, collector, f"127.0.0.1:{port}", **how)
        assert gateway.connect().ask(get()).status == 200
    server, (first, second) = collector.request_span(3)
    assert [span.attributes["weir.try"] for span in (first, second)] == ["first", "fallback"]
    assert first.attributes["error.type"] == "connect_refused" and second.attributes["weir.upstream"] == "other"
    assert server.attributes["weir.fallback_cause"] == "connect_refused" and not server.failed


# --- of whom ------------------------------------------------------------------------------------------------------------


def test_failure_is_told_of_though_it_is_not_sampled(start, collector, origin):
    gateway, admin = traced(start, collector, origin, tracing={"sample": "0%"})
    for status in ("200 OK", "500 No"):
        client = gateway.connect().send(get())
        wire, seen = origin.answer(response(status=status, fields=["Connection: close"]))
        client.read_response()
        assert seen.get("traceparent").endswith("-00")
    server, (attempt,) = collector.request_span()
    assert (server.sampled, attempt.sampled, server.failed) == (False, False, True)
    assert server.attributes["error.type"] == "500" and server.attributes["weir.exported_for"] == "error"
    assert gateway.records(2)[1]["trace_id"] == server.trace
    assert admin.metrics().get("weir_trace_spans_exported_total") in (0, 2)


@pytest.mark.parametrize("tracing", [{"on_error": False}, {}], ids=["off", "the client's own fault"])
def test_other_failures_are_not(start, collector, origin, tracing):
    route = {} if tracing else {"match": {"path": "/only"}}
    gateway, admin = traced(start, collector, origin.serve(lambda wire, _: wire.read_request()), route=route,
        tracing={"sample": "0%", **tracing}, upstream={"retry": {"attempts": 0}})
    assert gateway.connect().ask(get("/x")).status == (502 if tracing else 404)
    gateway.records(1)
    assert admin.metrics().get("weir_trace_spans_queued") == 0 and not collector.requests


def test_slow_one_is_told_of(start, collector, origin):
    gateway, _ = traced(start, collector, origin, tracing={"sample": "0%", "slow": "50ms"})
    client = gateway.connect().send(get())
    wire = origin.accept()
    wire.read_request()
    # Not for long enough, however busy the machine is: this is what is slow.
    threading.Event().wait(0.08)
    wire.send(response())
    assert client.read_response().status == 200
    server, _ = collector.request_span()
    assert server.attributes["weir.exported_for"] == "slow" and not server.failed


def test_upstream_that_breaks_off(start, collector, origin):
    gateway, _ = traced(start, collector, origin, tracing={"sample": "0%"}, upstream={"retry": {"attempts": 0}})
    client = gateway.connect().send(post(b"x"))
    wire = origin.accept()
    wire.read_request()
    wire.close()
    assert client.read_response().status == 502
    server, (attempt,) = collector.request_span()
    assert server.attributes["error.type"] == attempt.attributes["error.type"] == gateway.record()["cause"] == "upstream_reset"
    assert server.failed and attempt.failed and server.attributes["http.response.status_code"] == 502


# --- the collector -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["503 Later", "429 Too Many", "502 No", "504 Late"])
def test_collector_that_is_busy_is_asked_again(start, make_origin, origin, status):
    """When it says; and with the very same spans."""
    collector = Collector(make_origin(), [response(status=status, fields=["Retry-After: 1"])])
    gateway, admin = traced(start, collector, origin.serve())
    assert gateway.connect().ask(get()).status == 200
    collector.request_span()
    assert len(collector.requests) == 2 and collector.requests[0].body == collector.requests[1].body
    eventually(lambda: admin.metrics().get("weir_trace_spans_exported_total") == 2)
    assert admin.metrics().get("weir_trace_export_failures_total") == 1 and not dropped(admin)


def test_collector_that_does_not_want_them(start, make_origin, origin):
    collector = Collector(make_origin(), [response(status="400 No")])
    gateway, admin = traced(start, collector, origin.serve())
    assert gateway.connect().ask(get()).status == 200
    eventually(lambda: dropped(admin) == {"rejected": 2})
    assert len(collector.requests) == 1 and admin.metrics().get("weir_trace_export_failures_total") == 1


def test_collector_that_wants_some_of_them(start, make_origin, origin):
    collector = Collector(make_origin(), [response(b'{"partialSuccess":{"rejectedSpans":"1","errorMessage":"no"}}')])
    gateway, admin = traced(start, collector, origin.serve())
    assert gateway.connect().ask(get()).status == 200
    eventually(lambda: dropped(admin) == {"rejected": 1})
    assert admin.metrics().get("weir_trace_spans_exported_total") == 1


def test_collector_that_hangs_hurts_nobody(start, make_origin, origin):
    """What waits is bounded, what is beyond is counted, and requests are served as before."""
    collector = Collector(make_origin())
    collector.may.clear()
    gateway, admin = traced(start, collector, origin.serve(),
        tracing={"export": {"batch": 10, "queue": 20, "interval": "10ms", "timeout": "1m"}})
    client = gateway.connect()
    for _ in range(100):
        assert client.ask(get()).status == 200
    metrics = admin.metrics()
    queued = metrics.get("weir_trace_spans_queued")
    assert 20 <= queued <= 30 and dropped(admin) == {"queue_full": 200 - queued}
    collector.may.set()
    eventually(lambda: admin.metrics().get("weir_trace_spans_exported_total") == queued)
    assert not collector.wrong and len(collector.spans) == queued


def test_collector_that_is_away(start, origin):
    sock, port = closed_port()
    with sock:
        class Away:
            address = f"127.0.0.1:{port}"
        gateway, admin = traced(start, Away, origin.serve())
        assert gateway.connect().ask(get()).status == 200
        eventually(lambda: admin.metrics().get("weir_trace_export_failures_total") >= 1)
        assert admin.metrics().get("weir_trace_spans_queued") == 2
        # Nobody waits for it for long at the end.
        gateway.stop()


def test_collector_that_has_said_when_and_goes_away(start, make_origin, origin):
    """What it has said is for the next try, and not for those behind it, which have no answer."""
    there = make_origin()
    collector = Collector(there, [response(status="503 Later", fields=["Retry-After: 8", "Connection: close"])])
    gateway, admin = traced(start, collector, origin.serve())
    assert gateway.connect().ask(get()).status == 200
    seen = []
    for failures in (1, 2, 3):
        eventually(lambda: admin.metrics().get("weir_trace_export_failures_total") >= failures, 30)
        seen.append(time.monotonic())
        there.close()
    # A second, by itself.
    assert seen[2] - seen[1] < 6


def test_own_fields_and_path_are_said(start, make_origin, origin):
    seen = make_origin()
    gateway, _ = traced(start, seen, origin.serve(), tracing={"path": "/otlp?x=1", "service_name": "édge", "headers": [
        {"name": "X-Api-Key", "value": "secret"}]})
    assert gateway.connect().ask(get()).status == 200
    wire = seen.accept()
    request = wire.read_request()
    assert (request.target, request.get("X-Api-Key")) == ("/otlp?x=1", "secret")
    assert "édge".encode() in request.body or b"\\u00e9dge" in request.body
    wire.send(response())


def test_last_spans_go_out_with_the_gateway(start, collector, origin):
    gateway, _ = traced(start, collector, origin.serve(), tracing={"export": {"interval": "1m"}})
    assert gateway.connect().ask(get()).status == 200
    assert not collector.requests
    gateway.stop()
    collector.request_span()


def test_reload_turns_it_on_and_off(start, collector, origin):
    gateway, admin = traced(start, collector, origin.serve(), tracing={"export": {"interval": "1m"}})
    client = gateway.connect()
    assert client.ask(get()).status == 200
    config = gateway.config
    tracing = config.pop("tracing")
    gateway.reload(config)
    assert dropped(admin) == {"off": 2} and not collector.requests
    assert client.ask(get(fields=["traceparent: as it came"])).status == 200
    assert origin.requests[-1].get("traceparent") == "as it came"
    gateway.reload({**config, "tracing": merged(tracing, {"export": {"interval": "10ms"}, "service_name": "other"})})
    assert client.ask(get()).status == 200
    server, _ = collector.request_span()
    assert server.service == "other"


@pytest.mark.skipif((CLIENT_SPEAKS, UPSTREAM_SPEAKS) != ("h1", "h1"), reason="how HTTP/1.1 asks for a tunnel")
def test_tunnel_is_one_span_to_its_end(start, collector, origin):
    gateway, _ = traced(start, collector, origin)
    client = gateway.connect().send(get(fields=["Connection: Upgrade", "Upgrade: chat"]))
    wire = origin.accept()
    wire.read_request()
    wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n")
    assert client.read_response().status == 101
    assert not collector.spans
    wire.close()
    client.close()
    server, (attempt,) = collector.request_span()
    assert server.attributes["http.response.status_code"] == attempt.attributes["http.response.status_code"] == 101
    assert "weir.first_byte" in attempt.events
