"""Many clients, few connections, and an origin that fails in every way it knows. Afterwards all is as before."""

import collections
import json
import re

import pytest

from gateway import BINARY, configuration, eventually, free_port
from raw import get
from servers import Server, command

pytestmark = pytest.mark.threads

# What may be told of a request here: (status, cause).
OUTCOMES = {
    (200, None), (503, None),                                   # the origin's own answers
    (502, "upstream_reset"), (502, "upstream_bad_response"), (200, "upstream_reset"), (200, "upstream_bad_response"),
    (504, "first_byte_timeout"), (200, "upstream_idle_timeout"), (504, "upstream_idle_timeout"),
    (503, "pool_queue_full"), (503, "concurrency_limited"), (503, "pool_acquire_timeout"), (504, "connect_timeout"), (504, "request_deadline"),
    (499, "client_gone"), (200, "client_gone"), (503, "client_gone"),  # the load generator leaves at the end
}

SCRIPT = """\
local n = 0
request = function()
	n = n + 1
	local kind = n % 5
	if kind == 0 then return wrk.format("POST", "/echo", nil, string.rep("x", 50000)) end
	if kind == 1 then return wrk.format("GET", "/?size=200KiB") end
	if kind == 2 then return wrk.format("GET", "/?chunked=1&size=20KiB") end
	if kind == 3 then return wrk.format("GET", "/trailers") end
	return wrk.format("GET", "/")
end
"""


@pytest.fixture
def bad_origin():
    port = free_port()
    faults = ["reset=4", "truncate=4", "garbage=4", "hang=1", "early=4", "error=4"]
    arguments = [argument for fault in faults for argument in ("--fault", fault)]
    server = Server([BINARY, "origin", "--listen", f"127.0.0.1:{port}", *arguments], port)
    yield server
    server.stop()


def test_storm(start, bad_origin, tmp_path):
    (tmp_path / "storm.lua").write_text(SCRIPT)
    pool = {"max_connections": 10, "max_pending": 40, "acquire_timeout": "100ms", "max_uses": 50,
            "max_lifetime": "300ms", "idle_timeout": "200ms"}
    gateway = start(configuration(bad_origin, workers=2,
        upstream={"pool": pool, "timeouts": {"first_byte": "200ms", "idle": "200ms"}}))
    before = gateway.open_files()
    told = command("wrk", "-t", 1, "-c", 50, "-d", "2s", "-s", tmp_path / "storm.lua", gateway.url("/"))
    assert int(re.search(r"(\d+) requests in", told)[1]) > 50
    # What is idle is closed, and nothing else is left over.
    eventually(lambda: gateway.open_files() <= before)

    assert successes(gateway, attempts=40) >= 10
    gateway.stop()
    outcomes = collections.Counter((r["status"], r["cause"]) for r in map(json.loads, gateway.access.lines))
    assert outcomes[(200, None)] > 0
    assert set(outcomes) <= OUTCOMES, outcomes


def successes(gateway, attempts):
    """How many of so many requests are answered with 200, though the origin goes on failing."""
    count = 0
    for _ in range(attempts):
        try:
            count += gateway.connect().ask(get("/")).status == 200
        except (AssertionError, OSError):
            continue
    return count
