"""Fixtures. Everything that a test starts is ended after it, and the gateway's end is checked each time."""

import os
import signal

import pytest

import gateway as gateways
import matrix
from collector import Collector
from gateway import BINARY, Gateway, configuration
from origin import Origin


def pytest_sessionstart(session):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is not there: build it, or say with WEIR_BIN where it is", 2)


def keep_part(config, items):
    """Of WEIR_PART=1/2 every other one: tests of a kind take about as long, and so both parts do."""
    part, parts = map(int, os.environ.get("WEIR_PART", "1/1").split("/"))
    kept = items[part - 1::parts]
    config.hook.pytest_deselected(items=[item for i, item in enumerate(items) if i % parts != part - 1])
    items[:] = kept


@pytest.hookimpl(hookwrapper=True)
def pytest_collection_modifyitems(config, items):
    matrix.mark(config, items)
    yield
    # Those that are left.
    keep_part(config, items)


def pytest_runtest_setup(item):
    gateways.apart = item.get_closest_marker("apart") is not None


# Far more than any test takes, on a slow machine and with a sanitizer too. A test that hangs is a failed test.
SECONDS_MAX = 300


def _too_late(_signal, _frame):
    raise TimeoutError(f"not done within {SECONDS_MAX} s")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol():
    """Breaks off a test that hangs, and again what it does in the end when that hangs too."""
    signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_MAX, SECONDS_MAX / 10)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture
def make_origin():
    """make_origin() is a new scripted upstream."""
    origins = []

    def make(**options):
        origins.append(Origin(**options))
        return origins[-1]

    yield make
    errors = []
    for origin in origins:
        try:
            origin.close()
        except AssertionError as error:
            errors.append(error)
    if errors:
        raise errors[0]


@pytest.fixture
def origin(make_origin):
    return make_origin()


@pytest.fixture
def collector(make_origin):
    """Of traces; what it was told was well-formed."""
    found = Collector(make_origin())
    yield found
    assert not found.wrong, found.wrong


@pytest.fixture
def start(tmp_path):
    """start(config) is a running gateway; config is a mapping, or YAML text."""
    gateways = []

    def begin(config, **options):
        gateways.append(Gateway(config, tmp_path, **options))
        return gateways[-1]

    yield begin
    errors = []
    for gateway in gateways:
        try:
            gateway.stop()
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)
    if errors:
        raise errors[0]


@pytest.fixture
def gateway(start, origin):
    """A gateway with default settings in front of `origin`."""
    return start(configuration(origin))
