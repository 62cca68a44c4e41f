"""The stale connection: the upstream ends a kept-alive connection in the moment in which a request is sent on it.

The request is sent again, once, on a new connection, and only where nothing can have happened through the first time.
"""

import json
import select
import signal
import time

import pytest

from admin import administered
from gateway import configuration, eventually
from raw import TIMEOUT, chunk, get, post, response
from timing import AMPLE, AMPLE_TEXT, due
from translators import UPSTREAM
from tunnels import upgrade

END = {"closed": lambda wire: wire.close(), "reset": lambda wire: wire.reset(),
    "half-closed": lambda wire: wire.half_close()}

# A reset is what the gateway hears when the origin closes with something unread, too.
ends = pytest.mark.parametrize("end", END)


@pytest.fixture
def origin(make_origin):
    made = make_origin()
    if made.translator:
        made.translator.ends_together = True
    return made


def put(body, fields=()):
    return post(body, fields=fields).replace(b"POST", b"PUT", 1)


def keep(gateway, origin):
    """A client, and a connection of the gateway's that has served it and rests."""
    client = gateway.connect().send(get("/first"))
    wire, _ = origin.answer(response("first"))
    assert client.read_response().body == b"first"
    return client, wire


def last(gateway, n=2):
    return gateway.records(n)[n - 1]


def assert_failed(gateway, client, cause="upstream_reset", status=502, retries=0):
    answer = client.read_response()
    assert (answer.status, json.loads(answer.body)["error"]) == (status, cause)
    record = last(gateway)
    assert (record["cause"], record["retries"]) == (cause, retries)


def assert_same(one, other):
    """Where content is cut into chunks means nothing (RFC 9112 §7.1)."""
    assert (one.head, one.body, one.trailers) == (other.head, other.body, other.trailers)


def sent_again(gateway, origin, client, wire, end):
    """The request arrives, its connection ends, and the same request arrives on a new one, which answers."""
    first = wire.read_request()
    end(wire)
    fresh, second = origin.answer(response("again"))
    assert_same(first, second)
    assert client.read_response(first.method).status == 200
    record = last(gateway)
    assert (record["retries"], record["reused"], record["cause"]) == (1, False, None)
    assert record["connect_us"] > 0
    return fresh, second


# --- what is sent again ----------------------------------------------------------------------------------------------


@ends
def test_get(gateway, origin, end):
    client, wire = keep(gateway, origin)
    client.send(get("/second"))
    fresh, request = sent_again(gateway, origin, client, wire, END[end])
    assert request.get("X-Request-Id") == last(gateway)["request_id"]
    # The new connection is kept as any other.
    client.send(get("/third"))
    assert fresh.read_request().target == "/third"
    fresh.send(response())
    assert client.read_response().status == 200
    assert origin.is_untouched()


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "TRACE"])
def test_idempotent_methods(gateway, origin, method):
    client, wire = keep(gateway, origin)
    client.send(get().replace(b"GET", method.encode(), 1))
    first = wire.read_request()
    wire.close()
    _, second = origin.answer(response())
    assert_same(first, second)
    assert client.read_response(method).status == 200
    assert last(gateway)["retries"] == 1


@ends
def test_put(gateway, origin, end):
    client, wire = keep(gateway, origin)
    client.send(put("content"))
    _, request = sent_again(gateway, origin, client, wire, END[end])
    assert (request.method, request.body) == ("PUT", b"content")
    assert last(gateway)["bytes_in"] == 7


def test_put_of_some_size(gateway, origin):
    """More than goes into one receive, less than is kept."""
    body = bytes(range(256)) * 200
    client, wire = keep(gateway, origin)
    client.send(put(body))
    _, request = sent_again(gateway, origin, client, wire, END["closed"])
    assert request.body == body


def test_put_in_chunks_with_trailers(gateway, origin):
    client, wire = keep(gateway, origin)
    head = b"PUT /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    client.send_apart([head + chunk("one") + chunk("two") + b"5\r\nth", b"ree\r\n", b"0\r\nX-Sum: 1\r\n\r\n"])
    _, request = sent_again(gateway, origin, client, wire, END["closed"])
    assert (request.body, [(name.lower(), value) for name, value in request.trailers]) == (b"onetwothree", [("x-sum", "1")])


def test_trailers_are_kept_as_they_were_edited(start, origin):
    edits = {"request": {"remove": ["X-User"]}}
    gateway = start(configuration(origin, route={"filters": [{"headers": edits}]}))
    client, wire = keep(gateway, origin)
    client.send("PUT /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-User: root\r\nX-Sum: 1\r\n\r\n")
    _, request = sent_again(gateway, origin, client, wire, END["closed"])
    assert [(name.lower(), value) for name, value in request.trailers] == [("x-sum", "1")]


