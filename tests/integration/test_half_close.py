"""Clients that end their direction and still want the answer; clients that are gone."""

from gateway import configuration, eventually
from origin import full_backlog
from raw import get, post, response


def test_answer_after_half_close(gateway, origin):
    client = gateway.connect().send(get()).half_close()
    wire = origin.accept()
    wire.read_request()
    wire.send(response("still"))
    assert client.read_response().body == b"still"
    client.expect_end()
    assert gateway.record()["cause"] is None


def test_half_close_with_content(gateway, origin):
    client = gateway.connect().send(post("hello")).half_close()
    _, request = origin.answer(response("got " * 1000))
    assert request.body == b"hello"
    assert client.read_response().body == b"got " * 1000


def test_half_close_after_pipelined_requests(gateway, origin):
    client = gateway.connect().send(get("/1") + get("/2")).half_close()
    wire, _ = origin.answer(response("one"))
    assert wire.read_request().target == "/2"
    wire.send(response("two"))
    assert client.read_response().body == b"one"
    assert client.read_response().body == b"two"
    client.expect_end()


def test_half_close_while_the_answer_runs(gateway, origin):
    client = gateway.connect().send(get())
    wire = origin.accept()
    wire.read_request()
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
    client.read_head()
    assert client.take(5) == b"first"
    client.half_close()
    wire.send("later")
    assert client.read_to_end() == b"later"
    # The client's end is no end of the upstream's connection.
    gateway.connect().send(get("/next"))
    assert wire.read_request().target == "/next"


def test_half_close_in_the_queue(start, origin):
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 1}}))
    first = gateway.connect().send(get("/1"))
    wire = origin.accept()
    wire.read_request()
    second = gateway.connect().send(get("/2"))
    second.wait_taken()
    second.half_close()
    wire.send(response("one"))
    assert wire.read_request().target == "/2"
    wire.send(response("two"))
    assert [first.read_response().body, second.read_response().body] == [b"one", b"two"]


def test_client_resets_while_the_connection_opens(start, make_origin):
    """The orphaned connection becomes idle or is closed; the next client is served by it or by another."""
    origin, fillers = full_backlog(make_origin)
    gateway = start(configuration(origin, upstream={"timeouts": {"connect": "5s"}, "pool": {"max_connections": 1,
        "acquire_timeout": "5s"}}))
    client = gateway.connect().send(get("/leaves"))
    client.wait_taken()
    client.reset()
    assert gateway.record()["cause"] == "client_gone"
    for sock in fillers:
        sock.close()
    origin.serve()
    assert gateway.connect().ask(get("/stays")).status == 200


def test_half_close_in_the_middle_of_content(gateway, origin):
    client = gateway.connect().send(post("hello world")[:-6]).half_close()
    wire = origin.accept()
    wire.read_head()
    assert wire.expect_gone() == b"hello"
    client.expect_gone()
    record = gateway.record()
    assert (record["status"], record["cause"]) == (499, "client_gone")


def test_half_close_in_the_middle_of_a_chunk(gateway, origin):
    client = gateway.connect().send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
    client.half_close()
    wire = origin.accept()
    wire.read_head()
    assert not wire.expect_gone().endswith(b"0\r\n\r\n")
    assert gateway.record()["cause"] == "client_gone"


def test_half_close_in_the_middle_of_a_head(gateway, origin):
    client = gateway.connect().send("GET / HTTP/1.1\r\nHo").half_close()
    client.expect_gone()
    assert origin.is_untouched()


def test_half_close_without_a_request(gateway):
    gateway.connect().half_close().expect_end()


def test_client_resets_while_it_waits(gateway, origin):
    """Nobody wants the answer any more: the upstream is let go at once, and nothing leaks."""
    client = gateway.connect().send(get())
    wire = origin.accept()
    wire.read_request()
    client.reset()
    wire.expect_gone()
    record = gateway.record()
    assert (record["status"], record["cause"]) == (499, "client_gone")


def test_client_resets_while_the_answer_runs(gateway, origin):
    client = gateway.connect().send(get())
    wire = origin.accept()
    wire.read_request()
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
