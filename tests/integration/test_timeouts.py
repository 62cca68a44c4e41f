"""Each timeout with its cause, its status, and about when it is due."""

import contextlib
import time

from admin import administered
from gateway import configuration, eventually
from origin import closed_port, full_backlog
from raw import TIMEOUT, chunk, get, post, response
from timing import AMPLE, AMPLE_TEXT, SHORT, SHORT_TEXT, assert_error, due


def with_listener(start, origin, **timeouts):
    return start(configuration(origin, listener={"timeouts": timeouts}))


def with_upstream(start, origin, **timeouts):
    return start(configuration(origin, upstream={"timeouts": timeouts}))


# --- the client's side -----------------------------------------------------------------------------------------------


def test_header(start, origin):
    gateway = with_listener(start, origin, header=SHORT_TEXT)
    with due():
        client = gateway.connect().send("GET / HTTP/1.1\r\nHo")
        answer = client.read_response()
    assert_error(gateway, answer, 408, "client_timeout")
    client.half_close().expect_end()


def test_header_is_not_prolonged_by_single_bytes(start, origin):
    gateway = with_listener(start, origin, header=SHORT_TEXT)
    with due():
        client = gateway.connect().send("GET / HTTP/1.1\r\n")
        while not client.unread:
            client.send("A: b\r\n")
            client.sock.settimeout(0.02)
            with contextlib.suppress(TimeoutError):
                client.more()
        client.sock.settimeout(TIMEOUT)
        answer = client.read_response()
    assert answer.status == 408


def test_header_counts_from_its_first_byte(start, origin):
    gateway = with_listener(start, origin, header=SHORT_TEXT, keep_alive="10s")
    origin.serve()
    client = gateway.connect()
    client.expect_silence(SHORT * 1.5)
    assert client.ask(get()).status == 200
    client.expect_silence(SHORT * 1.5)
    assert client.ask(get()).status == 200


def test_empty_line_behind_a_request_begins_no_head(start, origin):
    """RFC 9112 §2.2: some clients send one behind the content. The connection is idle all the same."""
    gateway = with_listener(start, origin, header=SHORT_TEXT, keep_alive="10s")
    origin.serve()
    client = gateway.connect()
    client.ask(get())
    client.send("\r\n")
    client.expect_silence(SHORT * 2)
    assert client.ask(get()).status == 200


def test_keep_alive_before_the_first_request(start, origin):
    gateway = with_listener(start, origin, keep_alive=SHORT_TEXT)
    with due():
        client = gateway.connect()
        client.expect_end()


def test_keep_alive_between_requests(start, origin):
    gateway = with_listener(start, origin, keep_alive=AMPLE_TEXT)
    origin.serve()
    client = gateway.connect()
    with due(AMPLE):
        client.ask(get())
        client.expect_end()
    assert len(gateway.records(1)) == 1


def test_body_idle(start, origin):
    gateway = with_listener(start, origin, body_idle=AMPLE_TEXT)
    with due(AMPLE):
        client = gateway.connect().send(post("hello world")[:-6])
        wire = origin.accept()
        wire.read_head()
        answer = client.read_response()
    assert_error(gateway, answer, 408, "client_timeout")
    assert wire.expect_gone() == b"hello"
    client.half_close().expect_end()


def test_body_idle_is_prolonged_by_every_piece(start, origin):
    gateway = with_listener(start, origin, body_idle=AMPLE_TEXT)
    client = gateway.connect().send(post("x" * 8)[:-8])
    wire = origin.accept()
    wire.read_head()
    for _ in range(8):
        client.expect_silence(AMPLE * 0.14)
        client.send("x")
        assert wire.take(1) == b"x"
    wire.send(response("fine"))
    assert client.read_response().body == b"fine"


def test_body_idle_while_the_rest_is_thrown_away(start, origin):
    gateway = with_listener(start, origin, body_idle=AMPLE_TEXT)
    with due(AMPLE):
        client = gateway.connect().send(post("hello world")[:-6])
        wire = origin.accept()
        wire.read_head()
        wire.send(response("early"))
        assert client.read_response().body == b"early"
        client.expect_gone()


