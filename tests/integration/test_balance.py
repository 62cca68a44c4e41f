"""Which endpoint takes which request: policies, subsets, zones, backups, weights, and the cookie that binds a client."""

import collections
import json
import re

import pytest

from gateway import configuration, eventually, free_port, merged
from origin import answer_all
from raw import get, response

COOKIE = re.compile(r"^who=([0-9a-f]{16}); Path=/; HttpOnly; SameSite=Lax$")


@pytest.fixture
def three(make_origin):
    """Origins that answer with their number."""
    return [make_origin().serve(lambda wire, origin, body=str(i): answer_all(wire, origin, body)) for i in range(3)]


def configured(origins, balance, endpoints=({}, {}, {}), **more):
    """Who serves, serves: on a busy machine one of them may be slower than the others, and would be ejected for that."""
    config = configuration(*origins, upstream={"balance": balance, "health": {"passive": "off"}}, **more)
    upstream = config["upstreams"][0]
    upstream["endpoints"] = [merged(a, b) for a, b in zip(upstream["endpoints"], endpoints)]
    return config


def ask(client, target="/", fields=()):
    answer = client.ask(get(target, fields=fields))
    assert answer.status == 200
    return int(answer.body)


def counted(client, n, **how):
    return collections.Counter(ask(client, **how) for _ in range(n))


POLICIES = ["round_robin", "least_request", "random_two", "peak_ewma"]


@pytest.mark.parametrize("policy", POLICIES)
def test_every_endpoint_is_used(start, three, policy):
    client = start(configured(three, {"policy": policy})).connect()
    assert set(counted(client, 60)) == {0, 1, 2}


@pytest.mark.parametrize("policy", POLICIES)
def test_nobody_with_weight_0(start, three, policy):
    client = start(configured(three, {"policy": policy}, ({}, {"weight": 0}, {}))).connect()
    assert set(counted(client, 60)) == {0, 2}


def test_weights_change_by_reload(start, three):
    """At once, on the connections that are there."""
    balance = {"policy": "round_robin"}
    gateway = start(configured(three, balance))
    client = gateway.connect()
    assert counted(client, 30) == {0: 10, 1: 10, 2: 10}
    gateway.reload(merged(gateway.config, {"upstreams": configured(three, balance, (
        {"weight": 4}, {"weight": 0}, {"weight": 1}))["upstreams"]}))
    assert counted(client, 30) == {0: 24, 2: 6}
    assert [origin.accepted for origin in three] == [1, 1, 1]


def test_newcomer_starts_slowly(start, three):
    """With a tenth of its weight at first; a slow start of an hour has hardly begun when the test is over."""
    balance = {"policy": "round_robin", "slow_start": "1h"}
    gateway = start(configured(three[:2], balance))
    client = gateway.connect()
    assert counted(client, 10) == {0: 5, 1: 5}
    gateway.reload(merged(gateway.config, {"upstreams": configured(three, balance)["upstreams"]}))
    seen = counted(client, 210)
    assert 9 <= seen[2] <= 12


def test_backup_waits(start, three):
    balance, endpoints = {"policy": "round_robin"}, ({}, {"weight": 0}, {"backup": True})
    gateway = start(configured(three, balance, endpoints))
    client = gateway.connect()
    assert counted(client, 10) == {0: 10}
    gateway.reload(merged(gateway.config, {"upstreams": configured(three, balance, (
        {"weight": 0}, {"weight": 0}, {"backup": True}))["upstreams"]}))
    assert counted(client, 10) == {2: 10}


def test_own_zone_first(start, three):
    config = configured(three, {"policy": "round_robin"}, ({"zone": "a"}, {"zone": "b"}, {"zone": "b"}), zone="b")
    client = start(config).connect()
    assert counted(client, 10) == {1: 5, 2: 5}


def test_subsets(start, three):
    endpoints = ({"labels": {"version": "v1"}}, {"labels": {"version": "v2"}},
                 {"labels": {"version": "v2", "disk": "fast"}})
    routes = [
        {"name": "v2", "match": {"path": "/v2"}, "upstream": "origin", "subset": {"version": "v2"}},
        {"name": "fast", "match": {"path": "/fast"}, "upstream": "origin", "subset": {"disk": "fast", "version": "v2"}},
        {"name": "all", "match": {"path": "/*"}, "upstream": "origin"},
    ]
    client = start(configured(three, {"policy": "round_robin"}, endpoints, route=routes)).connect()
    assert counted(client, 10, target="/v2") == {1: 5, 2: 5}
    assert counted(client, 10, target="/fast") == {2: 10}
    assert counted(client, 30) == {0: 10, 1: 10, 2: 10}


