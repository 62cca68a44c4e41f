"""Real servers behind the gateway: Debian's nginx, Node's http, python's http.server."""

import concurrent.futures
import json
import os

import pytest

from gateway import configuration
from raw import get, post
from servers import nginx, node, python
from translators import CLIENT, VERSIONS

CONTENT = os.urandom(300_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the static servers serve."""
    folder = tmp_path_factory.mktemp("servers") / "nginx"
    (folder / "root").mkdir(parents=True)
    (folder / "root" / "content").write_bytes(CONTENT)
    (folder / "root" / "text").write_bytes(b"compressible " * 10_000)
    return folder


@pytest.fixture(scope="module")
def nginx_server(folder):
    server = nginx(folder)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def node_server():
    server = node("node_server.js")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def python_server(folder):
    server = python(folder / "root")
    yield server
    server.stop()


def client_of(start, server, **parts):
    return start(configuration(server, **parts)).connect()


# --- nginx -----------------------------------------------------------------------------------------------------------


def test_nginx_static_content(start, nginx_server):
    client = client_of(start, nginx_server)
    for _ in range(3):
        answer = client.ask(get("/content"))
        assert (answer.status, answer.body) == (200, CONTENT)
        assert answer.get("Server") == "nginx"


def test_nginx_head_range_and_conditional(start, nginx_server):
    client = client_of(start, nginx_server)
    head = client.ask("HEAD /content HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head.get("Content-Length") == str(len(CONTENT))
    part = client.ask(get("/content", fields=["Range: bytes=1000-1999"]))
    assert (part.status, part.body) == (206, CONTENT[1000:2000])
    unchanged = client.ask(get("/content", fields=[f"If-None-Match: {head.get('ETag')}"]))
    assert unchanged.status == 304
    assert client.ask(get("/content")).body == CONTENT


def test_nginx_compressed_is_chunked(start, nginx_server):
    import gzip
    answer = client_of(start, nginx_server).ask(get("/zip/text", fields=["Accept-Encoding: gzip"]))
    assert (answer.framing, answer.get("Content-Encoding")) == ("chunked", "gzip")
    assert gzip.decompress(answer.body) == b"compressible " * 10_000


def test_nginx_sees_what_was_asked(start, nginx_server):
    answer = client_of(start, nginx_server).ask(get("/seen?a=b"))
    assert answer.body == f"GET /seen?a=b example.com 127.0.0.1 {VERSIONS[CLIENT]} weir".encode()


def test_nginx_errors_pass(start, nginx_server):
    client = client_of(start, nginx_server)
    assert client.ask(get("/absent")).status == 404
    assert client.ask(get("/status/503")).body == b"busy"


def test_nginx_refuses_large_content_early(start, nginx_server):
    client = client_of(start, nginx_server)
    client.send("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\nExpect: 100-continue\r\n\r\n")
    assert client.read_response().status == 413


def test_nginx_that_ends_its_connections_after_a_few_requests(start, folder):
    server = nginx(folder, "keepalive_requests 7;")
    try:
        gateway = start(configuration(server))
        client = gateway.connect()
        for _ in range(50):
            assert client.ask(get("/hello")).body == b"hello"
        assert {record["cause"] for record in gateway.records(50)} == {None}
    finally:
        server.stop()


def test_nginx_under_concurrent_clients(start, nginx_server):
    gateway = start(configuration(nginx_server, upstream={"pool": {"max_connections": 4, "queue": "off"}}))

    def client(_):
        wire = gateway.connect()
        return [wire.ask(get("/content")).body == CONTENT for _ in range(10)]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(all(results) for results in pool.map(client, range(16)))
    assert {record["cause"] for record in gateway.records(160)} == {None}


# --- Node ------------------------------------------------------------------------------------------------------------


def test_node_echoes_chunked_content(start, node_server):
    client = client_of(start, node_server)
    for _ in range(3):
        answer = client.ask(post(CONTENT, "/echo"))
        assert (answer.framing, answer.body) == ("chunked", CONTENT)


def test_node_trailers(start, node_server):
    answer = client_of(start, node_server).ask(get("/trailers"))
    assert (answer.body, answer.trailers) == (b"content", [("X-Sum", "42")])


def test_node_early_hints(start, node_server):
    client = client_of(start, node_server).send(get("/hints"))
    hints = client.read_response()
    assert (hints.status, hints.get("Link")) == (103, "</style.css>; rel=preload")
    assert client.read_response().body == b"hinted"


def test_node_continue(start, node_server):
    client = client_of(start, node_server)
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert client.read_response().status == 100
    client.send("hello")
    assert client.read_response().body == b"hello"


def test_node_upgrade(start, node_server):
    client = client_of(start, node_server)
    client.send(get("/", fields=["Connection: Upgrade", "Upgrade: echo"]) + b"at once ")
    assert client.read_head().status == 101
    client.send("and later")
    assert client.take(17) == b"at once and later"
    client.half_close()
    client.expect_end()


def test_node_fields(start, node_server):
    answer = client_of(start, node_server).ask(get("/fields", fields=["X-Case: a", "x-case: b"]))
    names = json.loads(answer.body)[0::2]
    assert names[:3] == ["Host", "X-Case", "x-case"]
    assert {"Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Request-Id"} < set(names)


def test_node_breaks_off(start, node_server):
    gateway = start(configuration(node_server))
    client = gateway.connect().send(get("/destroy"))
    assert client.read_head().status == 200
    client.expect_abort()
    assert gateway.record()["cause"] == "upstream_reset"


def test_node_closes_after_an_answer(start, node_server):
    client = client_of(start, node_server)
    for _ in range(5):
        assert client.ask(get("/close")).body == b"bye"


# --- python's http.server --------------------------------------------------------------------------------------------


def test_python_speaks_http_1_0(start, python_server):
    gateway = start(configuration(python_server))
    client = gateway.connect()
    for _ in range(3):
        answer = client.ask(get("/content"))
        assert (answer.start, answer.body) == ("HTTP/1.1 200 OK", CONTENT)
    assert [record["reused"] for record in gateway.records(3)] == [False, False, False]


def test_python_errors_pass(start, python_server):
    client = client_of(start, python_server)
    assert client.ask(get("/absent")).status == 404
    assert client.ask(post("x", "/content")).status == 501
    assert client.ask("HEAD /content HTTP/1.1\r\nHost: a\r\n\r\n").get("Content-Length") == str(len(CONTENT))
