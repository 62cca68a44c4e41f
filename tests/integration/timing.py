"""For tests of when something happens."""

import contextlib
import json
import time

from translators import CLIENT, UPSTREAM

SHORT = 0.15
SHORT_TEXT = "150ms"

# How much later than due something may happen on a busy machine.
LATE = 2.0

# The clock is started when something was sent, by a process that has translators to run too: then it may start late.
EARLIEST = 0.9 if (CLIENT, UPSTREAM) == ("h1", "h1") else 0.3


@contextlib.contextmanager
def due(seconds=SHORT):
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert seconds * EARLIEST <= took < seconds + LATE, f"after {took:.3f}s instead of {seconds}s"


def assert_error(gateway, answer, status, cause):
    assert answer.status == status
    assert json.loads(answer.body)["error"] == cause
    record = gateway.records(1)[-1]
    assert (record["status"], record["cause"], record["upstream_status"]) == (status, cause, False)
