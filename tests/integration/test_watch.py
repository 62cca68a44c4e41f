"""`reload.watch`: the file, and those that it names, are read again when they say something else."""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from admin import administered
from gateway import Lines, eventually, free_port, merged, sanitizer
from raw import TIMEOUT, get
from servers import tool

WATCH = {"watch": "true", "settle": "20ms"}


def body(gateway):
    client = gateway.connect()
    answer = client.ask(get("/own"))
    client.close()
    return answer.body.decode()


def with_body(config, text):
    own = {"name": "own", "match": {"path": "/own"}, "respond": {"body": text}}
    return merged(config, {"routes": [*(route for route in config["routes"] if route["name"] != "own"), own]})


@pytest.fixture(name="watched")
def _watched(start, origin):
    gateway, admin = administered(start, origin.serve(), reload=WATCH)
    return gateway, admin


def replace(gateway, config):
    """As editors and tools do it."""
    path = gateway.file
    gateway.file = path.with_name("new.tmp")
    gateway.write(config)
    os.rename(gateway.file, path)
    gateway.file = path


def test_written_and_replaced(watched):
    gateway, admin = watched
    gateway.write(with_body(gateway.config, "one"))
    eventually(lambda: body(gateway) == "one")
    # The receipt stands there a moment after what it tells of.
    assert eventually(lambda: (answer := admin.ask("/v1/reload")).status == 200 and json.loads(answer.body))["by"] == "watch"
    replace(gateway, with_body(gateway.config, "two"))
    eventually(lambda: body(gateway) == "two")
    # A bad one changes nothing, and is looked at once.
    gateway.write("nonsense: [")
    eventually(lambda: admin.metrics().get("weir_reloads_total", outcome="refused") == 1)
    assert body(gateway) == "two"
    replace(gateway, with_body(gateway.config, "three"))
    eventually(lambda: body(gateway) == "three")
    assert admin.metrics().get("weir_reloads_total", outcome="refused") == 1


def test_same_content_is_no_change(watched):
    gateway, admin = watched
    gateway.write(gateway.config)
    os.utime(gateway.file)
    gateway.file.with_name("beside").write_text("x")
    replace(gateway, gateway.config)
    # What comes behind it is seen, and nothing was before.
    gateway.write(with_body(gateway.config, "after"))
    eventually(lambda: body(gateway) == "after")
    # A reload is counted when every worker has taken it.
    eventually(lambda: admin.metrics().get("weir_reloads_total", outcome="reloaded") > 0)
    assert admin.metrics().get("weir_reloads_total", outcome="reloaded") == 1


