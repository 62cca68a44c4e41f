"""HTTP/2 towards upstreams: python3-h2 by script, and Node's http2 and nginx as they are."""

import hashlib
import select
import threading
from types import SimpleNamespace

import h2.errors
import h2.events
import h2.settings
import pytest

import h2raw
from admin import Admin
from authority import authorities
from gateway import PATIENT, configuration, eventually, free_port, scale
from h2peer import Peer
from raw import get, post, response
from servers import Server, command, h2o, nginx, nginx_h2, tool
from timing import due

MAX = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
WINDOW = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE


# Their streams' windows together are more than a session's would be by default.
SLOW = 12


def spoken(*origins, pool=None, **more):
    """An upstream that speaks HTTP/2, and one connection to each unless the test says otherwise."""
    upstream = {"protocol": "h2", "pool": {"max_connections": 1, **(pool or {})}, **more.pop("upstream", {})}
    return configuration(*origins, upstream=upstream, admin={"address": f"127.0.0.1:{free_port()}"}, **more)


@pytest.fixture
def speaking(start, origin):
    return start(spoken(origin))


def sessions(gateway):
    return sum(value for (name, _), value in Admin(gateway).metrics().values.items() if name == "weir_upstream_sessions")


def test_request_and_answer(speaking, origin):
    client = speaking.connect().send(get("/a?b", fields=["X-One: 1"]))
    peer = Peer(origin.accept())
    stream, fields = peer.request()
    assert (fields[":method"], fields[":path"], fields[":authority"], fields[":scheme"]) == \
        ("GET", "/a?b", "example.com", "http")
    assert fields["x-one"] == "1" and "connection" not in fields
    peer.answer(stream, b"hello", [("content-length", "5"), ("x-two", "2")])
    answer = client.read_response()
    assert (answer.status, answer.body, answer.get("X-Two")) == (200, b"hello", "2")
    assert sessions(speaking) == 1


def test_client_that_names_no_host(start, make_origin, tmp_path):
    """HTTP/1.0 does without, and a service that speaks HTTP/2 may not be asked so: it would end the connection, with all that is
    on it."""
    for origin, own in ((tcp := make_origin(), tcp.address), (make_origin(path=tmp_path / "origin"), "localhost")):
        client = start(spoken(origin)).connect().send("GET / HTTP/1.0\r\n\r\n")
        peer = Peer(origin.accept())
        stream, fields = peer.request()
        assert fields[":authority"] == own and "x-forwarded-host" not in fields
        peer.answer(stream, b"hello", [("content-length", "5")])
        assert client.read_response().body == b"hello"


def test_100_requests_at_once_on_one_connection(speaking, origin):
    clients = [speaking.connect().send(post(b"%d" % i, target=f"/{i}")) for i in range(100)]
    peer = Peer(origin.accept())
    seen = {}
    for _ in clients:
        stream, fields = peer.request()
        seen[stream] = fields[":path"]
    assert len(seen) == 100 and origin.is_untouched()
    for stream, path in reversed(seen.items()):
        assert b"/" + peer.content(stream) == path.encode()
        peer.answer(stream, path.encode())
    for i, client in enumerate(clients):
        assert client.read_response().body == b"/%d" % i
    assert sessions(speaking) == 1 and origin.is_untouched()


def test_connection_is_kept_and_ended_with_goaway_when_idle(start, origin):
    gateway = start(spoken(origin, pool={"idle_timeout": "100ms"}))
    client = gateway.connect().send(get())
    peer = Peer(origin.accept())
    peer.answer(peer.request()[0])
    assert client.read_response().status == 200
    assert peer.take(h2.events.ConnectionTerminated).error_code == 0
    eventually(lambda: sessions(gateway) == 0)