def test_put_that_goes_on_afterwards(gateway, origin):
    """Half of the content was sent when the connection ended; the other half comes from the client."""
    client, wire = keep(gateway, origin)
    client.send(put("first half, second half").replace(b"second half", b""))
    head = wire.read_head()
    assert wire.take(12) == b"first half, "
    wire.close()
    fresh = origin.accept()
    again = fresh.read_head()
    assert again.head == head.head
    assert fresh.take(12) == b"first half, "
    client.send("second half")
    assert fresh.take(11) == b"second half"
    fresh.send(response())
    assert client.read_response().status == 200
    assert (last(gateway)["retries"], last(gateway)["bytes_in"]) == (1, 23)


def test_put_that_waits_for_100(gateway, origin):
    client, wire = keep(gateway, origin)
    client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    head = wire.read_head()
    wire.close()
    fresh = origin.accept()
    assert fresh.read_head().head == head.head
    fresh.send("HTTP/1.1 100 Continue\r\n\r\n")
    assert client.read_head().status == 100
    client.send("body")
    assert fresh.take(4) == b"body"
    fresh.send(response())
    assert client.read_response().status == 200
    assert last(gateway)["retries"] == 1


# --- what is not -----------------------------------------------------------------------------------------------------


@ends
@pytest.mark.parametrize("method", ["POST", "PATCH", "BREW"])
def test_method_that_is_not_idempotent(gateway, origin, method, end):
    client, wire = keep(gateway, origin)
    client.send(post("content").replace(b"POST", method.encode(), 1))
    assert wire.read_request().body == b"content"
    END[end](wire)
    assert_failed(gateway, client)
    assert origin.is_untouched()


def test_post_without_content(gateway, origin):
    client, wire = keep(gateway, origin)
    client.send(post(""))
    wire.read_request()
    wire.close()
    assert_failed(gateway, client)
    assert origin.is_untouched()


