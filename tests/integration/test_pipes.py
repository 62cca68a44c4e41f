"""Large content of HTTP/1 goes through pipes, and nobody need know: it is whole and in order, and no pipe is lost with those who leave."""

import hashlib
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from admin import administered
from gateway import configuration, eventually
from raw import get
from servers import tool
from test_big_bodies import Concurrently, hash_of_pattern, pieces, receive_content, send_content

MIB = 1024 * 1024
FORBIDDING = pathlib.Path(__file__).with_name("forbidding.py")


def pipes(gateway):
    """Ends of pipes that it has open, beside its standard streams."""
    open_files = []
    for entry in pathlib.Path(f"/proc/{gateway.pid}/fd").iterdir():
        try:
            open_files.append(os.readlink(entry))
        except FileNotFoundError:
            continue
    return sum(name.startswith("pipe:") and open_files.count(name) == 2 for name in open_files)


def pass_down(gateway, origin, size):
    """An answer of that size on connections of its own. Returns both ends, which are kept."""
    client, wire, _ = origin.asked(gateway)
    answer_down(client, wire, size)
    return client, wire


def answer_down(client, wire, size):
    wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
    assert client.read_head().framing == size
    both = Concurrently()
    both.run("sent", send_content, wire, size)
    both.run("received", receive_content, client, size)
    assert both.join()["received"] == hash_of_pattern(size)


class Spliced:
    """How many bytes splice(2) has moved meanwhile, in and out."""

    def __init__(self, gateway, tmp_path):
        self.gateway, self.told, self.moved = gateway, tmp_path / "calls", None

    def __enter__(self):
        self.strace = subprocess.Popen(
            [tool("strace"), "-f", "-q", "-e", "trace=splice", "-o", self.told, "-p", str(self.gateway.pid)])
        eventually(self._traces_all)
        return self

    def _traces_all(self):
        """Of the threads one after the other: the worker last."""
        statuses = pathlib.Path(f"/proc/{self.gateway.pid}/task").glob("*/status")
        return all("TracerPid:\t0\n" not in status.read_text() for status in statuses)

    def __exit__(self, *_):
        # What it did last may have been received before strace has said so.
        self.gateway.rest()
        self.strace.terminate()
        self.strace.wait()
        results = (line.rpartition("= ")[2] for line in self.told.read_text().splitlines())
        self.moved = sum(int(result) for result in results if result.isdigit())


def test_large_answers_are_spliced(gateway, origin, tmp_path):
    with Spliced(gateway, tmp_path) as spliced:
        client, wire = pass_down(gateway, origin, 8 * MIB)
        # And the same connections go on.
        client.send(get("/small"))
        wire.read_request()
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.read_response().body == b"ok"
    # Once in and once out; what came with the head, and what blocked, did not.
    assert spliced.moved > 2 * 6 * MIB
    assert [record["bytes_out"] for record in gateway.records(2)] == [8 * MIB, 2]
    assert pipes(gateway) == 2


def test_content_that_trickles_is_received(gateway, origin, tmp_path):
    """However much is to come: a pipe for each little piece would cost more. Where it flows again, it is spliced again."""
    client, wire, _ = origin.asked(gateway)
    wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {100 * 2000 + 16 * MIB}\r\n\r\n")
    client.read_head()
    with Spliced(gateway, tmp_path) as spliced:
        for _ in range(100):
            wire.send(b"x" * 2000)
            assert client.take(2000) == b"x" * 2000
    assert spliced.moved <= 2 * 2 * 2000
    with Spliced(gateway, tmp_path) as spliced:
        both = Concurrently()
        both.run("sent", send_content, wire, 16 * MIB)
        both.run("received", receive_content, client, 16 * MIB)
        assert both.join()["received"] == hash_of_pattern(16 * MIB)
    assert spliced.moved > MIB
    assert gateway.record()["cause"] is None


