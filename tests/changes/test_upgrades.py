"""Twenty upgrades in a row under load: kept and new connections, HTTP/2, uploads and downloads that take their time, WebSockets
that stay with the process that has them, and the administration. No request fails and no connection is refused or reset."""

import json
import os
import pathlib
import signal
import socket
import threading
import time

import h2raw
from admin import Admin
from changes import UPGRADE, Service, Tunnel
from gateway import TIMEOUT, eventually, free_port
from h2raw import H2Wire
from programs import program  # pylint: disable=unused-import
from raw import Wire, get, post

TURNS = 20
DOWNLOAD, UPLOAD, PIECE = 4 << 20, 512 << 10, 16 << 10


class Client(threading.Thread):
    """Does the same over and over; what fails is put down, and ends it."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.over = address, threading.Event()
        self.done, self.failures = 0, []
        self.start()

    def run(self):
        try:
            while not self.over.is_set():
                self.turn()
                self.done += 1
            self.leave()
        except Exception as failure:  # pylint: disable=broad-except
            self.failures.append(f"{type(self).__name__}: {failure!r}")

    def leave(self):
        pass

    def connect(self):
        return Wire(socket.create_connection(self.address, TIMEOUT))

    def end(self):
        self.over.set()
        self.join(2 * TIMEOUT)
        assert not self.is_alive(), type(self).__name__


class Kept(Client):
    """Keeps its connection until it is told that it is the last request there."""

    wire = None

    def turn(self):
        self.wire = self.wire or self.connect()
        answer = self.wire.ask(get("/x"))
        assert answer.status == 200
        if answer.get("Connection") == "close":
            self.leave()
            self.wire = None

    def leave(self):
        self.wire.close()


class Newcomer(Client):
    def turn(self):
        wire = self.connect()
        assert wire.ask(get("/x")).status == 200
        wire.close()


class Multiplexed(Client):
    """What comes behind a GOAWAY was not begun (RFC 9113 §6.8): it is asked for anew."""

    wire = None

    def turn(self):
        self.wire = self.wire or H2Wire(socket.create_connection(self.address, TIMEOUT)).start()
        streams = [self.wire.request(h2raw.get("/x")) for _ in range(3)]
        for stream in streams:
            outcome = self.wire.outcome(stream)
            while outcome == ("goaway", h2raw.NO_ERROR) and stream <= self.wire.goaway[0]:
                message = self.wire.message(stream)
                outcome = message.status if message.reset is None else message.reset
            assert outcome == 200 or outcome == ("goaway", h2raw.NO_ERROR), outcome
        if self.wire.goaway is not None:
            self.leave()
            self.wire = None

    def leave(self):
        self.wire.close()


class Downloader(Client):
    """Slowly: a download takes longer than an upgrade."""

    def turn(self):
        wire = self.connect().send(get(f"/?size={DOWNLOAD}"))
        assert wire.read_head().status == 200
        for _ in range(DOWNLOAD // PIECE):
            assert len(wire.take(PIECE)) == PIECE
            time.sleep(0.002)
        wire.close()


class Uploader(Client):
    def turn(self):
        head = post("", "/echo", [f"Content-Length: {UPLOAD}"]).replace(b"Content-Length: 0\r\n", b"")
        wire = self.connect().send(head)
        for i in range(UPLOAD // PIECE):
            wire.send(bytes([i % 256]) * PIECE)
            time.sleep(0.01)
        answer = wire.read_response()
        assert answer.status == 200 and len(answer.body) == UPLOAD
        wire.close()


class Watcher(Client):
    """Asks the administration whether the gateway is ready; its address is a path."""

    def turn(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT)
        sock.connect(str(self.address))
        wire = Wire(sock)
        answer = wire.ask(get("/readyz", "localhost"))
        assert answer.status == 200, answer.head
        wire.close()


class Process:
    def __init__(self, pid):
        self.pid, self.fd = pid, os.pidfd_open(pid)

    def files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self):
        text = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Anonymous:"))

    def signal(self, number):
        signal.pidfd_send_signal(self.fd, number)


def processes_of(file):
    """That run with this configuration."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(file).encode() in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
        except OSError:
            pass
    return found


