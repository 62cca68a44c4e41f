"""Where a container, or the memory that the kernel has, does not let it do what it would like to do: it starts, serves, and loses no line
of its log."""

import pathlib
import sys
import time

import pytest

from forbidding import PRIVATE_EXPEDITED
from gateway import configuration
from raw import get

FORBIDDING = pathlib.Path(__file__).with_name("forbidding.py")


@pytest.mark.parametrize("how", [("EPERM",), ("ENOSYS",), ("ENOMEM", "--only", str(PRIVATE_EXPEDITED))], ids=["forbidden", "unknown", "later"])
def test_barriers_of_the_kernel(start, how):
    """Each line is awaited before the next request, and its writer given time to fall asleep, which nothing tells of."""
    gateway = start(configuration(route={"respond": {"body": "x"}}), under=(sys.executable, FORBIDDING, *how))
    client = gateway.connect()
    for n in range(1, 6):
        assert client.ask(get(f"/{n}")).status == 200
        assert gateway.records(n)[-1]["target"] == f"/{n}"
        time.sleep(0.15)
    gateway.stop()
    assert len(gateway.access.lines) == 5