def test_post_that_waits_for_100(gateway, origin):
    client, wire = keep(gateway, origin)
    client.send(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    wire.read_head()
    wire.close()
    assert_failed(gateway, client)
    assert origin.is_untouched()


def test_large_put(gateway, origin):
    body = b"x" * 200_000
    client, wire = keep(gateway, origin)
    client.send(put(body))
    assert wire.read_request().body == body
    wire.close()
    assert_failed(gateway, client)
    assert origin.is_untouched()


def test_put_after_100(gateway, origin):
    client, wire = keep(gateway, origin)
    client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    wire.read_head()
    wire.send("HTTP/1.1 100 Continue\r\n\r\n")
    assert client.read_head().status == 100
    client.send("body")
    assert wire.take(4) == b"body"
    wire.close()
    assert_failed(gateway, client)
    assert origin.is_untouched()


def test_after_an_interim_answer(gateway, origin):
    client, wire = keep(gateway, origin)
    client.send(get())
    wire.read_request()
    wire.send("HTTP/1.1 103 Early Hints\r\n\r\n")
    assert client.read_head().status == 103
    wire.close()
    assert_failed(gateway, client)
    assert origin.is_untouched()


@ends
@pytest.mark.parametrize("part", ["H", "HTTP/1.1 200 OK\r\nContent-Le"])
def test_part_of_a_head(gateway, origin, part, end):
    client, wire = keep(gateway, origin)
    client.send(get())
    wire.read_request()
    wire.send(part).wait_taken()
    END[end](wire)
    assert_failed(gateway, client)
    assert origin.is_untouched()


def test_half_of_an_answer(gateway, origin):
    client, wire = keep(gateway, origin)
    client.send(get())
    wire.read_request()
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf.").wait_taken()
    wire.close()
    client.expect_abort()
    assert (last(gateway)["cause"], last(gateway)["retries"]) == ("upstream_reset", 0)
    assert origin.is_untouched()


@ends
def test_new_connection(gateway, origin, end):
    client, wire, _ = origin.asked(gateway)
    END[end](wire)
    answer = client.read_response()
    assert json.loads(answer.body)["error"] == "upstream_reset"
    assert gateway.record()["retries"] == 0
    assert origin.is_untouched()


def test_upgrade(gateway, origin):
    client, wire = keep(gateway, origin)
    client.send(upgrade())
    wire.read_request()
    wire.close()
    assert_failed(gateway, client)
    assert origin.is_untouched()


# --- only once -------------------------------------------------------------------------------------------------------


def test_two_in_a_row(gateway, origin):
    """Once, and on a new connection although others rest: those may be stale as well."""
    clients = [gateway.connect().send(get(f"/{i}")) for i in range(3)]
    wires = [origin.accept() for _ in clients]
    for wire in wires:
        wire.read_request()
    for wire in wires:
        wire.send(response())
    for client in clients:
        client.read_response()
    clients[0].send(get("/stale"))
    used = select.select([wire.sock for wire in wires], [], [], TIMEOUT)[0]
    assert len(used) == 1
    stale = next(wire for wire in wires if wire.sock is used[0])
    stale.read_request()
    stale.close()
    fresh = origin.accept()
    assert fresh.read_request().target == "/stale"
    fresh.close()
    assert json.loads(clients[0].read_response().body)["error"] == "upstream_reset"
    record = last(gateway, 4)
    assert (record["retries"], record["cause"]) == (1, "upstream_reset")
    assert origin.is_untouched()
    for wire in wires:
        if wire is not stale:
            wire.expect_silence()


def test_failure_of_the_second_try_is_the_cause(start, origin):
    gateway = start(configuration(origin))
    client, wire = keep(gateway, origin)
    client.send(get())
    wire.read_request()
    origin.refuse()
    wire.close()
    assert_failed(gateway, client, "connect_refused", retries=1)


def test_second_try_that_fails_at_once(start, make_origin, tmp_path):
    path = tmp_path / "origin"
    origin = make_origin(path=path)
    gateway = start(configuration(origin))
    client, wire = keep(gateway, origin)
    client.send(get())
    wire.read_request()
    path.unlink()
    wire.close()
    assert_failed(gateway, client, "connect_refused", retries=1)


def test_second_try_has_the_same_deadline(start, origin):
    gateway = start(configuration(origin, upstream={"timeouts": {"request": AMPLE_TEXT}}))
    client, wire = keep(gateway, origin)
    with due(AMPLE):
        client.send(get())
        wire.read_request()
        wire.close()
        origin.accept().read_request()
        assert_failed(gateway, client, "request_deadline", 504, retries=1)


def test_client_that_leaves_meanwhile(start, origin):
    """While the new connection is waited for."""
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 1}}))
    client, wire = keep(gateway, origin)
    client.send(put("content"))
    wire.read_request()
    wire.close()
    fresh = origin.accept()
    fresh.read_request()
    client.reset()
    assert last(gateway)["cause"] == "client_gone"
    fresh.expect_gone()


def test_retries_are_counted(start, origin):
    gateway, admin = administered(start, origin)
    client, wire = keep(gateway, origin)
    for i, end in enumerate(["closed", "reset", "closed"]):
        client.send(get())
        wire.read_request()
        END[end](wire)
        wire, _ = origin.answer(response())
        client.read_response()
        assert last(gateway, i + 2)["retries"] == 1
    told = admin.metrics()
    assert set(told.labels("weir_pool_retries_total", "reason")) <= {"closed", "reset"}
    # A session of HTTP/2 that is lost is lost, however.
    reset = 1 if UPSTREAM == "h1" else 0
    for reason, count in {"closed": 3 - reset, "reset": reset, "send_failed": 0, "refused": 0}.items():
        assert told.get("weir_pool_retries_total", upstream="origin", endpoint=origin.address, reason=reason) == count


# --- what is known before the request is sent -------------------------------------------------------------------------


@ends
@pytest.mark.parametrize("request_bytes", [get("/second"), post("content", "/second")], ids=["get", "post"])
def test_end_that_comes_with_the_request(gateway, origin, request_bytes, end):
    """Both are told in one go, the request first: the connection is not used, whatever the method."""
    client, wire = keep(gateway, origin)
    gateway.freeze()
    client.send(request_bytes)
    gateway.settle()
    wire.end_by(END[end])
    gateway.signal(signal.SIGCONT)
    _, request = origin.answer(response("new"))
    assert request.target == "/second"
    assert client.read_response().body == b"new"
    record = last(gateway)
    # A stream has a place on a session before the session has anything to send for it.
    assert record["retries"] <= (0 if UPSTREAM == "h1" else 1)
    assert (record["reused"], record["cause"]) == (False, None)


def test_answer_that_comes_with_the_request(gateway, origin):
    """It is no answer to that request."""
    client, wire = keep(gateway, origin)
    gateway.freeze()
    client.send(get("/second"))
    gateway.settle()
    wire.send(response("odd"))
    gateway.signal(signal.SIGCONT)
    origin.answer(response("new"))
    assert client.read_response().body == b"new"
    assert wire.expect_gone() == b""


