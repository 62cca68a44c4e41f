"""docs/openapi.yaml says what the administration answers: every resource and no other, and answers are of their schemas."""

import json

import jsonschema
import pytest
import yaml

from admin import administered
from gateway import ROOT, eventually
from raw import get, response
from test_admin_api import request

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


def check(path, answer, method="GET"):
    jsonschema.Draft202012Validator(schema_of(path, method, answer.status)).validate(json.loads(answer.body))


@pytest.fixture
def admin(start, origin):
    limits = [{"rate_limit": {"rate": "1000000/s"}}]
    upstream = {"breaker": True, "name": "origin"}
    return administered(start, origin, route={"filters": limits, "breaker": True}, upstream=upstream)[1]


def test_schemas_are_schemas():
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(resolved(schema))


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
