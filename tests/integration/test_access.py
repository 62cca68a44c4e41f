"""The filter `access`: by which address a client is judged, and what becomes of who is refused."""

import pytest

from gateway import configuration
from raw import get

LOOPBACK = "127.0.0.0/8"
ELSEWHERE = "203.0.113.0/24"
SOMEBODY = "203.0.113.7"


def guarded(start, origin, access, *more, **options):
    origin.serve()
    filters = [{"access": access}, *({kind: rules} for kind, rules in more)]
    return start(configuration(origin, route={"filters": filters}, **options))


def status(gateway, *fields):
    return gateway.connect().ask(get(fields=fields)).status


def said(address):
    return f"X-Forwarded-For: {address}"


@pytest.mark.parametrize("access,expected", [
    ({"allow": [LOOPBACK]}, 200), ({"allow": [ELSEWHERE]}, 403), ({"deny": [LOOPBACK]}, 403), ({"deny": [ELSEWHERE]}, 200),
    ({"allow": ["127.0.0.1"], "deny": [LOOPBACK]}, 200), ({"allow": [LOOPBACK], "deny": ["127.0.0.1"]}, 403),
    ({"allow": ["::/0"]}, 403)])
def test_by_the_address_of_the_connection(start, origin, access, expected):
    gateway = guarded(start, origin, access)
    assert status(gateway) == expected
    assert len(origin.requests) == (expected == 200)


def test_what_a_client_says_of_itself_does_not_count(start, origin):
    gateway = guarded(start, origin, {"allow": [ELSEWHERE]})
    assert status(gateway, said(SOMEBODY)) == 403


def test_what_a_trusted_proxy_says_counts(start, origin):
    gateway = guarded(start, origin, {"allow": [ELSEWHERE, "2001:db8::/32"]}, listener={"trusted_proxies": ["127.0.0.1"]})
    assert status(gateway) == 403
    assert status(gateway, said(SOMEBODY)) == 200
    assert status(gateway, said("198.51.100.1")) == 403
    assert status(gateway, said("2001:db8::1")) == 200
    assert status(gateway, said(f"::ffff:{SOMEBODY}")) == 200
    # Whom the last proxy has seen, and not what that one said.
    assert status(gateway, said(f"{SOMEBODY}, 198.51.100.1")) == 403


@pytest.mark.parametrize("deny", [{}, {"deny": ["0.0.0.0/0", "::/0"]}])
def test_the_port_is_not_the_client(start, origin, deny):
    gateway = guarded(start, origin, {"allow": [SOMEBODY, "2001:db8::1"], **deny}, listener={"trusted_proxies": ["127.0.0.1"]})
    claims = (f"{SOMEBODY}:51234", "[2001:db8::1]:443", "[2001:db8::1]", "198.51.100.1:51234", "[2001:db8::2]:443")
    assert [status(gateway, said(claim)) for claim in claims] == [200, 200, 200, 403, 403]
    assert {record["client"] for record in gateway.records(5)} == {SOMEBODY, "2001:db8::1", "198.51.100.1", "2001:db8::2"}


@pytest.mark.parametrize("access", [{"allow": [LOOPBACK]}, {"deny": [ELSEWHERE]}, {"allow": ["0.0.0.0/0", "::/0"]}])
def test_whom_nobody_knows_does_not_come_in(start, origin, access):
    """What a proxy says is no address: that of the proxy itself is not the client's."""
    gateway = guarded(start, origin, access, listener={"trusted_proxies": ["127.0.0.1"]})
    assert status(gateway) == 200
    claims = ("unknown", "_hidden", "198.51.100.1, unknown", "unknown, 127.0.0.1", "198.51.100.1:99999")
    assert [status(gateway, said(claim)) for claim in claims] == [403] * 5
    assert sorted(record["client"] for record in gateway.records(6)) == ["127.0.0.1", *["unknown"] * 5]
    assert len(origin.requests) == 1


def test_what_a_proxy_header_says_counts(start, origin):
    gateway = guarded(start, origin, {"allow": [ELSEWHERE]}, listener={"trusted_proxies": ["127.0.0.1"], "proxy_protocol": "v1"})

    def come_from(address):
        return gateway.connect().send(f"PROXY TCP4 {address} 127.0.0.1 1000 80\r\n").ask(get()).status

    assert (come_from(SOMEBODY), come_from("198.51.100.1")) == (200, 403)


def test_who_is_refused_is_not_counted_behind_it(start, origin):
    limit = {"rate": "1/h", "burst": 1, "key": "route"}
    gateway = guarded(start, origin, {"allow": [ELSEWHERE]}, ("rate_limit", limit), listener={"trusted_proxies": ["127.0.0.1"]})
    assert [status(gateway) for _ in range(3)] == [403] * 3
    assert status(gateway, said(SOMEBODY)) == 200
    assert status(gateway, said(SOMEBODY)) == 429


def test_a_connection_outlives_a_refusal(start, origin):
    gateway = guarded(start, origin, {"allow": [ELSEWHERE]}, listener={"trusted_proxies": ["127.0.0.1"]})
    client = gateway.connect()
    assert [client.ask(get(fields=[said(a)])).status for a in ("198.51.100.1", SOMEBODY, "198.51.100.1")] == [403, 200, 403]


def test_another_list_after_a_reload(start, origin):
    gateway = guarded(start, origin, {"allow": [ELSEWHERE]})
    client = gateway.connect()
    assert client.ask(get()).status == 403
    gateway.config["routes"][0]["filters"] = [{"access": {"allow": [LOOPBACK]}}]
    gateway.reload(gateway.config)
    assert client.ask(get()).status == 200