def ask_upgrade(admin):
    wire = admin.connect()
    answer = wire.ask(post("{}", "/v1/upgrade", ["Content-Type: application/json"]).replace(b"example.com", b"localhost"))
    wire.close()
    told = json.loads(answer.body)
    assert answer.status == 200 and told["outcome"] == "upgraded", told
    return told["process"]


def config_of(service, directory):
    return {"version": 1, "workers": 2, "drain_timeout": "2m", "log": {"access": "off"},
        "admin": {"address": f"unix:{directory}/admin.sock"},
        "listeners": [{"name": "public", "address": f"127.0.0.1:{free_port()}", "protocols": ["h1", "h2"]}],
        "upstreams": [{"name": "u", "endpoints": [{"address": f"127.0.0.1:{service.port}"}], "pool": {"idle_timeout": "1s"}}],
        "routes": [{"name": "tunnel", "match": {"path": "/tunnel/*"}, "rewrite": {"path": "/*"}, "upstream": "u"},
            {"name": "all", "match": {"path": "/*"}, "upstream": "u"}]}


def busy(clients):
    """Until each has been served again."""
    before = [client.done for client in clients]
    eventually(lambda: any(client.failures for client in clients) or
        all(client.done > done for client, done in zip(clients, before)), 120)


def test_twenty_upgrades(start, tmp_path, capsys):
    service = Service()
    clients, tunnels, newest = [], [], None
    try:
        gateway = start(config_of(service, tmp_path))
        admin, address = Admin(gateway), ("127.0.0.1", gateway.port)
        newest = Process(gateway.pid)
        files_at_rest = newest.files()
        quick = [*(Kept(address) for _ in range(3)), *(Newcomer(address) for _ in range(3)), Multiplexed(address), Watcher(tmp_path / "admin.sock")]
        clients = [*quick, *(kind(address) for kind in (Downloader, Downloader, Uploader, Uploader))]
        busy(clients)
        memory = [newest.memory()]
        for turn in range(TURNS):
            tunnels.append(Tunnel(address))
            newest = Process(ask_upgrade(admin))
            busy(quick)
            memory.append(newest.memory())
            for tunnel in tunnels:
                tunnel.check(b"turn %d" % turn)
        busy(clients)
        memory.append(newest.memory())
        for client in clients:
            client.end()
        failures = [failure for client in clients for failure in client.failures]
        with capsys.disabled():
            print(f"\n{TURNS} upgrades, {sum(client.done for client in clients)} turns of clients, {failures or 'none'} failed; "
                f"memory {memory} KiB")
        assert not failures
        # Whoever has a tunnel is there for it; behind it nobody is left.
        assert len(processes_of(gateway.file)) == TURNS + 1
        for tunnel in tunnels:
            tunnel.check(b"the last")
            tunnel.wire.close()
        eventually(lambda: processes_of(gateway.file) == [newest.pid])
        eventually(lambda: newest.files() == files_at_rest)
        assert memory[-1] < memory[0] + 1024
    finally:
        for client in clients:
            client.over.set()
        for tunnel in tunnels:
            tunnel.wire.close()
        if newest is not None:
            newest.signal(signal.SIGTERM)
        service.close()


def test_new_process_that_never_gets_ready(start, program, tmp_path):
    """A minute later the old one goes on without it, and was never away."""
    service = Service()
    clients = []
    try:
        gateway = start(config_of(service, tmp_path))
        program.replace(program.waiting)
        clients = [kind(("127.0.0.1", gateway.port)) for kind in (Kept, Newcomer, Multiplexed)]
        gateway.signal(signal.SIGUSR2)
        told = gateway.events.wait_for(lambda lines: [line for line in lines if "no upgrade" in line], 100)
        assert told and "was not ready within 60 s" in told[0], gateway.events.text()
        busy(clients)
        for client in clients:
            client.end()
        assert not [failure for client in clients for failure in client.failures]
        assert processes_of(gateway.file) == [gateway.pid]
    finally:
        for client in clients:
            client.over.set()
        service.close()
