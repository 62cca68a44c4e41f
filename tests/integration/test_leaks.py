"""Connections that are held for long: told of, reclaimed, listed; and those in use left alone."""

import errno
import json
import os
import pty
import re
import signal
import subprocess
import time

import pytest

from admin import administered
from gateway import BINARY, PATIENT, configuration, eventually, free_port, run
from raw import TIMEOUT, get, response
from tunnels import open_tunnel

TOLD = "a request has had its connection for"


def watched(start, *origins, pool, timeouts=None, **options):
    """A gateway whose timeouts do not end what the watch is to find."""
    long = {"first_byte": "60s", "idle": "60s", "request": 0, **(timeouts or {})}
    return administered(start, *origins, upstream={"pool": pool, "timeouts": long}, **options)


def counter(admin, origin, name, **labels):
    return admin.metrics().get(name, upstream="origin", endpoint=origin.address, **labels)


# --- the watch ------------------------------------------------------------------------------------------------------------


def test_a_stalled_request_is_told_of_once(start, origin):
    gateway, admin = watched(start, origin, pool={"leak_after": "100ms"})
    client, wire, request = origin.asked(gateway, get("/slow?token=secret"))
    told = gateway.event(TOLD)
    for part in ("upstream origin", f"endpoint {origin.address}", f"request {request.get('X-Request-Id')}",
            "GET /slow,", "route all", "is waiting"):
        assert part in told, told
    assert "secret" not in told
    assert counter(admin, origin, "weir_pool_leases_leaking_total") == 1
    # Several times as long again: it stays at one line, and the request is served all the same.
    time.sleep(0.5)
    wire.send(response("late"))
    assert client.read_response().body == b"late"
    assert sum(TOLD in line for line in gateway.events.lines) == 1
    assert counter(admin, origin, "weir_pool_leases_leaking_total") == 1


def test_many_stalled_requests_are_counted(start, origin):
    """A backend that hangs makes all its requests overdue at once: twenty lines, and then how many more."""
    gateway, admin = watched(start, origin, pool={"leak_after": "200ms", "max_connections": 30}, workers=1)
    gateway.freeze()
    clients = [gateway.connect().send(get()) for _ in range(25)]
    gateway.signal(signal.SIGCONT)
    for _ in clients:
        origin.accept().read_request()
    assert "5 more requests have had their connections for long" in gateway.event("more requests")
    assert sum(TOLD in line for line in gateway.events.lines) == 20
    assert counter(admin, origin, "weir_pool_leases_leaking_total") == 25


def test_a_stalled_request_is_ended_and_its_place_recovered(start, origin):
    gateway, admin = watched(start, origin,
        pool={"leak_after": "50ms", "reclaim_after": "1s", "max_connections": 1, "acquire_timeout": "10s"})
    client, wire, _ = origin.asked(gateway)
    # There is one place: who waits for it gets it as soon as it is reclaimed.
    waiting = gateway.connect().send(get("/next"))
    answer = client.read_response()
    assert answer.status == 504
    assert json.loads(answer.body)["error"] == "request_deadline"
    assert "reclaim_after" in json.loads(answer.body)["message"]
    wire.expect_gone()
    fresh, request = origin.answer(response("served"))
    assert request.target == "/next"
    assert waiting.read_response().body == b"served"
    assert gateway.records(2)[0]["cause"] == "request_deadline"
    assert "it is ended (reclaim_after)" in gateway.event("reclaim_after")
    assert counter(admin, origin, "weir_pool_closes_total", reason="reclaimed") == 1
    assert counter(admin, origin, "weir_pool_closes_total", reason="discarded") == 0
    assert counter(admin, origin, "weir_pool_audit_mismatch_total") == 0
    eventually(lambda: counter(admin, origin, "weir_pool_connections", state="leased") == 0)
    fresh.close()


def test_an_answer_that_stalls_is_cut_off(start, origin):
    gateway, _ = watched(start, origin, pool={"leak_after": "50ms", "reclaim_after": "2500ms"})
    client, wire, _ = origin.asked(gateway)
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    assert client.read_head().status == 200
    client.take(4)
    client.expect_abort()
    wire.expect_gone()
    assert gateway.record()["cause"] == "request_deadline"


def talk(client, wire, seconds):
    """Something moves all the time. The longest while in which nothing did, for a machine that does something else."""
    began = last = time.monotonic()
    longest = 0
    while last < began + seconds:
        client.send("ping")
        assert wire.take(4) == b"ping"
        wire.send("pong")
        assert client.take(4) == b"pong"
        time.sleep(0.01)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    return longest