def test_nobody_in_subset(start, three):
    """The others do not stand in for it, nor does panic when that is off."""
    endpoints = ({}, {"labels": {"version": "v2"}, "address": f"127.0.0.1:{free_port()}"}, {})
    config = configured(three, {"policy": "round_robin"}, endpoints, route={"subset": {"version": "v2"}})
    config["upstreams"][0]["health"] = {"active": {"type": "tcp", "interval": "100ms", "fall": 1}, "passive": "off", "panic_threshold": 0}
    client = start(config).connect()
    answer = eventually(lambda: (said := client.ask(get())).status == 503 and said)
    assert json.loads(answer.body)["error"] == "no_healthy_endpoint"
    assert b"no endpoint of the route's subset is in service" in answer.body


# --- consistent hash -------------------------------------------------------------------------------------------------

SAYS_USER = {
    "header:X-User": lambda user: {"fields": [f"X-User: {user}"]},
    "cookie:user": lambda user: {"fields": [f"Cookie: a=b; user={user}; c=d"]},
    "query:user": lambda user: {"target": f"/?a=b&user={user}&c=d"},
    "path": lambda user: {"target": f"/{user}?at={id(object())}"},
}


@pytest.mark.parametrize("source", SAYS_USER)
def test_same_key_same_endpoint(start, three, source):
    gateway = start(configured(three, {"policy": "consistent_hash", "hash_on": source}))
    client = gateway.connect()
    of = {user: ask(client, **SAYS_USER[source](user)) for user in range(60)}
    assert set(of.values()) == {0, 1, 2}
    again = gateway.connect()
    assert {user: ask(again, **SAYS_USER[source](user)) for user in range(60)} == of


def test_without_the_key_anywhere(start, three):
    client = start(configured(three, {"policy": "consistent_hash", "hash_on": "header:X-User"})).connect()
    assert set(counted(client, 60)) == {0, 1, 2}


def test_hash_on_client_address(start, three):
    """The one that a trusted proxy names, if there is one."""
    config = configured(three, {"policy": "consistent_hash", "hash_on": "client_ip"},
                        listener={"trusted_proxies": ["127.0.0.1"]})
    client = start(config).connect()
    of = {i: ask(client, fields=[f"X-Forwarded-For: 192.0.2.{i}"]) for i in range(60)}
    assert set(of.values()) == {0, 1, 2}
    assert all(ask(client, fields=[f"X-Forwarded-For: 192.0.2.{i}"]) == of[i] for i in range(60))


def test_keys_move_only_when_theirs_leaves(start, three):
    """Some others move with them: of a hundred one or two, where by chance two endpoints want much the same places many. Each upstream
    makes a table of its own of the same addresses, which are others in each run, and the middle one of five is looked at."""
    def tables(*endpoints):
        base = configured(three, {"policy": "consistent_hash", "hash_on": "path"}, *endpoints)["upstreams"][0]
        return {"upstreams": [base | {"name": f"of-{n}"} for n in range(5)],
            "routes": [{"name": f"of-{n}", "match": {"path": f"/{n}/*"}, "upstream": f"of-{n}"} for n in range(5)]}

    def asked():
        return [{i: ask(client, f"/{n}/{i}") for i in range(100)} for n in range(5)]

    gateway = start(configured(three, {}) | tables())
    client = gateway.connect()
    before = asked()
    gateway.reload(gateway.config | tables(({}, {"weight": 0}, {})))
    after = asked()
    assert not any(1 in of.values() for of in after)
    moved = sorted(sum(new[i] != old[i] for i in old if old[i] != 1) for old, new in zip(before, after))
    assert moved[2] <= 5, moved


def test_busy_endpoint_is_passed_over(start, make_origin):
    """125 % of the average of 3 requests at 3 endpoints is 2, rounded up: the third one goes elsewhere."""
    origins = [make_origin() for _ in range(3)]
    gateway = start(configured(origins, {"policy": "consistent_hash", "hash_on": "path"}))
    wires = []
    for n in (1, 2, 3):
        gateway.connect().send(get("/same"))
        wanted = eventually(lambda: next((origin for origin in origins if origin.is_wanted()), None))
        wire = wanted.accept()
        wire.read_request()
        wires.append((wanted, wire))
    served = collections.Counter(origins.index(origin) for origin, _ in wires)
    assert sorted(served.values()) == [1, 2]


# --- the cookie --------------------------------------------------------------------------------------------------------

STICKY = {"policy": "round_robin", "sticky": {"cookie": "who"}}


