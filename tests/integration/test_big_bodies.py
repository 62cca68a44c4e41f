"""A gibibyte up and a gibibyte down at once, through one exchange each: every byte right, memory flat."""

import hashlib
import os
import pathlib
import threading

import pytest

from gateway import configuration, sanitizer, scale
from raw import get

GIB = 1024 * 1024 * 1024
MIB = 1024 * 1024
PIECE = MIB

# Of a length that divides nothing: a piece that were lost, doubled or out of place would change the hash.
PATTERN = os.urandom(1_048_573)
DOUBLED = PATTERN + PATTERN


def pieces(size):
    """The content, in views of the pattern that are not copied."""
    view, at = memoryview(DOUBLED), 0
    while at < size:
        n = min(PIECE, size - at)
        start = at % len(PATTERN)
        yield view[start:start + n]
        at += n


def hash_of_pattern(size):
    digest = hashlib.sha256()
    for piece in pieces(size):
        digest.update(piece)
    return digest.hexdigest()


def send_content(wire, size):
    for piece in pieces(size):
        wire.sock.sendall(piece)


def receive_content(wire, size):
    """Reads exactly so much and returns its hash."""
    digest = hashlib.sha256(wire.unread[:size])
    left = size - len(wire.unread)
    assert left >= 0
    wire.unread = b""
    buffer = bytearray(PIECE)
    view = memoryview(buffer)
    while left:
        n = wire.sock.recv_into(view[:min(left, PIECE)])
        assert n, f"ended {left} bytes early"
        digest.update(view[:n])
        left -= n
    return digest.hexdigest()


class Concurrently:
    """Functions in threads of their own; join() raises what any of them raised."""

    def __init__(self):
        self.threads, self.results, self.errors = [], {}, []

    def run(self, name, function, *arguments):
        def body():
            try:
                self.results[name] = function(*arguments)
            except BaseException as error:  # pylint: disable=broad-except
                self.errors.append(error)

        self.threads.append(threading.Thread(target=body, daemon=True))
        self.threads[-1].start()

    def join(self, timeout=280):
        for thread in self.threads:
            thread.join(timeout)
        if self.errors:
            raise self.errors[0]
        assert not any(thread.is_alive() for thread in self.threads), "it does not come to its end"
        return self.results


def peak_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def test_a_gibibyte_up_and_down_at_once(start, origin):
    size = scale(GIB)
    # The answer comes when all has been looked at, down and up.
    gateway = start(configuration(origin, upstream={"timeouts": {"request": "0s", "first_byte": "300s"}}))
    up, down = gateway.connect(), gateway.connect()
    up.send(f"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")
    up_wire = origin.accept()
    up_wire.read_head()
    down.send(get("/down"))
    down_wire = origin.accept()
    down_wire.read_request()
    down_wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
    assert down.read_head().framing == size

    before = peak_bytes(gateway.pid)
    both = Concurrently()
    both.run("sent up", send_content, up, size)
    both.run("received up", receive_content, up_wire, size)
    both.run("sent down", send_content, down_wire, size)
    both.run("received down", receive_content, down, size)
    results = both.join()
    grown = peak_bytes(gateway.pid) - before

    expected = hash_of_pattern(size)
    assert results["received up"] == expected
    assert results["received down"] == expected
    up_wire.send("HTTP/1.1 204 No Content\r\n\r\n")
    assert up.read_response().status == 204
    if not sanitizer():
        assert grown < 16 * MIB, f"resident memory grew by {grown / MIB:.1f} MiB"
    records = {record["target"]: record for record in gateway.records(2)}
    assert (records["/up"]["bytes_in"], records["/down"]["bytes_out"]) == (size, size)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_much_in_chunks(start, origin, direction):
    size = scale(128 * MIB)
    gateway = start(configuration(origin, upstream={"timeouts": {"request": "0s"}}))
    head = "Transfer-Encoding: chunked\r\n\r\n"
    client = gateway.connect()
    client.send(get() if direction == "down" else f"POST / HTTP/1.1\r\nHost: a\r\n{head}")
    wire = origin.accept()
    wire.read_head()
    if direction == "down":
        wire.send(f"HTTP/1.1 200 OK\r\n{head}")
        assert client.read_head().framing == "chunked"
    source, sink = (client, wire) if direction == "up" else (wire, client)

    def send():
        for piece in pieces(size):
            source.sock.sendall(b"%x\r\n" % len(piece))
            source.sock.sendall(piece)
            source.sock.sendall(b"\r\n")
        source.sock.sendall(b"0\r\n\r\n")

    def receive():
        digest, received = hashlib.sha256(), 0
        while piece := sink.read_chunk():
            digest.update(piece)
            received += len(piece)
        assert sink.read_trailers() == []
        assert received == size
        return digest.hexdigest()

    before = peak_bytes(gateway.pid)
    both = Concurrently()
    both.run("sent", send)
    both.run("received", receive)
    assert both.join()["received"] == hash_of_pattern(size)
    if not sanitizer():
        assert peak_bytes(gateway.pid) - before < 16 * MIB
