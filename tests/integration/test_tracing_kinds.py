"""Spans of what is no plain request, calls of gRPC and WebSockets, in all four ways where there are; and a collector that speaks TLS."""

import functools
import json

import grpc
import pytest

from admin import Admin
from authority import authorities
from collector import Collector, telling
from gateway import configuration, eventually, free_port
from grpcs import calls
from peers import GrpcClient, GrpcService
from raw import get
from ways import all_ways, configured, open_websocket

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


# --- gRPC ---------------------------------------------------------------------------------------------------------------


def call(start, collector, message, tracing=None, **metadata):
    """One call: the service's end of it, how it ended."""
    with GrpcService() as service:
        gateway = start(telling(calls(service), collector, tracing))
        with GrpcClient(f"127.0.0.1:{gateway.port}") as client:
            code = grpc.StatusCode.OK
            try:
                client.unary(message, timeout=60, metadata=list(metadata.items()))
            except grpc.RpcError as error:
                code = error.code()
        return service.calls[0], code


def test_call_of_grpc(start, collector):
    seen, code = call(start, collector, b"hello", traceparent=PARENT, tracestate="a=1")
    server, (attempt,) = collector.request_span()
    assert code == grpc.StatusCode.OK
    assert (seen.metadata["traceparent"], seen.metadata["tracestate"]) == (f"00-{TRACE}-{attempt.id}-01", "a=1")
    assert (server.trace, server.parent, server.is_remote_child, server.failed) == (TRACE, SPAN, True, False)
    assert server.attributes.items() >= {"http.request.method": "POST", "http.response.status_code": 200, "rpc.system": "grpc",
        "rpc.grpc.status_code": 0, "network.protocol.version": "2", "url.path": "/weir.test.Echo/unary"}.items()
    assert "error.type" not in server.attributes and not attempt.failed
    assert list(attempt.events) == ["weir.connection_leased", "weir.request_sent", "weir.first_byte"]


def test_call_that_fails_is_told_of(start, collector):
    """The answer is 200, and the call has failed all the same."""
    _, code = call(start, collector, b"fail UNAVAILABLE later", {"sample": "0%"})
    server, _ = collector.request_span()
    assert code == grpc.StatusCode.UNAVAILABLE and server.failed and not server.sampled
    assert server.attributes.items() >= {"http.response.status_code": 200, "rpc.grpc.status_code": 14, "error.type": "UNAVAILABLE",
        "weir.exported_for": "error"}.items()
    assert "weir.cause" not in server.attributes


def test_call_that_its_caller_has_wrong_is_none_that_fails(start, collector):
    _, code = call(start, collector, b"fail NOT_FOUND nothing", {"slow": "1ms"})
    server, _ = collector.request_span()
    assert code == grpc.StatusCode.NOT_FOUND and not server.failed
    assert server.attributes["rpc.grpc.status_code"] == 5 and "error.type" not in server.attributes


# --- WebSockets ---------------------------------------------------------------------------------------------------------


@all_ways
def test_websocket(start, collector, origin, way):
    """One span for as long as it lives, whatever the two sides speak; the service sees the try that it is in."""
    gateway = start(telling(configured(way, origin), collector))
    client, server = open_websocket(way, gateway, origin, [("traceparent", PARENT)])
    client.send(b"hello")
    assert server.take(5) == b"hello" and not collector.spans
    server.end()
    client.expect_end()
    client.end()
    server.expect_end()
    request, (attempt,) = collector.request_span()
    assert server.message.get("traceparent") == f"00-{TRACE}-{attempt.id}-01"
    assert (request.trace, request.parent, request.failed, attempt.failed) == (TRACE, SPAN, False, False)
    assert request.attributes.items() >= {"http.response.status_code": 101, "network.protocol.version": "2" if way[0] == "h2" else "1.1",
        "url.path": "/chat", "http.request.body.size": 5}.items()
    assert attempt.attributes["weir.endpoint"] == origin.address and "weir.first_byte" in attempt.events
    assert gateway.record()["trace_id"] == TRACE


# --- TLS ----------------------------------------------------------------------------------------------------------------


@functools.cache
def issued():
    return authorities()[0].issue("collector", "collector.test")


@pytest.fixture
def secured(make_origin):
    return Collector(make_origin(), tls=authorities()[0].server_context(issued()))


def by_tls(start, origin, collector, **tls):
    config = configuration(origin.serve(), workers=1, admin={"address": f"127.0.0.1:{free_port()}"})
    gateway = start(telling(config, collector, tls=tls))
    assert gateway.connect().ask(get()).status == 200
    return Admin(gateway)


def test_collector_by_tls(start, origin, secured):
    admin = by_tls(start, origin, secured, ca=authorities()[0].ca, server_name="collector.test")
    secured.request_span()
    eventually(lambda: admin.metrics().get("weir_trace_spans_exported_total") == 2)
    assert admin.metrics().get("weir_trace_export_failures_total") == 0


@pytest.mark.parametrize("tls", ["other authority", "other name"])
def test_collector_that_is_not_believed(start, origin, secured, tls):
    """It is told nothing; what waits for it is kept, and each try is counted."""
    ours, other = authorities()
    admin = by_tls(start, origin, secured, **{"other authority": {"ca": other.ca, "server_name": "collector.test"},
        "other name": {"ca": ours.ca, "server_name": "elsewhere.test"}}[tls])
    eventually(lambda: admin.metrics().get("weir_trace_export_failures_total") >= 2)
    metrics = admin.metrics()
    assert (metrics.get("weir_trace_spans_queued"), metrics.get("weir_trace_spans_exported_total")) == (2, 0)
    assert not secured.requests and not secured.spans
