"""The upstream answers while the request's content is still arriving."""

import signal

from gateway import configuration, eventually
from raw import TIMEOUT, chunk, ends_with_last_chunk, get, post, response


def begin(gateway, origin, length=100_000, sent=1000):
    client = gateway.connect()
    client.send(f"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode() + b"x" * sent)
    wire = origin.accept()
    wire.read_head()
    wire.take(sent)
    return client, wire


def test_answer_reaches_the_client_at_once(gateway, origin):
    client, wire = begin(gateway, origin)
    wire.send(response("too much", status="413 Content Too Large"))
    answer = client.read_response()
    assert (answer.status, answer.body) == (413, b"too much")


def test_upstream_connection_is_not_reused(gateway, origin):
    client, wire = begin(gateway, origin)
    wire.send(response("early"))
    assert client.read_response().body == b"early"
    wire.expect_gone()
    gateway.connect().send(get("/next"))
    assert origin.accept().read_request().target == "/next"


def test_client_connection_goes_on_when_little_is_left(gateway, origin):
    """The rest of the content is read and thrown away, not taken for the next request."""
    client, wire = begin(gateway, origin)
    wire.send(response("early"))
    answer = client.read_response()
    assert answer.get("Connection") is None
    client.send(b"x" * 99_000 + get("/next"))
    other = origin.accept()
    assert other.read_request().target == "/next"
    other.send(response("next"))
    assert client.read_response().body == b"next"


def answered_early(gateway, origin):
    """A client that has had its answer in the midst of its chunked content."""
    client = gateway.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("some"))
    wire = origin.accept()
    wire.read_head()
    wire.read_chunk()
    wire.send(response("early"))
    assert client.read_response().body == b"early"
    return client


def test_rest_of_chunked_content_is_thrown_away(gateway, origin):
    client = answered_early(gateway, origin)
    client.send(chunk("more") + b"0\r\nT: x\r\n\r\n" + get("/next"))
    assert origin.accept().read_request().target == "/next"


def test_malformed_rest_is_not_taken_for_a_request(gateway, origin):
    client = answered_early(gateway, origin)
    client.send(b"zz\r\n\r\n" + get("/smuggled"))
    client.half_close()
    client.expect_gone()
    assert origin.is_untouched()


def test_client_connection_is_closed_when_much_is_left(gateway, origin):
    client, wire = begin(gateway, origin, length=100_000_000)
    wire.send(response("early"))
    answer = client.read_response()
    assert answer.get("Connection") == "close"
    assert answer.body == b"early"
    client.half_close()
    client.expect_end()


def test_both_directions_at_once(gateway, origin):
    """The upstream's answer goes on while the request does; both come to their end, and both connections live on."""
    client, wire = begin(gateway, origin, length=10, sent=5)
    wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("first"))
    assert client.read_head().status == 200
    assert client.read_chunk() == b"first"
    client.send("later")
    assert wire.take(5) == b"later"
    wire.send(chunk("second") + b"0\r\n\r\n")
    assert client.read_chunk() == b"second"
    assert client.read_chunk() == b""
    client.read_trailers()
    client.send(get("/next"))
    assert wire.read_request().target == "/next"


def test_upstream_that_answers_and_closes(gateway, origin):
    """It does not read the rest. Its answer counts, not the failed sending."""
    client, wire = begin(gateway, origin, length=200_000)
    wire.send(response("go away", status="403 Forbidden", fields=["Connection: close"]))
    wire.close()
    assert client.read_response().body == b"go away"
    record = gateway.record()
    assert (record["status"], record["cause"]) == (403, None)


def test_upstream_that_answers_and_closes_while_much_is_under_way(gateway, origin):
    """The upstream takes nothing any more, and the gateway is blocked towards it when the answer comes."""
    client = gateway.connect()
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n")
    wire = origin.accept()
    wire.read_head()
    client.sock.setblocking(False)
    blocked = 0

    def fill():
        nonlocal blocked
        try:
            client.sock.send(b"x" * 65536)
            blocked = 0
        except BlockingIOError:
            blocked += 1
        return blocked > 20

    eventually(fill)
    client.sock.settimeout(TIMEOUT)
    wire.send(response("enough", status="413 Content Too Large", fields=["Connection: close"]))
    answer = client.read_response()
    assert (answer.status, answer.body) == (413, b"enough")


def test_own_early_answer_for_content_of_an_unrouted_request(start):
    gateway = start(configuration(route={"match": {"path": "/only"}, "respond": {"body": "own"}}))
    client = gateway.connect().send(post("x" * 1000, "/none")[:-500])
    assert client.read_response().status == 404
    client.send(b"x" * 500 + get("/only"))
    assert client.read_response().body == b"own"


def test_reset_that_sending_is_told_of_is_no_end_of_the_answer(gateway, origin):
    """The kernel tells of it once: who learns of it by sending then receives what looks like an orderly end."""
    client, wire = begin(gateway, origin)
    gateway.freeze()
    client.send(b"x" * 1000)
    wire.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    wire.end_by(lambda wire: wire.reset())
    gateway.signal(signal.SIGCONT)
    assert not ends_with_last_chunk(client.expect_abort())
    assert gateway.record()["cause"] == "upstream_reset"