def cookie_of(answer):
    return COOKIE.match(answer.get("Set-Cookie"))[1]


def test_cookie_binds(start, three):
    gateway = start(configured(three, STICKY))
    client = gateway.connect()
    first = client.ask(get())
    bound = cookie_of(first)
    assert "127" not in first.get("Set-Cookie").replace(bound, "")
    for fields in ([f"Cookie: who={bound}"], [f"Cookie: a=b;who={bound}; c=d"]):
        for _ in range(6):
            answer = client.ask(get(fields=fields))
            assert answer.body == first.body
            assert answer.get("Set-Cookie") is None
    others = {client.ask(get()).body for _ in range(3)}
    assert others == {b"0", b"1", b"2"}


@pytest.mark.parametrize("value", ["", "0123", "0123456789abcdef", "0123456789ABCDEF", "'\"", "x" * 3000])
def test_strange_cookie_is_replaced(start, three, value):
    answer = start(configured(three, STICKY)).connect().ask(get(fields=[f"Cookie: who={value}"]))
    assert answer.status == 200
    assert cookie_of(answer)


def test_cookie_outlives_restart_and_gateway(start, three):
    one, other = start(configured(three, STICKY)), start(configured(list(reversed(three)), STICKY))
    answer = one.connect().ask(get())
    bound = cookie_of(answer)
    for _ in range(5):
        assert other.connect().ask(get(fields=[f"Cookie: who={bound}"])).body == answer.body


def test_other_endpoint_and_new_cookie_when_it_is_gone(start, three):
    gateway = start(configured(three, STICKY))
    client = gateway.connect()
    first = client.ask(get())
    bound, at = cookie_of(first), int(first.body)
    rest = [origin for i, origin in enumerate(three) if i != at]
    gateway.reload(merged(gateway.config, {"upstreams": configured(rest, STICKY)["upstreams"]}))
    answer = client.ask(get(fields=[f"Cookie: who={bound}"]))
    assert int(answer.body) != at
    new = cookie_of(answer)
    assert new != bound
    for _ in range(5):
        assert client.ask(get(fields=[f"Cookie: who={new}"])).body == answer.body


def test_emptied_endpoint_keeps_its_clients(start, three):
    gateway = start(configured(three, STICKY))
    client = gateway.connect()
    first = client.ask(get())
    bound, at = cookie_of(first), int(first.body)
    weights = [{"weight": 0 if i == at else 1} for i in range(3)]
    gateway.reload(merged(gateway.config, {"upstreams": configured(three, STICKY, weights)["upstreams"]}))
    for _ in range(5):
        assert client.ask(get(fields=[f"Cookie: who={bound}"])).body == first.body
    assert at not in counted(client, 10)


def test_cookie_of_filtered_request_still_binds(start, three):
    """The filter is about what the endpoint sees."""
    config = configured(three, STICKY, route={"filters": [{"headers": {"request": {"remove": ["Cookie"]}}}]})
    client = start(config).connect()
    first = client.ask(get())
    for _ in range(5):
        assert client.ask(get(fields=[f"Cookie: who={cookie_of(first)}"])).body == first.body
    assert all(request.get("Cookie") is None for origin in three for request in origin.requests)


def test_cookie_in_its_own_words(start, three):
    sticky = {"cookie": "who", "path": "/app", "max_age": "90m", "same_site": "none", "secure": True}
    answer = start(configured(three, {"sticky": sticky})).connect().ask(get())
    assert re.fullmatch("who=[0-9a-f]{16}; Path=/app; Max-Age=5400; HttpOnly; SameSite=None; Secure",
                        answer.get("Set-Cookie"))


def test_secure_where_the_client_came_by_https(start, three):
    client = start(configured(three, STICKY, listener={"trusted_proxies": ["127.0.0.1"]})).connect()
    assert client.ask(get(fields=["X-Forwarded-Proto: https"])).get("Set-Cookie").endswith("; Secure")
    assert not client.ask(get(fields=["X-Forwarded-Proto: http"])).get("Set-Cookie").endswith("; Secure")


def test_upstreams_own_cookies_pass(start, make_origin):
    def answer(wire, origin):
        wire.read_request()
        wire.send(response(b"0", fields=["Set-Cookie: session=1", "Set-Cookie: b=2"]))

    origins = [make_origin().serve(answer), make_origin().serve(answer)]
    answer = start(configured(origins, STICKY, ({}, {}))).connect().ask(get())
    said = answer.all("Set-Cookie")
    assert said[:2] == ["session=1", "b=2"] and COOKIE.match(said[2])
