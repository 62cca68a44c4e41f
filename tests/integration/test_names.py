"""Endpoints with host names: their addresses come, change and go while requests run, and none of them may notice."""

import os
import re
import struct
import subprocess
import threading
import time

import pytest

from admin import Admin
from gateway import configuration, eventually, free_port, merged, needs_ipv6
from nameserver import (A, AAAA, CNAME, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL, TRUNCATED, NameServer, address_record,
    addresses, encode_name, failing, record, silent)
from raw import TIMEOUT, get, response
from test_reload import Load, ask

HAS_IPV6 = not needs_ipv6.args[0]
NAME = "users.test"
OLD, NEW = "127.0.0.2", "127.0.0.3"


@pytest.fixture
def nameserver():
    server = NameServer()
    yield server
    server.close()


@pytest.fixture
def make_twins(make_origin):
    """Origins with the same port at several addresses."""

    def make(*hosts):
        while True:
            port = free_port()
            try:
                return [make_origin(host=host, port=port) for host in hosts]
            except OSError:
                continue

    return make


# For failures that are noticed by nothing but the time: so they come soon, and a machine that is busy has more of them.
IMPATIENT = {"timeout": "200ms"}


def configured(nameserver, port, name=NAME, resolver=None, **options):
    return configuration(f"{name}:{port}", resolver={**nameserver.config, **(resolver or {})},
        **{"admin": {"address": f"127.0.0.1:{free_port()}"}, **options})


def known(gateway):
    """The endpoints that requests go to."""
    told = Admin(gateway).ask("/metrics").body.decode()
    return re.findall(r'^weir_pool_waiters\{.*endpoint="([^"]*)"', told, re.MULTILINE)


def begun(start, config, name=NAME):
    """A gateway that knows the name. On a busy machine that may be after its start, which does not wait for long."""
    gateway = start(config)
    gateway.event(f"resolved {name}: +")
    eventually(lambda: any(endpoint.startswith(f"{name}[") for endpoint in known(gateway)))
    return gateway


def label(origin, name=NAME):
    host, _, port = origin.address.rpartition(":")
    return f"{name}[{host.strip('[]')}]:{port}"


def endpoints(gateway, n):
    return [record["endpoint"] for record in gateway.records(n)[-n:]]


# --- what a name stands for ------------------------------------------------------------------------------------------


def test_name_stands_for_its_addresses(start, nameserver, make_twins):
    twins = make_twins(OLD, NEW)
    nameserver.answers[NAME] = addresses(NEW, OLD)
    gateway = begun(start, configured(nameserver, twins[0].port, upstream={"balance": {"policy": "round_robin"}}))
    gateway.event(f"resolved {NAME}: +{OLD} +{NEW}")
    for twin in twins:
        twin.serve()
    for _ in range(4):
        assert ask(gateway).status == 200
    assert sorted(endpoints(gateway, 4)) == sorted(2 * [label(twin) for twin in twins])


def test_a_health_check_asks_for_the_name(start, nameserver, make_twins):
    """As its authority is written: not the endpoint's text, which says the address as well."""
    twin, = make_twins(OLD)
    nameserver.answers[NAME] = addresses(OLD)
    start(configured(nameserver, twin.port, upstream={"health": {"active": {"interval": "100ms"}}}))
    wire, request = twin.answer(response())
    assert (request.start, request.get("Host")) == ("GET / HTTP/1.1", f"{NAME}:{twin.port}")


@needs_ipv6
def test_both_families(start, nameserver, make_twins):
    twins = make_twins("::1", OLD)
    nameserver.answers[NAME] = addresses("::1", OLD)
    gateway = begun(start, configured(nameserver, twins[0].port, upstream={"balance": {"policy": "round_robin"}}))
    gateway.event(f"resolved {NAME}: +{OLD} +::1")
    for twin in twins:
        twin.serve()
    assert [ask(gateway).status for _ in range(2)] == [200, 200]
    assert sorted(endpoints(gateway, 2)) == sorted(label(twin) for twin in twins)


