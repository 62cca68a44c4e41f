"""Another process in place of the one that runs: sockets handed over by an upgrade, or bound by the service manager."""

import contextlib
import functools
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pytest

import gateway as gateways
from admin import administered
from gateway import TIMEOUT, configuration, eventually, free_port, run
from origin import answer_all
from programs import program  # pylint: disable=unused-import
from raw import get, response
from test_admin_api import request
from test_admin_endpoints import ROUND_ROBIN, change, path_of, who
from test_live import Watcher
from test_receipt import ask_reload
from test_tls import VERSIONS, certificates, crowd_of, resumed_of, secured

CHANGES = 3

# For what the test has still to say to the one that has handed over, or that drains.
PATIENT = "60s"
ORIGINAL = gateways.BINARY


class Successor:
    """The process that has taken over: the test's own to end."""

    def __init__(self, gateway, after=0):
        found = gateway.events.wait_for(lambda lines: [m for line in lines if (m := re.search(r"upgraded: process (\d+) serves", line))][after:])
        assert found, gateway.events.text()
        self.pid = int(found[0][1])
        self.fd = os.pidfd_open(self.pid)

    def signal(self, number):
        signal.pidfd_send_signal(self.fd, number)

    def wait(self):
        ended = select.poll()
        ended.register(self.fd, select.POLLIN)
        assert ended.poll(TIMEOUT * 1000), "it does not end"

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGTERM)
        self.wait()
        os.close(self.fd)


@pytest.fixture
def upgrade():
    """upgrade(gateway) hands over to a new process and returns that."""
    made = []

    def do(gateway, by=None):
        after = len([s for s in made if s.gateway is gateway])
        (by or gateway).signal(signal.SIGUSR2)
        made.append(Successor(gateway, after))
        made[-1].gateway = gateway
        return made[-1]

    yield do
    for successor in made:
        successor.end()


def asked(gateway, listener=0):
    client = gateway.connect(listener)
    answer = client.ask(get())
    client.close()
    return answer.status


def has_ended(gateway):
    """As it should. (Its output goes on: the new process has it.)"""
    return gateway.process.wait(TIMEOUT) == 0


def test_new_process_serves(start, origin, upgrade):
    origin.serve()
    gateway = start(configuration(origin, workers=2))
    new = upgrade(gateway)
    assert has_ended(gateway)
    assert new.pid != gateway.pid
    assert gateway.connect().ask(get()).status == 200


def test_what_runs_is_finished(start, origin, upgrade):
    gateway = start(configuration(origin, drain_timeout=PATIENT))
    client, wire, _ = origin.asked(gateway)
    upgrade(gateway)
    wire.send(response("late"))
    assert client.read_response().body == b"late"
    assert has_ended(gateway)


def test_kept_connections_are_told(start, origin, upgrade):
    """A client that is between two requests may have sent the next one: it is answered, and told that it was the last."""
    origin.serve()
    gateway = start(configuration(origin))
    client = gateway.connect()
    assert client.ask(get()).status == 200
    upgrade(gateway)
    assert client.ask(get()).status == 200
    client.expect_end()
    assert has_ended(gateway)


def test_clients_in_the_kernels_queue_are_served(start, origin, upgrade):
    origin.serve()
    gateway = start(configuration(origin))
    gateway.freeze()
    clients = [gateway.connect().send(get()) for _ in range(30)]
    gateway.signal(signal.SIGUSR2)
    gateway.signal(signal.SIGCONT)
    assert [client.read_response().status for client in clients] == [200] * 30
    Successor(gateway).end()


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1)])
def test_other_number_of_workers(start, origin, upgrade, before, after):
    origin.serve()
    gateway = start(configuration(origin, workers=before))
    gateway.write(configuration(origin, workers=after) | {"listeners": gateway.config["listeners"]})
    upgrade(gateway)
    assert has_ended(gateway)
    assert all(gateway.connect().ask(get()).status == 200 for _ in range(20))


def test_unix_socket(start, origin, upgrade, tmp_path):
    origin.serve()
    path = tmp_path / "weir.sock"
    gateway = start(configuration(origin, listener={"address": f"unix:{path}"}, admin="off"))
    upgrade(gateway)
    assert has_ended(gateway)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))


