"""Real clients through the gateway."""

import asyncio
import http.client
import json
import os
import re

import pytest

from gateway import configuration
from raw import TIMEOUT
from servers import command, nginx, node, tool


@pytest.fixture(scope="module")
def node_server():
    server = node("node_server.js")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def nginx_server(tmp_path_factory):
    server = nginx(tmp_path_factory.mktemp("nginx"))
    yield server
    server.stop()


@pytest.fixture
def to_node(start, node_server):
    return start(configuration(node_server))


@pytest.fixture
def to_nginx(start, nginx_server):
    return start(configuration(nginx_server, upstream={"pool": {"max_connections": 32}}))


def causes(gateway):
    """The causes in the whole log, once the gateway has ended."""
    gateway.stop()
    return {json.loads(line)["cause"] for line in gateway.access.lines}


# --- curl ------------------------------------------------------------------------------------------------------------


def curl(*arguments, **options):
    return command("curl", "-sS", "--max-time", "20", *arguments, **options)


def test_curl_get(to_node):
    assert curl(to_node.url("/")) == "hello"


def test_curl_keeps_its_connection(to_node):
    told = curl("-w", "%{num_connects}\n", *[to_node.url("/close")] * 3, *["-o", os.devnull] * 3)
    assert told.split() == ["1", "0", "0"]


def test_curl_head(to_node):
    assert curl("-I", to_node.url("/")).startswith("HTTP/1.1 200 OK\r\n")


def test_curl_with_http_1_0(to_node):
    assert curl("--http1.0", to_node.url("/")) == "hello"


def test_curl_post(to_node, tmp_path):
    (tmp_path / "content").write_bytes(os.urandom(200_000))
    curl("--data-binary", f"@{tmp_path}/content", "-o", f"{tmp_path}/back", to_node.url("/echo"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "content").read_bytes()


# By itself curl waits for a second, and then sends.
EXPECTING = "-H", "Expect: 100-continue", "--expect100-timeout", "20"


def test_curl_post_with_expectation(to_node, tmp_path):
    (tmp_path / "content").write_bytes(os.urandom(2_000_000))
    told = curl("-v", "--stderr", "-", *EXPECTING, "--data-binary", f"@{tmp_path}/content",
        "-o", f"{tmp_path}/back", to_node.url("/echo"))
    assert "HTTP/1.1 100 Continue" in told
    assert (tmp_path / "back").read_bytes() == (tmp_path / "content").read_bytes()


def test_curl_post_with_expectation_that_is_refused(to_node, tmp_path):
    (tmp_path / "content").write_bytes(os.urandom(2_000_000))
    told = curl("-w", " %{http_code} %{size_upload}", *EXPECTING, "-H", "X-Refuse: 1",
        "--data-binary", f"@{tmp_path}/content", to_node.url("/echo"))
    assert told == "no 403 0"


def test_curl_chunked_upload(to_node, tmp_path):
    (tmp_path / "content").write_bytes(os.urandom(200_000))
    with open(tmp_path / "content", "rb") as content:
        curl("-T", "-", "-o", f"{tmp_path}/back", to_node.url("/echo"), stdin=content)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "content").read_bytes()


def test_curl_speaking_to_a_proxy(to_node):
    """The target in absolute form."""
    assert curl("-x", to_node.url(""), "http://example.com/") == "hello"


def test_curl_cannot_tunnel(to_node):
    told = command("curl", "-s", "-w", "%{http_connect}", "-p", "-x", to_node.url(""), "http://127.0.0.1:1/", status=56)
    assert told == "405"


def test_curl_shows_the_error(start):
    gateway = start(configuration(route={"match": {"path": "/only"}, "respond": {"status": 200}}))
    assert json.loads(curl(gateway.url("/none")))["error"] == "no_route"


# --- load generators -------------------------------------------------------------------------------------------------


def test_wrk(to_nginx):
    told = command("wrk", "-t", 1, "-c", 16, "-d", "3s", "--timeout", "20s", to_nginx.url("/hello"))
    assert int(re.search(r"(\d+) requests in", told)[1]) > 16
    assert "Non-2xx" not in told and "Socket errors" not in told, told
    # It leaves in the middle of its last requests.
    assert causes(to_nginx) <= {None, "client_gone"}


