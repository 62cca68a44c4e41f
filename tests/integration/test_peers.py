"""The real clients and servers that tests of TLS, HTTP/2 and gRPC are made with, against each other: when one of those tests
fails, it is not for what they are."""

import json
import socket
import ssl
import subprocess
import threading

import grpc
import pytest

import h2raw
import malformed_h2
from certificates import Authority, server_context
from h2raw import H2Wire, get
from raw import TIMEOUT
from timing import LONG
from peers import GrpcClient, GrpcService, Waiting, received
from servers import command, h2o, nginx_h2, node_h2, tool, HERE

MIB = 1 << 20


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def local(authority):
    return authority.issue("local", "localhost", "127.0.0.1")


SERVERS = {"nginx": nginx_h2, "h2o": h2o, "node": lambda _, certificate: node_h2(certificate)}


@pytest.fixture(scope="module", params=[f"{name} {how}" for name in SERVERS for how in ("h2c", "TLS")])
def server(request, tmp_path_factory, local):
    name, how = request.param.split()
    running = SERVERS[name](tmp_path_factory.mktemp(name), local if how == "TLS" else None)
    running.name, running.tls = name, how == "TLS"
    running.url = f"http{'s' * running.tls}://127.0.0.1:{running.port}"
    yield running
    running.stop()


def wire_to(server, authority):
    return h2raw.connect(("127.0.0.1", server.port), authority.context(protocols=["h2"]) if server.tls else None).start()


# --- certificates ----------------------------------------------------------------------------------------------------


def handshake(certificate, context, name):
    """What a client with this context makes of a server with this certificate."""
    here, there = socket.socketpair()

    def serve():
        try:
            server_context(certificate).wrap_socket(there, server_side=True).close()
        except OSError:
            there.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        with context.wrap_socket(here, server_hostname=name) as sock:
            return sock.getpeercert()
    finally:
        here.close()
        thread.join(10)


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_good_certificates(authority, key):
    certificate = authority.issue(f"good-{key}", "shop.example", "*.shop.example", "127.0.0.1", key=key)
    for name in ("shop.example", "a.shop.example", "127.0.0.1"):
        assert handshake(certificate, authority.context(), name)


def test_bad_certificates(authority, tmp_path):
    wrong = Authority(tmp_path / "other").issue("other", "shop.example")
    for certificate, name, why in ((wrong, "shop.example", "unable to get local issuer"),
            (authority.issue("old", "shop.example", expired=True), "shop.example", "expired"),
            (authority.issue("another", "another.example"), "shop.example", "mismatch"),
            (authority.issue("wild", "*.shop.example"), "a.b.shop.example", "mismatch")):
        with pytest.raises(ssl.SSLCertVerificationError, match=why):
            handshake(certificate, authority.context(), name)


def test_client_certificates(authority, local):
    """One is asked for and verified; its subject is what it was issued for."""
    client, seen = authority.issue("alice", client=True), []
    context = server_context(local)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.cert)
    here, there = socket.socketpair()

    def serve():
        with context.wrap_socket(there, server_side=True) as sock:
            seen.append(sock.getpeercert()["subject"])
            sock.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with authority.context(client=client).wrap_socket(here, server_hostname="localhost") as sock:
        sock.send(b"x")
        thread.join(10)
    assert seen == [((("commonName", "alice"),),)]


# --- clients against servers -----------------------------------------------------------------------------------------


def test_raw_frames(server, authority):
    wire = wire_to(server, authority)
    answers = [wire.request(get("/hello")) for _ in range(3)]
    for stream in answers:
        message = wire.message(stream)
        assert (message.status, message.body) == (200, b"hello")
    wire.ping()
    wire.close()


def test_curl(server, authority):
    how = ["--http2", "--cacert", authority.cert] if server.tls else ["--http2-prior-knowledge"]
    assert command("curl", "-sS", "-w", " %{http_version}", *how, f"{server.url}/hello") == "hello 2"