def test_resting_connection_that_ends(gateway, origin):
    client, wire = keep(gateway, origin)
    files = gateway.open_files()
    wire.close()
    eventually(lambda: gateway.open_files() == files - 1)
    client.send(post("content"))
    origin.answer(response())
    assert client.read_response().status == 200
    assert last(gateway)["retries"] == 0


# --- when the upstream closes what rests ------------------------------------------------------------------------------


def closes_before_announced(gateway, origin):
    """Whether a connection of which it was said that it rests for a second at most is closed by then."""
    client = gateway.connect().send(get())
    wire, _ = origin.answer(response(fields=["Keep-Alive: timeout=1, max=100"]))
    assert client.read_response().get("Keep-Alive") is None
    began = time.monotonic()
    wire.expect_end()
    return time.monotonic() - began < 1.0


def test_announced(start, origin):
    """Keep-Alive: timeout=1 means that the gateway closes first. A machine that does something else may make it late,
    and never early: so once is enough, and twenty times too late is no chance any more."""
    gateway = start(configuration(origin))
    assert any(closes_before_announced(gateway, origin) for _ in range(20))


class ClosesAfter:
    """Closes what has rested for a second. Who closes before that, with some time to spare, is `in_time`."""

    def __init__(self):
        self.closed = self.in_time = self.late = 0

    def __call__(self, wire, origin):
        wire.sock.settimeout(None)
        while wire.more():
            wire.read_request()
            wire.send(response())
            began = time.monotonic()
            if not select.select([wire.sock], [], [], 1.0)[0]:
                self.closed += 1
                return
        if time.monotonic() - began < 0.9:
            self.in_time += 1
        else:
            self.late += 1

    def ended(self):
        return self.closed + self.in_time + self.late


def test_idle_close_is_learned(start, origin):
    """A second of rest is too much for this origin, which says nothing of it. Once that is known the gateway is the
    first to close, so that nobody is given a connection that is about to end."""
    shape = ClosesAfter()
    gateway = start(configuration(origin.serve(shape)))
    files = gateway.open_files() + 1
    client = gateway.connect()

    def use_and_rest(n):
        """Until one of the two has closed the connection, and the gateway knows."""
        assert client.ask(post("content")).status == 200
        eventually(lambda: gateway.open_files() == files)
        eventually(lambda: shape.ended() == n)

    for n in range(1, 4):
        use_and_rest(n)
    assert shape.closed == 3
    # On a busy machine the gateway may be late, so it has more tries than it needs.
    for n in range(4, 24):
        use_and_rest(n)
        if shape.in_time == 3:
            break
    assert shape.in_time == 3
    assert {record["retries"] for record in gateway.records(6)} == {0}


class ClosesAfterRequests:
    """Closes behind every fifth answer, without a word."""

    def __init__(self):
        self.connections = 0

    def __call__(self, wire, origin):
        wire.sock.settimeout(None)
        self.connections += 1
        for _ in range(5):
            if not wire.more():
                return
            wire.read_request()
            wire.send(response())


def test_closes_behind_answers_teach_nothing(start, origin):
    """It is no rest that is too long for this origin: its connections are used until it closes them."""
    shape = ClosesAfterRequests()
    client = start(configuration(origin.serve(shape))).connect()
    for _ in range(60):
        assert client.ask(get()).status == 200
        time.sleep(0.03)
    assert shape.connections <= 60 / 5 + 3


class LosesTheFirst:
    """Closes its first connection when the first request comes on it, as one that has waited too long for it would."""

    def __init__(self):
        self.connections = 0

    def __call__(self, wire, origin):
        wire.sock.settimeout(None)
        self.connections += 1
        lost = self.connections == 1
        while wire.more() and not lost:
            wire.read_request()
            wire.send(response())


def test_opened_ahead(start, origin):
    """A connection that was kept ready has served nobody, and may be stale all the same."""
    shape = LosesTheFirst()
    gateway = start(configuration(origin.serve(shape), upstream={"pool": {"min_idle": 1}}))
    eventually(lambda: shape.connections >= 1)
    # Once this is answered the gateway has heard of the connection, too.
    assert gateway.connect().send(b"GET / HTTP/1.1\r\n\r\n").read_response().status == 400
    assert gateway.connect().ask(get()).status == 200
    record = gateway.records(2)[1]
    assert (record["retries"], record["reused"]) == (1, False)
