"""gRPC-Web through the gateway: by HTTP/1.1 and HTTP/2, in both encodings, to python3-grpcio and to a peer by hand."""

import base64
import struct

import h2.events
import pytest

from grpcs import KIND, calls, fail, retrying
from h2peer import Peer
from h2wire import h2_connect
from peers import GrpcService
from raw import chunk


@pytest.fixture
def peer_of(origin):
    return lambda: Peer(origin.accept())


def frame(message, flag=0):
    return struct.pack(">BI", flag, len(message)) + message


def frames(content):
    """The messages in it, and the fields of its last frame."""
    messages, at = [], 0
    while at < len(content):
        flag, n = struct.unpack_from(">BI", content, at)
        part = content[at + 5:at + 5 + n]
        assert len(part) == n
        at += 5 + n
        if flag == 0x80:
            assert at == len(content)
            return messages, [tuple(line.split(": ", 1)) for line in part.decode().split("\r\n")[:-1]]
        messages.append(part)
    return messages, None


def text_decode(content):
    """base64 with a filling behind each message."""
    out = b""
    for at in range(0, len(content), 4):
        out += base64.b64decode(content[at:at + 4], validate=True)
    return out


WEB, TEXT = "application/grpc-web+proto", "application/grpc-web-text+proto"


@pytest.fixture
def web(start):
    with GrpcService() as service:
        yield service, start(calls(service, route={"grpc_web": True}))


class Web:
    """A client of gRPC-Web, by HTTP/1.1 or HTTP/2."""

    def __init__(self, gateway, version, kind):
        self.text = kind == TEXT
        self.kind, self.version = kind, version
        self.wire = gateway.connect() if version == "h1" else h2_connect(gateway)

    def call(self, method, *messages, fields=()):
        content = b"".join(frame(m) for m in messages)
        content = base64.b64encode(content) if self.text else content
        fields = [("content-type", self.kind), ("x-grpc-web", "1"), *fields]
        if self.version == "h1":
            lines = "".join(f"{n}: {v}\r\n" for n, v in fields)
            answer = self.wire.ask(f"POST /weir.test.Echo/{method} HTTP/1.1\r\nHost: a\r\n{lines}"
                f"Content-Length: {len(content)}\r\n\r\n".encode() + content)
            assert not getattr(answer, "trailers", None)
        else:
            answer = self.wire.answer(self.wire.request(f"/weir.test.Echo/{method}", "POST", fields, content))
            # Reset behind its end it may be, if it was there before the content.
            assert answer.ended and answer.trailers is None
        self.answer = answer
        body = bytes(answer.body)
        return frames(text_decode(body) if "text" in answer.get("content-type") else body)


@pytest.fixture(params=["h1", "h2"])
def version(request):
    return request.param


@pytest.fixture(params=[WEB, TEXT])
def kind(request):
    return request.param


def test_web_calls(web, version, kind):
    service, gateway = web
    client = Web(gateway, version, kind)
    messages, trailers = client.call("unary", b"hello")
    assert messages == [b"hello"] and dict(trailers)["grpc-status"] == "0" and dict(trailers)["x-messages"] == "1"
    assert client.answer.status == 200 and client.answer.get("content-type") in (kind, kind.replace("+proto", ""))
    messages, trailers = client.call("scatter", b"count 5")
    assert messages == [b"0", b"1", b"2", b"3", b"4"] and dict(trailers)["grpc-status"] == "0"
    messages, trailers = client.call("gather", *[b"x" * n for n in range(100)])
    assert messages == [b"4950"]
    large = bytes(range(256)) * 2000
    assert client.call("unary", large)[0] == [large]
    assert client.call("unary", b"")[0] == [b""]
    seen = service.calls[0].metadata
    assert "x-grpc-web" not in seen and "accept" not in seen
    assert [r["grpc_status"] for r in gateway.records(5)] == [0] * 5


def test_web_failures(web, version, kind):
    _, gateway = web
    client = Web(gateway, version, kind)
    messages, trailers = client.call("scatter", b"fail_after DATA_LOSS")
    assert messages == [b"fail_after DATA_LOSS"] and dict(trailers)["grpc-status"] == "15"
    assert dict(trailers)["grpc-message"] == "after a message"
    # Trailers-Only: told in the head.
    messages, trailers = client.call("unary", b"fail NOT_FOUND no such thing")
    fields = dict(trailers or [])
    assert messages == [] and (fields.get("grpc-status") or client.answer.get("grpc-status")) == "5"
    # Of the gateway itself.
    assert client.call("unary", b"", fields=[("grpc-timeout", "x")]) == ([], None)
    assert client.answer.get("grpc-status") == "13" and client.answer.get("content-type") == kind