@pytest.mark.parametrize("how", ["ENOSYS", "EPERM", "EACCES"])
def test_where_splice_is_forbidden(start, origin, how):
    gateway = start(configuration(origin), under=(sys.executable, FORBIDDING, how, "--splice"))
    client, wire = pass_down(gateway, origin, 3 * MIB)
    client.send(get("/again"))
    wire.read_request()
    answer_down(client, wire, 3 * MIB)


def blocked(gateway, origin):
    """A client that has read the head and nothing of what the pipe for it holds."""
    client = gateway.connect(receive_buffer=4096).send(get())
    wire = origin.accept()
    wire.read_request()
    wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {64 * MIB}\r\n\r\n")
    client.read_head()
    wire.sock.setblocking(False)
    for piece in pieces(64 * MIB):
        try:
            if wire.sock.send(piece) < len(piece):
                break
        except BlockingIOError:
            break
    return client, wire


@pytest.mark.parametrize("who", ["client", "upstream"])
def test_who_leaves_takes_no_pipe_along(gateway, origin, who):
    """More of them than there are pipes; the last ones are served without."""
    for _ in range(2):
        there = [blocked(gateway, origin) for _ in range(24)]
        eventually(lambda: pipes(gateway) > 2)
        for client, wire in there:
            (client if who == "client" else wire).reset()
        eventually(lambda there=there: all(is_over(wire if who == "client" else client) for client, wire in there))
    pass_down(gateway, origin, 3 * MIB)
    assert pipes(gateway) <= 32
    records = gateway.records(49)
    assert {record["cause"] for record in records[:48]} == {"client_gone" if who == "client" else "upstream_reset"}


def test_slow_readers_leave_pipes_for_others(gateway, origin, tmp_path):
    """They keep twelve of the sixteen that a worker has; the others go round."""
    there = [blocked(gateway, origin) for _ in range(24)]
    eventually(lambda: pipes(gateway) >= 24)
    with Spliced(gateway, tmp_path) as spliced:
        pass_down(gateway, origin, 8 * MIB)
    assert spliced.moved > 2 * 6 * MIB
    assert len(there) == 24


def is_over(wire):
    """What is left is read away until the end."""
    wire.sock.setblocking(False)
    try:
        while wire.sock.recv(MIB):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def test_upstream_that_ends_early(gateway, origin):
    client, wire, _ = origin.asked(gateway)
    wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {8 * MIB}\r\n\r\n")
    client.read_head()
    both = Concurrently()
    both.run("sent", lambda: (send_content(wire, 4 * MIB), wire.close()))
    both.run("received", lambda: read_until_gone(client))
    assert both.join()["received"] <= 4 * MIB
    assert gateway.record()["cause"] == "upstream_reset"


def read_until_gone(wire):
    """How much came before the reset."""
    count = len(wire.unread)
    with pytest.raises(ConnectionResetError):
        while got := wire.sock.recv(MIB):
            count += len(got)
    return count


def test_upload_beyond_its_limit(start, origin):
    """In chunks, each of which is worth a pipe: not a byte beyond the limit is passed on."""
    gateway = start(configuration(origin, listener={"limits": {"body_bytes": "3MiB"}}))
    client = gateway.connect().send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    wire = origin.accept()
    wire.read_head()
    both = Concurrently()
    both.run("received", lambda: count_chunks(wire))
    for _ in range(4):
        try:
            client.send(b"100000\r\n" + bytes(MIB) + b"\r\n")
        except OSError:
            break
    assert both.join()["received"] <= 3 * MIB
    assert gateway.record()["cause"] == "body_too_large"


@pytest.mark.parametrize("size", [1000, 50_000])
def test_limit_that_is_lowered_below_what_has_come(start, origin, size):
    """Of an upload that is under way nothing more is passed on."""
    gateway = start(configuration(origin, listener={"limits": {"body_bytes": "3MiB"}}))
    client = gateway.connect().send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    wire = origin.accept()
    wire.read_head()
    client.send(f"{size:x}\r\n".encode() + bytes(size) + b"\r\n")
    came = 0
    while came < size:
        came += len(wire.read_chunk())
    gateway.config["listeners"][0]["limits"]["body_bytes"] = "100B"
    gateway.reload(gateway.config)
    client.send(f"{size:x}\r\n".encode() + bytes(size) + b"\r\n")
    assert client.read_response().status == 413
    assert count_chunks(wire) == 0
    assert gateway.record()["cause"] == "body_too_large"


