"""Server-sent events: each is with the client before the service sends the next."""

import signal
import socket

import pytest

import h2raw
from authority import authorities
from raw import TIMEOUT, Wire, chunk, get
from timing import AMPLE, AMPLE_TEXT, SHORT_TEXT, due
from ways import Stream, all_ways, configured, h2_server, next_stream

EVENTS = [b"retry: 1000\n\n"] + [b"id: %d\nevent: tick\ndata: {\"n\": %d}\n\n" % (i, i) for i in range(20)] + [b": ping\n\n"]
FIELDS = [("content-type", "text/event-stream"), ("cache-control", "no-store")]


# --- both ends --------------------------------------------------------------------------------------------------------


class Chunked:
    """An answer of HTTP/1.1 as its content alone, as it comes."""

    def __init__(self, wire):
        self.wire, self.data = wire, b""

    def take(self, n):
        while len(self.data) < n:
            piece = self.wire.read_chunk()
            assert piece, f"ended after {self.data!r}"
            self.data += piece
        data, self.data = self.data[:n], self.data[n:]
        return data

    def expect_end(self):
        assert self.wire.read_chunk() == b"" and not self.data
        self.wire.read_trailers()

    def expect_silence(self, seconds):
        assert not self.data
        self.wire.expect_silence(seconds)

    def expect_gone(self):
        return self.wire.expect_gone()

    def cut(self):
        self.wire.reset()


class Service:
    """The service's end of an h1 answer: chunks, or content until the close."""

    def __init__(self, wire, chunked):
        self.wire, self.chunked = wire, chunked

    def send(self, event):
        self.wire.send(chunk(event) if self.chunked else event)

    def end(self):
        if self.chunked:
            self.wire.send("0\r\n\r\n")
        else:
            self.wire.close()

    def expect_gone(self):
        self.wire.expect_gone()


def ask(way, gateway, context=None, fields=()):
    """A client's request for /events."""
    sock = socket.create_connection(gateway.address(), TIMEOUT)
    if context:
        context.set_alpn_protocols(["h2" if way[0] == "h2" else "http/1.1"])
        sock = context.wrap_socket(sock, server_hostname="example.com")
        assert sock.selected_alpn_protocol() == ("h2" if way[0] == "h2" else "http/1.1")
    if way[0] == "h1":
        wire = Wire(sock)
        gateway.wires.append(wire)
        return wire.send(get("/events", fields=["Accept: text/event-stream", *(f"{n}: {v}" for n, v in fields)]))
    wire = h2raw.H2Wire(sock).start()
    gateway.wires.append(wire)
    scheme = "https" if context else "http"
    return Stream(wire, wire.request(h2raw.get("/events", scheme=scheme, fields=[("accept", "text/event-stream"), *fields])))


def begin(way, origin, context=None, chunked=True):
    """The service's end: the request was read, and the head of the answer sent."""
    wire = origin.accept()
    if context:
        context.set_alpn_protocols(["h2"] if way[1] == "h2" else ["http/1.1"])
        wire = Wire(context.wrap_socket(wire.sock, server_side=True))
        origin.wires.append(wire)
    if way[1] == "h1":
        assert wire.read_request().get("Accept") == "text/event-stream"
        fields = [*FIELDS, *([("transfer-encoding", "chunked")] if chunked else [])]
        wire.send("HTTP/1.1 200 OK\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\n")
        return Service(wire, chunked)
    stream = next_stream(h2_server(wire))
    assert stream.message.get("accept") == "text/event-stream"
    stream.wire.send(h2raw.headers(stream.number, [(":status", "200"), *FIELDS]))
    return stream


def begun(client):
    """The head of the answer is there before any event; the client's end of the content."""
    if isinstance(client, Stream):
        message = client.wire.head(client.number)
        assert (message.status, message.get("content-type")) == (200, "text/event-stream")
        return client
    head = client.read_head()
    assert (head.status, head.get("content-type"), head.framing) == (200, "text/event-stream", "chunked")
    return Chunked(client)


def exchange(service, client, events=EVENTS):
    for event in events:
        service.send(event)
        assert client.take(len(event)) == event


# --- events -----------------------------------------------------------------------------------------------------------


@all_ways
def test_events_flow_at_once(start, origin, way):
    gateway = start(configured(way, origin))
    asking = ask(way, gateway)
    service = begin(way, origin)
    client = begun(asking)
    exchange(service, client)
    service.end()
    client.expect_end()
    record = gateway.record()
    assert (record["cause"], record["bytes_out"]) == (None, sum(map(len, EVENTS)))


@pytest.mark.parametrize("way", [("h1", "h1"), ("h2", "h1")], ids=["to h1", "to h2"])
def test_events_until_the_close(start, origin, way):
    gateway = start(configured(way, origin))
    asking = ask(way, gateway)
    service = begin(way, origin, chunked=False)
    client = begun(asking)
    exchange(service, client)
    service.end()
    client.expect_end()
    assert gateway.record()["cause"] is None


@pytest.fixture(scope="module")
def certified():
    """The authority, and what the gateway and the service show."""
    ours, _ = authorities()
    return ours, ours.issue("sse", "example.com"), ours.issue("sse-service", "service.test")


