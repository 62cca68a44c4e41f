"""`shedding`: what the gateway refuses when its own means run short, what it goes on serving, and that it says so."""

import contextlib
import json
import signal
import socket
import time

import pytest

from admin import Admin
from gateway import configuration, eventually, free_port, run, sanitizer
from raw import TIMEOUT, Wire, get, response

MIB = 1024 * 1024


@pytest.fixture
def begin(start, origin):
    def go(shedding, files=None, **more):
        # What is under way is so for as long as a test takes.
        config = configuration(origin, admin={"address": f"127.0.0.1:{free_port()}"}, shedding=shedding,
            upstream={"timeouts": {"first_byte": "5m", "request": "5m"}}, **more)
        gateway = start(config, files=files)
        gateway.admin = Admin(gateway)
        return gateway
    return go


def connect(gateway):
    wire = Wire(socket.create_connection(gateway.address(), TIMEOUT))
    gateway.wires.append(wire)
    return wire


def cause_of(answer):
    assert answer.status == 503 and answer.get("Retry-After")
    return json.loads(answer.body)["error"]


def newcomer(gateway):
    """What a new connection is told: 200, or the cause."""
    wire = connect(gateway)
    with contextlib.closing(wire), contextlib.suppress(OSError, AssertionError):
        answer = wire.ask(get())
        return 200 if answer.status == 200 else cause_of(answer)
    return None


def shed(gateway, what, mark):
    return int(gateway.admin.metrics().get(f"weir_shedding_{what}_total", mark=mark))


def under_way(gateway, origin):
    """A client with a request whose answer the origin owes."""
    client = connect(gateway).send(get("/slow"))
    to = origin.accept()
    to.read_request()
    return client, to


# --- open files ------------------------------------------------------------------------------------------------------


def fill_files(gateway):
    """Until somebody is refused. The others stay, without a request."""
    clients = []

    def is_refused():
        told = newcomer(gateway)
        if told == "files_exhausted":
            return True
        clients.append(connect(gateway))
        return False

    eventually(is_refused)
    return clients


def test_files(begin, origin):
    """New connections are refused while there are descriptors left for what is under way."""
    gateway = begin({"files": "70%"}, files=120)
    client, to = under_way(gateway, origin)
    origin.serve()
    open_before = connect(gateway)
    clients = fill_files(gateway)
    assert gateway.open_files() < 120
    gateway.event("shedding begins: files is at")
    assert gateway.admin.ask("/healthz").status == 200
    # Whoever is there is served, though that takes a descriptor more, and then goes.
    answer = open_before.ask(get())
    assert answer.status == 200 and answer.get("Connection") == "close"
    to.send(response("slow", fields=["Connection: close"]))
    assert client.read_response().body == b"slow"
    metrics = gateway.admin.metrics()
    assert metrics.get("weir_shedding", mark="files") == 1
    assert shed(gateway, "begun", "files") == 1
    assert shed(gateway, "connections", "files") >= 1
    assert shed(gateway, "requests", "files") == 0
    assert metrics.get("process_max_fds") == 120
    for one in clients:
        one.close()
    gateway.event("shedding ends: files is at")
    eventually(lambda: newcomer(gateway) == 200)
    assert "accept" not in gateway.events.text()
    assert gateway.admin.metrics().get("weir_accept_paused_total") == 0


def test_files_are_taken_back_from_who_rests(begin, origin):
    """Connections between two requests are closed, so it heals by itself: nobody has to leave."""
    gateway = begin({"files": "70%"}, files=120)
    origin.serve()
    clients = [connect(gateway) for _ in range(30)]
    for client in clients:
        with contextlib.suppress(OSError, AssertionError):
            client.ask(get())
    fresh = fill_files(gateway)
    for client in clients:
        client.expect_gone()
        client.close()
    gateway.event("shedding ends: files is at")
    assert fresh


def test_files_of_all_workers(begin, origin):
    """Descriptors are the process's: what one worker has open the other one counts."""
    gateway = begin({"files": "70%"}, files=160, workers=2)
    origin.serve()
    clients = fill_files(gateway)
    eventually(lambda: newcomer(gateway) == "files_exhausted")
    assert gateway.open_files() < 160
    for client in clients:
        client.close()
    eventually(lambda: gateway.admin.metrics().get("weir_shedding", mark="files") == 0)

    def told(what):
        return sum(f"shedding {what}: files" in line for line in gateway.events.lines)

    # The log is written when there is time for it.
    assert eventually(lambda: 0 < told("begins") == told("ends"))


# --- memory ----------------------------------------------------------------------------------------------------------


