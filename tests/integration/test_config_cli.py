"""Bad configurations get every complaint at once, unusable machines one line. (More: test_command_line.py.)"""

import json
import re
import signal

import pytest

from gateway import ROOT, configuration, free_port, run

BAD = """\
version: 1
workers: many
listeners:
  - name: public
    address: 127.0.0.1
    limits: {conections: 5, header_bytes: 32, header_count: 0}
    timeouts: {header: 10, keep_alive: 5 parsecs}
    trusted_proxies: [10.0.0.1/8]
  - name: public
    address: 127.0.0.1:8080
upstreams:
  - name: users
    endpoints: []
    pool: {max_connections: 0, acquire_timeout: 0s}
routes:
  - name: a
    match: {path: users, methods: [get]}
    upstream: user
  - name: b
    match: {path: "/x"}
    filters:
      - headers: {request: {set: {"Bad Name": x, Content-Length: 5}}}
    respond: {status: 99}
    redirect: {location: //evil}
"""

# line, path of the key, a word of the complaint
COMPLAINTS = [
    (2, "workers", "auto"),
    (5, "listeners[0].address", "port"),
    (6, "listeners[0].limits.conections", "connections"),
    (6, "listeners[0].limits.header_bytes", "B"),
    (6, "listeners[0].limits.header_count", "1"),
    (7, "listeners[0].timeouts.header", "unit"),
    (7, "listeners[0].timeouts.keep_alive", "ms"),
    (8, "listeners[0].trusted_proxies[0]", "10.0.0.1/8"),
    (9, "listeners[1].name", "public"),
    (13, "upstreams[0].endpoints", ""),
    (14, "upstreams[0].pool.max_connections", "1"),
    (14, "upstreams[0].pool.acquire_timeout", ""),
    (17, "routes[0].match.path", "/"),
    (17, "routes[0].match.methods[0]", "GET"),
    (18, "routes[0].upstream", "users"),
    (22, "routes[1].filters[0].headers.request.set.Bad Name", ""),
    (22, "routes[1].filters[0].headers.request.set.Content-Length", ""),
    (23, "routes[1].respond.status", "200"),
    (24, "routes[1].redirect.location", ""),
]


@pytest.mark.parametrize("command", [["check"], ["run", "-c"]])
def test_all_complaints_at_once(tmp_path, command):
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    result = run(*command, path)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    for line, key, word in COMPLAINTS:
        said = [l for l in lines if re.match(rf"{re.escape(str(path))}:{line}:\d+: {re.escape(key)}: ", l)]
        assert said and word in said[0], f"line {line}, {key}: {said}\n{result.stderr}"


@pytest.mark.parametrize("text, place", [
    ("version: 1\nlisteners: [\n", r":\d+:\d+: "),
    ("version: 1\n\tlisteners: []\n", r":2:\d+: "),
    ("", ":1:1: "),
    ("a: &x 1\nb: *x\n", r":\d+:\d+: "),
    ("version: 1\nversion: 1\n", r":2:1: version: "),
    ("--- {}\n--- {}\n", r":\d+:\d+: "),
    ("version: \xff\n", r":1:\d+: "),
    ("[" * 100, r":1:\d+: "),
], ids=["open bracket", "tab", "empty", "alias", "duplicate key", "two documents", "no UTF-8", "too deep"])
def test_what_is_no_configuration_at_all(tmp_path, text, place):
    path = tmp_path / "bad.yaml"
    path.write_bytes(text.encode("latin-1"))
    result = run("check", path)
    assert result.returncode == 2
    assert re.search("^" + re.escape(str(path)) + place, result.stderr, re.M), result.stderr


def test_examples_are_in_order():
    examples = sorted((ROOT / "examples").glob("*.yaml"))
    assert examples
    for path in examples:
        result = run("check", path)
        assert result.returncode in (0, 2), result.stderr
        # What does not fit this machine is told by the plan; the file itself must be right.
        assert "nothing was started" not in result.stderr, result.stderr


def test_configurations_in_the_manual_are_in_order(tmp_path):
    manual = "".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
    found = re.findall(r"^```yaml\n(version:.*?)^```", manual, re.M | re.S)
    assert found
    for i, block in enumerate(found):
        path = tmp_path / f"{i}.yaml"
        path.write_text(block)
        result = run("check", path)
        assert "nothing was started" not in result.stderr, block + result.stderr


def test_plan_refuses_what_cannot_work(tmp_path):
    """More clients than any process can have open files."""
    path = tmp_path / "large.yaml"
    path.write_text(f"""\
version: 1
listeners:
  - {{name: a, address: "127.0.0.1:{free_port()}", limits: {{connections: 1000000}}}}
  - {{name: b, address: "127.0.0.1:{free_port()}", limits: {{connections: 1000000}}}}
upstreams:
  - {{name: u, endpoints: [{{address: "127.0.0.1:9"}}], pool: {{max_connections: 100000}}}}
routes:
  - {{name: r, upstream: u}}
""")
    result = run("check", path)
    assert result.returncode == 2
    assert "files" in result.stdout + result.stderr
    assert re.search(r"\d", result.stdout)


def test_byte_order_mark_is_skipped(start):
    """Some editors write one. What is complained of afterwards still stands where it is said to stand."""
    text = json.dumps(configuration(route={"respond": {"body": "own"}}))
    assert start("\ufeff" + text).process.poll() is None


def test_places_behind_a_byte_order_mark(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text("\ufeff" + BAD, encoding="utf-8")
    marked = run("check", path)
    path.write_text(BAD, encoding="utf-8")
    assert (marked.returncode, marked.stderr) == (2, run("check", path).stderr)


def test_directory_as_configuration_is_one_line_and_1(tmp_path):
    result = run("run", "-c", tmp_path)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1


def test_address_of_another_machine_is_one_line_and_1(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(f"version: 1\nlisteners: [{{name: a, address: '192.0.2.1:{free_port()}'}}]\n"
                    "routes: [{name: r, respond: {status: 200}}]\n")
    result = run("run", "-c", path)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and "192.0.2.1" in result.stderr


def test_stale_unix_socket_is_replaced_and_a_live_one_is_not(start, tmp_path):
    path = tmp_path / "weir.sock"
    config = configuration(listener={"address": f"unix:{path}"}, route={"respond": {"status": 200}})
    first = start(config)
    result = run("run", "-c", first.file)
    assert result.returncode == 1 and "in use" in result.stderr
    first.checked = True
    first.signal(signal.SIGKILL)
    first.process.wait()
    assert path.exists()
    start(config)
