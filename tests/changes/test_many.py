"""A hundred reloads in a row, with a thousand routes and two hundred endpoints, half of which are others each time: no request
fails, no tunnel ends, memory stays what it was, and no loop is kept from its work for as long as 5 ms."""

from changes import percentile, reload_many


def test_a_hundred_reloads(start, capsys):
    outcome = reload_many(start, turns=100, routes=1000, endpoints=200)
    with capsys.disabled():
        print("\n" + outcome.tell())
    assert not outcome.failures and len(outcome.times) > 1000
    # What the loops themselves are to blame for, each time; and the time that has passed meanwhile, which on a machine with other
    # things to do also holds what it took from them.
    assert outcome.worst("longest_pause_busy_ms") < 5
    assert outcome.median("longest_pause_ms") < 5
    # From outside: a client that asks all the time.
    assert percentile(outcome.times, 0.5) < 0.005
    # Once all that can be in use has been.
    settled = outcome.memory[20:40]
    assert percentile(outcome.memory[-20:], 0.5) < 1.1 * max(settled) + 4096