def test_refused_post_is_sent_again_on_the_same_connection(speaking, origin):
    client = speaking.connect().send(post(b"once", target="/pay"))
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    assert peer.content(stream) == b"once"
    peer.refuse(stream)
    again, fields = peer.request()
    assert fields[":path"] == "/pay" and peer.content(again) == b"once"
    peer.answer(again, b"paid")
    assert client.read_response().body == b"paid"
    assert origin.is_untouched()


def test_refused_twice_is_an_error(speaking, origin):
    client = speaking.connect().send(post(b"x"))
    peer = Peer(origin.accept())
    for _ in range(2):
        peer.refuse(peer.request()[0])
    assert client.read_response().status == 502
    assert speaking.record()["cause"] == "upstream_reset"


def impatient(origin, **pool):
    """Patient enough for a connection, and for what the test answers, and no longer."""
    return spoken(origin, pool=pool, upstream={"timeouts": {"connect": "3s", "first_byte": "3s"}})


def served_once(start, origin, service=Peer):
    """An impatient gateway, a client whose request was answered, and the service's end of the connection that it was on."""
    gateway = start(impatient(origin))
    client = gateway.connect().send(get("/1"))
    peer = service(origin.accept())
    peer.answer(peer.request()[0])
    assert client.read_response().status == 200
    return gateway, client, peer


def test_a_connection_that_has_died_silently_is_left(start, origin):
    """Nothing at all comes on it any more: its requests fail, and the next one goes elsewhere."""
    gateway, client, peer = served_once(start, origin)
    client.send(get("/2"))
    assert client.read_response().status == 504
    eventually(lambda: sessions(gateway) == 0)
    client.send(get("/3"))
    peer = Peer(origin.accept())
    peer.answer(peer.request()[0], b"here")
    assert client.read_response().body == b"here"


def is_question(event):
    """SETTINGS that say nothing: they are to be acknowledged."""
    return isinstance(event, h2.events.RemoteSettingsChanged) and not event.changed_settings


def take_question(peer):
    while not any(is_question(event) for event in peer.events):
        assert peer.receive(), f"the connection ended before it was asked; there was {peer.events}"
    peer.events = [event for event in peer.events if not is_question(event)]


def give_up(client, peer, target):
    """A request that nobody answers."""
    client.send(get(target))
    stream, _ = peer.request()
    peer.take(h2.events.StreamReset, stream)
    assert client.read_response().status == 504


class Careless(Peer):
    """Acknowledges no SETTINGS."""

    def flush(self):
        data = self.h2.data_to_send() or b""
        self.wire.sock.sendall(data.replace(h2raw.frame(h2raw.SETTINGS, h2raw.ACK), b""))
        return self


def test_a_connection_that_answers_a_question_is_kept(start, origin):
    """Slow requests are no reason to leave it. It is asked each time, and never with a PING: services of gRPC count those."""
    gateway, client, peer = served_once(start, origin)
    for i in range(2):
        give_up(client, peer, f"/silent/{i}")
        take_question(peer)
    client.send(get("/3"))
    peer.answer(peer.request()[0], b"here")
    assert client.read_response().body == b"here"
    assert not any(isinstance(event, h2.events.PingReceived) for event in peer.events)
    assert sessions(gateway) == 1 and origin.is_untouched()


def test_a_connection_that_dies_behind_an_answer_is_left(start, origin):
    """The application hangs first, and then its host: that it has answered says nothing of what comes next."""
    gateway, client, peer = served_once(start, origin)
    give_up(client, peer, "/silent")
    take_question(peer)
    # From here on nothing is read any more.
    assert client.ask(get("/swallowed")).status == 504
    eventually(lambda: sessions(gateway) == 0)
    client.send(get("/elsewhere"))
    peer = Peer(origin.accept())
    peer.answer(peer.request()[0], b"here")
    assert client.read_response().body == b"here"


