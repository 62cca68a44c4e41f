"""Upgrades (RFC 9110 §7.8): a tunnel after the 101, plain HTTP after anything else."""

import signal
import socket

from gateway import configuration
from raw import TIMEOUT, Wire, get, post, response
from timing import AMPLE, AMPLE_TEXT
from tunnels import asked_tunnel, open_tunnel, switch, upgrade

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n"


def test_bytes_flow_both_ways_after_101(gateway, origin):
    client, wire = open_tunnel(gateway, origin)
    client.send(b"\x00\xff raw")
    assert wire.take(6) == b"\x00\xff raw"
    wire.send(b"\r\n\r\nback")
    assert client.take(8) == b"\r\n\r\nback"
    client.half_close()
    wire.expect_end()
    wire.send("last words").close()
    assert client.read_to_end() == b"last words"
    record = gateway.record()
    assert (record["status"], record["upgraded"], record["cause"]) == (101, True, None)
    assert (record["bytes_in"], record["bytes_out"]) == (6, 18)


def test_upstream_ends_first(gateway, origin):
    client, wire = open_tunnel(gateway, origin)
    wire.half_close()
    client.expect_end()
    client.send("still heard")
    assert wire.take(11) == b"still heard"
    client.close()
    wire.expect_end()
    assert gateway.record()["cause"] is None


def test_client_of_a_unix_socket_closes_behind_its_last_words(start, origin, tmp_path):
    """There both directions end at once; what was said before is passed on all the same."""
    path = tmp_path / "weir"
    gateway = start(configuration(origin, listener={"address": f"unix:{path}"}))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(str(path))
        client = Wire(sock).send(upgrade())
        wire = origin.accept()
        wire.send(switch(wire.read_head()))
        assert client.read_head().status == 101
        gateway.freeze()
        client.send("last words").close()
        gateway.signal(signal.SIGCONT)
    assert wire.take(10) == b"last words"
    wire.expect_end()
    wire.close()
    assert gateway.record()["cause"] is None


def test_client_that_has_ended_its_direction_before_the_101(start, origin):
    gateway = start(configuration(origin, listener={"half_close": "serve"}))
    client = gateway.connect().send(upgrade()).half_close()
    wire = origin.accept()
    wire.send(switch(wire.read_head()))
    wire.expect_end()
    wire.send("only this way").close()
    assert client.read_head().status == 101
    assert client.read_to_end() == b"only this way"


def test_bytes_before_the_101_are_held(gateway, origin):
    """Sent too early they would be a second request to an upstream that does not switch."""
    client, wire, request = asked_tunnel(gateway, origin, early=b"too early")
    wire.expect_silence()
    wire.send(switch(request))
    assert wire.take(9) == b"too early"
    assert client.read_head().status == 101


def test_many_bytes_before_the_101_are_held_too(gateway, origin):
    """More than the gateway would ever keep: the rest waits with the client."""
    early = bytes(range(256)) * 2048
    client, wire, request = asked_tunnel(gateway, origin)
    client.send(early)
    wire.expect_silence()
    wire.send(switch(request))
    assert wire.take(len(early)) == early
    assert client.read_head().status == 101


def test_bytes_right_behind_the_101_belong_to_the_tunnel(gateway, origin):
    client, wire, request = asked_tunnel(gateway, origin)
    wire.send(switch(request) + b"HTTP/1.1 200 OK\r\n")
    assert client.read_head().status == 101
    assert client.take(17) == b"HTTP/1.1 200 OK\r\n"


def test_any_other_answer_stays_plain_http(gateway, origin):
    client, wire, _ = asked_tunnel(gateway, origin)
    wire.send(response("no", status="426 Upgrade Required", fields=["Upgrade: echo/2"]))
    answer = client.read_response()
    assert (answer.status, answer.body) == (426, b"no")
    client.send(get("/next"))
    assert wire.read_request().target == "/next"
    wire.send(response("yes"))
    assert client.read_response().body == b"yes"


def test_request_behind_an_upgrade_that_is_none(gateway, origin):
    client, wire, request = asked_tunnel(gateway, origin, early=get("/next"))
    assert request.target == "/chat"
    wire.send(response("no", status="426 Upgrade Required", fields=["Upgrade: echo/2"]))
    assert wire.read_request().target == "/next"
    wire.send(response("yes"))
    assert client.read_response().status == 426
    assert client.read_response().body == b"yes"


