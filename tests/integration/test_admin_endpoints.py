"""Endpoints that the operator takes out of service, drains, or gives another weight, while requests run."""

import functools
import json
import os
import socket

import pytest

from admin import administered
from gateway import eventually, free_port, merged
from origin import answer_all
from raw import get, response
from test_admin_api import error_of, request

pytestmark = pytest.mark.threads

# Nobody is ejected for being slower than the other one, as it may be on a busy machine.
ROUND_ROBIN = {"balance": {"policy": "round_robin"}, "health": {"passive": "off"}}


def path_of(origin, upstream="origin"):
    return f"/v1/upstreams/{upstream}/endpoints/{origin if isinstance(origin, str) else origin.address}"


def change(admin, origin, upstream="origin", **wish):
    answer = admin.connect().ask(request("PATCH", path_of(origin, upstream), wish))
    assert answer.status == 200
    return json.loads(answer.body)


@pytest.fixture
def two(make_origin):
    """Two that say who they are."""
    return [make_origin().serve(functools.partial(answer_all, body=name)) for name in (b"a", b"b")]


def who(gateway, count=8):
    client = gateway.connect()
    answers = [client.ask(get()) for _ in range(count)]
    assert all(a.status == 200 for a in answers)
    client.close()
    return "".join(sorted(a.body.decode() for a in answers))


def test_disabled_and_enabled(start, two):
    gateway, admin = administered(start, *two, upstream=ROUND_ROBIN, workers=2)
    labels = {"upstream": "origin", "endpoint": two[0].address}
    assert who(gateway) == "aaaabbbb"
    told = change(admin, two[0], enabled=False)
    assert (told["in_service"], told["out"], told["set"]) == (False, ["disabled"], {"enabled": False, "drain": False, "weight": None})
    # From the moment of the answer on.
    for _ in range(4):
        assert who(gateway) == "bbbbbbbb"
    metrics = admin.metrics()
    assert metrics.get("weir_upstream_disabled", **labels) == metrics.get("weir_upstream_out_of_service", **labels) == 1
    assert admin.json(path_of(two[0])) == {**told, **{k: admin.json(path_of(two[0]))[k] for k in ("connections", "requests", "waiting", "tries", "tries_s")}}
    assert change(admin, two[0], enabled=True)["in_service"] is True
    assert who(gateway) == "aaaabbbb"
    assert admin.metrics().get("weir_upstream_disabled", **labels) == 0


@pytest.mark.parametrize("level", ["info", "error"])
def test_who_has_changed_what_is_in_the_event_log(start, origin, tmp_path, level):
    """Whatever the level."""
    gateway, admin = administered(start, origin, log={"level": level},
        admin={"unix": str(tmp_path / "admin.sock"), "address": f"127.0.0.1:{free_port()}"})
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(str(tmp_path / "admin.sock"))
        for wish in ({"weight": 3, "drain": True}, {"weight": 3}, {"enabled": False}, {"weight": None}):
            wire.sendall(request("PATCH", path_of(origin), wish))
            assert wire.recv(65536).startswith(b"HTTP/1.1 200 ")
    by = f"control admin (user {os.getuid()}, process {os.getpid()}): upstream origin: {origin.address}: "
    gateway.event(by + "drain false -> true, weight as configured -> 3")
    gateway.event(by + "enabled true -> false")
    gateway.event(by + "weight 3 -> as configured")
    # What changes nothing is nothing to tell.
    assert len([line for line in gateway.events.text().splitlines() if by in line]) == 3
    for method, path, said in (("POST", "/v1/log/reopen", "the log files are opened anew"), ("PUT", "/v1/log/level", f"log level {level} -> warning, "),
            ("PUT", "/v1/log/level", "log level warning -> error, "), ("POST", "/v1/reload", "the configuration is to be read again"),
            ("POST", "/v1/drain", "draining; ")):
        client = admin.connect()
        content = {"level": "error" if "-> error" in said else "warning"} if path.endswith("level") else {}
        assert client.ask(request(method, path, content)).status // 100 == 2
        gateway.event("main admin (%s:%d): %s" % (*client.sock.getsockname(), said))


def test_requests_under_way_finish(start, origin):
    gateway, admin = administered(start, origin)
    client, wire, _ = origin.asked(gateway)
    assert change(admin, origin, enabled=False)["requests"] == 1
    refused = gateway.connect().ask(get())
    assert (refused.status, json.loads(refused.body)["error"]) == (503, "no_healthy_endpoint")
    wire.send(response("done"))
    assert client.read_response().body == b"done"
    eventually(lambda: admin.json(path_of(origin))["requests"] == 0)


def test_weight(start, two):
    gateway, admin = administered(start, *two, upstream=ROUND_ROBIN)
    labels = {"upstream": "origin", "endpoint": two[0].address}
    told = change(admin, two[0], weight=3)
    assert (told["weight"], told["configured_weight"], told["set"]["weight"]) == (3, 1, 3)
    assert who(gateway, 16) == "a" * 12 + "b" * 4
    assert admin.metrics().get("weir_upstream_weight", **labels) == 3
    assert change(admin, two[0], weight=0)["in_service"] is False
    assert who(gateway) == "bbbbbbbb"
    assert change(admin, two[0], weight=None)["weight"] == 1
    assert who(gateway) == "aaaabbbb"