def test_bad_configuration_changes_nothing(start, origin):
    origin.serve()
    gateway = start(configuration(origin))
    gateway.write("version: 1\nnonsense: 1\n")
    gateway.signal(signal.SIGUSR2)
    assert "ended with status 2" in gateway.event("no upgrade")
    assert gateway.connect().ask(get()).status == 200
    # And once the file is good, it goes.
    gateway.write(gateway.config)
    gateway.signal(signal.SIGUSR2)
    Successor(gateway).end()
    assert has_ended(gateway)


@pytest.mark.parametrize("where", ["address", "unix"])
def test_administration_that_cannot_be_taken_over(start, origin, upgrade, tmp_path, where):
    """Somebody else has the place where the file says by now that it listens: the old one goes on, there too."""
    origin.serve()
    gateway, admin = administered(start, origin)
    other = tmp_path / "other.sock"
    with socket.create_server(("127.0.0.1", 0)) if where == "address" else socket.socket(socket.AF_UNIX) as keeper:
        if where == "unix":
            keeper.bind(str(other))
            keeper.listen()
        taken = f"127.0.0.1:{keeper.getsockname()[1]}" if where == "address" else str(other)
        gateway.write(gateway.config | {"admin": {"hosts": ["example.com"], "address": admin.address, where: taken}})
        gateway.signal(signal.SIGUSR2)
        assert "ended with status 1" in gateway.event("no upgrade")
        assert f"{taken} (admin): Address already in use" in gateway.event("cannot listen on")
        assert gateway.connect().ask(get()).status == 200 and admin.ask("/readyz").status == 200
    gateway.write(gateway.config)
    upgrade(gateway)
    assert has_ended(gateway) and admin.ask("/readyz").status == 200


def test_program_that_is_gone(start, origin, tmp_path, monkeypatch):
    program = tmp_path / "weir"
    shutil.copy(ORIGINAL, program)
    monkeypatch.setattr(gateways, "BINARY", program)
    origin.serve()
    gateway = start(configuration(origin))
    program.unlink()
    gateway.signal(signal.SIGUSR2)
    assert "No such file" in gateway.event("no upgrade")
    # Another one stands there.
    shutil.copy(ORIGINAL, program)
    gateway.signal(signal.SIGUSR2)
    Successor(gateway).end()
    assert has_ended(gateway)


def test_by_command(start, origin, tmp_path, monkeypatch):
    program = tmp_path / "weir"
    shutil.copy(ORIGINAL, program)
    monkeypatch.setattr(gateways, "BINARY", program)
    gateway, _ = administered(start, origin)
    monkeypatch.undo()
    program.unlink()
    said = run("upgrade", "-c", gateway.file)
    assert said.returncode == 1 and "no upgrade" in said.stderr and "No such file" in said.stderr, said
    shutil.copy(ORIGINAL, program)
    said = run("upgrade", "-c", gateway.file)
    new = Successor(gateway)
    assert said.returncode == 0 and f"process {new.pid} serves" in said.stdout, said
    assert has_ended(gateway)
    # The administration's address is the new one's.
    assert run("leaks", "-c", gateway.file).returncode == 0
    new.end()
    assert run("upgrade", "-c", gateway.file).returncode == 1


def test_while_draining_there_is_none(start, origin):
    gateway = start(configuration(origin, drain_timeout=PATIENT))
    client, wire, _ = origin.asked(gateway)
    gateway.signal(signal.SIGTERM)
    gateway.event("draining")
    gateway.signal(signal.SIGUSR2)
    gateway.event("no upgrade: the gateway is on its way out")
    wire.send(response("x"))
    assert client.read_response().body == b"x"


class Crowd:
    """Clients that ask one thing after the other on kept connections, and note everything that is not 200."""

    def __init__(self, gateway, count):
        self.gateway, self.asked, self.failures, self.over = gateway, [0] * count, [], False
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self, i):
        client = None
        try:
            while not self.over:
                client = client or self.gateway.connect()
                answer = client.ask(get())
                self.asked[i] += 1
                if answer.status != 200:
                    self.failures.append(answer.status)
                if answer.get("connection") == "close":
                    client.close()
                    client = None
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(repr(error))

    def has_asked_again(self):
        before = list(self.asked)
        eventually(lambda: self.failures or all(now > then for now, then in zip(self.asked, before)))

    def end(self):
        self.over = True
        for thread in self.threads:
            thread.join(TIMEOUT)


