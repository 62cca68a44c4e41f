"""What the administration tells of the gateway: the configuration without its secrets, tables, and the commands that print them."""

import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios

import pytest

from admin import Admin, administered
from gateway import BINARY, configuration, eventually, free_port, run
from raw import get, response
from test_admin_api import error_of
from test_admin_endpoints import path_of
from test_handover import Successor
from test_openapi import check_is

pytestmark = pytest.mark.threads

SECRET = "s3cret-s3cret-s3cret-s3cret"


@pytest.fixture
def admin(start, origin):
    limits = [{"rate_limit": {"rate": "1000000/s"}}]
    return administered(start, origin, route={"filters": limits, "breaker": True}, upstream={"breaker": True})[1]


def test_configuration_has_its_defaults_and_no_secrets(start, origin, tmp_path):
    file = tmp_path / "token"
    file.write_text(SECRET)
    headers = {"headers": {"request": {"set": {"Authorization": f"Bearer {SECRET}", "X-Plain": "as \"it\" is"}}}}
    gateway = start(configuration(origin, route={"filters": [headers]},
        admin={"address": f"127.0.0.1:{free_port()}", "token": SECRET}))
    answer = Admin(gateway).ask("/v1/config", [f"Authorization: Bearer {SECRET}"])
    assert SECRET.encode() not in answer.body
    told = json.loads(answer.body)
    assert told["file"] == str(gateway.file) and told["number"] == 1
    config = told["configuration"]
    assert config["admin"]["token"] == "***" and config["admin"]["limits"] == {"connections": 32, "streams": 8, "answer_bytes": "64MiB"}
    assert config["routes"][0]["filters"] == [{"headers": {"request": {"set": {"Authorization": "***", "X-Plain": 'as "it" is'},
        "remove": []}, "response": {"remove": []}}}] or \
        config["routes"][0]["filters"][0]["headers"]["request"]["set"] == {"Authorization": "***", "X-Plain": 'as "it" is'}
    assert config["upstreams"][0]["timeouts"] == {"connect": "20s", "first_byte": "15s", "idle": "30s", "request": "30s"}
    assert config["upstreams"][0]["hedge"] == "off" and "respond" not in config["routes"][0]
    assert config["workers"] == 1


def test_configuration_is_the_one_in_force(start, origin):
    gateway, admin = administered(start, origin)
    gateway.reload({**gateway.config, "drain_timeout": "7s"})
    told = eventually(lambda: (t := admin.json("/v1/config"))["number"] == 2 and t)
    assert told["configuration"]["drain_timeout"] == "7s"


def test_tables(admin, origin):
    client, wire, _ = origin.asked(admin.gateway)
    assert admin.json("/v1/stuck") == {"exchanges": [], "clients": [], "workers_unanswered": []}
    assert admin.json("/v1/status")["requests"]["in_flight"] == 1
    assert admin.json("/v1/pools")["pools"][0]["leased"] == 1
    wire.send(response("done"))
    client.read_response()
    eventually(lambda: admin.json("/v1/routes")["routes"][0]["requests"] == 1)
    assert admin.json("/v1/limits")["rate_limits"][0]["passed"] == 1
    assert [b["state"] for b in admin.json("/v1/breakers")["breakers"]] == ["closed"] * 2
    status = admin.json("/v1/status")
    assert (status["state"], status["workers"], status["endpoints"]) == ("running", 1, {"total": 1, "out_of_service": 0, "set": 0})


def test_explain(admin):
    told = admin.json("/v1/explain?url=http%3A%2F%2Fexample.com%2Fa%3Fb=c")
    assert (told["route"], told["upstream"], told["host"], told["path"], told["refused"]) == ("all", "origin", "example.com", "/a", None)
    assert told["routes"] == [{"route": "all", "chosen": True, "verdict": told["routes"][0]["verdict"]}]
    for query in ("", "?url=", "?url=/&method=CONNECT", "?url=/&method=a%20b", "?url=nothing", "?url=/&url=/b", "?uri=/"):
        assert error_of(admin.ask("/v1/explain" + query)) == (400, "bad_request")


