"""A dozen reloads in a row under load: `./dev test changes` has a hundred, with more routes."""

from changes import reload_many
from gateway import sanitizer


def test_nobody_notices(start):
    outcome = reload_many(start, turns=12, routes=300, endpoints=60)
    print(outcome.tell())
    assert not outcome.failures and len(outcome.times) > 100
    # Of processor time, since the machine may be busy with others.
    assert outcome.median("longest_pause_busy_ms") < (50 if sanitizer() else 5)
