"""SIGHUP: the configuration is read again while requests run. None of them may notice."""

import copy
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import pytest

from admin import administered
from gateway import BINARY, configuration, eventually, merged, sanitizer
from raw import get, response
from servers import tool
from translators import UPSTREAM
from tunnels import open_tunnel

def endpoints(config, *origins):
    """The configuration with other endpoints."""
    config = copy.deepcopy(config)
    config["upstreams"][0]["endpoints"] = [{"address": origin.address} for origin in origins]
    return config


def pool(config, **settings):
    return merged(config, {"upstreams": [merged(config["upstreams"][0], {"pool": settings})]})


def ask(gateway, target="/"):
    client = gateway.connect()
    answer = client.ask(get(target))
    client.close()
    return answer


# --- what is read ----------------------------------------------------------------------------------------------------


def test_route_changes(start):
    config = configuration(route={"respond": {"status": 200, "body": "before"}})
    gateway = start(config)
    client = gateway.connect()
    assert client.ask(get()).body == b"before"
    config["routes"][0]["respond"]["body"] = "after"
    said = gateway.reload(config)
    assert "reloaded: 1 route (1 before); endpoints: 0 added, 0 kept" in said[-1]
    # On the connection that was there before, and on a new one.
    assert client.ask(get()).body == b"after"
    assert ask(gateway).body == b"after"


@pytest.mark.parametrize("workers", [1, 3])
def test_every_worker_has_changed_when_it_is_told(start, workers):
    config = configuration(route={"respond": {"status": 200, "body": "0"}}, workers=workers)
    gateway = start(config)
    clients = [gateway.connect() for _ in range(12)]
    for i in range(1, 4):
        config["routes"][0]["respond"]["body"] = str(i)
        gateway.reload(config)
        assert {client.ask(get()).body for client in clients} == {str(i).encode()}


def test_bad_file_changes_nothing_and_says_why(start, origin):
    gateway = start(configuration(origin))
    client = gateway.connect().send(get())
    wire, _ = origin.answer(response(b"one"))
    assert client.read_response().body == b"one"
    config = copy.deepcopy(gateway.config)
    config["routes"][0]["upstream"] = "nobody"
    config["upstreams"][0]["pool"] = {"max_conections": 7}
    said = gateway.hang_up(config)
    assert "SIGHUP: not reloaded: the configuration of before stays in force" in said[-1]
    places = [line for line in said if re.search(rf" error main {re.escape(str(gateway.file))}:\d+:\d+: ", line)]
    assert len(places) == 2
    # As `weir check` says it, with its quotes.
    unknown = 'upstreams[0].pool.max_conections: unknown key "max_conections" (did you mean `max_connections`?)'
    assert any(unknown in line for line in places)
    client.send(get())
    wire.read_request()
    wire.send(response(b"two"))
    assert client.read_response().body == b"two"


@pytest.mark.parametrize("text", ["", "version: 1\nlisteners: [", "{" * 100])
def test_file_that_is_no_configuration(start, origin, text):
    gateway = start(configuration(origin.serve()))
    assert "not reloaded" in gateway.hang_up(text)[-1]
    assert ask(gateway).status == 200


def test_file_that_is_gone(start, origin):
    gateway = start(configuration(origin.serve()))
    gateway.file.unlink()
    said = gateway.hang_up()
    assert "not reloaded" in said[-1] and str(gateway.file) in said[0]
    assert ask(gateway).status == 200
    # And is back.
    gateway.reload(gateway.config)


def test_file_that_is_a_pipe_now(start, origin):
    """As with `weir run -c <(render)`: there is no writer any more, and nobody may wait for one."""
    gateway = start(configuration(origin.serve()))
    gateway.file.unlink()
    os.mkfifo(gateway.file)
    said = gateway.hang_up()
    assert "not reloaded" in said[-1] and "not a regular file" in said[0]
    assert ask(gateway).status == 200
    gateway.file.unlink()
    gateway.reload(gateway.config)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_end_during_a_reload_that_takes_long(start, origin, tmp_path, number):
    """Whatever the thread does that loads the file, here nothing (hanging.c): nobody waits for it."""
    hanging = tmp_path / "hanging.so"
    subprocess.run([tool("gcc"), "-shared", "-fPIC", "-o", hanging, pathlib.Path(__file__).with_name("hanging.c")], check=True)
    gateway = start(configuration(origin), under=("env", f"LD_PRELOAD={hanging}", "ASAN_OPTIONS=verify_asan_link_order=0"))
    client, wire, _ = origin.asked(gateway)
    gateway.signal(signal.SIGHUP)
    gateway.signal(number)
    gateway.event("SIGHUP: not reloaded: the gateway is on its way out")
    # What runs is still finished, but for a stop.
    if number == signal.SIGTERM:
        wire.send(response("late"))
        assert client.read_response().body == b"late"
    assert gateway.wait() == 0
    assert "main stopped" in gateway.events.text()


