"""The administration: health, readiness, metrics, and that it cannot be made to misbehave."""

import concurrent.futures
import contextlib
import json
import re
import select
import signal
import time

import pytest

import malformed
from admin import Admin, administered
from gateway import ROOT, configuration, eventually, free_port, run, sanitizer
from raw import get, post, response
from translators import UPSTREAM

pytestmark = pytest.mark.threads

CONNECTIONS_MAX = 32


@pytest.fixture
def admin(start, origin):
    limits = [{"rate_limit": {"rate": "1000000/s"}}]
    return administered(start, origin, route={"filters": limits, "breaker": True})[1]


# --- health and readiness -----------------------------------------------------------------------------------------------


def test_healthy_and_ready(admin):
    for path, body in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
        answer = admin.ask(path)
        assert (answer.status, answer.body) == (200, body)
        assert answer.get("Content-Type") == "text/plain; charset=utf-8"
        assert answer.get("Cache-Control") == "no-store" and answer.get("Date")


def test_not_ready_while_draining(start, origin):
    gateway, admin = administered(start, origin, workers=2, drain_timeout="60s")
    client, wire, _ = origin.asked(gateway)
    kept = admin.connect()
    assert kept.ask(get("/readyz")).status == 200
    gateway.signal(signal.SIGTERM)
    gateway.event("draining")
    eventually(lambda: admin.ask("/readyz").status == 503)
    answer = kept.ask(get("/readyz"))
    assert (answer.status, answer.body) == (503, b"draining\n")
    # One of the workers has ended, the other has not: the first one's counters stay in the sums.
    assert admin.ask("/healthz").status == 200
    metrics = eventually(lambda: (m := admin.metrics()) and m.get("weir_connections_open") == 1 and m)
    assert metrics.get("weir_exchanges_started_total") == 1
    assert (metrics.get("weir_workers"), metrics.get("weir_workers_unanswered")) == (2, 0)
    wire.send(response("done"))
    assert client.read_response().body == b"done"
    assert gateway.wait() == 0
    kept.expect_gone()


def test_stop_with_clients_in_every_state(start, origin):
    gateway, admin = administered(start, origin)
    idle, half, many = admin.connect(), admin.connect().send("GET /met"), admin.connect()
    idle.ask(get("/readyz"))
    many.send(get("/metrics") * 200)
    many.more()
    gateway.signal(signal.SIGINT)
    assert gateway.wait() == 0
    for client in (idle, half, many):
        client.expect_gone()


# --- metrics ------------------------------------------------------------------------------------------------------------


def test_counters_move_by_exactly_what_was_sent(start, origin):
    gateway, admin = administered(start, origin)
    origin.serve()
    before = admin.metrics()
    client = gateway.connect()
    for _ in range(3):
        assert client.ask(post("hello")).status == 200
    gateway.records(3)
    client.close()
    eventually(lambda: admin.metrics().get("weir_connections_open") == 0)
    endpoint = (origin.address, "origin")
    moved = admin.metrics().moved_since(before)
    assert {key: by for key, by in moved.items() if "seconds" not in key[0]} == {
        ("weir_connections_accepted_total", ()): 1,
        ("weir_exchanges_started_total", ()): 3,
        ("weir_exchanges_finished_total", ()): 3,
        ("weir_exchanges_total", ("none",)): 3,
        ("weir_responses_total", ("2xx",)): 3,
        ("weir_log_lines_total", ()): 3,
        ("weir_bytes_in_total", ()): 15,
        ("weir_bytes_out_total", ()): 6,
        ("weir_log_lines_total", ()): 3,
        ("weir_pool_acquires_total", tuple(sorted(("delivered", *endpoint)))): 3,
        ("weir_pool_opened_total", endpoint): 1,
        ("weir_pool_reused_total", endpoint): 2,
        **({("weir_upstream_sessions_opened_total", endpoint): 1} if UPSTREAM == "h2" else {}),
    }


