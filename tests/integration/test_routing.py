"""Which route a request takes, and the actions respond, redirect and rewrite."""

import json

import pytest

from gateway import configuration, run
from raw import get, post, response


def own(name, **match):
    """A route that answers with its own name."""
    return {"name": name, "match": match, "respond": {"body": name}}


TABLE = [
    own("prefix", path="/a/*"),
    own("longer", path="/a/b/*"),
    own("exact", path="/a/b/c"),
    own("host", host="api.example.com", path="/a/*"),
    own("suffix", host="*.example.com", path="/*"),
    own("longer-suffix", host="*.sub.example.com"),
    own("port", host="[::1]", path="/*"),
    own("posts", path="/m", methods=["POST", "PUT"]),
    own("any-method", path="/m"),
    own("deletes", path="/d", methods=["DELETE"]),
    own("purges", path="/d", methods=["PURGE"]),
    own("encoded", path="/e/%7euser"),
]

CASES = [
    # host, target, the route's name
    ("x", "/a", "prefix"), ("x", "/a/", "prefix"), ("x", "/a/x", "prefix"), ("x", "/a?q=/a/b/c", "prefix"),
    ("x", "/a/b", "longer"), ("x", "/a/b/", "longer"), ("x", "/a/b/c/", "longer"), ("x", "/a/b/cd", "longer"),
    ("x", "/a/b/c", "exact"), ("x", "/a//b/./c", "exact"), ("x", "/%61/b/x/../c?d", "exact"),
    ("x", "/ab", None), ("x", "/", None), ("x", "/A", None), ("x", "/a.b", None),
    ("api.example.com", "/a/b/c", "host"),              # the host goes before the path
    ("API.Example.COM", "/a/b/c", "host"), ("api.example.com:8080", "/a/b/c", "host"),
    ("api.example.com.", "/a", "host"),
    ("api.example.com", "/other", "suffix"),            # what its own routes do not match goes on to the suffix
    ("www.example.com", "/a/b/c", "suffix"), ("a.b.example.com", "/z", "suffix"),
    ("x.sub.example.com", "/a/b/c", "longer-suffix"),
    ("example.com", "/a", "prefix"), ("badexample.com", "/a", "prefix"), ("example.com.evil", "/a", "prefix"),
    ("[::1]", "/z", "port"), ("[0:0:0:0:0:0:0:1]:81", "/z", "port"),
    ("x", "/e/~user", "encoded"), ("x", "/e/%7Euser", "encoded"),
]


@pytest.fixture
def table(start):
    return start(configuration(route=TABLE))


def test_table_of_routes(table):
    client = table.connect()
    for host, target, name in CASES:
        answer = client.ask(get(target, host=host))
        found = answer.body.decode() if answer.status == 200 else None
        assert found == name, f"{host} {target}"
    assert [record["route"] for record in table.records(len(CASES))] == [name for _, _, name in CASES]


@pytest.mark.parametrize("method, name", [("POST", "posts"), ("PUT", "posts"), ("GET", "any-method"),
                                          ("PURGE", "any-method"), ("post", "any-method")])
def test_methods(table, method, name):
    assert table.connect().ask(f"{method} /m HTTP/1.1\r\nHost: a\r\n\r\n").body == name.encode()


def test_wrong_method_is_a_405_with_the_right_ones(table):
    answer = table.connect().ask(get("/d"))
    assert answer.status == 405
    assert sorted(answer.get("Allow").replace(" ", "").split(",")) == ["DELETE", "PURGE"]
    assert table.record()["cause"] == "method_not_allowed"


def test_absolute_target_routes_by_its_own_host(table):
    assert table.connect().ask("GET http://api.example.com/a HTTP/1.1\r\nHost: api.example.com\r\n\r\n").body == b"host"


def test_explain_says_what_happens(table):
    """The command and the running gateway decide alike."""
    for host, target, name in CASES:
        if host.endswith("."):
            continue
        told = run("explain", "-c", table.file, "GET", f"http://{host}{target}")
        if name is None:
            assert told.returncode == 1 and "404 no_route" in told.stdout, f"{host} {target}"
        else:
            assert told.returncode == 0 and f"-> {name} " in told.stdout, f"{host} {target}\n{told.stdout}"


# --- respond ---------------------------------------------------------------------------------------------------------


def answering(start, **respond):
    return start(configuration(route={"respond": respond})).connect()


def test_respond(start):
    answer = answering(start, status=418, body='{"tea": 1}', content_type="application/json").ask(get())
    assert (answer.status, answer.body) == (418, b'{"tea": 1}')
    assert answer.get("Content-Type") == "application/json"
    assert answer.get("Date") and answer.get("X-Request-Id")


def test_respond_by_default_is_200_and_plain_text(start):
    answer = answering(start, body="hello").ask(get())
    assert (answer.status, answer.get("Content-Type")) == (200, "text/plain; charset=utf-8")


def test_respond_without_a_body(start):
    answer = answering(start, status=200).ask(get())
    assert (answer.framing, answer.get("Content-Type")) == (0, None)