def test_upgrades_under_load(start, origin, upgrade):
    origin.serve()
    gateway = start(configuration(origin, workers=2, drain_timeout=PATIENT))
    crowd = Crowd(gateway, 8)
    process = None
    for _ in range(CHANGES):
        crowd.has_asked_again()
        process = upgrade(gateway, process)
        crowd.has_asked_again()
    crowd.end()
    assert not crowd.failures
    assert sum(crowd.asked) > 8 * CHANGES


def test_reload_meanwhile(start, origin, program):
    """Asked for while the new process starts, which may have read the file by then: that one reads it again, and this one leaves it alone."""
    gateway, admin = administered(start, origin.serve())
    second = gateway.config["listeners"][0] | {"name": "second", "address": f"127.0.0.1:{free_port()}"}
    program.replace(program.waiting)
    gateway.signal(signal.SIGUSR2)
    gateway.event("upgrading: process")
    gateway.config = gateway.config | {"listeners": [*gateway.config["listeners"], second]}
    gateway.write(gateway.config)
    gateway.signal(signal.SIGHUP)
    gateway.event("SIGHUP: an upgrade is under way; the file is read again after it")
    status, said = ask_reload(admin)
    assert (status, said["error"]) == (409, "not_reloaded")
    assert "listener second: listens on" not in gateway.events.text()
    program.go.touch()
    new = Successor(gateway)
    assert has_ended(gateway)
    gateway.event("main reloaded: ")
    assert {asked(gateway, i) for i in (0, 1) for _ in range(4)} == {200}
    assert "in use" not in gateway.events.text()
    new.end()


def test_reload_meanwhile_and_no_new_process(start, origin, program):
    gateway = start(configuration(origin.serve()))
    program.replace(program.waiting)
    gateway.signal(signal.SIGUSR2)
    process = int(re.search(r"process (\d+) is starting", gateway.event("upgrading: process"))[1])
    gateway.write(gateway.config | {"routes": [{"name": "all", "respond": {"body": "other"}}]})
    gateway.signal(signal.SIGHUP)
    gateway.event("the file is read again after it")
    assert gateway.connect().ask(get()).body != b"other"
    os.kill(process, signal.SIGKILL)
    gateway.event("no upgrade: process")
    gateway.event("main reloaded: ")
    assert gateway.connect().ask(get()).body == b"other"


@pytest.mark.parametrize("workers", [1, 3])
def test_upgrade_during_a_reload(start, origin, workers):
    """It begins after it: every socket that the reload opens is the new process's."""
    gateway = start(configuration(origin.serve(), workers=workers))
    first = gateway.config["listeners"][0]
    gateway.config = gateway.config | {"listeners": [first, first | {"name": "second", "address": f"127.0.0.1:{free_port()}"}]}
    gateway.write(gateway.config)
    gateway.freeze()
    gateway.signal(signal.SIGHUP)
    gateway.signal(signal.SIGUSR2)
    gateway.signal(signal.SIGCONT)
    new = Successor(gateway)
    assert has_ended(gateway)
    lines = gateway.events.text().splitlines()
    at = [next(i for i, line in enumerate(lines) if text in line)
        for text in ("a reload is under way; the upgrade begins after it", "main reloaded: ", "upgrading: process")]
    assert at == sorted(at), gateway.events.text()
    assert {asked(gateway, i) for i in (0, 1) for _ in range(4)} == {200}
    new.end()


def test_two_at_once(start, origin, program):
    gateway = start(configuration(origin.serve()))
    program.replace(program.waiting)
    gateway.signal(signal.SIGUSR2)
    gateway.event("upgrading: process")
    gateway.signal(signal.SIGUSR2)
    gateway.event("an upgrade is under way")
    program.go.touch()
    Successor(gateway).end()
    assert has_ended(gateway)