def test_failures_by_cause(start):
    gateway, admin = administered(start, f"127.0.0.1:{free_port()}", route={"match": {"path": "/a/*"}})
    before = admin.metrics()
    assert gateway.connect().ask(get("/b")).status == 404
    assert gateway.connect().ask(get("/a/")).status == 502
    gateway.records(2)
    moved = admin.metrics().moved_since(before)
    assert moved["weir_exchanges_total", ("no_route",)] == moved["weir_exchanges_total", ("connect_refused",)] == 1
    assert moved["weir_responses_total", ("4xx",)] == moved["weir_responses_total", ("5xx",)] == 1
    assert sum(v for (name, _), v in moved.items() if name == "weir_pool_open_failures_total") == 1


def test_gauges_show_what_is_now(start, origin):
    gateway, admin = administered(start, origin, upstream={"pool": {"max_connections": 1}})
    first, wire, _ = origin.asked(gateway, get("/1"))
    second = gateway.connect().send(get("/2"))
    labels = {"upstream": "origin", "endpoint": origin.address}
    metrics = eventually(lambda: (m := admin.metrics()) and m.get("weir_pool_waiters", **labels) == 1 and m)
    assert metrics.get("weir_pool_connections", state="leased", **labels) == 1
    assert metrics.get("weir_pool_connections", state="idle", **labels) == 0
    assert metrics.get("weir_connections_open") == 2
    wire.send(response("1"))
    first.read_response()
    wire.read_request()
    wire.send(response("2"))
    second.read_response()
    metrics = eventually(lambda: (m := admin.metrics()) and m.get("weir_pool_connections", state="idle", **labels) == 1 and m)
    assert metrics.get("weir_pool_connections", state="leased", **labels) == 0
    assert metrics.get("weir_pool_waiters", **labels) == 0


def test_workers_are_summed(start, origin):
    """So many connections that no worker has them all, while the metrics are read all the time."""
    # A limit that is learned opens and closes places on a session of HTTP/2, of which the origin sees nothing.
    gateway, admin = administered(start, origin, workers=2, upstream={"concurrency": "off"})
    origin.serve()
    clients, each = 24, 20

    def client(_):
        wire = gateway.connect()
        for _ in range(each):
            assert wire.ask(get()).status == 200

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        working = [pool.submit(client, number) for number in range(clients)]
        seen = [admin.metrics()]
        while not all(job.done() for job in working):
            seen.append(admin.metrics())
            seen[-1].moved_since(seen[-2])
        for job in working:
            job.result()
    gateway.records(clients * each)
    metrics = admin.metrics()
    assert metrics.get("weir_workers") == 2
    assert metrics.get("weir_connections_open") == metrics.get("weir_connections_accepted_total") == clients
    assert metrics.get("weir_exchanges_finished_total") == clients * each
    assert metrics.get("weir_exchanges_total", cause="none") == clients * each
    assert metrics.get("weir_bytes_out_total") == 2 * clients * each
    reused = metrics.get("weir_pool_reused_total", upstream="origin", endpoint=origin.address)
    opened = metrics.get("weir_pool_opened_total", upstream="origin", endpoint=origin.address)
    assert reused + opened >= clients * each
    # A place on a session of HTTP/2 is opened where the gateway has no idle one; the origin may have one already, since it has
    # answered before the answer has come. And it may not have accepted yet a connection that nobody has sent anything on.
    if origin.translator:
        assert origin.accepted <= opened
    else:
        origin.wait(lambda o: o.accepted == opened)


def test_the_process(admin):
    gateway, metrics = admin.gateway, admin.metrics()
    assert metrics.get("weir_build_info", version=run("version").stdout.split()[1]) == 1
    assert abs(metrics.get("process_open_fds") - gateway.open_files()) <= 2
    assert metrics.get("process_resident_memory_bytes") > gateway.anonymous_bytes() / 2
    assert 0 < metrics.get("process_cpu_seconds_total") <= gateway.cpu_seconds() + 0.05
    # Its start is told by the kernel in hundredths of a second, and that of the machine in seconds.
    assert gateway.file.stat().st_mtime - 2 < metrics.get("process_start_time_seconds") < time.time() + 2


