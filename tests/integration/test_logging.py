"""Which requests have a line in the access log, what stands in it, and that no worker waits for whoever does not take it."""

import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from admin import administered
from gateway import eventually, merged
from raw import get, response

RESPOND = {"respond": {"body": "x"}}


def lines_of(gateway):
    """All of them: it is over."""
    gateway.stop()
    return [json.loads(line) for line in gateway.access.lines]


def asked(gateway, *paths):
    client = gateway.connect()
    for path in paths:
        client.ask(get(path))


# --- which requests -----------------------------------------------------------------------------------------------------


def test_a_sample(start):
    """A fifth of five hundred is a hundred, give or take nine; who is not told of is counted."""
    gateway, admin = administered(start, route=RESPOND, log={"access": {"sample": "20%"}})
    asked(gateway, *[f"/{n}" for n in range(500)])
    eventually(lambda: admin.metrics().get("weir_exchanges_finished_total") == 500)
    skipped = admin.metrics().get("weir_log_lines_skipped_total")
    lines = lines_of(gateway)
    assert len(lines) + skipped == 500
    assert 40 <= len(lines) <= 180
    # By chance, and not every fifth.
    numbers = [int(line["target"][1:]) for line in lines]
    assert len({b - a for a, b in zip(numbers, numbers[1:])}) > 3


def test_failures_are_told_of_whatever_the_sample_says(start):
    gateway, _ = administered(start, route={**RESPOND, "match": {"path": "/there/*"}}, log={"access": {"sample": "0%"}})
    asked(gateway, "/there/1", "/not-there", "/there/2")
    assert [(line["target"], line["cause"]) for line in lines_of(gateway)] == [("/not-there", "no_route")]


def test_unless_they_are_not_wanted(start):
    gateway, admin = administered(start, route={**RESPOND, "match": {"path": "/there/*"}},
        log={"access": {"sample": "0%", "always": []}})
    asked(gateway, "/there/1", "/not-there")
    eventually(lambda: admin.metrics().get("weir_log_lines_skipped_total") == 2)
    assert lines_of(gateway) == []


def test_a_status_of_the_service_is_a_failure_too(start, origin):
    gateway, _ = administered(start, origin, log={"access": {"sample": "0%"}})
    client, wire, _ = origin.asked(gateway, get("/good"))
    wire.send(response("x"))
    assert client.read_response().status == 200
    client.send(get("/bad"))
    wire.read_request()
    wire.send(response("x", status="503 Busy"))
    assert client.read_response().status == 503
    assert [(line["target"], line["status"], line["cause"]) for line in lines_of(gateway)] == [("/bad", 503, None)]


def test_slow_requests(start, origin):
    gateway, _ = administered(start, origin, log={"access": {"sample": "0%", "always": ["slow"], "slow": "300ms"}})
    client, wire, _ = origin.asked(gateway, get("/slow"))
    time.sleep(0.4)
    wire.send(response("late"))
    assert client.read_response().status == 200
    lines = lines_of(gateway)
    assert [line["target"] for line in lines] == ["/slow"] and lines[0]["total_us"] >= 300_000


def test_routes_have_a_say(start):
    routes = [{"name": "quiet", "match": {"path": "/quiet/*"}, "log": {"access": "off"}, **RESPOND},
              {"name": "all", "match": {"path": "/all/*"}, "log": {"sample": "100%"}, **RESPOND},
              {"name": "broken", "match": {"path": "/broken/*"}, "log": {"access": "off"}, "respond": {"status": 500, "body": "x"}},
              {"name": "as-it-is", "match": {"path": "/*"}, **RESPOND}]
    gateway, admin = administered(start, route=routes, log={"access": {"sample": "0%"}})
    asked(gateway, "/quiet/1", "/all/1", "/broken/1", "/1", "/all/2")
    eventually(lambda: admin.metrics().get("weir_exchanges_finished_total") == 5)
    assert [line["target"] for line in lines_of(gateway)] == ["/all/1", "/all/2"]


def test_a_reload_changes_the_sample(start):
    gateway, admin = administered(start, route=RESPOND, log={"access": {"sample": "0%"}})
    asked(gateway, "/before")
    config = json.loads(gateway.file.read_text())
    gateway.file.write_text(json.dumps(merged(config, {"log": {"access": {"sample": "100%"}}})))
    gateway.signal(signal.SIGHUP)
    gateway.event("reloaded")
    asked(gateway, "/after")
    eventually(lambda: admin.metrics().get("weir_exchanges_finished_total") == 2)
    assert [line["target"] for line in lines_of(gateway)] == ["/after"]


