"""What a hop removes, what it adds, and whom it believes."""

import re
import socket

import pytest

from gateway import configuration, free_port, needs_ipv6
from raw import Wire, get, post, response
from translators import CLIENT, UPSTREAM, VERSIONS

OWN = ("Host", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Request-Id")


def forwarded(gateway, origin, *fields, host="example.com"):
    """The request as the upstream sees it."""
    gateway.connect().send(get(fields=fields, host=host))
    return origin.accept().read_request()


def answered(gateway, origin, *fields):
    """The response as the client sees it."""
    client = gateway.connect().send(get())
    origin.answer(response("x", fields=fields))
    return client.read_response()


@pytest.fixture
def behind_proxy(start, origin):
    """A gateway that believes what its peers say, and what 10.0.0.0/8 said to them."""
    return start(configuration(origin, listener={"trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32"]}))


# --- end to end ------------------------------------------------------------------------------------------------------


def test_names_keep_their_case_and_fields_their_order(gateway, origin):
    fields = ["X-b: 1", "x-A: 2", "ACCEPT: */*", "X-b: 3", "cookie: a=b", "X-empty:", "uSER-aGENT: me"]
    request = forwarded(gateway, origin, *fields)
    own = [name.lower() for name in OWN]
    assert [f"{name}: {value}".rstrip() for name, value in request.fields if name.lower() not in own] == fields


def test_response_fields_keep_case_and_order(gateway, origin):
    fields = ["X-b: 1", "x-A: 2", "SET-cookie: a=1", "X-b: 3", "Set-Cookie: b=2"]
    answer = answered(gateway, origin, *fields)
    kept = [f"{name}: {value}" for name, value in answer.fields if name.lower() in ("x-a", "x-b", "set-cookie")]
    assert kept == fields


def test_values_are_passed_on_byte_by_byte(gateway, origin):
    request = forwarded(gateway, origin, "X-A:  a  b\t\"c\" \xe4\xff \t")
    assert request.get("X-A") == "a  b\t\"c\" \xe4\xff"


# --- hop by hop ------------------------------------------------------------------------------------------------------

HOP_BY_HOP = ["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers",
              "Proxy-Authorization: Basic eA==", "Upgrade: x", "HTTP2-Settings: x"]


@pytest.mark.parametrize("field", HOP_BY_HOP)
def test_hop_by_hop_fields_of_requests_are_removed(gateway, origin, field):
    request = forwarded(gateway, origin, field, "X-Stays: 1")
    assert request.all(field.partition(":")[0]) == []
    assert request.get("X-Stays") == "1"


@pytest.mark.parametrize("field", ["Keep-Alive: timeout=5", "Proxy-Connection: close", "Proxy-Authenticate: Basic",
                                   "Upgrade: h2"])
def test_hop_by_hop_fields_of_responses_are_removed(gateway, origin, field):
    assert answered(gateway, origin, field).all(field.partition(":")[0]) == []


def test_fields_named_by_connection_are_removed(gateway, origin):
    request = forwarded(gateway, origin, "X-One: 1", "Connection: x-one, keep-alive , X-TWO", "x-two: 2", "X-Three: 3")
    assert [name for name in request.names() if name.lower().startswith("x-") and name not in OWN] == ["X-Three"]
    assert request.get("Connection") is None


def test_fields_named_by_connection_of_a_response_are_removed(gateway, origin):
    answer = answered(gateway, origin, "X-One: 1", "Connection: X-One", "X-Two: 2")
    assert (answer.get("X-One"), answer.get("X-Two")) == (None, "2")


def test_several_connection_fields(gateway, origin):
    request = forwarded(gateway, origin, "Connection: X-One", "X-One: 1", "Connection: X-Two", "X-Two: 2")
    assert (request.get("X-One"), request.get("X-Two")) == (None, None)


def test_a_client_cannot_take_away_what_the_gateway_adds(gateway, origin):
    """Named in Connection, the field of the gateway itself would be removed behind its back: refused."""
    client = gateway.connect()
    assert client.ask(get(fields=["Connection: X-Request-Id"])).status == 400
    assert origin.is_untouched()


# --- added -----------------------------------------------------------------------------------------------------------


def test_fields_that_a_hop_adds(gateway, origin):
    request = forwarded(gateway, origin)
    assert request.get("Via") == f"{VERSIONS[CLIENT]} weir"
    assert request.get("X-Forwarded-For") == "127.0.0.1"
    assert request.get("X-Forwarded-Proto") == "http"
    assert request.get("X-Forwarded-Host") == "example.com"
    assert re.fullmatch(r'for=127\.0\.0\.1;host="?example\.com"?;proto=http', request.get("Forwarded"))
    assert re.fullmatch(r"[0-9a-f]{16,32}", request.get("X-Request-Id"))


