"""`weir why` and GET /v1/why: the way from the workers' counters to the page. The verdicts are tests/unit/telemetry/test_why.c's and
tests/lab's."""

import contextlib
import json
import signal
import subprocess
import time

import pytest

from admin import administered
from gateway import BINARY, eventually
from h2raw import H2Wire, goaway
from raw import TIMEOUT, get, response
from test_admin_api import request

pytestmark = pytest.mark.threads

PHASES = ["reading", "filters", "queue", "connect", "tls", "first_byte", "upstream", "client", "backoff"]
WHATS = {"backend_saturated", "pool_too_small", "queue_too_small", "descriptors", "ephemeral_ports", "connection_churn", "slow_endpoint",
    "slow_connects", "slow_clients", "rate_limit", "gateway_processor", "loop_lag", "accept_queue", "learned_limit", "breaker", "memory",
    "client_connections", "offered_load"}


def command(gateway, *arguments):
    return subprocess.run([BINARY, "why", "-c", gateway.file, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=TIMEOUT, check=False)


def test_nothing_is_asked_for(start, origin):
    _, admin = administered(start, origin)
    told = admin.why()
    assert told["verdicts"][0]["what"] == "offered_load"
    assert told["summary"] == told["verdicts"][0]["text"]
    assert list(told["phases"]) == PHASES and not any(told["phases"].values())
    named = {verdict["what"] for verdict in told["verdicts"]} | {entry["what"] for entry in told["ruled_out"]}
    assert named == WHATS
    assert all(entry["text"] for entry in told["ruled_out"])


def test_requests_are_seen(start, origin):
    gateway, admin = administered(start, origin)
    origin.serve()
    client = gateway.connect()
    admin.why()
    for _ in range(20):
        assert client.ask(get()).status == 200
    told = eventually(lambda: (t := admin.why("?window=60s")) and t["requests_per_s"] * t["window_s"] > 19.5 and t)
    assert sum(told["phases"].values()) == pytest.approx(1)
    # One client, who asks for one after the other.
    assert told["in_flight"] < 1


def test_pool_that_is_full(start, origin):
    """Three requests, one place: two wait, for as long as the origin lets them."""
    gateway, admin = administered(start, origin, upstream={"pool": {"max_connections": 1, "acquire_timeout": "60s"},
        "concurrency": "off"}, workers=1)
    clients = [gateway.connect().send(get()) for _ in range(3)]
    for client in clients:
        client.wait_taken()
    wire = origin.accept()
    wire.read_request()
    told = eventually(lambda: (t := admin.why("?window=1s")) and t["verdicts"][0]["what"] == "pool_too_small" and t)
    verdict = told["verdicts"][0]
    assert verdict["subject"] == {"upstream": "origin", "endpoint": origin.address}
    assert verdict["number"]["value"] == pytest.approx(3)
    assert verdict["knob"] == {"key": "upstreams[origin].pool.max_connections", "turn": "raise", "now": 1, "to": 3}
    assert told["in_flight"] == 3
    # In which order they have come is not said.
    for at in range(3):
        if at > 0:
            wire.read_request()
        wire.send(response("done"))
    assert [client.read_response().body for client in clients] == [b"done"] * 3


def test_sessions_that_do_not_last(start, origin):
    """Each serves one request: what is counted are sessions, and not streams."""
    def serve_one(wire, _):
        wire = H2Wire(wire.sock, server=True)
        wire.start()
        with contextlib.suppress(EOFError, OSError):
            while not any(message.fields is not None for message in wire.messages.values()):
                wire.read_one()
            wire.respond(1, body=b"done")
            wire.send(goaway(last=1))

    origin.serve(serve_one)
    gateway, admin = administered(start, origin, upstream={"protocol": "h2"})
    client = gateway.connect()

    def churns():
        for _ in range(20):
            assert client.ask(get()).status == 200
        return next((v for v in admin.why("?window=60s")["verdicts"] if v["what"] == "connection_churn"), None)

    verdict = eventually(churns)
    assert verdict["subject"] == {"upstream": "origin", "endpoint": origin.address}
    assert "before its first stream" in verdict["text"]
    metrics = admin.metrics()
    opened = metrics.get("weir_upstream_sessions_opened_total", upstream="origin", endpoint=origin.address)
    assert opened >= metrics.get("weir_exchanges_total", cause="none") > 0


def test_requests_that_fail_are_no_lack_of_load(start, origin):
    gateway, admin = administered(start, origin)
    path = f"/v1/upstreams/origin/endpoints/{origin.address}"
    assert admin.connect().ask(request("PATCH", path, {"enabled": False})).status == 200
    client = gateway.connect()
    admin.why()
    for _ in range(20):
        assert client.ask(get()).status == 503
    told = eventually(lambda: (t := admin.why("?window=60s")) and t["failed_per_s"] * t["window_s"] > 19.5 and t)
    assert told["verdicts"][0]["what"] == "offered_load"
    assert "100 % of the requests fail, most of them as no_healthy_endpoint" in told["summary"]


def test_a_loop_that_is_held(start, origin):
    """It is stopped for most of the time, so its loops are late, and use no processor for that."""
    gateway, admin = administered(start, origin, workers=1)
    origin.serve()
    client = gateway.connect()

    def held():
        for _ in range(3):
            gateway.signal(signal.SIGSTOP)
            time.sleep(0.4)
            gateway.signal(signal.SIGCONT)
            assert client.ask(get()).status == 200
            time.sleep(0.1)
        return next((v for v in admin.why()["verdicts"] if v["what"] == "loop_lag"), None)

    verdict = eventually(held)
    assert verdict["number"]["name"] == "loop_lag" and verdict["number"]["value"] > 0.01
    assert "without use of a processor" in verdict["text"] and "late" in verdict["arithmetic"][0]
    assert verdict["knob"] == {"key": "shedding.loop_lag", "turn": "leave", "now": None, "to": None}


def test_one_upstream(start, origin):
    _, admin = administered(start, origin)
    assert admin.why("?upstream=origin")["verdicts"]
    answer = admin.ask("/v1/why?upstream=nobody")
    assert answer.status == 404 and json.loads(answer.body)["error"] == "not_found"


@pytest.mark.parametrize("query", ["window=0s", "window=61s", "window=10", "window=", "window=1500us", "windows=10s"])
def test_bad_queries(start, origin, query):
    _, admin = administered(start, origin)
    admin.why()
    assert admin.ask("/v1/why?" + query).status == 400


def test_what_is_known_outlives_a_reload(start, origin):
    gateway, admin = administered(start, origin)
    origin.serve()
    admin.why()
    client = gateway.connect()
    for _ in range(20):
        assert client.ask(get()).status == 200
    eventually(lambda: (t := admin.why("?window=60s")) and t["requests_per_s"] * t["window_s"] > 19.5)
    another = {"name": "another", "endpoints": [{"address": "127.0.0.1:1"}]}
    gateway.reload({**gateway.config, "upstreams": [another, *gateway.config["upstreams"]]})
    eventually(lambda: admin.ask("/v1/why?upstream=another").status == 200)
    told = admin.why("?window=60s&upstream=another")
    assert told["requests_per_s"] * told["window_s"] > 19.5
    assert admin.why("?window=60s&upstream=origin")["ruled_out"]


def test_command(start, origin):
    gateway, admin = administered(start, origin)
    admin.why()
    result = command(gateway)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "requests/s" in lines[0] and lines[2].startswith("Nothing here is full")
    assert "ruled out" in lines and any(line.startswith("  gateway_processor  busiest worker") for line in lines)
    machine = json.loads(command(gateway, "--json", "--window", "2s", "--upstream", "origin").stdout)
    assert machine["verdicts"][0]["what"] == "offered_load"


@pytest.mark.parametrize("arguments, complaint", [
    (["--window"], "needs a value"),
    (["--window", "soon"], "takes a time"),
    (["--upstream", "a b"], "name of an upstream"),
    (["more"], "too much"),
])
def test_command_used_wrongly(start, origin, arguments, complaint):
    gateway, _ = administered(start, origin)
    result = command(gateway, *arguments)
    assert result.returncode == 2 and complaint in result.stderr


def test_command_says_what_the_administration_refuses(start, origin):
    gateway, admin = administered(start, origin)
    admin.why()
    result = command(gateway, "--upstream", "nobody")
    assert result.returncode == 1 and "no upstream of that name" in result.stderr
