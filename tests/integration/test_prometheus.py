"""Prometheus as it is in Debian: it finds nothing wrong with the metrics, scrapes them, and the files in contrib/ fit them."""

import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from admin import BY_ENDPOINT, Metrics, administered
from gateway import ROOT, configuration, eventually, free_port
from raw import get
from servers import Server, command, tool

pytestmark = pytest.mark.threads

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
ALERTS = ROOT / "contrib" / "prometheus" / "alerts.yaml"
DASHBOARD = ROOT / "contrib" / "grafana" / "weir.json"


@pytest.fixture
def loaded(start, origin):
    """A gateway with everything that has metrics, which has served and has refused."""
    origin.serve()
    route = {"filters": [{"rate_limit": {"rate": "20/s", "burst": 20}}], "breaker": True}
    gateway, admin = administered(start, origin, workers=2, route={**route, "match": {"path": "/there/*"}},
        upstream={"breaker": True, "health": {"active": {"path": "/", "interval": "1s"}, "passive": {}}})
    for _ in range(10):
        client = gateway.connect()
        for path in ("/there/a", "/not-there", "/there/b", "/there/c"):
            client.ask(get(path))
    return gateway, admin


def openmetrics(admin):
    """Of all workers, as admin.metrics()."""
    def whole():
        answer = admin.ask("/metrics", fields=[f"Accept: {OPENMETRICS}"])
        return "\nweir_workers_unanswered 0\n" in answer.body.decode() and answer

    answer = eventually(whole)
    assert answer.get("Content-Type") == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    return answer.body.decode()


# --- the formats --------------------------------------------------------------------------------------------------------