def test_documentation_lists_every_metric(admin):
    text = (ROOT / "docs" / "metrics.md").read_text()
    assert dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.MULTILINE)) == admin.metrics().types


def test_many_endpoints(start):
    """A text of several megabytes, to a client that reads slowly at first."""
    upstreams = [{"name": f"many-{i}", "pool": {"max_connections": 1, "max_pending": 1},
        "endpoints": [{"address": f"127.0.{i}.{j + 1}:80"} for j in range(250)]} for i in range(12)]
    gateway, admin = administered(start, upstreams=upstreams, routes=[{"name": "all", "upstream": "many-0"}],
        admin={"address": f"127.0.0.1:{free_port()}", "timeouts": {"write_idle": "1h"}})
    # A worker may take longer for so much than it has to say that it is well.
    eventually(lambda: admin.ask("/healthz").status == admin.ask("/metrics").status == 200)
    client = admin.connect().send(get("/metrics"))
    assert admin.ask("/v1/status").status == 200
    answer = client.read_response()
    assert 1_500_000 < len(answer.body) < 3000 * 3072
    assert client.ask(get("/readyz")).status == 200
    assert b'\nweir_pool_waiters{upstream="many-11",endpoint="127.0.11.1:80"} 0\n' in answer.body
    assert gateway.process.poll() is None


# --- as an HTTP server --------------------------------------------------------------------------------------------------


def test_kept_alive_and_pipelined(admin):
    client = admin.connect()
    for path in ("/healthz", "/metrics", "/readyz", "/nothing", "/healthz"):
        assert client.ask(get(path)).status == (404 if path == "/nothing" else 200)
    client.send(get("/readyz") + get("/metrics") + get("/nothing") + get("/healthz"))
    assert [client.read_response().status for _ in range(4)] == [200, 200, 404, 200]
    client.send_apart([b"GET /rea", b"dyz HTTP/1.1\r\nHo", b"st: a\r\n\r", b"\nG", get("/healthz")[1:]])
    assert [client.read_response().body for _ in range(2)] == [b"ready\n", b"ok\n"]


def test_head_is_get_without_content(admin):
    client = admin.connect()
    for path in ("/healthz", "/readyz", "/metrics", "/nothing"):
        head = client.ask(get(path).replace(b"GET", b"HEAD", 1))
        answer = client.ask(get(path))
        assert (head.status, head.body) == (answer.status, b"")
        assert path == "/metrics" or head.get("Content-Length") == answer.get("Content-Length")
    assert client.ask(get("/metrics")).get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
def test_other_methods(admin, method):
    client = admin.connect()
    answer = client.ask(get("/metrics").replace(b"GET", method.encode(), 1))
    assert (answer.status, answer.get("Allow")) == (405, "GET, HEAD")
    assert client.ask(get("/readyz")).status == 200


@pytest.mark.parametrize("path", ["/metrics/", "/metric", "/metricsx", "/METRICS", "/healthz/x"])
def test_other_paths(admin, path):
    assert admin.ask(path).status == 404


@pytest.mark.parametrize("target", ["/metrics?a=b", "/x/../metrics", "/%6detrics", "http://localhost/metrics"])
def test_other_spellings_of_a_path(admin, target):
    assert admin.ask(target).status == 200


