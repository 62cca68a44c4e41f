"""Connections to an upstream: their cap, the queue in front of it, their ages; and that none is ever lost."""

import json
import os
import select

import pytest

from gateway import configuration, eventually, merged
from origin import full_backlog
from raw import get, response
from timing import SHORT_TEXT, assert_error, due

# Longer than a busy machine needs for the first connection, which with HTTP/2 means that the upstream has said its SETTINGS.
PATIENCE, PATIENCE_TEXT = 2.5, "2500ms"

# --- the cap and the queue -------------------------------------------------------------------------------------------


def test_max_connections_and_the_queue(start, origin):
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 2}}))
    clients = [gateway.connect().send(get(f"/{i}")) for i in range(4)]
    wires = [origin.accept(), origin.accept()]
    targets = [wire.read_request().target for wire in wires]
    assert origin.is_untouched()
    for wire in wires:
        wire.send(response("first"))
    targets += [wire.read_request().target for wire in wires]
    for wire in wires:
        wire.send(response("second"))
    assert sorted(targets) == ["/0", "/1", "/2", "/3"]
    assert {client.read_response().status for client in clients} == {200}
    assert origin.is_untouched()


def test_waiters_are_served_in_the_order_in_which_they_came(start, origin):
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 1, "acquire_timeout": "10s"}}))
    clients = []
    for i in range(6):
        clients.append(gateway.connect().send(get(f"/{i}")))
        clients[-1].wait_taken()
    wire = origin.accept()
    for i in range(6):
        assert wire.read_request().target == f"/{i}"
        wire.send(response())
    assert {client.read_response().status for client in clients} == {200}


def test_max_pending(start, origin):
    gateway = start(configuration(origin,
        upstream={"pool": {"max_connections": 1, "max_pending": 1, "acquire_timeout": "10s"}}))
    first, wire, _ = origin.asked(gateway, get("/1"))
    second = gateway.connect().send(get("/2"))
    second.wait_taken()
    answer = gateway.connect().ask(get("/3"))
    assert (answer.status, json.loads(answer.body)["error"]) == (503, "pool_queue_full")
    assert answer.get("Retry-After")
    assert gateway.records(1)[0]["cause"] == "pool_queue_full"
    wire.send(response())
    assert wire.read_request().target == "/2"
    wire.send(response())
    assert [first.read_response().status, second.read_response().status] == [200, 200]


def test_client_that_leaves_the_queue_frees_its_place(start, origin):
    gateway = start(configuration(origin,
        upstream={"pool": {"max_connections": 1, "max_pending": 1, "acquire_timeout": "10s"}}))
    first, wire, _ = origin.asked(gateway, get("/1"))
    leaver = gateway.connect().send(get("/leaves"))
    leaver.wait_taken()
    leaver.reset()
    assert gateway.records(1)[0]["cause"] == "client_gone"
    stays = gateway.connect().send(get("/stays"))
    stays.wait_taken()
    wire.send(response())
    assert wire.read_request().target == "/stays"
    wire.send(response())
    assert [first.read_response().status, stays.read_response().status] == [200, 200]


def test_max_uses(start, origin):
    gateway = start(configuration(origin, upstream={"pool": {"max_uses": 3}}))
    client = gateway.connect()
    for _ in range(2):
        client.send(get())
        wire = origin.accept()
        for i in range(3):
            wire.read_request()
            wire.send(response())
            assert client.read_response().status == 200
            if i < 2:
                client.send(get())
        wire.expect_end()


@pytest.mark.parametrize("order", ["lifo", "fifo"])
def test_order_of_reuse(start, origin, order):
    gateway = start(configuration(origin, upstream={"pool": {"order": order}}))
    clients = [gateway.connect().send(get()) for _ in range(3)]
    wires = [origin.accept() for _ in range(3)]
    by_target = {}
    for wire in wires:
        wire.read_request()
    for i, wire in enumerate(wires):
        wire.send(response(str(i)))
        # Each is idle before the next one becomes so.
        eventually(lambda: any(select.select([client.sock], [], [], 0)[0] for client in clients))
        served = next(client for client in clients if select.select([client.sock], [], [], 0)[0])
        served.read_response()
        clients.remove(served)
        by_target[i] = wire
    client = gateway.connect().send(get("/next"))
    expected = by_target[2] if order == "lifo" else by_target[0]
    assert expected.read_request().target == "/next"
    expected.send(response())
    assert client.read_response().status == 200