def test_new_process_that_hangs(start, origin, program):
    """Until somebody ends it, or the gateway is ended, nothing has changed. (The deadline is in tests/changes.)"""
    gateway = start(configuration(origin.serve()))
    program.replace(program.waiting)
    gateway.signal(signal.SIGUSR2)
    process = int(re.search(r"process (\d+) is starting", gateway.event("upgrading: process"))[1])
    assert gateway.connect().ask(get()).status == 200
    os.kill(process, signal.SIGKILL)
    gateway.event(f"no upgrade: process {process} was ended by signal 9")
    assert gateway.connect().ask(get()).status == 200
    gateway.signal(signal.SIGUSR2)
    found = gateway.events.wait_for(lambda lines: [m for line in lines if (m := re.search(r"process (\d+) is starting", line))][1:])
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0
    assert not pathlib.Path(f"/proc/{found[0][1]}").exists()


def test_program_that_says_something_else(start, origin, program):
    """Only what was agreed says that it serves: whatever else is written into that pipe, the old one goes on."""
    gateway = start(configuration(origin.serve()))
    program.replace("set -- $WEIR_UPGRADE; echo nonsense > /proc/self/fd/$2; exec sleep 1000")
    gateway.signal(signal.SIGUSR2)
    process = re.search(r"no upgrade: process (\d+) is no such program", gateway.event("no upgrade:"))[1]
    assert not pathlib.Path(f"/proc/{process}").exists()
    assert asked(gateway) == 200


# What it does one after the other: it is loaded, reads the file, looks at the sockets, makes loops, takes the sockets over, starts threads.
CALLS = ("brk", "openat", "getsockname", "epoll_create1", "listen", "clone,?clone3")


@pytest.mark.parametrize("calls", CALLS)
def test_new_process_that_is_killed(start, origin, program, calls):
    """The sockets are the old one's still, and nobody who connects notices."""
    gateway = start(configuration(origin.serve(), workers=2))
    program.replace(f"exec strace -f -qq -o /dev/null -e inject={calls}:signal=KILL $WEIR \"$@\"")
    gateway.signal(signal.SIGUSR2)
    said = gateway.events.wait_for(lambda lines: next((line for line in lines if "no upgrade:" in line or "upgraded:" in line), None))
    assert said and "no upgrade:" in said, gateway.events.text()
    assert all(gateway.connect().ask(get()).status == 200 for _ in range(10))


# --- what else the new process is given -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certs():
    return certificates()


@VERSIONS
def test_sessions_are_resumed(start, origin, upgrade, certs, version):
    """Clients who come back are known, whoever has given them their ticket; over several upgrades, too."""
    origin.serve()
    gateway = start(secured(certs, origin, workers=2))
    clients = crowd_of(gateway, certs, version)
    process = None
    for _ in range(CHANGES):
        for client in clients:
            client.come(2)
        process = upgrade(gateway, process)
        for client in clients:
            client.come(2)
    assert resumed_of(clients) == 1


def test_what_was_set_holds(start, make_origin, upgrade):
    """Of endpoints and of the log's level, as over a reload; what the new file does not have any more is told."""
    two = [make_origin().serve(functools.partial(answer_all, body=name)) for name in (b"a", b"b")]
    gateway, admin = administered(start, *two, upstream=ROUND_ROBIN, workers=2)
    change(admin, two[0], enabled=False)
    change(admin, two[1], weight=3)
    assert admin.connect().ask(request("PUT", "/v1/log/level", {"level": "debug"})).status == 200
    process = upgrade(gateway)
    assert gateway.event("upgrade: what was set of 2 endpoints holds on") and gateway.event("upgrade: log level info -> debug, as it was set")
    assert has_ended(gateway)
    assert who(gateway) == "bbbbbbbb"
    assert admin.json(path_of(two[0]))["set"] == {"enabled": False, "drain": False, "weight": None}
    assert admin.json(path_of(two[1]))["weight"] == 3
    assert admin.json("/v1/log/level") == {"level": "debug"}
    # Over the next one, too.
    gateway.config["upstreams"][0]["endpoints"].pop(0)
    gateway.config.setdefault("log", {})["level"] = "warning"
    gateway.write(gateway.config)
    upgrade(gateway, process)
    process.wait()
    assert gateway.event("upgrade: what was set of 1 endpoint ends")
    assert admin.json(path_of(two[1]))["set"]["weight"] == 3
    assert admin.json("/v1/log/level") == {"level": "warning"}


