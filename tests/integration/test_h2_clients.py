"""Clients that speak HTTP/2, in front of an upstream that speaks HTTP/1.1."""

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import re
import signal
import socket
import threading
import time

import pytest
from hyperframe.frame import DataFrame, HeadersFrame, PingFrame

from admin import administered
from authority import authorities
from gateway import configuration, eventually, free_port, sanitizer, scale
from h2wire import CALM, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, Answer, H2Wire, h2_connect
from raw import TIMEOUT, chunk, get, response
from servers import command, node
from test_clients import echo, websockets
from timing import SHORT_TEXT, due
from ways import proof

KIB = 1024

BOTH = {"protocols": ["h1", "h2"]}
FRAME_SIZE_ERROR = 6

ONLY = {"protocols": ["h2"]}


@pytest.fixture
def gateway(start, origin):
    return start(configuration(origin, listener=BOTH))


@pytest.fixture(scope="module")
def node_server():
    server = node("node_server.js")
    yield server
    server.stop()


@pytest.fixture
def to_node(start, node_server):
    return start(configuration(node_server, listener=BOTH))


def leased(admin):
    return sum(value for (name, labels), value in admin.metrics().values.items()
        if name == "weir_pool_connections" and ("state", "leased") in labels)


def nothing_leased(admin):
    eventually(lambda: leased(admin) == 0)


def assert_error(gateway, answer, status, cause):
    assert answer.status == status
    assert json.loads(bytes(answer.body))["error"] == cause
    assert (gateway.records(1)[-1]["status"], gateway.records(1)[-1]["cause"]) == (status, cause)


# --- messages ---------------------------------------------------------------------------------------------------------


def test_request_and_answer(gateway, origin):
    client = h2_connect(gateway)
    stream = client.request("/a?b=c", fields=[("accept", "text/plain"), ("cookie", "a=1"), ("cookie", "b=2")])
    wire, request = origin.answer(response("hello", fields=["X-Upper: Case", "Connection: X-Hop", "X-Hop: 1"]))
    answer = client.answer(stream)
    assert (request.method, request.target, request.get("Host")) == ("GET", "/a?b=c", "example.com")
    assert (request.get("accept"), request.get("cookie")) == ("text/plain", "a=1; b=2")
    assert request.get("Via") == "2.0 weir"
    assert request.framing is None
    assert (answer.status, bytes(answer.body), answer.reset) == (200, b"hello", None)
    assert (answer.get("x-upper"), answer.get("x-hop"), answer.get("connection")) == ("Case", None, None)
    assert (answer.get("content-length"), answer.get("via")) == ("5", "1.1 weir")
    record = gateway.record()
    assert (record["protocol"], record["status"], record["cause"]) == ("HTTP/2.0", 200, None)
    assert (record["method"], record["target"], record["bytes_out"]) == ("GET", "/a?b=c", 5)


def test_http_1_beside_it_on_the_same_port(gateway, origin):
    origin.serve()
    assert h2_connect(gateway).ask().status == 200
    assert gateway.connect().ask(get()).status == 200
    assert {record["protocol"] for record in gateway.records(2)} == {"HTTP/1.1", "HTTP/2.0"}


def test_preface_in_single_bytes(gateway, origin):
    origin.serve()
    frames = H2Wire.__new__(H2Wire)
    sent = []

    class Pieces:
        def __getattr__(self, name):
            return getattr(frames.real, name)

        def sendall(self, data):
            sent.append(data)
            for i in range(len(data)):
                frames.real.sendall(data[i:i + 1])

    frames.real = gateway.connect().sock
    frames.__init__(Pieces())
    assert frames.ask().status == 200


def test_first_settings_say_what_is_offered(start, origin):
    gateway = start(configuration(origin, listener={**BOTH, "limits": {"streams": 7, "header_bytes": "16KiB"}}))
    client = h2_connect(gateway)
    client.until(lambda: client.settings)
    assert client.settings[3] == 7
    assert client.settings[8] == 1


@pytest.mark.parametrize("length", [0, 1, 2048, 2049, 16384, 100_000, 3_000_000])
def test_content_both_ways(gateway, origin, length):
    content = os.urandom(length)
    client = h2_connect(gateway)
    sizes = [("content-length", str(length))] if length % 2 else []

    def serve():
        wire = origin.accept()
        request = wire.read_request()
        wire.send(response(request.body))

    thread = threading.Thread(target=serve)
    thread.start()
    answer = client.answer(client.request("/", "POST", sizes, content))
    thread.join()
    assert (answer.status, bytes(answer.body)) == (200, content)
    record = gateway.record()
    assert (record["bytes_in"], record["bytes_out"]) == (length, length)


def test_unknown_length_is_chunked_upstream(gateway, origin):
    client = h2_connect(gateway)
    stream = client.request("/", "POST", body=b"one", end=False)
    wire = origin.accept()
    request = wire.read_head()
    assert request.framing == "chunked"
    assert wire.read_chunk() == b"one"
    client.content(stream, b"two")
    assert wire.read_chunk() == b"two"
    assert wire.read_chunk() == b""
    wire.read_trailers()
    wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("back"))
    client.until(lambda: client.answers[stream].body == b"back")
    wire.send(chunk("wards") + b"0\r\n\r\n")
    answer = client.answer(stream)
    assert (bytes(answer.body), answer.get("transfer-encoding"), answer.trailers) == (b"backwards", None, None)


def test_trailers_both_ways(gateway, origin):
    client = h2_connect(gateway)
    stream = client.request("/", "POST", [("te", "trailers")], b"content", end=False)
    client.trailers(stream, [("x-sum", "1"), ("host", "no")])
    wire = origin.accept()
    request = wire.read_request()
    assert (request.body, request.trailers) == (b"content", [("x-sum", "1")])
    wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("x") + b"0\r\nX-Done: yes\r\n\r\n")
    answer = client.answer(stream)
    assert (bytes(answer.body), answer.trailers) == (b"x", [("x-done", "yes")])