def test_connections_kept_ready_that_leave_no_room(start, origin):
    """They would be opened whether anybody comes or not, and then nobody could."""
    config = configuration(origin.serve())
    gateway = start(config, files=120)
    said = gateway.hang_up(pool(config, min_idle=60))
    assert "not reloaded" in said[-1] and "upstreams[0].pool.min_idle: 60 connections are to be kept ready" in said[0]
    assert ask(gateway).status == 200
    command = ["sh", "-c", 'ulimit -n 120 && exec "$@"', "sh", BINARY, "run", "-c", gateway.file]
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 2 and "kept ready" in again.stderr and "nothing was started" in again.stderr
    gateway.reload(pool(config, min_idle=10))


def test_what_takes_effect_at_the_next_start(start, origin):
    gateway = start(configuration(origin.serve()))
    config = merged(gateway.config, {"workers": 2})
    config["routes"].append({"name": "own", "match": {"path": "/own"}, "respond": {"body": "own"}})
    said = "\n".join(gateway.reload(config))
    for key in ("workers: ",):
        assert re.search(rf" warning main {re.escape(key)}.*takes effect at the next start", said), said
    # What can be changed was.
    assert ask(gateway, "/own").body == b"own"


def test_hangup_while_draining(start, origin):
    gateway = start(configuration(origin))
    client, wire, _ = origin.asked(gateway)
    gateway.signal(signal.SIGTERM)
    gateway.event("SIGTERM: draining")
    said = gateway.hang_up(endpoints(gateway.config, origin))
    assert "SIGHUP: not reloaded: the gateway is on its way out" in said[-1]
    wire.send(response(b"served"))
    assert client.read_response().body == b"served"
    assert gateway.wait() == 0


# --- listeners -------------------------------------------------------------------------------------------------------


def test_limits_and_timeouts_of_a_listener(start, origin):
    origin.serve()
    gateway = start(configuration(origin, listener={"limits": {"connections": 1}}))
    first = gateway.connect()
    assert first.ask(get()).status == 200
    second = gateway.connect()
    assert second.read_response().status == 503
    listener = merged(gateway.config["listeners"][0], {"limits": {"connections": 300, "body_bytes": "1KiB"}})
    gateway.reload(gateway.config | {"listeners": [listener]})
    clients = [gateway.connect() for _ in range(150)]
    assert {client.ask(get()).status for client in clients} == {200}
    # For the connection that was open before, too.
    large = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n"
    assert first.ask(large).status == 413
    gateway.reload(gateway.config | {"listeners": [merged(listener, {"timeouts": {"keep_alive": "100ms"}})]})
    assert clients[0].ask(get()).status == 200
    clients[0].expect_end()


def test_trusted_proxies_of_connections_that_are_open(start, origin):
    gateway = start(configuration(origin))
    client = gateway.connect()
    request = get(fields=["X-Forwarded-For: 192.0.2.1"])
    client.send(request)
    wire, seen = origin.answer(response())
    client.read_response()
    assert seen.get("X-Forwarded-For") == "127.0.0.1"
    for trusted, expected in ((["127.0.0.0/8"], "192.0.2.1, 127.0.0.1"), (["10.0.0.0/8"], "127.0.0.1")):
        listener = gateway.config["listeners"][0] | {"trusted_proxies": trusted}
        gateway.reload(gateway.config | {"listeners": [listener]})
        client.send(request)
        assert wire.read_request().get("X-Forwarded-For") == expected
        wire.send(response())
        client.read_response()


# --- endpoints -------------------------------------------------------------------------------------------------------


