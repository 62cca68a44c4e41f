"""Bottlenecks before the gateway: who asks, how they take the answers, and how much they are allowed."""

import time

from clients import WARM, WINDOW
from stage import configuration


def test_offered_load(stage):
    """Nothing is full: nobody asks for more."""
    origin = stage.origin("--delay", "10ms")
    gateway = stage.gateway(configuration(origin))
    load = stage.load(gateway.port, rate=150, in_flight=400)
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "offered_load", lambda: load.rate("good"), turn=("leave",))


def test_few_clients(stage):
    """Eight clients who ask again when they are answered, and a pool of a hundred."""
    origin = stage.origin("--delay", "100ms")
    gateway = stage.gateway(configuration(origin))
    load = stage.load(gateway.port, clients=8)
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "offered_load", lambda: load.rate("good"), turn=("leave",))


def test_slow_clients(stage):
    """Answers of 4 MiB, of which eight clients take 4 MiB a second each, after the 200 ms that the service needs."""
    origin = stage.origin("--delay", "200ms")
    gateway = stage.gateway(configuration(origin))
    readers = stage.slow_readers(gateway.port, 8, "/?size=4MiB", 4 << 20)
    time.sleep(WARM + WINDOW)
    stage.judge(gateway, "slow_clients", readers.share)


def test_rate_limit(stage):
    """Three hundred a second come to a route that lets a hundred pass."""
    origin = stage.origin("--delay", "5ms")
    limit = {"rate_limit": {"rate": "100/s", "burst": 20, "key": "route"}}
    gateway = stage.gateway(configuration(origin, route={"filters": [limit]}))
    load = stage.load(gateway.port, rate=300, in_flight=400)
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "rate_limit", lambda: load.rate("refused"), turn=("raise", "leave"), route="all")


def test_client_connections(stage):
    """Fifty clients may be connected, and some eighty want to be."""
    origin = stage.origin("--delay", "200ms")
    gateway = stage.gateway(configuration(origin, listener={"limits": {"connections": 50}}))
    offered = {"rate": 400, "in_flight": 400}
    load = stage.load(gateway.port, **offered)
    load.wait_for_second(WARM + WINDOW)
    verdict = stage.judge(gateway, "client_connections", 50, turn=("raise",), listener="public")
    assert load.rate("refused") > 50, "there was room"
    assert stage.refused_when_turned(gateway, verdict["knob"], offered, otherwise=200) < 10, "it was something else"


def test_client_at_its_own_limit(stage):
    """It has its forty connections and comes for more; what holds the thirty others is the pool."""
    origin = stage.origin("--delay", "200ms")
    gateway = stage.gateway(configuration(origin, upstream={"concurrency": "off", "pool": {"max_connections": 10}},
        listener={"limits": {"connections_per_client": 40}, "timeouts": {"header": "60s"}}))
    load = stage.load(gateway.port, clients=30)
    load.wait_for_second(1)
    stage.knocker(gateway.port, 40, 0.2)
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "pool_too_small", 30, turn=("raise",), upstream="backend")
    capped = next(one for one in stage.why(gateway)["verdicts"] if one["what"] == "client_connections")
    assert capped["knob"]["key"].endswith("connections_per_client") and capped["knob"]["turn"] == "leave"