def test_explain_says_what_filters_do(start, origin):
    access = {"access": {"allow": ["10.0.0.0/8"]}}
    _, admin = administered(start, origin, route={"filters": [access, {"rate_limit": {"rate": "9/m"}}]})
    for client, refused, verdict in (("", None, "goes by"), ("&client=10.1.2.3", None, "lets pass 10.1.2.3"), ("&client=%3A%3A1", "forbidden", "refuses ::1")):
        told = admin.json("/v1/explain?url=/a" + client)
        assert (told["route"], told["refused"]) == ("all", refused)
        assert [f["filter"] for f in told["filters"]] == ["access", "rate_limit"] and told["filters"][0]["does"].startswith(verdict)
    assert error_of(admin.ask("/v1/explain?url=/a&client=here")) == (400, "bad_request")


def test_commands(admin, origin):
    def weir(*arguments):
        result = run(arguments[0], "-c", admin.gateway.file, *arguments[1:])
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout

    assert "running" in weir("status") and json.loads(weir("status", "--json"))["workers"] == 1
    assert weir("stuck").startswith("nothing is stuck")
    assert weir("log-level") == "info\n" and weir("log-level", "debug") == "debug\n"
    assert weir("endpoint", "list").splitlines()[1].split()[-2:] == ["in", "service"]
    for words, state in ((["disable"], "disabled"), (["drain"], "disabled,drained"), (["enable"], "in service"),
            (["weight", "7"], "7"), (["weight", "auto"], "1")):
        said = weir("endpoint", words[0], "origin", origin.address, *words[1:])
        assert state in said and origin.address in said
    assert "draining" in weir("drain")
    assert admin.gateway.wait() == 0


def test_commands_that_are_refused(admin, origin):
    for arguments in (["endpoint", "disable", "origin", "127.0.0.1:1"], ["endpoint", "weight", "origin", origin.address, "1001"],
            ["log-level", "loud"], ["log-level", 'a","b":"']):
        result = run(arguments[0], "-c", admin.gateway.file, *arguments[1:])
        assert result.returncode == 1 and "refuses" in result.stderr
    assert "not UTF-8" in run("log-level", "-c", admin.gateway.file, "\udcff").stderr
    for arguments in (["endpoint"], ["endpoint", "stop", "origin", origin.address], ["status", "x"], ["drain", "x"],
            ["endpoint", "weight", "origin", origin.address, '1,"drain":true'], ["endpoint", "drain", "origin", origin.address, "1"],
            ["log-level", "info", "debug"], ["top", "x"]):
        assert run(arguments[0], "-c", admin.gateway.file, *arguments[1:]).returncode == 2


def test_each_command_tells_programs_the_answer_as_it_is(admin, origin):
    for command, key in ((["status"], "workers"), (["stuck"], "exchanges"), (["leaks"], "leases"),
            (["top"], "upstreams"), (["log-level"], "level"), (["log-level", "debug"], "level"), (["endpoint", "list"], "upstreams"),
            (["endpoint", "enable", "origin", origin.address], "set"), (["reload"], "outcome"), (["drain"], "outcome")):
        result = run(command[0], "-c", admin.gateway.file, "--json", *command[1:])
        assert result.stderr == "" and key in json.loads(result.stdout), command


ASKING = (["status"], ["stuck"], ["leaks"], ["top"], ["why"], ["log-level"], ["endpoint", "list"])


def asked_by(*where):
    """By every command that asks; what it needs to know of the file is where."""
    for command, *words in ASKING:
        result = run(command, *where, *words)
        assert (result.returncode, result.stderr) == (0, "") and result.stdout, command


def test_each_command_asks_while_the_file_is_bad(admin):
    """Keys that cannot be read, nonsense, a key twice: what is said of `admin` is all that counts."""
    admin.why()
    tls = {"certificates": [{"certificate": "/nowhere", "key": "/nowhere"}]}
    bad = json.dumps({**admin.gateway.config, "listeners": [{"name": "a", "address": "x", "tls": tls}], "nonsense": 1, "routes": 7})
    admin.gateway.file.write_text(bad[:-1] + ', "nonsense": 2}')
    asked_by("-c", admin.gateway.file)
    refused = run("reload", "-c", admin.gateway.file)
    assert refused.returncode == 2 and f"{admin.gateway.file}:1:" in refused.stdout and "refused: " in refused.stdout
    for text, complaint in (("a: [", "does not say where"), (json.dumps({"admin": {"address": "nowhere"}}), "admin.address: found"),
            (json.dumps({"routes": []}), "`admin` is off")):
        admin.gateway.file.write_text(text)
        result = run("status", "-c", admin.gateway.file)
        assert result.returncode == 2 and complaint in result.stderr
    asked_by("--at", admin.address)


