"""A reload opens listeners that are new and closes those that are gone; nobody's request fails for it."""

import copy
import json
import os
import pathlib
import signal
import socket
import threading

import pytest

from admin import administered
from gateway import configuration, eventually, free_port
from nameserver import NameServer, addresses, silent
from raw import TIMEOUT, Wire, get, response
from test_handover import asked, has_ended, upgrade  # noqa: F401: a fixture
from test_receipt import ASKED, ask_reload
from translators import CLIENT
from tunnels import open_tunnel


def at(name, port, **settings):
    return {"name": name, "address": f"127.0.0.1:{port}", **settings}


def listening(config, *listeners):
    return copy.deepcopy(config) | {"listeners": list(listeners)}


def refuses(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def is_bound(port):
    """Also one at which nobody listens yet."""
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
            return False
        except OSError:
            return True


@pytest.fixture(name="slow")
def _slow():
    """A name server: slow.test has its address only once it is let go."""
    nameserver, nameserver.let_go = NameServer(), threading.Event()
    nameserver.answers["slow.test"] = (
        lambda query: addresses("127.0.0.1")(query) if nameserver.let_go.wait(TIMEOUT) else [])
    yield nameserver
    nameserver.let_go.set()
    nameserver.close()


@pytest.mark.parametrize("workers", [1, 3])
def test_added_and_removed(start, origin, workers):
    gateway = start(configuration(origin.serve(), workers=workers))
    first = gateway.config["listeners"][0]
    second = first | at("second", free_port())
    files = gateway.open_files()
    for _ in range(3):
        said = gateway.reload(listening(gateway.config, second, first))
        assert any(f"info main listener second: listens on {second['address']}" in line for line in said)
        assert {asked(gateway, i) for i in (0, 1) for _ in range(8)} == {200}
        said = gateway.reload(listening(gateway.config, first))
        assert any(f"listener second: does not listen on {second['address']} any more; connections to it end" in line
            for line in said)
        assert refuses(int(second["address"].rpartition(":")[2]))
    assert asked(gateway) == 200
    # Beside what is kept to the origin.
    eventually(lambda: gateway.open_files() <= files + workers)


def test_moved_while_requests_run(start, origin):
    """A request that has begun is answered, and so is the next one on a connection that is kept; a tunnel goes on."""
    gateway = start(configuration(origin))
    tunnel, wire = open_tunnel(gateway, origin)
    kept = gateway.connect().send(get("/kept"))
    leg, _ = origin.answer(response("one"))
    assert kept.read_response().body == b"one"
    running = gateway.connect().send(get("/running"))
    leg.read_request()
    before = gateway.port
    first = gateway.config["listeners"][0]
    said = gateway.reload(listening(gateway.config, first | at("public", free_port())))
    assert any(f"listener public: listens on {gateway.config['listeners'][0]['address']} instead of 127.0.0.1:{before}" in line
        for line in said)
    assert refuses(before)
    leg.send(response("two"))
    assert running.read_response().body == b"two"
    running.expect_end()
    # HTTP/2 has told it already: GOAWAY.
    if CLIENT == "h1":
        kept.send(get("/again"))
        leg.read_request()
        leg.send(response("three"))
        assert kept.read_response().get("Connection") == "close"
    kept.expect_end()
    fresh = gateway.connect()
    for body in (b"four", b"five"):
        fresh.send(get())
        leg.read_request()
        leg.send(response(body))
        assert fresh.read_response().body == body
    for word in (b"there", b"still"):
        tunnel.send(word)
        assert wire.take(5) == word
        wire.send(word)
        assert tunnel.take(5) == word
    tunnel.close()
    wire.expect_end()


def test_nobody_notices(start, origin):
    """Clients that know of the new address before the old one is gone: no request of theirs fails."""
    gateway = start(configuration(origin.serve(), workers=2))
    config, first = gateway.config, gateway.config["listeners"][0]
    ports = [gateway.port, free_port(), free_port()]
    ending, failures, counts = threading.Event(), [], [0] * 4
    current = threading.local()
    at_present = [ports[0]]

    def connect():
        # As gateway.connect(), which looks at the configuration, does it.
        current.port = at_present[0]
        sock = socket.create_connection(("127.0.0.1", current.port), TIMEOUT)
        return Wire(sock)

    def keep_asking(i):
        wire = connect()
        try:
            while not ending.is_set():
                answer = wire.ask(get())
                assert answer.status == 200
                counts[i] += 1
                if answer.get("Connection") == "close" or current.port != at_present[0]:
                    wire.close()
                    wire = connect()
            wire.close()
        except Exception as failure:  # pylint: disable=broad-except
            failures.append(failure)

    threads = [threading.Thread(target=keep_asking, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(1, 10):
            old, new = (first | at(f"l{i % 3}", ports[i % 3]) for i in (turn - 1, turn))
            gateway.reload(listening(config, old, new))
            at_present[0] = ports[turn % 3]
            before = counts[:]
            # Nobody is about to connect to the old one.
            eventually(lambda before=before: all(n >= m + 3 for n, m in zip(counts, before, strict=True)) or failures)
            gateway.reload(listening(config, new))
    finally:
        ending.set()
        for thread in threads:
            thread.join()
    assert not failures and all(counts)


def test_another_name_and_other_settings_keep_the_socket(start, origin):
    gateway = start(configuration(origin.serve()))
    client = gateway.connect()
    assert client.ask(get()).status == 200
    renamed = gateway.config["listeners"][0] | {"name": "renamed", "limits": {"body_bytes": "1KiB"}}
    said = gateway.reload(listening(gateway.config, renamed))
    assert any("listener renamed: takes over from public what listens on" in line for line in said)
    assert client.ask(get()).status == 200
    assert gateway.records(2)[1]["listener"] == "renamed"


def test_names_that_change_places(start, origin):
    gateway = start(configuration(origin.serve()))
    first = gateway.config["listeners"][0]
    ports = gateway.port, free_port()
    gateway.reload(listening(gateway.config, first | at("a", ports[0]), first | at("b", ports[1])))
    clients = [gateway.connect(i) for i in (0, 1)]
    gateway.reload(listening(gateway.config, first | at("a", ports[1]), first | at("b", ports[0])))
    assert [client.ask(get()).status for client in clients] == [200, 200]
    assert [record["listener"] for record in gateway.records(2)] == ["b", "a"]


def test_counts_are_the_listeners_own(start, origin):
    """Also when others come to stand before it, and when another one has its place."""
    gateway = start(configuration(origin.serve(), listener={"limits": {"connections": 1}}))
    first = gateway.config["listeners"][0]
    client = gateway.connect()
    assert client.ask(get()).status == 200
    gateway.reload(listening(gateway.config, first | at("second", free_port()), first))
    assert gateway.connect(1, translated=False).read_response().status == 503
    other = gateway.connect(0)
    assert other.ask(get()).status == 200
    assert client.ask(get()).status == 200


def test_all_addresses_of_the_machine_instead_of_one(start, origin):
    """The port is in use: by ourselves."""
    gateway = start(configuration(origin.serve()))
    port, first = gateway.port, gateway.config["listeners"][0]
    gateway.reload(listening(gateway.config, first | {"address": f"0.0.0.0:{port}"}))
    assert asked(gateway) == 200
    gateway.reload(listening(gateway.config, first))
    assert asked(gateway) == 200


@pytest.mark.parametrize("all_first", [True, False])
def test_all_addresses_of_the_machine_beside_one(start, origin, all_first):
    """Both are new: what a start accepts, a reload does."""
    gateway = start(configuration(origin.serve(), workers=2))
    first, port = gateway.config["listeners"][0], free_port()
    both = [first | at("all", port) | {"address": f"0.0.0.0:{port}"}, first | at("one", port)]
    gateway.reload(listening(gateway.config, first, *(both if all_first else both[::-1])))
    assert {asked(gateway, i) for i in range(3)} == {200}


def test_unix_sockets(start, origin, tmp_path):
    gateway = start(configuration(origin.serve(), workers=2))
    first = gateway.config["listeners"][0]
    paths = [tmp_path / name for name in ("a", "b")]

    def ask_at(path):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(TIMEOUT)
            sock.connect(str(path))
            return Wire(sock).ask(get()).status

    plain = {"name": "local", "protocols": ["h1"]}
    gateway.reload(listening(gateway.config, first, plain | {"address": f"unix:{paths[0]}"}))
    assert ask_at(paths[0]) == 200
    gateway.reload(listening(gateway.config, first, plain | {"address": f"unix:{paths[1]}"}))
    assert ask_at(paths[1]) == 200 and not paths[0].exists()
    gateway.reload(listening(gateway.config, first))
    assert not paths[1].exists()


# --- what cannot be opened ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shares", [False, True])
def test_address_in_use(start, origin, shares):
    """Nothing changes: also what could have been opened is not."""
    gateway, admin = administered(start, origin.serve(), workers=2)
    good, first = gateway.config, gateway.config["listeners"][0]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shares))
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port, free = taken.getsockname()[1], free_port()
        files = gateway.open_files()
        config = listening(good, first, at("free", free), at("taken", port))
        config["routes"] = [{"name": "all", "respond": {"body": "other"}}]
        gateway.write(config)
        status, receipt = ask_reload(admin)
        assert (status, receipt["outcome"], receipt["changes"]) == (422, "refused", [])
        complaint, = receipt["complaints"]
        assert complaint["path"] == "listeners[2].address" and complaint["line"] > 0 and complaint["column"] > 0
        assert complaint["text"] == f"cannot listen on 127.0.0.1:{port}: Address already in use"
        assert refuses(free)
        eventually(lambda: gateway.open_files() <= files)
        client = gateway.connect()
        assert client.ask(get()).body != b"other"
    gateway.event("not reloaded")
    # And is free now.
    gateway.reload(listening(good, first, at("free", free), at("taken", port)))
    assert {asked(gateway, i) for i in range(3)} == {200}


def test_addresses_that_cannot_be(start, origin, tmp_path):
    gateway = start(configuration(origin.serve()))
    first = gateway.config["listeners"][0]
    there = f"unix:{tmp_path / 'there'}"
    for address, why in (("192.0.2.1:80", "Cannot assign requested address"), (f"unix:{tmp_path}/no/socket", "No such file or directory"),
            (f"unix:{tmp_path}", "Address already in use")):
        config = listening(gateway.config, first, at("there", 1) | {"address": there}, at("new", 1) | {"address": address})
        gateway.write(config)
        said = gateway.hang_up()
        assert "SIGHUP: not reloaded: the configuration of before stays in force" in said[-1]
        assert any(f"listeners[2].address: cannot listen on {address}: {why}" in line for line in said), said
        assert not os.path.exists(there[5:])
        assert asked(gateway) == 200


def test_without_permission(start, origin):
    if int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) < 82:
        pytest.skip("every port may be bound here")
    under = ("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service") if os.geteuid() == 0 else ()
    gateway = start(configuration(origin.serve()), under=under)
    first = gateway.config["listeners"][0]
    gateway.write(listening(gateway.config, first, at("new", 81)))
    said = gateway.hang_up()
    assert any("listeners[1].address: cannot listen on 127.0.0.1:81: Permission denied" in line for line in said), said
    assert asked(gateway) == 200


