"""WebSockets from HTTP/1.1 and HTTP/2 to upstreams of either (RFC 6455, RFC 8441)."""

import asyncio
import json
import signal

import pytest

import h2raw
from gateway import configuration
from raw import get, response
from servers import node
from test_clients import websockets
from timing import AMPLE, AMPLE_TEXT, SHORT_TEXT, due
from ways import (KEY, all_ways, answered, ask_websocket, asked_websocket, configured, frame, grant, h2_server,
    next_stream, open_websocket, proof)

MASK = b"\x11\x22\x33\x44"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
FROM_H1 = pytest.mark.parametrize("way", [("h1", "h2")], ids=["h1 to h2"])
TO_H2 = pytest.mark.parametrize("way", [("h1", "h2"), ("h2", "h2")], ids=["h1 to h2", "h2 to h2"])


def exchange(source, sink, data):
    source.send(data)
    assert sink.take(len(data)) == data


# --- what flows -------------------------------------------------------------------------------------------------------


@all_ways
def test_messages_pings_and_the_close(start, origin, way):
    """Byte by byte as they were written, and nothing of the gateway's between."""
    gateway = start(configured(way, origin))
    client, server = open_websocket(way, gateway, origin)
    exchange(client, server, frame(TEXT, b"hello", MASK))
    exchange(server, client, frame(TEXT, b"hello"))
    exchange(client, server, frame(PING, b"are you there?", MASK))
    client.expect_silence()
    exchange(server, client, frame(PONG, b"are you there?"))
    exchange(server, client, frame(PING))
    server.expect_silence()
    exchange(client, server, frame(PONG, b"", MASK))
    exchange(client, server, frame(CLOSE, b"\x03\xe8", MASK))
    exchange(server, client, frame(CLOSE, b"\x03\xe8"))
    server.end()
    client.expect_end()
    client.end()
    server.expect_end()
    record = gateway.record()
    assert (record["status"], record["upgraded"], record["cause"]) == (101, True, None)
    assert (record["bytes_in"], record["bytes_out"]) == (11 + 20 + 6 + 8, 7 + 16 + 2 + 4)


@all_ways
def test_fields_of_the_handshake(start, origin, way):
    gateway = start(configured(way, origin))
    client = ask_websocket(way, gateway, "/chat?room=1", [("sec-websocket-protocol", "chat, talk"),
        ("sec-websocket-extensions", "permessage-deflate"), ("origin", "http://example.com")])
    server = asked_websocket(way, origin)
    seen = server.message
    assert (seen.get("sec-websocket-protocol"), seen.get("sec-websocket-extensions")) == ("chat, talk", "permessage-deflate")
    assert seen.get("origin") == "http://example.com" and seen.get("x-forwarded-for") == "127.0.0.1"
    assert (seen.target if way[1] == "h1" else seen.get(":path")) == "/chat?room=1"
    if way == ("h1", "h1"):
        assert seen.get("Sec-WebSocket-Key") == KEY
    grant(server, [("sec-websocket-protocol", "chat")])
    _, field = answered(client)
    assert field("sec-websocket-protocol") == "chat"


@all_ways
def test_much_in_both_directions(start, origin, way):
    gateway = start(configured(way, origin))
    client, server = open_websocket(way, gateway, origin)
    data = bytes(range(256)) * 64
    for _ in range(100):
        exchange(client, server, data)
        exchange(server, client, data)


@all_ways
def test_what_is_sent_before_the_answer_waits(start, origin, way):
    gateway = start(configured(way, origin))
    client = ask_websocket(way, gateway, early=frame(TEXT, b"early", MASK))
    server = asked_websocket(way, origin)
    server.expect_silence()
    grant(server)
    assert server.take(11) == frame(TEXT, b"early", MASK)
    answered(client)
    exchange(server, client, frame(TEXT, b"late"))


@all_ways
def test_what_is_behind_the_answer_belongs_to_it(start, origin, way):
    gateway = start(configured(way, origin))
    client = ask_websocket(way, gateway)
    server = asked_websocket(way, origin)
    grant(server)
    server.send(frame(TEXT, b"first"))
    answered(client)
    assert client.take(7) == frame(TEXT, b"first")


@all_ways
def test_last_words_behind_the_end_of_the_other(start, origin, way):
    """Both directions are over for the gateway in the moment in which it has the last bytes."""
    gateway = start(configured(way, origin))
    client, server = open_websocket(way, gateway, origin)
    server.end()
    client.expect_end()
    if way[0] == "h1":
        client.send(b"last words")
        client.end()
    else:
        client.wire.send(h2raw.data(client.number, b"last words", end_stream=True))
    assert server.take(10) == b"last words"
    server.expect_end()
    assert gateway.record()["cause"] is None


