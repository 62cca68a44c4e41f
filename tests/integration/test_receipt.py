"""What is told of a reload when it is over: over the administration, in the metrics, and in the event log."""

import copy
import json
import re

import pytest

from admin import administered
from gateway import merged
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
    assert receipt["changes"][-1].startswith("reloaded: 2 routes (1 before)") and receipt["complaints"] == []
    assert set(receipt["took_ms"]) == {"read", "check", "resolve", "compile", "swap"}
    assert receipt["took_ms"]["read"] > 0 and receipt["took_ms"]["swap"] > 0
    assert receipt["longest_pause_ms"] >= receipt["longest_pause_busy_ms"] / 2 > 0, receipt
    assert admin.json("/v1/reload") == receipt
    assert gateway.connect().ask(get("/own")).body == b"after"
    metrics = admin.metrics()
    assert metrics.get("weir_reloads_total", outcome="reloaded") == 1
    assert metrics.get("weir_config_last_reload_success_timestamp_seconds") > metrics.get("process_start_time_seconds")


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