def test_a_service_that_says_something_else_lives(start, origin):
    """It acknowledges nothing, and asks back each time."""
    gateway, client, peer = served_once(start, origin, Careless)
    for i in range(2):
        give_up(client, peer, f"/silent/{i}")
        take_question(peer)
        peer.h2.ping(b"still up")
        peer.flush().take(h2.events.PingAckReceived)
    client.send(get("/2"))
    peer.answer(peer.request()[0], b"here")
    assert client.read_response().body == b"here"
    assert sessions(gateway) == 1 and origin.is_untouched()


def test_clients_that_give_up_are_no_doubt(start, origin):
    """None of them is a reason to ask."""
    gateway = start(spoken(origin))
    peer = None
    for i in range(20):
        client = gateway.connect().send(get(f"/{i}"))
        peer = peer or Peer(origin.accept())
        stream, _ = peer.request()
        client.reset()
        peer.take(h2.events.StreamReset, stream)
    assert not any(is_question(event) for event in peer.events)


def test_what_may_have_ended_a_connection_is_not_tried_on_the_next(speaking, origin):
    """The service has had enough of one message: it would end the next connection, too, with everybody else on it."""
    client = speaking.connect().send(get("/1"))
    peer = Peer(origin.accept())
    peer.answer(peer.request()[0])
    assert client.read_response().status == 200
    client.send(get("/poison"))
    stream, _ = peer.request()
    peer.h2.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, last_stream_id=stream)
    peer.flush().wire.close()
    assert client.read_response().status == 502
    assert origin.is_untouched()


def test_a_service_that_takes_no_streams_yet_is_waited_for(start, origin):
    gateway = start(spoken(origin, pool={"max_connections": 4}))
    client = gateway.connect().send(get("/1"))
    peer = Peer(origin.accept(), {MAX: 0})
    peer.take(h2.events.SettingsAcknowledged)
    assert origin.is_untouched()
    peer.h2.update_settings({MAX: 1})
    peer.flush()
    peer.answer(peer.request()[0], b"now")
    assert client.read_response().body == b"now"
    assert origin.is_untouched()


def test_a_service_that_leaves_as_soon_as_it_is_there(speaking, origin):
    """It drains, and accepts still: the gateway does not connect again and again for one request."""
    client = speaking.connect().send(get())
    peer = Peer(origin.accept(), hello=False)
    peer.h2.initiate_connection()
    peer.go_away(0)
    answer = client.read_response()
    assert answer.status == 502 and b"ends its connections as soon as they are open (GOAWAY)" in answer.body
    assert speaking.record()["cause"] == "connect_refused"
    assert origin.is_untouched()
    # It is back.
    client.send(get())
    peer = Peer(origin.accept())
    peer.answer(peer.request()[0], b"back")
    assert client.read_response().body == b"back"


def test_fewer_streams_than_before(start, origin):
    """What the service does not allow any more goes to another connection, and comes back when it may."""
    gateway = start(spoken(origin, pool={"max_connections": 2}))
    clients = [gateway.connect().send(get(f"/{i}")) for i in range(3)]
    peer = Peer(origin.accept())
    streams = [peer.request()[0] for _ in clients]
    for stream in streams[:2]:
        peer.answer(stream)
    peer.h2.update_settings({MAX: 1})
    peer.flush()
    peer.take(h2.events.SettingsAcknowledged)
    peer.take(h2.events.SettingsAcknowledged)
    other = None
    for i in range(4):
        client = gateway.connect().send(get(f"/more/{i}"))
        other = other or Peer(origin.accept())
        other.answer(other.request()[0], b"there")
        assert client.read_response().body == b"there"
    peer.answer(streams[2])
    assert all(client.read_response().status == 200 for client in clients)
    assert origin.is_untouched()


