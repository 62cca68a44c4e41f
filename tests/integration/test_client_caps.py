"""`limits.connections_per_client`: what one client may have at a listener, over all workers, and that no place is lost."""

import contextlib
import json
import socket

import pytest

from admin import Admin
from certificates import Authority
from gateway import configuration, eventually, free_port, merged, needs_ipv6, run
from raw import TIMEOUT, Wire, get

CAP = 3


@pytest.fixture
def capped(start, origin):
    def begin(listener=None, cap=CAP, **more):
        origin.serve()
        listener = merged({"limits": {"connections_per_client": cap}}, listener)
        gateway = start(configuration(origin, listener=listener, admin={"address": f"127.0.0.1:{free_port()}"}, **more))
        gateway.admin = Admin(gateway)
        return gateway
    return begin


def connect(gateway, source="127.0.0.1", listener=0):
    wire = Wire(socket.create_connection(gateway.address(listener), TIMEOUT, (source, 0)))
    gateway.wires.append(wire)
    return wire


def is_served(gateway, source="127.0.0.1", first=b""):
    """Whether one more of this client is. It does not stay."""
    wire = connect(gateway, source)
    with contextlib.closing(wire), contextlib.suppress(OSError, AssertionError):
        return wire.ask(first + get(), "GET").status == 200
    return False


def fill(gateway, count=CAP, source="127.0.0.1", first=b""):
    clients = [connect(gateway, source) for _ in range(count)]
    for client in clients:
        assert client.ask(first + get(), "GET").status == 200
    return clients


def assert_all_places_are_free(gateway):
    """As many as may be are there again, and not one more."""
    def is_whole():
        clients = [connect(gateway) for _ in range(CAP)]
        with contextlib.ExitStack() as stack:
            for client in clients:
                stack.enter_context(contextlib.closing(client))
            with contextlib.suppress(OSError, AssertionError):
                return all([client.ask(get()).status == 200 for client in clients]) and not is_served(gateway)
        return False

    eventually(is_whole)


def assert_turned_away(client):
    answer = client.read_response()
    body = json.loads(answer.body)
    assert (answer.status, body["error"]) == (503, "client_connections_limited")
    assert "this client" in body["message"]
    assert answer.get("Retry-After") and answer.get("Connection") == "close"
    client.half_close().expect_end()


def test_one_more_is_told_so(capped):
    gateway = capped()
    clients = fill(gateway)
    assert_turned_away(connect(gateway))
    assert is_served(gateway, "127.0.0.2")
    clients.pop().close()
    eventually(lambda: is_served(gateway))
    metrics = gateway.admin.metrics()
    assert int(metrics.get("weir_connections_capped_total")) >= 1
    assert int(metrics.get("weir_connections_refused_total")) == 0
    assert int(metrics.get("weir_exchanges_total", cause="client_connections_limited")) >= 1


def test_over_all_workers(capped):
    """Exactly as many are served, however the kernel spreads them."""
    gateway = capped(workers=4)
    clients = [connect(gateway) for _ in range(10 * CAP)]
    statuses = []
    for client in clients:
        with contextlib.suppress(OSError, AssertionError):
            statuses.append(client.ask(get()).status)
    assert statuses.count(200) == CAP


def test_who_is_sent_away_takes_no_place_of_others(capped):
    """A client that hammers at its cap has neither the listener's places nor the memory that tells of them."""
    gateway = capped({"limits": {"connections": CAP + 2}})
    fill(gateway)
    crowd = [connect(gateway) for _ in range(300)]
    assert fill(gateway, 2, "127.0.0.2")
    for client in crowd:
        client.close()
    assert is_served(gateway, "127.0.0.2") is False   # the listener itself is full


@needs_ipv6
def test_ipv6_is_counted_by_prefix(capped):
    """All of ::1/64 is one client; with 128 bits an address is one."""
    gateway = capped({"address": f"[::1]:{free_port()}"})
    fill(gateway, source="::1")
    assert_turned_away(connect(gateway, "::1"))


# --- clients that a proxy names --------------------------------------------------------------------------------------

TRUSTING = {"trusted_proxies": ["127.0.0.1"], "proxy_protocol": "any"}


def named(address):
    family = "TCP6" if ":" in address else "TCP4"
    to = "2001:db8:ffff::1" if ":" in address else "198.51.100.1"
    return f"PROXY {family} {address} {to} 40000 443\r\n".encode()


def test_named_clients_count(capped):
    """Not the proxy, which all connections are from."""
    gateway = capped(TRUSTING)
    fill(gateway, first=named("192.0.2.1"))
    more = connect(gateway).send(named("192.0.2.1"))
    assert_turned_away(more)
    fill(gateway, first=named("192.0.2.2"))
    # The proxy itself, which looks whether the gateway is there.
    fill(gateway, CAP + 2, first=b"PROXY UNKNOWN\r\n")


