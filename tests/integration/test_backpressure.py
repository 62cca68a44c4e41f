"""A slow side slows the other one down, and what was held back arrives whole and in order."""

import random
import select

import pytest

from gateway import configuration, eventually
from raw import TIMEOUT, chunk, get, response
from tunnels import asked_tunnel, open_tunnel

MIB = 1024 * 1024

# What the kernel may hold on the way: two sockets' worth of send and receive buffers, generously.
KERNEL = 32 * MIB


def fill(wire, data, limit=KERNEL):
    """Sends until the other side takes nothing any more for a while. Returns how much went."""
    wire.sock.setblocking(False)
    sent = 0
    while select.select([], [wire.sock], [], 0.1)[1]:
        try:
            sent += wire.sock.send(data)
        except BlockingIOError:
            continue
        assert sent < limit, f"{sent} bytes were taken though nobody reads them"
    wire.sock.settimeout(TIMEOUT)
    return sent


def test_client_that_does_not_read_stops_the_upstream(gateway, origin):
    client = gateway.connect(receive_buffer=4096).send(get())
    wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    sent = fill(wire, b"x" * 65536)
    client.read_head()
    assert client.take(sent) == b"x" * sent
    wire.send("y")
    assert client.take(1) == b"y"


def test_upstream_that_does_not_read_stops_the_client(gateway, origin):
    client = gateway.connect().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
    wire = origin.accept()
    sent = fill(client, b"x" * 65536)
    wire.read_head()
    assert wire.take(sent) == b"x" * sent
    client.send("y")
    assert wire.take(1) == b"y"


@pytest.mark.parametrize("towards", ["client", "upstream"])
def test_tunnel(gateway, origin, towards):
    client, wire = open_tunnel(gateway, origin)
    source, sink = (wire, client) if towards == "client" else (client, wire)
    sent = fill(source, b"x" * 65536)
    # The other direction is free.
    sink.send("back")
    assert source.take(4) == b"back"
    source.half_close()
    assert sink.take(sent) == b"x" * sent
    sink.expect_end()


def test_blocked_client_leaves_others_alone(gateway, origin):
    """One loop serves all: nobody waits for the one who does not read."""
    gateway.connect(receive_buffer=4096).send(get("/blocked"))
    wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    fill(wire, b"x" * 65536)
    origin.serve()
    other = gateway.connect()
    for _ in range(20):
        assert other.ask(get("/other")).status == 200


def test_stalled_answer_and_pipelined_requests(gateway, origin):
    """The second request goes upstream when the first answer is with the client, not before."""
    def answer(wire, origin):
        while wire.unread or wire.more():
            origin.note(wire.read_request())
            wire.send(response(b"x" * 4 * MIB))

    origin.serve(answer)
    client = gateway.connect(receive_buffer=65536).send(get("/1") + get("/2") + get("/3"))
    origin.wait(lambda o: len(o.requests) == 1)
    head = client.read_head()
    with pytest.raises(AssertionError):
        origin.wait(lambda o: len(o.requests) > 1, timeout=0.2)
    assert client.take(head.framing) == b"x" * head.framing
    for _ in range(2):
        assert len(client.read_response().body) == 4 * MIB
    assert [request.target for request in origin.requests] == ["/1", "/2", "/3"]


def random_pieces(seed, total):
    """Sizes around those at which copying turns into pointing, and buffers end."""
    random.seed(seed)
    sizes = [1, 2, 15, 16, 17, 255, 256, 2047, 2048, 2049, 4095, 4097, 65535, 65536, 65537, 100_000]
    pieces, left = [], total
    while left > 0:
        n = min(random.choice(sizes), left)
        pieces.append(random.randbytes(n))
        left -= n
    return pieces