@pytest.mark.parametrize("method, status, fields", [
    ("HEAD", "200 OK", ["Content-Length: 1234"]), ("GET", "204 No Content", []),
    ("GET", "304 Not Modified", ["ETag: \"a\"", "Content-Length: 99"])])
def test_answers_without_content(gateway, origin, method, status, fields):
    client = h2_connect(gateway)
    stream = client.request("/", method)
    lines = "".join(f"{line}\r\n" for line in fields)
    wire, request = origin.answer(f"HTTP/1.1 {status}\r\n{lines}\r\n")
    answer = client.answer(stream)
    assert (request.method, answer.status, bytes(answer.body)) == (method, int(status[:3]), b"")
    client.request("/next")
    assert wire.read_request().target == "/next"


def test_informational_answers_and_expectation(gateway, origin):
    client = h2_connect(gateway)
    stream = client.request("/", "POST", [("expect", "100-continue")], end=False)
    wire = origin.accept()
    assert wire.read_head().get("expect") == "100-continue"
    wire.expect_silence()
    wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
    answer = client.answers[stream]
    client.until(lambda: len(answer.informational) == 2)
    assert [dict(fields)[":status"] for fields in answer.informational] == ["103", "100"]
    client.content(stream, b"now")
    assert wire.read_chunk() == b"now"
    wire.read_chunk(), wire.read_trailers()
    wire.send(response("done"))
    assert bytes(client.answer(stream).body) == b"done"


def test_early_answer_stops_the_request(start, origin):
    """RFC 9113 §8.1: the whole answer, then RST_STREAM with NO_ERROR for what nobody wants any more."""
    gateway, admin = administered(start, origin, listener=BOTH)
    client = h2_connect(gateway)
    stream = client.request("/", "POST", body=b"x" * 1000, end=False)
    wire = origin.accept()
    wire.read_head()
    wire.send(response("enough", status="413 Content Too Large"))
    answer = client.answer(stream)
    assert (answer.status, bytes(answer.body)) == (413, b"enough")
    client.until(lambda: answer.reset is not None)
    assert answer.reset == NO_ERROR
    wire.expect_gone()
    nothing_leased(admin)
    client.request("/next")
    origin.answer(response())


# --- many at once -----------------------------------------------------------------------------------------------------


def test_slow_streams_beside_fast_ones(gateway, origin):
    def handler(wire, _):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            request = wire.read_request()
            if request.target == "/slow":
                release.wait(TIMEOUT)
            wire.send(response(request.target))

    release = threading.Event()
    origin.serve(handler)
    client = h2_connect(gateway)
    slow = [client.request("/slow") for _ in range(10)]
    fast = [client.request(f"/fast/{i}") for i in range(50)]
    for i, stream in enumerate(fast):
        assert bytes(client.answer(stream).body) == f"/fast/{i}".encode()
    assert not any(client.answers[stream].over for stream in slow)
    release.set()
    for stream in slow:
        assert bytes(client.answer(stream).body) == b"/slow"
    assert {record["cause"] for record in gateway.records(60)} == {None}


def test_a_stream_that_is_not_read_does_not_hold_the_others_up(gateway, origin):
    origin.serve(lambda wire, o: (wire.read_request(), wire.send(response(b"x" * 200_000)), wire.more()))
    client = h2_connect(gateway, hold=True)
    client.give(0, 10_000_000)
    stuck = client.request("/stuck")
    client.until(lambda: client.answers[stuck].bytes == 65535)
    other = client.request("/other")
    client.give(other, 200_000)
    assert client.answer(other).bytes == 200_000
    client.give(stuck, 200_000)
    assert client.answer(stuck).bytes == 200_000


def test_more_streams_than_allowed_are_refused(start, origin):
    gateway = start(configuration(origin, listener={**BOTH, "limits": {"streams": 3}}))
    client = h2_connect(gateway)
    streams = [client.request(f"/{i}") for i in range(5)]
    for stream in streams[3:]:
        assert client.answer(stream).reset == REFUSED_STREAM
    for _ in range(3):
        origin.answer(response())
    assert origin.is_untouched()
    for stream in streams[:3]:
        assert client.answer(stream).status == 200


def test_more_streams_than_allowed_by_who_knows_it(start, origin):
    """It has acknowledged the limit: that is no accident any more, and ends the connection."""
    gateway = start(configuration(origin, listener={**BOTH, "limits": {"streams": 3}}))
    client = h2_connect(gateway)
    client.until(lambda: client.settings)
    for i in range(4):
        client.request(f"/{i}")
    client.read_to_end()
    assert client.goaway[-1][0] == PROTOCOL_ERROR


def test_large_contents_both_ways_at_once(start, origin):
    """1 GiB each way on one connection, and each byte where it belongs."""
    gateway = start(configuration(origin, listener=BOTH, upstream={"timeouts": {"request": "0s"}}))
    length = scale(1 << 30)
    piece = os.urandom(1 << 20)
    pieces = length >> 20
    hashes = {}

    def handler(wire, _):
        request = wire.read_head()
        if request.method == "POST":
            got, left = hashlib.sha256(), request.framing
            while left:
                data = wire.unread or wire.sock.recv(min(left, 1 << 20))
                assert data, f"the request ended {left} bytes early"
                wire.unread = b""
                got.update(data)
                left -= len(data)
            hashes["up"] = got.hexdigest()
            wire.send(response("done"))
        else:
            wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {pieces << 20}\r\n\r\n")
            for _ in range(pieces):
                wire.send(piece)
        wire.more()

    origin.serve(handler)
    client = h2_connect(gateway, keep=False)
    client.sock.settimeout(60)
    got = hashlib.sha256()
    content = client._content

    def count(frame):
        if frame.stream_id == down:
            got.update(frame.data)
        content(frame)

    client._content = count
    down = client.request("/down")
    up = client.request("/up", "POST", [("content-length", str(pieces << 20))], end=False)
    for i in range(pieces):
        client.content(up, piece, end=i == pieces - 1)
    assert client.answer(up).status == 200
    assert client.answer(down).bytes == pieces << 20
    expected = hashlib.sha256()
    for _ in range(pieces):
        expected.update(piece)
    assert got.hexdigest() == hashes["up"] == expected.hexdigest()


