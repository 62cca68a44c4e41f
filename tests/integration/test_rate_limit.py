"""The filter `rate_limit`: who is counted together, what clients are told, who waits, and what survives."""

import json
import re
import signal
import time

import pytest

from admin import administered
from gateway import configuration, eventually
from origin import closed_port
from raw import get, post, response

# No test takes so long that one of these would come back meanwhile.
SELDOM = "2/h"


def limited(start, origin, *limits, **options):
    options["route"] = options.get("route", {}) | {"filters": [{"rate_limit": limit} for limit in limits]}
    return start(configuration(*([origin] if origin else []), **options))


def statuses(gateway, *requests):
    """Of the requests, one after the other on one connection."""
    client = gateway.connect()
    found = [client.ask(request).status for request in requests]
    client.close()
    return found


# --- counting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [
    {"rate": "50/h"}, {"rate": "1/h", "burst": 50}, {"algorithm": "sliding_window", "rate": "50/h"},
    {"rate": "50/h", "key": "route"}, {"rate": "50/h", "key": "header:X-Key"}])
def test_two_workers_count_together(start, origin, limit):
    gateway = limited(start, origin, limit, workers=2)
    origin.serve()
    clients = [gateway.connect() for _ in range(20)]
    found = [client.ask(get()).status for _ in range(4) for client in clients]
    assert found == [200] * 50 + [429] * 30


def test_refused_requests_do_not_reach_the_upstream(start, origin):
    gateway = limited(start, origin, {"rate": SELDOM})
    origin.serve()
    assert statuses(gateway, *[get()] * 5) == [200, 200, 429, 429, 429]
    assert len(origin.requests) == 2


def test_tokens_come_back(start, origin):
    gateway = limited(start, origin, {"rate": "10/s", "burst": 1})
    origin.serve()
    # What the gateway takes for now may be as old as the connection, on a busy machine.
    begun = time.monotonic()
    client = gateway.connect()
    passed = 0
    while passed < 6:
        passed += client.ask(get()).status == 200
    assert time.monotonic() - begun > 0.49


def test_routes_count_for_themselves(start, origin):
    filters = [{"rate_limit": {"rate": SELDOM, "burst": 1, "key": "route"}}]
    gateway = start(configuration(origin, route=[
        {"name": "a", "match": {"path": "/a"}, "upstream": "origin", "filters": filters},
        {"name": "b", "match": {"path": "/b"}, "upstream": "origin", "filters": filters},
        {"name": "c", "match": {"path": "/c"}, "upstream": "origin"}]))
    origin.serve()
    assert statuses(gateway, get("/a"), get("/b"), get("/c"), get("/a"), get("/b"), get("/c")) == \
        [200, 200, 200, 429, 429, 200]


def test_every_limit_of_a_route_holds(start, origin):
    gateway = limited(start, origin, {"rate": "3/h"}, {"rate": "1/h", "key": "header:X-Key"})
    origin.serve()
    keys = [get(fields=[f"X-Key: {key}"]) for key in "aabcd"]
    # What the second one refuses was counted by the first.
    assert statuses(gateway, *keys) == [200, 429, 200, 429, 429]


def test_equal_limits_count_each_for_itself(start, origin):
    gateway = limited(start, origin, {"rate": SELDOM}, {"rate": SELDOM})
    origin.serve()
    assert statuses(gateway, get(), get(), get()) == [200, 200, 429]


# --- keys ------------------------------------------------------------------------------------------------------------


def from_(address):
    return get(fields=[f"X-Forwarded-For: {address}"])


TRUSTED = {"trusted_proxies": ["127.0.0.0/8"]}


