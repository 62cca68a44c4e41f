"""Where the time goes: each phase staged, the same in the access log and in the metrics, and nothing left over."""

import select
import signal
import socket
import threading
import time

import pytest

import certificates
from admin import administered
from gateway import eventually, merged
from origin import answer_all, full_backlog
from raw import Wire, chunk, get, post, response
from timing import EARLIEST, LONG
from tunnels import open_tunnel

PHASES = ["reading", "filters", "queue", "connect", "tls", "first_byte", "upstream", "client", "backoff"]
OF_A_TRY = PHASES[2:8]
LONG_US = LONG * EARLIEST * 1_000_000

# Where one of two has to be quick: what a busy machine needs at most.
PATIENCE_TEXT = "2500ms"
PATIENCE_US = 2.5 * EARLIEST * 1_000_000


def observed(start, *origins, upstream=None, **options):
    """Health and learning keep out of it."""
    return administered(start, *origins, upstream=merged({"health": {"passive": "off"}, "concurrency": "off"}, upstream), **options)


def phases(record):
    """Those in which any time was spent are told, in their order, and together they are the whole. All of them."""
    told = record["phases_us"]
    assert list(told) == [phase for phase in PHASES if told.get(phase, 0) > 0]
    assert sum(told.values()) == record["total_us"]
    return {phase: told.get(phase, 0) for phase in PHASES}


def sums_us(admin, name, phases_of=PHASES, **labels):
    metrics = admin.metrics()
    return {phase: round(metrics.get(name, phase=phase, **labels) * 1_000_000) for phase in phases_of}


def assert_has(gateway, admin, phase, record=None, endpoint=None):
    """What was staged, in the log; as together they are the whole, no other phase has that. The metrics of the route, and of the one
    endpoint, say the same, to the microsecond."""
    spent = phases(record or gateway.record())
    assert spent[phase] >= LONG_US, spent
    metrics = admin.metrics()
    if len(gateway.access.lines) > 1:
        return
    assert sums_us(admin, "weir_request_phase_seconds_sum", route="all") == spent
    for name, us in spent.items():
        assert metrics.get("weir_request_phase_seconds_count", route="all", phase=name) == (us > 0)
    assert round(metrics.get("weir_request_seconds_sum", route="all") * 1_000_000) == sum(spent.values())
    if endpoint:
        told = sums_us(admin, "weir_upstream_phase_seconds_total", OF_A_TRY, upstream="origin", endpoint=endpoint.address)
        assert told == {name: spent[name] for name in OF_A_TRY}


# --- one after the other ---------------------------------------------------------------------------------------------


def test_reading_a_head(start, origin):
    gateway, admin = observed(start, origin)
    origin.serve()
    client = gateway.connect().send(get()[:10])
    client.wait_taken()
    client.expect_silence(LONG)
    client.send(get()[10:])
    assert client.read_response().status == 200
    assert_has(gateway, admin, "reading", endpoint=origin)


def test_reading_content(start, origin):
    gateway, admin = observed(start, origin)
    client = gateway.connect().send(post("slow")[:-2])
    wire = origin.accept()
    wire.read_head()
    client.expect_silence(LONG)
    client.send("ow")
    wire.take(4)
    wire.send(response())
    assert client.read_response().status == 200
    assert_has(gateway, admin, "reading", endpoint=origin)


def test_head_that_never_comes(start, origin):
    """It finds no route, so that no route is told of it; the log is."""
    gateway, _ = observed(start, origin, listener={"timeouts": {"header": "1200ms"}})
    client = gateway.connect().send("GET / HTTP/1.1\r\nHo")
    assert client.read_response().status == 408
    spent = phases(gateway.record())
    assert spent["reading"] == gateway.record()["total_us"] >= LONG_US


def test_filters(start, origin):
    """A leaky bucket lets the second one wait, and the third: they come in one go."""
    limit = {"algorithm": "leaky_bucket", "rate": "1/s", "burst": 5, "max_delay": "10s"}
    gateway, admin = observed(start, origin, route={"filters": [{"rate_limit": limit}]})
    origin.serve()
    gateway.freeze()
    clients = [gateway.connect().send(get()) for _ in range(3)]
    gateway.signal(signal.SIGCONT)
    assert [client.read_response().status for client in clients] == [200] * 3
    waited = sorted(phases(record)["filters"] for record in gateway.records(3))
    assert waited[0] == 0 and waited[1] >= 900_000 and waited[2] >= 1_900_000
    assert admin.metrics().get("weir_request_phase_seconds_count", route="all", phase="filters") == 2


def test_queue(start, origin):
    gateway, admin = observed(start, origin, upstream={"pool": {"max_connections": 1}})
    first, wire, _ = origin.asked(gateway)
    second = gateway.connect().send(get("/second"))
    second.wait_taken()
    first.expect_silence(LONG)
    wire.send(response())
    assert wire.read_request().target == "/second"
    wire.send(response())
    assert first.read_response().status == second.read_response().status == 200
    waited, served = sorted(gateway.records(2), key=lambda record: record["target"], reverse=True)
    assert_has(gateway, admin, "queue", waited)
    assert phases(waited)["queue"] == waited["queue_us"]
    assert_has(gateway, admin, "first_byte", served)