def test_head_that_is_refused_has_no_content(gateway):
    answer = h2_connect(gateway).ask(method="HEAD", fields=[(f"a{i}", "b") for i in range(500)])
    assert answer.status == 431 and int(answer.get("content-length")) > 0 and not answer.body


def test_a_websocket_has_no_length(gateway, origin):
    """An upstream of HTTP/1.1 that opens none would take the next request for its content."""
    client = h2_connect(gateway)
    fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "example.com"),
        (":path", "/"), ("sec-websocket-version", "13"), ("content-length", "40")]
    stream, client.next = client.next, client.next + 2
    client.answers[stream] = Answer()
    client.send(client.head(stream, fields, end=False))
    assert client.answer(stream).reset == PROTOCOL_ERROR
    client.ping()
    assert origin.is_untouched()


def test_the_reason_for_the_end_is_not_reset_away(gateway):
    """What the client sends behind its mistake is still read: it gets the GOAWAY, and an orderly end."""
    client = h2_connect(gateway)
    client.ping()
    gateway.freeze()
    # RFC 9113 §6.5: SETTINGS of a length that is no multiple of 6. What follows is more than is received at once.
    client.send_bytes(b"\0\0\5\4\0\0\0\0\0" + b"12345" + PingFrame(0, b"unwanted").serialize() * 8000)
    gateway.signal(signal.SIGCONT)
    received = b""
    while data := client.sock.recv(65536):
        received += data
    assert received.endswith(b"\7\0\0\0\0\0" + bytes(7) + bytes([FRAME_SIZE_ERROR]))


# --- who goes away ----------------------------------------------------------------------------------------------------


def test_client_resets_while_waiting_for_a_connection(start, origin):
    gateway, admin = administered(start, origin, listener=BOTH, upstream={"pool": {"max_connections": 1}})
    client = h2_connect(gateway)
    first = client.request("/first")
    wire = origin.accept()
    wire.read_request()
    queued = client.request("/queued")
    eventually(lambda: admin.metrics().get("weir_pool_waiters", upstream="origin", endpoint=origin.address) == 1)
    client.reset(queued)
    eventually(lambda: admin.metrics().get("weir_pool_waiters", upstream="origin", endpoint=origin.address) == 0)
    wire.send(response("one"))
    assert bytes(client.answer(first).body) == b"one"
    nothing_leased(admin)
    client.request("/third")
    assert wire.read_request().target == "/third"
    assert gateway.records(2)[0]["cause"] == "client_gone"


def test_client_resets_while_it_sends(start, origin):
    gateway, admin = administered(start, origin, listener=BOTH)
    client = h2_connect(gateway)
    stream = client.request("/", "POST", body=b"some", end=False)
    wire = origin.accept()
    wire.read_head()
    assert wire.read_chunk() == b"some"
    client.reset(stream)
    wire.expect_gone()
    nothing_leased(admin)
    assert gateway.record()["cause"] == "client_gone"


def test_client_resets_while_it_waits(start, origin):
    gateway, admin = administered(start, origin, listener=BOTH)
    client = h2_connect(gateway)
    stream = client.request("/")
    wire = origin.accept()
    wire.read_request()
    client.reset(stream)
    wire.expect_gone()
    nothing_leased(admin)
    record = gateway.record()
    assert (record["cause"], record["status"]) == ("client_gone", 499)


def test_client_resets_while_it_is_answered(start, origin):
    gateway, admin = administered(start, origin, listener=BOTH)
    client = h2_connect(gateway)
    stream = client.request("/")
    wire = origin.accept()
    wire.read_request()
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    client.until(lambda: client.answers[stream].body == b"half")
    client.reset(stream)
    wire.expect_gone()
    nothing_leased(admin)
    assert gateway.record()["cause"] == "client_gone"
    assert client.ping().goaway == []


def test_client_resets_while_an_answer_waits_for_its_window(start, origin):
    gateway, admin = administered(start, origin, listener=BOTH)
    client = h2_connect(gateway, hold=True)
    stream = client.request("/")
    wire = origin.accept()
    wire.read_request()
    wire.send(response(b"x" * 70_000))
    client.until(lambda: client.answers[stream].bytes == 65535)
    client.reset(stream)
    client.ping()
    nothing_leased(admin)
    gateway.record()


def test_connection_breaks_with_streams_in_every_state(start, origin):
    gateway, admin = administered(start, origin, listener=BOTH, upstream={"pool": {"max_connections": 3}})
    client = h2_connect(gateway)
    waiting = client.request("/waiting")
    wires = [origin.accept()]
    client.request("/sending", "POST", body=b"x", end=False)
    wires.append(origin.accept())
    answered = client.request("/answered")
    wires.append(origin.accept())
    for wire in wires:
        wire.read_head()
    wires[2].send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    client.head_of(answered)
    client.request("/queued")
    client.ping()
    client.sock.close()
    for wire in wires:
        wire.expect_gone()
    nothing_leased(admin)
    assert [record["cause"] for record in gateway.records(4)] == ["client_gone"] * 4
    assert waiting


@pytest.mark.parametrize("how", ["reset", "close"])
def test_upstream_breaks_an_answer(gateway, origin, how):
    """What was cut off must not look complete."""
    client = h2_connect(gateway)
    stream = client.request("/")
    wire = origin.accept()
    wire.read_request()
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    client.until(lambda: client.answers[stream].body == b"half")
    getattr(wire, how)()
    answer = client.answer(stream)
    assert (answer.reset, answer.ended) == (INTERNAL_ERROR, False)
    assert gateway.record()["cause"] == "upstream_reset"
    assert client.ping().goaway == []