@pytest.mark.parametrize("seed", range(4))
def test_chunks_of_all_sizes_down(gateway, origin, seed):
    pieces = random_pieces(seed, 2 * MIB)
    client = gateway.connect(receive_buffer=4096 if seed % 2 else None).send(get())
    origin.serve(lambda wire, _: (wire.read_request(), wire.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(map(chunk, pieces)) + b"0\r\n\r\n")))
    assert client.read_response().body == b"".join(pieces)


@pytest.mark.parametrize("seed", range(4))
def test_chunks_of_all_sizes_up(gateway, origin, seed):
    pieces = random_pieces(seed, 2 * MIB)
    origin.serve(lambda wire, _: wire.send(response(wire.read_request().body)))
    client = gateway.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send(b"".join(map(chunk, pieces)) + b"0\r\n\r\n")
    assert client.read_response().body == b"".join(pieces)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_many_tiny_chunks(gateway, origin, direction):
    content = b"".join(chunk(b"%c" % (i % 256)) for i in range(20_000)) + b"0\r\n\r\n"
    expected = bytes(i % 256 for i in range(20_000))
    head = b"Transfer-Encoding: chunked\r\n\r\n"
    if direction == "down":
        client = gateway.connect().send(get())
        origin.answer(b"HTTP/1.1 200 OK\r\n" + head + content)
        assert client.read_response().body == expected
    else:
        gateway.connect().send(b"POST / HTTP/1.1\r\nHost: a\r\n" + head + content)
        assert origin.accept().read_request().body == expected


def test_waiting_costs_no_processor_time(start, origin):
    """One of each kind of waiting that a loop could get wrong, all at once."""
    gateway = start(configuration(origin, listener={"half_close": "serve"}))
    gateway.connect(receive_buffer=4096).send(get("/slow-reader"))
    wire, _ = origin.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    fill(wire, b"x" * 65536)
    slow_upstream = gateway.connect().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
    origin.accept()
    fill(slow_upstream, b"x" * 65536)
    gateway.connect(translated=False).send(get("/half-closed")).half_close()
    origin.accept().read_request()
    gateway.connect().send(get("/pipelined") + get("/behind"))
    origin.accept().read_request()
    asked_tunnel(gateway, origin, "/upgrade", early=b"early" * 100_000)
    tunnel, wire = open_tunnel(gateway, origin)
    wire.half_close()
    tunnel.expect_end()
    # What HTTP/2 has no likeness of, by a client of HTTP/1.1 in any case.
    gateway.connect(translated=False).send(b"GET / HTTP/1.1\r\nHo")
    lingering = gateway.connect(translated=False).send(b"BAD\r\n\r\n" + b"x" * 100_000)
    lingering.read_response()
    gateway.rest()
    before = gateway.cpu_seconds()
    wire.expect_silence(0.4)
    assert gateway.cpu_seconds() - before <= 0.05


def test_echo_while_it_arrives(start, origin):
    """Both directions of one exchange at once, each larger than all buffers together."""
    gateway = start(configuration(origin, upstream={"timeouts": {"request": "0s"}}))
    size = 24 * MIB

    def echo(wire, _):
        wire.read_head()
        wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
        left = size
        while left:
            if not wire.unread:
                assert wire.more()
            left -= len(wire.unread)
            wire.send(wire.unread)
            wire.unread = b""

    origin.serve(echo)
    client = gateway.connect().send(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")
    client.sock.setblocking(False)
    data = memoryview(random.Random(1).randbytes(size))
    sent, received = 0, bytearray()

    def move():
        nonlocal sent
        _, writable, _ = select.select([client.sock], [client.sock] if sent < size else [], [], 5)
        if writable:
            sent += client.sock.send(data[sent:sent + 262144])
        try:
            received.extend(client.sock.recv(262144))
        except BlockingIOError:
            pass
        head = received.find(b"\r\n\r\n")
        return head >= 0 and len(received) == head + 4 + size

    eventually(move, timeout=120)
    assert received.endswith(data[-MIB:])
    assert received[received.find(b"\r\n\r\n") + 4:] == data
