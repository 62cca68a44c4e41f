"""HTTP/2 on both sides, by h2spec in strict mode. The first tests show that the runner sees what there is to see; they need no
gateway."""

import json
import re

import pytest

import h2spec
from certificates import Authority
from gateway import configuration, run
from h2spec import CLIENT_CASES, RUNS, SERVER_CASES, needs_h2spec
from servers import h2o, nginx_h2, node, node_h2, tool

pytestmark = needs_h2spec


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority")).issue("local", "localhost", "127.0.0.1", key="rsa")


# --- the runner ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "TLS"])
def test_runner_sees_all_cases(tmp_path, local, tls):
    """h2o, which passes nearly all of them."""
    server = h2o(tmp_path / "h2o", local if tls else None)
    report = h2spec.run_server_suite(tmp_path, server.port, "/hello", tls, timeout=1)
    server.stop()
    assert len(report) == SERVER_CASES
    assert len(report.failures()) < 5, report


def test_runner_sees_failures(tmp_path):
    """nginx 1.22 takes fields that are of the connection."""
    server = nginx_h2(tmp_path)
    report = h2spec.run_server_suite(tmp_path, server.port, "/hello", sections=["http2/8.1.2.2"], timeout=1)
    server.stop()
    assert len(report) == 2 and report.failures(), report


def test_runner_sees_clients(local):
    """curl, which passes nearly all of them."""
    command = [tool("curl"), "-s", "-o", "/dev/null", "-m", "1"]
    report = h2spec.run_client_suite(h2spec.first_port(CLIENT_CASES), [*command, "--http2-prior-knowledge"])
    assert len(report) == CLIENT_CASES and len(report.failures()) < 5, report


# --- the gateway -----------------------------------------------------------------------------------------------------


# How a version refuses what it does not speak yet; any other complaint is a failure.
NOT_YET = re.compile(r'unknown key "protocols"|"h2", which is not supported by this version|tls: not supported by this version')


def needs(tmp_path, config):
    """Skips where this version does not know what the configuration asks for."""
    file = tmp_path / "needs.yaml"
    file.write_text(json.dumps(config))
    checked = run("check", file)
    if NOT_YET.search(checked.stderr + checked.stdout):
        pytest.skip("this version does not speak that")


def listening(tls, certificate):
    listener = {"protocols": ["h2"]}
    if tls:
        listener["tls"] = {"certificates": [{"cert": str(certificate.cert), "key": str(certificate.key)}]}
    return listener


ORIGINS = {"own": lambda: None, "h1": lambda: node("node_server.js"), "h2": node_h2}


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "TLS"])
@pytest.mark.parametrize("behind", ORIGINS)
def test_server(start, tmp_path, local, behind, tls):
    """A route that answers itself, and proxied ones to HTTP/1.1 and to HTTP/2; so often in a row."""
    server = ORIGINS[behind]()
    try:
        if server is None:
            config = configuration(listener=listening(tls, local), route={"respond": {"body": "hello"}})
        else:
            config = configuration(server, listener=listening(tls, local), upstream={"protocol": behind})
        needs(tmp_path, config)
        gateway = start(config)
        for turn in range(RUNS):
            report = h2spec.run_server_suite(tmp_path, gateway.port, "/hello", tls)
            assert len(report) == SERVER_CASES
            assert not report.failures(), f"run {turn + 1}\n{report}"
    finally:
        if server is not None:
            server.stop()


def test_client(start, tmp_path):
    """Every case is an upstream. The command that h2specd runs asks the gateway for the one of its port."""
    port = h2spec.first_port(CLIENT_CASES)
    ports = range(port, port + CLIENT_CASES)
    config = configuration(route=[{"name": f"case-{p}", "match": {"path": f"/{p}"}, "upstream": f"case-{p}"} for p in ports])
    config["upstreams"] = [{"name": f"case-{p}", "protocol": "h2", "endpoints": [{"address": f"127.0.0.1:{p}"}],
        "timeouts": {"first_byte": "2s", "request": "2s"}} for p in ports]
    needs(tmp_path, config)
    gateway = start(config)
    command = tmp_path / "ask"
    command.write_text("#!/bin/sh\nport=${1##*:}\nexec "
        f"{tool('curl')} -s -o /dev/null -m 2 http://127.0.0.1:{gateway.port}/${{port%/}}\n")
    command.chmod(0o755)
    for turn in range(RUNS):
        report = h2spec.run_client_suite(port, [command])
        assert len(report) == CLIENT_CASES
        assert not report.failures(), f"run {turn + 1}\n{report}"
