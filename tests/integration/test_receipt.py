"""What is told of a reload when it is over: over the administration, in the metrics, and in the event log."""

import copy
import json
import re

import pytest

from admin import administered
from gateway import eventually, merged
from raw import get, post

FIELDS = {"outcome", "at", "by", "changes", "changes_left_out", "took_ms", "longest_pause_ms", "longest_pause_busy_ms",
    "complaints", "warnings", "workers", "refused"}


ASKED = post("{}", "/v1/reload", ["Content-Type: application/json"]).replace(b"example.com", b"localhost")


def ask_reload(admin):
    wire = admin.connect()
    answer = wire.ask(ASKED)
    wire.close()
    return answer.status, json.loads(answer.body)


@pytest.fixture(name="started")
def _started(start, origin):
    gateway, admin = administered(start, origin.serve(), workers=2)
    return gateway, admin


def test_before_the_first(started):
    _, admin = started
    assert admin.ask("/v1/reload").status == 404
    metrics = admin.metrics()
    assert metrics.get("weir_config_last_reload_successful") == 1
    assert metrics.get("weir_reloads_total", outcome="reloaded") == 0
    assert metrics.get("weir_config_last_reload_success_timestamp_seconds") == metrics.get("process_start_time_seconds")


def test_by_the_administration(started):
    gateway, admin = started
    config = copy.deepcopy(gateway.config)
    config["routes"].append({"name": "own", "match": {"path": "/own"}, "respond": {"body": "after"}})
    gateway.write(config)
    status, receipt = ask_reload(admin)
    assert status == 200 and set(receipt) == FIELDS
    assert (receipt["outcome"], receipt["by"], receipt["workers"], receipt["refused"]) == ("reloaded", "admin", 2, 0)
    assert receipt["changes"][0] == "+ routes[own]: a mapping" and receipt["complaints"] == []
    assert receipt["changes"][-1].startswith("reloaded: 2 routes (1 before)")
    assert set(receipt["took_ms"]) == {"read", "check", "resolve", "compile", "swap"}
    assert receipt["took_ms"]["read"] > 0 and receipt["took_ms"]["swap"] > 0
    assert receipt["longest_pause_ms"] >= receipt["longest_pause_busy_ms"] / 2 > 0, receipt
    assert admin.json("/v1/reload") == receipt
    assert gateway.connect().ask(get("/own")).body == b"after"
    metrics = admin.metrics()
    assert metrics.get("weir_reloads_total", outcome="reloaded") == 1
    assert metrics.get("weir_config_last_reload_success_timestamp_seconds") > metrics.get("process_start_time_seconds")


TOKENS = ["t0ken-t0ken-t0ken-t0ken-one", "t0ken-t0ken-t0ken-t0ken-two"]


def test_what_has_changed(start, origin):
    """Every key that says something else, none of its secrets; then what becomes of it."""
    ways = [{"name": name, "match": {"path": "/same", "methods": [method]}, "respond": {"body": name}}
        for name, method in (("a", "GET"), ("b", "POST"))]
    limited = {"name": "limited", "match": {"path": "/limited"}, "upstream": "origin",
        "filters": [{"rate_limit": {"rate": "10/s"}}, {"headers": {"request": {"set": {"Authorization": TOKENS[0]}}}}]}
    gateway, admin = administered(start, origin.serve(), route=[limited, *ways], listener={"limits": {"connections": 4000}})
    config = copy.deepcopy(gateway.config)
    routes = config["routes"]
    routes[0]["match"]["path"] = "/bounded"
    routes[0]["filters"][0]["rate_limit"]["rate"] = "20/s"
    routes[0]["filters"][1]["headers"]["request"]["set"]["Authorization"] = TOKENS[1]
    config["routes"] = [routes[0], *routes[:0:-1], {"name": "new", "match": {"path": "/new"}, "respond": {"body": "new"}}]
    config["listeners"][0]["limits"]["connections"] = 4321
    config["drain_timeout"] = "7s"
    gateway.write(config)
    status, receipt = ask_reload(admin)
    changes = receipt["changes"]
    assert status == 200 and receipt["changes_left_out"] == 0
    for line in ('~ routes[limited].match.path: "/limited" -> "/bounded"', '~ routes[limited].filters[0].rate_limit.rate: "10/s" -> "20/s"',
            '~ routes[limited].filters[1].headers.request.set.Authorization: (secret) -> (secret)', "+ routes[new]: a mapping",
            "route b is asked before route a now, whose match is the same", '~ drain_timeout: "5s" -> "7s"',
            '~ listeners[public].limits.connections: "4000" -> "4321"'):
        assert line in changes, changes
    assert not any(token in json.dumps(receipt) for token in TOKENS)
    assert changes[-1].startswith("reloaded: 4 routes (3 before)")
    # Nothing else is told: the file of then is what the next one is compared with.
    assert [line for line in ask_reload(admin)[1]["changes"] if not line.startswith("reloaded: ")] == []


def test_changes_are_bounded(started):
    gateway, admin = started
    config = copy.deepcopy(gateway.config)
    config["routes"] += [{"name": f"r{i}", "match": {"path": f"/{i}"}, "respond": {"body": "x"}} for i in range(130)]
    gateway.write(config)
    changes = ask_reload(admin)[1]["changes"]
    assert len(changes) == 102 and changes[:2] == ["+ routes[r0]: a mapping", "+ routes[r1]: a mapping"]
    assert changes[-2] == "and 30 more keys" and changes[-1].startswith("reloaded: 131 routes (1 before)")


def test_refused(started):
    gateway, admin = started
    config = copy.deepcopy(gateway.config)
    config["routes"][0]["upstream"] = "nobody"
    config["drain_timeout"] = "1 minute"
    gateway.write(config)
    status, receipt = ask_reload(admin)
    assert status == 422 and receipt["outcome"] == "refused" and receipt["changes"] == []
    assert len(receipt["complaints"]) >= 2
    for complaint in receipt["complaints"]:
        assert set(complaint) == {"line", "column", "path", "text"} and complaint["line"] > 0 and complaint["column"] > 0
    assert any(complaint["path"] == "drain_timeout" for complaint in receipt["complaints"])
    assert gateway.connect().ask(get()).status == 200
    metrics = admin.metrics()
    assert metrics.get("weir_config_last_reload_successful") == 0
    assert metrics.get("weir_reloads_total", outcome="refused") == 1
    # And it is made good again.
    gateway.write(gateway.config)
    assert ask_reload(admin)[0] == 200
    assert admin.metrics().get("weir_config_last_reload_successful") == 1


def test_by_a_signal(started):
    gateway, admin = started
    said = gateway.reload(gateway.config)
    took = [line for line in said if " main took: read " in line]
    assert len(took) == 1 and re.search(r"no loop paused for longer than \d+\.\d\d ms$", took[0])
    # It is told first, and kept then.
    eventually(lambda: admin.ask("/v1/reload").status == 200)
    assert admin.json("/v1/reload")["by"] == "signal"


def test_asked_by_many_at_once(started):
    """Each is answered behind a reload that began after it had asked."""
    gateway, admin = started
    gateway.write(merged(gateway.config, {"drain_timeout": "7s"}))
    wires = [admin.connect() for _ in range(6)]
    for wire in wires:
        wire.send(ASKED)
    answers = [wire.read_response() for wire in wires]
    assert [answer.status for answer in answers] == [200] * 6
    assert all(json.loads(answer.body)["outcome"] == "reloaded" for answer in answers)
    assert 1 <= admin.metrics().get("weir_reloads_total", outcome="reloaded") <= 6
