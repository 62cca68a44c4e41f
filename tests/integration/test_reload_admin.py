"""A reload moves the administration, turns it off and on, and lets others in."""

import copy
import json
import os
import socket

import pytest

from admin import Admin, administered
from gateway import configuration, eventually, free_port, run
from raw import TIMEOUT, Wire, get
from test_receipt import ASKED, ask_reload


def at(config, **admin):
    return copy.deepcopy(config) | {"admin": {"hosts": ["example.com"], **admin} if admin else "off"}


def refuses(admin):
    host, _, port = admin["address"].rpartition(":")
    with socket.socket() as sock:
        return sock.connect_ex((host, int(port))) != 0


def test_answer_of_the_reload_that_moves_it(start, origin):
    """It comes on the connection that asked, at the old address, and is its last."""
    gateway, admin = administered(start, origin.serve(), workers=2)
    kept = admin.connect()
    assert kept.ask(get("/healthz")).status == 200
    wire = admin.connect()
    before = gateway.config["admin"]
    gateway.config = at(gateway.config, address=f"127.0.0.1:{free_port()}")
    gateway.write(gateway.config)
    answer = wire.ask(ASKED)
    receipt = json.loads(answer.body)
    assert (answer.status, answer.get("Connection"), receipt["outcome"]) == (200, "close", "reloaded")
    line = f"admin: listens on {gateway.config['admin']['address']} instead of {before['address']}"
    assert any(line in change for change in receipt["changes"])
    wire.expect_end()
    kept.expect_end()
    eventually(lambda: refuses(before))
    moved = Admin(gateway)
    assert moved.json("/v1/reload") == receipt
    assert moved.json("/v1/status")


def test_stream_ends(start, origin):
    gateway, admin = administered(start, origin.serve())
    live = admin.connect().send(get("/v1/live"))
    assert live.read_head().status == 200
    gateway.reload(at(gateway.config, address=f"127.0.0.1:{free_port()}"))
    while live.more():
        pass


def test_off_and_on_again(start, origin):
    gateway, admin = administered(start, origin.serve(), workers=2)
    wire, on = admin.connect(), gateway.config
    said = gateway.reload(at(on))
    assert any("admin: does not listen on 127.0.0.1:" in line for line in said)
    wire.expect_end()
    eventually(lambda: refuses(on["admin"]))
    said = gateway.reload(on)
    assert any(f"admin: listens on {on['admin']['address']}" in line for line in said)
    again = Admin(gateway)
    assert again.ask("/readyz").body == b"ready\n"
    assert gateway.connect().ask(get()).status == 200
    # What was seen before it was off is not a window: there is none until it has been on for a second.
    assert again.why("?window=1s")["requests_per_s"] >= 0


def test_on_though_it_was_off_at_the_start(start, origin):
    gateway = start(configuration(origin.serve(), admin="off"))
    gateway.reload(at(gateway.config, address=f"127.0.0.1:{free_port()}"))
    admin = Admin(gateway)
    assert gateway.connect().ask(get()).status == 200
    assert admin.metrics().get("weir_reloads_total", outcome="reloaded") == 1
    status, receipt = ask_reload(admin)
    assert (status, receipt["outcome"]) == (200, "reloaded")


def test_token_and_hosts(start, origin):
    gateway, admin = administered(start, origin.serve())
    address = gateway.config["admin"]["address"]
    wire = admin.connect()
    assert wire.ask(get("/v1/status")).status == 200
    said = gateway.reload(at(gateway.config, address=address, token="a-token-of-sixteen-letters"))
    assert any("admin: other settings hold from the next request on" in line for line in said)
    # On the connection that there was, too.
    eventually(lambda: wire.ask(get("/v1/status")).status == 401)
    bearer = ["Authorization: Bearer a-token-of-sixteen-letters"]
    assert wire.ask(get("/v1/status", fields=bearer)).status == 200
    config = at(gateway.config, address=address)
    config["admin"]["hosts"] = ["other.example"]
    gateway.reload(config)
    eventually(lambda: wire.ask(get("/v1/status", fields=bearer)).status == 403)
    assert wire.ask(get("/v1/status", "other.example")).status == 200


