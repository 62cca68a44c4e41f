"""TLS on both sides: with Python's ssl, curl and openssl s_client as clients, Python's ssl as origin."""

import base64
import functools
import json
import re
import socket
import ssl
import subprocess
import threading

import pytest

import h2raw
from admin import Admin
from authority import authorities
from gateway import configuration, eventually, free_port, run, sanitizer
from h2raw import H2Wire
from origin import answer_all
from raw import TIMEOUT, Wire, get, post, response
from servers import command, tool
from test_cost import ANSWER, serve_fixed, system_calls
from timing import AMPLE_TEXT


class Certificates:
    def __init__(self):
        self.ca, self.other = authorities()
        self.one = self.ca.issue("one", "one.test", "*.wild.test", "127.0.0.1")
        self.two = self.ca.issue("two", "two.test")
        self.one_rsa = self.ca.issue("one-rsa", "one.test", kind="RSA")
        self.old = self.ca.issue("old", "one.test", expired=True)
        self.client = self.ca.issue("client")
        self.foreign = self.other.issue("client")


@functools.cache
def certificates():
    """Made once: an authority certifies a name once."""
    return Certificates()


@pytest.fixture
def certs():
    return certificates()


def secured(certs, *origins, tls=None, listener=None, **more):
    """One TLS listener with the certificate `one`."""
    tls = {"certificates": [certs.one], **(tls or {})}
    return configuration(*origins, listener={"tls": tls, **(listener or {})}, **more)


def connect(gateway, context, name="one.test", session=None):
    """A client's wire. An end without close_notify is an error on it."""
    sock = socket.create_connection(gateway.address(), TIMEOUT)
    try:
        wrapped = context.wrap_socket(sock, server_hostname=name, session=session, suppress_ragged_eofs=False)
    except OSError:
        sock.close()
        raise
    wire = Wire(wrapped)
    gateway.wires.append(wire)
    return wire


def serve_tls(origin, context, handler=answer_all):
    """The origin speaks TLS. What fails in the handshake is among its errors."""
    def serve(wire, origin):
        wire.sock = context.wrap_socket(wire.sock, server_side=True, suppress_ragged_eofs=False)
        handler(wire, origin)
    return origin.serve(serve)


def s_client(gateway, certs, *arguments, text="", name="one.test"):
    """What openssl s_client says, whatever its exit status."""
    return subprocess.run([tool("openssl"), "s_client", "-connect", f"127.0.0.1:{gateway.port}", "-CAfile", certs.ca.ca,
        "-servername", name, *arguments], input=text.encode(), capture_output=True, timeout=60, check=False
        ).stdout.decode("latin-1")


# --- requests --------------------------------------------------------------------------------------------------------


def test_request(start, origin, certs):
    gateway = start(secured(certs, origin.serve()))
    wire = connect(gateway, certs.ca.client_context())
    for _ in range(3):
        assert wire.ask(get("/", host="one.test")).body == b"ok"
    sent = origin.requests[0]
    assert sent.get("X-Forwarded-Proto") == "https"
    assert ";proto=https" in sent.get("Forwarded")
    assert sent.get("Client-Cert") is None
    record = gateway.records(3)[0]["tls"]
    assert record.pop("cipher").startswith("TLS_")
    assert record == {"version": "TLSv1.3", "server_name": "one.test", "resumed": False, "client_verify": "none",
                      "client_subject": None}


def test_plain_listener_says_http(start, origin):
    gateway = start(configuration(origin.serve()))
    assert gateway.connect().ask(get("/")).body == b"ok"
    assert origin.requests[0].get("X-Forwarded-Proto") == "http"
    assert "tls" not in gateway.record()


@pytest.mark.parametrize("version", ["--tlsv1.2", "--tlsv1.3"])
def test_curl(start, origin, certs, version):
    gateway = start(secured(certs, origin.serve()))
    url = f"https://one.test:{gateway.port}/"
    said = command("curl", "-sv", version, "--tls-max", version[-3:], "--cacert", certs.ca.ca, "--resolve",
        f"one.test:{gateway.port}:127.0.0.1", url, url)
    assert said == "okok"
    assert {r["tls"]["version"] for r in gateway.records(2)} == {version.replace("--tlsv", "TLSv")}


def test_large_bodies(start, origin, certs):
    """Through TLS on both sides, in both directions, with a client that reads late."""
    body = bytes(range(256)) * 16384

    def echo(wire, _):
        wire.send(response(wire.read_request().body))

    serve_tls(origin, certs.ca.server_context(certs.two), echo)
    gateway = start(secured(certs, origin, upstream={"tls": {"ca": certs.ca.ca, "server_name": "two.test"}}))
    wire = connect(gateway, certs.ca.client_context())
    wire.send(post(body))
    assert wire.read_response().body == body
    assert origin.errors == []


