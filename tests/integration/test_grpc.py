"""gRPC through the gateway: python3-grpcio on both sides, and by hand what grpcio does not show."""

import functools
import hashlib
import pathlib
import threading
import types

import grpc
import h2.errors
import h2.events
import pytest

from authority import authorities
from gateway import free_port, scale
from grpcs import KIND, calls, fail, metric, retrying
from h2peer import Peer
from h2wire import CANCEL, h2_connect
from peers import GrpcClient, GrpcService, Waiting, noise
from raw import TIMEOUT, chunk, get

GIB = 1 << 30
OK = grpc.StatusCode.OK


def client_of(gateway, **options):
    return GrpcClient(f"127.0.0.1:{gateway.port}", **options)


def failure(call, *arguments, **options):
    """The status and the message that a call fails with."""
    with pytest.raises(grpc.RpcError) as failed:
        result = call(*arguments, timeout=options.pop("timeout", 60), **options)
        list(result)
    return failed.value.code(), failed.value.details()


@functools.cache
def issued():
    """For the gateway and the service alike."""
    return authorities()[0].issue("grpc", "grpc.test", "127.0.0.1")


@pytest.fixture(params=["h2c", "TLS"])
def pair(request, start):
    """A service and a client with the gateway between them."""
    if request.param == "h2c":
        with GrpcService() as service:
            gateway = start(calls(service, upstream={"timeouts": {"request": 0}}))
            with client_of(gateway) as client:
                yield service, client, gateway
        return
    ca, certificate = authorities()[0], issued()
    own = types.SimpleNamespace(**{name: pathlib.Path(path) for name, path in certificate.items()})
    with GrpcService(own) as service:
        gateway = start(calls(service, listener={"tls": {"certificates": [certificate]}},
            upstream={"tls": {"ca": str(ca.ca)}, "timeouts": {"request": 0}}))
        with client_of(gateway, ca=pathlib.Path(ca.ca)) as client:
            yield service, client, gateway


# --- the four kinds of calls ----------------------------------------------------------------------------------------------


def test_four_kinds(pair):
    service, client, gateway = pair
    answer, call = client.unary.with_call(b"one", timeout=60)
    assert answer == b"one" and call.code() == OK and dict(call.trailing_metadata())["x-messages"] == "1"
    answer, call = client.gather.with_call(iter([b"ab"] * 10), timeout=60)
    assert answer == b"20" and dict(call.trailing_metadata())["x-messages"] == "10"
    call = client.scatter(b"count 5", timeout=60)
    assert list(call) == [b"0", b"1", b"2", b"3", b"4"] and call.code() == OK
    call = client.both(iter([b"a", b"b", b""]), timeout=60)
    assert list(call) == [b"a", b"b", b""] and dict(call.trailing_metadata())["x-messages"] == "3"
    assert [call.method for call in service.calls] == ["unary", "gather", "scatter", "both"]
    records = gateway.records(4)
    assert [(r["status"], r["grpc_status"], r["cause"]) for r in records] == [(200, 0, None)] * 4
    assert metric(gateway, "weir_grpc_responses_total", code="OK") == 4


def test_empty_and_large_messages(pair):
    _, client, _ = pair
    for message in (b"", b"x" * 1000, b"y" * 300_000, b"z" * 3_000_000):
        assert client.unary(message, timeout=60) == message


def test_takes_turns(pair):
    """Each message flows at once: the next one is not said before the answer to this one."""
    _, client, _ = pair
    answered = threading.Semaphore(1)

    def ask():
        for i in range(50):
            assert answered.acquire(timeout=TIMEOUT)
            yield b"%d" % i

    count = 0
    for i, answer in enumerate(client.both(ask(), timeout=60)):
        assert answer == b"%d" % i
        count += 1
        answered.release()
    assert count == 50


def test_metadata(pair):
    service, client, _ = pair
    sent = [("x-word", "value"), ("x-bytes-bin", bytes(range(256))), ("x-two", "1"), ("x-two", "2")]
    _, call = client.unary.with_call(b"", timeout=60, metadata=sent)
    seen = service.calls[-1].metadata
    assert seen["x-word"] == "value" and seen["x-bytes-bin"] == bytes(range(256)) and seen["x-two"] in ("1", "2", "1, 2")
    assert dict(call.initial_metadata())["x-request-id"]


