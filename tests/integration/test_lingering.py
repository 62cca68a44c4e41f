"""How a connection ends while there is still something to read: no answer is destroyed, nobody stays for ever.

Closing a socket with unread input resets the connection, and a reset throws away what the other side has not fetched
yet (RFC 9112 §9.6).
"""

import contextlib
import json
import select
import signal
import time

from gateway import configuration, eventually
from raw import get, post, response
from timing import due

LARGE = b"a" * 100_000

UNFINISHED = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"

OWN = {"respond": {"body": "own"}}


def with_full_listener(start, origin, connections=1):
    """A gateway whose clients are all there already."""
    gateway = start(configuration(origin.serve(), listener={"limits": {"connections": connections}}))
    keepers = [gateway.connect() for _ in range(connections)]
    for keeper in keepers:
        assert keeper.ask(get()).status == 200
    return gateway, keepers


def assert_limited(client):
    answer = client.read_response()
    assert (answer.status, json.loads(answer.body)["error"]) == (503, "client_connections_limited")


# --- beyond the limit ------------------------------------------------------------------------------------------------


def test_refusal_reaches_clients_that_send_at_once(start, origin):
    """Their requests may be there before anybody has looked."""
    gateway, _ = with_full_listener(start, origin)
    for request in (get(), post(LARGE)):
        for _ in range(60):
            client = gateway.connect().send(request)
            assert_limited(client)
            client.half_close().expect_end()
            client.close()


def test_refused_clients_that_stay_take_no_place(start, origin):
    gateway, keepers = with_full_listener(start, origin, connections=3)
    refused = [gateway.connect() for _ in range(20)]
    for client in refused:
        assert_limited(client)
    keepers.pop().close()

    def is_served():
        with contextlib.suppress(OSError):
            return gateway.connect().ask(get()).status == 200
        return False

    eventually(is_served)


def test_refused_clients_that_stay_are_closed(start, origin):
    """They hold memory that is meant for telling others."""
    gateway, _ = with_full_listener(start, origin)
    before = gateway.open_files()
    with due(0.25):
        client = gateway.connect()
        assert_limited(client)
        eventually(lambda: gateway.open_files() <= before)


# --- content that nobody wants any more ------------------------------------------------------------------------------


def trickle(client, seconds, until=lambda: False):
    """Single bytes, for so long or until the gateway ends its side."""
    end = time.monotonic() + seconds
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < end and not until():
            client.send("x")
            time.sleep(0.02)


def test_content_of_an_answered_request_has_one_deadline(start):
    """Not one for each piece: with single bytes a client could stay for weeks."""
    gateway = start(configuration(route=OWN, listener={"timeouts": {"body_idle": "300ms"}}))
    with due(0.3):
        client = gateway.connect().send(UNFINISHED)
        assert client.read_response().body == b"own"
        trickle(client, 4, until=lambda: select.select([client.sock], [], [], 0)[0])
    assert client.expect_gone() == b""


def test_refusal_reaches_a_client_that_goes_on_sending(start, origin):
    """It reads the answer when all is sent, and that takes longer than a silent client is waited for."""
    gateway = start(configuration(origin, listener={"limits": {"body_bytes": "1KiB"}}))
    client = gateway.connect().send(UNFINISHED)
    trickle(client, 2.6)
    answer = client.read_response()
    assert (answer.status, json.loads(answer.body)["error"]) == (413, "body_too_large")
    client.half_close().expect_end()


# --- who has said that nothing follows -------------------------------------------------------------------------------


def test_answer_is_not_destroyed_by_what_nobody_has_been_told_of(gateway, origin):
    """Its request says close, and all the same there is more behind it, which comes together with the answer."""
    client = gateway.connect().send(get(fields=["Connection: close"]))
    wire = origin.accept()
    wire.read_head()
    gateway.freeze()
    wire.send(response(b"answer"))
    client.send(get("/never"))
    gateway.signal(signal.SIGCONT)
    answer = client.read_response()
    assert (answer.get("Connection"), answer.body) == ("close", b"answer")
    client.half_close().expect_end()


# --- what the kernel still holds -------------------------------------------------------------------------------------


def test_answer_is_not_destroyed_by_the_next_request(gateway, origin):
    """Draining makes this answer the last one. The client does not know yet, and has sent its next request."""
    client = gateway.connect(receive_buffer=4096).send(get()[:-2])
    client.wait_taken()
    gateway.signal(signal.SIGTERM)
    # The event comes first, and then the workers hear of it.
    gateway.event("draining")
    eventually(gateway.refuses_connections)
    client.send("\r\n")
    origin.answer(response(LARGE))
    assert gateway.record()["status"] == 200
    client.send(get("/next"))
    client.wait_taken()
    answer = client.read_response()
    assert (answer.get("Connection"), answer.body) == ("close", LARGE)
    client.half_close().expect_end()


def test_answer_is_not_destroyed_by_content_that_is_still_sent(gateway, origin):
    """Too much of it is left for the connection to be kept."""
    client = gateway.connect(receive_buffer=4096).send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\nx")
    wire = origin.accept()
    wire.read_head()
    wire.send(response(LARGE))
    assert gateway.record()["status"] == 200
    client.send("x" * 50_000)
    client.wait_taken()
    answer = client.read_response()
    assert (answer.get("Connection"), answer.body) == ("close", LARGE)