def test_name_beside_an_address_counts_once(start, nameserver, make_twins, make_origin):
    old, = make_twins(OLD)
    other = make_origin()
    nameserver.answers[NAME] = addresses(OLD)
    config = configured(nameserver, old.port, upstream={"balance": {"policy": "round_robin"}})
    config["upstreams"][0]["endpoints"] += [{"address": old.address}, {"address": other.address}]
    gateway = begun(start, config)
    old.serve()
    other.serve()
    assert [ask(gateway).status for _ in range(4)] == 4 * [200]
    assert sorted(endpoints(gateway, 4)) == sorted(2 * [label(old), other.address])


def test_alias(start, nameserver, make_twins):
    old, = make_twins(OLD)
    nameserver.answers[NAME] = lambda query: [query.message(
        [record(CNAME, encode_name("real.test")), *([address_record(OLD, name="real.test")] if query.kind == A else [])])]
    gateway = begun(start, configured(nameserver, old.port))
    old.serve()
    assert ask(gateway).status == 200
    assert endpoints(gateway, 1) == [label(old)]


def _names_of_hosts_file():
    """Those with an IPv4 address."""
    with open("/etc/hosts", encoding="utf-8") as file:
        lines = [line.partition("#")[0].split() for line in file]
    return [(fields[0], name) for fields in lines if fields and "." in fields[0] for name in fields[1:]
        if not name.startswith("localhost") and len([1 for other in lines if name in other]) == 1]


def test_hosts_file(start, nameserver):
    """No server is needed for what it says."""
    found = _names_of_hosts_file()
    if not found:
        pytest.skip("/etc/hosts has no name of its own")
    address, name = found[0]
    nameserver.answers[name] = silent
    gateway = start(configured(nameserver, free_port(), name=name))
    gateway.event(f"resolved {name}: +{address}")


def test_addresses_that_no_service_has(start, nameserver, make_twins):
    old, = make_twins(OLD)
    nameserver.answers[NAME] = addresses("0.0.0.0", OLD, "255.255.255.255", "224.0.0.1", "::", "ff02::1", "0.0.0.1")
    gateway = begun(start, configured(nameserver, old.port))
    assert gateway.event(f"resolved {NAME}").endswith(f"resolved {NAME}: +{OLD}")
    old.serve()
    assert [ask(gateway).status for _ in range(3)] == 3 * [200]


def test_metrics_and_labels_are_bounded(start, nameserver):
    """400 addresses do not fit a datagram: by TCP they come, and the 64 lowest of them are used."""
    many = [f"127.1.{i // 200}.{i % 200}" for i in range(400)]
    nameserver.answers[NAME] = lambda query: (addresses(*reversed(many))(query) if query.stream else
        [query.message(flags=TRUNCATED)])
    gateway = start(configured(nameserver, free_port()))
    gateway.event(f"resolved {NAME}: +127.1.0.0 +127.1.0.1 ")
    eventually(lambda: known(gateway))
    assert set(re.findall(rf"{NAME}\[([0-9.]+)\]:", " ".join(known(gateway)))) == set(many[:64])


# --- change ----------------------------------------------------------------------------------------------------------


def test_requests_follow_the_address(start, nameserver, make_twins):
    old, new = make_twins(OLD, NEW)
    nameserver.answers[NAME] = addresses(OLD)
    gateway = begun(start, configured(nameserver, old.port))
    held, busy, _ = old.asked(gateway, get("/held"))
    client = gateway.connect().send(get())
    idle, _ = old.answer(response(b"old"))
    assert client.read_response().body == b"old"
    nameserver.answers[NAME] = addresses(NEW)
    # Which connection is closed tells that the worker knows.
    assert idle.read_to_end() == b""
    assert gateway.event(f"resolved {NAME}: +{NEW}").endswith(f" +{NEW} -{OLD}")
    new.serve()
    assert [client.ask(get()).body for _ in range(5)] == 5 * [b"ok"]
    assert old.is_untouched()
    busy.send(response(b"held"))
    assert held.read_response().body == b"held"
    assert busy.read_to_end() == b""
    assert held.ask(get()).body == b"ok"
    assert endpoints(gateway, 8) == [label(old)] + 5 * [label(new)] + [label(old), label(new)]


