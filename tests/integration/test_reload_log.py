"""A reload moves the access log, and changes what the event log tells."""

import contextlib
import json
import os
import threading

import pytest

from admin import administered
from gateway import configuration, eventually, merged
from raw import get
from test_receipt import ask_reload
from test_reload import ask


def logging_to(gateway, path, **access):
    return merged(gateway.config, {"log": {"access": {"path": str(path), **access}}})


def lines_of(path):
    return path.read_text().splitlines() if path.exists() else []


def opened_by(gateway):
    """The names of what it has open."""
    names = []
    for fd in os.listdir(f"/proc/{gateway.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):    # closed since
            names.append(os.readlink(f"/proc/{gateway.pid}/fd/{fd}"))
    return names


def has_lines(path, n):
    eventually(lambda: len(lines_of(path)) >= n)
    return lines_of(path)


def test_another_file_and_format_under_requests(start, origin, tmp_path):
    """Every request has its line, in one file or the other, and none is cut."""
    files = [tmp_path / f"{i}.log" for i in range(4)]
    gateway = start(configuration(origin.serve(), log={"access": {"path": str(files[0])}}, workers=2))
    asked, ending = [], threading.Event()

    def keep_asking(name):
        client = gateway.connect()
        while not ending.is_set():
            target = f"/{name}/{len(asked)}"
            assert client.ask(get(target)).status == 200
            asked.append(target)

    threads = [threading.Thread(target=keep_asking, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    try:
        for i, path in enumerate(files[1:], 1):
            done = len(asked)
            eventually(lambda done=done: len(asked) > done + 5)
            said = gateway.reload(logging_to(gateway, path, format="json" if i % 2 == 0 else "text"))
            assert any(f"log.access: lines of requests go to {path}, as " in line for line in said)
    finally:
        ending.set()
        for thread in threads:
            thread.join()
    eventually(lambda: sum(len(lines_of(path)) for path in files) == len(asked))
    targets = []
    for i, path in enumerate(files):
        lines = lines_of(path)
        targets += [json.loads(line)["target"] if i % 2 == 0 else line.split('"')[1].split()[1] for line in lines]
        assert path.read_text().endswith("\n") or not lines
    assert sorted(targets) == sorted(asked) and lines_of(files[0]) and lines_of(files[-2])
    # Nobody keeps the old ones open.
    eventually(lambda: [str(path) in opened_by(gateway) for path in files] == [False, False, False, True])


def test_off_and_on_again(start, origin, tmp_path):
    path = tmp_path / "access.log"
    gateway = start(configuration(origin.serve(), log={"access": {"path": str(path)}}))
    config = gateway.config
    client = gateway.connect()
    assert client.ask(get("/1")).status == 200
    has_lines(path, 1)
    said = gateway.reload(merged(config, {"log": {"access": "off"}}))
    assert any("log.access: off: there are no lines of requests any more" in line for line in said)
    assert client.ask(get("/2")).status == 200
    gateway.reload(config | {"log": {"access": {"path": str(path), "fields": ["target"]}}})
    assert client.ask(get("/3")).status == 200
    assert [json.loads(line)["target"] for line in has_lines(path, 2)] == ["/1", "/3"]
    assert json.loads(lines_of(path)[1]) == {"target": "/3"}


@pytest.mark.parametrize("kind", ["no folder", "a folder", "a pipe that nobody reads"])
def test_path_that_cannot_be_opened(start, origin, tmp_path, kind):
    gateway, admin = administered(start, origin.serve(), log={"access": {"path": str(tmp_path / "access.log")}})
    good = gateway.config
    path = tmp_path / "there" / "access.log"
    if kind == "a folder":
        path = tmp_path
    elif kind == "a pipe that nobody reads":
        path = tmp_path / "pipe"
        os.mkfifo(path)
    config = logging_to(gateway, path) | {"routes": [{"name": "all", "respond": {"body": "other"}}]}
    gateway.write(config)
    status, receipt = ask_reload(admin)
    assert (status, receipt["outcome"], receipt["changes"]) == (422, "refused", [])
    complaint, = receipt["complaints"]
    assert complaint["path"] == "log.access.path" and complaint["line"] > 0 and complaint["column"] > 0
    assert f"the access log cannot be opened: {path}: " in complaint["text"]
    gateway.event("admin: not reloaded: the configuration of before stays in force")
    assert "SIGHUP: not reloaded: the configuration of before stays in force" in gateway.hang_up()[-1]
    before = len(lines_of(tmp_path / "access.log"))
    assert ask(gateway).body != b"other"
    has_lines(tmp_path / "access.log", before + 1)
    gateway.reload(good)


def test_pipe_that_is_read(start, origin, tmp_path):
    gateway = start(configuration(origin.serve()))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        gateway.reload(logging_to(gateway, pipe))
        assert ask(gateway, "/piped").status == 200
        os.set_blocking(reader, True)
        assert b"/piped" in os.read(reader, 65536)
    finally:
        os.close(reader)


def test_level(start, origin):
    gateway, admin = administered(start, origin.serve())
    config = gateway.config
    said = gateway.reload(merged(config, {"log": {"level": "debug"}}))
    assert any("log.level: debug (info before)" in line for line in said)
    assert admin.json("/v1/log/level")["level"] == "debug"
    gateway.reload(merged(config, {"log": {"level": "info"}}))
    assert admin.json("/v1/log/level")["level"] == "info"