@all_ways
def test_events_over_tls(start, origin, way, certified):
    ours, shown, services = certified
    tls = {"certificates": [shown]}
    gateway = start(configured(way, origin, listener={"tls": tls, "protocols": ["h1", "h2"]},
        upstream={"tls": {"ca": ours.ca, "server_name": "service.test"}}))
    asking = ask(way, gateway, ours.client_context())
    service = begin(way, origin, ours.server_context(services))
    client = begun(asking)
    exchange(service, client)
    service.end()
    client.expect_end()


@all_ways
def test_events_in_pieces(start, origin, way):
    """Half an event is no reason to wait either."""
    gateway = start(configured(way, origin))
    asking = ask(way, gateway)
    service = begin(way, origin)
    client = begun(asking)
    exchange(service, client, [b"data: ha", b"lf\n", b"\n"])


@all_ways
def test_silent_ones_do_not_hold_others_up(start, origin, way):
    """Each of 20 streams has its event while the others are silent."""
    gateway = start(configured(way, origin, upstream={"pool": {"max_connections": 32}}))
    pairs, server = [], None
    for _ in range(20):
        asking = ask(way, gateway)
        if way[1] == "h1" or server is None:
            service = begin(way, origin)
            server = None if way[1] == "h1" else service.wire
        elif origin.is_wanted(0):
            service = begin(way, origin)
        else:
            service = next_stream(server)
            server.send(h2raw.headers(service.number, [(":status", "200"), *FIELDS]))
        pairs.append((service, begun(asking)))
    for service, client in reversed(pairs):
        exchange(service, client, EVENTS[:3])


# --- silence ----------------------------------------------------------------------------------------------------------

HASTY = {"timeouts": {"header": AMPLE_TEXT, "body_idle": AMPLE_TEXT, "keep_alive": AMPLE_TEXT, "write_idle": AMPLE_TEXT}}


def silent(way, start, origin, **timeouts):
    gateway = start(configured(way, origin, listener=HASTY, upstream={"timeouts": timeouts}))
    asking = ask(way, gateway)
    service = begin(way, origin)
    client = begun(asking)
    exchange(service, client, EVENTS[:2])
    return gateway, service, client


@all_ways
def test_silent_for_longer_than_every_other_time(start, origin, way):
    """`request: 0` and a long `idle` are all that a stream needs: no other timeout is meant."""
    _, service, client = silent(way, start, origin, first_byte=AMPLE_TEXT, request="0", idle="60s")
    client.expect_silence(AMPLE * 1.2)
    exchange(service, client, EVENTS[2:4])
    service.end()
    client.expect_end()


@all_ways
def test_ends_when_it_is_silent_for_longer_than_idle(start, origin, way):
    gateway = start(configured(way, origin, listener=HASTY, upstream={"timeouts": {"request": "0", "idle": SHORT_TEXT}}))
    with due():
        asking = ask(way, gateway)
        service = begin(way, origin)
        client = begun(asking)
        client.expect_gone()
    service.expect_gone()
    assert gateway.record()["cause"] == "upstream_idle_timeout"


@pytest.mark.parametrize("way", [("h1", "h2"), ("h2", "h1")], ids=["h1 to h2", "h2 to h1"])
def test_pings_of_the_service_count(start, origin, way):
    """Comments, which a service sends so that nobody thinks it is gone."""
    gateway, service, client = silent(way, start, origin, request="0", idle=AMPLE_TEXT)
    for _ in range(8):
        client.expect_silence(AMPLE * 0.14)
        exchange(service, client, [b":\n\n"])
    service.end()
    client.expect_end()
    assert gateway.record()["cause"] is None


@all_ways
def test_ends_with_the_request_when_that_has_a_time(start, origin, way):
    gateway, service, client = silent(way, start, origin, request=AMPLE_TEXT, idle="60s")
    client.expect_gone()
    service.expect_gone()
    assert gateway.record()["cause"] == "request_deadline"


# --- the end ----------------------------------------------------------------------------------------------------------


@all_ways
@pytest.mark.parametrize("who, cause", [("client", "client_gone"), ("service", "upstream_reset")])
def test_one_end_goes(start, origin, way, who, cause):
    """The service is told at once, not with its next event; to the client it does not look like an end."""
    gateway, service, client = silent(way, start, origin, request="0")
    client.cut() if who == "client" else service.wire.close()
    (service if who == "client" else client).expect_gone()
    assert gateway.record()["cause"] == cause


@all_ways
def test_drain(start, origin, way):
    """Who listens keeps listening until the time for draining is up; then the client connects to somebody else."""
    gateway = start(configured(way, origin, drain_timeout=AMPLE_TEXT))
    asking = ask(way, gateway)
    service = begin(way, origin)
    client = begun(asking)
    exchange(service, client, EVENTS[:2])
    gateway.signal(signal.SIGTERM)
    gateway.event("draining")
    exchange(service, client, EVENTS[2:])
    assert gateway.wait() == 0
    assert gateway.record()["cause"] == "draining"