def test_connection_of_a_tunnel_is_never_reused(gateway, origin):
    client, wire = open_tunnel(gateway, origin)
    wire.half_close()
    client.expect_end()
    client.close()
    wire.expect_gone()
    gateway.connect().send(get("/next"))
    assert origin.accept().read_request().target == "/next"


def test_upgrade_without_connection_upgrade_is_none(gateway, origin):
    gateway.connect().send(get(fields=["Upgrade: echo/1"]))
    request = origin.accept().read_request()
    assert (request.get("Upgrade"), request.get("Connection")) == (None, None)


def test_h2c_is_not_passed_on(gateway, origin):
    """It would open a second, unchecked way in."""
    fields = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"]
    gateway.connect().send(get(fields=fields))
    request = origin.accept().read_request()
    assert (request.get("Upgrade"), request.get("HTTP2-Settings")) == (None, None)


def test_h2c_in_a_list_is_not_passed_on(gateway, origin):
    gateway.connect().send(get(fields=["Connection: Upgrade", "Upgrade: echo/1, h2c"]))
    upgrade = origin.accept().read_request().get("Upgrade")
    assert upgrade is None or "h2c" not in upgrade


def test_upgrade_with_content_is_plain_http(gateway, origin):
    client = gateway.connect().send(post("hello", fields=["Connection: Upgrade", "Upgrade: echo/1"]))
    _, request = origin.answer(response())
    assert (request.get("Upgrade"), request.body) == (None, b"hello")
    assert client.read_response().status == 200


def test_unasked_101_is_an_error(gateway, origin):
    client = gateway.connect().send(get())
    wire, _ = origin.answer(SWITCH + b"tunnel?")
    assert client.read_response().status == 502
    wire.expect_gone()
    assert gateway.record()["cause"] == "upstream_bad_response"


def test_101_without_upgrade_is_an_error(gateway, origin):
    client, wire, _ = asked_tunnel(gateway, origin)
    wire.send("HTTP/1.1 101 Switching Protocols\r\n\r\n")
    assert client.read_response().status == 502
    assert gateway.record()["cause"] == "upstream_bad_response"


def test_client_resets_a_tunnel(gateway, origin):
    client, wire = open_tunnel(gateway, origin)
    client.reset()
    wire.expect_gone()
    assert gateway.record()["cause"] == "client_gone"


def test_upstream_resets_a_tunnel(gateway, origin):
    client, wire = open_tunnel(gateway, origin)
    wire.reset()
    client.expect_abort()
    assert gateway.record()["cause"] == "upstream_reset"


def test_idle_tunnel_ends(start, origin):
    gateway = start(configuration(origin, upstream={"timeouts": {"idle": "150ms"}}))
    client, wire = open_tunnel(gateway, origin)
    client.expect_gone()
    wire.expect_gone()
    record = gateway.record()
    assert record["cause"] == "upstream_idle_timeout"
    assert record["total_us"] >= 150_000


def test_busy_tunnel_outlives_the_request_deadline(start, origin):
    gateway = start(configuration(origin, upstream={"timeouts": {"request": AMPLE_TEXT, "idle": "20s"}}))
    client, wire = open_tunnel(gateway, origin)
    client.expect_silence(AMPLE * 1.2)
    client.send("alive")
    assert wire.take(5) == b"alive"
    wire.close()
    client.expect_gone()


def test_much_in_a_tunnel(gateway, origin):
    client, wire = open_tunnel(gateway, origin)
    data = bytes(range(256)) * 8192
    for source, sink in ((client, wire), (wire, client)):
        for i in range(0, len(data), 65536):
            source.send(data[i:i + 65536])
            assert sink.take(65536) == data[i:i + 65536]


def test_101_that_takes_away_what_must_stay_is_malformed(gateway, origin):
    client, wire, _ = asked_tunnel(gateway, origin)
    wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade, Content-Length\r\nUpgrade: x\r\n\r\n")
    assert client.read_response().status == 502
    wire.expect_gone()
    record = gateway.record()
    assert record["cause"] == "upstream_bad_response"
    assert "Connection names a field" in record["why"]