def test_options_stand_where_they_are_put(start, origin):
    gateway, admin = administered(start, origin)
    file, at, where = gateway.file, admin.address, ("origin", origin.address)
    for arguments in (("list", "-c", file), ("-c", file, "list"), ("list", f"--config={file}"), (f"--at={at}", "list"), ("list", "--at", at)):
        told = run("endpoint", *arguments)
        assert told.returncode == 0 and origin.address in told.stdout, told.stderr
    assert json.loads(run("endpoint", "--json", "list", "-c", file).stdout) == json.loads(run("endpoint", "-c", file, "list", "--json").stdout)
    assert run("endpoint", "disable", *where, "-c", file).returncode == 0
    assert run("endpoint", "weight", "origin", "-c", file, origin.address, "--json", "3").returncode == 0
    assert admin.json(path_of(origin))["set"] == {"enabled": False, "drain": False, "weight": 3}
    assert run("log-level", "debug", "--at", at).stdout == run("log-level", "--at", at).stdout == "debug\n"
    admin.why()
    told = run("why", "--window=2s", "-c", file, "--upstream", "origin", "--json")
    assert told.returncode == 0 and json.loads(told.stdout)["verdicts"], told.stderr


def test_each_command_asks_where_it_is_told(start, origin, tmp_path):
    (tmp_path / "token").write_text(SECRET)
    path = tmp_path / "admin.sock"
    _, admin = administered(start, origin,
        admin={"address": f"127.0.0.1:{free_port()}", "token_file": str(tmp_path / "token"), "unix": str(path)})
    eventually(lambda: run("why", "--at", f"unix:{path}").returncode == 0)
    asked_by("--at", f"unix:{path}")
    asked_by("--at", admin.address, "--token-file", tmp_path / "token")
    refused = run("status", "--at", admin.address)
    assert refused.returncode == 1 and "refuses" in refused.stderr
    for where, complaint in (([admin.address, "--token-file", "/nowhere"], "token_file: the file"), (["here"], "the port is missing"),
            (["192.0.2.1:80"], "others can reach"), ([f"unix:{path}", "--token-file", tmp_path / "token"], "nobody is asked for it"),
            (["\udcff"], "not UTF-8"), ([], "--at needs a value")):
        result = run("status", "--at", *where)
        assert (result.returncode, result.stdout) == (2, "") and complaint in result.stderr
    result = run("reload", "--at", f"unix:{path}")
    assert result.returncode == 0 and "reloaded: " in result.stdout