def test_upstream_breaks_before_its_answer(gateway, origin):
    client = h2_connect(gateway)
    stream = client.request("/", "POST", body=b"x")
    wire = origin.accept()
    wire.read_request()
    wire.reset()
    assert_error(gateway, client.answer(stream), 502, "upstream_reset")


def test_upstream_that_breaks_a_chunk(gateway, origin):
    client = h2_connect(gateway)
    stream = client.request("/")
    origin.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("x") + b"zz\r\n")
    answer = client.answer(stream)
    assert (answer.reset, answer.ended) == (INTERNAL_ERROR, False)


# --- answers of the gateway -------------------------------------------------------------------------------------------


def test_no_route(start, origin):
    gateway = start(configuration(origin, listener=BOTH, route={"match": {"path": "/only"}}))
    answer = h2_connect(gateway).ask("/other")
    assert 'details="no_route"' in answer.get("proxy-status")
    assert_error(gateway, answer, 404, "no_route")


def test_respond_and_redirect(start):
    gateway = start(configuration(listener=BOTH, route=[
        {"name": "say", "match": {"path": "/say"}, "respond": {"status": 200, "body": "said"}},
        {"name": "go", "match": {"path": "/go"}, "redirect": {"status": 301, "location": "https://example.com/"}}]))
    client = h2_connect(gateway)
    assert bytes(client.ask("/say").body) == b"said"
    answer = client.ask("/say", "HEAD")
    assert (answer.status, bytes(answer.body), answer.get("content-length")) == (200, b"", "4")
    answer = client.answer(client.request("/go", "POST", body=b"content that nobody reads"))
    assert answer.ended and answer.reset in (None, NO_ERROR)
    assert (answer.status, answer.get("location")) == (301, "https://example.com/")


def test_unreachable_upstream(start):
    gateway = start(configuration("127.0.0.1:1", listener=BOTH))
    assert_error(gateway, h2_connect(gateway).ask(), 502, "connect_refused")


@pytest.mark.parametrize("fields, path, status, cause", [
    ([("a", "b" * 5000)], "/", 431, "headers_too_large"),
    ([(f"a{i}", "b") for i in range(101)], "/", 431, "headers_too_large"),
    ([], "/" + "a" * 3000, 414, "uri_too_long")])
def test_heads_that_are_too_large(start, origin, fields, path, status, cause):
    limits = {"header_bytes": "4KiB", "target_bytes": "2KiB"}
    gateway = start(configuration(origin, listener={**BOTH, "limits": limits}))
    client = h2_connect(gateway)
    stream = client.request(path, fields=fields)
    assert_error(gateway, client.answer(stream), status, cause)
    client.request("/next")
    assert origin.accept().read_request().target == "/next"


@pytest.mark.parametrize("told", [True, False])
def test_content_that_is_too_large(start, origin, told):
    gateway, admin = administered(start, origin, listener={**BOTH, "limits": {"body_bytes": "1KiB"}})
    client = h2_connect(gateway)
    stream = client.request("/", "POST", [("content-length", "2000")] if told else [], body=b"x" * 2000)
    assert_error(gateway, client.answer(stream), 413, "body_too_large")
    nothing_leased(admin)
    assert client.ping().goaway == []


def test_connect_is_not_offered(gateway):
    client = h2_connect(gateway)
    stream, client.next = client.next, client.next + 2
    client.answers[stream] = Answer()
    client.send(client.head(stream, [(":method", "CONNECT"), (":authority", "example.com:443")], end=False))
    assert_error(gateway, client.answer(stream), 405, "method_not_allowed")


@pytest.mark.parametrize("fields", [[("connection", "close")], [("Upper", "x")], [("te", "gzip")],
    [("transfer-encoding", "chunked")], [("host", "other.com")], [("content-length", "5")]])
def test_malformed_requests_are_reset(gateway, origin, fields):
    client = h2_connect(gateway)
    assert client.answer(client.request("/", fields=fields)).reset == 1
    assert origin.is_untouched()
    assert client.ping().goaway == []


# --- time -------------------------------------------------------------------------------------------------------------


def test_length_of_0_that_proves_wrong(gateway, origin):
    """Where the length is believed the request is whole with its head."""
    client = h2_connect(gateway)
    stream = client.request("/", "POST", [("content-length", "0")], end=False)
    wire = origin.accept()
    assert wire.read_head().framing == "chunked"
    client.content(stream, b"more")
    assert client.answer(stream).reset == PROTOCOL_ERROR
    assert wire.expect_gone() == b""


def test_length_of_0_whose_end_comes_behind_it(gateway, origin):
    client = h2_connect(gateway)
    stream, head = client.open("/", "POST", [("content-length", "0")], end=False)
    client.send(head, DataFrame(stream, b"", flags=["END_STREAM"]))
    wire, request = origin.answer(response("ok"))
    assert request.framing == 0
    assert client.answer(stream).status == 200
    stream = client.request("/later", "POST", [("content-length", "0")], end=False)
    assert wire.read_head().framing == "chunked"
    client.content(stream, b"")
    assert wire.take(5) == b"0\r\n\r\n"


def test_head_that_is_never_complete(start, origin):
    gateway = start(configuration(origin, listener={**BOTH, "timeouts": {"header": SHORT_TEXT}}))
    with due():
        client = h2_connect(gateway)
        client.ping()
        block = client.encoder.encode(client.fields())
        client.send(HeadersFrame(1, block, flags=["END_STREAM"]))
        client.read_to_end()
    assert [code for code, _ in client.goaway] == [CALM]


def test_preface_that_is_never_complete(start, origin):
    gateway = start(configuration(origin, listener={**ONLY, "timeouts": {"keep_alive": SHORT_TEXT}}))
    with due():
        wire = gateway.connect().send("PRI * HT")
        wire.expect_gone()


