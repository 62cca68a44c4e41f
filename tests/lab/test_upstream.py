"""Bottlenecks behind the gateway, and in what it may ask of a service at once."""

from clients import WARM, WINDOW, steady
from stage import configuration

# What a pool that is too small must not hide behind: the learned limit, and a queue that refuses before a second is over.
ALL_AT_ONCE = {"concurrency": "off"}

CAPACITY = ("--capacity", 40, "--service-time", "100ms", "--thrash", 0)
CAPACITY_PER_S = 40 / 0.100


def test_backend_saturated(stage):
    """More are in it than it can work on: each takes longer, and it does no more."""
    origin = stage.origin(*CAPACITY)
    # Answers come in batches of forty, so a single second may have one more or one less.
    alone = stage.load(origin.port, 5, clients=40)
    alone.wait_for_second(4)
    truth = alone.rate("good", last=3)
    gateway = stage.gateway(configuration(origin, upstream=ALL_AT_ONCE))
    few = stage.load(gateway.port, clients=20)
    few.wait_for_second(WARM)
    many = stage.load(gateway.port, clients=180)
    many.wait_for_second(WINDOW + 1)
    stage.judge(gateway, "backend_saturated", truth, turn=("lower", "leave"), upstream="backend")
    assert few.rate("good") + many.rate("good") < 1.1 * truth, "it could do more"


def test_backend_saturated_behind_a_full_pool(stage):
    """The pool is full and requests wait, but a larger one would only move the queue."""
    origin = stage.origin(*CAPACITY)
    gateway = stage.gateway(configuration(origin, upstream={**ALL_AT_ONCE, "pool": {"max_connections": 120}}))
    few = stage.load(gateway.port, clients=20)
    few.wait_for_second(WARM)
    many = stage.load(gateway.port, clients=180)
    many.wait_for_second(WINDOW + 1)
    stage.judge(gateway, "backend_saturated", CAPACITY_PER_S, turn=("lower", "leave"), upstream="backend")


def test_pool_too_small(stage):
    """Ten connections, on each of which a request takes 200 ms: 50 a second of 100. With as many as it says, all pass."""
    origin = stage.origin("--delay", "200ms")
    pool = {"max_connections": 10}
    gateway = stage.gateway(configuration(origin, upstream={**ALL_AT_ONCE, "pool": pool}))
    offered = {"rate": 100, "in_flight": 400}
    load = stage.load(gateway.port, **offered)
    load.wait_for_second(WARM + WINDOW)
    verdict = stage.judge(gateway, "pool_too_small", 100 * 0.200, turn=("raise",), upstream="backend")
    assert load.rate("refused") > 25, "it was large enough"
    assert stage.refused_when_turned(gateway, verdict["knob"], offered) < 10, "it was something else"


def test_pool_too_small_for_those_who_wait(stage):
    """Thirty clients who ask again when they are answered, and ten connections: a third of them is served at any time."""
    origin = stage.origin("--delay", "200ms")
    gateway = stage.gateway(configuration(origin, upstream={**ALL_AT_ONCE, "pool": {"max_connections": 10}}))
    load = stage.load(gateway.port, clients=30)
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "pool_too_small", 30, turn=("raise",), upstream="backend")
    assert load.rate("good") < 1.1 * 10 / 0.200, "it was large enough"


def test_pool_too_small_for_tunnels(stage):
    """Four tunnels have the four places, for longer than anybody looks; sixteen clients get none, and come again."""
    origin = stage.origin("--delay", "50ms")
    gateway = stage.gateway(configuration(origin, upstream={"pool": {"max_connections": 4}}))
    stage.tunnels(gateway.port, 4)
    load = stage.load(gateway.port, clients=16)
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "pool_too_small", 4 + 16, turn=("raise",), upstream="backend")
    assert load.rate("good") == 0, "it was large enough"


def test_pool_too_small_beside_tunnels(stage):
    """Four tunnels have four of ten places, and what else comes needs twelve."""
    origin = stage.origin("--delay", "50ms")
    gateway = stage.gateway(configuration(origin, upstream={**ALL_AT_ONCE, "pool": {"max_connections": 10}}))
    stage.tunnels(gateway.port, 4)
    load = stage.load(gateway.port, rate=240, in_flight=800)
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "pool_too_small", 4 + 240 * 0.050, turn=("raise",), upstream="backend")


def test_pool_too_small_for_long_answers(stage):
    """Each answer takes longer than anybody looks, and no wait for a place is as long."""
    origin = stage.origin("--delay", "8s")
    gateway = stage.gateway(configuration(origin, upstream={**ALL_AT_ONCE, "pool": {"max_connections": 4}}))
    load = stage.load(gateway.port, clients=20, seconds=30)
    load.wait_for_second(WARM + WINDOW + 3)
    stage.judge(gateway, "pool_too_small", 20, turn=("raise",), upstream="backend")


def test_backend_that_answers_half(stage):
    """Every second request is never answered, and has its place until its time is up: the pool is full of those."""
    origin = stage.origin("--delay", "20ms", "--fault", "hang=50")
    gateway = stage.gateway(configuration(origin, upstream={**ALL_AT_ONCE, "pool": {"max_connections": 40},
        "timeouts": {"first_byte": "500ms"}}))
    load = stage.load(gateway.port, clients=100)
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "backend_saturated", lambda: load.rate("good"), turn=("leave",), upstream="backend")