def test_promtool_finds_nothing_wrong(loaded):
    gateway, admin = loaded
    text = admin.ask("/metrics").body
    result = subprocess.run([tool("promtool"), "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_openmetrics_as_its_reference_parser_reads_it(loaded):
    """It says the same as the text format, and its own rules hold: suffixes, units, the end."""
    _, admin = loaded
    text = openmetrics(admin)
    assert text.endswith("\n# EOF\n") and text.count("# EOF") == 1
    families = {family.name: family for family in text_string_to_metric_families(text)}
    types = {family.name + ("_total" if family.type == "counter" else ""): family.type for family in families.values()}
    assert types == admin.metrics().types
    assert families["weir_request_seconds"].unit == families["process_cpu_seconds"].unit == "seconds"
    causes = {sample.labels["cause"]: sample.value for sample in families["weir_exchanges"].samples}
    assert causes["no_route"] == 10


def test_who_asks_for_nothing_gets_text(loaded):
    _, admin = loaded
    for accept in ("*/*", "text/plain", "text/html, */*;q=0.8", f"{OPENMETRICS};q=0.1, text/plain"):
        answer = admin.ask("/metrics", fields=[f"Accept: {accept}"])
        assert answer.get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.get("Vary") == "Accept"
        Metrics(answer.body.decode())


# --- what is made of them -----------------------------------------------------------------------------------------------

NAME = r"\b(?:weir|process)_[a-z0-9_]+"


def expressions():
    """What the alerts and the dashboard ask for: {where: expression}."""
    asked = {}
    for name, rest in re.findall(r"- alert: (\w+)\n(.*?)(?=\n      - alert|\Z)", ALERTS.read_text(), re.S):
        asked[name] = re.search(r"expr: (?:\|\n)?(.*?)\n        (?:for|labels):", rest, re.S)[1]
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            asked[f"{panel['title']} {target['refId']}"] = target["expr"]
    for variable in dashboard["templating"]["list"]:
        asked[f"${variable['name']}"] = variable["query"]["query"] if isinstance(variable["query"], dict) else ""
    for annotation in dashboard["annotations"]["list"]:
        asked[annotation["name"]] = annotation["expr"]
    assert len(asked) > 60
    return asked


def test_what_is_asked_for_exists(loaded):
    """Every metric, every label, and every value of a label that an expression names; of endpoints as it is documented."""
    _, admin = loaded
    known = {}
    text = (ROOT / "docs" / "metrics.md").read_text()
    for name, labels in re.findall(rf"^\| `((?:{'|'.join(BY_ENDPOINT)})\w+)` \| \w+ \| (.*?) \| ", text, re.MULTILINE):
        known[name] = {label: set(re.findall(r"`(\w+)`", text)) for label in re.findall(r"`(\w+)`", labels)}
    assert set(known) <= set(admin.metrics().types)
    for name, labels in admin.metrics().values:
        for label, value in labels:
            known.setdefault(name, {}).setdefault(label, set()).add(value)
        known.setdefault(name, {})
    used = set()
    for where, expression in expressions().items():
        names = re.findall(NAME, expression)
        used |= set(names)
        assert set(names) <= set(known), f"{where}: {set(names) - set(known)}"
        there = {"job", "instance", "alertname"}.union(*(known[name] for name in names))
        for labels in re.findall(r"\b(?:by|on|ignoring|group_left) \(([^)]*)\)", expression):
            assert {label.strip() for label in labels.split(",")} <= there, where
        for name, matchers in re.findall(rf"({NAME})\{{([^}}]*)\}}", expression):
            for label, value in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', matchers):
                assert label in {"job", "instance", *known[name]}, f"{where}: {name} has no {label}"
                if "$" not in value:
                    assert set(value.split("|")) <= known[name][label], f"{where}: {value}"
        legends = re.findall(r"label_values\(.*, (\w+)\)", expression)
        assert set(legends) <= there, where
    assert len(used) > 50


def test_the_alerts():
    for arguments in (("check", "rules", ALERTS.name), ("test", "rules", "alerts_test.yaml")):
        assert "SUCCESS" in command("promtool", *arguments, cwd=ALERTS.parent)
    names = re.findall(r"- alert: (\w+)", ALERTS.read_text())
    tested = re.findall(r"- alertname: (\w+)\n.*\n        exp_alerts:\n", (ALERTS.parent / "alerts_test.yaml").read_text())
    assert sorted(names) == sorted(set(tested)) and len(names) > 20


def test_the_dashboard_is_whole():
    """Panels lie beside each other, have numbers of their own, and ask through the variables."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert target["expr"].count('instance=~"$instance"') == len(re.findall(NAME, target["expr"])), panel["title"]


def test_the_dashboard_is_understood(tmp_path):
    """Each of its expressions, with values in the place of Grafana's variables, is one of PromQL: as a rule promtool reads it."""
    def filled(expression):
        return expression.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*").replace(
            "$upstream", "a|b").replace("$route", "a")

    dashboard = json.loads(DASHBOARD.read_text())
    asked = [filled(target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked += [filled(annotation["expr"]) for annotation in dashboard["annotations"]["list"]]
    assert len(asked) > 30 and not any("$" in expression for expression in asked)
    rules = [{"record": f"asked:{i}", "expr": expression} for i, expression in enumerate(asked)]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(asked)} rules found" in command("promtool", "check", "rules", file)


# --- a real one ---------------------------------------------------------------------------------------------------------

CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{alerts}"]
scrape_configs:
  - job_name: weir
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus(Server):
    def __init__(self, directory, target):
        config = directory / "prometheus.yml"
        config.write_text(CONFIG.format(alerts=ALERTS, target=target))
        port = free_port()
        super().__init__([tool("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage", "--log.level=warn"], port)

        eventually(self._is_ready)

    def _is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=30):
                return True
        except urllib.error.HTTPError as error:
            assert error.code == 503
            return False

    def ask(self, path, **parameters):
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
            told = json.load(answer)
        assert told["status"] == "success"
        return told["data"]

    def value(self, query):
        """The one value of the query; None as long as there is none."""
        result = self.ask("query", query=query)["result"]
        return float(result[0]["value"][1]) if len(result) == 1 else None


@pytest.fixture
def prometheus(loaded, tmp_path):
    server = Prometheus(tmp_path, loaded[1].address)
    yield server
    server.stop()


def test_a_real_prometheus_knows_how_many_requests_there_were(loaded, prometheus):
    gateway, admin = loaded
    eventually(lambda: prometheus.value("up") == 1)
    eventually(lambda: prometheus.value('sum(weir_exchanges_total{cause="no_route"})') == 10)
    finished = admin.metrics().get("weir_exchanges_finished_total")
    assert finished == 40
    assert eventually(lambda: prometheus.value("weir_exchanges_finished_total") == finished)
    # What is scraped while a worker is busy tells of the other one alone.
    eventually(lambda: prometheus.value('sum(weir_request_seconds_count)') == 30)
    client = gateway.connect()
    for _ in range(5):
        client.ask(get("/not-there"))
    eventually(lambda: prometheus.value('sum(weir_exchanges_total{cause="no_route"})') == 15)
    # It was told in OpenMetrics: only there have metrics units.
    metadata = prometheus.ask("targets/metadata", metric="weir_upstream_first_byte_seconds")
    assert [(m["type"], m["unit"]) for m in metadata] == [("histogram", "seconds")]
    alerts = prometheus.ask("rules")["groups"][0]["rules"]
    assert len(alerts) > 20
    eventually(lambda: {rule["health"] for rule in prometheus.ask("rules")["groups"][0]["rules"]} == {"ok"})


# --- exemplars ------------------------------------------------------------------------------------------------------------

TRACE = "0af7651916cd43dd8448eb211c80319c"
NOT_SAMPLED = "1af7651916cd43dd8448eb211c80319c"


def exemplars(admin):
    """Of the buckets of the route's latency: {trace id: (bucket's bound, value)}."""
    families = {family.name: family for family in text_string_to_metric_families(openmetrics(admin))}
    samples = families["weir_request_seconds"].samples
    assert all(sample.exemplar is None or sample.name.endswith("_bucket") for sample in samples)
    return {sample.exemplar.labels["trace_id"]: (float(sample.labels["le"]), sample.exemplar.value)
            for sample in samples if sample.exemplar is not None}


def test_a_slow_bucket_names_a_request_that_was_so_slow(start, origin, tmp_path):
    """One that was sampled: of others there is nothing to look at. And only in OpenMetrics, which a real Prometheus reads."""
    origin.serve()
    collector = {"name": "collector", "endpoints": [{"address": f"127.0.0.1:{free_port()}"}]}
    upstreams = [*configuration(origin)["upstreams"], collector]
    gateway, admin = administered(start, origin, upstreams=upstreams, tracing={"upstream": "collector", "sample": "0%"})
    client = gateway.connect()
    for trace, flags in ((TRACE, "01"), (NOT_SAMPLED, "00")):
        assert client.ask(get("/", fields=[f"traceparent: 00-{trace}-b7ad6b7169203331-{flags}"])).status == 200
    found = eventually(lambda: exemplars(admin))
    assert list(found) == [TRACE]
    bound, value = found[TRACE]
    assert bound / 2 <= value < bound or bound == 0.000064
    assert b"trace_id" not in admin.ask("/metrics").body
    server = Prometheus(tmp_path, admin.address)
    try:
        now = time.time()
        ask = {"query": "weir_request_seconds_bucket", "start": now - 3600, "end": now + 3600}
        told = eventually(lambda: server.ask("query_exemplars", **ask))
        assert {e["labels"]["trace_id"] for series in told for e in series["exemplars"]} == {TRACE}
    finally:
        server.stop()
