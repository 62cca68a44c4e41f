"""Clients that end their direction: gone by default, served with `half_close: serve`; and clients that are gone anyway."""

import signal
import socket

import pytest

from books import Books
from gateway import configuration, eventually, free_port, merged
from origin import full_backlog
from raw import TIMEOUT, ends_with_last_chunk, get, post, response
from tunnels import asked_tunnel, open_tunnel


def half_closing(origin, mode, **options):
    return configuration(origin, listener={"half_close": mode},
        **{"admin": {"address": f"127.0.0.1:{free_port()}"}, **options})


@pytest.fixture(params=["abort", "serve"])
def either(request, start, origin):
    """A gateway of each kind, for what is the same in both."""
    return start(half_closing(origin, request.param))


@pytest.fixture
def serving(start, origin):
    return start(half_closing(origin, "serve"))


def waiters(gateway):
    return Books(gateway).total("weir_pool_waiters")


def queued(gateway, request):
    """A client whose request waits for a connection."""
    before = waiters(gateway)
    client = gateway.connect().send(request)
    eventually(lambda: waiters(gateway) == before + 1)
    return client


def must_be_gone(record, status=499):
    assert (record["status"], record["cause"]) == (status, "client_gone")


# --- half_close: serve -----------------------------------------------------------------------------------------------


def test_answer_after_half_close(serving, origin):
    client = serving.connect().send(get()).half_close()
    wire = origin.accept()
    wire.read_request()
    wire.send(response("still"))
    assert client.read_response().body == b"still"
    client.expect_end()
    assert serving.record()["cause"] is None


def test_half_close_with_content(serving, origin):
    client = serving.connect().send(post("hello")).half_close()
    _, request = origin.answer(response("got " * 1000))
    assert request.body == b"hello"
    assert client.read_response().body == b"got " * 1000


def test_half_close_after_pipelined_requests(serving, origin):
    client = serving.connect().send(get("/1") + get("/2")).half_close()
    wire, _ = origin.answer(response("one"))
    assert wire.read_request().target == "/2"
    wire.send(response("two"))
    assert client.read_response().body == b"one"
    assert client.read_response().body == b"two"
    client.expect_end()


def test_half_close_while_the_answer_runs(serving, origin):
    client, wire, _ = origin.asked(serving)
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
    client.read_head()
    assert client.take(5) == b"first"
    client.half_close()
    wire.send("later")
    assert client.read_to_end() == b"later"
    # The client's end is no end of the upstream's connection.
    serving.connect().send(get("/next"))
    assert wire.read_request().target == "/next"


def test_half_close_in_the_queue(start, origin):
    gateway = start(half_closing(origin, "serve", upstream={"pool": {"max_connections": 1}}))
    first, wire, _ = origin.asked(gateway, get("/1"))
    second = queued(gateway, get("/2"))
    second.half_close()
    wire.send(response("one"))
    assert wire.read_request().target == "/2"
    wire.send(response("two"))
    assert [first.read_response().body, second.read_response().body] == [b"one", b"two"]


# --- half_close: abort -----------------------------------------------------------------------------------------------


def test_who_leaves_the_queue_by_an_orderly_close(start, origin):
    """As every client does that loses its patience: nobody is served for it."""
    gateway = start(half_closing(origin, "abort", upstream={"pool": {"max_connections": 1, "acquire_timeout": "60s"},
        "timeouts": {"first_byte": "60s"}}))
    first, wire, _ = origin.asked(gateway, get("/1"))
    leavers = [queued(gateway, request) for request in (get("/leaves"), post("content", "/leaves"), get("/leaves"))]
    leavers[0].half_close()
    leavers[1].half_close()
    leavers[2].close()
    eventually(lambda: waiters(gateway) == 0)
    for record in gateway.records(3):
        must_be_gone(record)
    leavers[0].expect_end()
    stays = queued(gateway, get("/stays"))
    wire.send(response("one"))
    assert wire.read_request().target == "/stays"
    wire.send(response("two"))
    assert [first.read_response().body, stays.read_response().body] == [b"one", b"two"]
    assert origin.is_untouched()


def test_half_close_while_the_first_byte_is_waited_for(start, origin):
    """Its connection is closed at once, and the next one has the place."""
    gateway = start(half_closing(origin, "abort", upstream={"pool": {"max_connections": 1, "acquire_timeout": "60s"},
        "timeouts": {"first_byte": "60s"}}))
    client, wire, _ = origin.asked(gateway)
    behind = queued(gateway, get("/behind"))
    client.half_close()
    wire.expect_gone()
    client.expect_end()
    _, request = origin.answer(response("free"))
    assert request.target == "/behind"
    assert behind.read_response().body == b"free"
    must_be_gone(gateway.records(2)[0])


def test_half_close_while_the_answer_runs_is_an_abort(gateway, origin):
    client, wire, _ = origin.asked(gateway)
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
    client.read_head()
    client.half_close()
    wire.expect_gone()
    # What was cut short does not look complete.
    assert client.expect_abort() in (b"", b"first")
    must_be_gone(gateway.record(), 200)