def wishes_of(admin, origin, connection=None):
    """What becomes of everything that can be set: status, and why not."""
    client = connection or admin.connect()
    answers = [client.ask(request(*what)) for what in (("PATCH", path_of(origin), {"enabled": False}), ("PATCH", path_of(origin), {"weight": 3}),
        ("PUT", "/v1/log/level", {"level": "debug"}))]
    return {(answer.status, json.loads(answer.body).get("error")) for answer in answers}


def test_nothing_is_set_while_it_starts(start, origin, program):
    """The new process begins with what was set before it: what is set then would be lost, so it is refused."""
    gateway, admin = administered(start, origin.serve())
    before, level = admin.json(path_of(origin)), admin.json("/v1/log/level")
    program.replace(program.waiting)
    gateway.signal(signal.SIGUSR2)
    process = int(re.search(r"process (\d+) is starting", gateway.event("upgrading: process"))[1])
    assert wishes_of(admin, origin) == {(409, "not_set")}
    refused = subprocess.run([ORIGINAL, "endpoint", "-c", gateway.file, "drain", "origin", origin.address], capture_output=True, text=True,
        timeout=TIMEOUT, check=False)
    assert refused.returncode == 1 and "another process takes this one's place" in refused.stderr
    assert admin.json(path_of(origin))["set"] == before["set"] and admin.json("/v1/log/level") == level
    assert "admin (" not in gateway.events.text()
    # It fails: this one goes on, and is set.
    os.kill(process, signal.SIGKILL)
    gateway.event("no upgrade: process")
    assert wishes_of(admin, origin) == {(200, None)}


# Everything that changes something, and how it is refused then. (None: an endpoint's path.)
ORDERS = (("PATCH", None, {"enabled": False}, "not_set"), ("PUT", "/v1/log/level", {"level": "debug"}, "handed_over"),
    ("POST", "/v1/log/reopen", {}, "handed_over"), ("POST", "/v1/reload", {}, "handed_over"), ("POST", "/v1/drain", {}, "handed_over"),
    ("POST", "/v1/upgrade", {}, "handed_over"))


def refused(kept, origin, order):
    """By the process that has handed over, with the last answer on this connection."""
    method, target, wish, error = order
    answer = kept.ask(request(method, target or path_of(origin), wish))
    assert (answer.status, answer.get("Connection"), json.loads(answer.body)["error"]) == (409, "close", error), (order, answer.body)
    kept.expect_end()
    kept.close()
    return True


def test_nothing_is_done_by_a_process_that_has_handed_over(start, origin, upgrade):
    """Who is still connected to it is refused, and sent to the new one: that is there to be told."""
    gateway, admin = administered(start, origin, drain_timeout=PATIENT)
    kept = [admin.connect() for _ in range(len(ORDERS) + 3)]
    assert {connection.ask(get("/readyz", "localhost")).status for connection in kept} == {200}
    watcher = Watcher(admin)
    client, wire, _ = origin.asked(gateway)
    upgrade(gateway)
    # What goes on ends: the new one tells how it is.
    watcher.wire.expect_gone()
    watcher.wire.close()
    assert all(refused(kept.pop(), origin, order) for order in ORDERS)
    # An upgrade that comes to nothing here changes nothing of it.
    gateway.signal(signal.SIGUSR2)
    gateway.event("no upgrade: the gateway is on its way out")
    assert refused(kept.pop(), origin, ORDERS[0])
    # Nor is an answer begun that goes on.
    assert refused(kept.pop(), origin, ("GET", "/v1/live", None, "handed_over"))
    # Who only looks is answered once more.
    last = kept.pop()
    assert last.ask(get("/readyz", "localhost")).get("Connection") == "close"
    last.expect_end()
    last.close()
    assert wishes_of(admin, origin) == {(200, None)}
    wire.send(response("late"))
    assert client.read_response().body == b"late"
    assert has_ended(gateway)


def open_in(process):
    """What its descriptors are of, but for the standard ones: of those that it closes meanwhile nothing is told."""
    for entry in pathlib.Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if int(entry.name) > 2:
                yield os.readlink(entry)