def test_backend_that_never_answers(stage):
    """Nothing is, and what the gateway has learned from that is nothing either."""
    origin = stage.origin("--fault", "hang=100")
    gateway = stage.gateway(configuration(origin, upstream={"pool": {"max_connections": 4}, "timeouts": {"first_byte": "2s"}}))
    load = stage.load(gateway.port, clients=20)
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "backend_saturated", 0, turn=("leave",), upstream="backend", endpoint=origin.address)
    assert load.rate("good") == 0, "it answers"


def test_backend_that_hangs(stage):
    """Nothing is answered, and nobody's time is up: the verdict does not wait for that."""
    origin = stage.origin("--fault", "hang=100")
    gateway = stage.gateway(configuration(origin, upstream={**ALL_AT_ONCE, "pool": {"max_connections": 4}}))
    stage.load(gateway.port, clients=20).wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "backend_saturated", 0, turn=("leave",), upstream="backend", endpoint=origin.address)


def test_half_of_the_endpoints_do_not_answer(stage):
    """There is room for all, and half of the requests fail."""
    dead = [stage.origin("--fault", "hang=100") for _ in range(2)]
    alive = [stage.origin("--delay", "10ms") for _ in range(2)]
    gateway = stage.gateway(configuration(*alive, *dead, upstream={**ALL_AT_ONCE, "balance": {"policy": "round_robin"},
        "timeouts": {"first_byte": "500ms"}, "health": {"passive": "off"}}))
    stage.load(gateway.port, rate=200, in_flight=800).wait_for_second(WARM + WINDOW)
    verdict = stage.judge(gateway, "backend_saturated", 0, turn=("leave",), upstream="backend", endpoints_alike=1)
    assert verdict["subject"]["endpoint"] in [one.address for one in dead]


def test_fixed_concurrency_too_small(stage):
    """There are connections, but somebody has written that ten requests may be under way."""
    origin = stage.origin("--delay", "200ms")
    gateway = stage.gateway(configuration(origin, upstream={"concurrency": 10}))
    offered = {"rate": 100, "in_flight": 400}
    load = stage.load(gateway.port, **offered)
    load.wait_for_second(WARM + WINDOW)
    verdict = stage.judge(gateway, "pool_too_small", 100 * 0.200, turn=("raise",), upstream="backend")
    assert verdict["knob"]["key"] == "upstreams[backend].concurrency"
    assert stage.refused_when_turned(gateway, verdict["knob"], offered) < 10, "it was something else"


def test_queue_too_small(stage):
    """Twenty connections do all that comes, and more, but it comes in crowds of forty, and two may wait."""
    origin = stage.origin("--delay", "20ms")
    gateway = stage.gateway(configuration(origin, upstream={**ALL_AT_ONCE, "pool": {"max_connections": 20, "max_pending": 2}}))
    offered = {"rate": 400, "burst": 40, "in_flight": 400}
    load = stage.load(gateway.port, **offered)
    load.wait_for_second(WARM + WINDOW)
    verdict = stage.judge(gateway, "queue_too_small", lambda: load.rate("refused"), turn=("raise",), upstream="backend")
    assert stage.refused_when_turned(gateway, verdict["knob"], offered, otherwise=200) < 20, "it was something else"


def test_slow_endpoint(stage):
    """One of five takes thirty times as long as the others, and has its turn like them."""
    slow = stage.origin("--delay", "300ms")
    others = [stage.origin("--delay", "10ms") for _ in range(4)]
    gateway = stage.gateway(configuration(*others, slow, upstream={**ALL_AT_ONCE, "balance": {"policy": "round_robin"},
        "health": {"passive": "off"}}))
    load = stage.load(gateway.port, rate=200, in_flight=400)
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "slow_endpoint", 0.300, upstream="backend", endpoint=slow.address)


def test_slow_connects(stage):
    """The service hesitates for 200 ms before each handshake, and closes after each answer."""
    service = stage.slow_handshakes(0.200)
    gateway = stage.gateway(configuration(service, upstream={"tls": {"verify": False}}))
    load = stage.load(gateway.port, clients=12)
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "slow_connects", lambda: sorted(service.connect_s() for _ in range(5))[2], upstream="backend")


def test_connection_churn(stage):
    """The service closes after each answer, so that each request pays for a connection."""
    origin = stage.origin()
    gateway = stage.gateway(configuration(origin))
    load = stage.load(gateway.port, rate=400, in_flight=400, path="/?close=1")
    load.wait_for_second(WARM)
    rate = steady(origin, "connections")
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "connection_churn", rate, upstream="backend")


def test_learned_limit(stage):
    """The gateway has found what the service can take, and holds it there. Nothing is to be turned."""
    origin = stage.origin(*CAPACITY)
    gateway = stage.gateway(configuration(origin))
    load = stage.load(gateway.port, clients=200)
    load.wait_for_second(WARM)
    in_flight = steady(origin, "busy_s")
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "learned_limit", in_flight, turn=("leave",), upstream="backend")
    assert load.rate("good") > 0.85 * CAPACITY_PER_S, "it holds it back"


def test_breaker(stage):
    """The service fails each request; the breaker answers most of them."""
    origin = stage.origin()
    gateway = stage.gateway(configuration(origin, upstream={"breaker": {"window": "2s"}}))
    load = stage.load(gateway.port, rate=200, in_flight=400, path="/?status=500")
    load.wait_for_second(WARM + WINDOW)
    stage.judge(gateway, "breaker", lambda: load.rate("refused"), upstream="backend")