def test_memory(begin, origin):
    """Refused while something is under way; what is under way is served to its end, and it ends with its reason."""
    gateway = begin({"memory": "off"}, listener={"timeouts": {"header": "5m"}})
    busy, to = under_way(gateway, origin)
    client = connect(gateway)
    # It has more than that.
    gateway.config["shedding"] = {"memory": "16MiB"}
    hold = [connect(gateway) for _ in range(1000)]
    for wire in hold:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 30000)
    for wire in hold:
        wire.wait_taken()
    gateway.reload(gateway.config)

    def is_refused():
        answer = client.ask(get("/none"))
        return cause_of(answer) == "memory_exhausted"

    origin.serve()
    eventually(lambda: newcomer(gateway) == "memory_exhausted")
    gateway.event("shedding begins: memory is at")
    assert is_refused()
    # The connection is kept: a new one would cost more than the request.
    assert is_refused()
    to.send(response("slow", fields=["Connection: close"]))
    assert busy.read_response().body == b"slow"
    assert shed(gateway, "requests", "memory") >= 2
    for wire in hold:
        wire.close()
    if sanitizer():
        return
    gateway.event("shedding ends: memory is at")
    assert client.ask(get()).status == 200


# --- the loop ----------------------------------------------------------------------------------------------------------


def test_loop_lag(begin, origin):
    gateway = begin({"loop_lag": "100ms"}, route={"match": {"path": "/*"}})
    busy, to = under_way(gateway, origin)
    client = connect(gateway)
    origin.serve()

    def told_of_it():
        """It is over within a second; on a busy machine that may be too soon to be told of it."""
        eventually(lambda: newcomer(gateway) == 200)
        gateway.stand_still(3)
        gateway.event("shedding begins: loop_lag is at")
        answer, other = client.ask(get()), newcomer(gateway)
        return answer.status != 200 and other == "overloaded" and cause_of(answer)

    assert eventually(told_of_it) == "overloaded"
    gateway.event("shedding ends: loop_lag is at")
    eventually(lambda: client.ask(get()).status == 200)
    to.send(response("slow", fields=["Connection: close"]))
    assert busy.read_response().body == b"slow"
    assert shed(gateway, "requests", "loop_lag") >= 1
    assert shed(gateway, "connections", "loop_lag") >= 1
    record = eventually(lambda: next((r for r in gateway.records(1) if r["cause"] == "overloaded"), None))
    assert record["status"] == 503


def test_one_pause_sheds_nobody(begin, origin):
    """A second of standing still is what the smoothing lets pass."""
    gateway = begin({"loop_lag": "2s"})
    _, _ = under_way(gateway, origin)
    client = connect(gateway)
    origin.serve()
    gateway.stand_still(1)
    assert client.ask(get()).status == 200
    assert shed(gateway, "begun", "loop_lag") == 0


def test_accept_queue(begin, origin):
    gateway = begin({"accept_queue": "1%", "loop_lag": "off"})
    busy, to = under_way(gateway, origin)
    client = connect(gateway)
    origin.serve()
    gateway.freeze()
    crowd = [connect(gateway) for _ in range(1000)]
    # Until a look is due, or they may all have been accepted before it. There is no event for time that passes.
    time.sleep(1.1)
    gateway.signal(signal.SIGCONT)
    gateway.event("shedding begins: accept_queue is at")
    # Requests on connections that are there are no part of it.
    assert client.ask(get()).status == 200
    gateway.event("shedding ends: accept_queue is at")
    to.send(response("slow", fields=["Connection: close"]))
    assert busy.read_response().body == b"slow"
    assert shed(gateway, "connections", "accept_queue") >= 1
    for wire in crowd:
        wire.close()
    eventually(lambda: newcomer(gateway) == 200)


# --- configuration -------------------------------------------------------------------------------------------------------


def test_off(begin, origin):
    gateway = begin("off")
    busy, _ = under_way(gateway, origin)
    client = connect(gateway)
    origin.serve()
    gateway.stand_still(2)
    assert client.ask(get()).status == 200
    assert "shedding" not in gateway.events.text()
    busy.close()


@pytest.mark.parametrize("key, value, allowed", [
    ("files", "0%", "found \"0%\"; allowed: `off`, or a share from 1% to 100%, in % (default 90%)"),
    ("files", "90", "found \"90\", which has no unit; allowed: `off`, or a share from 1% to 100%, in % (default 90%)"),
    ("memory", "101%", "found \"101%\"; allowed: `off`, a share from 1% to 100%, or a size from 16MiB on"),
    ("memory", "1MiB", "a size from 16MiB on"),
    ("accept_queue", "-1%", "allowed: `off`, or a share from 1% to 100%, in % (default 50%)"),
    ("loop_lag", "5ms", "found \"5ms\"; allowed: `off`, or a duration from 10ms to 1m"),
    ("loop_lag", "250", "allowed: `off`, or a duration from 10ms to 1m"),
])
def test_what_is_refused(tmp_path, key, value, allowed):
    file = tmp_path / "weir.yaml"
    file.write_text(json.dumps(configuration("127.0.0.1:1", shedding={key: value}), indent=1))
    told = run("check", file)
    assert told.returncode == 2
    assert f": shedding.{key}: " in told.stderr and allowed in told.stderr


def test_check_says_the_numbers(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text(json.dumps(configuration("127.0.0.1:1", shedding={"loop_lag": "400ms", "accept_queue": "25%"})))
    told = run("check", file).stdout
    assert "shedding begins at\n" in told
    assert "25% of" in told and "  loop lag " in told and " 400ms\n" in told