def test_endpoint_is_removed_while_requests_run_and_wait(start, make_origin):
    """With the reload those that wait are still served, by the connection they waited for."""
    old, new = make_origin(), make_origin()
    gateway = start(configuration(old, upstream={"pool": {"max_connections": 1, "acquire_timeout": "60s"}}))
    clients = [gateway.connect().send(get(f"/{i}")) for i in range(5)]
    wire = old.accept()
    wire.read_request()
    for client in clients:
        client.wait_taken()
    said = gateway.reload(endpoints(gateway.config, new))
    assert f"upstream origin: added: {new.address}; draining: {old.address}" in "\n".join(said)
    fresh = gateway.connect().send(get("/fresh"))
    other = new.accept()
    assert other.read_request().target == "/fresh"
    for i in range(5):
        wire.send(response(b"old"))
        if i < 4:
            wire.read_request()
    assert [client.read_response().body for client in clients] == [b"old"] * 5
    # The last one has it closed.
    wire.expect_end()
    other.send(response(b"new"))
    assert fresh.read_response().body == b"new"
    assert old.is_untouched()


def test_endpoint_is_added(start, make_origin):
    one, two = make_origin(), make_origin()
    gateway = start(configuration(one.serve(), upstream={"balance": {"policy": "round_robin"}}))
    assert ask(gateway).status == 200
    gateway.reload(endpoints(gateway.config, one, two.serve()))
    for _ in range(4):
        assert ask(gateway).status == 200
    assert (len(one.requests), len(two.requests)) == (3, 2)


def test_unchanged_endpoint_keeps_its_idle_connections(start, make_origin):
    kept, added = make_origin(), make_origin()
    gateway = start(configuration(kept))
    clients = [gateway.connect().send(get()) for _ in range(3)]
    wires = [kept.accept() for _ in range(3)]
    for wire in wires:
        wire.read_request()
    for wire in wires:
        wire.send(response())
    for client in clients:
        client.read_response()
    config = merged(endpoints(gateway.config, added, kept), {"routes": [{"name": "all", "upstream": "origin"}]})
    config["upstreams"][0]["endpoints"][0]["weight"] = 1
    config["upstreams"][0]["endpoints"][1]["weight"] = 1000
    config["upstreams"][0]["timeouts"] = {"connect": "21s", "first_byte": "22s"}
    said = gateway.reload(config)
    assert "1 added, 1 kept, 0 with a new pool, 0 draining" in said[-1]
    for client in clients:
        client.send(get())
    for wire in wires:
        wire.read_request()
    for wire in wires:
        wire.send(response(b"kept"))
    assert {client.read_response().body for client in clients} == {b"kept"}
    assert kept.is_untouched() and added.is_untouched()


def test_removed_endpoint_has_its_idle_connections_closed(start, make_origin):
    old, new = make_origin(), make_origin()
    gateway = start(configuration(old))
    client = gateway.connect().send(get())
    wire, _ = old.answer(response())
    client.read_response()
    gateway.reload(endpoints(gateway.config, new))
    wire.expect_end()
    # And back again, while nothing of the first time is left.
    gateway.reload(endpoints(gateway.config, old))
    client.send(get())
    old.answer(response(b"back"))
    assert client.read_response().body == b"back"


def test_upstream_is_removed_while_a_request_runs(start, make_origin):
    one, two = make_origin(), make_origin()
    gateway = start(configuration(one))
    client, wire, _ = one.asked(gateway)
    config = endpoints(gateway.config, two)
    config["upstreams"][0]["name"] = config["routes"][0]["upstream"] = "other"
    gateway.reload(config)
    wire.send(response(b"one"))
    assert client.read_response().body == b"one"
    wire.expect_end()
    client.send(get())
    two.answer(response(b"two"))
    assert client.read_response().body == b"two"
    records = gateway.records(2)
    assert [record["upstream"] for record in records] == ["origin", "other"]
    assert [record["endpoint"] for record in records] == [one.address, two.address]


def test_request_that_is_flushed_when_its_endpoint_is_long_gone(start, make_origin):
    """The lease is back and the endpoint freed; the log still names it."""
    old, new = make_origin(), make_origin()
    gateway = start(configuration(old))
    size = 4_000_000
    client = gateway.connect(receive_buffer=4096).send(get())
    wire = old.accept()
    wire.read_request()
    sender = threading.Thread(target=wire.send, args=(response(b"x" * size),), daemon=True)
    sender.start()
    client.read_head()
    config = endpoints(gateway.config, new)
    config["upstreams"][0]["name"] = config["routes"][0]["upstream"] = "other"
    gateway.reload(config)
    gateway.reload()
    assert len(client.take(size)) == size
    sender.join()
    record = gateway.record()
    assert (record["upstream"], record["endpoint"], record["cause"]) == ("origin", old.address, None)


