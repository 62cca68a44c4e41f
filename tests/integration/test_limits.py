"""Each limit with its cause, at its edge: what is just allowed passes, one more is refused."""

import contextlib
import json
import os
import select
import time

import pytest

from gateway import configuration, eventually, sanitizer
from origin import full_backlog
from raw import chunk, get, post, response

KIB = 1024


def assert_refused(gateway, client, status, cause, close=True):
    answer = client.read_response()
    assert answer.status == status
    assert json.loads(answer.body)["error"] == cause
    if close:
        assert answer.get("Connection") == "close"
        with contextlib.suppress(OSError):
            client.half_close()
        client.expect_end()
    record = gateway.records(1)[-1]
    assert (record["status"], record["cause"]) == (status, cause)


def limited(start, origin, **limits):
    return start(configuration(origin, listener={"limits": limits}))


def head_of(size):
    """A request head of exactly this size."""
    head = get(fields=["A: "])
    return get(fields=["A: " + "b" * (size - len(head))])


# --- of the listener ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1 * KIB, 4 * KIB, 32 * KIB, 100 * KIB, 256 * KIB])
def test_header_bytes(start, origin, size):
    gateway = limited(start, origin, header_bytes=f"{size // KIB}KiB")
    origin.serve()
    assert gateway.connect().ask(head_of(size), "GET").status == 200
    client = gateway.connect().send(head_of(size + 1))
    answer = client.read_response()
    assert (answer.status, json.loads(answer.body)["error"]) == (431, "headers_too_large")
    client.half_close().expect_end()
    assert gateway.records(2)[1]["cause"] == "headers_too_large"
    assert len(origin.requests) == 1


def test_header_bytes_of_a_head_that_never_ends(start, origin):
    gateway = limited(start, origin, header_bytes="4KiB")
    client = gateway.connect().send("GET / HTTP/1.1\r\nHost: a\r\nA: " + "b" * 5000)
    assert_refused(gateway, client, 431, "headers_too_large")
    assert origin.is_untouched()


def test_header_count(start, origin):
    gateway = limited(start, origin, header_count=10)
    origin.serve()
    assert gateway.connect().ask(get(fields=["A: b"] * 9)).status == 200
    client = gateway.connect().send(get(fields=["A: b"] * 10))
    assert client.read_response().status == 431
    assert gateway.records(2)[1]["cause"] == "headers_too_large"
    assert len(origin.requests) == 1


def test_target_bytes(start, origin):
    gateway = limited(start, origin, target_bytes="100B")
    origin.serve()
    assert gateway.connect().ask(get("/" + "a" * 99)).status == 200
    client = gateway.connect().send(get("/" + "a" * 100))
    assert client.read_response().status == 414
    assert gateway.records(2)[1]["cause"] == "uri_too_long"
    assert len(origin.requests) == 1


def test_target_bytes_before_the_head_is_complete(start, origin):
    gateway = limited(start, origin, target_bytes="100B")
    client = gateway.connect().send("GET /" + "a" * 200)
    assert_refused(gateway, client, 414, "uri_too_long")


def test_body_bytes_by_length(start, origin):
    gateway = limited(start, origin, body_bytes="1KiB")
    origin.serve()
    assert gateway.connect().ask(post("x" * KIB)).status == 200
    client = gateway.connect().send(post("x" * (KIB + 1)))
    answer = client.read_response()
    assert (answer.status, json.loads(answer.body)["error"]) == (413, "body_too_large")
    assert gateway.records(2)[1]["cause"] == "body_too_large"
    assert len(origin.requests) == 1


def test_body_bytes_in_chunks(start, origin):
    """Nobody knows before: the upstream sees the beginning, but never a complete request."""
    gateway = limited(start, origin, body_bytes="1KiB")
    client = gateway.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("x" * KIB))
    wire = origin.accept()
    wire.read_head()
    assert wire.read_chunk() == b"x" * KIB
    client.send(chunk("y") + b"0\r\n\r\n")
    assert_refused(gateway, client, 413, "body_too_large")
    assert b"0\r\n\r\n" not in wire.expect_gone()