def test_no_streams_any_more(start, origin):
    """Who waits is told why, and nobody connects again and again; when the service allows some again, all is well."""
    gateway = start(spoken(origin, pool={"acquire_timeout": "3s"}))
    busy = gateway.connect().send(get("/busy"))
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    peer.h2.update_settings({MAX: 0})
    peer.flush()
    peer.take(h2.events.SettingsAcknowledged)
    peer.take(h2.events.SettingsAcknowledged)
    client = gateway.connect()
    for _ in range(2):
        client.send(get("/more"))
        answer = client.read_response()
        assert answer.status == 503 and b"MAX_CONCURRENT_STREAMS" in answer.body
        assert b"pool_acquire_timeout" in answer.body
    peer.h2.update_settings({MAX: 2})
    peer.flush()
    client.send(get("/more"))
    peer.answer(peer.request()[0], b"now")
    assert client.read_response().body == b"now"
    peer.answer(stream, b"at last")
    assert busy.read_response().body == b"at last"
    assert origin.is_untouched()


def test_goaway_in_the_middle(speaking, origin):
    """Who was taken is answered there, who was not goes to a new connection, whatever the method."""
    first, second = speaking.connect().send(get("/1")), None
    peer = Peer(origin.accept())
    taken, _ = peer.request()
    second = speaking.connect().send(post(b"two", target="/2"))
    left, fields = peer.request()
    assert fields[":path"] == "/2" and peer.content(left) == b"two"
    peer.go_away(taken)
    other = Peer(origin.accept())
    again, fields = other.request()
    assert fields[":path"] == "/2" and other.content(again) == b"two"
    other.answer(again, b"second")
    assert second.read_response().body == b"second"
    peer.wire.sock.sendall(raw_answer(taken, b"first"))
    assert first.read_response().body == b"first"
    eventually(lambda: sessions(speaking) == 1)


def raw_answer(stream, body):
    """python3-h2 writes nothing behind a GOAWAY of its own. `:status: 200` has the number 8 in the static table."""
    def frame(kind, flags, payload):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    return frame(1, 4, b"\x88") + frame(0, 1, body)


def test_reset_in_the_content(speaking, origin):
    client = speaking.connect().send(get())
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    peer.head(stream, [("content-length", "10")]).data(stream, b"half")
    assert client.read_head().status == 200 and client.take(4) == b"half"
    peer.reset(stream)
    assert client.expect_gone() == b""
    assert speaking.record()["cause"] == "upstream_reset"
    # The session is not harmed by that.
    next_client = speaking.connect().send(get("/next"))
    stream, fields = peer.request()
    assert fields[":path"] == "/next"
    peer.answer(stream)
    assert next_client.read_response().status == 200 and origin.is_untouched()


def test_reset_before_the_answer_is_not_repeated(speaking, origin):
    """The server knows the request: what became of it is not known, but that the connection was stale is not why."""
    warm = speaking.connect().send(get())
    peer = Peer(origin.accept())
    peer.answer(peer.request()[0])
    assert warm.read_response().status == 200
    client = speaking.connect().send(get())
    peer.reset(peer.request()[0])
    assert client.read_response().status == 502
    assert speaking.records(2)[1]["cause"] == "upstream_reset" and origin.is_untouched()


def test_malformed_answer(speaking, origin):
    client = speaking.connect().send(get())
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    # HEADERS without :status: "content-length: 0" by its name's index, not Huffman coded.
    peer.wire.sock.sendall(b"\x00\x00\x04\x01\x05" + stream.to_bytes(4, "big") + b"\x0f\x0d\x01\x30")
    assert client.read_response().status == 502
    assert speaking.record()["cause"] == "upstream_bad_response"


def test_length_of_0_that_proves_wrong(speaking, origin):
    """Where the length is believed the answer is whole with its head."""
    client = speaking.connect().send(get())
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    peer.head(stream, [("content-length", "0")])
    assert client.read_head().framing == "chunked"
    peer.data(stream, b"more")
    assert client.expect_gone() == b""
    assert speaking.record()["cause"] in ("upstream_reset", "upstream_bad_response")


def test_client_that_leaves_resets_its_stream_only(speaking, origin):
    client = speaking.connect().send(get())
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    client.close()
    assert peer.take(h2.events.StreamReset, stream).error_code == h2.errors.ErrorCodes.CANCEL
    other = speaking.connect().send(get())
    stream, _ = peer.request()
    peer.answer(stream)
    assert other.read_response().status == 200 and origin.is_untouched()