def test_websocket_lives_on(start, make_origin):
    old, new = make_origin(), make_origin()
    gateway = start(configuration(old))
    client, wire = open_tunnel(gateway, old)
    config = gateway.config
    for round_ in range(6):
        gateway.reload(endpoints(config, *((new,) if round_ % 2 == 0 else (new, old))))
        client.send(f"there {round_}")
        assert wire.take(7) == f"there {round_}".encode()
        wire.send(f"back {round_}")
        assert client.take(6) == f"back {round_}".encode()
    client.half_close()
    wire.expect_end()


# --- the cap ---------------------------------------------------------------------------------------------------------


class Watched:
    """Serves slowly and notes how many connections were open at once, looked at whenever there is a new one."""

    def __init__(self):
        self.most = 0
        self.lock = threading.Lock()

    def __call__(self, wire, origin):
        # Together, or what was counted before it is forgotten might be noted afterwards.
        with self.lock:
            self.most = max(self.most, origin.connections_of_the_gateway())
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            wire.read_request()
            time.sleep(0.002)
            wire.send(response(b"ok"))

    def forget(self):
        with self.lock:
            self.most = 0


class Load:
    """Clients that ask one request after the other until they are told to stop."""

    def __init__(self, gateway, clients):
        self.gateway = gateway
        self.done = threading.Event()
        self.statuses = []
        self.errors = []
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self):
        wire = self.gateway.connect()
        try:
            while not self.done.is_set():
                self.statuses.append(wire.ask(get()).status)
        except (AssertionError, OSError) as error:
            self.errors.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()

    def go_on(self, n=50):
        """Until so many more were answered."""
        until = len(self.statuses) + n
        eventually(lambda: self.errors or len(self.statuses) >= until)


@pytest.mark.threads
@pytest.mark.parametrize("workers", [1, 2])
def test_cap_holds_while_pools_are_replaced(start, origin, workers):
    """Each reload has other pool settings, so every pool drains beside its successor; they share one cap."""
    cap = 4
    watched = Watched()
    origin.serve(watched)
    config = configuration(origin, workers=workers,
        upstream={"pool": {"max_connections": cap, "acquire_timeout": "10s"}})
    gateway = start(config)
    with Load(gateway, 12) as load:
        load.go_on()
        for i in range(10):
            said = gateway.reload(pool(config, idle_timeout=f"{50 + i % 2}s"))
            assert i == 0 or "1 with a new pool" in said[-1]
            load.go_on()
    assert not load.errors and set(load.statuses) == {200}
    # A session of HTTP/2 that is on its way out has given back its places before its connection has ended.
    assert 1 < watched.most <= (cap if UPSTREAM == "h1" else 2 * cap)


@pytest.mark.threads
def test_cap_changes(start, origin):
    """A smaller one holds as soon as what is beyond it has come back, a larger one at once."""
    watched = Watched()
    origin.serve(watched)
    config = configuration(origin, workers=2,
        upstream={"pool": {"max_connections": 6, "acquire_timeout": "10s", "queue": "off"}})
    gateway = start(config)
    with Load(gateway, 12) as load:
        load.go_on()
        gateway.reload(pool(config, max_connections=2))
        # Who waited for the old pool is served by it: twelve at most.
        load.go_on(60)
        eventually(lambda: origin.connections_of_the_gateway() <= 2)
        watched.forget()
        # Another time, so that there are new connections to look at.
        gateway.reload(pool(config, max_connections=2, max_uses=7))
        load.go_on(100)
        # As above: a session that is on its way out has given back its places before its connection has ended.
        assert 1 <= watched.most <= (2 if UPSTREAM == "h1" else 4)
        gateway.reload(pool(config, max_connections=8))
        origin.wait(lambda o: o.open > 2)
        load.go_on()
    assert not load.errors and set(load.statuses) == {200}


# --- many ------------------------------------------------------------------------------------------------------------