def test_secrets_are_nobodys(start, origin, upgrade, certs):
    """Neither in the environment nor open any more."""
    gateway = start(secured(certs, origin))
    new = upgrade(gateway)
    assert has_ended(gateway)
    environment = pathlib.Path(f"/proc/{new.pid}/environ").read_bytes()
    told = next(text for text in environment.split(b"\0") if text.startswith(b"WEIR_UPGRADE="))
    assert re.fullmatch(rb"WEIR_UPGRADE=\d+ \d+ \d+", told)
    names = list(open_in(new))
    assert not any("memfd" in name for name in names), names
    # Its own pipes it has both ends of.
    assert all(names.count(name) == 2 for name in names if name.startswith("pipe:")), names


# --- the service manager ------------------------------------------------------------------------------------------------

BIND = """
import os, socket, sys
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("127.0.0.1", int(sys.argv[1])))
sock.listen(5)
"""
BEQUEATH = """
os.dup2(sock.fileno(), 3) if sock.fileno() != 3 else os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="public")
os.execv(sys.argv[2], sys.argv[2:])
"""
ACTIVATE = BIND + BEQUEATH


@pytest.mark.parametrize("workers", [1, 2])
def test_socket_activation(start, origin, workers):
    """Its socket is not shared by SO_REUSEPORT: all workers listen on that one."""
    origin.serve()
    config = configuration(origin, workers=workers)
    port = config["listeners"][0]["address"].rpartition(":")[2]
    gateway = start(config, under=(sys.executable, "-c", ACTIVATE, port))
    assert all(gateway.connect().ask(get()).status == 200 for _ in range(10))


@pytest.mark.parametrize("workers", [1, 2])
def test_activated_socket_that_a_reload_gives_up(start, origin, workers, tmp_path):
    """A service manager goes on listening: connections that come then are none of the gateway's business."""
    origin.serve()
    config = configuration(origin, workers=workers)
    port = int(config["listeners"][0]["address"].rpartition(":")[2])
    with socket.socket(socket.AF_UNIX) as manager:
        manager.bind(str(tmp_path / "manager"))
        manager.listen(1)
        keep = f"""
manager = socket.socket(socket.AF_UNIX)
manager.connect({str(tmp_path / "manager")!r})
socket.send_fds(manager, [b"0"], [sock.fileno()])
"""
        gateway = start(config, under=(sys.executable, "-c", BIND + keep + BEQUEATH, str(port)))
        with manager.accept()[0] as launcher:
            kept = socket.recv_fds(launcher, 1, 1)[1]
    with socket.socket(fileno=kept[0]) as sock:
        sock.settimeout(TIMEOUT)
        assert gateway.connect().ask(get()).status == 200
        gateway.reload(config | {"listeners": [config["listeners"][0] | {"address": f"127.0.0.1:{free_port()}"}]})
        assert gateway.connect().ask(get()).status == 200
        for _ in range(8):
            with socket.create_connection(("127.0.0.1", port), TIMEOUT), sock.accept()[0]:
                assert gateway.connect().ask(get()).status == 200


def test_socket_that_nobody_wants(start, origin):
    origin.serve()
    gateway = start(configuration(origin), under=(sys.executable, "-c", ACTIVATE, str(free_port())))
    gateway.event("1 listening socket that this process was started with was closed")
    assert gateway.connect().ask(get()).status == 200


@pytest.mark.parametrize("value", ["nonsense", "1 9", "99999 3", "1 4", "1 4 9"])
def test_variable_of_somebody_else(start, origin, value):
    gateway = start(configuration(origin), ready=False, under=("env", f"WEIR_UPGRADE={value}"))
    assert gateway.wait() == 1
    gateway.checked = True
    assert "take it out of the environment" in gateway.events.text() or "no stream socket" in gateway.events.text()


def test_service_manager_is_told(start, origin, upgrade, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        told.settimeout(TIMEOUT)
        gateway = start(configuration(origin), under=("env", f"NOTIFY_SOCKET={path}"))
        assert told.recv(4096) == b"READY=1"
        gateway.reload()
        assert told.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert told.recv(4096) == b"READY=1"
        new = upgrade(gateway)
        assert told.recv(4096) == b"READY=1"
        assert told.recv(4096) == f"MAINPID={new.pid}".encode()
        assert has_ended(gateway)
        new.signal(signal.SIGTERM)
        assert told.recv(4096) == b"STOPPING=1"