def test_pipelined_with_the_handshake(start, origin, certs):
    """What comes in one piece with the client's last handshake message is not lost."""
    gateway = start(secured(certs, origin.serve()))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = certs.ca.client_context().wrap_bio(incoming, outgoing, server_hostname="one.test")
    sock = socket.create_connection(gateway.address(), TIMEOUT)
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))
    client.write(get("/a", host="one.test") + get("/b", host="one.test"))
    sock.sendall(outgoing.read())
    gateway.records(2)
    assert [r.target for r in origin.requests] == ["/a", "/b"]
    sock.close()


def test_records_grow(start, origin, certs):
    """The first ones fit a segment, those of a stream that flows are full."""
    gateway = start(secured(certs, origin.serve(lambda wire, o: answer_all(wire, o, b"x" * 1000000))))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = certs.ca.client_context(maximum_version=ssl.TLSVersion.TLSv1_2).wrap_bio(
        incoming, outgoing, server_hostname="one.test")
    sock = socket.create_connection(gateway.address(), TIMEOUT)
    received, asked, got = bytearray(), False, 0
    while got < 1000000:
        try:
            if not asked:
                client.do_handshake()
                client.write(get("/", host="one.test"))
                asked, received = True, bytearray()
            while got < 1000000:
                got += len(client.read(65536))
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            data = sock.recv(262144)
            received += data
            incoming.write(data)
    sock.close()
    sizes, at = [], 0
    while at + 5 <= len(received):
        size = int.from_bytes(received[at + 3:at + 5], "big")
        if received[at] == 23:
            sizes.append(size)
        at += 5 + size
    assert max(sizes[:50]) <= 1400
    assert sizes[-2] > 16000
    assert 90 < sum(size <= 1400 for size in sizes) < 110


# --- the end ---------------------------------------------------------------------------------------------------------


def test_end_is_announced(start, origin, certs):
    gateway = start(secured(certs, origin.serve()))
    wire = connect(gateway, certs.ca.client_context())
    wire.send(get("/", host="one.test", fields=["Connection: close"]))
    assert wire.read_response().body == b"ok"
    assert not wire.more()      # an end without close_notify would be SSLEOFError


def test_drain_announces_the_end(start, origin, certs):
    gateway = start(secured(certs, origin.serve()))
    wire = connect(gateway, certs.ca.client_context())
    wire.ask(get("/", host="one.test"))
    gateway.signal(15)
    assert not wire.more()


UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nsome content"


def test_truncated_content_is_no_answer(start, origin, certs):
    """Content until the close, closed without close_notify: it may be half of it."""
    def cut(wire, _):
        wire.read_request()
        wire.send(UNTIL_CLOSE)
        socket.socket.shutdown(wire.sock, socket.SHUT_WR)
        wire.more()

    serve_tls(origin, certs.ca.server_context(certs.two), cut)
    gateway = start(configuration(origin, upstream={"tls": {"ca": certs.ca.ca, "server_name": "two.test"}}))
    wire = gateway.connect()
    wire.send(get("/"))
    wire.expect_abort()
    assert gateway.record()["cause"] == "upstream_reset"


def test_announced_end_is_an_answer(start, origin, certs):
    def whole(wire, _):
        wire.read_request()
        wire.send(UNTIL_CLOSE)
        wire.sock.unwrap()

    serve_tls(origin, certs.ca.server_context(certs.two), whole)
    gateway = start(configuration(origin, upstream={"tls": {"ca": certs.ca.ca, "server_name": "two.test"}}))
    assert gateway.connect().ask(get("/")).body == b"some content"
    assert gateway.record()["cause"] is None


# --- handshakes ------------------------------------------------------------------------------------------------------


def metric(gateway, name):
    host, port = gateway.config["admin"]["address"].split(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as sock:
        wire = Wire(sock)
        text = wire.ask(get("/metrics", "localhost")).body.decode()
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(name + " ")))


def with_admin(config):
    config["admin"] = {"address": f"127.0.0.1:{free_port()}"}
    return config


def test_handshake_has_a_deadline(start, certs):
    config = secured(certs, route={"respond": {"body": "ok"}}, listener={"timeouts": {"handshake": "100ms"}})
    gateway = start(with_admin(config))
    silent, slow = gateway.connect(), gateway.connect()
    slow.send(b"\x16\x03\x01\x02\x00\x01\x00")
    assert not silent.more()
    slow.expect_gone()
    eventually(lambda: metric(gateway, "weir_tls_handshakes_failed_total") == 2)


