"""docs/openapi.yaml says what the administration answers: every resource and no other, and answers are of their schemas."""

import json
import re
import shutil
import signal

import jsonschema
import pytest
import yaml

import gateway as gateways
from admin import administered
from gateway import ROOT, eventually
from programs import program  # pylint: disable=unused-import
from raw import get, response
from servers import command
from test_admin_api import request
from test_admin_endpoints import path_of
from test_handover import ORIGINAL, Successor
from test_live import Watcher
from test_receipt import ask_reload

pytestmark = pytest.mark.threads

DOCUMENT = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
METHODS = {"get", "put", "post", "patch", "delete"}


def resolved(schema):
    """With what it refers to at hand."""
    return {**schema, "components": DOCUMENT["components"]}


def schema_of(path, method, status):
    answers = DOCUMENT["paths"][path][method.lower()]["responses"]
    answer = answers.get(str(status), answers.get("default"))
    return resolved(answer["content"]["application/json"]["schema"])


def check_is(name, value):
    jsonschema.Draft202012Validator(resolved({"$ref": f"#/components/schemas/{name}"})).validate(value)


def check(path, answer, method="GET"):
    assert str(answer.status) in DOCUMENT["paths"][path][method.lower()]["responses"] or "error" in json.loads(answer.body)
    jsonschema.Draft202012Validator(schema_of(path, method, answer.status)).validate(json.loads(answer.body))


@pytest.fixture
def admin(start, origin):
    limits = [{"rate_limit": {"rate": "1000000/s"}}]
    upstream = {"breaker": True, "name": "origin"}
    return administered(start, origin, route={"filters": limits, "breaker": True}, upstream=upstream)[1]


def test_schemas_are_schemas():
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(resolved(schema))


# --- words that are told, and the tables that the program has them from ---------------------------------------------------


def source(file):
    return (ROOT / "src" / file).read_text()


def rows(file, table):
    """The texts of each row of a list such as WHY_WHATS(X)."""
    body = re.search(rf"#define {table}\(X\)((?:.*\\\n)*.*)", source(file))[1]
    return [re.findall(r'"([^"]*)"', row) for row in re.findall(r"X\((.*)\)", body)]


def words(file, table):
    """The texts of an array, whose elements may be structures with one each."""
    body = re.search(rf"\b{table}\[\w*\] = \{{(.*?)\}};", source(file), re.DOTALL)[1]
    return re.findall(r'"([^"]*)"', body)


def asked_by():
    return re.findall(r'reloading_ask\([^"\n]*"(\w+)"', source("app/reloading.c") + source("app/obeying.c"))


def levels():
    return re.findall(r'\[LEVEL_\w+\] = \{"(\w+)"', source("config/log.c"))


# As many as an endpoint may be in that are not its health's own.
STATES = [*words("control/live_upstreams.c", "states"), "disabled", "panic", "breaker_open", "draining"]
BREAKERS = words("control/v1_upstreams.c", "words")

TABLES = {
    "What": [row[0] for row in rows("telemetry/why.h", "WHY_WHATS")],
    "Verdict/number/name": [row[1] for row in rows("telemetry/why.h", "WHY_WHATS")],
    "Verdict/knob/turn": words("control/v1_why.c", "turns"),
    "Receipt/outcome": words("control/reloads.c", "names"),
    "Receipt/by": asked_by(),
    "LiveCause/cause": [row[0] for row in rows("base/cause.h", "CAUSES") if row[0] != "none"],
    "LiveCause/fault": words("control/live_frame.c", "faults"),
    "LiveEndpoint/state": STATES,
    "LiveEndpoint/reason": words("upstream/passive.c", "words"),
    "LiveEndpoint/limit_reason": [row[0] for row in rows("upstream/limiter.h", "LIMITER_REASONS")],
    "LiveBreaker/state": BREAKERS,
    "Endpoint/breaker": BREAKERS,
    "Endpoint/out/items": words("control/v1_upstreams.c", "reasons"),
    "Breakers/breakers/items/state": BREAKERS,
    "Routes/routes/items/action": words("control/v1_tables.c", "actions"),
    "LogLevel/level": levels(),
    "Status/log_level": levels(),
}


