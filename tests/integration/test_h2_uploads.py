"""Uploads by HTTP/2 to services of HTTP/1: who reads slowly is waited for, and it is no other request's fault."""

import contextlib
import time

import h2raw
from gateway import configuration
from h2raw import INITIAL_WINDOW_SIZE, WINDOW, data, headers
from raw import response
from timing import LONG, LONG_TEXT

MIB = 1024 * 1024


def upload(size, path, *fields):
    return h2raw.get(path, fields=[("content-length", str(size)), *fields], method="POST")


def send_some(client, stream, timeout):
    """What the windows allow, until nothing has been allowed for so long."""
    initial = client.peer_settings.get(INITIAL_WINDOW_SIZE, WINDOW)
    client.sock.settimeout(timeout)
    with contextlib.suppress(TimeoutError):
        while True:
            room = min(WINDOW + client.windows[0], initial + client.windows[stream], 16384)
            if room <= 0:
                client.read_one()
                continue
            client.windows[0] -= room
            client.windows[stream] -= room
            client.send(data(stream, bytes(room)))
    client.sock.settimeout(h2raw.TIMEOUT)


def barred(start, origin, *fields, first_byte="20s", **timeouts):
    """A client whose connection is full of content for services that do not read; their wires; and a stream whose service would."""
    listener = {"protocols": ["h1", "h2"], "timeouts": timeouts}
    gateway = start(configuration(origin, listener=listener, upstream={"timeouts": {"first_byte": first_byte, "idle": "20s", "request": "60s"}}))
    client = h2raw.connect(gateway.address()).start()
    wires, streams = [], []
    while WINDOW + client.windows[0] > 0:
        streams.append(client.next_stream)
        client.next_stream += 2
        client.send(headers(streams[-1], upload(64 * MIB, "/slow")))
        wires.append(origin.accept())
        send_some(client, streams[-1], 1)
    assert len(streams) >= 4
    last = client.next_stream
    client.send(headers(last, upload(5, "/fast", *fields)))
    fast = origin.accept()
    fast.read_head()
    return gateway, client, last, fast, wires


def test_who_may_not_send_is_not_late(start, origin):
    """Its own service would take what it has: the connection's window is taken up by others. From when it may send its time counts."""
    gateway, client, last, fast, wires = barred(start, origin, body_idle=LONG_TEXT)
    time.sleep(LONG * 2.2)
    assert gateway.records(0) == []
    for wire in wires:
        wire.reset()
    client.read_until(lambda: WINDOW + client.windows[0] > 5)
    client.send(data(last, b"hello", True))
    assert fast.take(5) == b"hello"
    fast.send(response("fine"))
    assert client.message(last).body == b"fine"


def test_who_may_send_again_and_does_not_is_late(start, origin):
    _, client, last, fast, wires = barred(start, origin, body_idle=LONG_TEXT)
    time.sleep(LONG * 0.8)
    began = time.monotonic()
    for wire in wires:
        wire.reset()
    client.read_until(lambda: WINDOW + client.windows[0] > 5)
    assert client.message(last).status == 408
    assert time.monotonic() - began > LONG * 0.9
    fast.expect_gone()


def test_a_service_that_does_not_say_continue_is_late_all_the_same(start, origin):
    """Its client may not send, but it is not the client that is waited for."""
    _, client, last, fast, _ = barred(start, origin, ("expect", "100-continue"), first_byte=LONG_TEXT)
    assert client.message(last).status == 504
    fast.expect_gone()