def test_body_bytes_with_expectation_are_refused_before_the_content(start, origin):
    gateway = limited(start, origin, body_bytes="1KiB")
    client = gateway.connect()
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\nExpect: 100-continue\r\n\r\n")
    assert_refused(gateway, client, 413, "body_too_large")
    assert origin.is_untouched()


def test_connections(start, origin):
    gateway = limited(start, origin, connections=5)
    origin.serve()
    clients = [gateway.connect() for _ in range(5)]
    for client in clients:
        assert client.ask(get()).status == 200
    refused = gateway.connect()
    answer = refused.read_response()
    assert answer.status == 503
    assert json.loads(answer.body)["error"] == "client_connections_limited"
    assert answer.get("Retry-After") and answer.get("Connection") == "close"
    refused.half_close().expect_end()
    # A place that became free is a place.
    clients.pop().close()

    def is_served():
        again = gateway.connect()
        with contextlib.suppress(OSError):
            return again.ask(get()).status == 200
        return False

    eventually(is_served)


def test_connections_far_beyond_the_limit(start, origin):
    """More are refused than there is memory to tell them: the others are closed, and it recovers."""
    gateway = limited(start, origin, connections=2)
    origin.serve()
    clients = [gateway.connect() for _ in range(300)]
    assert clients[0].ask(get()).status == 200
    for client in clients[1:]:
        client.close()
    assert clients[0].ask(get()).status == 200

    def is_served():
        again = gateway.connect()
        with contextlib.suppress(OSError):
            return again.ask(get()).status == 200
        return False

    eventually(is_served)


# --- of the pool --------------------------------------------------------------------------------------------------------


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
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 1}}))
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
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 1, "max_pending": 1}}))
    first = gateway.connect().send(get("/1"))
    wire = origin.accept()
    wire.read_request()
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
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 1, "max_pending": 1}}))
    first = gateway.connect().send(get("/1"))
    wire = origin.accept()
    wire.read_request()
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
    gateway = start(configuration(origin, upstream={"pool": {"max_connecting": 3, "acquire_timeout": "5s"},
        "timeouts": {"connect": "5s"}}))
    clients = [gateway.connect().send(get()) for _ in range(12)]
    for client in clients:
        client.wait_taken()

    def opening():
        with open("/proc/net/tcp", encoding="ascii") as table:
            ours = {str(os.stat(f"/proc/{gateway.pid}/fd/{fd}").st_ino) for fd in os.listdir(f"/proc/{gateway.pid}/fd")}
            return sum(line.split()[9] in ours and line.split()[3] == "02" for line in table if f":{origin.port:04X} " in line)

    eventually(lambda: opening() == 3)
    assert opening() == 3
    for sock in fillers:
        sock.close()
    origin.serve()
    assert {client.read_response().status for client in clients} == {200}


# --- of the machine -----------------------------------------------------------------------------------------------------


def test_out_of_descriptors_pauses_accepting_without_spinning(start, origin):
    """The kernel's queue holds who comes then; one is shed now and then; descriptors that come free are used."""
    origin.serve()
    gateway = start(configuration(origin), files=40)
    assert gateway.connect().ask(get()).status == 200
    clients = [gateway.connect() for _ in range(80)]
    eventually(lambda: gateway.open_files() >= 40)
    before = gateway.cpu_seconds()
    time.sleep(0.5)
    # A loop that spins would have used all of it.
    assert gateway.cpu_seconds() - before < 0.15 * (3 if sanitizer() else 1)
    for client in clients:
        client.close()

    def is_served():
        again = gateway.connect()
        with contextlib.suppress(OSError):
            return again.ask(get()).status == 200
        return False

    eventually(is_served)
    eventually(lambda: gateway.open_files() < 30)


def test_out_of_descriptors_for_the_upstream_has_its_cause(start, make_origin):
    """With the last descriptors taken by clients a request cannot go anywhere, and says why."""
    origin = make_origin().serve()
    gateway = start(configuration(origin), files=40)
    clients = [gateway.connect() for _ in range(60)]
    eventually(lambda: gateway.open_files() >= 40)
    answer = clients[0].ask(get())
    assert answer.status == 503
    assert json.loads(answer.body)["error"] == "files_exhausted"
    assert gateway.records(1)[0]["cause"] == "files_exhausted"