def test_nghttp_and_h2load(server):
    assert "hello" in command("nghttp", "--no-verify-peer", f"{server.url}/hello")
    told = command("h2load", "-n", 200, "-c", 2, "-m", 10, f"{server.url}/hello")
    assert "200 succeeded, 0 failed" in told


def test_node_client(server, authority):
    url = server.url.replace("127.0.0.1", "localhost")
    told = command("node", HERE / "node_h2_client.js", url, "/hello", 5, *([authority.cert] if server.tls else []))
    assert [(a["status"], a["bytes"]) for a in json.loads(told)] == [(200, 5)] * 5


# --- what Node's server can do ---------------------------------------------------------------------------------------


@pytest.fixture
def to_node(request):
    server = node_h2()
    wire = h2raw.connect(("127.0.0.1", server.port)).start()
    yield wire
    wire.close()
    server.stop()


def test_node_server(to_node):
    wire = to_node
    body = b"x" * 300000
    assert wire.ask(get("/echo", method="POST"), body).body == body
    assert wire.ask(get("/trailers?value=7")).trailers == [("x-checksum", "7")]
    early = wire.ask(get("/early"))
    assert dict(early.informational[0])[":status"] == "103" and early.body == b"late"
    assert len(wire.ask(get(f"/big?bytes={MIB}")).body) == MIB
    assert wire.ask(get("/reset?code=7")).reset == 7
    cut = wire.ask(get("/cut"))
    assert (cut.status, cut.body, cut.reset) == (200, b"some", 2)
    assert wire.ask(get("/goaway")).body == b"last"
    wire.read_until(lambda: wire.goaway)
    assert wire.goaway[1] == h2raw.NO_ERROR


# --- raw frames as a server ------------------------------------------------------------------------------------------