def test_another_token_ends_what_the_last_one_has_let_in(start, origin, tmp_path):
    """Streams, and requests whose content is to come; not what came by the unix socket, nor the answer of the reload itself."""
    admin = {"address": f"127.0.0.1:{free_port()}", "unix": str(tmp_path / "admin"), "token": "a-token-of-sixteen-letters"}
    gateway, by_address = administered(start, origin.serve(), admin=admin)
    by_unix = Admin(gateway)
    by_unix.address = f"unix:{admin['unix']}"
    bearer = [f"Authorization: Bearer {admin['token']}"]
    told, owner = (where.connect().send(get("/v1/live", "localhost", bearer)) for where in (by_address, by_unix))
    assert told.read_head().status == owner.read_head().status == 200
    asked = ASKED.replace(b"Host:", f"{bearer[0]}\r\nHost:".encode())
    half = by_address.connect().send(asked[:-1])
    half.wait_taken()
    gateway.config["admin"]["token"] = "another-one-of-so-many-letters"
    gateway.write(gateway.config)
    answer = by_address.connect().ask(asked)
    assert (answer.status, json.loads(answer.body)["outcome"]) == (200, "reloaded")
    told.read_to_end()
    half.expect_end()
    while owner.has_more():
        assert owner.more()
        owner.unread = b""
    assert owner.more()
    assert by_address.connect().ask(get("/v1/status", "localhost", bearer)).status == 401


def test_unix_socket(start, origin, tmp_path):
    gateway, _ = administered(start, origin.serve())
    paths = [tmp_path / name for name in ("a", "b")]

    def status_at(path):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(TIMEOUT)
            sock.connect(str(path))
            return Wire(sock).ask(get("/v1/status")).status

    address = gateway.config["admin"]["address"]
    gateway.reload(at(gateway.config, address=address, unix=str(paths[0])))
    eventually(paths[0].exists)
    assert status_at(paths[0]) == 200 and os.stat(paths[0]).st_mode & 0o777 == 0o600
    gateway.reload(at(gateway.config, unix=str(paths[1])))
    eventually(lambda: not paths[0].exists())
    assert status_at(paths[1]) == 200
    eventually(lambda: refuses({"address": address}))
    # By it the commands ask.
    done = run("reload", "-c", gateway.file)
    assert done.returncode == 0, done.stderr
    gateway.reload(at(gateway.config, address=address))
    eventually(lambda: not paths[1].exists())


def test_address_in_use(start, origin, tmp_path):
    """Nothing changes, not even the other of its two places."""
    gateway, admin = administered(start, origin.serve())
    path = tmp_path / "admin"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        gateway.write(at(gateway.config, address=address, unix=str(path)))
        status, receipt = ask_reload(admin)
    assert (status, receipt["outcome"], receipt["changes"]) == (422, "refused", [])
    complaint, = receipt["complaints"]
    assert (complaint["path"], complaint["text"]) == ("admin.address", f"cannot listen on {address}: Address already in use")
    assert complaint["line"] > 0 and complaint["column"] > 0
    assert not path.exists() and admin.ask("/healthz").status == 200


@pytest.mark.parametrize("path", ["/nonexistent/folder/admin", "{folder}"])
def test_path_that_cannot_be(start, origin, tmp_path, path):
    gateway, admin = administered(start, origin.serve())
    path = path.format(folder=tmp_path)
    gateway.write(at(gateway.config, address=gateway.config["admin"]["address"], unix=path))
    status, receipt = ask_reload(admin)
    assert (status, receipt["outcome"]) == (422, "refused")
    complaint, = receipt["complaints"]
    assert complaint["path"] == "admin.unix" and complaint["line"] > 0
    assert complaint["text"].startswith(f"cannot listen on unix:{path}: ") or complaint["text"].startswith(f"cannot listen on {path}: ")
    assert admin.ask("/healthz").status == 200