def test_web_text_is_asked_for_by_accept(web, version):
    _, gateway = web
    client = Web(gateway, version, WEB)
    assert client.call("unary", b"hello", fields=[("accept", "application/grpc-web-text")])[0] == [b"hello"]
    assert "grpc-web-text" in client.answer.get("content-type")


def test_web_answers_flow_one_by_one(start, origin, peer_of, version, kind):
    """A message is there before the next one is said, whole in its own base64."""
    gateway = start(calls(origin, route={"grpc_web": True}))
    client = gateway.connect() if version == "h1" else h2_connect(gateway)
    head = [("content-type", kind), ("content-length", "0")]
    if version == "h1":
        client.send("POST /a.B/c HTTP/1.1\r\nHost: a\r\n" + "".join(f"{n}: {v}\r\n" for n, v in head) + "\r\n")
    else:
        stream = client.request("/a.B/c", "POST", head, b"")
    peer = peer_of()
    upstream, fields = peer.request()
    assert fields["content-type"] == "application/grpc+proto" and fields["te"] == "trailers"
    peer.head(upstream, [("content-type", "application/grpc+proto")])
    if version == "h1":
        client.read_head()
    seen = b""
    for n in range(1, 8):
        message = frame(b"x" * n)
        peer.data(upstream, message)
        wanted = base64.b64encode(message) if kind == TEXT else message
        if version == "h1":
            got = b""
            while len(got) < len(wanted):
                got += client.read_chunk()
        else:
            client.until(lambda: len(client.answers[stream].body) >= len(seen) + len(wanted))
            got = bytes(client.answers[stream].body[len(seen):])
        assert got == wanted
        seen += got


def test_web_content_in_pieces_with_filling(start, origin, peer_of):
    """What comes is decoded as it comes, and may be filled in its middle."""
    gateway = start(calls(origin, route={"grpc_web": True}))
    wire = h2_connect(gateway)
    stream = wire.request("/a.B/c", "POST", [("content-type", "application/grpc-web-text")], end=False)
    peer = peer_of()
    upstream, _ = peer.request()
    wanted = b""
    for n in range(1, 6):
        message = frame(b"y" * n)
        text = base64.b64encode(message)
        for at in range(len(text)):
            wire.content(stream, text[at:at + 1], end=False)
        wanted += message
        got = b""
        while len(got) < len(message):
            got += peer.take(h2.events.DataReceived, upstream).data
        assert got == message
    wire.content(stream, b"")
    assert peer.content(upstream) == b""


@pytest.mark.parametrize("content", [b"AAA", b"A===", b"AA A", b"!!!!", b"AB=="])
def test_web_content_that_is_no_base64(start, origin, version, content):
    gateway = start(calls(origin, route={"grpc_web": True}))
    origin.serve(lambda wire, _: takes(Peer(wire)))
    head = [("content-type", "application/grpc-web-text")]
    if version == "h1":
        answer = gateway.connect().ask(b"POST /a.B/c HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web-text\r\n"
            b"Content-Length: %d\r\n\r\n" % len(content) + content)
    else:
        answer = h2_connect(gateway).ask("/a.B/c", "POST", head, content)
    assert (answer.status, answer.get("grpc-status"), bytes(answer.body)) == (200, "13", b"")
    assert gateway.record()["why"] == "the content is not base64"


def takes(peer):
    """It stays: with a service that is gone before the content comes the call would fail for that."""
    while peer.receive():
        pass


def test_web_is_untouched_without_the_setting(start, origin, peer_of):
    gateway = start(calls(origin))
    wire = h2_connect(gateway)
    stream = wire.request("/a.B/c", "POST", [("content-type", TEXT), ("x-grpc-web", "1")], b"AAAAAAE=")
    peer = peer_of()
    upstream, fields = peer.request()
    assert fields["content-type"] == TEXT and fields["x-grpc-web"] == "1" and peer.content(upstream) == b"AAAAAAE="
    peer.head(upstream, [("content-type", TEXT)]).data(upstream, b"AAAAAAE=", end=True)
    answer = wire.answer(stream)
    assert bytes(answer.body) == b"AAAAAAE=" and answer.get("content-type") == TEXT


def test_web_answer_that_is_not_grpc(start, origin, peer_of, version):
    gateway = start(calls(origin, route={"grpc_web": True}))
    origin.serve(lambda wire, _: refuse(Peer(wire)))
    client = Web(gateway, version, TEXT)
    if version == "h1":
        answer = client.wire.ask(b"POST /a.B/c HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web-text\r\n"
            b"Content-Length: 8\r\n\r\nAAAAAAA=")
    else:
        answer = client.wire.ask("/a.B/c", "POST", [("content-type", TEXT)], b"AAAAAAA=")
    assert (answer.status, bytes(answer.body), answer.get("content-type")) == (403, b"no", "text/plain")