def test_status_of_the_service(pair):
    service, client, gateway = pair
    assert failure(client.unary, b"fail NOT_FOUND no such thing") == (grpc.StatusCode.NOT_FOUND, "no such thing")
    assert failure(client.unary, "fail ABORTED 100 % für dich".encode()) == (grpc.StatusCode.ABORTED, "100 % für dich")
    assert failure(client.scatter, b"fail_after DATA_LOSS")[0] == grpc.StatusCode.DATA_LOSS
    assert failure(client.unknown, b"")[0] == grpc.StatusCode.UNIMPLEMENTED
    records = gateway.records(4)
    assert [r["grpc_status"] for r in records] == [5, 10, 15, 12] and {r["cause"] for r in records} == {None}
    assert metric(gateway, "weir_grpc_responses_total", code="ABORTED") == 1


# --- deadlines and cancelling ----------------------------------------------------------------------------------------------


def test_client_deadline_reaches_the_service(pair):
    service, client, gateway = pair
    # It is connected then: nothing but the call itself takes its time, which has to do for its way to the service.
    client.unary(b"before", timeout=60)
    assert failure(client.unary, b"sleep 60", timeout=4)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    service.wait(lambda s: len(s.calls) == 2 and s.calls[-1].ended)
    record = gateway.records(2)[1]
    # The time was over at three places: the service's word of it, the gateway's, or the client's that it has left.
    assert (record["grpc_status"], record["cause"]) in ((4, None), (4, "request_deadline"), (None, "client_gone"))


def test_cancel_reaches_the_service(pair):
    service, client, gateway = pair
    messages = Waiting()
    call = client.both(messages)
    assert next(call) == b"first" and not service.calls[-1].ended
    call.cancel()
    # The client never says that it has said all.
    service.wait(lambda s: s.calls[-1].ended)
    messages.close()
    record = gateway.record()
    assert (record["cause"], record["grpc_status"]) == ("client_gone", None)
    assert client.unary(b"next", timeout=60) == b"next"


def test_what_is_no_post_is_no_call(start):
    """Its failures are not told as 200."""
    gateway = start({"version": 1, "workers": 1, "listeners": [{"name": "l", "address": f"127.0.0.1:{free_port()}"}],
        "upstreams": [{"name": "u", "endpoints": [{"address": f"127.0.0.1:{free_port()}"}]}],
        "routes": [{"name": "r", "match": {"path": "/*"}, "upstream": "u"}]})
    answer = gateway.connect().ask(get(fields=["Content-Type: application/grpc", "Grpc-Timeout: x"]))
    assert answer.status == 502 and b"connect_refused" in answer.body


# By hand: what goes upstream, and what the gateway itself says.


def ask(wire, *fields, path="/weir.test.Echo/unary", body=b"\0\0\0\0\0", **options):
    return wire.request(path, "POST", [KIND, ("te", "trailers"), *fields], body, **options)


def told(answer):
    """The status and the message of an answer that is only a head."""
    assert answer.ended and answer.status == 200 and not answer.body and answer.trailers is None
    return int(answer.get("grpc-status")), answer.get("grpc-message")


@pytest.fixture
def peer_of(origin):
    return lambda: Peer(origin.accept())


def connected(gateway, peer_of):
    """A client, and the service's end of the connection on which it has been served: what it asks next is there at once."""
    wire = h2_connect(gateway)
    stream = ask(wire)
    peer = peer_of()
    peer.head(peer.request()[0], [KIND, ("grpc-status", "0")], end=True)
    assert told(wire.answer(stream))[0] == 0
    return wire, peer


@pytest.mark.parametrize("own, said, goes", [("30s", None, None), ("30s", "5S", "5S"), ("30s", "99999999H", "30000m"),
    ("0", "7M", "7M"), ("24h", "99999999S", "86400000m"), ("1500us", "10S", "1m")])
def test_timeout_as_it_goes_upstream(start, origin, peer_of, own, said, goes):
    gateway = start(calls(origin, upstream={"timeouts": {"request": own}}))
    wire = h2_connect(gateway)
    stream = ask(wire, *[("grpc-timeout", said)] * bool(said))
    if own == "1500us":
        assert told(wire.answer(stream))[0] == 4
        return
    _, fields = (peer := peer_of()).request()
    assert fields.get("grpc-timeout") == goes and fields["te"] == "trailers"
    assert fields["content-type"] == "application/grpc"
    del peer