def schema_at(place):
    name, *steps = place.split("/")
    schema = DOCUMENT["components"]["schemas"][name]
    for step in steps:
        schema = schema["items"] if step == "items" else schema["properties"][step]
    return schema


@pytest.mark.parametrize("place", TABLES)
def test_words_are_the_programs(place):
    told = schema_at(place)["enum"]
    assert sorted(told) == sorted(set(TABLES[place])) and len(told) >= 2


def test_phases_are_the_programs():
    phases = [row[0] for row in rows("base/phase.h", "PHASES")]
    schema = DOCUMENT["components"]["schemas"]["Phases"]
    assert schema["required"] == list(schema["properties"]) == phases and len(phases) > 5
    types = (ROOT / "web" / "src" / "live.ts").read_text()
    assert re.findall(r'"(\w+)"', re.search(r"PHASES = \[(.*?)\]", types, re.DOTALL)[1]) == phases


# --- what there is ------------------------------------------------------------------------------------------------------


def test_every_resource_and_no_other(admin):
    told = {(r["method"], r["path"].replace("*}", "}")) for r in admin.json("/v1")["resources"]}
    # The page's own files are no interface.
    told = {(m, p) for m, p in told if p.startswith("/v1") or p in ("/healthz", "/readyz", "/metrics")}
    assert told == {(m.upper(), p) for p, methods in DOCUMENT["paths"].items() for m in methods if m in METHODS}


def test_answers_are_of_their_schemas(admin, origin):
    client, wire, _ = origin.asked(admin.gateway, get("/a"))
    names = {"{upstream}": "origin", "{address}": origin.address}
    seen = 0
    for path, methods in DOCUMENT["paths"].items():
        content = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        if "application/json" not in content:
            continue
        target = path + ("?url=/a" if path == "/v1/explain" else "")
        for name, value in names.items():
            target = target.replace(name, value)
        check(path, eventually(lambda: (a := admin.ask(target)).status != 503 and a))
        seen += 1
    assert seen >= 15
    wire.send(response("done"))
    client.read_response()


def test_answers_to_what_changes_something(admin, origin):
    endpoint = f"/v1/upstreams/origin/endpoints/{origin.address}"
    template = "/v1/upstreams/{upstream}/endpoints/{address}"
    for path, target, method, wish in ((template, endpoint, "PATCH", {"weight": 2, "drain": True, "enabled": False}),
            (template, endpoint, "PATCH", {"weight": -1}), ("/v1/log/level", "/v1/log/level", "PUT", {"level": "debug"}),
            ("/v1/log/level", "/v1/log/level", "PUT", {}), ("/v1/reload", "/v1/reload", "POST", None),
            ("/v1/log/reopen", "/v1/log/reopen", "POST", None), ("/v1/drain", "/v1/drain", "POST", None)):
        check(path, admin.connect().ask(request(method, target, wish)), method)
    assert admin.gateway.wait() == 0


def test_failures_are_of_their_schema(admin):
    for path in ("/v1/upstreams/x", "/v1/explain", "/v1/why?window=never"):
        answer = admin.ask(path)
        assert answer.status >= 400
        jsonschema.Draft202012Validator(resolved(DOCUMENT["components"]["schemas"]["Error"])).validate(json.loads(answer.body))


def test_reload_that_is_refused(admin):
    admin.gateway.write({**admin.gateway.config, "nonsense": 1})
    answer = admin.connect().ask(request("POST", "/v1/reload"))
    assert answer.status == 422 and json.loads(answer.body)["complaints"]
    check("/v1/reload", answer, "POST")


