"""The program as its operator meets it: commands, complaints, exit statuses, signals, log files."""

import concurrent.futures
import http.client
import json
import re
import signal
import socket
import subprocess

import pytest

from gateway import BINARY, configuration, eventually, run
from raw import TIMEOUT

HELLO = [{"name": "hello", "match": {"path": "/hello/*"}, "respond": {"status": 200, "body": "hello"}}]
ACCESS = "access.log"


def settings(folder, workers=1, format="json", path=None):
    """A gateway that answers /hello/... itself and logs into a file of the test's folder."""
    log = {"access": {"format": format, "path": str(path or folder / ACCESS)}, "level": "info"}
    return configuration(route=HELLO, workers=workers, admin="off", log=log, drain_timeout="20s")


def file_of(folder, config):
    path = folder / "config.yaml"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return path


def get(gateway, path):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=TIMEOUT)
    try:
        connection.request("GET", path, headers={"User-Agent": "test"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def ended_by(gateway, number=signal.SIGTERM):
    gateway.signal(number)
    return gateway.wait(60)


# --- usage ------------------------------------------------------------------------------------------------------------


def test_without_a_command_the_usage_is_shown():
    result = run()
    assert result.returncode == 2 and result.stdout == ""
    for command in ("run", "check", "explain", "leaks", "upgrade", "version", "help"):
        assert re.search(rf"^  {command} ", result.stderr, re.M)


@pytest.mark.parametrize("arguments, complaint", [
    (["walk"], "there is no command 'walk'"),
    (["run"], "the configuration is missing"),
    (["run", "-c"], "-c needs a value"),
    (["run", "weir.yaml"], "the configuration is missing"),
    (["run", "-c", "a", "-c", "b"], "-c is said twice"),
    (["run", "-c", "a", "--config=b"], "--config is said twice"),
    (["run", "b", "-c", "a"], "'b' is too much"),
    (["status"], "say where to ask"),
    (["diff", "a"], "OLD and NEW are needed"),
    (["diff", "a", "b", "c"], "'c' is not known here"),
    (["diff", "a", "-b"], "'-b' is not known here"),
    (["diff", "a", "b", "--replay"], "--replay needs a value"),
    (["demo", "--port=0"], "--port takes a number"),
    (["demo", "--soon"], "there is no option '--soon'"),
    (["endpoint", "list"], "say where to ask"),
    (["endpoint", "list", "-c", "a", "--at", "b"], "not with both"),
    (["endpoint", "-c", "a", "--token-file", "b", "list"], "--token-file belongs to '--at PLACE'"),
    (["run", "-c", "a", "b"], "'b' is too much"),
    (["leaks", "-c", "a", "b"], "'b' is too much"),
    (["upgrade", "-c", "a", "b"], "'b' is too much"),
    (["leaks", "-c", "a", "--json", "b"], "'b' is too much"),
    (["check"], "exactly one FILE is needed"),
    (["check", "a", "b"], "exactly one FILE is needed"),
    (["explain", "-c", "a", "GET"], "a METHOD and a URL are needed"),
    (["help", "walk"], "there is no command 'walk'"),
])
def test_wrong_usage_ends_with_2(arguments, complaint):
    result = run(*arguments)
    assert result.returncode == 2 and result.stdout == ""
    assert complaint in result.stderr and "weir help" in result.stderr


@pytest.mark.parametrize("arguments", [["help"], ["--help"], ["help", "run"], ["run", "--help"], ["check", "-h"], ["endpoint", "list", "--help"]])
def test_help_goes_to_standard_output(arguments):
    result = run(*arguments)
    assert result.returncode == 0 and "usage: weir" in result.stdout and result.stderr == ""


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_version(arguments):
    result = run(*arguments)
    assert result.returncode == 0
    assert re.match(r"weir \d+\.\d+\.\d+\ncompiler: (gcc|clang) .+\nlibraries: OpenSSL 3.*nghttp2 \d.*libyaml \d.*jansson \d", result.stdout)


# --- configuration ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_said_is_a_failure(tmp_path):
    file = file_of(tmp_path, settings(tmp_path))
    for arguments in (["version"], ["help"], ["check", str(file)]):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([BINARY, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        assert (result.returncode, result.stderr) == (1, "weir: standard output could not be written\n")


def test_check_says_ok_and_the_plan(tmp_path):
    path = file_of(tmp_path, settings(tmp_path, workers=2))
    result = run("check", path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith(f"{path}: ok\n") and "files" in result.stdout


@pytest.mark.parametrize("command", [["check"], ["run", "-c"], ["explain", "-c"]])
def test_all_complaints_at_once_and_2(tmp_path, command):
    path = file_of(tmp_path, "version: 1\nlisteners:\n  - {name: a, adress: '127.0.0.1:1'}\nworkers: some\n")
    result = run(*command, path, *(["GET", "/"] if command[0] == "explain" else []))
    assert result.returncode == 2
    assert re.search(rf"^{re.escape(str(path))}:3:\d+: listeners\[0\].*address", result.stderr, re.M)
    assert re.search(rf"^{re.escape(str(path))}:4:\d+: workers", result.stderr, re.M)
    assert "nothing was started" in result.stderr


@pytest.mark.parametrize("command", [["check"], ["run", "-c"]])
def test_missing_file_is_one_line_and_1(command):
    result = run(*command, "/nonexistent/weir.yaml")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and "/nonexistent/weir.yaml" in result.stderr


def test_explain(tmp_path):
    path = file_of(tmp_path, settings(tmp_path))
    taken = run("explain", "-c", path, "GET", "http://example.com/hello//you?x=1")
    assert taken.returncode == 0, taken.stderr
    assert "-> hello" in taken.stdout and "GET /hello/you?x=1 is answered by the route itself: 200" in taken.stdout
    assert run("explain", "GET", "http://example.com/hello//you?x=1", "-c", path, "--client=10.1.2.3").stdout == taken.stdout
    refused = run("explain", "-c", path, "GET", "/bye")
    assert refused.returncode == 1 and "404 no_route" in refused.stdout
    wrong = run("explain", "-c", path, "GET", "/%00")
    assert wrong.returncode == 2 and "would be refused with 400" in wrong.stderr


def test_explain_says_what_filters_do(tmp_path):
    config = settings(tmp_path)
    keys = [{"name": "shop", "key": "4f0c1e9a7d5b42c8a1e6"}]
    config["routes"][0]["filters"] = [{"access": {"allow": ["10.0.0.0/8"]}}, {"api_key": {"keys": keys}}, {"rate_limit": {"rate": "9/m"}},
        {"headers": {"request": {"set": {"A": "b"}}}}]
    path = file_of(tmp_path, config)
    for client, code, verdict in (((), 0, "blocks allowed 1, denied 0"), (("--client", "10.1.2.3"), 0, "lets pass 10.1.2.3"),
            (("--client", "::1"), 1, "refuses ::1")):
        told = run("explain", "-c", path, *client, "GET", "http://example.com/hello/you")
        assert told.returncode == code and "access       " in told.stdout and verdict in told.stdout
        assert ("is refused: 403 forbidden" in told.stdout) == (code == 1)
        assert "asks for a key in X-Api-Key, of which 1 is known" in told.stdout and keys[0]["key"] not in told.stdout
        assert "lets 9 pass in 60000ms" in told.stdout and "changes fields: of the request 1, of the response 0" in told.stdout
    for wrong in (("--client",), ("--client", "here"), ("--client", "10.0.0.0/8")):
        assert run("explain", "-c", path, *wrong, "GET", "/").returncode == 2


@pytest.mark.parametrize("method", ["", "G T", "G/T", "GET\t", "G\u00c4T"])
def test_explain_of_what_no_method_can_be(tmp_path, method):
    told = run("explain", "-c", file_of(tmp_path, settings(tmp_path)), method, "http://example.com/hello/you")
    assert told.returncode == 2 and "would be refused with 400" in told.stderr
    assert told.stdout == ""


# --- starting -----------------------------------------------------------------------------------------------------------


def test_listening_then_ready_then_serving(start, tmp_path):
    gateway = start(settings(tmp_path, workers=2))
    assert gateway.events.text().splitlines() == [
        f"weir: listening on 127.0.0.1:{gateway.port} (public)", "weir: ready (2 workers)"]
    assert get(gateway, "/hello/you") == (200, b"hello")


def test_port_in_use_is_one_line_and_1(tmp_path):
    config = settings(tmp_path, workers=2)
    address = config["listeners"][0]["address"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(address.split(":")[1])))
        taken.listen()
        result = run("run", "-c", file_of(tmp_path, config))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and address in result.stderr and "in use" in result.stderr


def test_port_of_another_gateway_is_in_use(start, tmp_path):
    gateway = start(settings(tmp_path))
    result = run("run", "-c", gateway.file)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and str(gateway.port) in result.stderr and "in use" in result.stderr


def test_nothing_listens_when_one_port_is_in_use(start, tmp_path):
    gateway = start(settings(tmp_path))
    config = settings(tmp_path)
    config["listeners"].append({"name": "second", "address": gateway.config["listeners"][0]["address"]})
    result = run("run", "-c", file_of(tmp_path, config))
    assert result.returncode == 1
    assert "listening on" not in result.stderr and "(listener second)" in result.stderr


def test_unwritable_access_log_is_one_line_and_1(tmp_path):
    result = run("run", "-c", file_of(tmp_path, settings(tmp_path, path="/nonexistent/access.log")))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and "/nonexistent/access.log: No such file" in result.stderr


# --- signals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT])
def test_signal_ends_it_with_0(start, tmp_path, number):
    gateway = start(settings(tmp_path, workers=2))
    assert ended_by(gateway, number) == 0
    assert number.name in gateway.events.text()


def begin(gateway, request):
    """Sends a part of a request; an answer to another client shows that the worker has gone round its loop since."""
    client = socket.create_connection(("127.0.0.1", gateway.port), TIMEOUT)
    client.sendall(request)
    get(gateway, "/hello/you")
    return client


def test_drain_lets_a_begun_request_finish(start, tmp_path):
    gateway = start(settings(tmp_path))
    with begin(gateway, b"GET /hello/you HTTP/1.1\r\nHos") as client:
        gateway.signal(signal.SIGTERM)
        gateway.event("SIGTERM: draining")
        client.sendall(b"t: a\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 ")
        assert gateway.wait() == 0


def test_second_signal_ends_a_drain_at_once(start, tmp_path):
    gateway = start(settings(tmp_path))
    with begin(gateway, b"GET /hello/you HTTP/1.1\r\nHos"):
        gateway.signal(signal.SIGTERM)
        gateway.event("SIGTERM: draining")
        assert ended_by(gateway) == 0


def test_hangup_reads_the_configuration_again(start, tmp_path):
    gateway = start(settings(tmp_path))
    routes = [{"name": "hello", "match": {"path": "/hello/*"}, "respond": {"body": "goodbye"}}]
    said = gateway.reload(gateway.config | {"routes": routes})
    assert len(said) == 2 and "info main took: read " in said[0] and "info main reloaded: 1 route" in said[1]
    assert get(gateway, "/hello/you") == (200, b"goodbye")


# --- logs ---------------------------------------------------------------------------------------------------------------

FIELDS = ["time", "listener", "client", "method", "host", "target", "protocol", "request_id", "status", "cause", "why",
          "route", "upstream", "endpoint", "reused", "retries", "upstream_status", "bytes_in", "bytes_out", "queue_us",
          "connect_us", "first_byte_us", "total_us", "phases_us", "user_agent", "referer", "upgraded"]


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_access_log_json(start, tmp_path):
    gateway = start(settings(tmp_path))
    get(gateway, "/hello/you?x=1")
    get(gateway, "/bye")
    assert ended_by(gateway) == 0
    taken, refused = records(tmp_path / ACCESS)
    assert list(taken) == FIELDS
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", taken["time"])
    expected = {"listener": "public", "client": "127.0.0.1", "method": "GET", "target": "/hello/you?x=1",
                "protocol": "HTTP/1.1", "status": 200, "cause": None, "route": "hello", "upstream": None, "endpoint": None,
                "reused": False, "upstream_status": False, "bytes_in": 0, "bytes_out": 5, "queue_us": None,
                "connect_us": None, "first_byte_us": None, "user_agent": "test", "referer": None, "upgraded": False}
    assert {key: taken[key] for key in expected} == expected
    assert taken["request_id"] and 0 <= taken["total_us"] < TIMEOUT * 1_000_000
    assert (refused["status"], refused["cause"], refused["route"]) == (404, "no_route", None)


def test_access_log_text(start, tmp_path):
    gateway = start(settings(tmp_path, format="text"))
    get(gateway, "/hello/you")
    assert ended_by(gateway) == 0
    assert re.fullmatch(r'127\.0\.0\.1 - - \[[^]]+Z\] "GET /hello/you HTTP/1\.1" 200 5 "-" "test" listener="public" .*'
                        r'route="hello" .*queue_us=- connect_us=- first_byte_us=- total_us=\d+ phases_us=-\n',
                        (tmp_path / ACCESS).read_text())


def test_rotation(start, tmp_path):
    gateway = start(settings(tmp_path))
    access, rotated = tmp_path / ACCESS, tmp_path / "access.log.1"
    get(gateway, "/hello/before")
    eventually(access.read_text)
    access.rename(rotated)
    gateway.signal(signal.SIGUSR1)
    eventually(access.exists)
    get(gateway, "/hello/after")
    assert ended_by(gateway) == 0
    assert [record["target"] for record in records(rotated)] == ["/hello/before"]
    assert [record["target"] for record in records(access)] == ["/hello/after"]


@pytest.mark.threads
def test_two_workers_lose_no_line(start, tmp_path):
    gateway = start(settings(tmp_path, workers=2))

    def client(number):
        for i in range(50):
            assert get(gateway, f"/hello/{number}/{i}") == (200, b"hello")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(client, number) for number in range(8)]
        for _ in range(5):
            gateway.signal(signal.SIGUSR1)
        for finished in clients:
            finished.result()
    assert ended_by(gateway) == 0
    targets = [record["target"] for record in records(tmp_path / ACCESS)]
    assert sorted(targets) == sorted(f"/hello/{number}/{i}" for number in range(8) for i in range(50))