def test_queue_that_nobody_leaves(start, origin):
    gateway, admin = observed(start, origin, upstream={"pool": {"max_connections": 1, "acquire_timeout": PATIENCE_TEXT}})
    origin.asked(gateway)
    answer = gateway.connect().ask(get("/second"))
    assert answer.status == 503
    assert_has(gateway, admin, "queue", endpoint=origin)


def test_connect(start, make_origin):
    """The connection is taken when there is room in the origin's queue; until then the kernel asks again and again."""
    origin, fillers = full_backlog(make_origin)
    gateway, admin = observed(start, origin)
    client = gateway.connect().send(get())
    client.wait_taken()
    client.expect_silence(LONG)
    for sock in fillers:
        sock.close()
    wire = next(wire for wire in iter(origin.accept, None) if _is_from(gateway, wire))
    wire.read_request()
    wire.send(response())
    assert client.read_response().status == 200
    assert_has(gateway, admin, "connect", endpoint=origin)
    assert phases(gateway.record())["connect"] == gateway.record()["connect_us"]


def _is_from(gateway, wire):
    """Not from those that have filled the queue, which have said nothing and are gone."""
    return bool(wire.more()) if not wire.unread else True


def test_connect_that_comes_to_nothing(start, make_origin):
    origin, fillers = full_backlog(make_origin)
    gateway, admin = observed(start, origin, upstream={"timeouts": {"connect": "1200ms"}, "retry": {"attempts": 0}})
    assert gateway.connect().ask(get()).status == 504
    assert_has(gateway, admin, "connect", endpoint=origin)
    for sock in fillers:
        sock.close()


def test_tls(start, origin, tmp_path):
    """A service that takes its time for the handshake, on a connection that it has taken at once."""
    context = certificates.server_context(certificates.Authority(tmp_path / "ca").issue("origin", "127.0.0.1"))

    def serve(wire, origin):
        time.sleep(LONG)
        secure = Wire(context.wrap_socket(wire.sock, server_side=True))
        answer_all(secure, origin)

    origin.serve(serve)
    gateway, admin = observed(start, origin, upstream={"tls": {"verify": False}})
    client = gateway.connect()
    assert client.ask(get()).status == 200
    assert_has(gateway, admin, "tls", endpoint=origin)
    spent = phases(gateway.record())
    assert spent["connect"] + spent["tls"] == gateway.record()["connect_us"]


def test_first_byte(start, origin):
    gateway, admin = observed(start, origin)
    client, wire, _ = origin.asked(gateway)
    client.expect_silence(LONG)
    wire.send(response())
    assert client.read_response().status == 200
    assert_has(gateway, admin, "first_byte", endpoint=origin)


def test_hint_is_no_answer(start, origin):
    gateway, admin = observed(start, origin)
    client, wire, _ = origin.asked(gateway)
    wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    assert client.read_head().status == 103
    client.expect_silence(LONG)
    wire.send(response())
    assert client.read_response().status == 200
    assert_has(gateway, admin, "first_byte", endpoint=origin)


def test_upstream(start, origin):
    gateway, admin = observed(start, origin)
    client, wire, _ = origin.asked(gateway)
    wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("some"))
    client.read_head()
    assert client.read_chunk() == b"some"
    client.expect_silence(LONG)
    wire.send(chunk("more") + chunk(""))
    assert client.read_chunk() == b"more" and client.read_chunk() == b""
    assert_has(gateway, admin, "upstream", endpoint=origin)


def is_full(wire):
    """Whether the kernel takes nothing of what is sent."""
    return not select.select([], [wire.sock], [], 0)[1]


@pytest.mark.parametrize("size", [30_000_000, 1_000_000], ids=["upstream waits", "upstream is done"])
def test_client(start, origin, size):
    """A client that reads nothing for a while; with what an answer has left in the end, too."""
    gateway, admin = observed(start, origin)
    client = gateway.connect(receive_buffer=4096).send(get())
    sent = threading.Event()
    origin.serve(lambda wire, _: (wire.read_request(), wire.send(response(b"x" * size)), sent.set()))
    client.read_head()

    def waits():
        """Everybody does, for the client."""
        if not sent.is_set() and not is_full(origin.wires[0]):
            return False
        gateway.rest()
        return sent.is_set() or is_full(origin.wires[0])

    eventually(waits)
    time.sleep(LONG)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
    assert client.take(size) == b"x" * size
    assert_has(gateway, admin, "client", endpoint=origin)