def test_trailers_both_ways(speaking, origin):
    client = speaking.connect().send(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        b"3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n")
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    assert dict(peer.take(h2.events.TrailersReceived, stream).headers)["x-sum"] == "6"
    peer.head(stream).data(stream, b"defg")
    peer.h2.send_headers(stream, [("x-count", "4")], end_stream=True)
    peer.flush()
    answer = client.read_response()
    assert answer.body == b"defg" and ("x-count", "4") in [(n.lower(), v) for n, v in answer.trailers]


def test_informational_answers(speaking, origin):
    client = speaking.connect().send(get())
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    peer.head(stream, [("link", "</a.css>; rel=preload")], status="103")
    peer.answer(stream)
    hint = client.read_head()
    assert hint.status == 103 and hint.get("link") == "</a.css>; rel=preload"
    assert client.read_response().status == 200


def test_head_goes_out_before_the_content_has_come(speaking, origin):
    client = speaking.connect().send(get())
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    peer.head(stream, [("content-length", "2")])
    assert client.read_head().status == 200
    peer.data(stream, b"ok", end=True)
    assert client.take(2) == b"ok"


def test_answer_that_is_only_a_head(speaking, origin):
    """To a client of HTTP/1.1 it has to be said that there is no content, or it waits for some."""
    client = speaking.connect()
    peer = None
    for method, status, length in (("GET", "200", "0"), ("GET", "304", None), ("DELETE", "204", None), ("HEAD", "200", None)):
        client.send(get().replace(b"GET", method.encode()))
        peer = peer or Peer(origin.accept())
        stream, _ = peer.request()
        peer.head(stream, status=status, end=True)
        answer = client.read_response(method)
        assert (answer.status, answer.body, answer.get("Content-Length")) == (int(status), b"", length)


def test_expect_continue(speaking, origin):
    client = speaking.connect().send(post(b"", fields=["Expect: 100-continue"]).replace(b"Length: 0", b"Length: 4"))
    peer = Peer(origin.accept())
    stream, fields = peer.request()
    assert fields["expect"] == "100-continue"
    peer.head(stream, status="100")
    assert client.read_head().status == 100
    client.send(b"body")
    assert peer.content(stream) == b"body"
    peer.answer(stream)
    assert client.read_response().status == 200


def test_one_stream_at_a_time(start, origin):
    """What the peer does not allow yet waits for it, as for any connection."""
    gateway = start(spoken(origin))
    clients = [gateway.connect().send(get(f"/{i}")) for i in range(10)]
    peer = Peer(origin.accept(), {MAX: 1})
    for _ in clients:
        stream, fields = peer.request()
        assert not [e for e in peer.events if isinstance(e, h2.events.RequestReceived)]
        peer.answer(stream, fields[":path"].encode())
    assert sorted(c.read_response().body for c in clients) == [b"/%d" % i for i in range(10)]
    assert origin.is_untouched()


def test_more_than_the_peer_allows_goes_to_other_connections(start, origin):
    gateway = start(spoken(origin, pool={"max_connections": 3}))
    clients = [gateway.connect().send(get(f"/{i}")) for i in range(3)]
    peers = [Peer(origin.accept(), {MAX: 1})]
    peers += [Peer(origin.accept(), {MAX: 1}) for _ in range(2)]
    # Nobody is answered before all have come: who waits would get the first one's place.
    requests = [peer.request() for peer in peers]
    for peer, (stream, fields) in zip(peers, requests):
        peer.answer(stream, fields[":path"].encode())
    assert sorted(c.read_response().body for c in clients) == [b"/0", b"/1", b"/2"]
    assert sessions(gateway) == 3