# --- and then ------------------------------------------------------------------------------------------------------------


def test_upgrade_hands_over_what_listens_now(start, origin, upgrade):  # noqa: F811
    gateway = start(configuration(origin.serve(), workers=2))
    gone, first = gateway.port, gateway.config["listeners"][0]
    gateway.reload(listening(gateway.config, first | at("a", free_port()), first | at("b", free_port())))
    upgrade(gateway)
    assert has_ended(gateway)
    assert "were closed: no listener has such an address" not in gateway.events.text()
    assert {asked(gateway, i) for i in (0, 1) for _ in range(4)} == {200}
    assert refuses(gone)


def test_nobody_is_let_in_before_it_is_taken(start, origin, slow):
    """What is new is bound from the beginning, so that nobody else gets it, but who connects is refused: a client that had connected
    would be reset if the reload came to nothing.

    Here it does, as a program that shares its addresses listens there meanwhile. All goes on as before; nobody is lost."""
    gateway, admin = administered(start, origin.serve(), workers=2, resolver={**slow.config, "timeout": "20s"})
    first, port, other = gateway.config["listeners"][0], free_port(), free_port()
    client = gateway.connect()
    assert client.ask(get()).status == 200
    config = listening(gateway.config, first, at("other", other), at("taken", port))
    config["upstreams"].append({"name": "slow", "endpoints": [{"address": "slow.test:80"}]})
    gateway.write(config)
    asking = admin.connect().send(ASKED)
    eventually(lambda: is_bound(port) and is_bound(other))
    assert refuses(port) and refuses(other)
    with socket.create_server(("127.0.0.1", port)) as stranger:
        slow.let_go.set()
        answer = asking.read_response()
        receipt = json.loads(answer.body)
        assert (answer.status, receipt["outcome"], receipt["refused"]) == (500, "failed", 2), receipt
        for worker in (0, 1):
            gateway.event(f"worker {worker} refuses the reload: cannot listen on 127.0.0.1:{port} (listener taken): Address already in use")
        assert refuses(other) and not is_bound(other)
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as theirs, stranger.accept()[0] as ours:
            ours.sendall(b"theirs")
            assert theirs.recv(6) == b"theirs"
        assert client.ask(get()).status == 200 and asked(gateway) == 200
    assert ask_reload(admin)[1]["outcome"] == "reloaded"
    gateway.config = config
    assert {asked(gateway, i) for i in range(3) for _ in range(8)} == {200}