def test_connections_to_an_address_that_stays(start, nameserver, make_twins):
    """Others come and go beside it, and its connection goes on."""
    old, _ = make_twins(OLD, NEW)
    nameserver.answers[NAME] = addresses(OLD)
    gateway = begun(start, configured(nameserver, old.port, upstream={"balance": {"policy": "round_robin"}}))
    client = gateway.connect().send(get())
    wire, _ = old.answer(response(b"1"))
    assert client.read_response().body == b"1"
    nameserver.answers[NAME] = addresses(NEW, OLD)
    gateway.event(f"resolved {NAME}: +{NEW}")
    nameserver.answers[NAME] = addresses(OLD)
    gateway.event(f"resolved {NAME}: -{NEW}")
    # The event tells of what the name server said; the workers hear of it next.
    eventually(lambda: known(gateway) == [label(old)])
    client.send(get())
    wire.read_request()
    wire.send(response(b"2"))
    assert client.read_response().body == b"2"
    assert old.is_untouched()


@pytest.mark.threads
@pytest.mark.parametrize("workers", [1, 2])
def test_flapping_under_load(start, nameserver, make_twins, workers):
    """Each answer differs from the one before, every second: not one request fails."""
    twins = make_twins(OLD, NEW, "127.0.0.4")
    for twin in twins:
        twin.serve()
    turns = [[OLD], [NEW, "127.0.0.4"], [NEW], [OLD, NEW], ["127.0.0.4"]]
    asked = []

    def turn(query):
        if query.kind == A:
            asked.append(query.name)
        return addresses(*turns[len(asked) % len(turns)])(query)

    nameserver.answers[NAME] = turn
    gateway = begun(start, configured(nameserver, twins[0].port, workers=workers, log={"access": "off"},
        upstream={"pool": {"max_connections": 4, "queue": "off"}}))
    with Load(gateway, 8) as load:
        eventually(lambda: load.errors or gateway.events.text().count(f"resolved {NAME}: ") >= 8, timeout=60)
        load.go_on()
    assert not load.errors and set(load.statuses) == {200}, gateway.events.text()
    assert not any(twin.errors for twin in twins)
    assert all(twin.requests for twin in twins)


def test_order_of_answers_does_not_matter(start, nameserver, make_twins):
    old, _ = make_twins(OLD, NEW)
    orders = [(OLD, NEW), (NEW, OLD), (NEW, OLD, NEW)]
    count = iter(range(1000))
    nameserver.answers[NAME] = lambda query: addresses(*orders[next(count) % 3])(query)
    gateway = begun(start, configured(nameserver, old.port))
    nameserver.wait(lambda queries: len(queries) >= 8)
    assert gateway.events.text().count(f"resolved {NAME}:") == 1