def test_half_close_while_the_answer_is_not_read(gateway, origin):
    client = gateway.connect(receive_buffer=4096).send(get())
    wire = origin.accept()
    wire.read_request()
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 1_000_000)
    client.more()
    client.half_close()
    wire.expect_gone()
    must_be_gone(gateway.record(), 200)


@pytest.mark.parametrize("request_", [get(), post("hello"), post("hello")[:-2], post("x" * 50_000)],
    ids=["GET", "content", "cut", "much"])
def test_end_in_one_go_with_the_request(gateway, origin, request_):
    """Whoever has left before a connection was asked for gets none."""
    client = gateway.connect()
    gateway.freeze()
    client.send(request_).half_close()
    gateway.signal(signal.SIGCONT)
    must_be_gone(gateway.record())
    assert origin.is_untouched()


def test_half_close_behind_content(gateway, origin):
    """All of the content has arrived; the answer has not."""
    client = gateway.connect().send(post("hello"))
    wire = origin.accept()
    assert wire.read_request().body == b"hello"
    client.half_close()
    wire.expect_gone()
    must_be_gone(gateway.record())


def test_half_close_with_content_that_the_upstream_does_not_take(gateway, origin):
    """What stands before the end cannot be read, and need not be."""
    client = gateway.connect().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
    wire = origin.accept()
    wire.read_head()
    client.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        while True:
            client.sock.send(b"x" * 65536)
    client.sock.settimeout(TIMEOUT)
    client.half_close()
    # Its end stands behind what it has sent: it is seen when the kernel has room for all of that.
    wire.expect_gone()
    must_be_gone(gateway.record())


def test_pipelined_requests_are_not_begun(gateway, origin):
    client = gateway.connect().send(get("/1") + get("/2"))
    wire = origin.accept()
    assert wire.read_request().target == "/1"
    client.half_close()
    wire.expect_gone()
    client.expect_end()
    must_be_gone(gateway.record())
    assert origin.is_untouched()


def test_answers_of_routes_are_given(start, origin):
    """They cost nothing, and simple probes end their direction. What was answered before is not destroyed."""
    gateway = start(half_closing(origin, "abort", route=[
        {"name": "own", "match": {"path": "/own"}, "respond": {"body": "own"}},
        {"name": "all", "match": {"path": "/up"}, "upstream": "origin"}]))
    client = gateway.connect()
    gateway.freeze()
    client.send(get("/own") + get("/none") + get("/own") + get("/up") + get("/own")).half_close()
    gateway.signal(signal.SIGCONT)
    answers = [client.read_response() for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 404, 200]
    client.expect_end()
    assert [record["status"] for record in gateway.records(4)] == [200, 404, 200, 499]
    assert origin.is_untouched()


def test_refusals_are_given(gateway, origin):
    client = gateway.connect().send("BAD\r\n\r\n").half_close()
    assert client.read_response().status == 400
    client.expect_end()


PIECE = 16_000