def test_handshakes_are_limited(start, certs):
    config = secured(certs, route={"respond": {"body": "ok"}}, listener={"limits": {"handshakes": 2}, "timeouts": {"handshake": "5m"}})
    gateway = start(with_admin(config))
    first = gateway.connect()
    second = gateway.connect()
    eventually(lambda: metric(gateway, "weir_connections_open") == 2)
    third = gateway.connect()
    assert not third.more()
    assert metric(gateway, "weir_tls_handshakes_refused_total") == 1

    def turned_away():
        assert not gateway.connect().more()
        return next((v for v in Admin(gateway).why("?window=60s")["verdicts"] if v["what"] == "client_connections"), None)

    verdict = eventually(turned_away)
    assert verdict["knob"]["key"].endswith(".limits.handshakes") and verdict["knob"]["now"] == 2
    first.close()
    eventually(lambda: metric(gateway, "weir_connections_open") == 1)
    wires = [connect(gateway, certs.ca.client_context()) for _ in range(3)]
    for wire in wires:
        assert wire.ask(get("/", host="one.test")).body == b"ok"
    second.close()


def test_beyond_the_limit(start, certs):
    """Nobody pays for a handshake only to be told that there is no room."""
    config = secured(certs, route={"respond": {"body": "ok"}}, listener={"limits": {"connections": 1}})
    gateway = start(with_admin(config))
    first = connect(gateway, certs.ca.client_context())
    assert first.ask(get("/", host="one.test")).body == b"ok"
    second = gateway.connect()
    assert not second.more()
    assert metric(gateway, "weir_connections_refused_total") == 1
    assert first.ask(get("/", host="one.test")).body == b"ok"


def test_not_tls(start, origin, certs):
    gateway = start(secured(certs, origin))
    wire = gateway.connect()
    wire.send(get("/"))
    wire.expect_gone()
    assert origin.is_untouched()


def test_versions(start, origin, certs):
    gateway = start(secured(certs, origin.serve(), tls={"min_version": "1.3"}))
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        connect(gateway, certs.ca.client_context(maximum_version=ssl.TLSVersion.TLSv1_2))
    assert connect(gateway, certs.ca.client_context()).sock.version() == "TLSv1.3"