def test_via_is_appended(gateway, origin):
    request = forwarded(gateway, origin, "Via: 1.0 other")
    assert [v.strip() for value in request.all("Via") for v in value.split(",")] == ["1.0 other", f"{VERSIONS[CLIENT]} weir"]


def test_via_tells_the_protocol_that_came(gateway, origin):
    gateway.connect().send("GET / HTTP/1.0\r\n\r\n")
    assert origin.accept().read_request().get("Via") == "1.0 weir"


def test_response_has_via_and_the_request_id(gateway, origin):
    client = gateway.connect().send(get())
    _, request = origin.answer(response(fields=["Via: 1.1 other", "X-Request-Id: forged"]))
    answer = client.read_response()
    assert [v.strip() for value in answer.all("Via") for v in value.split(",")] == ["1.1 other", f"{VERSIONS[UPSTREAM]} weir"]
    assert answer.get("X-Request-Id") == request.get("X-Request-Id") == gateway.record()["request_id"]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_via_of_responses_names_the_received_protocol(gateway, origin, version):
    """RFC 9110 §7.6.3."""
    client = gateway.connect().send(get())
    origin.answer(f"HTTP/{version} 200 OK\r\nContent-Length: 0\r\n\r\n".encode())
    assert client.read_response().get("Via") == f"{version} weir"


def test_request_ids_differ(gateway, origin):
    client = gateway.connect()
    origin.serve()
    assert len({client.ask(get()).get("X-Request-Id") for _ in range(20)}) == 20


def test_host_with_a_port_and_ipv6(gateway, origin):
    request = forwarded(gateway, origin, host="[::1]:8080")
    assert request.get("Host") == "[::1]:8080"
    assert request.get("X-Forwarded-Host") == "[::1]:8080"
    assert 'host="[::1]:8080"' in request.get("Forwarded")


@needs_ipv6
def test_ipv6_client(start, origin):
    gateway = start(configuration(origin, listener={"address": f"[::1]:{free_port()}"}))
    request = forwarded(gateway, origin)
    assert request.get("X-Forwarded-For") == "::1"
    assert request.get("Forwarded").startswith('for="[::1]"')


def test_client_of_a_unix_socket_has_no_address(start, origin, tmp_path):
    path = tmp_path / "weir"
    gateway = start(configuration(origin, listener={"address": f"unix:{path}"}))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        client = Wire(sock).send(get())
        _, request = origin.answer(response())
        assert client.read_response().status == 200
    # RFC 7239 §6.2: "unknown" stands for an address that is not known.
    assert request.get("Forwarded").startswith("for=unknown")
    assert request.get("X-Forwarded-For") in (None, "unknown")
    assert gateway.record()["client"]


# --- from anybody ----------------------------------------------------------------------------------------------------

CLAIMS = ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "Forwarded: for=1.2.3.4",
          "X-Request-Id: mine", "X-Real-IP: 1.2.3.4"]


def test_claims_of_anybody_are_replaced(gateway, origin):
    request = forwarded(gateway, origin, *CLAIMS)
    assert request.get("X-Forwarded-For") == "127.0.0.1"
    assert request.get("X-Forwarded-Proto") == "http"
    assert request.get("X-Forwarded-Host") == "example.com"
    assert "1.2.3.4" not in request.get("Forwarded")
    assert request.get("X-Request-Id") != "mine"
    assert request.get("X-Real-IP") is None
    origin.wires[0].send(response())
    assert gateway.record()["client"] == "127.0.0.1"


def test_claims_in_any_spelling_are_replaced(gateway, origin):
    request = forwarded(gateway, origin, "x-FORWARDED-for: 1.2.3.4", "X-Forwarded-For: 5.6.7.8", "FORWARDED: for=a")
    assert request.get("X-Forwarded-For") == "127.0.0.1"
    assert "for=a" not in request.get("Forwarded")


# Services that make variables of fields read these as the fields that are replaced.
UNDERSCORES = ["X_Forwarded_For", "X-Forwarded_For", "x_forwarded-FOR", "X_Forwarded_Proto", "X_Forwarded_Host",
               "X_Real_IP", "X_Request_Id", "Content_Length", "Transfer_Encoding"]


@pytest.mark.parametrize("name", UNDERSCORES)
def test_claims_with_underscores_are_no_second_door(gateway, origin, name):
    request = forwarded(gateway, origin, f"{name}: 9", "X_Own_Field: stays", "_: stays", "X_Forwarded_For_Me: stays")
    assert "9" not in [value for _, value in request.fields]
    assert [value for _, value in request.fields].count("stays") == 3