def test_named_clients_by_prefix(capped):
    gateway = capped(merged(TRUSTING, {"limits": {"client_prefix": 56}}))
    fill(gateway, 1, first=named("2001:db8:0:1::1"))
    fill(gateway, 1, first=named("2001:db8:0:2::1"))
    fill(gateway, 1, first=named("2001:db8:0:ff::1"))
    assert_turned_away(connect(gateway).send(named("2001:db8:0:3::1")))
    assert is_served(gateway, first=named("2001:db8:0:100::1"))


def test_who_is_not_named_yet_counts_for_nobody(capped):
    gateway = capped(TRUSTING)
    for _ in range(2 * CAP):
        connect(gateway)
    fill(gateway, first=named("192.0.2.1"))


# --- no place is lost ------------------------------------------------------------------------------------------------

ENDS = {
    "closes": lambda client: client.close(),
    "resets": lambda client: client.reset(),
    "ends its direction": lambda client: client.half_close().read_to_end(),
    "speaks nonsense": lambda client: client.send(b"\x16\x03\x01 nonsense\r\n\r\n").read_to_end(),
    "is served and goes": lambda client: (client.ask(get()), client.close()),
    "asks to close": lambda client: client.ask(get(fields=["Connection: close"])),
    "goes with a request under way": lambda client: client.send(get("/")).wait_taken() or client.reset(),
    "speaks HTTP/2": lambda client: client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").wait_taken() or client.close(),
    "breaks HTTP/2": lambda client: client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"x" * 100).wait_taken() or client.reset(),
}


# The others have their time.
SOON = {"keep_alive": "1s", "header": "1s"}
TOO_LATE = {
    "is silent for too long": lambda client: client.read_to_end(),
    "sends half a head": lambda client: client.send(b"GET / HT").read_to_end(),
}


@pytest.mark.parametrize("end, timeouts", [*((end, {}) for end in ENDS.values()), *((end, SOON) for end in TOO_LATE.values())],
    ids=[*ENDS, *TOO_LATE])
def test_a_place_goes_with_its_connection(capped, end, timeouts):
    gateway = capped({"protocols": ["h1", "h2"], "timeouts": timeouts})
    for client in [connect(gateway) for _ in range(CAP)]:
        with contextlib.suppress(OSError):
            end(client)
        client.close()
    assert_all_places_are_free(gateway)


def test_tls(capped, tmp_path):
    """One too many is closed without a word; places of handshakes that fail come back too."""
    authority = Authority(tmp_path / "authority")
    certificate = authority.issue("localhost")
    gateway = capped({"tls": {"certificates": [{"cert": str(certificate.cert), "key": str(certificate.key)}]}})
    context = authority.context()

    def ask():
        wire = connect(gateway)
        wire.sock = context.wrap_socket(wire.sock, server_hostname="localhost")
        assert wire.ask(get()).status == 200
        return wire

    for _ in range(2 * CAP):
        wire = connect(gateway)
        wire.send(b"no handshake\r\n\r\n").expect_gone()
    clients = [ask() for _ in range(CAP)]
    assert connect(gateway).expect_gone() == b""
    clients.pop().close()

    def is_served_again():
        with contextlib.suppress(OSError, AssertionError):
            return ask()
        return None

    assert eventually(is_served_again)
    assert int(gateway.admin.metrics().get("weir_connections_capped_total")) >= 1


def test_reload(capped):
    """Who is there already counts when a cap comes; who is beyond a lower one stays; without one everybody may come."""
    gateway = capped(cap=0)
    clients = fill(gateway, 5)
    config = merged(gateway.config, {})
    config["listeners"][0]["limits"]["connections_per_client"] = 5
    gateway.reload(config)
    assert_turned_away(connect(gateway))
    config["listeners"][0]["limits"]["connections_per_client"] = 2
    gateway.reload(config)
    for client in clients:
        assert client.ask(get()).status == 200
    for client in clients[:3]:
        client.close()
    eventually(lambda: gateway.admin.metrics().get("weir_connections_open") == 2)
    assert_turned_away(connect(gateway))
    config["listeners"][0]["limits"]["connections_per_client"] = 0
    gateway.reload(config)
    more = fill(gateway, 10)
    config["listeners"][0]["limits"]["connections_per_client"] = 13
    gateway.reload(config)
    assert is_served(gateway)
    for client in clients + more:
        client.close()
    config["listeners"][0]["limits"]["connections_per_client"] = CAP
    gateway.reload(config)
    assert_all_places_are_free(gateway)


def test_what_is_refused(tmp_path):
    file = tmp_path / "weir.yaml"
    text = json.dumps(configuration("127.0.0.1:1", listener={"limits": {"client_prefix": 56}}))
    file.write_text(text)
    told = run("check", file)
    assert told.returncode == 2
    assert "listeners[0].limits.client_prefix: nothing is counted by client here" in told.stderr
    file.write_text(text.replace('"client_prefix": 56', '"connections_per_client": 10, "client_prefix": 129'))
    told = run("check", file)
    assert told.returncode == 2
    assert "allowed: a whole number from 1 to 128 (default 64)" in told.stderr