def test_end_in_the_midst_of_a_reload(start, origin, tmp_path):
    """What it has opened is closed at once, however long a request of before runs: nobody would ever take who connects there."""
    nameserver = NameServer()
    nameserver.answers["slow.test"] = silent
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.settimeout(TIMEOUT)
    try:
        gateway = start(configuration(origin, resolver={**nameserver.config, "timeout": "10s"}),
            under=("env", f"NOTIFY_SOCKET={tmp_path / 'notify'}"))
        client, wire, _ = origin.asked(gateway)
        port = free_port()
        config = listening(gateway.config, gateway.config["listeners"][0], at("second", port))
        config["upstreams"].append({"name": "slow", "endpoints": [{"address": "slow.test:80"}]})
        gateway.write(config)
        gateway.signal(signal.SIGHUP)
        eventually(lambda: is_bound(port))
        gateway.signal(signal.SIGTERM)
        eventually(lambda: not is_bound(port))
        with socket.create_server(("127.0.0.1", port)):
            wire.send(response("late"))
            assert client.read_response().body == b"late"
        assert gateway.wait() == 0
        words = [told.recv(4096).partition(b"\n")[0] for _ in range(4)]
        assert words == [b"READY=1", b"RELOADING=1", b"READY=1", b"STOPPING=1"]
    finally:
        told.close()
        nameserver.close()