@all_ways
def test_each_direction_ends_by_itself(start, origin, way):
    gateway = start(configured(way, origin))
    client, server = open_websocket(way, gateway, origin)
    server.end()
    client.expect_end()
    exchange(client, server, b"still heard")
    client.end()
    server.expect_end()
    assert gateway.record()["cause"] is None


@all_ways
def test_the_head_that_opens_it_is_edited(start, origin, way):
    edits = {"response": {"remove": ["X-Secret"], "set": {"X-Role": "guest"}}}
    gateway = start(configured(way, origin, route={"filters": [{"headers": edits}]}))
    client = ask_websocket(way, gateway)
    server = asked_websocket(way, origin)
    grant(server, [("x-secret", "1"), ("x-role", "admin"), ("x-other", "2")])
    _, field = answered(client)
    assert (field("x-secret"), field("x-role"), field("x-other")) == (None, "guest", "2")
    exchange(client, server, b"open")


# --- its end ----------------------------------------------------------------------------------------------------------


def expect_gone(gateway, end, cause):
    end.expect_gone()
    assert gateway.record()["cause"] == cause


@all_ways
def test_idle(start, origin, way):
    gateway = start(configured(way, origin, upstream={"timeouts": {"idle": SHORT_TEXT}}))
    with due():
        client, server = open_websocket(way, gateway, origin)
        client.expect_gone()
    server.expect_gone()
    assert gateway.record()["cause"] == "upstream_idle_timeout"


@pytest.mark.parametrize("way", [("h1", "h2"), ("h2", "h1")], ids=["h1 to h2", "h2 to h1"])
def test_pings_keep_it(start, origin, way):
    """Beyond the time that a request may take, and that it may be idle: something moves."""
    gateway = start(configured(way, origin, upstream={"timeouts": {"request": AMPLE_TEXT, "idle": AMPLE_TEXT}}))
    client, server = open_websocket(way, gateway, origin)
    for _ in range(8):
        exchange(server, client, frame(PING))
        exchange(client, server, frame(PONG, b"", MASK))
        client.expect_silence(AMPLE * 0.14)
    client.cut()
    expect_gone(gateway, server, "client_gone")


@all_ways
@pytest.mark.parametrize("who, cause", [("client", "client_gone"), ("server", "upstream_reset")])
def test_one_end_dies(start, origin, way, who, cause):
    gateway = start(configured(way, origin))
    client, server = open_websocket(way, gateway, origin)
    dies, stays = (client, server) if who == "client" else (server, client)
    dies.close()
    expect_gone(gateway, stays, cause)


@all_ways
def test_upstream_cuts_it(start, origin, way):
    gateway = start(configured(way, origin))
    client, server = open_websocket(way, gateway, origin)
    server.cut()
    if way[0] == "h1":
        client.wire.expect_abort()
    else:
        client.expect_gone()
        assert client.message.reset == h2raw.INTERNAL_ERROR
    assert gateway.record()["cause"] == "upstream_reset"


@all_ways
def test_client_leaves_before_the_answer(start, origin, way):
    gateway = start(configured(way, origin))
    client = ask_websocket(way, gateway)
    server = asked_websocket(way, origin)
    client.cut()
    expect_gone(gateway, server, "client_gone")


@all_ways
def test_drain_lets_it_finish(start, origin, way):
    gateway = start(configured(way, origin))
    client, server = open_websocket(way, gateway, origin)
    gateway.signal(signal.SIGTERM)
    gateway.event("draining")
    exchange(client, server, b"on its way")
    exchange(server, client, b"and back")
    client.end()
    server.expect_end()
    server.end()
    client.expect_end()
    if way[1] == "h2":
        server.wire.expect_end()
    assert gateway.wait() == 0 and gateway.record()["cause"] is None


@all_ways
def test_drain_ends_it_when_time_is_up(start, origin, way):
    gateway = start(configured(way, origin, drain_timeout=SHORT_TEXT))
    client, server = open_websocket(way, gateway, origin)
    with due():
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
    assert gateway.record()["cause"] == "draining"
    assert client and server


# --- when it is not to be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 2, 100])
def test_the_length_of_a_refusal_is_that_of_its_content(start, origin, length):
    """What the service says of it beforehand is not what an HTTP/1.1 client counts by."""
    way = ("h1", "h2")
    gateway = start(configured(way, origin))
    client = ask_websocket(way, gateway)
    server = asked_websocket(way, origin)
    split = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    server.wire.respond(server.number, 404, split, [("content-length", str(length))])
    status, field = answered(client)
    assert (status, field("Content-Length")) == (404, None)
    assert client.wire.read_content(client.message).body == split