def test_write_idle(start, origin):
    """The client reads nothing of what is ready for it."""
    gateway = with_listener(start, origin, write_idle=SHORT_TEXT)
    origin.serve(lambda wire, _: flood(wire))
    client = gateway.connect(receive_buffer=4096).send(get())
    record = gateway.record()
    assert (record["status"], record["cause"]) == (200, "client_timeout")
    assert record["total_us"] >= SHORT * 900_000
    client.expect_abort()


def test_write_idle_with_everything_but_the_last_bytes_taken(start, origin):
    """The upstream is done and gone; only the client still owes its part."""
    gateway = with_listener(start, origin, write_idle=AMPLE_TEXT)
    client = gateway.connect(receive_buffer=4096).send(get())
    # More than the systems between the gateway and its client take, and less than those between the origin and the gateway, whatever
    # controls congestion.
    origin.answer(response(b"x" * 1_000_000))
    record = gateway.record()
    assert record["cause"] == "client_timeout"
    client.expect_abort()


def flood(wire):
    wire.read_request()
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    with contextlib.suppress(OSError):
        for _ in range(100):
            wire.send(b"x" * 1_000_000)


def test_slow_reader_is_no_idle_one(start, origin):
    """Taking something now and then is enough."""
    gateway = with_listener(start, origin, write_idle=AMPLE_TEXT)
    origin.serve(lambda wire, _: (wire.read_request(), wire.send(response(b"x" * 20_000_000))))
    client = gateway.connect(receive_buffer=65536).send(get())
    head = client.read_head()
    until = time.monotonic() + 1.4 * AMPLE
    taken = len(client.unread)
    while time.monotonic() < until:
        taken += len(client.sock.recv(65536))
        client.sock.setblocking(True)
        time.sleep(0.02)
    while taken < head.framing:
        taken += len(client.sock.recv(262144))
    assert taken == head.framing
    assert gateway.record()["cause"] is None


def read_slowly(client, size):
    """What the gateway's system has ready for a client is much more than this one takes of it in `write_idle`, four seconds here."""
    until = time.monotonic() + 7
    while time.monotonic() < until:
        size -= len(client.sock.recv(4096))
        time.sleep(0.1)
    while size > 0 and (piece := client.sock.recv(262144)):
        size -= len(piece)
    assert size == 0


def test_slow_reader_takes_what_was_sent_long_ago(start, origin):
    """By then the gateway need not have been told that there is room again."""
    gateway = with_listener(start, origin, write_idle="4s")
    origin.serve(lambda wire, _: (wire.read_request(), wire.send(response(b"x" * 3_000_000))))
    client = gateway.connect(receive_buffer=8192).send(get())
    head = client.read_head()
    read_slowly(client, head.framing - len(client.unread))
    assert gateway.record()["cause"] is None


ANSWERS = 40


def pipelined(start, write_idle):
    """A client that is given more than it takes, by exchanges that have ended."""
    gateway, admin = administered(start, listener={"timeouts": {"write_idle": write_idle}}, route={"respond": {"body": "x" * 60_000}})
    return gateway.connect(receive_buffer=8192).send(get() * ANSWERS), admin


def test_slow_reader_of_answers_that_have_ended(start):
    client, _ = pipelined(start, "4s")
    head = client.read_response()
    read_slowly(client, (ANSWERS - 1) * (len(head.head) + head.framing) - len(client.unread))


def test_nobody_reads_answers_that_have_ended(start):
    """Those that nobody asks for any more come from no exchange."""
    with due(2):
        _client, admin = pipelined(start, "2s")
        eventually(lambda: admin.metrics().get("weir_connections_accepted_total") == 1)
        eventually(lambda: admin.metrics().get("weir_connections_open") == 0)


# --- the upstream's side ---------------------------------------------------------------------------------------------


def test_first_byte(start, origin):
    gateway = with_upstream(start, origin, first_byte=AMPLE_TEXT)
    with due(AMPLE):
        client, wire, _ = origin.asked(gateway)
        answer = client.read_response()
    assert_error(gateway, answer, 504, "first_byte_timeout")
    wire.expect_gone()
    # The client has done nothing wrong.
    client.send(get("/next"))
    origin.answer(response("fine"))
    assert client.read_response().body == b"fine"