def test_upgrades(start, origin, tmp_path, monkeypatch):
    program = tmp_path / "weir"
    shutil.copy(ORIGINAL, program)
    monkeypatch.setattr(gateways, "BINARY", program)
    gateway, admin = administered(start, origin)
    monkeypatch.undo()
    program.unlink()
    failed = admin.connect().ask(request("POST", "/v1/upgrade"))
    assert failed.status == 409
    check("/v1/upgrade", failed, "POST")
    shutil.copy(ORIGINAL, program)
    done = admin.connect().ask(request("POST", "/v1/upgrade"))
    new = Successor(gateway)
    assert (done.status, json.loads(done.body)["process"]) == (200, new.pid)
    check("/v1/upgrade", done, "POST")
    new.end()


def test_what_is_set_during_an_upgrade(start, origin, program):
    gateway, admin = administered(start, origin)
    program.replace(program.waiting)
    gateway.signal(signal.SIGUSR2)
    gateway.event("upgrading: process")
    for path, target, method, wish in (("/v1/log/level", "/v1/log/level", "PUT", {"level": "debug"}),
            ("/v1/upstreams/{upstream}/endpoints/{address}", path_of(origin), "PATCH", {"drain": True})):
        answer = admin.connect().ask(request(method, target, wish))
        assert answer.status == 409 and "409" in DOCUMENT["paths"][path][method.lower()]["responses"]
        check(path, answer, method)
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0


def test_verdict_of_endpoints_that_are_alike(start, make_origin):
    """One place at each of two, and five requests that want one."""
    origins = [make_origin(), make_origin()]
    gateway, admin = administered(start, *origins, workers=1, upstream={"pool": {"max_connections": 1, "acquire_timeout": "60s"},
        "concurrency": "off", "balance": {"policy": "round_robin"}})
    clients = [gateway.connect().send(get()) for _ in range(6)]
    wires = [origin.accept() for origin in origins]
    told = eventually(lambda: (t := admin.why("?window=1s")) and t["verdicts"][0]["subject"].get("endpoints_alike") and t)
    assert told["verdicts"][0]["subject"]["endpoints_alike"] == 1
    check_is("Why", told)
    for one in (*clients, *wires):
        one.close()


def test_what_is_live(admin):
    """The first event, which has a past, with a verdict and a receipt; and those behind it."""
    admin.why()
    assert ask_reload(admin)[0] == 200
    watcher = Watcher(admin)
    frame = watcher.frame()
    assert frame["why"] and frame["reload"]
    check_is("Live", frame)
    check_is("Live", watcher.frame())
    # By now there is something before.
    first = Watcher(admin).frame()
    check_is("Live", first)
    assert first["upstreams"] and first["limits"] and len(first["breakers"]) == 2 and first["workers"] and first["past"]


def names_of(schema):
    """Of all that an event says, but for what is another answer."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return set() if name in ("Why", "Receipt", "Phases") else names_of(DOCUMENT["components"]["schemas"][name])
    own = schema.get("properties", {})
    return set(own).union(*(names_of(each) for each in (*own.values(), *filter(None, [schema.get("items")]))))


def test_what_is_live_is_told_to_readers():
    names = names_of({"$ref": "#/components/schemas/Live"})
    page, types = ((ROOT / path).read_text() for path in ("docs/live.md", "web/src/live.ts"))
    assert len(names) > 50
    for name in names:
        assert re.search(rf"[`.]{name}[`.\[]", page), name
        assert re.search(rf"\b{name}\??:", types), name


def test_gateways_that_are_made_up():
    """Those with which the page is worked on say what a gateway would."""
    module = (ROOT / "web" / "mock" / "scenes.mjs").as_uri()
    frames = command("node", "--input-type=module", "--eval", f"""
        import {{ frame }} from "{module}";
        for (const name of ["idle", "loaded", "saturated"])
            for (const first of [true, false])
                console.log(JSON.stringify(frame(name, 1.7e12, first)));""").splitlines()
    assert len(frames) == 6
    for frame in frames:
        check_is("Live", json.loads(frame))
