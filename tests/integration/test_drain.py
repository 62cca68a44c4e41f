"""Draining: stop accepting, finish what runs, a deadline. (Plain signals: test_command_line.py.)"""

import contextlib
import json
import signal
import time

import pytest

from gateway import configuration, eventually
from raw import chunk, get, post, response
from tunnels import open_tunnel


# More than it takes to wait for the end of a gateway.
FOR_EVER = "60s"

# So long a client that has just connected is waited for; and in this part of it nobody else has ended that.
NEW_S = 1.0
IN_TIME_S = 0.9 * NEW_S


@pytest.fixture
def gateway(start, origin):
    """What is under way may take its time."""
    return start(configuration(origin, drain_timeout=FOR_EVER))


def drain(gateway, number=signal.SIGTERM):
    gateway.signal(number)
    gateway.event("draining")


def test_running_request_is_finished(gateway, origin):
    client, wire, _ = origin.asked(gateway)
    drain(gateway)
    eventually(gateway.refuses_connections)
    assert gateway.process.poll() is None
    wire.send(response("finished"))
    answer = client.read_response()
    assert (answer.body, answer.get("Connection")) == (b"finished", "close")
    client.expect_end()
    assert gateway.wait() == 0
    assert gateway.record()["status"] == 200


def test_answer_under_way_is_finished(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"))
    client.read_head()
    assert client.read_chunk() == b"one"
    drain(gateway)
    eventually(gateway.refuses_connections)
    wire.send(chunk("two") + b"0\r\n\r\n")
    assert client.read_chunk() == b"two"
    assert client.read_chunk() == b""
    client.read_trailers()
    assert gateway.wait() == 0


def test_upload_under_way_is_finished(gateway, origin):
    client = gateway.connect().send(post("hello world")[:-6])
    wire = origin.accept()
    wire.read_head()
    drain(gateway)
    eventually(gateway.refuses_connections)
    client.send(" world")
    assert wire.take(11) == b"hello world"
    wire.send(response("thanks"))
    assert client.read_response().body == b"thanks"
    assert gateway.wait() == 0


def test_waiting_request_gets_its_turn(start, origin):
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 1}}, drain_timeout=FOR_EVER))
    first, wire, _ = origin.asked(gateway, get("/1"))
    second = gateway.connect().send(get("/2"))
    second.wait_taken()
    drain(gateway)
    eventually(gateway.refuses_connections)
    wire.send(response("one"))
    assert wire.read_request().target == "/2"
    wire.send(response("two"))
    assert [first.read_response().body, second.read_response().body] == [b"one", b"two"]
    assert gateway.wait() == 0


def test_idle_connections_are_closed_at_once(start, origin):
    gateway = start(configuration(origin.serve(), drain_timeout=FOR_EVER))
    client = gateway.connect()
    client.ask(get())
    fresh = gateway.connect()
    fresh.wait_taken()
    drain(gateway)
    for ended in (client, fresh):
        ended.expect_gone()
        ended.close()
    assert gateway.wait() == 0
    origin.wait(lambda o: o.open == 0)


def test_deadline_ends_what_is_still_running(start, origin):
    gateway = start(configuration(origin, drain_timeout="200ms"))
    waiting = gateway.connect().send(get("/waits"))
    origin.accept().read_request()
    running = gateway.connect().send(get("/runs"))
    origin.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    running.read_head()
    began = time.monotonic()
    drain(gateway)
    answer = waiting.read_response()
    assert time.monotonic() - began >= 0.18
    assert (answer.status, json.loads(answer.body)["error"]) == (503, "draining")
    running.expect_abort()
    assert gateway.wait() == 0
    assert {(r["target"], r["status"], r["cause"]) for r in gateway.records(2)} == \
        {("/waits", 503, "draining"), ("/runs", 200, "draining")}


def test_stop_ends_everything_at_once(start, origin):
    gateway = start(configuration(origin, drain_timeout=FOR_EVER))
    client = gateway.connect().send(get())
    origin.accept().read_request()
    gateway.signal(signal.SIGINT)
    answer = client.read_response()
    assert (answer.status, json.loads(answer.body)["error"]) == (503, "draining")
    assert gateway.wait() == 0


def test_tunnel_goes_on(gateway, origin):
    client, wire = open_tunnel(gateway, origin)
    drain(gateway)
    eventually(gateway.refuses_connections)
    client.send("still works")
    assert wire.take(11) == b"still works"
    client.reset()
    assert gateway.wait() == 0


def test_tunnel_ends_at_the_deadline(start, origin):
    gateway = start(configuration(origin, drain_timeout="200ms"))
    client, _ = open_tunnel(gateway, origin)
    drain(gateway)
    client.expect_gone()
    assert gateway.wait() == 0


@pytest.mark.threads
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_two_workers_under_load(start, origin, number):
    """Every request that was begun is answered or visibly aborted; nothing crashes, nothing hangs."""
    origin.serve()
    gateway = start(configuration(origin, workers=2))
    clients = [gateway.connect() for _ in range(40)]
    for client in clients:
        client.ask(get())
    for client in clients:
        client.send(get() * 3)
    gateway.signal(number)
    for client in clients:
        client.expect_gone()
        client.close()
    assert gateway.wait() == 0


def is_served_when_it_has_just_connected(gateway):
    """Whether test and gateway were in time for that."""
    before = gateway.open_files()
    fresh = gateway.connect()
    eventually(lambda: gateway.open_files() > before)
    began = time.monotonic()
    drain(gateway)
    eventually(gateway.refuses_connections)
    with contextlib.suppress(OSError):
        fresh.send(get())
    with contextlib.suppress(ConnectionError):
        fresh.more()
    if not fresh.unread and time.monotonic() - began > IN_TIME_S:
        return False
    answer = fresh.read_response()
    assert (answer.status, answer.get("Connection")) == (200, "close")
    fresh.half_close().expect_end()
    assert gateway.wait() == 0
    return True


def test_client_that_has_just_connected_is_served(start, origin):
    """Its request is on the way; unlike a kept-alive one it need not expect to be closed (RFC 9112 §9.5)."""
    origin.serve()
    assert any(is_served_when_it_has_just_connected(start(configuration(origin))) for _ in range(10))


def test_client_that_has_connected_and_says_nothing_is_not_waited_for_long(start, origin):
    gateway = start(configuration(origin, drain_timeout=FOR_EVER))
    before = gateway.open_files()
    fresh = gateway.connect()
    eventually(lambda: gateway.open_files() > before)
    drain(gateway)
    fresh.expect_gone()
    fresh.close()
    assert gateway.wait() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_clients_in_the_kernels_queue_are_served(start, origin, workers):
    """They have connected, and nobody has refused them: they come before the end of accepting."""
    origin.serve()
    gateway = start(configuration(origin, workers=workers, drain_timeout=FOR_EVER))
    gateway.freeze()
    clients = [gateway.connect().send(get()) for _ in range(30)]
    gateway.signal(signal.SIGTERM)
    gateway.signal(signal.SIGCONT)
    assert {client.read_response().status for client in clients} == {200}
    for client in clients:
        client.close()
    assert gateway.wait() == 0