def test_lost_connection_with_50_streams(speaking, origin):
    """What is idempotent and had no answer is sent again, the rest is told; nothing hangs."""
    warm = speaking.connect().send(get())
    peer = Peer(origin.accept())
    peer.answer(peer.request()[0])
    assert warm.read_response().status == 200
    gets = [speaking.connect().send(get("/g")) for _ in range(25)]
    posts = [speaking.connect().send(post(b"p", target="/p")) for _ in range(25)]
    for _ in range(50):
        peer.request()
    peer.wire.close()
    other = Peer(origin.accept())
    for _ in gets:
        stream, fields = other.request()
        assert fields[":path"] == "/g"
        other.answer(stream, b"again")
    assert all(c.read_response().body == b"again" for c in gets)
    assert all(c.read_response().status == 502 for c in posts)
    eventually(lambda: sessions(speaking) == 1)


def test_a_service_that_restarts_behind_two_connections(start, origin):
    """What was lost on one that rested does not try the other one, which may be as dead."""
    gateway = start(spoken(origin, pool={"max_connections": 2, "max_streams": 2}))
    clients = [gateway.connect().send(get(f"/{i}")) for i in range(3)]
    first = Peer(origin.accept())
    streams = [first.request()[0] for _ in range(2)]
    second = Peer(origin.accept())
    second.answer(second.request()[0])
    eventually(lambda: any(select.select([client.sock], [], [], 0)[0] for client in clients))
    for stream in streams:
        first.answer(stream)
    assert all(client.read_response().status == 200 for client in clients)
    # The one that was used last is used first.
    clients[0].send(get("/again"))
    first.request()
    first.wire.close()
    third = Peer(origin.accept())
    third.answer(third.request()[0], b"there")
    assert clients[0].read_response().body == b"there"


def test_stalled_windows_end_with_the_deadlines(start, origin):
    gateway = start(spoken(origin, upstream={"timeouts": {"idle": "300ms"}}))
    client = gateway.connect().send(post(b"x" * 300000))
    peer = Peer(origin.accept(), {WINDOW: 1000})
    stream, _ = peer.request()
    peer.take(h2.events.StreamReset, stream)
    assert client.read_response().status == 504
    assert gateway.record()["cause"] == "upstream_idle_timeout"


@pytest.mark.parametrize("more", range(16384, 100_000, 16384))
def test_window_that_opens_a_little_and_shuts_again(start, origin, more):
    """
    Of what was too much to go on reading some is left, by one of these steps little: and still nothing moves. That is the
    upstream's doing, not the client's.
    """
    gateway = start(spoken(origin, upstream={"timeouts": {"idle": "600ms"}}))
    client = gateway.connect().send(post(b"x" * 300_000)[:200_000])
    peer = Peer(origin.accept(), {WINDOW: 1000})
    stream, _ = peer.request()
    peer.take(h2.events.DataReceived, stream)
    client.send(b"x" * 1000)
    # It has seen that there is more, and read none of it, when it answers somebody else.
    assert gateway.connect().send("BAD\r\n\r\n").read_response().status == 400
    peer.h2.increment_flow_control_window(more, stream)
    peer.h2.increment_flow_control_window(more)
    peer.flush()
    peer.take(h2.events.StreamReset, stream)
    assert client.read_response().status == 504
    assert sorted(record["cause"] for record in gateway.records(2)) == ["bad_request", "upstream_idle_timeout"]


def test_taking_a_part_prolongs_the_wait(start, origin):
    """Also when it is the first that is taken of what waits."""
    gateway = start(spoken(origin, upstream={"timeouts": {"idle": "3s"}}))
    client = gateway.connect().send(post(b"x" * 300_000))
    peer = Peer(origin.accept(), {WINDOW: 1000})
    stream, _ = peer.request()
    peer.take(h2.events.DataReceived, stream)
    client.expect_silence(0.75)
    with due(3):
        peer.h2.increment_flow_control_window(1000, stream)
        peer.flush()
        peer.take(h2.events.StreamReset, stream)
    assert client.read_response().status == 504


