"""What the access log says of requests that went to an upstream. (Formats and rotation: test_command_line.py.)"""

import json
import re
import signal
import socket
import subprocess
import time

from gateway import BINARY, Lines, configuration
from raw import Wire, get, post, response
from translators import CLIENT, VERSIONS

PHASES = ("queue_us", "connect_us", "first_byte_us", "total_us")


def test_record_of_a_proxied_request(gateway, origin):
    client = gateway.connect()
    client.send(post("hello", "/a?b", fields=["User-Agent: me/1", "Referer: http://there/"]))
    origin.answer(response("hello world", status="201 Created"))
    client.read_response()
    record = gateway.record()
    expected = {"listener": "public", "client": "127.0.0.1", "method": "POST", "host": "example.com", "target": "/a?b",
                "protocol": f"HTTP/{VERSIONS[CLIENT]}", "status": 201, "cause": None, "route": "all", "upstream": "origin",
                "endpoint": origin.address, "reused": False, "retries": 0, "upstream_status": True, "bytes_in": 5,
                "bytes_out": 11,
                "user_agent": "me/1", "referer": "http://there/", "upgraded": False}
    assert {key: record[key] for key in expected} == expected
    assert all(record[phase] >= 0 for phase in PHASES)


def test_phases_add_up(gateway, origin):
    began = time.monotonic()
    client, wire, _ = origin.asked(gateway)
    client.expect_silence(0.1)
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
    client.read_head()
    client.expect_silence(0.1)
    wire.send("x")
    client.take(1)
    record = gateway.record()
    assert record["first_byte_us"] >= 95_000
    assert record["total_us"] - record["first_byte_us"] >= 95_000
    assert record["queue_us"] + record["connect_us"] + record["first_byte_us"] <= record["total_us"]
    assert record["total_us"] <= (time.monotonic() - began) * 1_000_000


def test_reused_connection_has_no_connect_phase(gateway, origin):
    origin.serve()
    client = gateway.connect()
    client.ask(get())
    client.ask(get())
    first, second = gateway.records(2)
    assert (first["reused"], second["reused"]) == (False, True)
    assert second["connect_us"] == 0


def test_wait_in_the_queue_is_told_apart(start, origin):
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 1}}))
    first, wire, _ = origin.asked(gateway, get("/1"))
    second = gateway.connect().send(get("/2"))
    second.wait_taken()
    second.expect_silence(0.1)
    released = time.monotonic()
    wire.send(response())
    wire.read_request()
    wire.send(response())
    first.read_response()
    second.read_response()
    waited = next(record for record in gateway.records(2) if record["target"] == "/2")
    assert waited["queue_us"] >= 95_000
    assert (waited["connect_us"], waited["reused"]) == (0, True)
    assert waited["first_byte_us"] <= (time.monotonic() - released) * 1_000_000


def test_malformed_request_is_logged(gateway):
    gateway.connect().ask(b"GET /x HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n")
    record = gateway.record()
    assert (record["status"], record["cause"]) == (400, "bad_request")
    assert record["why"] and record["request_id"]


def test_nothing_a_client_sends_breaks_a_line(gateway, origin):
    origin.serve()
    gateway.connect().ask(b"GET /%22\"<>?\"\xff HTTP/1.1\r\nHost: a\r\nUser-Agent: \"}\\\xff\t{\r\n\r\n")
    record = gateway.record()
    assert record["status"] == 200
    assert record["user_agent"].startswith('"}\\')


def test_text_format(start, origin):
    gateway = start(configuration(origin, log={"access": {"format": "text"}}))
    origin.serve()
    gateway.connect().ask(get("/a?b=\"c\"", fields=["User-Agent: a\"b\\c"]))
    line = gateway.access.wait_for(lambda lines: lines and lines[0])
    assert re.match(r'127\.0\.0\.1 - - \[\d{4}-\d\d-\d\dT[\d:.]+Z\] "GET /a\?b=[^ ]+ HTTP/' + VERSIONS[CLIENT] +
                    r'" 200 2 "-" "a\\x22b\\x5cc" ', line)
    pairs = dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line))
    assert pairs["route"] == '"all"' and pairs["upstream"] == '"origin"' and pairs["cause"] == "-"
    assert pairs["endpoint"] == f'"{origin.address}"'
    assert all(pairs[phase].isdigit() for phase in PHASES)


def test_reopening_standard_output_is_harmless(gateway, origin):
    origin.serve()
    client = gateway.connect()
    client.ask(get("/1"))
    gateway.signal(signal.SIGUSR1)
    client.ask(get("/2"))
    assert [record["target"] for record in gateway.records(2)] == ["/1", "/2"]


def test_off(start, origin):
    gateway = start(configuration(origin, log={"access": "off"}))
    origin.serve()
    gateway.connect().ask(get())
    gateway.stop()
    assert gateway.access.lines == []


def test_every_request_has_exactly_one_line(gateway, origin):
    """Whatever becomes of them."""
    origin.serve()
    client = gateway.connect().send(get("/1") + get("/2") + post("x", "/3") + b"BAD\r\n\r\n")
    for _ in range(4):
        client.read_response()
    gateway.connect().ask(get("/%00"))
    gateway.stop()
    assert len(gateway.access.lines) == 5


def test_log_that_nobody_reads_stops_nobody(tmp_path):
    """The workers go on; what the log cannot take is lost, and the end of the program says so."""
    config = configuration(route={"respond": {"body": "x"}})
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps(config))
    process = subprocess.Popen([BINARY, "run", "-c", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        events = Lines(process.stderr)
        assert events.wait_for(lambda lines: any("ready" in line for line in lines))
        port = int(config["listeners"][0]["address"].rpartition(":")[2])
        client = Wire(socket.create_connection(("127.0.0.1", port)))
        for _ in range(1500):
            assert client.ask(get("/" + "a" * 4000)).status == 200
        client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 1
        assert "nobody reads" in events.text() or events.wait_for(lambda lines: any("nobody reads" in l for l in lines))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