def test_reload_with_names(start, nameserver, make_twins):
    """A reload keeps what is known of names that stay, and waits for those that are new."""
    old, new = make_twins(OLD, NEW)
    for twin in (old, new):
        twin.serve()
    nameserver.answers[NAME] = addresses(OLD, ttl=300)
    nameserver.answers["other.test"] = addresses(NEW, ttl=300)
    config = configured(nameserver, old.port)
    gateway = begun(start, config)
    assert ask(gateway).status == 200
    nameserver.answers[NAME] = silent
    config["upstreams"][0]["balance"] = {"policy": "round_robin"}
    config["upstreams"][0]["endpoints"].append({"address": f"other.test:{old.port}"})
    begun_at = time.monotonic()
    said = gateway.reload(config)
    if any(line.endswith(f"resolved other.test: +{NEW}") for line in said):
        assert "endpoints: 1 added, 1 kept, 0 with a new pool, 0 draining" in said[-1]
    else:
        # It has waited, and no longer for a name server that is busy.
        assert time.monotonic() - begun_at > 0.9
    eventually(lambda: sorted(known(gateway)) == sorted([label(old), label(new, "other.test")]))
    assert [ask(gateway).status for _ in range(2)] == [200, 200]
    assert sorted(endpoints(gateway, 3)[1:]) == sorted([label(old), label(new, "other.test")])
    # And a configuration without names asks nobody any more.
    config["upstreams"][0]["endpoints"] = [{"address": old.address}]
    said = gateway.reload(config)
    assert "endpoints: 0 added, 1 kept, 0 with a new pool, 1 draining" in said[-1]
    assert ask(gateway).status == 200


def test_reload_asks_anew(start, nameserver, make_twins):
    """However long the answers were to be good."""
    old, new = make_twins(OLD, NEW)
    for twin in (old, new):
        twin.serve()
    nameserver.answers[NAME] = addresses(OLD, ttl=0xffffffff)
    gateway = begun(start, configured(nameserver, old.port))
    nameserver.answers[NAME] = addresses(NEW, ttl=0x7fffffff)
    gateway.reload(gateway.config)
    gateway.event(f"resolved {NAME}: +{NEW} -{OLD}")
    eventually(lambda: known(gateway) == [label(new)])
    assert ask(gateway).status == 200
    assert endpoints(gateway, 1) == [label(new)]


def test_bad_reload_keeps_following(start, nameserver, make_twins):
    old, new = make_twins(OLD, NEW)
    nameserver.answers[NAME] = addresses(OLD)
    config = configured(nameserver, old.port)
    gateway = begun(start, config)
    assert "not reloaded" in gateway.hang_up("version: 2")[-1]
    nameserver.answers[NAME] = addresses(NEW)
    gateway.event(f"resolved {NAME}: +{NEW} -{OLD}")
    # The event tells of what the name server said; the workers hear of it next.
    for twin in (old, new):
        twin.serve()
    eventually(lambda: known(gateway) == [label(new)])
    assert ask(gateway).status == 200
    assert endpoints(gateway, 1) == [label(new)]


# --- name servers that fail ------------------------------------------------------------------------------------------


def test_start_without_a_name_server(start, make_twins):
    """It starts, says what is wrong, refuses with a cause, and serves as soon as there is a name server."""
    old, = make_twins(OLD)
    old.serve()
    nobody = NameServer()
    nobody.close()
    gateway = start(configured(nobody, old.port))
    gateway.event(f"{NAME} cannot be resolved: ")
    answer = ask(gateway)
    assert answer.status == 503 and b'"no_healthy_endpoint"' in answer.body
    assert "no address is known of the upstream's host names" in gateway.record()["why"]
    server = NameServer(port=nobody.port)
    server.answers[NAME] = addresses(OLD)
    gateway.event(f"resolved {NAME}: +{OLD}")
    eventually(lambda: ask(gateway).status == 200)
    server.close()