def test_max_connecting(start, make_origin):
    """No more than so many are being opened at once, however many requests wait."""
    origin, fillers = full_backlog(make_origin)
    gateway = start(configuration(origin, upstream={"pool": {"max_connecting": 3, "acquire_timeout": "60s"},
        "timeouts": {"connect": "60s"}}))
    clients = [gateway.connect().send(get()) for _ in range(12)]
    for client in clients:
        client.wait_taken()

    def opening():
        with open("/proc/net/tcp", encoding="ascii") as table:
            files = f"/proc/{gateway.pid}/fd"
            ours = {str(os.stat(f"{files}/{name}").st_ino) for name in os.listdir(files)}
            rows = [line.split() for line in table if f":{origin.port:04X} " in line]
            # State 02: the handshake has not been answered.
            return sum(row[3] == "02" and row[9] in ours for row in rows)

    eventually(lambda: opening() == 3)
    assert opening() == 3
    for sock in fillers:
        sock.close()
    origin.serve()
    assert {client.read_response().status for client in clients} == {200}


# --- time ------------------------------------------------------------------------------------------------------------


def test_acquire(start, origin):
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 1, "acquire_timeout": PATIENCE_TEXT}}))
    first, wire, _ = origin.asked(gateway, get("/1"))
    with due(PATIENCE):
        second = gateway.connect()
        answer = second.ask(get("/2"))
    assert_error(gateway, answer, 503, "pool_acquire_timeout")
    assert answer.get("Retry-After")
    record = gateway.record()
    assert record["queue_us"] >= PATIENCE * 900_000
    # The lesson of the ghost leak: who waited in vain holds nothing, and the connection goes to the next who asks.
    wire.send(response("one"))
    assert first.read_response().body == b"one"
    second.send(get("/3"))
    assert wire.read_request().target == "/3"
    wire.send(response("three"))
    assert second.read_response().body == b"three"


def test_waiting_in_vain_many_times_leaks_no_connection(start, origin):
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 2, "acquire_timeout": PATIENCE_TEXT}}))
    holders = [gateway.connect().send(get("/hold")) for _ in range(2)]
    wires = [origin.accept() for _ in range(2)]
    for wire in wires:
        wire.read_request()
    waiting = [gateway.connect().send(get("/wait")) for _ in range(30)]
    assert {client.read_response().status for client in waiting} == {503}
    for wire in wires:
        wire.send(response())
    for holder in holders:
        assert holder.read_response().status == 200
    for client, wire in zip(waiting, wires):
        client.send(get("/again"))
    assert [wire.read_request().target for wire in wires] == ["/again", "/again"]
    for wire in wires:
        wire.send(response())
    assert origin.is_untouched()


@pytest.mark.parametrize("order", ["lifo", "fifo"])
def test_pool_idle_timeout(start, origin, order):
    gateway = start(configuration(origin, upstream={"pool": {"idle_timeout": SHORT_TEXT, "order": order}}))
    with due():
        client = gateway.connect().send(get())
        wire, _ = origin.answer(response())
        client.read_response()
        wire.expect_end()


def test_pool_max_lifetime(start, origin):
    gateway = start(configuration(origin, upstream={"pool": {"max_lifetime": SHORT_TEXT}}))
    client = gateway.connect().send(get())
    wire, _ = origin.answer(response())
    client.read_response()
    wire.expect_end()


def test_request_deadline_in_the_queue(start, origin):
    """The wait ends with the request's own deadline, and that is its cause. The one before it has begun when there was none yet."""
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 1}}))
    first, wire, _ = origin.asked(gateway, get("/1"))
    gateway.reload(merged(gateway.config, {"upstreams": [merged(gateway.config["upstreams"][0], {"timeouts": {"request": "300ms"}})]}))
    with due(0.3):
        answer = gateway.connect().ask(get("/2"))
    assert (answer.status, json.loads(answer.body)["error"]) == (504, "request_deadline")
    wire.send(response())
    assert first.read_response().status == 200
