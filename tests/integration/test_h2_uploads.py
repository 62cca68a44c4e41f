"""Uploads by HTTP/2 to services of HTTP/1: who reads slowly is waited for, and it is no other request's fault."""

import select
import time

import h2raw
from gateway import configuration
from h2raw import INITIAL_WINDOW_SIZE, WINDOW, data, headers
from raw import response
from timing import LONG_TEXT

MIB = 1024 * 1024

# For what the test sends in time, in some hundred pieces: it may be late itself.
IDLE, IDLE_TEXT = 4.0, "4s"


def upload(size, path, *fields):
    return h2raw.get(path, fields=[("content-length", str(size)), *fields], method="POST")


def send_some(gateway, client, stream):
    """What the windows allow, until the gateway has nothing more to do and has allowed no more."""
    initial = client.peer_settings.get(INITIAL_WINDOW_SIZE, WINDOW)
    while True:
        room = min(WINDOW + client.windows[0], initial + client.windows[stream], 16384)
        if room > 0:
            client.windows[0] -= room
            client.windows[stream] -= room
            client.send(data(stream, bytes(room)))
            continue
        if not has_more(client):
            gateway.rest()
        if not has_more(client):
            return
        client.read_one()


def has_more(client):
    return client.unread != b"" or select.select([client.sock], [], [], 0)[0] != []


def barred(start, origin, *fields, first_byte="60s", **timeouts):
    """A client whose connection is full of content for services that do not read; their wires; and a stream whose service would."""
    listener = {"protocols": ["h1", "h2"], "timeouts": timeouts}
    gateway = start(configuration(origin, listener=listener, upstream={"timeouts": {"first_byte": first_byte, "idle": "60s", "request": "120s"}}))
    client = h2raw.connect(gateway.address()).start()
    wires, streams = [], []
    while WINDOW + client.windows[0] > 0:
        streams.append(client.next_stream)
        client.next_stream += 2
        client.send(headers(streams[-1], upload(64 * MIB, "/slow")))
        wires.append(origin.accept())
        send_some(gateway, client, streams[-1])
    assert len(streams) >= 4
    last = client.next_stream
    client.send(headers(last, upload(5, "/fast", *fields)))
    fast = origin.accept()
    fast.read_head()
    return gateway, client, last, fast, wires


def test_who_may_not_send_is_not_late(start, origin):
    """Its own service would take what it has: the connection's window is taken up by others. From when it may send its time counts."""
    gateway, client, last, fast, wires = barred(start, origin, body_idle=IDLE_TEXT)
    time.sleep(IDLE * 1.3)
    assert gateway.records(0) == []
    for wire in wires:
        wire.reset()
    client.read_until(lambda: WINDOW + client.windows[0] > 5)
    client.send(data(last, b"hello", True))
    assert fast.take(5) == b"hello"
    fast.send(response("fine"))
    assert client.message(last).body == b"fine"


def test_who_may_send_again_and_does_not_is_late(start, origin):
    _, client, last, fast, wires = barred(start, origin, body_idle=IDLE_TEXT)
    time.sleep(IDLE * 0.3)
    began = time.monotonic()
    for wire in wires:
        wire.reset()
    client.read_until(lambda: WINDOW + client.windows[0] > 5)
    assert client.message(last).status == 408
    assert time.monotonic() - began > IDLE * 0.9
    fast.expect_gone()


def test_a_service_that_does_not_say_continue_is_late_all_the_same(start, origin):
    """Its client may not send, but it is not the client that is waited for."""
    _, client, last, fast, _ = barred(start, origin, ("expect", "100-continue"), first_byte=LONG_TEXT)
    assert client.message(last).status == 504
    fast.expect_gone()
