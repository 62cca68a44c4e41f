"""The PROXY protocol: taken from trusted proxies, and told to upstreams."""

import json
import signal
import socket
import ssl
import struct
import time

import pytest

from certificates import Authority
from gateway import configuration, eventually, free_port, merged, run
from proxy_header import SIGNATURE
from raw import Wire, get, response
from servers import command, nginx
from admin import Admin

NAMED = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n"
TRUSTING = {"trusted_proxies": ["127.0.0.1"], "proxy_protocol": "any"}


def header(kind, addresses, version=0x21):
    return SIGNATURE + struct.pack(">BBH", version, kind, len(addresses)) + addresses


def v2(source="192.0.2.7", destination="198.51.100.1", ports=(40000, 443)):
    family, kind = (socket.AF_INET6, 0x21) if ":" in source else (socket.AF_INET, 0x11)
    packed = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    return header(kind, packed + struct.pack(">HH", *ports))


UNIX = header(0x31, b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0"))


def port_of(client):
    """As the gateway sees it."""
    return (client.translator() or client).sock.getsockname()[1]


@pytest.fixture
def proxied(start, origin):
    """A gateway that expects the header, and has an administration."""
    def begin(listener=None, **more):
        origin.serve()
        gateway = start(configuration(origin, listener=merged(TRUSTING, listener),
            admin={"address": f"127.0.0.1:{free_port()}"}, **more))
        gateway.admin = Admin(gateway)
        return gateway
    return begin


def refused(gateway):
    metrics = gateway.admin.metrics()
    return {reason: int(metrics.get("weir_proxy_headers_refused_total", reason=reason))
        for reason in ("untrusted", "malformed", "late")}


def connect_from(gateway, address):
    wire = Wire(socket.create_connection(gateway.address(), 10, (address, 0)))
    gateway.wires.append(wire)
    return wire


# --- from clients ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first, peer", [
    (NAMED, "192.0.2.7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n", "2001:db8::7"),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", "192.0.2.7"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (v2(), "192.0.2.7"),
    (v2("2001:db8::7", "::1"), "2001:db8::7"),
    (UNIX, "unknown"),
    (header(0x00, b""), "127.0.0.1"),
    (header(0x00, b"anything", version=0x20), "127.0.0.1"),
], ids=["v1", "v1 IPv6", "v1 mapped", "v1 unknown", "v2", "v2 IPv6", "v2 unix", "v2 unspec", "v2 local"])
def test_the_peer_is_who_is_named(proxied, origin, first, peer):
    gateway = proxied()
    wire = gateway.connect().send(first + get())
    assert wire.read_response().status == 200
    assert wire.ask(get("/again")).status == 200
    assert [request.get("X-Forwarded-For") for request in origin.requests] == [peer, peer]
    # A unix client has no address in the log either.
    assert {record["client"] for record in gateway.records(2)} == {"unix:" if peer == "unknown" else peer}
    assert sum(refused(gateway).values()) == 0


@pytest.mark.parametrize("first", [NAMED, v2()], ids=["v1", "v2"])
def test_byte_by_byte(proxied, origin, first):
    gateway = proxied()
    wire = gateway.connect().send_apart([first[i:i + 1] for i in range(len(first))])
    assert wire.ask(get()).status == 200
    assert origin.requests[0].get("X-Forwarded-For") == "192.0.2.7"


def test_the_named_one_is_not_trusted(proxied, origin):
    """The proxy is trusted with the header. What its client says of others is believed only of a trusted proxy."""
    gateway = proxied({"trusted_proxies": ["127.0.0.1", "192.0.2.8"]})
    lie = get(fields=["X-Forwarded-For: 203.0.113.9"])
    for first in (NAMED, v2("192.0.2.8"), UNIX):
        gateway.connect().send(first).ask(lie)
    assert [request.get("X-Forwarded-For") for request in origin.requests] == \
        ["192.0.2.7", "203.0.113.9, 192.0.2.8", "unknown"]
    assert [record["client"] for record in gateway.records(3)] == ["192.0.2.7", "203.0.113.9", "unix:"]


def test_from_nobody_else(proxied, origin):
    gateway = proxied()
    connect_from(gateway, "127.0.0.2").expect_gone()
    wire = connect_from(gateway, "127.0.0.2").send(NAMED + get())
    assert wire.expect_gone() == b""
    assert eventually(lambda: refused(gateway) == {"untrusted": 2, "malformed": 0, "late": 0})
    assert origin.requests == []


