"""Bad use of the library has the answers that docs/pool.md gives (misuse.c makes the mistakes)."""

import re

import pytest

from installed import ROOT

ANSWERS = {
    "no owner": "refused",
    "no config": "refused",
    "no ops": "refused",
    "a function missing": "refused",
    "no cap": "refused",
    "cap too large": "refused",
    "no bound of the queue": "refused",
    "no acquire timeout": "refused",
    "no connecting_max": "refused",
    "overflow without new": "refused",
    "new without overflow": "refused",
    "idle_min beyond the cap": "refused",
    "checks without check": "refused",
    "backoff_max without backoff_min": "refused",
    "backoff_min beyond backoff_max": "refused",
    "budget without notify": "refused",
    "budget of 0": "refused",
    "deadline in the past": "1",
    "cancel before and after": "1",
    "time that goes back": "1",
    "acquire while draining": "1",
    "close twice": "told 1",
    "acquire after close": "1",
    "give back": "1",
    "twice": "0, double 1",
    "stale": "0, stale 1, leased 1",
    "foreign": "0, foreign 2, leased 1",
    "reports of what was not asked": "4, idle 1, audit agrees",
    "everything from a callback": "outcomes 2, closes 1",
    "open never answered": "outcomes 1, connecting 1",
    "time UINT64_MAX": "1, 1",
}

# What aborts, and a word of what it says was not true: so a sanitizer's abort does not count as one.
ABORTS = {
    "acquire twice": "waiter_is_free",
    "acquire without on_outcome": "waiter->on_outcome",
    "cancel in another pool": "waiter->pool",
    "free while lent": "pool_live",
    "free in a callback": "pool->calling",
    "call from random": "pool->drawing",
    "free a budget before its pools": "seat->taken",
}


@pytest.fixture(scope="module")
def answers(library, tmp_path_factory):
    program = library.compile("gcc", ROOT / "tests/library/misuse.c", tmp_path_factory.mktemp("misuse") / "misuse",
                              "-std=c11", "-g", "-fsanitize=address,undefined")
    return dict(line.split(": ", 1) for line in library.run(program).splitlines())


def test_nothing_is_left_out(answers):
    assert answers.keys() == ANSWERS.keys() | ABORTS.keys()


@pytest.mark.parametrize("what", ANSWERS)
def test_answer(answers, what):
    assert answers.get(what) == ANSWERS[what]


@pytest.mark.parametrize("what", ABORTS)
def test_abort(answers, what):
    """It says on standard error what was not true."""
    said = re.fullmatch(r"aborts, weir_pool: \S+:\d+: not true: (.*)", answers[what])
    assert said and ABORTS[what] in said[1], answers[what]
