"""A collector of traces: a scripted origin that holds what is posted to it against the rules of OTLP/HTTP in JSON."""

import json
import re
import threading

from gateway import PATIENT, eventually, merged
from origin import is_open
from raw import response

HEX = {16: re.compile("[0-9a-f]{16}"), 32: re.compile("[0-9a-f]{32}")}
SERVER, CLIENT = 2, 3


def _only(mapping, required, optional=()):
    assert isinstance(mapping, dict)
    assert set(required) <= set(mapping) <= {*required, *optional}, sorted(mapping)


def _id(text, length):
    assert isinstance(text, str) and HEX[length].fullmatch(text) and int(text, 16), text


def _number(text):
    """64 bits are text in JSON."""
    assert isinstance(text, str) and re.fullmatch("[0-9]+", text) and int(text) < 1 << 64, text
    return int(text)


def _attributes(attributes):
    """As a mapping. Keys stand once, values have one type."""
    values = {}
    for attribute in attributes:
        _only(attribute, ("key", "value"))
        assert re.fullmatch("[a-z][a-z0-9_.]+", attribute["key"]) and attribute["key"] not in values
        (kind, value), = attribute["value"].items()
        assert kind in ("stringValue", "intValue")
        assert isinstance(value, str)
        values[attribute["key"]] = _number(value) if kind == "intValue" else value
    return values


class Span:
    def __init__(self, span, service):
        _only(span, ("traceId", "spanId", "flags", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes"),
            ("parentSpanId", "traceState", "events", "status"))
        _id(span["traceId"], 32)
        _id(span["spanId"], 16)
        if "parentSpanId" in span:
            _id(span["parentSpanId"], 16)
        assert isinstance(span["flags"], int) and span["flags"] & ~0x301 == 0 and span["flags"] & 0x100
        assert span["kind"] in (SERVER, CLIENT) and isinstance(span["name"], str) and span["name"]
        self.service, self.trace, self.id, self.parent = service, span["traceId"], span["spanId"], span.get("parentSpanId")
        self.name, self.kind, self.flags, self.state = span["name"], span["kind"], span["flags"], span.get("traceState")
        self.start, self.end = _number(span["startTimeUnixNano"]), _number(span["endTimeUnixNano"])
        assert self.start <= self.end
        self.attributes = _attributes(span["attributes"])
        self.events = {event["name"]: _number(event["timeUnixNano"]) for event in span.get("events", [])}
        assert all(self.start <= at <= self.end for at in self.events.values())
        assert list(self.events.values()) == sorted(self.events.values())
        self.status = span.get("status", {})
        _only(self.status, (), ("code", "message"))
        assert self.status.get("code", 2) == 2

    @property
    def failed(self):
        return bool(self.status)

    @property
    def is_remote_child(self):
        return bool(self.flags & 0x200)

    @property
    def sampled(self):
        return bool(self.flags & 1)


def spans_of(body):
    """Of one request, which is well-formed."""
    root = json.loads(body)
    _only(root, ("resourceSpans",))
    spans = []
    for resource in root["resourceSpans"]:
        _only(resource, ("resource", "scopeSpans"))
        _only(resource["resource"], ("attributes",))
        service = _attributes(resource["resource"]["attributes"])["service.name"]
        for scope in resource["scopeSpans"]:
            _only(scope, ("scope", "spans"))
            assert scope["scope"]["name"] == "weir"
            assert scope["spans"]
            spans += [Span(span, service) for span in scope["spans"]]
    return spans


def telling(config, collector, tracing=None, **upstream):
    """The configuration, of a gateway that tells the collector soon, and of every request unless it is told otherwise."""
    config["upstreams"].append({"name": "collector", "endpoints": [{"address": collector.address}], **PATIENT, **upstream})
    config["tracing"] = merged({"upstream": "collector", "sample": "100%", "export": {"interval": "10ms"}}, tracing)
    return config


class Collector:
    """Answers with what `answers` has next, then with 200. `may` cleared: not before it is set. `tls`: a context."""

    def __init__(self, origin, answers=(), tls=None):
        self.origin, self.answers, self.may, self.tls = origin, list(answers), threading.Event(), tls
        self.address = origin.address
        self.requests, self.spans, self.wrong = [], [], []
        self.may.set()
        origin.serve(self._serve)

    def _serve(self, wire, _):
        wire.sock.settimeout(None)
        if self.tls:
            wire.sock = self.tls.wrap_socket(wire.sock, server_side=True)
        while wire.unread or wire.more():
            request = wire.read_request()
            while not self.may.wait(0.01):
                assert is_open(wire.sock)
            answer = self.answers.pop(0) if self.answers else response(b'{"partialSuccess":{}}')
            try:
                self._take(request, answer)
            except (AssertionError, KeyError, ValueError) as error:
                self.wrong.append((error, request.body))
            wire.send(answer)

    def _take(self, request, answer):
        self.requests.append(request)
        assert (request.method, request.target, request.get("Content-Type")) == ("POST", "/v1/traces", "application/json")
        assert request.get("traceparent") is None and request.get("Via") is None
        spans = spans_of(request.body)
        if b" 200 " in answer[:16]:
            self.spans += spans

    def have(self, n):
        """At least so many spans, all well-formed."""
        eventually(lambda: self.wrong or len(self.spans) >= n)
        assert not self.wrong, self.wrong
        assert len({(span.trace, span.id) for span in self.spans}) == len(self.spans)
        return self.spans

    def request_span(self, n=2):
        """The one request of a test that has n spans, and its tries in their order. All have the right parents."""
        spans = self.have(n)
        server, = [span for span in spans if span.kind == SERVER]
        tries = sorted((span for span in spans if span.kind == CLIENT), key=lambda span: span.start)
        assert len(spans) == n
        for span in tries:
            assert span.trace == server.trace and span.parent == server.id
            assert server.start <= span.start and span.end <= server.end + 2_000_000
        return server, tries