def test_a_tunnel_in_use_is_left_alone(start, origin):
    gateway, admin = watched(start, origin, pool={"leak_after": "2500ms", "reclaim_after": "4s"})
    client, wire = open_tunnel(gateway, origin)
    silent = talk(client, wire, 4.5)
    assert TOLD not in gateway.events.text() or silent > 2
    assert counter(admin, origin, "weir_pool_leases_leaking_total") == 0 or silent > 2


def test_a_tunnel_that_wakes_up_is_not_reclaimed(start, origin):
    """Once it is reclaim_after old it must have been silent for leak_after once more, which is longer than a machine is busy."""
    gateway, _ = watched(start, origin, pool={"leak_after": "2500ms", "reclaim_after": "5s"})
    client, wire = open_tunnel(gateway, origin)
    assert "is tunnelling" in gateway.event(TOLD)
    talk(client, wire, 3)
    client.close()
    wire.expect_end()
    wire.close()
    assert gateway.record()["cause"] is None


def test_no_watch(start, make_origin):
    """Beside an upstream that is watched: what is told of that one's request is not told of this one's."""
    off, on = make_origin(), make_origin()
    gateway, admin = watched(start, off, pool={"leak_after": 0})
    config = gateway.config
    watched_too = {"name": "watched", "endpoints": [{"address": on.address}], "pool": {"leak_after": "100ms"},
        "timeouts": config["upstreams"][0]["timeouts"]}
    gateway.reload({**config, "upstreams": config["upstreams"] + [watched_too], "routes": [
        {"name": "watched", "match": {"path": "/watched"}, "upstream": "watched"}, *config["routes"]]})
    client, wire, _ = off.asked(gateway)
    other, other_wire, _ = on.asked(gateway, get("/watched"))
    assert "upstream watched" in gateway.event(TOLD)
    for each, one in ((client, wire), (other, other_wire)):
        one.send(response("late"))
        assert each.read_response().body == b"late"
    assert sum(TOLD in line for line in gateway.events.lines) == 1
    assert counter(admin, off, "weir_pool_leases_leaking_total") == 0


@pytest.mark.parametrize("before, after, same", [("5m", None, True), (0, None, False), (0, 0, True), (0, "5m", False)])
def test_no_watch_is_not_the_default(start, origin, before, after, same):
    """Five minutes are too long to wait for. But a pool that is watched in another way is another pool, so after a
    reload the old one's connection is closed."""
    gateway, _ = watched(start, origin, pool={"leak_after": before})
    client = gateway.connect().send(get())
    wire, _ = origin.answer(response())
    assert client.read_response().status == 200
    config = gateway.config
    config["upstreams"][0]["pool"] = {**PATIENT["pool"], **({} if after is None else {"leak_after": after})}
    gateway.reload(config)
    if not same:
        wire.expect_end()
        return
    client.send(get())
    wire.read_request()
    wire.send(response())
    assert client.read_response().status == 200


def test_the_books_are_recounted(start, origin):
    gateway, admin = watched(start, origin, pool={}, workers=2)
    origin.serve()
    assert gateway.connect().ask(get()).status == 200
    eventually(lambda: counter(admin, origin, "weir_pool_audits_total") >= 4)
    assert counter(admin, origin, "weir_pool_audit_mismatch_total") == 0


# --- weir leaks -------------------------------------------------------------------------------------------------------------