def test_content_that_stops(start, origin):
    gateway, admin = administered(start, origin, listener={**BOTH, "timeouts": {"body_idle": SHORT_TEXT}})
    with due():
        client = h2_connect(gateway)
        stream = client.request("/", "POST", body=b"some", end=False)
        answer = client.answer(stream)
    assert_error(gateway, answer, 408, "client_timeout")
    nothing_leased(admin)
    assert client.ping().goaway == []


@pytest.mark.parametrize("length", [70_000, 1_000_000], ids=["the rest is kept", "the upstream waits"])
def test_window_that_never_opens(start, origin, length):
    """The stream is given up; the connection and its other streams are not."""
    gateway, admin = administered(start, origin, listener={**BOTH, "timeouts": {"write_idle": SHORT_TEXT}})

    def handler(wire, _):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            request = wire.read_request()
            if request.target == "/later":
                release.wait(TIMEOUT)
            wire.send(response(b"x" * (length if request.target == "/stuck" else 2)))

    release = threading.Event()
    origin.serve(handler)
    client = h2_connect(gateway, hold=True)
    client.give(0, 10_000_000)
    later = client.request("/later")
    stuck = client.request("/stuck")
    client.until(lambda: client.answers[stuck].bytes == 65535)
    answer = client.answer(stuck)
    assert (answer.reset, answer.ended) == (INTERNAL_ERROR, False)
    release.set()
    assert client.answer(later).bytes == 2
    assert client.ping().goaway == []
    nothing_leased(admin)


def test_client_that_does_not_read_its_socket(start, origin):
    gateway, admin = administered(start, origin, listener={**BOTH, "timeouts": {"write_idle": SHORT_TEXT}})
    origin.serve(lambda wire, o: (wire.read_request(), wire.send(response(b"x" * 30_000_000)), wire.more()))
    client = h2_connect(gateway, receive_buffer=4096)
    client.request("/")
    origin.wait(lambda o: o.accepted == 1)
    assert gateway.record()["cause"] in ("client_timeout", "client_gone")
    nothing_leased(admin)
    eventually(lambda: admin.metrics().get("weir_connections_open") == 0)


def test_client_that_reads_its_socket_slowly(start, origin):
    """It takes less in `write_idle` than there must be room for before the connection goes on."""
    gateway = start(configuration(origin, listener={**BOTH, "timeouts": {"write_idle": "4s"}}))
    origin.serve(lambda wire, _: (wire.read_request(), wire.send(response(b"x" * 3_000_000)), wire.more()))
    client = h2_connect(gateway, receive_buffer=8192)
    stream = client.request("/")
    until = time.monotonic() + 6
    while time.monotonic() < until:
        client.unread += client.sock.recv(4096)
        time.sleep(0.2)
    answer = client.answer(stream)
    assert (answer.reset, answer.bytes) == (None, 3_000_000)
    assert gateway.record()["cause"] is None


def test_idle_connection_is_told_goodbye(start, origin):
    origin.serve()
    gateway = start(configuration(origin, listener={**BOTH, "timeouts": {"keep_alive": SHORT_TEXT}}))
    gateway.freeze()
    with due():
        client = h2_connect(gateway)
        stream = client.request("/")
        gateway.signal(signal.SIGCONT)
        assert client.answer(stream).status == 200
        client.read_to_end()
    assert client.goaway == [(NO_ERROR, 1)]


def test_connection_with_a_stream_is_not_idle(start, origin):
    gateway = start(configuration(origin, listener={**BOTH, "timeouts": {"keep_alive": "50ms"}}))
    gateway.freeze()
    client = h2_connect(gateway)
    stream = client.request("/")
    gateway.signal(signal.SIGCONT)
    wire = origin.accept()
    wire.read_request()
    wire.expect_silence(0.15)
    wire.send(response("late"))
    assert bytes(client.answer(stream).body) == b"late"


def test_connection_limit(start, origin):
    gateway, admin = administered(start, origin, listener={**ONLY, "limits": {"connections": 1}})
    origin.serve()
    client = h2_connect(gateway)
    assert client.ask().status == 200
    beyond = gateway.connect()
    assert not beyond.expect_gone().startswith(b"HTTP/1")
    assert client.ask().status == 200
    client.close()
    eventually(lambda: admin.metrics().get("weir_connections_open") == 0)
    assert h2_connect(gateway).ask().status == 200


# --- draining and reloading -------------------------------------------------------------------------------------------


# More than it takes to wait for the end of a gateway.
FOR_EVER = "60s"


def test_draining_lets_streams_finish(start, origin):
    gateway = start(configuration(origin, listener=BOTH, drain_timeout=FOR_EVER))
    client, idle = h2_connect(gateway), h2_connect(gateway)
    idle.ping()
    stream = client.request("/")
    wire = origin.accept()
    wire.read_request()
    gateway.signal(signal.SIGTERM)
    client.until(lambda: len(client.goaway) == 2)
    idle.read_to_end()
    assert client.goaway == [(NO_ERROR, (1 << 31) - 1), (NO_ERROR, stream)]
    assert idle.goaway[-1] == (NO_ERROR, 0)
    wire.send(response("finished"))
    assert bytes(client.answer(stream).body) == b"finished"
    client.read_to_end()
    assert gateway.wait() == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["stop", "deadline"])
def test_what_is_ended_with_the_program_is_told(start, origin, how):
    """Who waits for an answer has one, who was being answered sees that it is not whole."""
    gateway = start(configuration(origin, listener=ONLY, drain_timeout=SHORT_TEXT))
    client = h2_connect(gateway)
    waiting = client.request("/waits")
    origin.accept().read_head()
    running = client.request("/runs")
    origin.accept().send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    client.head_of(running)
    gateway.signal(how)
    assert client.answer(waiting).status == 503
    assert json.loads(bytes(client.answers[waiting].body))["error"] == "draining"
    assert client.answer(running).reset == INTERNAL_ERROR
    client.read_to_end()
    assert client.goaway[-1][0] == NO_ERROR
    assert gateway.wait() == 0