def refuse(peer):
    stream, _ = peer.request()
    peer.head(stream, [("content-type", "text/plain")], status="403").data(stream, b"no", end=True)
    takes(peer)


@pytest.mark.parametrize("how", ["reset", "trailers", "end"])
@pytest.mark.parametrize("part", [frame(b"nine byte")[:9], frame(b"whole") + b"\0", frame(b"") + frame(b"nine byte")[:5]],
    ids=["in a message", "in a head", "behind a head"])
def test_web_cut_off_never_looks_complete(start, origin, peer_of, version, kind, how, part):
    """The last frame would stand within the message, and be taken for what it still lacks."""
    gateway = start(calls(origin, route={"grpc_web": True}))
    client = Web(gateway, version, kind)
    if version == "h1":
        client.wire.send(f"POST /a.B/c HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: 0\r\n\r\n")
    else:
        stream = client.wire.request("/a.B/c", "POST", [("content-type", kind)], b"")
    peer = peer_of()
    upstream, _ = peer.request()
    peer.head(upstream, [KIND]).data(upstream, part)
    if version == "h1":
        client.wire.read_head()
        client.wire.read_chunk()
    else:
        client.wire.until(lambda: client.wire.answers[stream].body)
    if how == "reset":
        peer.reset(upstream)
    elif how == "end":
        peer.data(upstream, b"", end=True)
    else:
        peer.h2.send_headers(upstream, [("grpc-status", "0")], end_stream=True)
        peer.flush()
    if version == "h1":
        assert b"grpc-status" not in client.wire.expect_abort()
    else:
        answer = client.wire.answer(stream)
        assert answer.reset is not None and not answer.ended and b"grpc-status" not in answer.body
    assert gateway.record()["cause"] == ("upstream_reset" if how == "reset" else "upstream_bad_response")


@pytest.mark.parametrize("way", ["status", "refused", "GOAWAY"])
@pytest.mark.parametrize("said", [1, 5, 10, 30])
def test_web_content_that_was_sent_in_part_is_whole_on_the_second_try(start, origin, peer_of, version, kind, way, said):
    """Also where what was sent ends within a group of base64. What is behind it comes when the second try is under way."""
    retry = {"attempts": 1, "on": ["grpc_unavailable"]}
    gateway = start(calls(origin, upstream={"retry": retry}, route={"grpc_web": True}))
    client = Web(gateway, version, kind)
    message = frame(bytes(range(40)))
    content = base64.b64encode(message) if kind == TEXT else message
    if version == "h1":
        client.wire.send(f"POST /a.B/c HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.wire.send(chunk(content[:said]))
    else:
        stream = client.wire.request("/a.B/c", "POST", [("content-type", kind)], content[:said], end=False)
    peer = peer_of()
    first, _ = peer.request()
    there = said // 4 * 3 if kind == TEXT else said
    taken = take(peer, first, there)
    if way == "status":
        fail(peer, first)
    elif way == "refused":
        peer.refuse(first)
    else:
        peer.go_away(0)
        peer = peer_of()
    again, _ = peer.request()
    assert taken == take(peer, again, there) == message[:there]
    if version == "h1":
        client.wire.send(chunk(content[said:]) + b"0\r\nX-Late: 1\r\n\r\n")
    else:
        client.wire.content(stream, content[said:], end=False).trailers(stream, [("x-late", "1")])
    assert taken + peer.content(again) == message
    assert dict(peer.take(h2.events.TrailersReceived, again).headers) == {"x-late": "1"}
    fail(peer, again, "0")
    answer = client.wire.read_response() if version == "h1" else client.wire.answer(stream)
    assert answer.get("grpc-status") == "0" and gateway.record()["retries"] == 1


def take(peer, stream, n):
    got = b""
    while len(got) < n:
        got += peer.take(h2.events.DataReceived, stream).data
    return got


def test_web_retry(start, origin, peer_of, version):
    """What is kept is what was decoded."""
    gateway = start(retrying(origin) | {"routes": [{"name": "all", "match": {"path": "/*"}, "upstream": "origin",
        "grpc_web": True}]})
    origin.serve(lambda wire, _: twice(Peer(wire)))
    client = Web(gateway, version, TEXT)
    messages, trailers = client.call("unary", b"again")
    assert messages == [b"again"] and dict(trailers)["grpc-status"] == "0"


def twice(peer):
    fail(peer, peer.request()[0])
    stream, _ = peer.request()
    content = peer.content(stream)
    peer.head(stream, [("content-type", "application/grpc+proto")]).data(stream, content)
    peer.h2.send_headers(stream, [("grpc-status", "0")], end_stream=True)
    peer.flush()
    takes(peer)