def answer_slowly(gateway, origin, length):
    """An answer in pieces for a client that does not read. Returns client and how many of its pieces were taken."""
    client = gateway.connect(receive_buffer=4096).send(get())
    wire = origin.accept()
    wire.read_request()
    wire.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % length)
    for taken in range(length // PIECE):
        wire.send(b"x" * PIECE)
        try:
            wire.wait_taken(0.3)
        except AssertionError:
            return client, taken
    return client, length // PIECE


def test_answer_that_is_complete_is_sent_to_its_end(start, origin):
    """The upstream has done its part and only the client has still to read: whether it ends is no matter then."""
    gateway = start(half_closing(origin, "abort"))
    client, taken = answer_slowly(gateway, origin, 10_000 * PIECE)
    client.reset()
    for pieces in (taken, taken - 1, taken - 2, taken + 1, taken - 3):
        client, _ = answer_slowly(gateway, origin, pieces * PIECE)
        books = Books(gateway)
        # Nothing is leased, and the answer is not out yet.
        if books.states()["leased"] == 0 and \
                books.total("weir_exchanges_started_total") > books.total("weir_exchanges_finished_total"):
            break
        client.reset()
        eventually(lambda: Books(gateway).is_quiet())
    else:
        pytest.skip("this kernel's buffers are never the same twice")
    client.half_close()
    assert client.read_response().body == b"x" * pieces * PIECE


def test_tunnel_is_left_alone(gateway, origin):
    client, wire = open_tunnel(gateway, origin)
    client.send("last").half_close()
    assert wire.read_to_end() == b"last"
    wire.send("words").close()
    assert client.read_to_end() == b"words"
    assert gateway.record()["cause"] is None


def test_half_close_before_the_101(gateway, origin):
    client, wire, _ = asked_tunnel(gateway, origin)
    client.half_close()
    wire.expect_gone()
    must_be_gone(gateway.record())


def test_reload_changes_it(start, origin):
    """Also what an end means that came before."""
    gateway = start(half_closing(origin, "serve", upstream={"pool": {"max_connections": 1, "acquire_timeout": "60s"},
        "timeouts": {"first_byte": "60s"}}))
    first, wire, _ = origin.asked(gateway, get("/1"))
    first.half_close()
    second = queued(gateway, get("/2"))
    second.half_close()
    listener = gateway.config["listeners"][0]
    # Of two that have ended nobody leaves while they are served.
    assert waiters(gateway) == 1
    gateway.reload(gateway.config | {"listeners": [merged(listener, {"half_close": "abort"})]})
    wire.expect_gone()
    for record in gateway.records(2):
        must_be_gone(record)
    assert waiters(gateway) == 0
    gateway.reload(gateway.config | {"listeners": [merged(listener, {"half_close": "serve"})]})
    third = gateway.connect().send(get("/3")).half_close()
    _, request = origin.answer(response("again"))
    assert request.target == "/3"
    assert third.read_response().body == b"again"


def test_who_leaves_while_its_request_is_sent_again(start, make_origin):
    """The reused connection is dead, the second one does not come about: the client's end is seen there, too."""
    origin = make_origin(backlog=0)
    gateway = start(half_closing(origin, "abort", upstream={"timeouts": {"connect": "60s"},
        "pool": {"acquire_timeout": "60s"}}))
    client = gateway.connect().send(get("/1"))
    wire, _ = origin.answer(response("one"))
    client.read_response()
    client.send(get("/2"))
    assert wire.read_request().target == "/2"
    fillers = [socket.socket() for _ in range(4)]
    for sock in fillers:
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", origin.port))
    wire.close()
    eventually(lambda: Books(gateway).total("weir_pool_retries_total") == 1)
    client.half_close()
    client.expect_end()
    must_be_gone(gateway.records(2)[1])
    assert waiters(gateway) == 0
    for sock in fillers:
        sock.close()


# --- the same in both ------------------------------------------------------------------------------------------------


def test_client_resets_while_the_connection_opens(start, make_origin):
    """The orphaned connection becomes idle or is closed; the next client is served by it or by another."""
    origin, fillers = full_backlog(make_origin)
    gateway = start(configuration(origin, upstream={"timeouts": {"connect": "5s"}, "pool": {"max_connections": 1}}))
    client = gateway.connect().send(get("/leaves"))
    client.wait_taken()
    client.reset()
    assert gateway.record()["cause"] == "client_gone"
    for sock in fillers:
        sock.close()
    origin.serve()
    assert gateway.connect().ask(get("/stays")).status == 200


def test_half_close_in_the_middle_of_content(either, origin):
    client = either.connect().send(post("hello world")[:-6])
    wire = origin.accept()
    wire.read_head()
    client.half_close()
    assert wire.expect_gone() == b"hello"
    client.expect_gone()
    must_be_gone(either.record())


def test_half_close_in_the_middle_of_a_chunk(either, origin):
    client = either.connect().send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
    wire = origin.accept()
    wire.read_head()
    client.half_close()
    assert not ends_with_last_chunk(wire.expect_gone())
    assert either.record()["cause"] == "client_gone"


def test_half_close_in_the_middle_of_a_head(either, origin):
    client = either.connect().send("GET / HTTP/1.1\r\nHo").half_close()
    client.expect_gone()
    assert origin.is_untouched()


def test_half_close_without_a_request(either):
    either.connect().half_close().expect_end()


def test_client_resets_while_it_waits(gateway, origin):
    """Nobody wants the answer any more: the upstream is let go at once, and nothing leaks."""
    client, wire, _ = origin.asked(gateway)
    client.reset()
    wire.expect_gone()
    record = gateway.record()
    assert (record["status"], record["cause"]) == (499, "client_gone")


def test_client_resets_while_the_answer_runs(gateway, origin):
    client, wire, _ = origin.asked(gateway)
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nfirst")
    client.read_head()
    client.reset()
    wire.expect_gone()
    record = gateway.record()
    assert (record["status"], record["cause"]) == (200, "client_gone")


def test_client_resets_while_it_sends(gateway, origin):
    client = gateway.connect().send(post("x" * 100)[:-50])
    wire = origin.accept()
    wire.read_head()
    wire.take(50)
    client.reset()
    wire.expect_gone()
    assert gateway.record()["cause"] == "client_gone"


def test_connections_are_given_back_to_the_system(gateway, origin):
    """After all these ways to go there are as many open files as before."""
    origin.serve()
    before = gateway.open_files()
    for i in range(30):
        client = gateway.connect().send(get() if i % 3 else b"GET / HT")
        if i % 3 == 1:
            client.read_response()
        client.reset() if i % 2 else client.close()
    # At most the idle connections to the upstream stay.
    origin.close()
    eventually(lambda: gateway.open_files() <= before)