@pytest.mark.parametrize("limit, addresses, expected", [
    ({}, ["192.0.2.1", "192.0.2.2", "192.0.2.1", "::ffff:192.0.2.2"], [200, 200, 429, 429]),
    ({"ipv4_prefix": 24}, ["192.0.2.1", "192.0.2.255", "192.0.3.1"], [200, 429, 200]),
    ({"ipv4_prefix": 23}, ["192.0.2.1", "192.0.3.1", "192.0.4.1"], [200, 429, 200]),
    ({}, ["2001:db8:0:1::1", "2001:db8:0:1:ffff::", "2001:db8:0:2::1"], [200, 429, 200]),
    ({"ipv6_prefix": 128}, ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:0:0:0:1"], [200, 200, 429]),
    ({"ipv6_prefix": 47}, ["2001:db8:0:1::1", "2001:db8:1:1::1", "2001:db8:2:1::1"], [200, 429, 200]),
    ({"ipv4_prefix": 1, "ipv6_prefix": 1}, ["10.0.0.1", "20.0.0.1", "2001:db8::1", "4001::", "200.0.0.1"],
        [200, 429, 200, 429, 200]),
])
def test_client_addresses(start, origin, limit, addresses, expected):
    gateway = limited(start, origin, {"rate": "1/h"} | limit, listener=TRUSTED)
    origin.serve()
    assert statuses(gateway, *map(from_, addresses)) == expected


def test_nobody_chooses_its_address(start, origin):
    gateway = limited(start, origin, {"rate": "1/h"})
    origin.serve()
    assert statuses(gateway, from_("192.0.2.1"), from_("192.0.2.2")) == [200, 429]


def test_who_is_not_named_is_the_peer(start, origin):
    gateway = limited(start, origin, {"rate": "1/h"}, listener=TRUSTED)
    origin.serve()
    assert statuses(gateway, get(), from_("127.0.0.1"), from_("127.0.0.1:1000"), from_("192.0.2.1")) == [200, 429, 429, 200]


def test_whom_nobody_knows_is_one(start, origin):
    gateway = limited(start, origin, {"rate": "1/h"}, listener=TRUSTED)
    origin.serve()
    assert statuses(gateway, get(), from_("unknown"), from_("_hidden"), from_("192.0.2.1")) == [200, 200, 429, 200]


@pytest.mark.parametrize("limit, requests, expected", [
    ({}, [["X-Key: a"], ["x-key: a"], ["X-Key: b"], ["X-Key:   a "]], [200, 429, 200, 429]),
    ({}, [["X-Key: a", "X-Key: b"], ["X-Key: a", "X-Key: c"], ["X-Key: a", "X-Key: b"], ["X-Key: b", "X-Key: a"]],
        [200, 200, 429, 200]),
    ({}, [[], [], ["X-Key:"], ["X-Key: a"]], [200, 429, 200, 200]),
    ({"missing": "allow"}, [[], [], ["X-Key: a"], ["X-Key: a"]], [200, 200, 200, 429]),
    ({"key": "cookie:id"}, [["Cookie: id=1"], ["Cookie: a=b; id=1"], ["Cookie: id=2;a=b"], ["Cookie: xid=3; id=1; id=4"],
        ["Cookie: xid=1"], ["Cookie: ID=1"]], [200, 429, 200, 429, 200, 429]),
    ({"key": "cookie:id", "missing": "allow"}, [["Cookie: a=1"], ["Cookie: a=1"], ["Cookie: id=1"], ["Cookie: id=1"], [], []],
        [200, 200, 200, 429, 200, 200]),
    ({"key": ["client_ip", "header:X-Key"]}, [["X-Key: a"], ["X-Key: a"], ["X-Key: b"], []], [200, 429, 200, 200]),
    # Parts are kept apart.
    ({"key": ["header:A", "header:B"]}, [["A: 1", "B: 2"], ["A: 12"], ["A: 2", "B: 1"], ["B: 12"], ["A: 1", "B: 2"]],
        [200, 200, 200, 200, 429]),
    ({"key": ["header:A", "header:B"], "missing": "allow"}, [["A: 1"], ["A: 1"], ["A: 1", "B: 2"], ["A: 1", "B: 2"]],
        [200, 200, 200, 429]),
])
def test_headers_and_cookies(start, origin, limit, requests, expected):
    gateway = limited(start, origin, {"rate": "1/h", "key": "header:X-Key"} | limit)
    origin.serve()
    assert statuses(gateway, *[get(fields=fields) for fields in requests]) == expected


# --- what clients are told -------------------------------------------------------------------------------------------


def told(answer):
    return {name: answer.get(name) for name in ("RateLimit-Policy", "RateLimit", "X-RateLimit-Limit",
        "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After") if answer.get(name) is not None}


def test_fields(start, origin):
    gateway = limited(start, origin, {"rate": "1/20m", "burst": 2})
    origin.serve()
    client = gateway.connect()
    assert told(client.ask(get())) == {
        "RateLimit-Policy": '"all";q=2;w=2400', "RateLimit": '"all";r=1;t=1200',
        "X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "1200"}
    reset = re.fullmatch(r'"all";r=0;t=([0-9]+)', told(client.ask(get()))["RateLimit"])
    assert 2390 <= int(reset[1]) <= 2400
    refused = client.ask(get())
    assert refused.status == 429
    assert b'"error":"rate_limited"' in refused.body
    fields = told(refused)
    assert 1190 <= int(fields.pop("Retry-After")) <= 1200
    assert 2390 <= int(fields.pop("X-RateLimit-Reset")) <= 2400
    assert fields.pop("RateLimit").startswith('"all";r=0;t=2')
    assert fields == {"RateLimit-Policy": '"all";q=2;w=2400', "X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "0"}


@pytest.mark.parametrize("limit, policy, state", [
    ({"rate": "100/s"}, '"all";q=100;w=1', '"all";r=99;t=1'),
    ({"rate": "100/s", "burst": 250, "name": "big"}, '"big";q=250;w=3', '"big";r=249;t=1'),
    ({"rate": "10/500ms"}, '"all";q=10', '"all";r=9;t=1'),
    ({"algorithm": "sliding_window", "rate": "30/m"}, '"all";q=30;w=60', '"all";r=29;t='),
    ({"algorithm": "leaky_bucket", "rate": "10/m", "burst": 3}, '"all";q=4;w=24', '"all";r=3;t=6'),
    ({"algorithm": "concurrent", "max_concurrent": 7}, '"all";q=7;qu="concurrent-requests"', '"all";r=6'),
])
def test_policies(start, origin, limit, policy, state):
    gateway = limited(start, origin, limit)
    origin.serve()
    answer = gateway.connect().ask(get())
    assert answer.get("RateLimit-Policy") == policy
    assert answer.get("RateLimit").startswith(state)
    assert (answer.get("X-RateLimit-Limit") is None) == ("max_concurrent" in limit)


@pytest.mark.parametrize("headers, families", [("both", "dx"), ("draft", "d"), ("x", "x"), ("off", "")])
def test_families(start, origin, headers, families):
    gateway = limited(start, origin, {"rate": "1/h", "headers": headers})
    origin.serve()
    client = gateway.connect()
    for status in (200, 429):
        answer = client.ask(get())
        assert answer.status == status
        assert [answer.get(name) is not None for name in ("RateLimit", "RateLimit-Policy")] == ["d" in families] * 2
        assert (answer.get("X-RateLimit-Reset") is not None) == ("x" in families)
    assert 3500 <= int(answer.get("Retry-After")) <= 3600


def test_of_several_limits_the_tightest(start, origin):
    gateway = limited(start, origin, {"rate": "9/h"}, {"rate": "4/h", "name": "tight"}, {"rate": "6/h"})
    origin.serve()
    answer = gateway.connect().ask(get())
    assert answer.get("RateLimit-Policy") == '"all";q=9;w=3600, "tight";q=4;w=3600, "all-3";q=6;w=3600'
    assert answer.get("RateLimit") == '"all";r=8;t=400, "tight";r=3;t=900, "all-3";r=5;t=600'
    assert (answer.get("X-RateLimit-Limit"), answer.get("X-RateLimit-Remaining")) == ("4", "3")


def test_upstream_has_limits_too(start, origin):
    gateway = limited(start, origin, {"rate": "9/h"})
    client = gateway.connect().send(get())
    origin.answer(response(fields=['RateLimit: "own";r=1', "x-ratelimit-limit: 77", "X-RateLimit-Remaining: 76",
        "X-RateLimit-Reset: 1", "X-RateLimit-Reset: 2", "X-RateLimit-Other: 3"]))
    answer = client.read_response()
    assert sorted(answer.all("RateLimit")) == ['"all";r=8;t=400', '"own";r=1']
    assert answer.all("X-RateLimit-Limit") == ["9"]
    assert answer.all("X-RateLimit-Remaining") == ["8"]
    assert answer.all("X-RateLimit-Reset") == ["400"]
    assert answer.all("X-RateLimit-Other") == ["3"]


def test_answers_of_the_gateway(start):
    keeper, port = closed_port()
    gateway = start(configuration(f"127.0.0.1:{port}", route=[
        {"name": "own", "match": {"path": "/own"}, "respond": {"body": "own"}, "filters": [{"rate_limit": {"rate": "9/h"}}]},
        {"name": "bad", "match": {"path": "/bad"}, "upstream": "origin", "filters": [{"rate_limit": {"rate": "9/h"}}]}]))
    client = gateway.connect()
    own, bad, none = client.ask(get("/own")), client.ask(get("/bad")), client.ask(get("/none"))
    assert (own.status, own.body, own.get("RateLimit")) == (200, b"own", '"own";r=8;t=400')
    assert (bad.status, bad.get("RateLimit"), bad.get("X-RateLimit-Remaining")) == (502, '"bad";r=8;t=400', "8")
    assert (none.status, told(none)) == (404, {})
    keeper.close()


def test_calls_of_grpc(start, origin):
    gateway = limited(start, origin, {"rate": "1/h"})
    origin.serve()
    client = gateway.connect()
    assert client.ask(get()).status == 200
    answer = client.ask(post(b"\0\0\0\0\0", "/s/m", ["Content-Type: application/grpc", "TE: trailers"]))
    assert (answer.status, answer.get("Grpc-Status"), answer.get("RateLimit-Policy")) == (200, "8", '"all";q=1;w=3600')


# --- waiting ---------------------------------------------------------------------------------------------------------


def test_delays(start, origin):
    gateway = limited(start, origin, {"algorithm": "leaky_bucket", "rate": "5/s", "burst": 3}, workers=2)
    origin.serve()
    begun = time.monotonic()
    clients = [gateway.connect().send(get()) for _ in range(4)]
    found = sorted((client.read_response().status, time.monotonic() - begun) for client in clients)
    assert [status for status, _ in found] == [200] * 4
    # None of them before its time.
    assert found[3][1] > 0.59


def test_too_many_wait(start, origin):
    gateway = limited(start, origin, {"algorithm": "leaky_bucket", "rate": "1/10s", "burst": 1})
    origin.serve()
    assert statuses(gateway, get()) == [200]
    waiting = gateway.connect().send(get())
    waiting.wait_taken()
    assert statuses(gateway, get()) == [429]
    waiting.expect_silence()
    assert len(origin.requests) == 1


def test_client_leaves_while_it_waits(start, origin):
    gateway = limited(start, origin, {"algorithm": "leaky_bucket", "rate": "1/4s", "burst": 1})
    origin.serve()
    client = gateway.connect()
    assert client.ask(get("/first")).status == 200
    waiting = gateway.connect().send(get("/waiting"))
    waiting.wait_taken()
    assert client.ask(get("/refused")).status == 429
    waiting.close()
    assert [record["cause"] for record in gateway.records(3)] == [None, "rate_limited", "client_gone"]
    assert client.ask(get("/next")).status == 200
    assert "/waiting" not in [request.target for request in origin.requests]


def test_turn_after_its_time(start, origin):
    """Who cannot wait for its turn is told so at once, and takes nobody's place."""
    gateway = limited(start, origin, {"algorithm": "leaky_bucket", "rate": "1/6s", "burst": 3},
        upstream={"timeouts": {"request": "9s"}})
    origin.serve()
    assert statuses(gateway, get()) == [200]
    waiting = gateway.connect().send(get("/waiting"))
    waiting.wait_taken()
    for _ in range(5):
        answer = gateway.connect().ask(get("/late"))
        assert (answer.status, json.loads(answer.body)["error"]) == (429, "rate_limited")
        # Not that three wait already.
        assert b"its turn would come after its time is over" in answer.body
        assert 1 <= int(answer.get("Retry-After")) <= 6
    assert waiting.read_response().status == 200
    assert "/late" not in [request.target for request in origin.requests]


def test_client_is_gone_before_it_waits(start, origin):
    """Its end came together with its request: no event tells of it later, and its turn is not waited for."""
    gateway = limited(start, origin, {"algorithm": "leaky_bucket", "rate": "1/20s", "burst": 1})
    origin.serve()
    assert statuses(gateway, get("/first")) == [200]
    waiting = gateway.connect()
    gateway.freeze()
    waiting.send(get("/waiting")).half_close()
    gateway.signal(signal.SIGCONT)
    gone = gateway.records(2)[1]
    assert gone["cause"] == "client_gone" and gone["total_us"] < 15_000_000
    assert "/waiting" not in [request.target for request in origin.requests]


def test_drain_waits(start, origin):
    gateway = limited(start, origin, {"algorithm": "leaky_bucket", "rate": "2/s", "burst": 2})
    origin.serve()
    clients = [gateway.connect().send(get()) for _ in range(3)]
    assert clients[0].read_response().status == 200
    # One that is not accepted ends with the listener.
    for client in clients[1:]:
        client.wait_taken()
    gateway.signal(signal.SIGTERM)
    assert [client.read_response().status for client in clients[1:]] == [200, 200]


# --- at once ---------------------------------------------------------------------------------------------------------


def test_concurrent(start, origin):
    gateway = limited(start, origin, {"algorithm": "concurrent", "max_concurrent": 2}, workers=2)
    first, wire, _ = origin.asked(gateway)
    origin.asked(gateway)
    refused = gateway.connect().ask(get())
    assert (refused.status, refused.get("Retry-After")) == (429, "1")
    wire.send(response(b"x"))
    assert first.read_response().status == 200
    # Its end is recorded before it has given its place back, in the same turn of the loop.
    gateway.records(2)
    again = first.send(get())
    wire.read_request()
    wire.send(response(b"y"))
    assert again.read_response().body == b"y"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_concurrent_is_given_back_when_the_client_leaves(start, origin, how):
    gateway = limited(start, origin, {"algorithm": "concurrent", "max_concurrent": 1})
    for _ in range(3):
        client = gateway.connect().send(get())
        upstream = origin.accept()
        upstream.read_request()
        assert gateway.connect().ask(get()).status == 429
        before = len(gateway.access.lines)
        getattr(client, how)()
        eventually(lambda: any('"client_gone"' in line for line in gateway.access.lines[before:]))


# --- a reload --------------------------------------------------------------------------------------------------------


def test_reload_keeps_what_was_counted(start, origin):
    gateway = limited(start, origin, {"rate": "3/h"}, {"rate": "9/h", "key": "route"})
    origin.serve()
    assert statuses(gateway, get()) == [200]
    config = gateway.config
    config["routes"][0]["filters"].insert(0, {"headers": {"request": {"set": {"A": "b"}}}})
    config["routes"][0]["filters"][1]["rate_limit"] |= {"headers": "x", "name": "other"}
    config["routes"].insert(0, {"name": "new", "match": {"path": "/new"}, "respond": {}})
    gateway.reload(config)
    assert gateway.connect().ask(get()).get("X-RateLimit-Remaining") == "1"
    assert statuses(gateway, get(), get()) == [200, 429]
    # Another rate is another limit; the one beside it goes on.
    config["routes"][1]["filters"][1]["rate_limit"]["rate"] = "4/h"
    gateway.reload(config)
    answer = gateway.connect().ask(get())
    assert (answer.status, answer.get("X-RateLimit-Remaining")) == (200, "3")
    assert answer.get("RateLimit").startswith('"all-2";r=5;')


def test_reload_while_requests_run(start, origin):
    gateway = limited(start, origin, {"algorithm": "concurrent", "max_concurrent": 1, "key": "route"})
    client = gateway.connect().send(get())
    upstream = origin.accept()
    upstream.read_request()
    gateway.reload(gateway.config)
    assert statuses(gateway, get()) == [429]
    # A limit that is gone is still given back to.
    gateway.config["routes"][0]["filters"] = [{"headers": {}}]
    gateway.reload(gateway.config)
    gateway.reload(gateway.config)
    upstream.send(response(b"late"))
    assert client.read_response().body == b"late"


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_metrics(start, origin):
    limits = [{"rate_limit": {"rate": "2/h", "keys": 7}},
        {"rate_limit": {"algorithm": "leaky_bucket", "rate": "10/s", "burst": 5, "name": "even"}}]
    gateway, admin = administered(start, origin, route={"filters": limits})
    origin.serve()
    assert statuses(gateway, get(), get(), get(), get()) == [200, 200, 429, 429]
    metrics = admin.metrics()

    def value(name, **labels):
        return metrics.get(f"weir_rate_limit_{name}", route="all", **labels)

    assert [value("requests_total", limit="all", outcome=outcome) for outcome in ("passed", "delayed", "refused", "no_room")] \
        == [2, 0, 2, 0]
    assert value("requests_total", limit="even", outcome="passed") + value("requests_total", limit="even", outcome="delayed") == 2
    assert (value("keys", limit="all"), value("keys_max", limit="all")) == (1, 7)
    assert value("evictions_total", limit="all") == 0


def test_keys_are_bounded(start, origin):
    limit = {"rate": "1/h", "keys": 10, "key": "header:X"}
    gateway, admin = administered(start, origin, route={"filters": [{"rate_limit": limit}]})
    origin.serve()
    assert statuses(gateway, *[get(fields=[f"X: {i}"]) for i in range(30)]) == [200] * 30
    metrics = admin.metrics()
    assert metrics.get("weir_rate_limit_keys", route="all", limit="all") == 10
    assert metrics.get("weir_rate_limit_evictions_total", route="all", limit="all") == 20