@pytest.mark.parametrize("status", [204, 304])
def test_respond_with_a_status_that_has_no_content(start, status):
    client = answering(start, status=status)
    for _ in range(2):
        answer = client.ask(get())
        assert (answer.status, answer.get("Content-Length")) == (status, None)


def test_respond_to_head(start):
    client = answering(start, body="hello")
    for _ in range(2):
        answer = client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (answer.status, answer.get("Content-Length")) == (200, "5")


def test_respond_to_content_reads_it_first(start):
    client = answering(start, body="hello")
    for _ in range(3):
        assert client.ask(post("x" * 100_000)).body == b"hello"


def test_respond_with_a_large_body(start):
    body = "0123456789abcdef" * 4096
    client = answering(start, body=body)
    for _ in range(3):
        assert client.ask(get()).body == body.encode()


# --- redirect --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path, location, status, target, expected", [
    ("/old", "/new", None, "/old", "/new"),
    ("/old", "/new", 301, "/old?q", "/new"),
    ("/old/*", "/new/*", 308, "/old/a/b?c=d", "/new/a/b?c=d"),
    ("/old/*", "/new/*", 307, "/old", "/new"),
    ("/old/*", "/new/*", 307, "/old/", "/new/"),
    ("/*", "https://example.com/*", 302, "/a?b", "https://example.com/a?b"),
    ("/old/*", "https://example.com/fixed", 303, "/old/a?b", "https://example.com/fixed"),
])
def test_redirect(start, path, location, status, target, expected):
    redirect = {"location": location} | ({"status": status} if status else {})
    gateway = start(configuration(route=[{"name": "r", "match": {"path": path}, "redirect": redirect}]))
    answer = gateway.connect().ask(get(target))
    assert (answer.status, answer.get("Location")) == (status or 302, expected)
    record = gateway.record()
    assert (record["status"], record["cause"], record["route"]) == (status or 302, None, "r")


def test_redirect_to_another_host_by_a_path_of_slashes_is_impossible(start):
    """"//evil" as a Location is another host: the canonical path has no empty segments."""
    gateway = start(configuration(route=[{"name": "r", "match": {"path": "/old/*"}, "redirect": {"location": "/*"}}]))
    assert gateway.connect().ask(get("/old//evil.example/")).get("Location") == "/evil.example/"
    assert gateway.connect().ask(get("/old/%2fevil.example")).status == 400


# --- rewrite ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path, rewrite, target, expected", [
    ("/v1/users/*", "/users/*", "/v1/users/7?x=1", "/users/7?x=1"),
    ("/v1/users/*", "/users/*", "/v1/users", "/users"),
    ("/v1/users/*", "/users/*", "/v1/users/", "/users/"),
    ("/v1/*", "/*", "/v1", "/"),
    ("/v1/*", "/*", "/v1?q", "/?q"),
    ("/v1/*", "/*", "/v1/a", "/a"),
    ("/*", "/under/*", "/a", "/under/a"),
    ("/*", "/under/*", "/", "/under/"),
    ("/v1/*", "/fixed", "/v1/a?q", "/fixed?q"),
    ("/v1", "/fixed", "/v1", "/fixed"),
])
def test_rewrite_path(start, origin, path, rewrite, target, expected):
    route = [{"name": "r", "match": {"path": path}, "rewrite": {"path": rewrite}, "upstream": "origin"}]
    gateway = start(configuration(origin, route=route))
    gateway.connect().send(get(target))
    assert origin.accept().read_request().target == expected


def test_rewrite_leaves_options_asterisk_alone(start, origin):
    gateway = start(configuration(origin, route={"rewrite": {"path": "/under/*"}}))
    gateway.connect().send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
    assert origin.accept().read_request().target == "*"


def test_rewrite_host(start, origin):
    gateway = start(configuration(origin, route={"rewrite": {"host": "internal.example:8080"}}))
    gateway.connect().send(get())
    request = origin.accept().read_request()
    assert request.get("Host") == "internal.example:8080"
    assert request.get("X-Forwarded-Host") == "example.com"


def test_two_upstreams(start, make_origin):
    one, two = make_origin(), make_origin()
    config = configuration(one, route=[
        {"name": "one", "match": {"path": "/one/*"}, "upstream": "origin"},
        {"name": "two", "match": {"path": "/two/*"}, "upstream": "second"},
    ])
    config["upstreams"].append({"name": "second", "endpoints": [{"address": two.address}]})
    gateway = start(config)
    client = gateway.connect()
    for origin, target in ((one, "/one/a"), (two, "/two/b")):
        client.send(get(target))
        _, request = origin.answer(response())
        assert request.target == target
        client.read_response()
    records = gateway.records(2)
    assert [(r["route"], r["upstream"], r["endpoint"]) for r in records] == \
        [("one", "origin", one.address), ("two", "second", two.address)]


def test_no_route_names_its_cause(start, origin):
    gateway = start(configuration(origin, route={"match": {"path": "/only"}}))
    answer = gateway.connect().ask(get("/none"))
    assert (answer.status, json.loads(answer.body)["error"]) == (404, "no_route")
    assert gateway.record()["route"] is None
    assert origin.is_untouched()