@all_ways
def test_refused(start, origin, way):
    """It is an answer like any other, and what it stands on goes on."""
    gateway = start(configured(way, origin))
    client = ask_websocket(way, gateway)
    server = asked_websocket(way, origin)
    if way[1] == "h1":
        server.send(response("no", status="403 Forbidden", fields=["X-Why: no"]))
    else:
        server.wire.respond(server.number, 403, b"no", [("x-why", "no")])
    status, field = answered(client)
    assert (status, field("x-why")) == (403, "no")
    if way[0] == "h1":
        assert client.wire.read_content(client.message).body == b"no"
        client.wire.send(get("/next"))
    else:
        assert client.wire.message(client.number).body == b"no"
        client.number = client.wire.request(h2raw.get("/next"))
    if way[1] == "h1":
        assert server.wire.read_request().target == "/next"
        server.send(response("ok"))
    else:
        following = next_stream(server.wire)
        server.wire.respond(following.number, body=b"ok")
        assert server.message.ended or server.message.reset == h2raw.CANCEL
    body = client.wire.read_response().body if way[0] == "h1" else client.wire.message(client.number).body
    assert body == b"ok" and origin.is_untouched()
    assert [r["status"] for r in gateway.records(2)] == [403, 200]


@FROM_H1
@pytest.mark.parametrize("request_of", [
    pytest.param(lambda lines: [line.replace(KEY, KEY[:-3] + "=") for line in lines], id="a key that is too short"),
    pytest.param(lambda lines: [line.replace(KEY, KEY[:-2] + "A=") for line in lines], id="17 bytes"),
    pytest.param(lambda lines: [line.replace(KEY, "*" + KEY[1:]) for line in lines], id="no base64"),
    pytest.param(lambda lines: [*lines, f"Sec-WebSocket-Key: {KEY}"], id="two keys"),
    pytest.param(lambda lines: [line for line in lines if "Key" not in line], id="no key"),
    pytest.param(lambda lines: [line.replace("13", "8") for line in lines], id="another version"),
    pytest.param(lambda lines: [line for line in lines if "Version" not in line], id="no version"),
    pytest.param(lambda lines: [line.replace("websocket", "websocket, echo") for line in lines], id="or something else"),
    pytest.param(lambda lines: [*lines, "Upgrade: echo"], id="and something else"),
    pytest.param(lambda lines: [line.replace("websocket", "echo") for line in lines], id="something else"),
])
def test_what_is_no_handshake_is_an_ordinary_request(start, origin, way, request_of):
    """The upstream may ignore Upgrade, and then it is not passed on."""
    gateway = start(configured(way, origin))
    lines = ["Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"]
    client = gateway.connect().send(get("/chat", fields=request_of(lines)))
    stream = next_stream(h2_server(origin.accept()))
    assert (stream.message.get(":method"), stream.message.ended) == ("GET", True)
    stream.wire.respond(stream.number, body=b"a page")
    answer = client.read_response()
    assert (answer.status, answer.body, answer.get("Upgrade")) == (200, b"a page", None)


@FROM_H1
def test_handshake_by_post_is_an_ordinary_request(start, origin, way):
    gateway = start(configured(way, origin))
    lines = ["Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"]
    client = gateway.connect().send(get("/chat", fields=lines).replace(b"GET", b"DELETE"))
    stream = next_stream(h2_server(origin.accept()))
    assert (stream.message.get(":method"), stream.message.ended) == ("DELETE", True)
    stream.wire.respond(stream.number, 204)
    assert client.read_response().status == 204


@TO_H2
@pytest.mark.parametrize("status", [200, 404])
def test_upstream_that_does_not_offer_it(start, origin, way, status):
    """It is asked as if there were no Upgrade. A 2xx would be taken for the WebSocket by a client of HTTP/2."""
    gateway = start(configured(way, origin))
    client = ask_websocket(way, gateway)
    stream = next_stream(h2_server(origin.accept(), connect_protocol=False))
    assert (stream.message.get(":method"), stream.message.get(":protocol"), stream.message.ended) == ("GET", None, True)
    stream.wire.respond(stream.number, status, b"a page")
    seen, _ = answered(client)
    assert seen == (502 if way[0] == "h2" and status == 200 else status)


def test_answer_that_would_be_taken_for_the_websocket(start, origin):
    """RFC 8441 §5: to the client every 2xx is one."""
    way = ("h2", "h1")
    gateway = start(configured(way, origin))
    client = ask_websocket(way, gateway)
    server = asked_websocket(way, origin)
    server.send(response("<html>"))
    assert answered(client)[0] == 502
    record = gateway.record()
    assert record["cause"] == "upstream_bad_response" and "WebSocket" in record["why"]