def test_deadline_of_the_client_is_ours(start, origin, peer_of):
    gateway = start(calls(origin))
    wire, peer = connected(gateway, peer_of)
    stream = ask(wire, ("grpc-timeout", "200m"))
    upstream, _ = peer.request()
    answer = wire.answer(stream)
    assert told(answer)[0] == 4 and answer.get("proxy-status") == \
        'weir; error=http_response_timeout; details="request_deadline"'
    assert answer.get("content-type") == "application/grpc" and answer.get("x-request-id")
    assert peer.take(h2.events.StreamReset, upstream).error_code == h2.errors.ErrorCodes.CANCEL
    record = gateway.records(2)[1]
    assert (record["status"], record["cause"], record["grpc_status"]) == (200, "request_deadline", 4)
    assert metric(gateway, "weir_grpc_responses_total", code="DEADLINE_EXCEEDED") == 1


def test_deadline_that_has_come(start, origin):
    wire = h2_connect(start(calls(origin)))
    assert told(wire.answer(ask(wire, ("grpc-timeout", "0S"))))[0] == 4


@pytest.mark.parametrize("timeout", ["", "5", "S", "-1S", "1.5S", "123456789S", "5s", "1 S", "5SS"])
def test_malformed_timeout(start, origin, timeout):
    gateway = start(calls(origin))
    wire = h2_connect(gateway)
    status, message = told(wire.answer(ask(wire, ("grpc-timeout", timeout))))
    assert status == 13 and message == "the request is malformed: grpc-timeout is malformed"
    assert gateway.record()["cause"] == "bad_request" and origin.is_untouched()


TWICE = {
    "two timeouts": ([KIND, ("grpc-timeout", "1S"), ("grpc-timeout", "99H")], "a call has more than one grpc-timeout"),
    "the same twice": ([KIND, ("grpc-timeout", "1S"), ("Grpc-Timeout", "1S")], "a call has more than one grpc-timeout"),
    "one is malformed": ([KIND, ("grpc-timeout", "1S"), ("grpc-timeout", "banana")], "a call has more than one grpc-timeout"),
    "text behind it": ([KIND, ("content-type", "text/plain")], "a call has more than one content-type"),
    "text before it": ([("content-type", "text/plain"), KIND], "a call has more than one content-type"),
    "a call twice": ([KIND, KIND], "a call has more than one content-type"),
}


@pytest.mark.parametrize("version", ["h1", "h2"])
@pytest.mark.parametrize("fields, why", TWICE.values(), ids=TWICE)
def test_what_a_call_says_twice(start, origin, version, fields, why):
    """The service may look at another one than the gateway."""
    gateway = start(calls(origin))
    if version == "h1":
        lines = [f"{name}: {value}\r\n" for name, value in fields]
        answer = gateway.connect().ask(f"POST /a.B/c HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n{''.join(lines)}\r\n".encode())
    else:
        answer = h2_connect(gateway).ask("/a.B/c", "POST", [(name.lower(), value) for name, value in fields])
    assert (answer.status, answer.get("grpc-status")) == (200, "13")
    record = gateway.record()
    assert (record["cause"], record["why"]) == ("bad_request", why) and origin.is_untouched()


def test_what_is_no_call_may_have_several_types(start, origin, peer_of):
    gateway = start(calls(origin))
    wire = h2_connect(gateway)
    stream = wire.request("/", "POST", [("content-type", "text/plain"), ("content-type", "text/html"),
        ("grpc-timeout", "1S"), ("grpc-timeout", "2S")], b"")
    peer = peer_of()
    peer.answer(peer.request()[0])
    assert wire.answer(stream).status == 200


@pytest.mark.parametrize("statuses, seen", [(["14", "0"], 2), (["0", "14"], 2), (["14", "14"], 2), (["14"], 14)])
def test_status_that_is_said_twice(start, origin, peer_of, statuses, seen):
    """It is nothing to go by: the call is not sent again for it, and logged as UNKNOWN."""
    gateway = start(retrying(origin, attempts=1))
    wire = h2_connect(gateway)
    stream = ask(wire)
    peer = peer_of()
    for _ in range(2 if seen == 14 else 1):
        peer.head(peer.request()[0], [KIND, *[("grpc-status", status) for status in statuses]], end=True)
    assert wire.answer(stream).ended
    record = gateway.record()
    assert (record["grpc_status"], record["retries"]) == (seen, 1 if seen == 14 else 0)


