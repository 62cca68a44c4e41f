"""Where it listens and connects: IPv4, IPv6, unix sockets; which endpoint is next."""

import socket
import threading

from gateway import configuration, eventually, free_port, needs_ipv6
from raw import Wire, get, post, response


def test_upstream_on_a_unix_socket(start, make_origin, tmp_path):
    origin = make_origin(path=tmp_path / "origin")
    gateway = start(configuration(origin))
    client = gateway.connect().send(get("/unix"))
    _, request = origin.answer(response("x"))
    assert request.target == "/unix"
    assert client.read_response().body == b"x"


def test_end_on_a_unix_socket_is_no_failure(start, make_origin, tmp_path):
    """Whoever closes there ends both directions at once. Content until the close is whole all the same."""
    origin = make_origin(path=tmp_path / "origin")
    gateway = start(configuration(origin))
    client = gateway.connect()
    for content in ("", "short", 300_000 * "x"):
        client.send(get())
        wire = origin.accept()
        wire.read_request()
        closer = threading.Thread(target=lambda: (wire.send("HTTP/1.1 200 OK\r\n\r\n" + content), wire.close()))
        closer.start()
        assert client.read_response().body == content.encode()
        closer.join()
    assert all(record["cause"] is None for record in gateway.records(3))


def test_reset_on_a_unix_socket_is_a_failure(start, make_origin, tmp_path):
    """That of whoever closes without having read everything: what it has said may be cut off."""
    origin = make_origin(path=tmp_path / "origin")
    gateway = start(configuration(origin))
    client = gateway.connect().send(post("request that is not read"))
    wire = origin.accept()
    wire.sock.recv(10)
    wire.send("HTTP/1.1 200 OK\r\n\r\nhalf")
    client.read_head()
    assert client.read_chunk() == b"half"
    wire.close()
    client.expect_abort()
    assert gateway.record()["cause"] == "upstream_reset"


@needs_ipv6
def test_upstream_on_ipv6(start, make_origin):
    origin = make_origin(host="::1")
    client = start(configuration(origin)).connect().send(get("/six"))
    _, request = origin.answer(response("x"))
    assert request.target == "/six"
    assert client.read_response().body == b"x"


def test_listener_on_a_unix_socket(start, origin, tmp_path):
    path = tmp_path / "weir"
    origin.serve()
    start(configuration(origin, listener={"address": f"unix:{path}"}))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        assert Wire(sock).ask(get()).status == 200


def test_two_workers_listen_on_a_unix_socket(start, origin, tmp_path):
    path = tmp_path / "weir"
    origin.serve()
    start(configuration(origin, workers=2, listener={"address": f"unix:{path}"}))
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            assert Wire(sock).ask(get()).status == 200


@needs_ipv6
def test_listener_on_ipv6(start, origin):
    origin.serve()
    gateway = start(configuration(origin, listener={"address": f"[::1]:{free_port()}"}))
    assert gateway.connect().ask(get()).status == 200


@needs_ipv6
def test_every_address_of_both_families_on_one_port(start, origin):
    """[::] is the IPv6 side only, so that a rule for 10.0.0.0/8 never meets ::ffff:10.0.0.1."""
    port = free_port()
    origin.serve()
    config = configuration(origin, listener={"address": f"0.0.0.0:{port}"})
    config["listeners"].append({"name": "six", "address": f"[::]:{port}"})
    gateway = start(config)
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, port)) as sock:
            assert Wire(sock).ask(get()).status == 200
    assert [record["client"] for record in gateway.records(2)] == ["127.0.0.1", "::1"]


def test_two_listeners(start, origin):
    origin.serve()
    config = configuration(origin)
    config["listeners"].append({"name": "second", "address": f"127.0.0.1:{free_port()}"})
    gateway = start(config)
    assert gateway.connect(0).ask(get()).status == 200
    assert gateway.connect(1).ask(get()).status == 200
    assert [record["listener"] for record in gateway.records(2)] == ["public", "second"]


def test_round_robin_over_two_endpoints(start, make_origin):
    origins = [make_origin().serve(), make_origin().serve()]
    gateway = start(configuration(*origins, upstream={"balance": {"policy": "round_robin"}}))
    client = gateway.connect()
    for _ in range(10):
        assert client.ask(get()).status == 200
    assert [len(origin.requests) for origin in origins] == [5, 5]


def test_round_robin_by_weight(start, make_origin):
    origins = [make_origin().serve(), make_origin().serve()]
    config = configuration(*origins, upstream={"balance": {"policy": "round_robin"}})
    config["upstreams"][0]["endpoints"][0]["weight"] = 4
    client = start(config).connect()
    for _ in range(10):
        client.ask(get())
    assert [len(origin.requests) for origin in origins] == [8, 2]


def test_least_request_avoids_the_busy_endpoint(start, make_origin):
    origins = [make_origin(), make_origin()]
    gateway = start(configuration(*origins, upstream={"balance": {"policy": "least_request"}}))
    gateway.connect().send(get("/stays"))
    busy = eventually(lambda: next((origin for origin in origins if origin.is_wanted()), None))
    busy.accept()
    idle = origins[1 - origins.index(busy)].serve()
    client = gateway.connect()
    for _ in range(5):
        assert client.ask(get()).status == 200
    assert len(idle.requests) == 5
    assert busy.is_untouched()