def test_answer_of_a_route_that_would_be_taken_for_the_websocket(start):
    way = ("h2", "h1")
    gateway = start(configuration(listener={"protocols": ["h2"]}, route={"respond": {"status": 200, "body": "hello"}}))
    client = ask_websocket(way, gateway)
    assert answered(client)[0] == 405
    assert json.loads(client.wire.message(client.number).body)["error"] == "method_not_allowed"


@pytest.mark.parametrize("change", [
    pytest.param(lambda head, key: head.replace(proof(key), proof(KEY)), id="another key's"),
    pytest.param(lambda head, key: head.replace(f"Sec-WebSocket-Accept: {proof(key)}\r\n", ""), id="none"),
    pytest.param(lambda head, key: head.replace("\r\n\r\n", f"\r\nSec-WebSocket-Accept: {proof(key)}\r\n\r\n"), id="two"),
    pytest.param(lambda head, key: head.replace("Upgrade: websocket", "Upgrade: echo"), id="of something else"),
])
def test_server_that_does_not_prove_it(start, origin, change):
    """The key is the gateway's, and nobody else could see to it."""
    way = ("h2", "h1")
    gateway = start(configured(way, origin))
    client = ask_websocket(way, gateway)
    server = asked_websocket(way, origin)
    key = server.message.get("Sec-WebSocket-Key")
    server.send(change("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Accept: {proof(key)}\r\n\r\n", key))
    assert answered(client)[0] == 502
    server.expect_gone()
    record = gateway.record()
    assert record["cause"] == "upstream_bad_response" and "proven" in record["why"]


@FROM_H1
def test_length_in_the_answer_is_not_passed_on(start, origin, way):
    """It would make the tunnel look like content (RFC 9110 §8.6)."""
    gateway = start(configured(way, origin))
    client = ask_websocket(way, gateway)
    server = asked_websocket(way, origin)
    grant(server, [("content-length", "0"), ("sec-websocket-accept", "x")])
    status, field = answered(client)
    assert (status, field("Content-Length"), field("Sec-WebSocket-Accept")) == (101, None, proof(KEY))
    exchange(server, client, b"behind")


@TO_H2
def test_refused_stream_is_asked_again(start, origin, way):
    """With a key and a proof of the second time."""
    gateway = start(configured(way, origin))
    client = ask_websocket(way, gateway)
    server = asked_websocket(way, origin)
    server.wire.send(h2raw.rst_stream(server.number, h2raw.REFUSED_STREAM))
    again = asked_websocket(way, origin, server.wire)
    grant(again)
    assert answered(client)[0] in (101, 200)
    exchange(client, again, frame(TEXT, b"hello", MASK))


@TO_H2
def test_many_on_one_connection(start, origin, way):
    gateway = start(configured(way, origin))
    client, server = open_websocket(way, gateway, origin)
    for i in range(20):
        other = ask_websocket(way, gateway)
        stream = asked_websocket(way, origin, server.wire)
        grant(stream)
        answered(other)
        exchange(other, stream, b"%d" % i)
        other.cut()
        stream.expect_gone()
        exchange(server, client, b"and the first one")
    assert origin.is_untouched()


# --- real ones --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def node_server():
    server = node("node_websocket_h2.js")
    yield server
    server.stop()


def test_websockets_library_to_node_by_http2(start, node_server):
    library = websockets()
    gateway = start(configuration(node_server, upstream={"protocol": "h2"}))

    async def converse():
        async with library.connect(f"ws://127.0.0.1:{gateway.port}/", subprotocols=["echo"]) as client:
            assert client.subprotocol == "echo"
            for text in ("hello", "x" * 60000):
                await client.send(text)
                assert await client.recv() == text
            await (await client.ping())
        assert client.close_code == 1000

    asyncio.run(converse())
    assert gateway.record()["upgraded"]


def test_http2_to_node_by_http2(start, node_server):
    gateway = start(configuration(node_server, listener={"protocols": ["h2"]}, upstream={"protocol": "h2"}))
    client = ask_websocket(("h2", "h2"), gateway)
    assert answered(client)[0] == 200
    client.send(frame(TEXT, b"hello", MASK))
    assert client.take(7) == frame(TEXT, b"hello")
    client.send(frame(CLOSE, b"\x03\xe8", MASK))
    assert client.take(4) == frame(CLOSE, b"\x03\xe8")
    client.expect_end()
    client.end()
    assert gateway.record()["cause"] is None
