"""How many requests an upstream gets at once: learned, fixed, or left alone."""

import json
import re
import select
import subprocess

import pytest

from admin import Admin
from gateway import BINARY, configuration, eventually, free_port, sanitizer
from raw import TIMEOUT, get, response
from servers import Server, tool

CAPACITY = 8


def concurrency(gateway, what, **labels):
    origin = gateway.config["upstreams"][0]["endpoints"][0]["address"]
    return Admin(gateway).metrics().get(f"weir_upstream_concurrency_{what}", upstream="origin", endpoint=origin, **labels)


@pytest.fixture
def limited():
    """A backend that serves 8 requests at once, in 5 ms, is slowed down by more and resets what is beyond 512."""
    port = free_port()
    server = Server([BINARY, "origin", "--listen", f"127.0.0.1:{port}", "--capacity", str(CAPACITY),
        "--service-time", "5ms", "--reset-above", "512"], port)
    yield server
    server.stop()


def load(url, clients, seconds):
    """As many requests as these clients get answered, a second; and what else wrk had to say."""
    told = subprocess.run([tool("wrk"), "-t1", f"-c{clients}", f"-d{seconds}", "--timeout", "10", url],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True).stdout.decode()
    total = re.search(r"(\d+) requests in ([\d.]+)s", told)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+)", told)
    assert errors is None or errors.groups() == ("0", "0", "0"), told
    return (int(total[1]) - (int(failed[1]) if failed else 0)) / float(total[2])


def with_admin(origin, **upstream):
    return configuration(origin, upstream=upstream, workers=2, admin={"address": f"127.0.0.1:{free_port()}"},
        log={"access": "off"})


@pytest.mark.alone
@pytest.mark.skipif(sanitizer() is not None, reason="the gateway itself is then what limits")
def test_a_backend_is_held_where_it_serves_best(start, limited):
    """Without a limit it would thrash: a third of what it can with 100 at once. What it can is measured beside it."""
    gateway = start(with_admin(limited))
    shares = []
    for _ in range(3):
        direct = load(f"http://{limited.address}/", CAPACITY, 2)
        shares.append(load(gateway.url(), 128, 6) / direct)
        if shares[-1] >= 0.85:
            break
    assert max(shares) >= 0.7, shares
    assert concurrency(gateway, "limit") <= 4 * CAPACITY
    assert concurrency(gateway, "latency_seconds") > 0.002


@pytest.mark.alone
@pytest.mark.skipif(sanitizer() is not None, reason="the gateway itself is then what limits")
def test_nothing_is_reset(start, limited):
    """More clients than the backend survives."""
    gateway = start(with_admin(limited, pool={"max_connections": 1000, "acquire_timeout": "10s"}))
    assert load(gateway.url(), 600, 4) > 0
    limited.process.terminate()
    assert eventually(lambda: re.search(r"(\d+) reset as too many", limited.output.text()))[1] == "0"


def test_a_fixed_number_waits_in_the_queue(start, origin):
    gateway = start(configuration(origin, upstream={"concurrency": 2},
        admin={"address": f"127.0.0.1:{free_port()}"}))
    clients = [gateway.connect().send(get(f"/{i}")) for i in range(3)]
    wires = [origin.accept(), origin.accept()]
    for wire in wires:
        wire.read_request()
    assert origin.is_untouched()
    assert concurrency(gateway, "limit") == 2
    wires[0].send(response())
    wires[0].read_request()
    for wire in wires:
        wire.send(response())
    assert {client.read_response().status for client in clients} == {200}


def test_long_polls_lock_nobody_out(start, origin):
    """As many as there may be by default: none of them is answered, and each of them reaches the service."""
    gateway = start(configuration(origin, upstream={"pool": {"acquire_timeout": "100s", "max_connections": 120, "max_connecting": 120},
        "timeouts": {"first_byte": "100s", "request": "100s"}}, admin={"address": f"127.0.0.1:{free_port()}"}))
    assert concurrency(gateway, "reason", reason="none") == 1
    assert concurrency(gateway, "moved_seconds") == 0
    clients = [gateway.connect().send(get(f"/{i}")) for i in range(110)]
    wires = [origin.accept() for _ in clients]
    for wire in wires:
        wire.read_request()
    assert concurrency(gateway, "reason", reason="no_answers") == 1
    assert concurrency(gateway, "reason", reason="none") == 0
    assert 0 < concurrency(gateway, "moved_seconds") < 60
    for wire in wires:
        wire.send(response())
    assert {client.read_response().status for client in clients} == {200}


def test_a_reload_fixes_it_and_lets_it_go(start, origin):
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 50}},
        admin={"address": f"127.0.0.1:{free_port()}"}))
    assert concurrency(gateway, "limit") == 50
    for setting, limit in ((7, 7), ("off", 50), ("auto", 50)):
        config = json.loads(json.dumps(gateway.config))
        config["upstreams"][0]["concurrency"] = setting
        gateway.reload(config)
        assert concurrency(gateway, "limit") == limit
        assert concurrency(gateway, "reason", reason="configured") == (setting != "auto")


def test_slow_uploads_stand_beside_the_limit(start, origin):
    """While somebody waits, and until they are sent."""
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 2, "queue": "off"}},
        admin={"address": f"127.0.0.1:{free_port()}"}))
    uploads = [gateway.connect().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx") for _ in range(2)]
    wires = [origin.accept() for _ in uploads]
    for wire in wires:
        assert wire.read_head().method == "POST"
    waiting = gateway.connect().send(get())
    eventually(lambda: concurrency(gateway, "parked") == 2)
    uploads[0].send("y")
    eventually(lambda: concurrency(gateway, "parked") == 1)
    uploads[1].send("y")
    eventually(lambda: concurrency(gateway, "parked") == 0)
    for wire in wires:
        assert wire.take(2) == b"xy"
        wire.send(response(b"taken"))
    assert [client.read_response().body for client in uploads] == [b"taken"] * 2
    served = next(wire for wire in wires if wire.sock in select.select([wire.sock for wire in wires], [], [], TIMEOUT)[0])
    assert served.read_head().method == "GET"
    served.send(response(b"at last"))
    assert waiting.read_response().body == b"at last"
