"""For tests of when something happens."""

import contextlib
import json
import time

SHORT = 0.15
SHORT_TEXT = "150ms"

# For what the test, or a scripted peer, does in time: it may be late itself.
LONG = 1.2
LONG_TEXT = "1200ms"

# For what both of them do in time, one step after the other: a step may wait for two seconds until its thread has a processor.
AMPLE = 3.0
AMPLE_TEXT = "3s"

# How much later than due something may happen on a busy machine: no later than what would happen by default (10 s, or more).
LATE = 8.0

EARLIEST = 0.95


@contextlib.contextmanager
def due(seconds=SHORT):
    """Something happens so long after something else. Both are done within, and the connecting too: the test hears late of the
    first, and who begins to count only then takes for early what is not; and a gateway that has looked at its clock when somebody
    connected may be kept from going on, and take what was sent then for what had come with it."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert seconds * EARLIEST <= took < seconds + LATE, f"after {took:.3f}s instead of {seconds}s"


def assert_error(gateway, answer, status, cause):
    assert answer.status == status
    assert json.loads(answer.body)["error"] == cause
    record = gateway.records(1)[-1]
    assert (record["status"], record["cause"], record["upstream_status"]) == (status, cause, False)