def test_draining_takes_requests_that_are_on_their_way(start, origin):
    gateway = start(configuration(origin.serve(), listener=BOTH, drain_timeout=FOR_EVER))
    client = h2_connect(gateway)
    client.ping()
    gateway.freeze()
    gateway.signal(signal.SIGTERM)
    streams = [client.request("/") for _ in range(5)]
    gateway.signal(signal.SIGCONT)
    for stream in streams:
        assert client.answer(stream).status == 200
    client.read_to_end()
    assert gateway.wait() == 0


@pytest.mark.parametrize("speaks", [True, False], ids=["session", "not yet"])
def test_draining_does_not_wait_for_silent_clients(start, origin, speaks):
    """One that does not answer PING, and one that has said nothing yet."""
    gateway = start(configuration(origin, listener=ONLY, drain_timeout=FOR_EVER))
    client = h2_connect(gateway) if speaks else gateway.connect()
    if speaks:
        client.ping()
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0


def preface_during_a_drain(gateway):
    """Whether test and gateway were in time for that: who has connected and says nothing is waited for a second."""
    wire = gateway.connect()
    other = h2_connect(gateway)
    other.ping()
    began = time.monotonic()
    gateway.signal(signal.SIGTERM)
    other.until(lambda: other.goaway)
    served = False
    with contextlib.suppress(OSError, AssertionError):
        client = H2Wire(wire.sock)
        served = client.ask("/").status == 200
    if not served and time.monotonic() - began > 0.9:
        return False
    assert served
    client.read_to_end()
    assert client.goaway[-1][0] == NO_ERROR
    assert gateway.wait() == 0
    return True


def test_preface_during_a_drain(start, origin):
    """It had connected before: its requests are answered, and the drain does not wait for it to become idle."""
    origin.serve()
    assert any(preface_during_a_drain(start(configuration(origin, listener=BOTH, drain_timeout=FOR_EVER))) for _ in range(10))


def test_reload_with_streams_open(gateway, origin, make_origin):
    other = make_origin().serve()
    client = h2_connect(gateway)
    stream = client.request("/", "POST", body=b"before", end=False)
    wire = origin.accept()
    wire.read_head()
    gateway.config["upstreams"][0]["endpoints"] = [{"address": other.address}]
    gateway.reload(gateway.config)
    assert bytes(client.ask("/after").body) == b"ok"
    client.content(stream, b" and after")
    assert wire.read_chunk() + wire.read_chunk() == b"before and after"
    wire.read_chunk(), wire.read_trailers()
    wire.send(response("both"))
    assert bytes(client.answer(stream).body) == b"both"
    assert client.goaway == []


def test_reloads_in_a_row_take_requests_that_are_on_their_way(start, origin):
    """The listener is gone with the first one; a client that has not heard of it yet still asks, and is answered."""
    gateway = start(configuration(origin, listener=ONLY))
    client = h2_connect(gateway)
    waiting = client.request("/waits")
    wire = origin.accept()
    wire.read_head()
    for _ in range(3):
        gateway.reload(gateway.config | {"listeners": [{**gateway.config["listeners"][0], "address": f"127.0.0.1:{free_port()}"}]})
    origin.serve()
    streams = [client.request("/") for _ in range(2)]
    for stream in streams:
        assert client.answer(stream).status == 200
    wire.send(response("late"))
    assert bytes(client.answer(waiting).body) == b"late"
    client.read_to_end()
    assert client.goaway == [(NO_ERROR, (1 << 31) - 1), (NO_ERROR, streams[-1])]


@pytest.mark.threads
def test_all_workers(start, origin):
    origin.serve()
    gateway = start(configuration(origin, listener=BOTH, workers=2))
    # So many that no worker is left without by chance.
    clients = [h2_connect(gateway) for _ in range(32)]
    for _ in range(5):
        streams = [(client, client.request("/")) for client in clients for _ in range(5)]
        for client, stream in streams:
            assert client.answer(stream).status == 200
    records = gateway.records(800)
    assert {record["cause"] for record in records} == {None}
    assert len({record["request_id"][:16] for record in records}) == 2


def test_one_ending_each(start, origin):
    """However it ends, it is counted once, logged once, and nothing stays leased. Reset at once it never began."""
    origin.serve()
    gateway, admin = administered(start, origin, listener=BOTH)
    client = h2_connect(gateway)
    for i in range(100):
        stream = client.request(f"/{i}", "POST" if i % 3 else "GET", body=b"x" * (i * 100) if i % 3 else None)
        if i % 10 == 0:
            client.reset(stream)
        else:
            assert client.answer(stream).status == 200
    client.ping()
    nothing_leased(admin)
    metrics = admin.metrics()
    ended = metrics.get("weir_exchanges_finished_total")
    assert 90 <= ended <= 100
    assert metrics.get("weir_exchange_double_finish_total") == 0
    assert len(gateway.records(int(ended))) == ended


# --- memory -----------------------------------------------------------------------------------------------------------


not_sanitized = pytest.mark.skipif(sanitizer() is not None, reason="a sanitizer has memory of its own")


@not_sanitized
def test_memory_of_idle_connections(start, origin):
    count = 500
    origin.serve()
    gateway = start(configuration(origin, listener=BOTH, log={"access": "off"}))
    for _ in range(20):
        assert h2_connect(gateway).ask().status == 200
    gateway.rest()
    before = gateway.anonymous_bytes()
    clients = [h2_connect(gateway) for _ in range(count)]
    for client in clients:
        assert client.ask().status == 200
    gateway.rest()
    each = (gateway.anonymous_bytes() - before) / count
    print(f"{each / KIB:.1f} KiB each")
    assert each < 24 * KIB, f"{each / KIB:.1f} KiB each"