# --- failures of the gateway ------------------------------------------------------------------------------------------------


def test_no_service(start):
    gateway = start(calls(f"127.0.0.1:{free_port()}"))
    with client_of(gateway) as client:
        code, details = failure(client.unary, b"")
        assert code == grpc.StatusCode.UNAVAILABLE and "refused" in details
        assert failure(client.scatter, b"")[0] == grpc.StatusCode.UNAVAILABLE
        # The answer is there before all has been said.
        assert failure(client.gather, iter([b"x" * 1000] * 1000))[0] == grpc.StatusCode.UNAVAILABLE
        messages = Waiting()
        assert failure(client.both, messages)[0] == grpc.StatusCode.UNAVAILABLE
        messages.close()
    assert [r["cause"] for r in gateway.records(4)] == ["connect_refused"] * 4
    assert metric(gateway, "weir_grpc_responses_total", code="UNAVAILABLE") == 4


def test_no_route_and_limits(start, origin):
    gateway = start(calls(origin, listener={"limits": {"body_bytes": "1000B"}}, route={"match": {"path": "/weir.test.Echo/*"}}))
    wire = h2_connect(gateway)
    assert told(wire.answer(ask(wire, path="/other.Service/x")))[0] == 12
    stream = ask(wire, ("content-length", "2000"), end=False)
    assert told(wire.answer(stream))[0] == 8
    plain = wire.answer(wire.request("/other", "POST", [("content-type", "application/grpcx")], b""))
    assert plain.status == 404 and plain.get("grpc-status") is None
    assert gateway.records(3)[2].get("grpc_status", "no key") == "no key"


def test_http1_client_is_told_the_same(start, origin):
    gateway = start(calls(f"127.0.0.1:{free_port()}"))
    client = gateway.connect()
    for _ in range(2):
        answer = client.ask(b"POST /a.B/c HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc+proto\r\n"
            b"Content-Length: 5\r\n\r\n\0\0\0\0\0")
        assert (answer.status, answer.body, answer.get("Grpc-Status")) == (200, b"", "14")
        assert answer.get("Content-Type") == "application/grpc+proto"


def test_pool_is_full(start, origin, peer_of):
    gateway = start(calls(origin, upstream={"pool": {"max_connections": 1, "max_streams": 1, "max_pending": 0}}))
    wire = h2_connect(gateway)
    first = ask(wire)
    peer = peer_of()
    stream, _ = peer.request()
    assert told(wire.answer(ask(wire)))[0] == 14
    assert gateway.record()["cause"] == "pool_queue_full"
    peer.head(stream, [KIND, ("grpc-status", "0")], end=True)
    assert told(wire.answer(first))[0] == 0


def test_wait_for_the_pool_is_bounded_by_the_deadline(start, origin, peer_of):
    gateway = start(calls(origin, upstream={"pool": {"max_connections": 1, "max_streams": 1, "acquire_timeout": "20s"}}))
    wire = h2_connect(gateway)
    ask(wire)
    peer = peer_of()
    peer.request()
    assert told(wire.answer(ask(wire, ("grpc-timeout", "100m"))))[0] == 4


def test_reset_before_the_answer(start, origin, peer_of):
    gateway = start(calls(origin))
    wire = h2_connect(gateway)
    stream = ask(wire)
    peer = peer_of()
    peer.reset(peer.request()[0])
    assert told(wire.answer(stream))[0] == 14
    assert gateway.record()["cause"] == "upstream_reset"


def test_cut_off_in_the_answer_never_looks_complete(start, origin, peer_of):
    gateway = start(calls(origin))
    wire = h2_connect(gateway)
    stream = ask(wire)
    peer = peer_of()
    upstream, _ = peer.request()
    peer.head(upstream, [KIND]).data(upstream, b"\0\0\0\0\1a")
    wire.until(lambda: wire.answers[stream].body)
    peer.reset(upstream)
    answer = wire.answer(stream)
    assert answer.reset is not None and not answer.ended and answer.trailers is None
    record = gateway.record()
    assert (record["status"], record["cause"], record["grpc_status"]) == (200, "upstream_reset", None)
    assert metric(gateway, "weir_grpc_responses_total", code="none") == 1