def test_of_one_endpoint(start, two):
    """Who has but one does not pay for balancing, and obeys all the same."""
    gateway, admin = administered(start, two[0])
    for wish, back in (({"weight": 0}, {"weight": None}), ({"drain": True}, {"drain": False}), ({"enabled": False}, {"enabled": True})):
        change(admin, two[0], **wish)
        assert gateway.connect().ask(get()).status == 503
        change(admin, two[0], **back)
        assert who(gateway) == "aaaaaaaa"


def test_drained_keeps_those_who_are_bound_to_it(start, two):
    sticky = {"balance": {"policy": "round_robin", "sticky": {"cookie": "who"}}}
    gateway, admin = administered(start, *two, upstream=sticky)
    answer = gateway.connect().ask(get())
    bound, other = (two, two[::-1])[answer.body == b"b"]
    cookie = [f"Cookie: {answer.get('Set-Cookie').split(';')[0]}"]

    def mine():
        return gateway.connect().ask(get(fields=cookie)).body

    assert mine() == answer.body
    told = change(admin, bound, drain=True, weight=5)
    assert (told["weight"], told["in_service"], told["set"]) == (0, False, {"enabled": True, "drain": True, "weight": 5})
    assert mine() == answer.body
    assert set(who(gateway)) == {"b" if answer.body == b"a" else "a"}
    change(admin, bound, enabled=False)
    assert mine() != answer.body
    assert change(admin, bound, enabled=True, drain=False, weight=None)["weight"] == 1


def test_holds_over_reloads(start, two):
    gateway, admin = administered(start, *two, upstream=ROUND_ROBIN)
    change(admin, two[0], enabled=False, weight=7)
    change(admin, two[1], weight=4)
    for pool in (50, 60):
        gateway.reload(merged(gateway.config, {"drain_timeout": f"{pool}s"}))
        gateway.event("reloaded: ")
        assert who(gateway) == "bbbbbbbb"
    gateway.config["upstreams"][0]["pool"] = {**gateway.config["upstreams"][0]["pool"], "max_connections": 7}
    gateway.reload(gateway.config)
    gateway.event("2 with a new pool")
    assert who(gateway) == "bbbbbbbb"
    told = admin.json("/v1/upstreams/origin")["endpoints"]
    assert [e["set"]["weight"] for e in told] == [7, 4] and [e["set"]["enabled"] for e in told] == [False, True]
    change(admin, two[0], enabled=True, weight=None)
    change(admin, two[1], weight=None)
    assert who(gateway) == "aaaabbbb"


def test_unhealthy_one_is_used_when_the_operator_takes_out_the_others(start, two, make_origin):
    """Panic looks at those whom the operator has left."""
    sick = make_origin().serve(functools.partial(answer_all, body=b"c"))
    health = {"active": {"path": "/", "interval": "100ms", "fall": 1, "expect": [200]}, "panic_threshold": "10%"}
    config = merged(ROUND_ROBIN, {"health": {**health, "active": {**health["active"], "expect": [204]}}})
    gateway, admin = administered(start, two[0], sick, upstream=config)
    eventually(lambda: "unhealthy" in admin.json(path_of(sick))["out"])
    change(admin, two[0], enabled=False)
    eventually(lambda: gateway.connect().ask(get()).body == b"c")


@pytest.mark.parametrize("wish", [{}, {"enabled": 1}, {"enabled": None}, {"drain": "yes"}, {"weight": -1}, {"weight": 1001},
    {"weight": 1.5}, {"weight": "1"}, {"weight": True}, {"enable": True}, {"enabled": True, "more": 1}])
def test_wishes_that_are_none(start, two, wish):
    _, admin = administered(start, two[0])
    assert error_of(admin.connect().ask(request("PATCH", path_of(two[0]), wish))) == (400, "bad_request")
    assert admin.json(path_of(two[0]))["set"] == {"enabled": True, "drain": False, "weight": None}


def test_endpoints_that_are_none(start, two):
    _, admin = administered(start, two[0])
    for path in ("/v1/upstreams/x", f"/v1/upstreams/x/endpoints/{two[0].address}", path_of("127.0.0.1:1")):
        assert error_of(admin.ask(path)) == (404, "not_found")
        if "endpoints" in path:
            assert error_of(admin.connect().ask(request("PATCH", path, {"weight": 1}))) == (404, "not_found")


def test_endpoints_with_other_addresses(start):
    addresses = ["unix:/nowhere/a b.sock", "[::1]:9", "127.0.0.1:9"]
    _, admin = administered(start, *addresses)
    for address in addresses:
        path = address.replace("[", "%5B").replace("]", "%5d").replace(" ", "%20")
        assert admin.json(path_of(path))["address"] == address
        change(admin, path, weight=2)
    assert [e["weight"] for e in admin.json("/v1/upstreams")["upstreams"][0]["endpoints"]] == [2, 2, 2]