@not_sanitized
def test_memory_of_stalled_streams(start, origin):
    """Streams whose window is shut, with an endless answer behind each."""
    count, connections = 50, 4

    def endless(wire, _):
        wire.read_request()
        wire.sock.settimeout(None)
        # What the kernel keeps of it is nobody's here.
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            wire.send(b"x" * 1_000_000)

    origin.serve(endless)
    gateway = start(configuration(origin, listener=BOTH, log={"access": "off"},
        upstream={"pool": {"max_connections": count * connections}}))
    gateway.rest()
    before = gateway.anonymous_bytes()
    clients = [h2_connect(gateway, hold=True, settings={4: 0}) for _ in range(connections)]
    for client in clients:
        for _ in range(count):
            client.request("/")
    for client in clients:
        client.until(lambda client=client: all(answer.fields for answer in client.answers.values()))
    gateway.rest()
    each = (gateway.anonymous_bytes() - before) / (count * connections)
    print(f"{each / KIB:.1f} KiB each")
    assert each < 256 * KIB, f"{each / KIB:.1f} KiB each"
    for client in clients:
        client.close()


# --- websockets -------------------------------------------------------------------------------------------------------


def open_websocket(client, path="/chat", fields=()):
    stream, client.next = client.next, client.next + 2
    client.answers[stream] = Answer()
    client.send(client.head(stream, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
        (":authority", "example.com"), (":path", path), ("sec-websocket-version", "13"), *fields], end=False))
    return stream


def accept(request):
    return ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Accept: {proof(request.get('Sec-WebSocket-Key'))}\r\n\r\n")


def test_websocket_becomes_an_upgrade(start, origin):
    gateway, admin = administered(start, origin, listener=BOTH)
    client = h2_connect(gateway)
    stream = open_websocket(client, fields=[("sec-websocket-key", "mine"), ("sec-websocket-protocol", "chat")])
    wire = origin.accept()
    request = wire.read_head()
    assert (request.method, request.target, request.get("Upgrade")) == ("GET", "/chat", "websocket")
    assert re.fullmatch(r"[A-Za-z0-9+/]{21}[AQgw]==", request.get("Sec-WebSocket-Key"))
    assert (request.get("sec-websocket-protocol"), request.get("sec-websocket-version")) == ("chat", "13")
    assert request.framing is None and request.get("Connection").lower() == "upgrade"
    client.content(stream, b"too early", end=False)
    wire.expect_silence()
    wire.send(accept(request) + "first")
    answer = client.head_of(stream)
    assert (answer.status, answer.get("sec-websocket-accept"), answer.get("upgrade")) == (200, None, None)
    assert wire.take(9) == b"too early"
    client.until(lambda: answer.body == b"first")
    client.content(stream, b"more", end=True)
    assert wire.take(4) == b"more"
    wire.expect_end()
    wire.send("last words").close()
    client.answer(stream)
    assert (bytes(answer.body), answer.ended) == (b"firstlast words", True)
    nothing_leased(admin)
    record = gateway.record()
    assert (record["status"], record["upgraded"], record["cause"]) == (101, True, None)
    assert (record["bytes_in"], record["bytes_out"]) == (13, 15)


def test_websocket_whose_upstream_ends_first(gateway, origin):
    client = h2_connect(gateway)
    stream = open_websocket(client)
    wire = origin.accept()
    wire.send(accept(wire.read_head()))
    client.head_of(stream)
    wire.half_close()
    answer = client.answer(stream)
    assert answer.ended and answer.reset is None
    client.content(stream, b"still heard", end=True)
    assert wire.take(11) == b"still heard"
    wire.expect_end()
    assert gateway.record()["cause"] is None


def test_half_closed_tunnel_rests(gateway, origin):
    """An end that came is not looked at again and again."""
    client = h2_connect(gateway)
    stream = open_websocket(client)
    wire = origin.accept()
    wire.send(accept(wire.read_head()))
    client.head_of(stream)
    client.content(stream, b"", end=True)
    wire.expect_end()
    before = gateway.cpu_seconds()
    time.sleep(0.5)
    assert gateway.cpu_seconds() - before < 0.2


def test_websocket_trailers_end_it(gateway, origin):
    client = h2_connect(gateway)
    stream = open_websocket(client)
    wire = origin.accept()
    wire.send(accept(wire.read_head()))
    client.head_of(stream)
    client.trailers(stream, [("x", "y")])
    wire.expect_end()
    wire.close()
    assert client.answer(stream).ended


def test_websocket_that_is_refused(start, origin):
    gateway, admin = administered(start, origin, listener=BOTH)
    client = h2_connect(gateway)
    stream = open_websocket(client)
    wire = origin.accept()
    wire.read_head()
    wire.send(response("no", status="403 Forbidden"))
    answer = client.answer(stream)
    assert (answer.status, bytes(answer.body)) == (403, b"no")
    nothing_leased(admin)


@pytest.mark.parametrize("who", ["client", "upstream"])
def test_websocket_is_cut_off(start, origin, who):
    gateway, admin = administered(start, origin, listener=BOTH)
    client = h2_connect(gateway)
    stream = open_websocket(client)
    wire = origin.accept()
    wire.send(accept(wire.read_head()))
    client.head_of(stream)
    if who == "client":
        client.reset(stream)
        wire.expect_gone()
    else:
        wire.reset()
        assert client.answer(stream).reset == INTERNAL_ERROR
    nothing_leased(admin)
    assert gateway.record()["cause"] == ("client_gone" if who == "client" else "upstream_reset")


def test_unknown_protocol_is_refused(gateway, origin):
    client = h2_connect(gateway)
    stream = client.request("/", "CONNECT", [], end=False)
    assert client.answer(stream).reset is not None or client.answers[stream].status >= 400
    assert origin.is_untouched()


def frame_of(data, mask=b"\x00\x00\x00\x00"):
    """A text message of a client."""
    assert len(data) < 126
    return bytes([0x81, 0x80 | len(data)]) + mask + data