def test_service_dies_in_the_middle(start):
    service = GrpcService()
    gateway = start(calls(service, upstream={"timeouts": {"request": 0}}))
    with client_of(gateway) as client:
        messages = Waiting()
        call = client.both(messages, timeout=30)
        assert next(call) == b"first"
        service.stop()
        with pytest.raises(grpc.RpcError) as failed:
            next(call)
        messages.close()
        assert failed.value.code() not in (OK, None)
        assert failure(client.unary, b"")[0] == grpc.StatusCode.UNAVAILABLE


def test_goaway_refuses_a_call_that_goes_elsewhere(start, origin, peer_of):
    gateway = start(calls(origin, upstream={"pool": {"max_connections": 1}}))
    wire = h2_connect(gateway)
    first = ask(wire)
    peer = peer_of()
    taken, _ = peer.request()
    second = ask(wire)
    peer.request()
    peer.go_away(taken)
    other = peer_of()
    again, _ = other.request()
    other.head(again, [KIND, ("grpc-status", "0")], end=True)
    assert told(wire.answer(second))[0] == 0
    assert not wire.answers[first].over


def test_other_answers_pass_as_they_are(start, origin, peer_of):
    """Without a grpc-status the client makes its own of the HTTP status."""
    gateway = start(calls(origin))
    wire = h2_connect(gateway)
    stream = ask(wire)
    peer = peer_of()
    upstream, _ = peer.request()
    peer.head(upstream, [("content-type", "text/html")], status="503").data(upstream, b"busy", end=True)
    answer = wire.answer(stream)
    assert (answer.status, bytes(answer.body), answer.get("grpc-status")) == (503, b"busy", None)
    assert gateway.record()["grpc_status"] is None


def test_http1_upstream_is_passed_as_it_is(start, origin):
    gateway = start(calls(origin, upstream={"protocol": "h1"}))
    wire = h2_connect(gateway)
    stream = ask(wire)
    upstream = origin.accept()
    head = upstream.read_request()
    assert head.get("TE") is None and head.get("Content-Type") == "application/grpc"
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n" +
        chunk(b"\0\0\0\0\1a") + b"0\r\nGrpc-Status: 0\r\n\r\n")
    answer = wire.answer(stream)
    assert bytes(answer.body) == b"\0\0\0\0\1a" and dict(answer.trailers)["grpc-status"] == "0"
    assert gateway.record()["grpc_status"] == 0


# --- much --------------------------------------------------------------------------------------------------------------------


class Watch:
    """The most memory that the gateway had while it was looked at."""

    def __init__(self, gateway):
        self.gateway, self.first = gateway, gateway.anonymous_bytes()
        self.most = self.first

    def pieces(self, messages):
        for i, message in enumerate(messages):
            if i % 64 == 0:
                self.most = max(self.most, self.gateway.anonymous_bytes())
            yield message


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_gib_with_flat_memory(pair, way):
    _, client, gateway = pair
    n, digest = scale(GIB), hashlib.blake2b()
    client.unary(b"x" * 100_000, timeout=60)
    watch = Watch(gateway)
    if way == "up":
        def sent():
            for piece in watch.pieces(noise(n)):
                digest.update(piece)
                yield piece
        assert client.digest(sent(), timeout=280) == digest.hexdigest().encode()
    else:
        wanted, count = hashlib.blake2b(), 0
        for piece in watch.pieces(client.scatter(b"noise %d" % n, timeout=280)):
            digest.update(piece)
            count += len(piece)
        for piece in noise(n):
            wanted.update(piece)
        assert count == n and digest.digest() == wanted.digest()
    assert watch.most - watch.first < 16 << 20, f"{watch.first} became {watch.most}"


# --- retries ------------------------------------------------------------------------------------------------------------------


def test_retry_of_a_unary_call(start, origin, peer_of):
    gateway = start(retrying(origin))
    wire = h2_connect(gateway)
    message = b"\0\0\0\x10\0" + b"m" * 4096
    stream = ask(wire, body=message)
    peer = peer_of()
    for status in ("14", "14", "0"):
        upstream, fields = peer.request()
        assert peer.content(upstream) == message and fields[":path"] == "/weir.test.Echo/unary"
        fail(peer, upstream, status)
    assert told(wire.answer(stream))[0] == 0
    record = gateway.record()
    assert (record["retries"], record["grpc_status"], record["bytes_in"]) == (2, 0, len(message))
    assert metric(gateway, "weir_grpc_retries_total") == 2 and origin.is_untouched()


