"""Several requests in one go are answered one after the other, in their order."""

from gateway import configuration
from raw import chunk, get, post, response


def test_answers_come_in_order(gateway, origin):
    origin.serve(lambda wire, o: echo_target(wire))
    client = gateway.connect().send(b"".join(get(f"/{i}") for i in range(20)))
    assert [client.read_response().body for _ in range(20)] == [b"/%d" % i for i in range(20)]
    assert len(gateway.records(20)) == 20


def echo_target(wire):
    while wire.unread or wire.more():
        wire.send(response(wire.read_request().target))


def test_second_request_waits_for_the_first_answer(gateway, origin):
    """One exchange at a time: the upstream sees the second request when the first one is over."""
    client = gateway.connect().send(get("/1") + get("/2"))
    wire = origin.accept()
    assert wire.read_request().target == "/1"
    wire.expect_silence()
    assert origin.is_untouched()
    wire.send(response("one"))
    assert wire.read_request().target == "/2"
    wire.send(response("two"))
    assert client.read_response().body == b"one"
    assert client.read_response().body == b"two"


def test_requests_with_content(gateway, origin):
    origin.serve(lambda wire, o: echo_content(wire))
    chunked = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("two") + b"0\r\n\r\n"
    client = gateway.connect().send(post("one") + chunked + get("/") + post("four"))
    assert [client.read_response().body for _ in range(4)] == [b"one", b"two", b"", b"four"]


def echo_content(wire):
    while wire.unread or wire.more():
        wire.send(response(wire.read_request().body))


def test_cut_anywhere(gateway, origin):
    origin.serve(lambda wire, o: echo_content(wire))
    requests = post("first") + post("second")
    for cut in range(1, len(requests), 13):
        client = gateway.connect().send_apart([requests[:cut], requests[cut:]])
        assert [client.read_response().body for _ in range(2)] == [b"first", b"second"]
        client.close()


def test_malformed_second_request_comes_after_the_first_answer(gateway, origin):
    client = gateway.connect().send(get("/1") + b"GET /2 HTTP/1.1\r\nBad : x\r\n\r\n" + get("/3"))
    wire, _ = origin.answer(response("one"))
    assert client.read_response().body == b"one"
    assert client.read_response().status == 400
    client.half_close()
    client.expect_end()
    wire.expect_silence()
    assert [record["status"] for record in gateway.records(2)] == [200, 400]


def test_nothing_is_read_after_connection_close(gateway, origin):
    client = gateway.connect().send(get("/1", fields=["Connection: close"]) + get("/2"))
    wire, _ = origin.answer(response("one"))
    assert client.read_response().body == b"one"
    client.half_close()
    client.expect_end()
    wire.expect_silence()
    assert len(gateway.records(1)) == 1


def test_answers_of_the_gateway_itself_are_in_order_too(start, origin):
    route = [
        {"name": "own", "match": {"path": "/own"}, "respond": {"body": "own"}},
        {"name": "all", "match": {"path": "/up/*"}, "upstream": "origin"},
    ]
    gateway = start(configuration(origin, route=route))
    origin.serve()
    client = gateway.connect().send(get("/own") + get("/up/1") + get("/none") + get("/own") + get("/up/2"))
    answers = [client.read_response() for _ in range(5)]
    assert [(a.status, a.body[:3]) for a in answers] == \
        [(200, b"own"), (200, b"ok"), (404, b'{"e'), (200, b"own"), (200, b"ok")]


def test_many_pipelined_requests_whose_answers_are_not_read(gateway, origin):
    """The answers fill the connection; the rest of the requests has to wait, not to pile up."""
    origin.serve(lambda wire, o: flood(wire))
    client = gateway.connect(receive_buffer=4096)
    client.send(get() * 500)
    for _ in range(500):
        assert len(client.read_response().body) == 20_000


def flood(wire):
    while wire.unread or wire.more():
        wire.read_request()
        wire.send(response(b"x" * 20_000))


def test_empty_line_in_one_piece_with_a_request(start, origin):
    """Some clients send one behind the content (RFC 9112 §2.2): the connection is idle, no request has begun."""
    gateway = start(configuration(origin.serve(), listener={"timeouts": {"header": "150ms", "keep_alive": "10s"}}))
    client = gateway.connect()
    assert client.ask(post("x") + b"\r\n", "POST").status == 200
    client.expect_silence(0.3)
    assert client.ask(get()).status == 200
    assert len(gateway.records(2)) == 2