def test_raw_server():
    """An origin of which every frame is written by hand."""
    listener = socket.create_server(("127.0.0.1", 0))
    process = subprocess.Popen([tool("curl"), "-sS", "--max-time", "20", "--http2-prior-knowledge", "-d", "x" * 100000,
        f"http://127.0.0.1:{listener.getsockname()[1]}/a"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    wire = H2Wire(listener.accept()[0], server=True).start({h2raw.MAX_CONCURRENT_STREAMS: 10})
    request = wire.message(1)
    assert (request.get(":method"), request.get(":path"), len(request.body)) == ("POST", "/a", 100000)
    wire.respond(1, body=b"y" * 200000, trailers=[("x-end", "1")])
    assert process.communicate(timeout=60)[0] == b"y" * 200000
    assert wire.expect_end() is None or wire.goaway[1] == h2raw.NO_ERROR
    wire.close()
    listener.close()


# --- gRPC ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["h2c", "TLS"])
def grpc_pair(request, authority, local):
    tls = request.param == "TLS"
    with GrpcService(local if tls else None) as service:
        with GrpcClient(service.address, authority.cert if tls else None) as client:
            yield service, client


def test_grpc_calls(grpc_pair):
    _, client = grpc_pair
    answer, call = client.unary.with_call(b"one", timeout=60)
    assert answer == b"one" and dict(call.trailing_metadata()) == {"x-messages": "1"}
    answer, call = client.gather.with_call(iter([b"ab"] * 10), timeout=60)
    assert answer == b"20" and dict(call.trailing_metadata()) == {"x-messages": "10"}
    assert list(client.scatter(b"count 5", timeout=60)) == [b"0", b"1", b"2", b"3", b"4"]
    call = client.both(iter([b"a", b"b", b""]), timeout=60)
    assert list(call) == [b"a", b"b", b""] and dict(call.trailing_metadata()) == {"x-messages": "3"}


def test_grpc_takes_turns(grpc_pair):
    """Each message of a stream is answered before the next one is sent."""
    _, client = grpc_pair
    answered = threading.Semaphore(1)

    def ask():
        for i in range(5):
            assert answered.acquire(timeout=TIMEOUT)
            yield str(i).encode()

    for i, answer in enumerate(client.both(ask(), timeout=60)):
        assert answer == str(i).encode()
        answered.release()


def test_grpc_failures(grpc_pair):
    service, client = grpc_pair
    with pytest.raises(grpc.RpcError) as failed:
        client.unary(b"fail NOT_FOUND no such thing", timeout=60, metadata=[("x-who", "me")])
    assert failed.value.code() == grpc.StatusCode.NOT_FOUND and failed.value.details() == "no such thing"
    assert service.calls[-1].method == "unary" and service.calls[-1].metadata["x-who"] == "me"
    with pytest.raises(grpc.RpcError) as failed:
        client.unknown(b"", timeout=60)
    assert failed.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_grpc_deadline_and_cancel(grpc_pair):
    service, client = grpc_pair
    # Connecting takes none of that time.
    client.unary(b"one", timeout=60)
    with pytest.raises(grpc.RpcError) as failed:
        client.unary(b"sleep 60", timeout=LONG)
    assert failed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    service.wait(lambda s: all(call.ended for call in s.calls))
    messages = Waiting()
    call = client.both(messages)
    assert next(call) == b"first"
    call.cancel()
    # The client never says that it has said all.
    service.wait(lambda s: s.calls[-1].ended)
    messages.close()


def test_grpc_stream_of_any_size(grpc_pair):
    _, client = grpc_pair
    size = 64 * MIB
    assert received(client.scatter(b"bytes %d" % size, timeout=60)) == (size, 64)
    assert client.gather(iter([bytes(MIB)] * 64), timeout=60) == str(size).encode()


# --- malformed requests ----------------------------------------------------------------------------------------------

def test_good_requests_of_the_same_make(server, authority):
    """What malformed requests are made of is in order."""
    wire = wire_to(server, authority)
    good = h2raw.headers(wire.next_stream, get("/hello"), end_stream=True)
    assert malformed_h2.refusal(wire, malformed_h2.Case(lambda _: good, frozenset())) == 200
    post = malformed_h2.POST[:3] + [(":path", "/hello"), ("content-length", "5")]
    case = malformed_h2.Case(lambda stream: h2raw.headers(stream, post) + h2raw.data(stream, b"hello", True), frozenset())
    assert malformed_h2.refusal(wire, case) in (200, 405)


# Node's server is nghttp2's. Fields with bytes that may not be there it leaves out in silence, and it is no gateway that would
# look at hosts and targets. It has one code for most of what breaks a connection.
NODE_LEAVES_OUT = {name for name in malformed_h2.FIELDS if " a name" in name or " a value" in name or "empty name" in name}
NODE_ANSWERS = {"trailer with an empty name", "trailer with CR LF", "trailer with NUL", "trailer with a blank in its name",
    "HEADERS behind the end"}


@pytest.fixture(scope="module")
def node_server():
    server = node_h2()
    yield server
    server.stop()


def outcomes(server, table):
    found = {}
    for name, case in table.items():
        wire = h2raw.connect(("127.0.0.1", server.port)).start()
        found[name] = malformed_h2.refusal(wire, case)
        wire.close()
    return found


def test_malformed_heads(node_server):
    for table, left_out in ((malformed_h2.PSEUDO, ()), (malformed_h2.LENGTHS, ()), (malformed_h2.FIELDS, NODE_LEAVES_OUT)):
        for name, outcome in outcomes(node_server, table).items():
            assert outcome == 200 if name in left_out else outcome in table[name].expected, (name, outcome)


def test_malformed_bodies(node_server):
    for name, outcome in outcomes(node_server, malformed_h2.BODIES).items():
        allowed = malformed_h2.BODIES[name].expected
        if "closed" in allowed:
            allowed |= {("goaway", h2raw.INTERNAL_ERROR)}
        assert outcome == 200 if name in NODE_ANSWERS else outcome in allowed, (name, outcome)


def test_broken_connections(node_server):
    # It passes over this one, which cannot be told from a stream that it has forgotten.
    cases = {name: case for name, case in malformed_h2.FRAMES.items() if name != "a stream that is lower than the last"}
    for name, outcome in outcomes(node_server, cases).items():
        assert outcome == "closed" or outcome[0] == "goaway", (name, outcome)