def test_half_a_file(watched):
    """Who writes in place may take his time, whatever else happens beside it."""
    gateway, admin = watched
    gateway.write(with_body(gateway.config, "whole"))
    eventually(lambda: body(gateway) == "whole")
    eventually(lambda: admin.metrics().get("weir_reloads_total", outcome="reloaded") == 1)
    text = gateway.file.read_text().replace("whole", "more")
    with gateway.file.open("w") as file:
        file.write(text[: len(text) // 2])
        file.flush()
        # A reason to look at all files, and then the time of many `settle` in which nothing comes.
        gateway.file.with_name("beside").write_text("x")
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            assert body(gateway) == "whole"
        file.write(text[len(text) // 2 :])
    eventually(lambda: body(gateway) == "more")
    eventually(lambda: admin.metrics().get("weir_reloads_total", outcome="reloaded") == 2)
    assert admin.metrics().get("weir_reloads_total", outcome="refused") == 0


def test_links_that_are_turned(start, origin, tmp_path):
    """weir.yaml -> ..data/weir.yaml, ..data -> ..1: Kubernetes makes ..2, and renames a link to it over ..data."""
    place = tmp_path / "config"
    for name in ("..1", "..2"):
        (place / name).mkdir(parents=True)
    gateway, admin = administered(start, origin.serve(), reload=WATCH)
    path = gateway.file
    gateway.file = place / "..1" / path.name
    gateway.write(gateway.config)
    gateway.file = place / "..2" / path.name
    gateway.write(with_body(gateway.config, "turned"))
    os.symlink("..1", place / "..data")
    os.symlink(place / "..data" / path.name, path.with_name("link"))
    os.rename(path.with_name("link"), path)
    gateway.file = path
    # The same content so far; where it leads to is watched once it was looked at, which a reload does.
    gateway.reload(None)
    # It is counted behind the line that tells of it.
    eventually(lambda: admin.metrics().get("weir_reloads_total", outcome="reloaded") > 0)
    before = admin.metrics().get("weir_reloads_total", outcome="reloaded")
    os.symlink("..2", place / "..new")
    os.rename(place / "..new", place / "..data")
    eventually(lambda: body(gateway) == "turned")
    eventually(lambda: admin.metrics().get("weir_reloads_total", outcome="reloaded") > before)
    assert admin.metrics().get("weir_reloads_total", outcome="reloaded") == before + 1


def test_files_that_it_names(start, origin, tmp_path):
    token = tmp_path / "token"
    token.write_text("a" * 40)
    gateway, admin = administered(start, origin.serve(), reload=WATCH)
    config = merged(gateway.config, {"admin": merged(gateway.config["admin"], {"token_file": str(token)})})
    gateway.write(config)
    eventually(lambda: any("reloaded: " in line for line in gateway.events.lines))
    count = sum("reloaded: " in line for line in gateway.events.lines)
    token.write_text("b" * 40)
    eventually(lambda: sum("reloaded: " in line for line in gateway.events.lines) > count)


def states(pid):
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            found[task.name] = (task / "stat").read_text().rsplit(")", 1)[1].split()[0]
    return found


def held(pid):
    """Its threads that stand still where strace holds them, and did so a while ago."""
    before = states(pid).items()
    time.sleep(0.2)
    return [name for name, state in before & states(pid).items() if state == "t"]


@contextlib.contextmanager
def unanswered(gateway, path, directory):
    """Who opens the file waits for ten minutes."""
    trace = subprocess.Popen([tool("strace"), "-f", "-o", directory / "strace", "-P", path, "-e", "trace=openat", "-e",
        "inject=openat:delay_enter=600000000", "-p", str(gateway.pid)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE)
    told = Lines(trace.stderr)
    try:
        assert told.wait_for(lambda lines: any("attached" in line for line in lines)), told.text()
        yield
    finally:
        trace.kill()
        trace.wait(TIMEOUT)


@pytest.mark.skipif(sanitizer() is not None, reason="strace and LeakSanitizer would both trace it")
def test_a_file_system_that_does_not_answer(start, origin, tmp_path):
    """The gateway serves all the same, and ends when it is told to, whatever waits for the file."""
    token = tmp_path / "token"
    token.write_text("a" * 40)
    gateway, _ = administered(start, origin.serve(), reload=WATCH,
        admin={"address": f"127.0.0.1:{free_port()}", "token_file": str(token)})
    with unanswered(gateway, token, tmp_path):
        token.write_text("b" * 40)
        eventually(lambda: len(held(gateway.pid)) == 1)
        gateway.signal(signal.SIGHUP)
        eventually(lambda: len(held(gateway.pid)) == 2)
        assert gateway.connect().ask(get()).status == 200
        gateway.signal(signal.SIGTERM)
        # It has ended, but for what strace holds.
        eventually(lambda: states(gateway.pid)[str(gateway.pid)] == "Z")
    assert gateway.wait() == 0


def test_turned_off_by_a_reload(watched):
    gateway, admin = watched
    config = merged(gateway.config, {"reload": {"watch": "false"}})
    gateway.write(config)
    eventually(lambda: admin.metrics().get("weir_reloads_total", outcome="reloaded") == 1)
    gateway.write(with_body(config, "unseen"))
    assert body(gateway) != "unseen"
    gateway.reload(None)
    assert body(gateway) == "unseen"
    eventually(lambda: admin.json("/v1/reload")["by"] == "signal")
