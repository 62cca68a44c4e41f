"""Everything at once: clients of every temper, an origin with every fault, two workers. Then quiet; all as before."""

import signal
import time

import pytest

from books import Books
from crowd import Crowd
from gateway import configuration, eventually, free_port
from ledger import Ledger
from raw import get
from translators import UPSTREAM, OriginTranslator

pytestmark = pytest.mark.threads

TEMPERS = {"leaver": 0.2, "slow_reader": 0.05, "uploader": 0.15, "cutter": 0.1, "stub": 0.1}

FAULTS = {"reset": 0.03, "close": 0.1, "cut": 0.03, "delay": 0.03}

POOL = {"max_connections": 6, "max_pending": 30, "acquire_timeout": "150ms", "on_acquire_timeout": "new",
        "max_overflow": 2, "idle_timeout": "250ms", "max_lifetime": "600ms", "max_uses": 40}


@pytest.fixture
def origin():
    ledger = Ledger(3, free_port())
    translator = None
    if UPSTREAM == "h2":
        translator = OriginTranslator("127.0.0.1", ledger.port, free_port())
        ledger.address = f"127.0.0.1:{translator.port}"
    yield ledger
    ledger.close()
    if translator:
        translator.close()


def bad_times(gateway, origin):
    """What an origin does to those who depend on it; and an operator."""
    time.sleep(1)
    origin.tell("faults", FAULTS)
    time.sleep(2)
    gateway.config["upstreams"][0]["pool"]["order"] = "fifo"
    gateway.write(gateway.config)
    gateway.signal(signal.SIGHUP)
    time.sleep(1)
    origin.tell("refuse")
    time.sleep(0.7)
    origin.tell("accept")
    time.sleep(1)
    origin.tell("stall")
    time.sleep(1)
    origin.tell("go")
    time.sleep(1)
    origin.tell("faults", {})
    time.sleep(1)


def test_soak(start, origin):
    gateway = start(configuration(origin, workers=2,
        log={"access": "off"}, admin={"address": f"127.0.0.1:{free_port()}"},
        listener={"timeouts": {"header": "300ms", "body_idle": "300ms", "write_idle": "500ms", "keep_alive": "1s"}},
        upstream={"pool": POOL, "timeouts": {"connect": "200ms", "first_byte": "150ms", "idle": "150ms"}}))
    before = gateway.open_files()
    crowd = Crowd(gateway, clients=60, patience=0.3, leave="either", tempers=TEMPERS)
    try:
        bad_times(gateway, origin)
        clients = crowd.stop()
    finally:
        crowd.close()
    most = origin.report()["open_max"]
    gateway.event("reloaded: ")

    # Quiet: nobody holds anything, what was idle is closed, and nothing else is left over.
    books = eventually(lambda: (b := Books(gateway)).is_quiet() and sum(b.states().values()) == 0 and b)
    eventually(lambda: gateway.open_files() == before)
    books.must_balance()
    assert books.total("weir_pool_opened_total") == books.total("weir_pool_closed_total")
    assert eventually(lambda: origin.report()["open"] == 0)
    print(f"\nstatuses {clients['statuses']}, left {clients['left']}, lost {clients['lost']}, at most {most} open, "
          f"{books.acquires()}")

    # It was what it says: everything happened, and much went well.
    assert len(clients["served"]) > 500 and clients["left"] > 100 and clients["lost"] > 10
    for outcome in ("delivered", "timed_out", "cancelled", "rejected"):
        assert books.total("weir_pool_acquires_total", outcome=outcome) > 0, outcome
    # A translator can be connected to all the time, and closes its own connections a moment later.
    if UPSTREAM == "h1":
        assert books.total("weir_pool_acquires_total", outcome="open_failed") > 0
        assert most <= POOL["max_connections"] + POOL["max_overflow"]
    assert all(gateway.connect().ask(get()).status == 200 for _ in range(20))