def test_a_reload_that_takes_its_time_is_waited_for(tmp_path):
    """By an administration of ours, which needs longer than any other question is given."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = configuration("127.0.0.1:1", admin={"address": "127.0.0.1:%d" % listener.getsockname()[1]})
        (tmp_path / "weir.yaml").write_text(json.dumps(config))
        command = subprocess.Popen([BINARY, "reload", "-c", tmp_path / "weir.yaml"], stdout=subprocess.PIPE, text=True)
        wire, _ = listener.accept()
        wire.recv(65536)
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(5.5)
        wire.sendall(response('{"outcome": "reloaded"}'))
        said, _ = command.communicate(timeout=60)
        assert command.returncode == 0 and "no worker paused" in said


def test_stuck_prints_requests_and_clients():
    """By an administration of ours: the gateway has none unless it is broken. The times are null where there is none."""
    none = dict.fromkeys(("stage", "held_s", "age_s", "quiet_s", "upstream", "endpoint", "request_id", "method", "path", "route", "client"))
    request = {**none, "stage": "waiting", "quiet_s": 61.5, "request_id": "abc", "method": "GET", "path": "/a", "upstream": "u",
        "endpoint": "192.0.2.1:80", "client": "192.0.2.9", "worker": 1}
    client = {**none, "stage": "handshake", "client": "192.0.2.8", "worker": 0}
    for stuck, lines in (({"exchanges": [request], "clients": []}, [f"{61.5:8.1f} s  waiting      GET /a",
            "           u 192.0.2.1:80, request abc, worker 1"]),
            ({"exchanges": [], "clients": [client]}, [f"{'-':>10}  handshake    client 192.0.2.8, worker 0"])):
        check_is("Stuck", {**stuck, "workers_unanswered": []})
        with socket.create_server(("127.0.0.1", 0)) as listener:
            command = subprocess.Popen([BINARY, "stuck", "--at", "127.0.0.1:%d" % listener.getsockname()[1]], stdout=subprocess.PIPE, text=True)
            wire, _ = listener.accept()
            wire.recv(65536)
            wire.sendall(response(json.dumps({**stuck, "workers_unanswered": []})))
            said, _ = command.communicate(timeout=60)
        assert command.returncode == 0 and said.splitlines() == lines


# --- weir top -----------------------------------------------------------------------------------------------------------


def test_top_is_one_frame_in_a_pipe(admin, origin):
    client, wire, _ = origin.asked(admin.gateway)
    def shown():
        """Where the machine has kept it from going on it says so first, for a while."""
        result = run("top", "-c", admin.gateway.file)
        return "1 in flight" in result.stdout and "why        offered_load" in result.stdout and result

    result = eventually(shown)
    assert (result.returncode, result.stderr) == (0, "") and "\033" not in result.stdout
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) < 80 and any(line.split()[1:2] == [origin.address] and line.endswith("in_service") for line in lines)
    wire.send(response("done"))
    client.read_response()


def sockets_of(pid):
    """Of a process: the numbers of those it has open."""
    found = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.add(os.readlink(f"/proc/{pid}/fd/{number}"))
        except FileNotFoundError:
            continue
    return {name for name in found if name.startswith("socket:")}


def test_top_fits_a_terminal(start, make_origin):
    """80 by 24, however many endpoints there are; frame after frame, each from the top."""
    gateway, _ = administered(start, *[f"127.0.0.{n}:9" for n in range(1, 60)])
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    top = subprocess.Popen([BINARY, "top", "-c", gateway.file], stdout=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    said = b""
    streams = set()
    try:
        while said.count(b"\033[J") < 3:
            said += os.read(ours, 65536)
            streams |= sockets_of(top.pid)
    finally:
        top.kill()
        top.wait()
        os.close(ours)
    assert len(streams) == 1, "each frame has a connection of its own"
    frames = said.decode().split("\033[H")[1:4]
    for frame in frames:
        lines = frame.partition("\033[J")[0].replace("\033[K", "").split("\r\n")
        assert len(lines) <= 24 and max(map(len, lines)) < 80
        assert lines[0].startswith("weir ") and any("requests/s" in line for line in lines)
        assert re.fullmatch(r"and \d+ more, none full", [line for line in lines if line][-1])


def test_top_shows_what_is_used_first(start, origin):
    """However many endpoints stand before it in the file."""
    gateway, admin = administered(start, origin)
    others = [{"address": f"127.0.0.{n}:9"} for n in range(2, 60)]
    gateway.reload({**gateway.config, "upstreams": [{"name": "others", "endpoints": others}, *gateway.config["upstreams"]]})
    client, wire, _ = origin.asked(gateway)

    def first():
        lines = run("top", "-c", gateway.file).stdout.splitlines()
        return lines[next(n for n, line in enumerate(lines) if line.startswith("UPSTREAM")) + 1].split()[:2] == ["origin", origin.address]

    eventually(first)
    wire.send(response("done"))
    client.read_response()


def test_top_outlives_an_upgrade(start, origin):
    """Its stream ends with the process that it was of; it asks the next one."""
    gateway, _ = administered(start, origin)
    ours, theirs = pty.openpty()
    top = subprocess.Popen([BINARY, "top", "-c", gateway.file], stdout=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    try:
        os.read(ours, 65536)
        before = sockets_of(top.pid)
        assert run("upgrade", "-c", gateway.file).returncode == 0
        new = Successor(gateway)
        said = b""
        while said.count(b"\033[J") < 2 or not sockets_of(top.pid) - before:
            said += os.read(ours, 65536)
        new.end()
    finally:
        top.kill()
        top.wait()
        os.close(ours)


def test_top_without_a_gateway(admin):
    admin.gateway.signal(signal.SIGTERM)
    assert admin.gateway.wait() == 0
    result = run("top", "-c", admin.gateway.file)
    assert result.returncode == 1 and "did not answer" in result.stderr
