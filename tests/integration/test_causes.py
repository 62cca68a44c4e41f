"""Each failure under its own name: whose fault it was is never guessed from where it was noticed."""

import json
import os
import signal

import pytest

from gateway import configuration
from raw import ends_with_last_chunk, get

KIB = 1024


def causes(gateway, n):
    return {(record["status"], record["cause"]) for record in gateway.records(n)}


# --- endpoints that cannot be connected to ---------------------------------------------------------------------------


def test_dead_unix_socket_refuses_everybody_alike(start, tmp_path):
    """Each attempt fails inside the call, so many of them fall into one turn of the loop."""
    gateway = start(configuration(f"unix:{tmp_path}/nobody", upstream={"pool": {"max_connections": 1}}))
    clients = [gateway.connect() for _ in range(20)]
    gateway.freeze()
    for client in clients:
        client.send(get())
    gateway.signal(signal.SIGCONT)
    for client in clients:
        answer = client.read_response()
        assert (answer.status, json.loads(answer.body)["error"]) == (502, "connect_refused")
    assert causes(gateway, 20) == {(502, "connect_refused")}
    assert all("unix socket does not exist" in record["why"] for record in gateway.records(20))


def test_upstream_that_dies_refuses_the_whole_queue_alike(start, make_origin, tmp_path):
    origin = make_origin(path=tmp_path / "origin")
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 1, "acquire_timeout": "60s"}}))
    first, wire, _ = origin.asked(gateway, get("/first"))
    queued = [gateway.connect().send(get("/queued")) for _ in range(20)]
    for client in queued:
        client.wait_taken()
    os.unlink(tmp_path / "origin")
    wire.close()
    assert first.read_response().status == 502
    assert {client.read_response().status for client in queued} == {502}
    assert causes(gateway, 21) == {(502, "upstream_reset"), (502, "connect_refused")}


# --- time ------------------------------------------------------------------------------------------------------------


def test_slow_request_head_does_not_spend_the_upstreams_time(start, origin):
    """The `request` deadline counts from the complete head."""
    gateway = start(configuration(origin.serve(), upstream={"timeouts": {"request": "3s"}}))
    client = gateway.connect().send(get()[:10])
    client.expect_silence(3.3)
    client.send(get()[10:])
    assert client.read_response().status == 200


# --- trailers --------------------------------------------------------------------------------------------------------

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def with_trailers(lines):
    return CHUNKED + b"1\r\nx\r\n0\r\n" + b"".join(lines) + b"\r\n"


@pytest.mark.parametrize("lines", [[b"A: " + b"x" * 9 * KIB + b"\r\n"], [b"A: b\r\n"] * 101], ids=["bytes", "count"])
def test_trailers_beyond_the_limits_of_a_head(start, origin, lines):
    gateway = start(configuration(origin, listener={"limits": {"header_bytes": "8KiB", "header_count": 100}}))
    client = gateway.connect().send(with_trailers([])[:-5])
    wire = origin.accept()
    wire.read_head()
    assert wire.read_chunk() == b"x"
    client.send(b"0\r\n" + b"".join(lines) + b"\r\n")
    answer = client.read_response()
    assert (answer.status, json.loads(answer.body)["error"]) == (431, "headers_too_large")
    assert gateway.record()["cause"] == "headers_too_large"
    assert not ends_with_last_chunk(wire.expect_gone())


def test_trailers_as_large_as_a_head_may_be(start, origin):
    gateway = start(configuration(origin.serve(), listener={"limits": {"header_bytes": "256KiB"}}))
    # In as many fields as HTTP/2 needs for it, which lets none be larger than 64 KiB.
    client = gateway.connect().send(with_trailers([b"X-T: " + b"~" * 50 * KIB + b"\r\n"] * 3))
    assert client.read_response().status == 200
    assert [(name.lower(), value) for name, value in origin.requests[0].trailers] == [("x-t", "~" * 50 * KIB)] * 3


# --- the log ---------------------------------------------------------------------------------------------------------


def test_request_that_was_not_understood_has_no_protocol(gateway):
    gateway.connect().ask(b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n")
    record = gateway.record()
    assert (record["cause"], record["protocol"], record["method"]) == ("bad_request", None, None)


@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/1.1"])
def test_request_that_was_understood_has_its_protocol(gateway, origin, protocol):
    origin.serve()
    gateway.connect().ask(f"GET / {protocol}\r\nHost: a\r\n\r\n")
    assert gateway.record()["protocol"] == protocol