def fill(peer, stream):
    """Until the gateway takes no more of the stream. That it takes no more can only be seen by waiting."""
    body = b"s" * 16384
    while True:
        while peer.h2.local_flow_control_window(stream) >= len(body):
            peer.h2.send_data(stream, body)
        peer.flush()
        if not select.select([peer.wire.sock], [], [], 0.05)[0]:
            return
        peer.receive()


def test_a_slow_client_does_not_stop_the_others(speaking, origin):
    """Some take nothing of a large answer; the windows have room for the others."""
    slow = [speaking.connect(receive_buffer=4096).send(get("/slow")) for _ in range(SLOW)]
    peer = Peer(origin.accept())
    streams = [peer.request()[0] for _ in slow]
    for stream in streams:
        peer.head(stream)
    for stream in streams:
        fill(peer, stream)
    quick = speaking.connect().send(get("/quick"))
    other, fields = peer.request()
    assert fields[":path"] == "/quick"
    peer.answer(other, b"q" * 100000)
    assert quick.read_response().body == b"q" * 100000
    for client in slow:
        client.close()


def test_big_bodies_both_ways(speaking, origin):
    size = scale(32 << 20)
    sent = hashlib.sha256(b"u" * size).hexdigest()
    body = bytes(range(256)) * (size // 256)

    def serve(wire, _):
        peer = Peer(wire)
        stream, _ = peer.request()
        digest = hashlib.sha256(peer.content(stream)).hexdigest()
        peer.head(stream, [("x-digest", digest)]).data(stream, body, end=True)
        peer.take(h2.events.ConnectionTerminated)

    origin.serve(serve)
    client = speaking.connect()
    sender = threading.Thread(target=client.send, args=(post(b"u" * size),), daemon=True)
    sender.start()
    answer = client.read_response()
    sender.join()
    assert answer.get("x-digest") == sent
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()
    speaking.stop()
    assert not origin.errors


def test_server_that_speaks_http1_only(speaking, origin):
    client = speaking.connect().send(get())
    origin.accept().send(response(b"no", status="400 Bad Request"))
    assert client.read_response().status == 502
    record = speaking.record()
    assert record["cause"] == "connect_refused"


def test_connect_timeout_covers_the_settings(start, origin):
    gateway = start(spoken(origin, upstream={"timeouts": {"connect": "200ms"}}))
    client = gateway.connect().send(get())
    wire = origin.accept()
    assert client.read_response().status == 504
    assert gateway.record()["cause"] == "connect_timeout"
    wire.close()


def test_reload_from_http1_to_http2(start, origin):
    """What is under way ends by the version that it began with."""
    config = spoken(origin, pool={"max_streams": 1})
    before = {**config, "upstreams": [{**config["upstreams"][0], "protocol": "h1", "pool": {**PATIENT["pool"], "max_connections": 1}}]}
    gateway = start(before)
    first, wire, _ = origin.asked(gateway, get("/old"))
    gateway.reload(config)
    second = gateway.connect().send(get("/new"))
    # One connection is the limit of both together: the old one has to come back first.
    wire.send(response(b"old"))
    peer = Peer(origin.accept())
    stream, fields = peer.request()
    assert fields[":path"] == "/new"
    peer.answer(stream, b"new")
    assert (first.read_response().body, second.read_response().body) == (b"old", b"new")


def test_drain_waits_for_streams(speaking, origin):
    client = speaking.connect().send(get())
    peer = Peer(origin.accept())
    stream, _ = peer.request()
    stopping = threading.Thread(target=speaking.stop, daemon=True)
    speaking.signal(15)
    peer.answer(stream, b"last")
    assert client.read_response().body == b"last"
    stopping.start()
    peer.take(h2.events.ConnectionTerminated)
    stopping.join()


# --- real servers ------------------------------------------------------------------------------------------------------

NODE = """
const http2 = require('http2'), fs = require('fs');
const answer = (q, r) => q.url === '/echo' ? q.pipe(r) : r.end(q.httpVersion + ' ' + q.url);
const [, port, cert, key] = process.argv;
const server = cert ? http2.createSecureServer({cert: fs.readFileSync(cert), key: fs.readFileSync(key)}, answer)
                    : http2.createServer(answer);
server.listen(Number(port), '127.0.0.1');
"""


def node(*arguments):
    port = free_port()
    return Server([tool("node"), "-e", NODE, str(port), *map(str, arguments)], port)


def test_node(start):
    server = node()
    try:
        gateway = start(spoken(server, pool={"max_connections": 2}))
        body = b"n" * scale(8 << 20)
        wire = gateway.connect()
        assert wire.send(get("/x")).read_response().body == b"2.0 /x"
        sender = threading.Thread(target=wire.send, args=(post(body, target="/echo"),), daemon=True)
        sender.start()
        assert wire.read_response().body == body
        sender.join()
    finally:
        server.stop()


def test_node_with_tls(start):
    ca, _ = authorities()
    one = ca.issue("h2", "one.test", "127.0.0.1")
    server = node(one["cert"], one["key"])
    try:
        gateway = start(spoken(server, upstream={"tls": {"ca": ca.ca}}))
        assert gateway.connect().send(get("/tls")).read_response().body == b"2.0 /tls"
    finally:
        server.stop()


def test_nginx(start, tmp_path):
    port = free_port()
    server = nginx(tmp_path / "nginx", f"listen 127.0.0.1:{port} http2;")
    try:
        gateway = start(spoken(f"127.0.0.1:{port}"))
        wire = gateway.connect()
        assert wire.send(get("/hello")).read_response().body == b"hello"
        assert wire.send(get("/seen", host="a.test")).read_response().body.startswith(b"GET /seen a.test 127.0.0.1 1.1 weir")
        assert wire.send(get("/status/503")).read_response().status == 503
        assert sessions(gateway) == 1
    finally:
        server.stop()


@pytest.mark.parametrize("how", ["h2c", "TLS"])
@pytest.mark.parametrize("name", ["h2o", "nginx"])
def test_files_of_a_real_server(start, tmp_path, name, how):
    """Small and large ones, many at once on one connection."""
    ca, _ = authorities()
    certificate = SimpleNamespace(**ca.issue(f"h2-{name}", "127.0.0.1")) if how == "TLS" else None
    server = {"h2o": h2o, "nginx": nginx_h2}[name](tmp_path / name, certificate)
    large = bytes(range(256)) * (scale(4 << 20) // 256)
    (tmp_path / name / "root" / "large").write_bytes(large)
    (tmp_path / name / "root" / "hello").write_text("hello")
    try:
        gateway = start(spoken(server, upstream={"tls": {"ca": ca.ca}} if certificate else {}))
        clients = [gateway.connect().send(get("/large" if i % 4 == 0 else "/hello")) for i in range(20)]
        for i, client in enumerate(clients):
            answer = client.read_response()
            assert (answer.status, answer.body) == (200, large if i % 4 == 0 else b"hello")
        assert clients[0].ask(get("/missing")).status == 404
        head = clients[0].ask(b"HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD")
        assert (head.status, head.get("Content-Length")) == (200, str(len(large)))
        assert sessions(gateway) == 1
    finally:
        server.stop()


def test_http2_on_both_sides(start, tmp_path):
    """Content from a session to a session, on one that has rested and on one that has not."""
    server = node()
    body = bytes(range(256)) * (scale(4 << 20) // 256)
    (tmp_path / "body").write_bytes(body)
    try:
        gateway = start(spoken(server, listener={"protocols": ["h1", "h2"]}))
        for _ in range(2):
            out = tmp_path / "out"
            command("curl", "-sS", "--http2-prior-knowledge", "--data-binary", f"@{tmp_path}/body", "-o", out,
                gateway.url("/echo"))
            assert out.read_bytes() == body
    finally:
        server.stop()