def on_a_terminal(*arguments):
    """What it prints there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([BINARY, *map(str, arguments)], stdout=theirs, stdin=subprocess.DEVNULL) as process:
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 65536):
                said += piece
        except OSError as error:
            # Nobody has the other end any more.
            assert error.errno == errno.EIO
        assert process.wait(TIMEOUT) == 0
    os.close(ours)
    return said.decode().replace("\r\n", "\n")


def said(gateway, *options):
    """Of all workers: on a busy machine one may be asked again, as it does not answer within a second."""
    def all_of_it():
        result = run("leaks", "-c", gateway.file, *options)
        if "answer" in result.stderr or options and result.returncode == 0 and json.loads(result.stdout)["workers_unanswered"]:
            return None
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout

    return eventually(all_of_it)


def leaks(gateway):
    return json.loads(said(gateway, "--json"))


def test_leaks_when_nothing_runs(start, origin):
    gateway, _ = watched(start, origin, pool={})
    assert leaks(gateway) == {"leases": [], "exchanges": [], "workers_unanswered": []}
    assert said(gateway).count("  none\n") == 2


def test_leaks_tells_who_holds_what(start, origin):
    gateway, _ = watched(start, origin, pool={"max_connections": 1, "acquire_timeout": "30s"})
    holder, wire, request = origin.asked(gateway, get("/holds?secret"))
    waiter = gateway.connect().send(get("/waits"))
    told = eventually(lambda: (all := leaks(gateway)) and len(all["exchanges"]) == 2 and all)
    assert [e["path"] for e in told["exchanges"]] == ["/holds", "/waits"]
    (lease,) = told["leases"]
    assert 0 < lease["held_s"] <= lease["age_s"]
    expected = {"stage": "waiting", "upstream": "origin", "endpoint": origin.address, "method": "GET", "path": "/holds",
        "route": "all", "client": "127.0.0.1", "worker": 0, "request_id": request.get("X-Request-Id")}
    assert {key: lease[key] for key in expected} == expected
    assert (told["exchanges"][1]["stage"], told["exchanges"][1]["held_s"]) == ("leasing", None)
    table = said(gateway)
    assert "secret" not in table
    assert re.search(r"^ +[0-9.]+ s +[0-9.]+ s  waiting      GET /holds$", table, re.M)
    assert re.search(rf"^ +origin {re.escape(origin.address)}, route all, client 127.0.0.1$", table, re.M)
    assert f"request {lease['request_id']}, worker 0" in table
    wire.send(response("1"))
    assert holder.read_response().body == b"1"
    wire.read_request()
    wire.send(response("2"))
    assert waiter.read_response().body == b"2"


def test_leaks_of_many_are_the_oldest_of_all_workers(start, origin):
    gateway, _ = watched(start, origin, pool={}, workers=2)
    held = [origin.asked(gateway, get(f"/{i}")) for i in range(25)]
    told = leaks(gateway)
    for kind, time_of in (("leases", "held_s"), ("exchanges", "age_s")):
        assert [e[time_of] for e in told[kind]] == sorted((e[time_of] for e in told[kind]), reverse=True)
        assert len(told[kind]) == 20 and {e["worker"] for e in told[kind]} <= {0, 1}
        assert "/0" in {e["path"] for e in told[kind]} and "/24" not in {e["path"] for e in told[kind]}
    for client, wire, _ in held:
        wire.send(response("x"))
        assert client.read_response().body == b"x"


def test_leaks_of_odd_requests_are_fit_to_print(start, origin):
    gateway, _ = watched(start, origin, pool={}, listener={"trusted_proxies": ["127.0.0.1"]})
    odd = get("/%C3%BC%22'" + "x" * 3000, fields=['X-Request-Id: "\\\t<&>'])
    client, wire, _ = origin.asked(gateway, odd)
    (lease,) = leaks(gateway)["leases"]
    assert len(lease["path"]) < 128 and lease["path"].endswith("...")
    table = said(gateway)
    assert all(line.isprintable() and line.isascii() for line in table.splitlines())
    # Whole where somebody may search in it, cut where somebody looks at it.
    assert f"GET {lease['path']}\n" in table
    seen = on_a_terminal("leaks", "-c", gateway.file)
    assert "GET /%C3%BC" in seen and all(len(line) <= 80 for line in seen.splitlines())
    assert any(len(line) == 80 and line.endswith("...") for line in seen.splitlines())
    wire.send(response("x"))
    assert client.read_response().body == b"x"


def test_leaks_without_an_administration(start, tmp_path):
    file = tmp_path / "off.yaml"
    file.write_text(json.dumps(configuration(route={"respond": {"status": 200}})))
    result = run("leaks", "-c", file)
    assert (result.returncode, result.stdout) == (2, "")
    assert "`admin` is off" in result.stderr


def test_leaks_when_nobody_answers(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    file = tmp_path / "nobody.yaml"
    file.write_text(json.dumps(configuration(route={"respond": {"status": 200}}, admin={"address": address})))
    result = run("leaks", "-c", file)
    assert (result.returncode, result.stdout) == (1, "")
    assert address in result.stderr and "Connection refused" in result.stderr


@pytest.mark.parametrize("arguments", [["leaks"], ["leaks", "-c", "a", "b"], ["leaks", "-c", "a", "--json", "b"]])
def test_wrong_usage(arguments):
    result = run(*arguments)
    assert result.returncode == 2 and "leaks: " in result.stderr