@pytest.mark.parametrize("version, first", [
    ("any", get()), ("any", b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 70000\r\n"), ("any", NAMED[:-2] + b"\n" + get()),
    ("any", header(0x11, b"short")), ("any", header(0x11, bytes(12) + b"\x03\0\4oops")), ("v1", v2()), ("v2", NAMED),
    ("v1", b"PROXY UNKNOWN " + b"x" * 200), ("any", SIGNATURE + b"\x21\x11\xff\xff"),
    ("any", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
], ids=["none", "bad port", "bare LF", "too short", "bad checksum", "v2 for v1", "v1 for v2", "no end", "too long", "TLS"])
def test_malformed(proxied, origin, version, first):
    gateway = proxied({"proxy_protocol": version})
    assert gateway.connect().send(first).expect_gone() == b""
    assert eventually(lambda: refused(gateway) == {"untrusted": 0, "malformed": 1, "late": 0})
    assert origin.requests == []


def test_late(proxied):
    gateway = proxied({"timeouts": {"header": "200ms"}})
    begun = time.monotonic()
    silent, half = gateway.connect(), gateway.connect().send(NAMED[:20])
    assert silent.expect_gone() == b"" and half.expect_gone() == b""
    assert time.monotonic() - begun >= 0.19
    assert eventually(lambda: refused(gateway) == {"untrusted": 0, "malformed": 0, "late": 2})


def test_who_only_looks_in(proxied):
    """A connection that ends without a byte is a health check; one that ends within its header is not."""
    gateway = proxied()
    gateway.connect().half_close().expect_gone()
    gateway.connect().send(NAMED[:20]).half_close().expect_gone()
    assert eventually(lambda: refused(gateway) == {"untrusted": 0, "malformed": 1, "late": 0})


def test_drain_waits_for_a_name_no_longer_than_for_a_request(proxied):
    gateway = proxied(drain_timeout="30s")
    gateway.connect()
    eventually(lambda: gateway.admin.metrics().get("weir_connections_open") == 1)
    gateway.signal(signal.SIGTERM)
    assert gateway.wait(20) == 0


def test_beyond_the_limit(proxied):
    """Who is one too many is told so all the same."""
    gateway = proxied({"limits": {"connections": 1}})
    first = gateway.connect().send(NAMED)
    assert first.ask(get()).status == 200
    assert gateway.connect().send(NAMED).ask(get()).status == 503


def test_reload(proxied, origin):
    """Connections keep the name that they came with; the next ones begin as the new configuration says."""
    gateway = proxied()
    named, unnamed = gateway.connect().send(NAMED), gateway.connect()
    assert named.ask(get()).status == 200
    gateway.reload(merged(gateway.config, {"listeners": [merged(gateway.config["listeners"][0], {"proxy_protocol": "off"})]}))
    assert named.ask(get()).status == 200
    assert unnamed.send(NAMED).ask(get()).status == 200
    assert gateway.connect().ask(get()).status == 200
    assert [request.get("X-Forwarded-For") for request in origin.requests] == ["192.0.2.7"] * 3 + ["127.0.0.1"]


def test_reload_takes_the_trust_away(proxied):
    gateway = proxied()
    waiting = gateway.connect().send_apart([NAMED[:20]])
    gateway.reload(merged(gateway.config, {"listeners": [merged(gateway.config["listeners"][0],
        {"trusted_proxies": ["192.0.2.0/24"]})]}))
    assert waiting.send(NAMED[20:] + get()).expect_gone() == b""
    assert eventually(lambda: refused(gateway) == {"untrusted": 1, "malformed": 0, "late": 0})


def test_curl(proxied, origin):
    gateway = proxied()
    assert command("curl", "-sS", "--haproxy-protocol", gateway.url()) == "ok"
    assert origin.requests[0].get("X-Forwarded-For") == "127.0.0.1"


# --- TLS behind it ---------------------------------------------------------------------------------------------------


def ask_by_tls(wire, context, first, request, apart):
    """The header, a handshake and a request, all of it by hand; what came back. `apart`: the header has a segment of its own."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    if apart:
        wire.send_apart([first, outgoing.read()])
    else:
        wire.send(first + outgoing.read())
    begun, answer = False, b""
    while not answer:
        incoming.write(wire.sock.recv(65536) or pytest.fail("ended in the handshake"))
        try:
            if not begun:
                tls.do_handshake()
                begun = True
                tls.write(request)
            answer = tls.read(65536)
        except ssl.SSLWantReadError:
            pass
        wire.send(outgoing.read())
    return answer


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "at once"])
def test_tls_of_nginx(tmp_path, authority, apart):
    """The client of the next test is in order."""
    certificate = authority.issue("localhost")
    server = nginx(tmp_path, f"ssl_certificate {certificate.cert}; ssl_certificate_key {certificate.key}; "
        'location = /who { return 200 "$proxy_protocol_addr"; }', listen="ssl proxy_protocol")
    try:
        wire = Wire(socket.create_connection(("127.0.0.1", server.port)))
        assert ask_by_tls(wire, authority.context(), NAMED, get("/who"), apart).endswith(b"192.0.2.7")
    finally:
        server.stop()


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "at once"])
@pytest.mark.parametrize("first", [NAMED, v2()], ids=["v1", "v2"])
def test_tls(start, origin, tmp_path, authority, first, apart):
    """Not a byte of the handshake is taken for the header, nor lost with it."""
    certificate = authority.issue(f"localhost-{apart}-{len(first)}", "localhost")
    config = configuration(origin.serve(), listener={**TRUSTING,
        "tls": {"certificates": [{"cert": str(certificate.cert), "key": str(certificate.key)}]}})
    file = tmp_path / "tls.yaml"
    file.write_text(json.dumps(config))
    if "tls: not supported by this version" in run("check", file).stderr:
        pytest.skip("this version does not speak TLS")
    gateway = start(config)
    assert b" 200 " in ask_by_tls(gateway.connect(), authority.context(), first, get(), apart)
    assert origin.requests[0].get("X-Forwarded-For") == "192.0.2.7"


# --- to upstreams ----------------------------------------------------------------------------------------------------


def read_header(wire):
    """What the header names: source, destination, and their ports."""
    start = wire.take(1)
    if start == b"P":
        _, family, source, destination, *ports = (start + wire.take_line()).decode().split(" ")
        assert family in ("TCP4", "TCP6")
        return source, destination, *map(int, ports)
    assert start + wire.take(12) == SIGNATURE + b"\x21"
    kind, length = struct.unpack(">BH", wire.take(3))
    body = wire.take(length)
    family, n = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}[kind]
    assert length == 2 * n + 4
    return socket.inet_ntop(family, body[:n]), socket.inet_ntop(family, body[n:2 * n]), *struct.unpack(">HH", body[2 * n:])


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_upstreams_are_told(start, origin, version):
    gateway = start(configuration(origin, upstream={"proxy_protocol": version}))
    client = gateway.connect()
    for _ in range(2):
        client.send(get())
        wire = origin.accept()
        assert read_header(wire) == ("127.0.0.1", "127.0.0.1", port_of(client), gateway.port)
        wire.read_request()
        wire.send(response("ok"))
        assert client.read_response().body == b"ok"
        # It names one client, so nobody else gets it.
        wire.expect_end()


def test_what_was_named_is_told_on(start, origin):
    gateway = start(configuration(origin, listener=TRUSTING, upstream={"proxy_protocol": "v1"}))
    client = gateway.connect().send(v2("2001:db8::7", "::1", (4000, 443)) + get())
    wire = origin.accept()
    assert read_header(wire) == ("2001:db8::7", "::ffff:127.0.0.1", 4000, gateway.port)
    wire.read_request()
    wire.send(response("ok"))
    assert client.read_response().status == 200


def test_no_address_to_tell(start, origin, tmp_path):
    path = tmp_path / "sock"
    gateway = start(configuration(origin, listener={"address": f"unix:{path}"}, upstream={"proxy_protocol": "v1"}))
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    client = Wire(sock)
    gateway.wires.append(client)
    client.send(get())
    wire = origin.accept()
    assert wire.take_line() == b"PROXY UNKNOWN"
    wire.read_request()


def test_each_client_by_name(start, make_origin):
    """Many clients at once, with content: no connection ever carries another one's request."""
    def answer(wire, origin):
        source, _, port, _ = read_header(wire)
        request = wire.read_request()
        origin.note(request)
        wire.send(response(f"{source} {port}"))
        wire.expect_end()

    origin = make_origin().serve(answer)
    gateway = start(configuration(origin, upstream={"proxy_protocol": "v2", "pool": {"min_idle": 2, "max_connections": 4}}))
    clients = [gateway.connect() for _ in range(16)]
    for _ in range(3):
        for client in clients:
            client.send(get())
        for client in clients:
            assert client.read_response().body.decode() == f"127.0.0.1 {port_of(client)}"
    assert len(origin.requests) == 48 and origin.errors == []


def test_a_stale_connection_is_named_again(start, make_origin):
    """One that was kept ready has gone: the request is sent again, header first."""
    origin = make_origin()
    gateway = start(configuration(origin, upstream={"proxy_protocol": "v1", "pool": {"min_idle": 1, "max_connections": 4}}))
    ready = origin.accept()
    gateway.freeze()
    client = gateway.connect().send(get())
    ready.reset()
    gateway.signal(signal.SIGCONT)
    client_port = port_of(client)
    while True:
        wire = origin.accept()
        try:
            if read_header(wire)[2] == client_port:
                break
        except (AssertionError, OSError):
            continue
    wire.read_request()
    wire.send(response("ok"))
    assert client.read_response().status == 200


def test_nginx_understands(start, tmp_path):
    """nginx behind another gateway's header; its own log says whom it was told of."""
    for version in ("v1", "v2"):
        server = nginx(tmp_path / version, settings='real_ip_header proxy_protocol; set_real_ip_from 127.0.0.1; '
            'location = /who { return 200 "$proxy_protocol_addr $proxy_protocol_port"; }', listen="proxy_protocol")
        try:
            gateway = start(configuration(server, listener=TRUSTING, upstream={"proxy_protocol": version}))
            client = gateway.connect().send(NAMED)
            assert client.ask(get("/who")).body == b"192.0.2.7 40000"
        finally:
            server.stop()