# --- what stands in a line ----------------------------------------------------------------------------------------------

FIELDS = ["status", "target", "tls", "phases_us", "trace_id", "time", "total_us"]


def test_fields_in_json(start):
    gateway, _ = administered(start, route=RESPOND, log={"access": {"fields": FIELDS}})
    asked(gateway, "/1")
    line = lines_of(gateway)[0]
    assert list(line) == FIELDS
    assert (line["status"], line["target"], line["tls"]) == (200, "/1", None)
    assert sum(line["phases_us"].values()) == line["total_us"]


def test_fields_in_text(start):
    gateway, _ = administered(start, route=RESPOND, log={"access": {"format": "text", "fields": FIELDS}})
    asked(gateway, '/1"2')
    gateway.stop()
    assert re.fullmatch(r'status=200 target="/1%222" tls=- phases_us=(-|[a-z_]+:\d+(,[a-z_]+:\d+)*) trace_id=\S+ '
                        r'time="[\dT:.Z-]+" total_us=\d+', gateway.access.lines[0])


# --- who does not take it -----------------------------------------------------------------------------------------------


def dropped(admin, reason):
    return admin.metrics().get("weir_log_lines_dropped_total", reason=reason)


def test_a_pipe_that_nobody_reads(start, tmp_path):
    """The pipe is full, then the writer's buffer, then the worker's; then lines are dropped, and nobody waits."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        gateway, admin = administered(start, route=RESPOND, log={"access": {"path": str(pipe)}})
        client = gateway.connect()
        # Each has a line of some 5 KiB; the ring of a worker has room for 200 of them.
        request = get("/" + "a" * 4000)
        for _ in range(200):
            for _ in range(20):
                assert client.ask(request).status == 200
            if dropped(admin, "full") > 0:
                break
        assert dropped(admin, "full") > 0
        assert admin.metrics().get("weir_exchanges_total", cause="none") > 200
        assert eventually(lambda: dropped(admin, "write_failed") > 0)
    finally:
        # Now somebody does, so that it can end.
        os.set_blocking(reader, True)
        threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(reader, 65536), b"")], daemon=True).start()


def test_a_device_that_is_full(start):
    gateway, admin = administered(start, route=RESPOND, log={"access": {"path": "/dev/full"}})
    asked(gateway, *["/1"] * 50)
    eventually(lambda: dropped(admin, "write_failed") == 50)
    assert admin.metrics().get("weir_log_write_errors_total") >= 1
    gateway.event("the access log cannot be written")
    assert admin.metrics().get("weir_exchanges_total", cause="none") == 50


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB, where that may be made."""
    where = tmp_path / "disk"
    where.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "weir-test", where], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {made.stderr.decode()}")
    yield where
    subprocess.run(["umount", "-l", where], check=True)


def whole_lines(path):
    """Those that were written to the end."""
    def is_whole(line):
        try:
            return json.loads(line) is not None
        except ValueError:
            return False

    return sum(map(is_whole, path.read_text().splitlines()))


def test_a_disk_that_is_full_for_a_while(start, small_disk):
    """What did not fit is lost and counted, each line that is there is whole, and it goes on when there is room again."""
    path = small_disk / "access.log"
    gateway, admin = administered(start, route=RESPOND, log={"access": {"path": str(path)}})
    asked(gateway, *["/" + "a" * 1000] * 200)
    assert eventually(lambda: whole_lines(path) + dropped(admin, "write_failed") == 200)
    lost = dropped(admin, "write_failed")
    assert lost > 0
    gateway.event("the access log cannot be written")
    path.rename(small_disk / "old.log")
    (small_disk / "old.log").unlink()
    gateway.signal(signal.SIGUSR1)
    eventually(path.exists)
    asked(gateway, "/again")
    eventually(lambda: "/again" in path.read_text())
    assert json.loads(path.read_text().splitlines()[-1])["target"] == "/again"
    assert dropped(admin, "write_failed") == lost and admin.metrics().get("weir_exchanges_total", cause="none") == 201
