"""Each limit with its cause, at its edge: what is just allowed passes, one more is refused."""

import contextlib
import json
import re
import resource
import socket
import time

import pytest

from gateway import configuration, eventually, free_port, sanitizer
from raw import TIMEOUT, Wire, chunk, get, post

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


# --- of the listener -------------------------------------------------------------------------------------------------


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


def is_served(gateway):
    """Whether a new client is."""
    with contextlib.suppress(OSError):
        return gateway.connect().ask(get()).status == 200
    return False


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
    eventually(lambda: is_served(gateway))


def test_connections_far_beyond_the_limit(start, origin):
    """More are refused than there is memory to tell them: the others are closed, and it recovers."""
    gateway = limited(start, origin, connections=2)
    origin.serve()
    clients = [gateway.connect() for _ in range(300)]
    assert clients[0].ask(get()).status == 200
    for client in clients[1:]:
        client.close()
    assert clients[0].ask(get()).status == 200
    eventually(lambda: is_served(gateway))


# --- of the machine --------------------------------------------------------------------------------------------------


def test_out_of_descriptors_pauses_accepting_without_spinning(start, origin):
    """The kernel's queue holds who comes then; one is shed now and then; descriptors that come free are used."""
    origin.serve()
    gateway = start(configuration(origin, shedding={"files": "off"}), files=40)
    assert gateway.connect().ask(get()).status == 200
    clients = [gateway.connect() for _ in range(80)]
    eventually(lambda: gateway.open_files() >= 40)
    before, began = gateway.cpu_seconds(), time.monotonic()
    time.sleep(0.5)
    # A loop that spins would have used all of it.
    assert gateway.cpu_seconds() - before < 0.3 * (time.monotonic() - began) * (3 if sanitizer() else 1)
    for client in clients:
        client.close()
    eventually(lambda: is_served(gateway))
    eventually(lambda: gateway.open_files() < 30)


def test_out_of_descriptors_for_the_upstream_has_its_cause(start, make_origin):
    """With the last descriptors taken by clients a request cannot go anywhere, and says why."""
    origin = make_origin().serve()
    gateway = start(configuration(origin, shedding={"files": "off"}), files=40)
    clients = [gateway.connect() for _ in range(60)]
    eventually(lambda: gateway.open_files() >= 40)
    answer = clients[0].ask(get())
    assert answer.status == 503
    assert json.loads(answer.body)["error"] == "files_exhausted"
    assert gateway.records(1)[0]["cause"] == "files_exhausted"


def test_out_of_descriptors_idle_connections_make_way(start, make_origin):
    """Whoever asks is served, though what min_idle keeps ready has the last descriptors; nobody is turned away."""
    ready = 40
    origin = make_origin().serve()
    admin = free_port()
    config = configuration(origin, admin={"address": f"127.0.0.1:{admin}"})
    # Nobody asks for those, everybody for others, for which there is no descriptor either.
    endpoints = [{"address": origin.address}]
    config["upstreams"].append({"name": "ready", "endpoints": endpoints, "pool": {"min_idle": ready}})
    config["routes"].insert(0, {"name": "own", "match": {"path": "/own"}, "respond": {"status": 204}})
    gateway = start(config)
    eventually(lambda: gateway.open_files() >= ready)

    # Less than it has, once it has started with more: with no room for clients it would not have started at all.
    _, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)

    def is_full():
        files = gateway.open_files()
        # The hard limit stays: where it has opened more meanwhile the next one is higher.
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (files, hard))
        time.sleep(0.2)
        return gateway.open_files() == files

    eventually(is_full)
    clients = [gateway.connect() for _ in range(ready // 4)]
    for client in clients:
        assert client.ask(get("/own")).status == 204
    # Each has a connection to the upstream at the same time.
    for client in clients:
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
    for client in clients:
        assert client.send("x").read_response().status == 200
    with socket.create_connection(("127.0.0.1", admin), TIMEOUT) as sock:
        metrics = Wire(sock).ask(get("/metrics", "localhost")).body.decode()
    assert int(re.search(r"^weir_connections_shed_total (\d+)$", metrics, re.M)[1]) == 0


def test_out_of_descriptors_is_counted(start, origin):
    """What operators are told to watch is not always 0."""
    admin = free_port()
    gateway = start(configuration(origin.serve(), admin={"address": f"127.0.0.1:{admin}"}, shedding={"files": "off"}), files=44)
    clients = [gateway.connect() for _ in range(80)]
    eventually(lambda: gateway.open_files() >= 44)
    for client in clients:
        client.close()
    # Those who still wait in the kernel's queue would take all descriptors once more. Who comes after them is served after them.
    eventually(lambda: is_served(gateway))
    eventually(lambda: gateway.open_files() < 30)
    with socket.create_connection(("127.0.0.1", admin), TIMEOUT) as sock:
        metrics = Wire(sock).ask(get("/metrics", "localhost")).body.decode()
    for name in ("weir_accept_paused_total", "weir_connections_shed_total"):
        assert int(re.search(rf"^{name} (\d+)$", metrics, re.M)[1]) > 0
