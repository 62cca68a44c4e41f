"""What a connection costs in the program's own memory."""

import resource
import socket
import struct

import pytest

from gateway import configuration, eventually, sanitizer
from h2peer import Peer
from raw import get

KIB = 1024
IDLE = 10_000

pytestmark = pytest.mark.skipif(sanitizer() is not None,
    reason="a sanitizer has memory of its own; measure a release build")


def test_idle_kept_alive_connections(start, origin):
    """10,000 connections, each after a request through the gateway: under 700 bytes each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= IDLE + 500, f"this test needs {IDLE + 500} open files, and the hard limit is {hard}: raise it"
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sockets = []
    try:
        origin.serve()
        gateway = start(configuration(origin, listener={"limits": {"connections": IDLE + 100}}, log={"access": "off"}))
        # Everything that is allocated once is there after the first few.
        for _ in range(50):
            client = gateway.connect()
            assert client.ask(get()).status == 200
            client.reset()
        gateway.rest()
        before = gateway.anonymous_bytes()
        request = get(fields=["User-Agent: idle", "Accept: */*"])
        for _ in range(IDLE):
            sock = socket.create_connection(("127.0.0.1", gateway.port))
            sockets.append(sock)
            sock.sendall(request)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
        gateway.rest()
        each = (gateway.anonymous_bytes() - before) / IDLE
        print(f"{each:.0f} bytes each")
        assert each < 700, f"{each:.0f} bytes each"
    finally:
        for sock in sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def flood(wire):
    wire.read_request()
    wire.sock.settimeout(None)
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    while True:
        wire.send(b"x" * 1_000_000)


def assert_each_below(most, gateway, before, count):
    """What has come since `before`, for each of so many."""
    gateway.rest()
    each = (gateway.anonymous_bytes() - before) / count
    print(f"{each / KIB:.1f} KiB each")
    assert each < most, f"{each / KIB:.1f} KiB each"


def test_clients_that_stop_reading(start, origin):
    """Each holds under 256 KiB, however much is ready for it."""
    count = 40
    origin.serve(lambda wire, _: flood(wire))
    gateway = start(configuration(origin, log={"access": "off"}))
    before = gateway.anonymous_bytes()
    clients = [gateway.connect(receive_buffer=4096).send(get()) for _ in range(count)]
    origin.wait(lambda o: o.accepted == count)
    assert_each_below(256 * KIB, gateway, before, count)
    for client in clients:
        client.reset()


def test_clients_that_stop_reading_from_http_2(start, origin):
    """The same when all of it comes on one connection, whose other streams go on."""
    count = 40
    peers = []

    def pour(wire, _):
        wire.sock.settimeout(None)
        peers.append(Peer(wire))
        peers[0].pour(1_000_000_000, "/large")

    origin.serve(pour)
    gateway = start(configuration(origin, upstream={"protocol": "h2"}, log={"access": "off"}))
    client = gateway.connect()
    assert client.ask(get("/small")).status == 200
    before = gateway.anonymous_bytes()
    clients = [gateway.connect(receive_buffer=4096).send(get("/large")) for _ in range(count)]
    eventually(lambda: len(peers[0].poured) == count)
    assert_each_below(256 * KIB, gateway, before, count)
    assert client.ask(get("/small")).status == 200
    for one in clients:
        one.reset()


def test_upstreams_that_stop_reading(start, origin):
    """The other direction is bounded as well."""
    count = 20
    gateway = start(configuration(origin, log={"access": "off"}))
    before = gateway.anonymous_bytes()
    clients = []
    for _ in range(count):
        client = gateway.connect().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        clients.append(client)
        origin.accept()
        client.sock.settimeout(0.05)
        try:
            while True:
                client.sock.send(b"x" * 262144)
        except TimeoutError:
            pass
    assert_each_below(256 * KIB, gateway, before, count)
    for client in clients:
        client.reset()


def test_memory_comes_down_again(start, origin):
    """A wave of slow clients does not leave its buffers behind."""
    origin.serve()
    gateway = start(configuration(origin, log={"access": "off"}))
    client = gateway.connect()
    client.ask(get())
    before = gateway.anonymous_bytes()
    for _ in range(3):
        wave = [gateway.connect().send(get()) for _ in range(200)]
        for one in wave:
            one.read_response()
        for one in wave:
            one.reset()
    assert client.ask(get()).status == 200
    gateway.rest()
    assert gateway.anonymous_bytes() - before < 1024 * KIB


def test_large_head_is_not_kept_by_an_idle_connection(start, origin):
    """After a request of 200 KiB an idle connection owns no buffer."""
    count = 50
    origin.serve()
    gateway = start(configuration(origin, listener={"limits": {"header_bytes": "256KiB"}}, log={"access": "off"}))
    request = get(fields=["A: " + "b" * 200_000])
    assert gateway.connect().ask(request, "GET").status == 200
    gateway.rest()
    before = gateway.anonymous_bytes()
    for _ in range(count):
        assert gateway.connect().ask(request, "GET").body == b"ok"
    assert_each_below(8 * KIB, gateway, before, count)