def test_backoff(start, origin):
    retry = {"on": ["status_503"], "attempts": 1, "backoff": {"base": "1ms", "max": "1ms"}}
    gateway, admin = observed(start, origin, upstream={"retry": retry})
    client, wire, _ = origin.asked(gateway)
    wire.send(response("down", status="503 Down", fields=["Retry-After: 2"]))
    wire.read_request()
    wire.send(response())
    assert client.read_response().status == 200
    assert_has(gateway, admin, "backoff")
    # Two tries, each of which is told of what it took itself.
    metrics = admin.metrics()
    assert metrics.get("weir_upstream_first_byte_seconds_count", upstream="origin", endpoint=origin.address) == 2


# --- who is told ------------------------------------------------------------------------------------------------------


def first_byte_of(admin, origin, upstream="origin"):
    return sums_us(admin, "weir_upstream_phase_seconds_total", ["first_byte"], upstream=upstream, endpoint=origin.address)["first_byte"]


def test_each_try_is_told_of_its_own_endpoint(start, make_origin):
    """The one that keeps silent is not served by the other's speed, nor the other one hurt."""
    silent, quick = make_origin(), make_origin().serve()
    gateway, admin = observed(start, silent, quick, upstream={"balance": {"policy": "round_robin"},
        "retry": {"on": ["first_byte_timeout"], "per_try_timeout": PATIENCE_TEXT}})
    client = gateway.connect()
    for _ in range(2):
        assert client.ask(get()).status == 200
    records = gateway.records(2)
    assert [record["endpoint"] for record in records] == [quick.address] * 2
    slow = next(record for record in records if record["retries"] == 1)
    assert first_byte_of(admin, silent) >= PATIENCE_US > first_byte_of(admin, quick)
    assert first_byte_of(admin, silent) + first_byte_of(admin, quick) == sum(phases(r)["first_byte"] for r in records)
    assert phases(slow)["first_byte"] >= PATIENCE_US


def test_hedged(start, make_origin):
    """What was waited for the first is no time of the second's."""
    silent, quick = make_origin(), make_origin().serve()
    gateway, admin = observed(start, silent, quick,
        upstream={"balance": {"policy": "round_robin"}, "hedge": {"after": PATIENCE_TEXT}})
    client = gateway.connect()
    for _ in range(2):
        assert client.ask(get()).status == 200
    slow = max(gateway.records(2), key=lambda record: record["total_us"])
    assert slow["endpoint"] == quick.address and phases(slow)["first_byte"] >= PATIENCE_US
    assert first_byte_of(admin, silent) >= PATIENCE_US > first_byte_of(admin, quick)


def test_fallback(start, make_origin):
    silent, quick = make_origin(), make_origin().serve()
    gateway, admin = observed(start, silent, upstream={"timeouts": {"first_byte": PATIENCE_TEXT}},
        upstreams=[{"name": name, "endpoints": [{"address": end.address}], "timeouts": {"connect": "20s", "first_byte": first_byte}}
            for name, end, first_byte in (("origin", silent, PATIENCE_TEXT), ("spare", quick, "20s"))],
        route={"fallback": {"on": ["first_byte_timeout"], "upstream": "spare"}})
    assert gateway.connect().ask(get()).status == 200
    spent = phases(gateway.record())
    assert spent["first_byte"] >= PATIENCE_US
    told = first_byte_of(admin, silent), first_byte_of(admin, quick, "spare")
    assert told[0] >= PATIENCE_US > told[1] and sum(told) == spent["first_byte"]


def test_tunnel_counts_when_it_is_open(start, origin):
    """How long it lasts is nobody's latency; the log tells that, too."""
    gateway, admin = observed(start, origin)
    client, wire = open_tunnel(gateway, origin)
    opened = admin.metrics()
    assert opened.get("weir_request_seconds_count", route="all") == 1
    client.expect_silence(LONG)
    client.close()
    wire.close()
    spent = phases(gateway.record())
    assert spent["upstream"] >= LONG_US
    assert admin.metrics().get("weir_request_seconds_sum", route="all") == opened.get("weir_request_seconds_sum", route="all")


# --- over reloads -----------------------------------------------------------------------------------------------------


def test_counters_of_a_route_outlive_reloads(start, origin):
    """Also where it stands elsewhere in the file, and for requests that have begun before."""
    gateway, admin = observed(start, origin)
    client, wire, _ = origin.asked(gateway)
    config = merged(gateway.config, {})
    other = {"name": "other", "match": {"path": "/other"}, "respond": {"status": 204}}
    gateway.reload(config | {"routes": [other] + config["routes"]})
    wire.send(response())
    assert client.read_response().status == 200
    gateway.records(1)
    assert admin.metrics().get("weir_request_seconds_count", route="all") == 1
    assert gateway.connect().ask(get("/other")).status == 204
    gateway.records(2)
    metrics = admin.metrics()
    assert [metrics.get("weir_request_seconds_count", route=name) for name in ("all", "other")] == [1, 1]
    gateway.reload(config)
    assert "other" not in admin.metrics().labels("weir_request_seconds_count", "route")