def test_old_versions_and_ciphers(start, origin, certs):
    gateway = start(secured(certs, origin.serve()))
    assert "Cipher is (NONE)" in s_client(gateway, certs, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    for cipher in ("AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256", "AES128-GCM-SHA256"):
        assert "Cipher is (NONE)" in s_client(gateway, certs, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    said = s_client(gateway, certs, "-tls1_2")
    assert "Cipher is ECDHE-ECDSA" in said and "Compression: NONE" in said


def test_renegotiation_is_refused(start, origin, certs):
    gateway = start(with_admin(secured(certs, origin.serve())))
    process = subprocess.Popen([tool("openssl"), "s_client", "-connect", f"127.0.0.1:{gateway.port}", "-tls1_2", "-CAfile",
        certs.ca.ca], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        process.stdin.write(b"R\n")
        process.stdin.flush()
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert b"RENEGOTIATING" in said and b"no renegotiation" in said
    assert metric(gateway, "weir_tls_handshakes_total") == 1 and gateway.process.poll() is None


@pytest.mark.parametrize("protocols, chosen", [(None, "h2"), (["h1"], "http/1.1"), (["h2"], "h2")])
def test_protocols(start, origin, certs, protocols, chosen):
    """The client offers both, then only what is not spoken."""
    gateway = start(secured(certs, origin.serve(), listener={"protocols": protocols} if protocols else {}))
    context = certs.ca.client_context()
    context.set_alpn_protocols(["http/1.1", "h2"])
    assert connect(gateway, context).sock.selected_alpn_protocol() == chosen
    context.set_alpn_protocols({None: ["h3"], "h2": ["http/1.1"], "h1": ["h2"]}[protocols and protocols[0]])
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        connect(gateway, context)


# --- which certificate -----------------------------------------------------------------------------------------------


def common_name(wire):
    return dict(pair[0] for pair in wire.sock.getpeercert()["subject"])["commonName"]


def test_choice(start, origin, certs):
    gateway = start(secured(certs, origin.serve(), tls={"certificates": [certs.one, certs.two, certs.one_rsa]}))
    context = certs.ca.client_context(check_hostname=False)
    wanted = {"one.test": "one", "ONE.test": "one", "two.test": "two", "x.wild.test": "one", "x.y.wild.test": "one",
              "nobody.test": "one", None: "one"}
    assert {name: common_name(connect(gateway, context, name)) for name in wanted} == wanted
    said = s_client(gateway, certs, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")
    assert "ECDHE-RSA-AES128-GCM-SHA256" in said and "CN = one-rsa" in said


def test_stapling(start, origin, certs):
    certificate = {**certs.one, "ocsp": certs.ca.ocsp("one")}
    gateway = start(secured(certs, origin.serve(), tls={"certificates": [certificate, certs.two]}))
    assert "OCSP Response Status: successful" in s_client(gateway, certs, "-status")
    assert "OCSP Response Status: successful" in s_client(gateway, certs, "-status", "-tls1_2")
    assert "no response sent" in s_client(gateway, certs, "-status", name="two.test")


# --- resumption ------------------------------------------------------------------------------------------------------


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])

# Of the handshakes of clients who come back.
RATE_MIN = 0.95


class Returning:
    """A client that comes back with what it was given last."""

    def __init__(self, gateway, context):
        self.gateway, self.context = gateway, context
        self.session, self.came, self.resumed = None, 0, 0

    def come(self, times):
        for _ in range(times):
            wire = connect(self.gateway, self.context, session=self.session)
            assert wire.ask(get("/", host="one.test")).body == b"ok"
            self.came += self.session is not None
            self.resumed += wire.sock.session_reused
            self.session = wire.sock.session
            wire.close()


def resumed_of(clients):
    return sum(client.resumed for client in clients) / sum(client.came for client in clients)


def crowd_of(gateway, certs, version):
    return [Returning(gateway, certs.ca.client_context(minimum_version=version, maximum_version=version)) for _ in range(5)]


@pytest.mark.threads
@VERSIONS
def test_resumption(start, origin, certs, version):
    """Whichever of two workers it comes to."""
    gateway = start(with_admin(secured(certs, origin.serve(), workers=2)))
    clients = crowd_of(gateway, certs, version)
    for _ in range(10):
        for client in clients:
            client.come(5)
    print(f"{100 * resumed_of(clients):.1f} % resumed")
    assert sum(client.came for client in clients) == 245
    assert resumed_of(clients) > RATE_MIN
    told = sum(r["tls"]["resumed"] for r in gateway.records(250))
    assert told == metric(gateway, "weir_tls_handshakes_resumed_total") == sum(client.resumed for client in clients)


@pytest.mark.threads
@VERSIONS
def test_resumption_over_reloads(start, origin, certs, version):
    """The certificates stay, and so do the keys of tickets: nobody notices."""
    gateway = start(secured(certs, origin.serve(), workers=2))
    clients = crowd_of(gateway, certs, version)
    for _ in range(5):
        for client in clients:
            client.come(9)
        before = [client.resumed for client in clients]
        gateway.reload()
        for client in clients:
            client.come(1)
        assert [client.resumed for client in clients] == [n + 1 for n in before], "the first ones behind the reload"
    print(f"{100 * resumed_of(clients):.1f} % resumed")
    assert sum(client.came for client in clients) == 245
    assert resumed_of(clients) > RATE_MIN


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_resumption_by_openssl(start, certs, version):
    """openssl s_time comes back with its session for three seconds, and says "r" for each connection that was resumed."""
    gateway = start(secured(certs, workers=2, route={"respond": {"body": "ok"}}))
    said = command("openssl", "s_time", "-connect", f"127.0.0.1:{gateway.port}", version, "-reuse", "-www", "/", "-time", "3",
        "-CAfile", certs.ca.ca)
    marks = re.search(r"^starting\n([r*]+)$", said, re.MULTILINE)[1]
    print(f"{marks.count('r')} of {len(marks)} resumed")
    # All but the first.
    assert marks.count("r") >= RATE_MIN * (len(marks) - 1) and len(marks) > 5


# --- clients' certificates -------------------------------------------------------------------------------------------


def refused(gateway, context, name="one.test"):
    """In TLS 1.3 a client learns of it only when it reads."""
    with pytest.raises(OSError):
        wire = connect(gateway, context, name)
        wire.ask(get("/", host=name))
    return True


def client_cert(certs):
    with open(certs.client["cert"], encoding="ascii") as f:
        return f":{base64.b64encode(ssl.PEM_cert_to_DER_cert(f.read())).decode()}:"


def test_client_certificate(start, origin, certs):
    gateway = start(secured(certs, origin.serve(), tls={"client_auth": "required", "client_ca": certs.ca.ca}))
    refused(gateway, certs.ca.client_context())
    refused(gateway, certs.ca.client_context(certs.foreign))
    assert origin.requests == []
    context = certs.ca.client_context(certs.client)
    wire = connect(gateway, context)
    wire.ask(get("/", host="one.test", fields=["Client-Cert: :Zm9yZ2Vk:", "Client_Cert: :Zm9yZ2Vk:"]))
    assert origin.requests[0].get("Client-Cert") == client_cert(certs)
    assert b"Zm9yZ2Vk" not in origin.requests[0].head
    record = gateway.records(1)[0]["tls"]
    assert (record["client_verify"], record["client_subject"]) == ("ok", "CN=client")
    again = connect(gateway, context, session=wire.sock.session)
    again.ask(get("/", host="one.test"))
    assert again.sock.session_reused
    assert origin.requests[1].get("Client-Cert") == client_cert(certs)


def test_client_certificate_optional(start, origin, certs):
    gateway = start(secured(certs, origin.serve(), tls={"client_auth": "optional", "client_ca": certs.ca.ca}))
    refused(gateway, certs.ca.client_context(certs.foreign))
    connect(gateway, certs.ca.client_context()).ask(get("/", host="one.test", fields=["Client-Cert: :Zm9yZ2Vk:"]))
    connect(gateway, certs.ca.client_context(certs.client)).ask(get("/", host="one.test"))
    assert [r.get("Client-Cert") for r in origin.requests] == [None, client_cert(certs)]


def test_client_certificate_is_not_forged(start, origin, certs):
    """On any listener; only a trusted proxy may say who its client is."""
    gateway = start(configuration(origin.serve()))
    gateway.connect().ask(get("/", fields=["Client-Cert: :Zm9yZ2Vk:", "client-cert-chain: :Zm9yZ2Vk:"]))
    assert b"Zm9yZ2Vk" not in origin.requests[0].head
    trusting = start(configuration(origin, listener={"trusted_proxies": ["127.0.0.1"]}))
    trusting.connect().ask(get("/", fields=["Client-Cert: :dHJ1c3RlZA==:"]))
    assert origin.requests[1].get("Client-Cert") == ":dHJ1c3RlZA==:"


def mixed(certs, origin):
    rules = {"client_auth": "required", "client_ca": certs.ca.ca}
    return secured(certs, origin.serve(), tls={"certificates": [certs.one, {**certs.two, **rules}]})


def test_misdirected_request(start, origin, certs):
    gateway = start(mixed(certs, origin))
    wire = connect(gateway, certs.ca.client_context(), "one.test")
    assert wire.ask(get("/", host="one.test")).status == 200
    answer = wire.ask(get("/", host="TWO.test:443"))
    assert (answer.status, json.loads(answer.body)["error"]) == (421, "misdirected_request")
    assert wire.ask(get("/", host="other.test")).status == 200
    wire = connect(gateway, certs.ca.client_context(certs.client), "two.test")
    assert wire.ask(get("/", host="two.test")).status == 200
    assert wire.ask(get("/", host="one.test")).status == 421


@pytest.mark.parametrize("order", [1, -1], ids=["required last", "required first"])
@pytest.mark.parametrize("host", ["two.test", "TWO.Test", "two.test.", "two.test:443", "two.test:8443"])
def test_no_spelling_of_a_host_is_a_way_round_its_certificate(start, origin, certs, order, host):
    rules = {"client_auth": "required", "client_ca": certs.ca.ca}
    gateway = start(secured(certs, origin.serve(), listener={"protocols": ["h1", "h2"]},
        tls={"certificates": [certs.one, {**certs.two, **rules}][::order]}))
    context = certs.ca.client_context()
    for target in ("/", f"https://{host}/"):
        assert connect(gateway, context).ask(get(target, host=host)).status == 421
    context.set_alpn_protocols(["h2"])
    wire = H2Wire(connect(gateway, context).sock).start()
    rest = [(":scheme", "https"), (":path", "/")]
    assert wire.ask([(":method", "GET"), (":authority", host), *rest]).status == 421
    assert wire.ask([(":method", "GET"), *rest, ("host", host)]).status == 421
    assert wire.ask([(":method", "CONNECT"), (":protocol", "websocket"), (":authority", host), *rest], b"").status == 421
    assert wire.ask(h2raw.get(authority="one.test", scheme="https")).status == 200
    assert len(origin.requests) == 1


def test_other_host_is_not_misdirected(start, origin, certs):
    """Where the rules are the same a connection serves every host."""
    gateway = start(secured(certs, origin.serve(), tls={"certificates": [certs.one, certs.two]}))
    assert connect(gateway, certs.ca.client_context()).ask(get("/", host="two.test")).status == 200


def test_new_rules_hold_for_open_connections(start, origin, certs):
    """A connection from before asks nobody for a certificate any more: it has to be opened anew."""
    gateway = start(secured(certs, origin.serve()))
    wire = connect(gateway, certs.ca.client_context())
    assert wire.ask(get("/", host="one.test")).status == 200
    config = json.loads(json.dumps(gateway.config))
    gateway.reload(config)
    assert wire.ask(get("/", host="one.test")).status == 200
    config["listeners"][0]["tls"].update(client_auth="required", client_ca=certs.ca.ca)
    gateway.reload(config)
    assert wire.ask(get("/", host="one.test")).status == 421
    assert connect(gateway, certs.ca.client_context(certs.client)).ask(get("/", host="one.test")).status == 200


def shown(gateway, context, session, name):
    """A session of before, and a request behind it: the answer's status. OSError: refused."""
    wire = connect(gateway, context, name, session=session)
    return wire.ask(get("/", host=name)).status


def given(gateway, context, name):
    """A session, which is good where it was made."""
    wire = connect(gateway, context, name)
    assert wire.ask(get("/", host=name)).status == 200
    again = connect(gateway, context, name, session=wire.sock.session)
    assert again.ask(get("/", host=name)).status == 200
    assert again.sock.session_reused
    return again.sock.session


def visitor(certs, version, certificate=None):
    return certs.ca.client_context(certificate, minimum_version=version, maximum_version=version, check_hostname=False)


@VERSIONS
def test_session_opens_no_other_door(start, origin, certs, version):
    """A session made where nobody is asked for a certificate, shown where everybody is."""
    gateway = start(mixed(certs, origin))
    context = visitor(certs, version)
    session = given(gateway, context, "one.test")
    with pytest.raises(OSError):
        shown(gateway, context, session, "two.test")
    assert len(origin.requests) == 2


@VERSIONS
def test_session_is_good_for_one_authority(start, origin, certs, version):
    """Made where our CA's clients are let in, shown where only the other one's are."""
    doors = [{**certificate, "client_auth": "required", "client_ca": authority.ca}
        for certificate, authority in ((certs.one, certs.ca), (certs.two, certs.other))]
    gateway = start(secured(certs, origin.serve(), tls={"certificates": doors}))
    context = visitor(certs, version, certs.client)
    session = given(gateway, context, "one.test")
    with pytest.raises(OSError):
        shown(gateway, context, session, "two.test")
    assert len(origin.requests) == 2


NEW_RULES = {
    "none, then required": ({}, {"client_auth": "required", "client_ca": "ca"}, None),
    "optional, then required": ({"client_auth": "optional", "client_ca": "ca"}, {"client_auth": "required", "client_ca": "ca"},
        None),
    "another authority": ({"client_auth": "required", "client_ca": "ca"}, {"client_auth": "required", "client_ca": "other"},
        "client"),
}


@VERSIONS
@pytest.mark.parametrize("name", NEW_RULES)
def test_session_does_not_outlive_the_rules(start, origin, certs, name, version):
    """A reload changes who is let in: sessions of before are worth nothing, and those who have what it takes come in."""
    def rules(tls):
        return {key: getattr(certs, value).ca if key == "client_ca" else value for key, value in tls.items()}

    before, after, certificate = NEW_RULES[name]
    gateway = start(secured(certs, origin.serve(), tls=rules(before)))
    context = visitor(certs, version, certificate and getattr(certs, certificate))
    session = given(gateway, context, "one.test")
    config = json.loads(json.dumps(gateway.config))
    config["listeners"][0]["tls"].update(rules(after))
    gateway.reload(config)
    with pytest.raises(OSError):
        shown(gateway, context, session, "one.test")
    assert len(origin.requests) == 2
    welcome = certs.foreign if after["client_ca"] == "other" else certs.client
    assert shown(gateway, visitor(certs, version, welcome), None, "one.test") == 200


# --- upstreams -------------------------------------------------------------------------------------------------------


def to_upstream(origin, certs, **tls):
    return configuration(origin, upstream={"tls": {"ca": certs.ca.ca, "server_name": "two.test", **tls}})


def failure(gateway, cause="tls_failed"):
    answer = gateway.connect().ask(get("/"))
    body = json.loads(answer.body)
    assert body["error"] == cause, body
    assert gateway.records(1)[-1]["cause"] == cause
    return body["message"]


def test_upstream(start, origin, certs):
    names = []
    context = certs.ca.server_context(certs.two)
    context.sni_callback = lambda sock, name, ctx: names.append(name)
    serve_tls(origin, context)
    gateway = start(to_upstream(origin, certs))
    wire = gateway.connect()
    for _ in range(5):
        assert wire.ask(get("/")).body == b"ok"
    assert names == ["two.test"]
    assert origin.accepted == 1 and origin.errors == []
    assert gateway.records(5)[4]["reused"]


def test_upstream_by_address(start, origin, certs):
    serve_tls(origin, certs.ca.server_context(certs.one))
    gateway = start(configuration(origin, upstream={"tls": {"ca": certs.ca.ca}}))
    assert gateway.connect().ask(get("/")).body == b"ok"


def test_upstream_resumes(start, origin, certs):
    resumed = []

    def once(wire, origin):
        wire.read_request()
        wire.send(response(b"ok", fields=["Connection: close"]))
        resumed.append(wire.sock.session_reused)

    serve_tls(origin, certs.ca.server_context(certs.two), once)
    gateway = start(to_upstream(origin, certs))
    for _ in range(4):
        assert gateway.connect().ask(get("/")).body == b"ok"
    eventually(lambda: len(resumed) == 4)
    assert resumed == [False, True, True, True]


def test_upstream_wants_a_certificate(start, make_origin, certs):
    origin = make_origin()
    serve_tls(origin, certs.ca.server_context(certs.two, clients=True))
    gateway = start(to_upstream(origin, certs, **certs.client))
    assert gateway.connect().ask(get("/")).body == b"ok"


FAILURES = {
    "other authority": ("two", {"ca": "other"}, "unable to get local issuer certificate"),
    "other name": ("one", {}, "hostname mismatch"),
    "expired": ("old", {"server_name": "one.test"}, "certificate has expired"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_upstream_is_not_believed(start, origin, certs, name):
    certificate, tls, why = FAILURES[name]
    serve_tls(origin, certs.ca.server_context(getattr(certs, certificate)))
    if "ca" in tls:
        tls = {"ca": certs.other.ca}
    gateway = start(to_upstream(origin, certs, **tls))
    assert why in failure(gateway)
    assert origin.requests == []


def test_upstream_unverified(start, origin, certs):
    serve_tls(origin, certs.ca.server_context(certs.old))
    gateway = start(configuration(origin, upstream={"tls": {"verify": False}}))
    assert gateway.connect().ask(get("/")).body == b"ok"


def test_upstream_without_tls(start, origin, certs):
    origin.serve(lambda wire, _: (wire.more(), wire.send("HTTP/1.1 400 Bad Request\r\n\r\n")))
    assert "wrong version number" in failure(start(to_upstream(origin, certs)))


def test_upstream_sends_an_alert(start, origin, certs):
    context = certs.ca.server_context(certs.two)
    context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    serve_tls(origin, context)
    assert "unrecognized name" in failure(start(to_upstream(origin, certs)))


def test_upstream_closes_in_the_handshake(start, origin, certs):
    origin.serve(lambda wire, _: wire.more())
    assert "closed during the handshake" in failure(start(to_upstream(origin, certs)))


def test_upstream_is_silent_in_the_handshake(start, origin, certs):
    config = to_upstream(origin, certs)
    config["upstreams"][0]["timeouts"] = {"connect": AMPLE_TEXT}
    assert "handshake was not over in time" in failure(start(config), "connect_timeout")


def test_upstream_changes_its_settings(start, make_origin, certs):
    """Connections that were made with other settings serve nobody with these."""
    origin = make_origin()
    serve_tls(origin, certs.ca.server_context(certs.two))
    gateway = start(to_upstream(origin, certs))
    wire = gateway.connect()
    assert wire.ask(get("/")).body == b"ok"
    config = json.loads(json.dumps(gateway.config))
    config["upstreams"][0]["tls"]["ca"] = certs.other.ca
    gateway.reload(config)
    assert wire.ask(get("/")).status == 502


# --- files -----------------------------------------------------------------------------------------------------------


def test_reload_brings_a_new_certificate(start, origin, certs, tmp_path):
    files = {"cert": tmp_path / "now.pem", "key": tmp_path / "now.key"}

    def put(which):
        for kind, path in files.items():
            with open(which[kind], "rb") as f:
                path.write_bytes(f.read())

    put(certs.one)
    tls = {"certificates": [{"cert": "now.pem", "key": "now.key"}]}
    gateway = start(secured(certs, origin.serve(), tls=tls))
    context = certs.ca.client_context(check_hostname=False)
    before = connect(gateway, context)
    assert common_name(before) == "one"
    put(certs.two)
    gateway.reload()
    assert common_name(connect(gateway, context)) == "two"
    assert before.ask(get("/", host="one.test")).body == b"ok"
    files["key"].write_bytes(b"nothing")
    assert "not reloaded" in gateway.hang_up()[-1]
    assert "holds no private key" in gateway.events.text()
    assert common_name(connect(gateway, context)) == "two"


def check(tmp_path, config):
    file = tmp_path / "weir.yaml"
    file.write_text(json.dumps(config, indent=1))
    return run("check", file)


def test_check_reads_the_files(certs, tmp_path):
    def said(certificate, **tls):
        config = configuration(listener={"tls": {"certificates": [certificate], **tls}}, route={"respond": {"body": ""}})
        result = check(tmp_path, config)
        return result.returncode, result.stderr

    assert said(certs.one)[0] == 0
    code, text = said({"cert": certs.one["cert"], "key": certs.two["key"]})
    assert code == 2 and "certificates[0].key: the key in" in text and "does not belong to the certificate" in text
    assert text.startswith(f"{tmp_path}/weir.yaml:") and ": listeners[0].tls." in text
    code, text = said({"cert": "/nowhere.pem", "key": certs.one["key"]})
    assert code == 2 and "No such file or directory" in text
    code, text = said({"cert": certs.one["key"], "key": certs.one["key"]})
    assert code == 2 and "holds no certificate in PEM form" in text
    code, text = said(certs.old)
    assert code == 0 and "has expired: it was valid until 2021-01-01 00:00:00 UTC" in text
    code, text = said({**certs.one, "ocsp": certs.one["cert"]})
    assert code == 2 and "no successful OCSP response" in text
    code, text = said(certs.ca.issue("weak", kind="RSA", bits=1024))
    assert code == 2 and "certificates[0].cert: the certificate in" in text and "key too small" in text
    code, text = said(certs.one, client_auth="required")
    assert code == 2 and "without `client_ca`" in text
    code, text = said(certs.one, client_auth="required", client_ca=certs.one["key"])
    assert code == 2 and "client_ca: the file" in text


def test_check_wants_the_same_rules_beside_each_other(certs, tmp_path):
    rules = {"client_auth": "required", "client_ca": certs.ca.ca}
    config = configuration(listener={"tls": {"certificates": [certs.one, {**certs.one_rsa, **rules}]}},
        route={"respond": {"body": ""}})
    result = check(tmp_path, config)
    assert result.returncode == 2 and "has other rules for clients' certificates" in result.stderr


# --- cost ------------------------------------------------------------------------------------------------------------

uncounted = pytest.mark.skipif(sanitizer() is not None, reason="what a sanitizer adds is not the program's cost")


@uncounted
def test_system_calls(start, origin, certs, tmp_path):
    """The same as without TLS: two receives, two sends, and the waiting in between."""
    gateway = start(secured(certs, origin.serve(serve_fixed), log={"access": "off"}, shedding="off"))
    wire = connect(gateway, certs.ca.client_context())

    def load(n):
        for _ in range(n):
            assert wire.ask(get("/", host="one.test")).body == ANSWER[-128:]

    load(10)
    calls = system_calls(gateway, lambda: load(500), tmp_path)
    # The last one may still be under way when the counting ends.
    assert calls.pop("recvfrom") in (999, 1000) and calls.pop("sendto") in (999, 1000)
    assert calls.pop("epoll_pwait", 0) + calls.pop("epoll_wait", 0) <= 1050
    assert not calls.keys() - {"restart_syscall", "rt_sigtimedwait", "poll", "ppoll", "rt_sigreturn"}


@uncounted
def test_memory_at_rest(start, origin, certs):
    """A connection that rests has no buffers, neither ours nor OpenSSL's of 16 KiB each way."""
    gateway = start(secured(certs, origin.serve()))
    context = certs.ca.client_context()
    connect(gateway, context).ask(get("/", host="one.test"))
    before = gateway.anonymous_bytes()
    for _ in range(300):
        connect(gateway, context).ask(get("/", host="one.test"))
    assert (gateway.anonymous_bytes() - before) / 300 < 24 * 1024


# --- many at once ----------------------------------------------------------------------------------------------------


@pytest.mark.threads
def test_crowd(start, origin, certs):
    """Connections that come and go on two workers, some of them badly, while the contexts are replaced."""
    gateway = start(secured(certs, origin.serve(), workers=2))
    errors = []

    def client(number):
        try:
            context = certs.ca.client_context()
            for i in range(10):
                if (number + i) % 4 == 0:
                    sock = socket.create_connection(gateway.address(), TIMEOUT)
                    sock.sendall(b"\x16\x03\x01\x00\x05hello"[:3 + i])
                    sock.close()
                    continue
                wire = connect(gateway, context)
                assert wire.ask(get("/", host="one.test")).body == b"ok"
                wire.close()
        except (OSError, AssertionError) as error:
            errors.append(error)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        gateway.reload()
    for thread in threads:
        thread.join(60)
    assert errors == []