def test_ab_keeps_alive_in_http_1_0(to_nginx):
    told = command("ab", "-q", "-k", "-n", 1000, "-c", 10, to_nginx.url("/hello"))
    assert re.search(r"Complete requests:\s+1000\n", told) and re.search(r"Failed requests:\s+0\n", told), told
    assert re.search(r"Keep-Alive requests:\s+1000\n", told), told
    assert causes(to_nginx) == {None}


def test_ab_without_keeping_alive(to_nginx):
    told = command("ab", "-q", "-n", 300, "-c", 10, to_nginx.url("/hello"))
    assert re.search(r"Failed requests:\s+0\n", told), told
    assert causes(to_nginx) == {None}


def test_ab_posts(to_node, tmp_path):
    (tmp_path / "content").write_bytes(b"x" * 10_000)
    told = command("ab", "-q", "-k", "-n", 200, "-c", 10, "-p", tmp_path / "content", "-T", "text/plain",
        to_node.url("/echo"))
    assert re.search(r"Failed requests:\s+0\n", told) and "Non-2xx" not in told, told
    assert causes(to_node) == {None}


@pytest.mark.parametrize("pipelined", [1, 8])
def test_h2load_with_http_1_1(to_nginx, pipelined):
    told = command("h2load", "--h1", "-n", 1000, "-c", 10, "-m", pipelined, to_nginx.url("/hello"))
    assert "1000 succeeded, 0 failed, 0 errored, 0 timeout" in told, told
    assert "1000 2xx" in told, told
    assert causes(to_nginx) == {None}


# --- libraries -------------------------------------------------------------------------------------------------------


def test_python_http_client(to_node):
    connection = http.client.HTTPConnection("127.0.0.1", to_node.port, timeout=TIMEOUT)
    for _ in range(3):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"hello"
    connection.request("POST", "/echo", body=b"x" * 100_000)
    assert connection.getresponse().read() == b"x" * 100_000
    connection.request("POST", "/echo", body=iter([b"one", b"two"]), encode_chunked=True,
        headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().read() == b"onetwo"
    connection.request("HEAD", "/")
    assert connection.getresponse().read() == b""
    connection.request("GET", "/none")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (204, b"")
    connection.request("GET", "/destroy")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        connection.getresponse().read()
    connection.close()


def test_node_fetch(to_node):
    seen = json.loads(command("node", os.path.join(os.path.dirname(__file__), "node_client.js"), to_node.url("")))
    assert seen == {
        "plain": [200, "hello"],
        "echoed": 100_000,
        "streamed": "".join(f"piece{i}" for i in range(10)),
        "many": 50,
        "none": 204,
        "refused": "bad_request",
        "aborted": "AbortError",
        "broken": [200, "failed"],
    }


# --- websockets ------------------------------------------------------------------------------------------------------


def websockets():
    try:
        import websockets as library
    except ImportError:
        pytest.fail("the websockets library is missing: apt-get install python3-websockets")
    return library


async def echo(connection, *_):
    async for message in connection:
        await connection.send(message)


def talk(gateway_for, conversation):
    """Runs a conversation with a websocket server behind a gateway."""
    library = websockets()

    async def main():
        async with library.serve(echo, "127.0.0.1", 0, max_size=None) as server:
            port = server.sockets[0].getsockname()[1]
            # Its start waits for the program, and the server has nothing to do until then.
            gateway = gateway_for(f"127.0.0.1:{port}")
            async with library.connect(f"ws://127.0.0.1:{gateway.port}/chat", max_size=None) as connection:
                await asyncio.wait_for(conversation(connection), 20)
            return gateway

    return asyncio.run(main())


def test_websocket(start):
    async def conversation(connection):
        await connection.send("hello")
        assert await connection.recv() == "hello"
        await (await connection.ping())
        content = os.urandom(1_000_000)
        await connection.send(content)
        assert await connection.recv() == content

    gateway = talk(lambda address: start(configuration(address)), conversation)
    record = gateway.record()
    assert (record["status"], record["upgraded"], record["cause"]) == (101, True, None)
    assert record["bytes_in"] > 1_000_000 and record["bytes_out"] > 1_000_000


def test_many_messages_over_a_websocket(start):
    async def conversation(connection):
        async def receive():
            for i in range(1000):
                assert await connection.recv() == f"message {i}"

        receiver = asyncio.ensure_future(receive())
        for i in range(1000):
            await connection.send(f"message {i}")
        await receiver

    talk(lambda address: start(configuration(address)), conversation)


def test_every_tool_is_there():
    for name in ("curl", "wrk", "ab", "h2load", "nginx", "node"):
        tool(name)
    websockets()
