"""The administration's resources in general: methods, contents, errors, and what only the main thread can do."""

import json

import pytest

from admin import administered
from gateway import eventually
from raw import get, response

pytestmark = pytest.mark.threads

JSON = "Content-Type: application/json"


@pytest.fixture
def admin(start, origin):
    return administered(start, origin)[1]


def request(method, path, content=None, fields=(JSON,)):
    body = b"" if content is None else content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *fields]
    return "".join(line + "\r\n" for line in lines).encode() + b"\r\n" + body


def error_of(answer):
    assert answer.get("Content-Type") == "application/json"
    body = json.loads(answer.body)
    assert set(body) == {"error", "message"} and body["message"]
    return answer.status, body["error"]


def test_what_there_is_is_told(admin):
    rows = admin.json("/v1")["resources"]
    assert {"method": "GET", "path": "/v1/leaks"}.items() <= next(r for r in rows if r["path"] == "/v1/leaks").items()
    assert len({(r["method"], r["path"]) for r in rows}) == len(rows)
    assert all(r["summary"] for r in rows)


def test_failures_are_json(admin):
    client = admin.connect()
    assert error_of(client.ask(get("/v1/nothing"))) == (404, "not_found")
    assert error_of(client.ask(request("DELETE", "/v1/leaks"))) == (405, "method_not_allowed")
    assert error_of(client.ask(request("PUT", "/v1/log/level", {"level": "loud"}))) == (400, "bad_request")
    assert error_of(client.ask(get("/v1/log/level?a=b"))) == (400, "bad_request")
    assert client.ask(get("/readyz")).status == 200


def test_targets_without_a_path(admin):
    client = admin.connect()
    assert error_of(client.ask("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")) == (404, "not_found")
    assert error_of(client.ask("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n")) == (404, "not_found")


def test_allowed_methods_are_named(admin):
    client = admin.connect()
    assert client.ask(request("DELETE", "/v1/log/level")).get("Allow") == "GET, HEAD, PUT"
    assert client.ask(get("/v1/drain")).get("Allow") == "POST"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b'{"level": "info", "level": "debug"}', b'{"level": 1}',
    b'{"level": "info", "more": 1}', b"\xff", b'{"level": "info"} x'])
def test_content_that_is_no_order(admin, content):
    client = admin.connect()
    assert error_of(client.ask(request("PUT", "/v1/log/level", content))) == (400, "bad_request")
    assert client.ask(get("/readyz")).status == 200


@pytest.mark.parametrize("fields", [(), ("Content-Type: text/plain",), ("Content-Type: application/x-www-form-urlencoded",),
    (JSON, JSON)])
def test_content_of_another_type(admin, fields):
    """So a form on a web page changes nothing."""
    answer = admin.connect().ask(request("PUT", "/v1/log/level", {"level": "debug"}, fields))
    assert error_of(answer) == (415, "unsupported_media_type")
    assert admin.json("/v1/log/level") == {"level": "info"}


def test_content_in_pieces(admin):
    client = admin.connect()
    whole = request("PUT", "/v1/log/level", {"level": "debug"}, [JSON + "; charset=utf-8"])
    client.send_apart([whole[i : i + 7] for i in range(0, len(whole), 7)])
    assert json.loads(client.read_response().body) == {"level": "debug"}
    chunked = request("PUT", "/v1/log/level", fields=[JSON, "Transfer-Encoding: chunked"]).replace(b"Content-Length: 0\r\n", b"")
    client.send_apart([chunked + b'8\r\n{"level"\r\n', b'9\r\n:"error"}\r\n0\r\nA: b\r\n', b"\r\n"])
    assert json.loads(client.read_response().body) == {"level": "error"}
    client.send(request("PUT", "/v1/log/level", {"level": "info"}) + get("/v1/log/level"))
    assert [json.loads(client.read_response().body) for _ in range(2)] == [{"level": "info"}] * 2


def test_content_that_is_awaited(admin):
    client = admin.connect()
    head, _, content = request("PUT", "/v1/log/level", {"level": "debug"}, [JSON, "Expect: 100-continue"]).partition(b"\r\n\r\n")
    client.send(head + b"\r\n\r\n")
    assert client.read_response().status == 100
    client.send(content)
    assert client.read_response().status == 200


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_content_too_large(admin, framing):
    client = admin.connect()
    whole = request("PUT", "/v1/log/level", b" " * 65537)
    if framing == "chunks":
        head = whole.partition(b"\r\n\r\n")[0].replace(b"Content-Length: 65537", b"Transfer-Encoding: chunked")
        whole = head + b"\r\n\r\n10001\r\n" + b" " * 65537 + b"\r\n0\r\n\r\n"
    client.send(whole)
    answer = client.read_response()
    assert (error_of(answer), answer.get("Connection")) == ((413, "content_too_large"), "close")
    assert admin.connect().ask(request("PUT", "/v1/log/level", b'{"level": "debug"}' + b" " * 65000)).status == 200


def test_log_level(start, origin):
    gateway, admin = administered(start, origin, log={"level": "warning"})
    assert admin.json("/v1/log/level") == {"level": "warning"}
    for level in ("debug", "error", "info"):
        answer = admin.connect().ask(request("PUT", "/v1/log/level", {"level": level}))
        assert (answer.status, json.loads(answer.body)) == (200, {"level": level})
        assert admin.json("/v1/log/level") == {"level": level}
    gateway.event("log level error -> info")


def test_log_files_are_opened_anew(start, origin, tmp_path):
    path = tmp_path / "access.log"
    gateway, admin = administered(start, origin, log={"access": {"path": str(path)}})
    path.rename(tmp_path / "old.log")
    assert admin.connect().ask(request("POST", "/v1/log/reopen")).status == 202
    eventually(path.exists)
    assert gateway.process.poll() is None


def test_drain(start, origin):
    gateway, admin = administered(start, origin, drain_timeout="60s")
    client, wire, _ = origin.asked(gateway)
    control = admin.connect()
    for _ in range(2):
        answer = control.ask(request("POST", "/v1/drain"))
        assert (answer.status, json.loads(answer.body)) == (202, {"outcome": "draining"})
    assert control.ask(get("/readyz")).status == 503
    wire.send(response("done"))
    assert client.read_response().body == b"done"
    assert gateway.wait() == 0


def test_clients_that_leave_while_the_main_thread_is_asked(admin):
    for number in range(24):
        client = admin.connect().send(request("PUT", "/v1/log/level", {"level": "debug"}))
        if number % 2:
            client.reset()
        else:
            client.close()
    assert admin.json("/v1/log/level") in ({"level": "debug"}, {"level": "info"})