def _own_resolv_conf(path):
    """What runs a program that sees this file as /etc/resolv.conf."""
    under = ("unshare", "--mount", "sh", "-c", f'mount --bind "{path}" /etc/resolv.conf && exec "$@"', "sh")
    if subprocess.run([*under, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("only root has a resolv.conf of its own")
    return under


def test_system_name_servers(start, make_twins, tmp_path):
    """Those of /etc/resolv.conf, with its search domain; when it changes, others are asked."""
    old, = make_twins(OLD)
    old.serve()
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.0.99\n")
    under = _own_resolv_conf(resolv_conf)
    # An address of this process's, for there is only one port of this service.
    host = f"127.53.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
    try:
        server = NameServer(port=53, host=host)
    except OSError:
        pytest.skip("port 53 is not free")
    server.answers[NAME] = addresses(OLD)
    gateway = start(configuration(f"users:{old.port}", resolver={"timeout": "1s", "attempts": 1}), under=under)
    gateway.event("users cannot be resolved: ")
    resolv_conf.write_text(f"search test\nnameserver {host}\n")
    gateway.event(f"resolved users: +{OLD}")
    server.close()
    eventually(lambda: ask(gateway).status == 200)
    assert gateway.access.wait_for(lambda lines: any(label(old, "users") in line for line in lines))


@pytest.mark.parametrize("failure, why", [
    (failing(NXDOMAIN), "the name does not exist"),
    (addresses(), "the name has no address"),
    (failing(SERVFAIL), "every name server fails or refuses to answer"),
    (failing(REFUSED), "every name server fails or refuses to answer"),
    (failing(NOTIMP), "every name server fails or refuses to answer"),
    (silent, "no name server answers"),
], ids=["nxdomain", "nodata", "servfail", "refused", "notimp", "silent"])
def test_failure_keeps_the_addresses(start, nameserver, make_twins, failure, why):
    old, = make_twins(OLD)
    old.serve()
    nameserver.answers[NAME] = addresses(OLD)
    gateway = begun(start, configured(nameserver, old.port))
    nameserver.answers[NAME] = failure
    if failure is silent:
        gateway.reload(merged(gateway.config, {"resolver": IMPATIENT}))
    said = gateway.event(f"{NAME} cannot be resolved: ")
    assert " warning " in said
    assert said.endswith(f"{why}; the 1 address of before stays in use")
    # It is told once, however often it is tried.
    nameserver.wait_for_question(NAME)
    nameserver.wait_for_question(NAME)
    assert ask(gateway).status == 200
    # Good for longer than this test, in which a busy name server might be silent once more.
    nameserver.answers[NAME] = addresses(OLD, ttl=300)
    gateway.event(f"{NAME} can be resolved again")
    assert gateway.events.text().count("cannot be resolved") == 1
    assert ask(gateway).status == 200


def test_failure_of_one_family(start, nameserver, make_twins):
    """What was known of the other stays, and what is known of this one is followed."""
    old, new = make_twins(OLD, NEW)
    nameserver.answers[NAME] = lambda query: (addresses(OLD) if query.kind == A else failing(SERVFAIL))(query)
    gateway = begun(start, configured(nameserver, old.port))
    gateway.event(f"resolved {NAME}: +{OLD}")
    nameserver.answers[NAME] = lambda query: (addresses(NEW) if query.kind == A else silent)(query)
    gateway.event(f"resolved {NAME}: +{NEW} -{OLD}")
    assert "cannot be resolved" not in gateway.events.text()
    assert new.is_untouched()


@pytest.mark.parametrize("unanswered", [A, AAAA])
def test_family_that_is_never_answered(start, nameserver, make_twins, unanswered):
    """Some servers do that. What the other family has is used, and followed, without waiting for it."""
    hosts = ("::1", "::1") if unanswered == A else (OLD, NEW)
    if unanswered == A and not HAS_IPV6:
        pytest.skip("this machine has no IPv6 loopback address")
    old, = make_twins(hosts[0])
    old.serve()
    nameserver.answers[NAME] = lambda query: [] if query.kind == unanswered else addresses(hosts[0])(query)
    config = configured(nameserver, old.port)
    config["resolver"] |= {"timeout": "60s", "attempts": 1}
    gateway = begun(start, config)
    gateway.event(f"resolved {NAME}: +{hosts[0]}")
    assert ask(gateway).status == 200
    nameserver.wait(lambda queries: (NAME, unanswered) in queries)
    asked = [kind for _, kind in nameserver.queries].count(unanswered)
    nameserver.wait(lambda queries: len(queries) >= asked + 4)
    assert [kind for _, kind in nameserver.queries].count(unanswered) == asked
    if hosts[0] != hosts[1]:
        nameserver.answers[NAME] = lambda query: [] if query.kind == unanswered else addresses(hosts[1])(query)
        gateway.event(f"resolved {NAME}: +{hosts[1]} -{hosts[0]}")
    assert "cannot be resolved" not in gateway.events.text()


def test_late_answer_is_heard(start, nameserver, make_twins):
    """After the other family's has long been in use."""
    twins = make_twins(OLD, "::1") if HAS_IPV6 else pytest.skip("this machine has no IPv6 loopback address")
    late = []

    def answer(query):
        if query.kind == AAAA:
            late.append(query)
            return []
        return addresses(OLD, ttl=300)(query)

    nameserver.answers[NAME] = answer
    config = configured(nameserver, twins[0].port)
    config["resolver"] |= {"timeout": "60s", "attempts": 1}
    gateway = start(config)
    gateway.event(f"resolved {NAME}: +{OLD}")
    gateway.event("ready")
    nameserver.wait(lambda _: late)
    nameserver.send_late(late[0], addresses("::1", ttl=300)(late[0]))
    gateway.event(f"resolved {NAME}: +::1")


def test_slow_name_server(start, nameserver, make_twins):
    """Nobody waits for it but the start, and that not for long."""
    old, = make_twins(OLD)
    old.serve()
    go = threading.Event()

    def slowly(query):
        go.wait(TIMEOUT)
        return addresses(OLD)(query)

    nameserver.answers[NAME] = slowly
    config = configured(nameserver, old.port, routes=None)
    config["resolver"]["timeout"] = "10s"
    config["routes"] = [{"name": "own", "match": {"path": "/own"}, "respond": {"body": "own"}},
        {"name": "rest", "upstream": "origin"}]
    gateway = start(config)
    gateway.event(f"{NAME} cannot be resolved: nobody has answered yet; it has no endpoint until it is")
    assert ask(gateway, "/own").body == b"own"
    assert ask(gateway).status == 503
    go.set()
    gateway.event(f"resolved {NAME}: +{OLD}")
    eventually(lambda: ask(gateway).status == 200)


def test_dead_names_do_not_keep_others_waiting(start, nameserver, make_twins):
    """A zone whose servers are gone: who asks for its names waits for a minute."""
    old, = make_twins(OLD)
    old.serve()
    nameserver.answers["z.test"] = addresses(OLD)
    config = configured(nameserver, old.port, name="z.test")
    config["resolver"]["timeout"] = "60s"
    dead = [f"dead{i}.test" for i in range(64)]
    nameserver.answers |= {name: silent for name in dead}
    config["upstreams"].append({"name": "dead", "endpoints": [{"address": f"{name}:80"} for name in dead]})
    gateway = start(config)
    gateway.event(f"resolved z.test: +{OLD}")
    eventually(lambda: ask(gateway).status == 200)
    # Nor does what is asked for again and again.
    for _ in range(2):
        nameserver.wait_for_question("z.test")


# --- name servers that lie -------------------------------------------------------------------------------------------


def lies(query):
    """Everything that is wrong with a message, one after the other; then the truth."""
    good = query.message([address_record(OLD)] if query.kind == A else [])
    evil = [address_record("127.0.0.66")] if query.kind == A else []
    other = encode_name("evil.test") + query.question[-4:]
    loop = query.message([b"\xc0\x0c" + struct.pack("!HHIH", CNAME, 1, 1, 2) + b"\xc0\x0c"])
    return [
        b"",
        b"\0",
        good[:11],
        b"\xff" * 512,
        query.message(evil, id=query.id ^ 1),
        query.message(evil, question=other),
        query.message(evil, id=query.id ^ 0x8000, count=65535),
        loop[:20] + struct.pack("!H", query.id),
        good,
        query.message(evil),
        good[:len(good) // 2],
    ]


def test_lies_beside_the_truth(start, nameserver, make_twins):
    old, = make_twins(OLD)
    old.serve()
    nameserver.answers[NAME] = lies
    gateway = begun(start, configured(nameserver, old.port))
    for _ in range(3):
        nameserver.wait_for_question(NAME)
    assert [ask(gateway).status for _ in range(3)] == 3 * [200]
    assert "127.0.0.66" not in gateway.events.text()


def malformed(query):
    bodies = {
        "cut": lambda: query.message([address_record(OLD)])[:-2],
        "claims": lambda: query.message([address_record(OLD)], count=65535),
        "loop": lambda: query.message([b"\xc0\x1c" + struct.pack("!HHIH", query.kind, 1, 1, 4) + b"\x7f\0\0\2"]),
        "alias-loop": lambda: query.message([record(CNAME, b"\xc0\x0c")]),
        "forward": lambda: query.message([b"\xff\xff" + struct.pack("!HHIH", query.kind, 1, 1, 4) + b"\x7f\0\0\2"]),
        "long-data": lambda: query.message([b"\xc0\x0c" + struct.pack("!HHIH", query.kind, 1, 1, 65535) + b"\x7f\0\0\2"]),
        "short-data": lambda: query.message([record(query.kind, b"\x7f\0")]),
        "no-data": lambda: query.message([record(query.kind, b"")]),
    }
    return bodies


@pytest.mark.parametrize("lie", ["cut", "claims", "loop", "alias-loop", "forward", "long-data", "short-data", "no-data"])
def test_malformed_answers(start, nameserver, make_twins, lie):
    old, = make_twins(OLD)
    old.serve()
    nameserver.answers[NAME] = addresses(OLD)
    gateway = begun(start, configured(nameserver, old.port, resolver=IMPATIENT))
    nameserver.answers[NAME] = lambda query: [malformed(query)[lie]()]
    for _ in range(3):
        nameserver.wait_for_question(NAME)
    assert ask(gateway).status == 200
    nameserver.answers[NAME] = addresses(OLD)
    nameserver.wait_for_question(NAME)
    assert ask(gateway).status == 200


def test_truncated_without_an_end(start, nameserver, make_twins):
    """By TCP it sends nothing: that too is a failure and no more."""
    old, = make_twins(OLD)
    old.serve()
    nameserver.answers[NAME] = addresses(OLD)
    gateway = begun(start, configured(nameserver, old.port, resolver=IMPATIENT))
    nameserver.answers[NAME] = lambda query: [] if query.stream else [query.message(flags=TRUNCATED)]
    gateway.event(f"{NAME} cannot be resolved: ")
    assert ask(gateway).status == 200


def test_end_while_asking(start, nameserver):
    """Nothing keeps the gateway from ending."""
    nameserver.answers[NAME] = silent
    config = configured(nameserver, free_port())
    config["resolver"]["timeout"] = "60s"
    gateway = start(config)
    nameserver.wait(lambda queries: queries)
    gateway.stop()


def test_many_names(start, nameserver):
    """1000 of them, asked for a few at a time."""
    config = configured(nameserver, 80)
    names = [f"n{i}.test" for i in range(1000)]
    for name in names:
        nameserver.answers[name] = addresses(OLD, ttl=300)
    config["upstreams"] = [{"name": f"u{k}", "pool": {"max_connections": 1, "max_pending": 1},
        "endpoints": [{"address": f"{name}:{81 + i}"} for i, name in enumerate(names[k * 250:k * 250 + 250])]}
        for k in range(4)]
    config["routes"][0]["upstream"] = "u0"
    gateway = start(config)
    eventually(lambda: {endpoint.partition("[")[0] for endpoint in known(gateway)} == set(names), timeout=60)
    # The log has no room for a thousand lines at once.
    assert gateway.event(" more lines about host names")
    assert gateway.events.text().count(" resolved n") < 1000