@pytest.mark.parametrize("request_", [post("x", "/metrics").replace(b"POST", b"GET", 1),
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"], ids=["length", "chunked"])
def test_request_with_content(admin, request_):
    client = admin.connect()
    answer = client.ask(request_ + get("/readyz"), "GET")
    assert (answer.status, answer.get("Connection")) == (413, "close")
    client.half_close().expect_end()


def test_post_with_content_is_not_followed_by_another(admin):
    client = admin.connect()
    answer = client.ask(post(get("/readyz"), "/metrics"))
    assert (answer.status, answer.get("Connection")) == (405, "close")
    client.half_close().expect_end()


def test_closing(admin):
    client = admin.connect()
    assert client.ask(get("/readyz", fields=["Connection: close"])).get("Connection") == "close"
    client.expect_end()
    client = admin.connect()
    assert client.ask("GET /metrics HTTP/1.0\r\n\r\n").get("Connection") == "close"
    client.expect_end()
    client = admin.connect()
    for _ in range(2):
        assert client.ask("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").get("Connection") == "keep-alive"
    client.send(get("/metrics")).half_close()
    assert client.read_response().status == 200
    client.expect_end()


# What only a forwarded request must not say is no matter here.
@pytest.mark.parametrize("name", [name for name in malformed.FIELDS if not name.startswith("Connection that names")])
def test_malformed_fields(admin, name):
    client = admin.connect().send(malformed.FIELDS[name])
    answer = client.read_response()
    assert (answer.status, answer.get("Connection")) == (400, "close")
    with contextlib.suppress(OSError):
        client.half_close()
    client.expect_end()


@pytest.mark.parametrize("name", list(malformed.REQUEST_LINES))
def test_malformed_request_lines(admin, name):
    client = admin.connect().send(malformed.REQUEST_LINES[name])
    assert client.read_response().status == 400
    assert admin.ask("/readyz").status == 200


def test_heads_too_large(admin):
    for head, status in ((get("/metrics", fields=["A: " + "b" * 9000]), 431), (get("/" + "a" * 3000), 414),
            (get("/metrics", fields=["A: b"] * 100), 431), (b"GET /metrics HTTP/1.1\r\nA: " + b"b" * 20000, 431)):
        client = admin.connect().send(head)
        assert client.read_response().status == status
    assert admin.ask("/metrics", fields=["A: " + "b" * 7000]).status == 200


def serves(admin):
    """Whether there is room for a client. Without it some are told, and some are not even told."""
    try:
        return admin.ask("/metrics").status == 200
    except OSError:
        return False


def test_client_that_leaves_while_the_workers_are_asked(admin):
    for number in range(60):
        client = admin.connect().send(get("/metrics") * (1 + number % 3))
        if number % 2:
            client.reset()
        else:
            client.close()
    eventually(lambda: serves(admin))


def test_client_that_does_not_read(admin):
    """What it asked for is not made before it is taken: one answer at a time, and nothing more is read from it."""
    client = admin.connect()
    before = admin.gateway.anonymous_bytes()
    client.sock.setblocking(False)
    sent = 0
    while select.select([], [client.sock], [], 0.2)[1]:
        sent += client.sock.send(get("/metrics") * 100)
        assert sent < 64 * 1024 * 1024, "it reads on and on"
    assert admin.ask("/healthz").status == 200
    assert admin.gateway.anonymous_bytes() - before < (16 if sanitizer() else 1) * 1024 * 1024


def holding(admin, count):
    """So many that are being told something, once a second: none of them gives way."""
    clients = [admin.connect().send(get("/v1/live", "localhost")) for _ in range(count)]
    assert all(client.read_head().status == 200 for client in clients)
    return clients


def test_too_many_connections(start, origin, tmp_path):
    limits = {"connections": 4, "streams": 4}
    unix = tmp_path / "admin"
    _, admin = administered(start, origin, admin={"address": f"127.0.0.1:{free_port()}", "unix": str(unix), "limits": limits})
    clients = holding(admin, 4)
    refused = admin.connect()
    answer = refused.read_response()
    assert (answer.status, answer.get("Connection")) == (503, "close")
    refused.expect_end()
    refused.close()
    more = [admin.connect() for _ in range(20)]
    # Its owner has places of his own, however many wait at the other.
    owner = by_unix(admin, unix)
    for _ in range(10):
        assert owner.connect().ask(get("/readyz")).status == 200
    for client in more + clients:
        client.close()
    eventually(lambda: serves(admin))


def test_clients_that_have_all_descriptors_do_not_shut_it_out(start, origin, tmp_path):
    """Whoever comes to see what is wrong is answered, one after the other; who says nothing does not keep that to himself for long."""
    unix = tmp_path / "admin"
    given = {"address": f"127.0.0.1:{free_port()}", "unix": str(unix), "timeouts": {"header": "3s"}}
    gateway = start(configuration(origin, admin=given, shedding="off", workers=1), files=44)
    admin = Admin(gateway)
    owner = by_unix(admin, unix)
    clients = [gateway.connect() for _ in range(60)]
    # The last of those who wait for a descriptor is sent away as the last.
    clients[-1].expect_gone()
    for _ in range(5):
        for at in (admin, owner):
            assert at.ask("/v1/status").status == 200
    eventually(lambda: "descriptors" in {verdict["what"] for verdict in owner.why()["verdicts"]})
    silent = admin.connect()
    assert owner.ask("/healthz").status == 200
    silent.close()
    for client in clients:
        client.close()
    eventually(lambda: gateway.open_files() < 30)
    assert owner.ask("/healthz").get("Connection") is None


def by_unix(admin, path):
    other = Admin(admin.gateway)
    other.address = f"unix:{path}"
    return other


def test_who_says_half_a_request_shuts_nobody_out(start, origin, tmp_path):
    """Neither at the address nor, above all, at the unix socket, however many of them there are."""
    unix = tmp_path / "admin"
    given = {"address": f"127.0.0.1:{free_port()}", "unix": str(unix), "timeouts": {"header": "1h"}}
    _, admin = administered(start, origin, admin=given)
    head, content = get("/readyz")[:5], b"PUT /v1/log/level HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    clients = []
    for i in range(3 * CONNECTIONS_MAX):
        clients.append(admin.connect().send((head, content)[i % 2]))
        clients[-1].wait_taken()
    owner = by_unix(admin, unix)
    half = owner.connect().send(head)
    for path in ("/healthz", "/v1/status"):
        assert owner.connect().ask(get(path)).status == 200
        assert admin.connect().ask(get(path)).status == 200
    # Who came by the unix socket does not give way to those; of the others who has waited for longest does.
    assert half.ask(get("/readyz")[5:]).status == 200
    assert clients[-2].ask(get("/readyz")[5:]).status == 200


def test_who_rests_makes_room(admin):
    """However many connections somebody holds, others are answered; who has rested for longest goes first."""
    clients = [admin.connect() for _ in range(CONNECTIONS_MAX)]
    for client in clients:
        assert client.ask(get("/readyz")).status == 200
    assert clients[0].ask(get("/readyz")).status == 200
    newcomers = [admin.connect() for _ in range(3)]
    assert all(client.ask(get("/healthz")).status == 200 for client in newcomers)
    for client in clients[1:4]:
        client.expect_end()
    assert all(client.ask(get("/readyz")).status == 200 for client in clients[:1] + clients[4:] + newcomers)


def test_unix_socket(start, origin, tmp_path):
    path = tmp_path / "admin.sock"
    gateway, admin = administered(start, origin, admin={"address": f"unix:{path}"})
    assert gateway.event("(admin)") == f"weir: listening on unix:{path} (admin)"
    assert admin.ask("/healthz").status == 200
    assert path.stat().st_mode & 0o777 == 0o600


def test_address_in_use(start, origin, tmp_path):
    config = configuration(origin, admin={"address": f"127.0.0.1:{free_port()}"})
    start(config)
    config["listeners"][0]["address"] = f"127.0.0.1:{free_port()}"
    file = tmp_path / "second.yaml"
    file.write_text(json.dumps(config))
    result = run("run", "-c", file)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert config["admin"]["address"] in result.stderr and "in use" in result.stderr and "admin" in result.stderr


def test_off(start, origin):
    gateway = start(configuration(origin, admin="off"))
    assert "(admin)" not in gateway.events.text()
    assert not select.select([origin.listener], [], [], 0)[0]
