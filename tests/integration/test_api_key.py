"""The filter `api_key`: who is let in, what becomes of the key on its way, and where it never stands."""

import json

import pytest

from admin import administered
from gateway import run
from raw import get, post

SHOP, PARTNER = "4f0c1e9a7d5b42c8a1e6", "91d3c7aa5f2e4b60b8d1"
KEYS = [{"name": "shop", "key": SHOP}, {"name": "partner", "key": PARTNER}]


def keyed(start, origin, *more, **rules):
    """A gateway that asks for a key, and its administration."""
    origin.serve()
    filters = [{"api_key": {"keys": KEYS, **rules}}, *more]
    return administered(start, origin, route={"filters": filters})


def shows(*keys, name="X-Api-Key"):
    return get(fields=[f"{name}: {key}" for key in keys])


@pytest.mark.parametrize("request_", [
    get(), shows(""), shows("x"), shows(SHOP[:-1]), shows(SHOP + "0"), shows(SHOP.upper()), shows("0" + SHOP[1:]), shows(SHOP, SHOP),
    shows(SHOP, PARTNER), shows(f"{SHOP}, {PARTNER}"), shows(f"Bearer {SHOP}"), shows(SHOP, name="X-Api-Kez"), shows(SHOP, name="Authorization")],
    ids=["none", "empty", "short", "shorter", "longer", "other case", "first letter", "twice", "two", "a list", "with a scheme",
        "another field", "another place"])
def test_nobody_else_is_let_in(start, origin, request_):
    gateway, _ = keyed(start, origin)
    client = gateway.connect()
    answer = client.ask(request_)
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "unauthorized")
    assert answer.get("WWW-Authenticate") == 'ApiKey realm="weir", header="X-Api-Key"'
    assert not origin.requests
    assert gateway.record()["cause"] == "unauthorized" and "consumer" not in gateway.record()
    assert client.ask(shows(SHOP)).status == 200


def test_everybody_in_the_list_is(start, origin):
    keys = [{"name": f"client-{i}", "key": f"{i:020x}"} for i in range(1000)]
    gateway, _ = keyed(start, origin, keys=keys)
    client = gateway.connect()
    for i in (0, 1, 499, 998, 999):
        assert client.ask(shows(f"{i:020x}", name="x-api-KEY")).status == 200
    assert client.ask(shows(f"{1000:020x}")).status == 401
    assert [record.get("consumer") for record in gateway.records(6)] == [f"client-{i}" for i in (0, 1, 499, 998, 999)] + [None]


@pytest.mark.parametrize("forward", [False, True])
def test_the_key_goes_no_further(start, origin, forward):
    gateway, _ = keyed(start, origin, forward=forward)
    head = f"POST / HTTP/1.1\r\nHost: a\r\nX-Api-Key: {SHOP}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Api-Key\r\n\r\n"
    trailers = f"0\r\nX-Api-Key: {SHOP}\r\nX-Other: 1\r\n\r\n"
    assert gateway.connect().send(head + "2\r\nab\r\n" + trailers).read_response().status == 200
    request = origin.requests[0]
    assert request.all("X-Api-Key") == ([SHOP] if forward else [])
    assert (SHOP in str(request.trailers)) == forward
    assert "x-other" in str(request.trailers).lower()


@pytest.mark.parametrize("value,expected", [
    (f"Bearer {SHOP}", 200), (f"bearer  {SHOP}", 200), (SHOP, 401), (f"Basic {SHOP}", 401), ("Bearer", 401), (f"Bearer{SHOP}", 401)])
def test_behind_a_scheme(start, origin, value, expected):
    gateway, _ = keyed(start, origin, header="Authorization")
    answer = gateway.connect().ask(get(fields=[f"Authorization: {value}"]))
    assert answer.status == expected
    assert answer.get("WWW-Authenticate") == (None if expected == 200 else 'Bearer realm="weir"')
    assert not origin.requests or not origin.requests[0].all("Authorization")


def test_limits_by_name(start, origin):
    gateway, _ = keyed(start, origin, {"rate_limit": {"rate": "2/h", "key": "consumer"}})
    client = gateway.connect()
    asked = [SHOP, SHOP, SHOP, PARTNER, "x", PARTNER, PARTNER]
    assert [client.ask(shows(key)).status for key in asked] == [200, 200, 429, 200, 401, 200, 429]


def test_a_key_that_comes_and_goes(start, origin, tmp_path):
    file = tmp_path / "shop.key"
    file.write_text(SHOP + "\n")
    gateway, _ = keyed(start, origin, keys=[{"name": "shop", "key_file": str(file)}])
    client = gateway.connect()
    assert [client.ask(shows(key)).status for key in (SHOP, PARTNER)] == [200, 401]
    file.write_text(PARTNER)
    gateway.reload(gateway.config)
    assert [client.ask(shows(key)).status for key in (SHOP, PARTNER)] == [401, 200]


def test_it_is_never_told(start, origin, tmp_path):
    gateway, admin = keyed(start, origin)
    assert gateway.connect().ask(shows(SHOP)).status == 200
    shown = admin.json("/v1/config")["configuration"]["routes"][0]["filters"][0]["api_key"]["keys"]
    assert shown == [{"name": "shop", "key": "***"}, {"name": "partner", "key": "***"}]
    gateway.records(1)
    other = tmp_path / "other.yaml"
    other.write_text(open(gateway.file, encoding="utf-8").read().replace(SHOP, SHOP[::-1]))
    told = run("diff", gateway.file, other)
    assert "(secret)" in told.stdout
    for text in (told.stdout, told.stderr, gateway.access.text(), gateway.events.text()):
        assert SHOP not in text and SHOP[::-1] not in text


def test_in_the_text_of_the_log(start, origin):
    origin.serve()
    gateway, _ = administered(start, origin, route={"filters": [{"api_key": {"keys": KEYS}}]}, log={"access": {"format": "text"}})
    client = gateway.connect()
    assert [client.ask(request).status for request in (shows(PARTNER), get())] == [200, 401]
    lines = gateway.access.wait_for(lambda lines: len(lines) >= 2 and list(lines))
    assert lines[0].startswith("127.0.0.1 - partner [") and lines[1].startswith("127.0.0.1 - - [")


def test_what_is_not_idempotent_too(start, origin):
    gateway, _ = keyed(start, origin)
    assert gateway.connect().ask(post("content", fields=[f"X-Api-Key: {SHOP}"])).status == 200
    assert gateway.connect().ask(post("content")).status == 401