def test_websocket_with_a_real_server(start):
    library = websockets()

    def converse(address):
        gateway = start(configuration(address, listener=BOTH))
        client = h2_connect(gateway)
        stream = open_websocket(client)
        assert client.head_of(stream).status == 200
        client.content(stream, frame_of(b"hello"), end=False)
        client.until(lambda: client.answers[stream].body == b"\x81\x05hello")
        client.content(stream, b"\x88\x80\x00\x00\x00\x00", end=False)
        client.answer(stream)
        assert bytes(client.answers[stream].body).startswith(b"\x81\x05hello\x88")
        client.content(stream, b"", end=True)
        assert gateway.record()["upgraded"]

    async def main():
        async with library.serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await asyncio.get_running_loop().run_in_executor(None, converse, f"127.0.0.1:{port}")

    asyncio.run(main())


# --- real clients -----------------------------------------------------------------------------------------------------


def curl(*arguments):
    return command("curl", "-sS", "--max-time", "20", *arguments)


def test_curl_by_prior_knowledge(to_node, tmp_path):
    (tmp_path / "content").write_bytes(os.urandom(2_000_000))
    told = curl("--http2-prior-knowledge", "-w", "%{http_version} %{http_code}", "--data-binary",
        f"@{tmp_path}/content", "-o", f"{tmp_path}/back", to_node.url("/echo"))
    assert told == "2 200"
    assert (tmp_path / "back").read_bytes() == (tmp_path / "content").read_bytes()


@pytest.mark.parametrize("protocols, speaks", [(None, "2"), (["h1"], "1.1"), (["h2"], "2"), (["h1", "h2"], "2")])
def test_curl_over_tls(start, node_server, protocols, speaks):
    ours = authorities()[0]
    listener = {"tls": {"certificates": [ours.issue(f"h2-{protocols}", "example.com")]}}
    if protocols:
        listener["protocols"] = protocols
    gateway = start(configuration(node_server, listener=listener))
    told = curl("--cacert", ours.ca, "--resolve", f"example.com:{gateway.port}:127.0.0.1", "-w", " %{http_version}",
        f"https://example.com:{gateway.port}/")
    assert told == f"hello {speaks}"
    record = gateway.record()
    assert record["protocol"] == {"2": "HTTP/2.0", "1.1": "HTTP/1.1"}[speaks]


def test_curl_http_1_over_tls_where_only_h2_is(start, node_server):
    ours = authorities()[0]
    gateway = start(configuration(node_server, listener={"protocols": ["h2"],
        "tls": {"certificates": [ours.issue("only", "example.com")]}}))
    command("curl", "-sS", "--http1.1", "--cacert", ours.ca, "--resolve", f"example.com:{gateway.port}:127.0.0.1",
        f"https://example.com:{gateway.port}/", status=35)


def test_nghttp(to_node):
    told = command("nghttp", "-v", to_node.url("/"), to_node.url("/echo"))
    assert told.count(":status: ") == 2 and "hello" in told


@pytest.mark.parametrize("streams", [1, 32])
def test_h2load(start, origin, streams):
    origin.serve()
    gateway = start(configuration(origin, listener=BOTH, log={"access": "off"}))
    told = command("h2load", "-n", 2000, "-c", 4, "-m", streams, gateway.url("/"))
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in told and "2000 2xx" in told, told


@pytest.fixture
def to_origin_by_tls(start, origin):
    gateway = start(configuration(origin.serve(), listener={"tls": {"certificates": [by_tls()]}}, log={"access": "off"}))
    return f"https://127.0.0.1:{gateway.port}/"


@functools.cache
def by_tls():
    return authorities()[0].issue("h2-tools", "127.0.0.1")


def test_nghttp_over_tls(to_origin_by_tls):
    told = command("nghttp", "-v", to_origin_by_tls, to_origin_by_tls + "2")
    assert "The negotiated protocol: h2" in told and told.count(":status: 200") == 2, told


def test_h2load_over_tls(to_origin_by_tls):
    told = command("h2load", "-n", 1000, "-c", 4, "-m", 16, to_origin_by_tls)
    assert "Application protocol: h2" in told and "1000 succeeded, 0 failed, 0 errored, 0 timeout" in told, told


def test_curl_asks_for_http_2(to_origin_by_tls):
    """By ALPN; in clear it would upgrade, which is not offered, and goes on with HTTP/1.1."""
    assert curl("--http2", "--cacert", authorities()[0].ca, "-w", " %{http_version}", to_origin_by_tls) == "ok 2"


def test_curl_asks_for_an_upgrade_to_http_2(start, origin):
    gateway = start(configuration(origin.serve(), listener=BOTH))
    assert curl("--http2", "-w", " %{http_version}", gateway.url("/")) == "ok 1.1"


NODE_CLIENT = """
const http2 = require('http2');
const session = http2.connect(process.argv[2]);
const ask = (headers, body) => new Promise((resolve, reject) => {
  const stream = session.request(headers);
  let status, got = 0;
  stream.on('response', (h) => { status = h[':status']; });
  stream.on('data', (d) => { got += d.length; });
  stream.on('end', () => resolve([status, got]));
  stream.on('error', reject);
  stream.end(body);
});
(async () => {
  const many = [];
  for (let i = 0; i < 50; i++) many.push(ask({':path': '/'}));
  const seen = {many: await Promise.all(many)};
  seen.echoed = await ask({':path': '/echo', ':method': 'POST'}, Buffer.alloc(500000, 'x'));
  seen.broken = await ask({':path': '/destroy'}).catch((error) => error.code);
  console.log(JSON.stringify(seen));
  session.close();
})();
"""


def test_node(to_node, tmp_path):
    (tmp_path / "client.js").write_text(NODE_CLIENT)
    seen = json.loads(command("node", tmp_path / "client.js", to_node.url("")))
    assert seen["many"] == [[200, 5]] * 50
    assert seen["echoed"] == [200, 500_000]
    assert seen["broken"] == "ERR_HTTP2_STREAM_ERROR"