def test_first_byte_counts_from_the_end_of_the_request(start, origin):
    gateway = with_upstream(start, origin, first_byte=AMPLE_TEXT)
    client = gateway.connect().send(post("xx")[:-2])
    wire = origin.accept()
    wire.read_head()
    for _ in range(2):
        client.expect_silence(AMPLE * 0.6)
        client.send("x")
    wire.take(2)
    wire.send(response("fine"))
    assert client.read_response().status == 200


def test_first_byte_while_100_is_expected(start, origin):
    gateway = with_upstream(start, origin, first_byte=AMPLE_TEXT)
    with due(AMPLE):
        client = gateway.connect().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        origin.accept().read_head()
        answer = client.read_response()
    assert_error(gateway, answer, 504, "first_byte_timeout")
    assert answer.get("Connection") == "close"


def test_idle_in_the_middle_of_an_answer(start, origin):
    gateway = with_upstream(start, origin, idle=SHORT_TEXT)
    with due():
        client = gateway.connect().send(get())
        wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("some"))
        client.read_head()
        assert client.read_chunk() == b"some"
        client.expect_abort()
    wire.expect_gone()
    record = gateway.record()
    assert (record["status"], record["cause"]) == (200, "upstream_idle_timeout")


def test_idle_in_the_middle_of_a_response_head(start, origin):
    gateway = with_upstream(start, origin, first_byte=AMPLE_TEXT, idle=AMPLE_TEXT)
    client = gateway.connect().send(get())
    origin.answer(b"HTTP/1.1 200 OK\r\nA: ")
    answer = client.read_response()
    assert answer.status == 504
    assert gateway.record()["cause"] in ("first_byte_timeout", "upstream_idle_timeout")


def test_idle_is_prolonged_by_every_piece(start, origin):
    gateway = with_upstream(start, origin, idle=AMPLE_TEXT)
    client = gateway.connect().send(get())
    wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
    client.read_head()
    for _ in range(8):
        client.expect_silence(AMPLE * 0.14)
        wire.send("x")
        assert client.take(1) == b"x"
    assert gateway.record()["cause"] is None


def test_idle_while_the_upstream_takes_nothing(start, origin):
    gateway = with_upstream(start, origin, idle=SHORT_TEXT)
    client = gateway.connect().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
    origin.accept()
    client.sock.settimeout(0.05)
    with contextlib.suppress(ConnectionError):
        while not client.has_more():
            with contextlib.suppress(TimeoutError):
                client.sock.send(b"x" * 262144)
    client.sock.settimeout(TIMEOUT)
    record = gateway.record()
    assert (record["status"], record["cause"]) == (504, "upstream_idle_timeout")


def test_request_deadline_before_the_answer(start, origin):
    gateway = with_upstream(start, origin, request=AMPLE_TEXT)
    with due(AMPLE):
        client = gateway.connect().send(get())
        wire = origin.accept()
        answer = client.read_response()
    assert_error(gateway, answer, 504, "request_deadline")
    wire.read_request()
    wire.expect_gone()


def test_request_deadline_during_the_answer_though_bytes_flow(start, origin):
    gateway = with_upstream(start, origin, request=AMPLE_TEXT)
    with due(AMPLE), contextlib.suppress(ConnectionError):
        client = gateway.connect().send(get())
        wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.read_head()
        while True:
            wire.send(chunk("x"))
            client.read_chunk()
            time.sleep(0.01)
    record = gateway.record()
    assert (record["status"], record["cause"]) == (200, "request_deadline")


def test_request_deadline_of_0_is_none(start, origin):
    gateway = with_upstream(start, origin, request="0s", first_byte="10s")
    client, wire, _ = origin.asked(gateway)
    client.expect_silence(SHORT)
    wire.send(response("late"))
    assert client.read_response().body == b"late"


def test_connect(start, make_origin):
    origin, fillers = full_backlog(make_origin)
    gateway = with_upstream(start, origin, connect=SHORT_TEXT)
    with due():
        answer = gateway.connect().ask(get())
    assert_error(gateway, answer, 504, "connect_timeout")
    for sock in fillers:
        sock.close()


def test_refused_connection_is_told_at_once(start):
    keeper, port = closed_port()
    with keeper:
        gateway = start(configuration(f"127.0.0.1:{port}"))
        answer = gateway.connect().ask(get())
        assert_error(gateway, answer, 502, "connect_refused")
