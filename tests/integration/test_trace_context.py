"""W3C Trace Context: what goes on to the upstream, whose trace it is, and the id in the log."""

import re

import pytest

from gateway import configuration
from raw import get, response

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
WRITTEN = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])")


def traced(start, origin, listener=None, **tracing):
    return start(configuration(origin, listener=listener, tracing={"upstream": "origin", "sample": "0%", **tracing}))


def forwarded(gateway, origin, *fields, request=None):
    """The request as the upstream sees it; it is answered."""
    client = gateway.connect().send(request or get(fields=fields))
    wire = origin.accept()
    seen = wire.read_request()
    wire.send(response(fields=["Connection: close"]))
    client.read_response()
    return seen


def context(request):
    """Trace, span and flags of the one traceparent."""
    values = [value for name, value in request.fields if name.lower() == "traceparent"]
    assert len(values) == 1
    found = WRITTEN.fullmatch(values[0])
    assert found and int(found[1], 16) and int(found[2], 16)
    return found.groups()


def states(request):
    return [value for name, value in request.fields if name.lower() == "tracestate"]


def test_without_tracing_all_passes_untouched(gateway, origin):
    request = forwarded(gateway, origin, "traceparent: what ever", "tracestate: a=1", "tracestate: b = 2")
    assert request.get("traceparent") == "what ever" and states(request) == ["a=1", "b = 2"]
    assert "trace_id" not in gateway.record()


def test_trace_goes_on(start, origin):
    gateway = traced(start, origin)
    trace, span, flags = context(forwarded(gateway, origin, f"Traceparent: {PARENT}", "tracestate: a=1,b=2"))
    assert trace == TRACE and span != SPAN and flags == "01"
    assert gateway.record()["trace_id"] == TRACE


@pytest.mark.parametrize("share, flags", [("0%", "00"), ("100%", "01")])
def test_trace_begins(start, origin, share, flags):
    """Each request has a trace of its own, and the log its id."""
    gateway = traced(start, origin, sample=share)
    seen = [context(forwarded(gateway, origin)) for _ in range(3)]
    assert {one[2] for one in seen} == {flags}
    assert len({one[0] for one in seen}) == len({one[1] for one in seen}) == 3
    assert [record["trace_id"] for record in gateway.records(3)] == [one[0] for one in seen]


def test_decision_of_the_parent_counts(start, origin):
    gateway = traced(start, origin, sample="100%")
    assert context(forwarded(gateway, origin, f"traceparent: 00-{TRACE}-{SPAN}-00"))[2] == "00"


def test_later_version(start, origin):
    gateway = traced(start, origin)
    assert context(forwarded(gateway, origin, f"traceparent: 07-{TRACE}-{SPAN}-03-more"))[::2] == (TRACE, "01")


@pytest.mark.parametrize("fields", [
    ["traceparent: "], ["traceparent: nonsense"], [f"traceparent: 00-{'0' * 32}-{SPAN}-01"],
    [f"traceparent: 00-{TRACE}-{'0' * 16}-01"], [f"traceparent: ff-{TRACE}-{SPAN}-01"], [f"traceparent: {PARENT}-x"],
    [f"traceparent: {PARENT.upper()}"], [f"traceparent: {PARENT}", f"traceparent: {PARENT}"],
    [f"traceparent: {PARENT}, {PARENT}"],
], ids=["empty", "nonsense", "zero trace", "zero span", "version ff", "too long", "capitals", "twice", "list"])
def test_malformed_begins_anew(start, origin, fields):
    """And the state of a trace that is not continued does not go on."""
    request = forwarded(traced(start, origin), origin, *fields, "tracestate: a=1")
    assert context(request)[::2] != (TRACE, "01") and states(request) == []


def test_state_of_several_fields_is_one(start, origin):
    request = forwarded(traced(start, origin), origin, f"traceparent: {PARENT}", "tracestate: a=1 , b=2", "tracestate:",
        "TraceState: c@d=3")
    assert states(request) == ["a=1,b=2,c@d=3"]


@pytest.mark.parametrize("state", ["nonsense", "a=1,A=2", "a=1,a=2", ",".join(f"k{i}=1" for i in range(33))],
    ids=["nonsense", "capitals", "twice", "33 members"])
def test_malformed_state_is_dropped_alone(start, origin, state):
    request = forwarded(traced(start, origin), origin, f"traceparent: {PARENT}", f"tracestate: {state}")
    assert context(request)[0] == TRACE and states(request) == []


def test_long_state_is_cut(start, origin):
    members = [f"k{i}={'v' * 60}" for i in range(12)]
    request = forwarded(traced(start, origin), origin, f"traceparent: {PARENT}", f"tracestate: {','.join(members)}")
    assert states(request) == [",".join(members[:8])]


@pytest.mark.parametrize("parent, trusted, goes_on", [("trusted", True, True), ("trusted", False, False), ("ignore", True, False),
    ("follow", False, True)])
def test_whose_trace_is_believed(start, origin, parent, trusted, goes_on):
    listener = {"trusted_proxies": ["127.0.0.0/8"]} if trusted else None
    gateway = traced(start, origin, listener=listener, parent=parent)
    request = forwarded(gateway, origin, f"traceparent: {PARENT}", "tracestate: a=1")
    assert (context(request)[0] == TRACE) == goes_on
    assert states(request) == (["a=1"] if goes_on else [])


def test_what_a_filter_sets_counts(start, origin):
    """The operator's word, as with other fields."""
    config = configuration(origin, tracing={"upstream": "origin"},
        route={"filters": [{"headers": {"request": {"set": {"traceparent": PARENT}}}}]})
    assert forwarded(start(config), origin).get("traceparent") == PARENT


def test_each_try_has_its_own_span(start, make_origin):
    first, second = make_origin(), make_origin()
    config = configuration(first, second, tracing={"upstream": "origin"},
        upstream={"balance": {"policy": "round_robin"}, "retry": {"attempts": 1, "on": ["status_503"], "budget": "100%"}})
    client = start(config).connect().send(get(fields=[f"traceparent: {PARENT}"]))
    wires = [origin.accept() for origin in (first, second) if origin.is_wanted(0.5)]
    one = wires[0].read_request()
    wires[0].send(response(status="503 Later"))
    other = (second if wires[0] in first.wires else first).accept()
    two = other.read_request()
    other.send(response())
    assert client.read_response().status == 200
    assert context(one)[0] == context(two)[0] == TRACE and context(one)[1] != context(two)[1]