def count_chunks(wire):
    count = 0
    try:
        while piece := wire.read_chunk():
            count += len(piece)
    except (AssertionError, OSError):
        pass
    return count


def upload_head(size):
    return f"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()


def pass_up(client, wire, size):
    """The content of a request whose head is sent, and its answer."""
    wire.read_head()
    both = Concurrently()
    both.run("sent", send_content, client, size)
    both.run("received", receive_content, wire, size)
    assert both.join()["received"] == hash_of_pattern(size)
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert client.read_response().status == 200


def test_uploads_on_one_connection(gateway, origin):
    size = 3 * MIB + 17
    client, wire = gateway.connect(), None
    for _ in range(3):
        client.send(upload_head(size))
        wire = wire or origin.accept()
        pass_up(client, wire, size)
    assert [record["bytes_in"] for record in gateway.records(3)] == [size] * 3


def test_upload_that_comes_with_its_head(gateway, origin, tmp_path):
    """On a connection that has rested it may have to be sent again while nothing of it was sent. Then nobody needs a copy any more."""
    size = 40_000
    client = gateway.connect().send(upload_head(3 * MIB))
    wire = origin.accept()
    pass_up(client, wire, 3 * MIB)
    gateway.freeze()
    client.send(upload_head(size) + b"".join(pieces(size)))
    with Spliced(gateway, tmp_path) as spliced:
        gateway.signal(signal.SIGCONT)
        wire.read_head()
        assert receive_content(wire, size) == hash_of_pattern(size)
    # Some 8 KiB come with the head.
    assert spliced.moved > 2 * 30_000


def test_content_until_the_close_becomes_chunks(gateway, origin):
    client, wire, _ = origin.asked(gateway)
    wire.send("HTTP/1.1 200 OK\r\n\r\n")
    assert client.read_head().framing == "chunked"
    both, digest = Concurrently(), hashlib.sha256()
    both.run("sent", lambda: (send_content(wire, 5 * MIB), wire.close()))
    while piece := client.read_chunk():
        digest.update(piece)
    both.join()
    assert client.read_trailers() == []
    assert digest.hexdigest() == hash_of_pattern(5 * MIB)


def send_content_with(wire, size, surplus):
    """The surplus comes with the end of the content, whatever the machine does meanwhile."""
    *most, last = pieces(size)
    for piece in (*most, last[:-1024]):
        wire.sock.sendall(piece)
    wire.sock.sendall(bytes(last[-1024:]) + surplus)


def send_content_to(client, wire, size, surplus):
    both = Concurrently()
    both.run("sent", send_content_with, wire, size, surplus)
    both.run("received", receive_content, client, size)
    assert both.join()["received"] == hash_of_pattern(size)


def test_surplus_behind_large_content(gateway, origin):
    """It stays in the socket, is seen there, and is nobody's answer."""
    client, wire, _ = origin.asked(gateway)
    size = 2 * MIB
    wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
    client.read_head()
    send_content_to(client, wire, size, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    client.send(get("/next"))
    other = origin.accept()
    other.read_request()
    other.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
    assert client.read_response().body == b"good"


def test_surplus_behind_large_content_while_somebody_waits(start, origin):
    """The connection would go straight to who waits: the one look between the two finds what stands in the socket."""
    _, admin = administered(start, origin, upstream={"pool": {"max_connections": 1}})
    client, wire, _ = origin.asked(admin.gateway)
    size = 2 * MIB
    wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
    client.read_head()
    other = admin.gateway.connect().send(get("/next"))
    eventually(lambda: admin.metrics().get("weir_pool_waiters", upstream="origin", endpoint=origin.address) == 1)
    send_content_to(client, wire, size, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    fresh = origin.accept()
    fresh.read_request()
    fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
    assert other.read_response().body == b"good"