def test_retries_come_to_an_end(start, origin, peer_of):
    gateway = start(retrying(origin))
    wire = h2_connect(gateway)
    stream = ask(wire)
    peer = peer_of()
    for _ in range(3):
        fail(peer, peer.request()[0])
    assert told(wire.answer(stream)) == (14, "not now")
    assert gateway.record()["retries"] == 2


@pytest.mark.parametrize("why", ["not configured", "another status", "a message has passed", "more is behind it",
    "too long"])
def test_no_retry(start, origin, peer_of, why):
    gateway = start(calls(origin) if why == "not configured" else retrying(origin))
    wire = h2_connect(gateway)
    body = b"x" * (100_000 if why == "too long" else 5)
    stream = ask(wire, body=body, end=False)
    peer = peer_of()
    upstream, _ = peer.request()
    peer.take(h2.events.DataReceived, upstream) if why != "too long" else None
    wire.content(stream, b"", end=True)
    if why == "too long":
        assert peer.content(upstream) == body
    if why == "a message has passed":
        peer.head(upstream, [KIND]).data(upstream, b"\0\0\0\0\0")
        peer.h2.send_headers(upstream, [("grpc-status", "14")], end_stream=True)
        peer.flush()
        answer = wire.answer(stream)
        assert dict(answer.trailers)["grpc-status"] == "14"
    elif why == "more is behind it":
        peer.head(upstream, [KIND, ("grpc-status", "14")]).data(upstream, b"\0\0\0\0\0", end=True)
        assert wire.answer(stream).get("grpc-status") == "14"
    else:
        fail(peer, upstream, "5" if why == "another status" else "14")
        assert told(wire.answer(stream))[0] in (5, 14)
    assert gateway.record()["retries"] == 0 and metric(gateway, "weir_grpc_retries_total") == 0


def test_retry_of_a_call_that_is_still_said(start, origin, peer_of):
    """Refused early: what was said is said again, and what comes then goes on to the second one."""
    gateway = start(retrying(origin))
    wire = h2_connect(gateway)
    stream = ask(wire, body=b"one", end=False)
    peer = peer_of()
    upstream, _ = peer.request()
    peer.take(h2.events.DataReceived, upstream)
    fail(peer, upstream)
    again, _ = peer.request()
    assert peer.take(h2.events.DataReceived, again).data == b"one"
    wire.content(stream, b"two")
    assert peer.content(again).endswith(b"two")
    fail(peer, again, "0")
    assert told(wire.answer(stream))[0] == 0


def test_retry_is_bounded_by_the_deadline(start, origin, peer_of):
    wire, peer = connected(start(retrying(origin)), peer_of)
    stream = ask(wire, ("grpc-timeout", "4S"))
    first, fields = peer.request()
    assert fields["grpc-timeout"] == "4S"
    fail(peer, first)
    left = peer.request()[1]["grpc-timeout"]
    assert left.endswith("m") and 0 < int(left[:-1]) < 4000
    assert told(wire.answer(stream))[0] == 4


def test_retry_when_the_client_has_left(start, origin, peer_of):
    gateway = start(retrying(origin))
    wire = h2_connect(gateway)
    stream = ask(wire)
    peer = peer_of()
    upstream, _ = peer.request()
    wire.reset(stream, CANCEL).ping()
    assert peer.take(h2.events.StreamReset, upstream)
    assert gateway.record()["cause"] == "client_gone" and metric(gateway, "weir_grpc_retries_total") == 0


def test_retry_with_a_real_service(start):
    """It is asked as often as `attempts` says, and its last word is passed on."""
    with GrpcService() as service:
        gateway = start(retrying(service, attempts=3, on=["grpc_resource_exhausted", "grpc_unavailable"]))
        with client_of(gateway) as client:
            assert failure(client.unary, b"fail RESOURCE_EXHAUSTED later")[1] == "later"
            assert len(service.calls) == 4
            assert client.unary(b"fine", timeout=60) == b"fine"
