"""The main road: a request comes in, goes to the upstream, the answer comes back."""

import re

import pytest

from gateway import configuration
from raw import get, post, response
from translators import CLIENT, UPSTREAM


def test_get(gateway, origin):
    client = gateway.connect().send(get("/a/b?c=d&e", fields=["Accept: */*"]))
    wire, request = origin.answer(response("hello", fields=["Content-Type: text/plain"]))
    answer = client.read_response()
    assert (request.method, request.target) == ("GET", "/a/b?c=d&e")
    assert request.get("Host") == "example.com"
    assert request.get("Accept") == "*/*"
    assert request.framing is None
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.get("Content-Type") == "text/plain"
    record = gateway.record()
    assert (record["status"], record["cause"], record["upstream_status"]) == (200, None, True)


def test_post_with_content(gateway, origin):
    client = gateway.connect().send(post("some content", fields=["Content-Type: text/plain"]))
    _, request = origin.answer(response(status="201 Created"))
    answer = client.read_response()
    assert request.method == "POST"
    assert request.get("Content-Length") == "12"
    assert request.body == b"some content"
    assert answer.status == 201
    assert gateway.record()["bytes_in"] == 12


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "x-own"])
def test_methods_are_passed_on_as_they_are(gateway, origin, method):
    client = gateway.connect().send(f"{method} /x HTTP/1.1\r\nHost: a\r\n\r\n")
    _, request = origin.answer(response())
    assert request.method == method
    assert client.read_response().status == 200


def test_connections_are_kept_and_reused_on_both_sides(gateway, origin):
    client = gateway.connect()
    client.send(get("/1"))
    wire, _ = origin.answer(response("one"))
    assert client.read_response().body == b"one"
    client.send(get("/2"))
    assert wire.read_request().target == "/2"
    wire.send(response("two"))
    assert client.read_response().body == b"two"
    assert origin.is_untouched()
    assert [r["reused"] for r in gateway.records(2)] == [False, True]


def test_another_client_reuses_the_upstream_connection(gateway, origin):
    first = gateway.connect().send(get("/1"))
    wire, _ = origin.answer(response())
    first.read_response()
    first.close()
    second = gateway.connect().send(get("/2"))
    assert wire.read_request().target == "/2"
    wire.send(response())
    assert second.read_response().status == 200


def test_connection_close_of_the_client_is_honoured_and_not_passed_on(gateway, origin):
    client = gateway.connect().send(get(fields=["Connection: close"]))
    wire, request = origin.answer(response("x"))
    answer = client.read_response()
    assert request.get("Connection") is None
    assert answer.get("Connection") == "close"
    client.expect_end()
    # The upstream's connection has nothing to do with it.
    gateway.connect().send(get("/again"))
    assert wire.read_request().target == "/again"


def test_connection_close_of_the_upstream_is_honoured_and_not_passed_on(gateway, origin):
    client = gateway.connect().send(get("/1"))
    wire, _ = origin.answer(response("x", fields=["Connection: close"]))
    answer = client.read_response()
    assert answer.get("Connection") is None
    wire.expect_end()
    client.send(get("/2"))
    _, request = origin.answer(response("y"))
    assert request.target == "/2"
    assert client.read_response().body == b"y"


def test_upstream_closes_an_idle_connection(gateway, origin):
    client = gateway.connect().send(get("/1"))
    wire, _ = origin.answer(response())
    client.read_response()
    wire.half_close()
    wire.expect_end()
    client.send(get("/2"))
    origin.answer(response("fresh"))
    assert client.read_response().body == b"fresh"


def test_http_1_0_client_gets_its_connection_closed(gateway, origin):
    client = gateway.connect().send("GET /old HTTP/1.0\r\n\r\n")
    _, request = origin.answer(response("x"))
    assert request.start == "GET /old HTTP/1.1"
    answer = client.read_response()
    assert (answer.status, answer.body) == (200, b"x")
    client.expect_end()
    assert gateway.record()["protocol"] == "HTTP/1.0"