@pytest.mark.threads
def test_fifty_reloads_under_load(start, make_origin):
    """Endpoints come, go and change their pools, routes too, fifty times; not one request fails, and memory stays."""
    origins = [make_origin().serve() for _ in range(3)]
    # The log's rings are touched page by page: without it nothing grows but what should not.
    config = configuration(*origins[:2], workers=2, log={"access": "off"},
        upstream={"pool": {"max_connections": 4, "acquire_timeout": "10s"}})
    gateway = start(config)
    variants = [
        endpoints(config, *origins),
        endpoints(config, origins[2]),
        pool(endpoints(config, origins[2], origins[0]), max_uses=5),
        config | {"routes": config["routes"] + [{"name": "own", "match": {"path": "/own"}, "respond": {"body": "x"}}]},
    ]
    with Load(gateway, 8) as load:
        # The allocator has then seen every order in which old and new come and go. (That of a sanitizer is not looked at.)
        for i in range(120 if sanitizer() is None else 0):
            gateway.reload(variants[i % len(variants)])
            load.go_on(5)
        settled = gateway.anonymous_bytes()
        for i in range(50):
            gateway.reload(variants[i % len(variants)])
            load.go_on(5)
    assert not load.errors and set(load.statuses) == {200}
    assert not any(o.errors for o in origins)
    # What a generation needs is some 100 KiB; a sanitizer keeps what was freed for a while.
    if sanitizer() is None:
        assert gateway.anonymous_bytes() < settled + 512 * 1024


def test_hangup_while_a_reload_is_under_way(start):
    """It is said that it is put off, and what the file says last is in force in the end."""
    config = configuration(route={"respond": {"status": 200, "body": "0"}})
    # Other settings for every pool: that takes the worker its time.
    config["upstreams"] = [{"name": f"u{i}", "endpoints": [{"address": f"127.0.0.1:{i + 1}"}]} for i in range(500)]
    gateway = start(config)
    put_off = "SIGHUP: a reload is under way, which "
    rounds = 0
    while put_off not in gateway.events.text():
        rounds += 1
        assert rounds < 200
        for upstream in config["upstreams"]:
            upstream["pool"] = {"max_uses": rounds}
        config["routes"][0]["respond"]["body"] = str(rounds)
        gateway.write(config)
        for _ in range(20):
            gateway.signal(signal.SIGHUP)
            time.sleep(0.002)
    assert re.search(put_off + "[01] of 1 workers have taken", gateway.events.text())
    eventually(lambda: ask(gateway).body == str(rounds).encode())


def test_hangups_in_a_row_are_not_lost(start):
    """The file as it is at the last one is the one in force."""
    config = configuration(route={"respond": {"status": 200, "body": "0"}})
    gateway = start(config)
    for i in range(1, 30):
        config["routes"][0]["respond"]["body"] = str(i)
        gateway.write(config)
        gateway.signal(signal.SIGHUP)
    eventually(lambda: ask(gateway).body == b"29")


# --- metrics ---------------------------------------------------------------------------------------------------------


def metric(admin, name, origin):
    """The sample of the endpoint; None: there is none."""
    told = admin.metrics()
    if origin.address not in told.labels(name, "endpoint"):
        return None
    return told.get(name, upstream="origin", endpoint=origin.address)


def test_metrics_after_a_reload(start, make_origin):
    one, two = make_origin(), make_origin()
    gateway, admin = administered(start, one.serve(), workers=2)
    for _ in range(3):
        assert ask(gateway).status == 200
    assert metric(admin, "weir_pool_waiters", two) is None
    opened = metric(admin, "weir_pool_opened_total", one)
    assert opened >= 1
    gateway.reload(endpoints(gateway.config, two, one))
    assert metric(admin, "weir_pool_opened_total", one) == opened
    assert metric(admin, "weir_pool_opened_total", two) == 0
    gateway.reload(endpoints(gateway.config, two.serve()))
    assert ask(gateway).status == 200
    assert metric(admin, "weir_pool_opened_total", one) is None
    assert metric(admin, "weir_pool_opened_total", two) == 1


def test_counters_do_not_go_back_with_another_pool(start, origin):
    gateway, admin = administered(start, origin.serve(), workers=2)
    for i in range(4):
        assert ask(gateway).status == 200
        opened = metric(admin, "weir_pool_opened_total", origin)
        assert opened >= i + 1
        gateway.reload(pool(gateway.config, max_uses=10 + i))
        assert metric(admin, "weir_pool_opened_total", origin) == opened
    eventually(lambda: metric(admin, "weir_pool_closed_total", origin) == opened)