@pytest.mark.parametrize("name", UNDERSCORES)
def test_claims_in_trailers_are_no_second_door(gateway, origin, name):
    """Nor do any pass that may not be trailers at all."""
    gateway.connect().send(f"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n{name}: 9\r\n"
        "X_Own_Field: stays\r\nX-Forwarded-For: 9\r\nCookie: 9\r\nOrigin: 9\r\nAccept-Language: 9\r\n\r\n")
    request = origin.accept().read_request()
    assert [(n.lower(), v) for n, v in request.trailers] == [("x_own_field", "stays")]


@pytest.mark.parametrize("name", UNDERSCORES)
def test_claims_with_underscores_of_trusted_proxies_pass(behind_proxy, origin, name):
    assert forwarded(behind_proxy, origin, f"{name}: 9").get(name) == "9"


def test_peer_outside_trusted_proxies_is_not_believed(start, origin):
    gateway = start(configuration(origin, listener={"trusted_proxies": ["10.0.0.0/8"]}))
    assert forwarded(gateway, origin, "X-Forwarded-For: 1.2.3.4").get("X-Forwarded-For") == "127.0.0.1"


# --- from trusted proxies --------------------------------------------------------------------------------------------


def test_trusted_proxy_is_believed(behind_proxy, origin):
    client = behind_proxy.connect().send(get(fields=CLAIMS))
    _, request = origin.answer(response())
    assert request.get("X-Forwarded-For") == "1.2.3.4, 127.0.0.1"
    assert request.get("X-Forwarded-Proto") == "https"
    assert request.get("X-Forwarded-Host") == "evil"
    assert request.get("X-Request-Id") == "mine"
    assert "for=1.2.3.4" in ", ".join(request.all("Forwarded"))
    assert ", ".join(request.all("Forwarded")).count("for=127.0.0.1") == 1
    assert client.read_response().get("X-Request-Id") == "mine"
    record = behind_proxy.record()
    assert (record["client"], record["request_id"]) == ("1.2.3.4", "mine")


@pytest.mark.parametrize("claimed, client", [
    ("1.2.3.4", "1.2.3.4"),
    ("6.6.6.6, 1.2.3.4", "1.2.3.4"),                    # what the untrusted 1.2.3.4 said is not believed
    ("1.2.3.4, 10.1.1.1, 10.2.2.2", "1.2.3.4"),         # own proxies are walked past
    ("10.1.1.1, 10.2.2.2", "10.1.1.1"),                 # nobody but own proxies: the first of them
    ("2001:db8::1", "2001:db8::1"),
    ("2a00::7, 2001:db8::1", "2a00::7"),
    ("6.6.6.6, 1.2.3.4:4711, 10.1.1.1", "1.2.3.4"),
    ("[2001:db8::1]:443", "2001:db8::1"),
    ("nonsense", "unknown"),                            # neither the proxy
    ("1.2.3.4, nonsense, 10.1.1.1", "unknown"),         # nor whoever stands beyond it
    ("", "127.0.0.1"),
])
def test_client_is_the_rightmost_address_that_is_not_trusted(behind_proxy, origin, claimed, client):
    behind_proxy.connect().send(get(fields=[f"X-Forwarded-For: {claimed}"]))
    origin.answer(response())
    assert behind_proxy.record()["client"] == client


def test_addresses_over_several_fields(behind_proxy, origin):
    behind_proxy.connect().send(get(fields=["X-Forwarded-For: 9.9.9.9, 1.2.3.4", "X-Forwarded-For: 10.1.1.1"]))
    _, request = origin.answer(response())
    assert request.get("X-Forwarded-For") == "9.9.9.9, 1.2.3.4, 10.1.1.1, 127.0.0.1"
    assert behind_proxy.record()["client"] == "1.2.3.4"


@pytest.mark.parametrize("identifier", ["a b", "a\"b", "a\\b", "x" * 129, ""])
def test_odd_request_ids_are_replaced_even_from_trusted_proxies(behind_proxy, origin, identifier):
    request = forwarded(behind_proxy, origin, f"X-Request-Id: {identifier}")
    assert re.fullmatch(r"[0-9a-f]{16,32}", request.get("X-Request-Id"))


def test_content_is_not_touched_by_any_of_this(gateway, origin):
    gateway.connect().send(post("X-Forwarded-For: 1.2.3.4\r\n\r\n"))
    assert origin.accept().read_request().body == b"X-Forwarded-For: 1.2.3.4\r\n\r\n"