def test_http_1_0_client_may_ask_to_keep_its_connection(gateway, origin):
    origin.serve()
    client = gateway.connect()
    for target in ("/1", "/2"):
        answer = client.ask(f"GET {target} HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        assert answer.get("Connection").lower() == "keep-alive"


def test_http_1_0_request_without_host_reaches_the_upstream_with_one(gateway, origin):
    """RFC 9112 §3.2: a 1.1 request has a Host, if only an empty one."""
    gateway.connect().send("GET / HTTP/1.0\r\n\r\n")
    assert origin.accept().read_request().get("Host") is not None


def test_absolute_target_is_made_a_path_and_gives_the_host(gateway, origin):
    client = gateway.connect().send("GET http://Other.Example:80/p?q HTTP/1.1\r\nHost: other.example\r\n\r\n")
    _, request = origin.answer(response())
    assert request.target == "/p?q"
    assert request.get("Host") in ("other.example", "other.example:80")
    assert client.read_response().status == 200


def test_absolute_target_without_path(gateway, origin):
    gateway.connect().send("GET http://other.example HTTP/1.1\r\nHost: other.example\r\n\r\n")
    assert origin.accept().read_request().target == "/"


def test_options_asterisk(gateway, origin):
    client = gateway.connect().send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
    _, request = origin.answer(response(fields=["Allow: GET"]))
    assert request.start == "OPTIONS * HTTP/1.1"
    assert client.read_response().get("Allow") == "GET"


def test_options_of_a_whole_server_in_absolute_form(gateway, origin):
    """RFC 9112 §3.2.4"""
    gateway.connect().send("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n")
    assert origin.accept().read_request().target == "*"


def test_asterisk_is_for_options_only(gateway, origin):
    client = gateway.connect()
    assert client.ask("GET * HTTP/1.1\r\nHost: a\r\n\r\n").status == 400
    client.expect_end()
    assert origin.is_untouched()


def test_connect_is_refused(gateway, origin):
    client = gateway.connect()
    answer = client.ask("CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n")
    assert 400 <= answer.status < 500 or answer.status == 501
    assert origin.is_untouched()
    assert gateway.record()["status"] == answer.status


def test_error_of_the_upstream_passes_untouched(gateway, origin):
    client = gateway.connect().send(get())
    origin.answer(response("its own words", status="503 Gone Fishing", fields=["Retry-After: 77"]))
    answer = client.read_response()
    # HTTP/2 has no reason phrase.
    assert answer.status == 503
    assert answer.start == "HTTP/1.1 503 Gone Fishing" or (CLIENT, UPSTREAM) != ("h1", "h1")
    assert answer.body == b"its own words"
    assert answer.get("Retry-After") == "77"
    record = gateway.record()
    assert (record["status"], record["upstream_status"], record["cause"]) == (503, True, None)


def test_head_sent_byte_by_byte(gateway, origin):
    request = get("/slow", fields=["A: b"])
    client = gateway.connect().send_apart([request[i:i + 1] for i in range(len(request))])
    _, request = origin.answer(response("x"))
    assert (request.target, request.get("A")) == ("/slow", "b")
    assert client.read_response().body == b"x"


def test_response_sent_byte_by_byte(gateway, origin):
    client, wire, _ = origin.asked(gateway)
    answer = response("body", fields=["A: b"])
    wire.send_apart([answer[i:i + 1] for i in range(len(answer))])
    answer = client.read_response()
    assert (answer.get("A"), answer.body) == ("b", b"body")


def test_empty_line_before_a_request_is_skipped(gateway, origin):
    """RFC 9112 §2.2"""
    client = gateway.connect().send(b"\r\n" + get("/x"))
    _, request = origin.answer(response())
    assert request.target == "/x"
    assert client.read_response().status == 200


# Fields of the smallest head: Host, or pseudo-fields, of which a translator makes four.
LEAST = 1 if (CLIENT, UPSTREAM) == ("h1", "h1") else 4


@pytest.mark.parametrize("count", [100, 1000])
def test_many_fields_both_ways(start, origin, count):
    fields = [f"X-{i}: {i}" for i in range(count - LEAST)]
    gateway = start(configuration(origin, listener={"limits": {"header_count": 1000}},
        upstream={"limits": {"header_count": 1000}}))
    client = gateway.connect().send(get(fields=fields))
    _, request = origin.answer(response("x", fields=fields))
    answer = client.read_response()
    for message in (request, answer):
        assert [f"{name.upper()}: {value}" for name, value in message.fields if re.match(r"(?i)X-\d", name)] == fields


def test_largest_heads_both_ways(start, origin):
    gateway = start(configuration(origin, listener={"limits": {"header_bytes": "256KiB"}},
        upstream={"limits": {"header_bytes": "256KiB"}}))
    # In as many fields as HTTP/2 needs for it, which lets none be larger than 64 KiB, and of what Huffman's code makes longer.
    large = [f"A{i}: " + "~" * (51 * 1024) for i in range(5)]
    client = gateway.connect()
    for _ in range(2):
        client.send(get(fields=large))
        wire, request = origin.answer(response("x", fields=[*large, "Connection: close"]))
        answer = client.read_response()
        for message in (request, answer):
            assert [f"{name.upper()}: {value}" for name, value in message.fields if re.fullmatch(r"(?i)A\d", name)] == large


def test_response_without_a_date_gets_one(gateway, origin):
    """RFC 9110 §6.6.1: who forwards a response without a Date appends it."""
    client = gateway.connect().send(get())
    wire, _ = origin.answer(response())
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", client.read_response().get("Date") or "")
    client.send(get())
    wire.read_request()
    wire.send(response(fields=["Date: Tue, 15 Nov 1994 08:12:31 GMT"]))
    assert client.read_response().get("Date") == "Tue, 15 Nov 1994 08:12:31 GMT"
