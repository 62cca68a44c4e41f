"""What HTTP/2 lets a client do that costs it nothing and a server much, done to the running gateway.

Each attack runs until the gateway ends the connection. It must do so by itself, soon, with little memory, and without
its upstream noticing much.
"""

import threading
import time

import pytest
from hyperframe.frame import (ContinuationFrame, DataFrame, HeadersFrame, PingFrame, PriorityFrame, RstStreamFrame,
    SettingsFrame, WindowUpdateFrame)

from admin import administered
from gateway import eventually, sanitizer
from h2peer import Peer
from h2wire import INTERNAL_ERROR, PROTOCOL_ERROR, Answer, h2_connect
from raw import response
from timing import LATE

MIB = 1024 * 1024

# What a connection may cost besides requests: http/h2.h.
UPSTREAM_REQUESTS_MAX = 500


@pytest.fixture
def flooded(start, origin):
    """A gateway whose upstream answers at once, after its first request; and its administration."""
    origin.serve()
    gateway, admin = administered(start, origin, listener={"protocols": ["h1", "h2"]}, log={"access": "off"})
    assert h2_connect(gateway).ask().status == 200
    return gateway, admin


def send_until_closed(client, pieces, seconds=30):
    """Sends until the other side has had enough; what it answers is read meanwhile. How long that took it."""
    until = time.monotonic() + seconds
    reader = threading.Thread(target=client.read_to_end, daemon=True)
    reader.start()
    sent = 0
    try:
        for piece in pieces:
            client.sock.sendall(piece)
            sent += len(piece)
            if client.at_end:
                break
            assert time.monotonic() < until, f"still open after {sent} bytes"
    except (BrokenPipeError, ConnectionResetError):
        pass
    reader.join(seconds)
    assert client.at_end, f"still open after {sent} bytes"
    return sent


def forever(data, times=64):
    """The same frames again and again, many in a piece."""
    while True:
        yield data * times


def memory(gateway):
    return 0 if sanitizer() else gateway.anonymous_bytes()


def assert_survived(gateway, admin, before):
    """It serves the next one, and has nothing left of the last one."""
    grown = memory(gateway) - before
    print(f"{grown / MIB:.2f} MiB more")
    assert grown < 10 * MIB
    client = h2_connect(gateway)
    assert client.ask().status == 200
    client.close()
    eventually(lambda: sum(value for (name, labels), value in admin.metrics().values.items()
        if name == "weir_pool_connections" and ("state", "leased") in labels) == 0)


def attack(flooded, client, pieces):
    """Until it is over, with memory watched all the while. How many requests went upstream."""
    gateway, admin = flooded
    before = memory(gateway)
    most = [before]
    over = threading.Event()

    def watch():
        while not over.wait(0.05):
            most[0] = max(most[0], memory(gateway))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    try:
        sent = send_until_closed(client, pieces)
    finally:
        over.set()
        watcher.join()
    # The budgets are exhausted at once: nearly all of it is what this machine takes to send and to close.
    took = time.monotonic() - began
    assert took < 1 + LATE, f"{took:.1f}s"
    codes = [code for code, _ in client.goaway]
    print(f"closed after {sent} bytes with {codes}, at most {(most[0] - before) / MIB:.2f} MiB")
    assert most[0] - before < 10 * MIB
    assert_survived(gateway, admin, before)
    return sent


def rapid_reset(client, count):
    for _ in range(count // 100):
        piece = b""
        for _ in range(100):
            stream, frame = client.open("/")
            piece += frame.serialize() + RstStreamFrame(stream, error_code=8).serialize()
        yield piece


def test_rapid_reset(flooded, origin):
    """CVE-2023-44487."""
    client = h2_connect(flooded[0])
    attack(flooded, client, rapid_reset(client, 100_000))
    assert len(origin.requests) < UPSTREAM_REQUESTS_MAX


def test_rapid_reset_in_separate_segments(flooded, origin):
    """Each request is seen before its reset comes."""
    client = h2_connect(flooded[0])

    def pieces():
        for _ in range(100_000):
            stream, frame = client.open("/")
            yield frame.serialize()
            yield RstStreamFrame(stream, error_code=8).serialize()

    attack(flooded, client, pieces())
    assert len(origin.requests) < UPSTREAM_REQUESTS_MAX


@pytest.mark.parametrize("provoke", [
    lambda stream: WindowUpdateFrame(stream, window_increment=0x7fffffff).serialize(),
    lambda stream: DataFrame(stream, b"x" * 10, flags=["END_STREAM"]).serialize(),
    lambda stream: b"\0\0\5\2\0" + stream.to_bytes(4, "big") + stream.to_bytes(4, "big") + b"\1",
    lambda stream: b"\0\0\4\x08\0" + stream.to_bytes(4, "big") + b"\0\0\0\0",
], ids=["window overflow", "wrong length", "depends on itself", "window of nothing"])
def test_made_to_reset(flooded, origin, provoke):
    """CVE-2025-8671: the server is made to reset, so that the client does not have to."""
    client = h2_connect(flooded[0])

    def pieces():
        for _ in range(1000):
            piece = b""
            for _ in range(50):
                stream, frame = client.open("/", "POST", [("content-length", "5")], end=False)
                piece += frame.serialize() + provoke(stream)
            yield piece

    attack(flooded, client, pieces())
    assert len(origin.requests) < UPSTREAM_REQUESTS_MAX


def test_what_is_reset_for_its_content_never_begins(flooded):
    """One of them is no flood. nghttp2 says that it resets such a stream only when it does."""
    gateway, admin = flooded
    before = admin.metrics()
    client = h2_connect(gateway)
    stream, head = client.open("/", "POST", [("content-length", "5")], end=False)
    client.send(head, DataFrame(stream, b"x" * 10, flags=["END_STREAM"]))
    assert client.answer(stream).reset == PROTOCOL_ERROR
    client.ping()
    begun = admin.metrics().get("weir_exchanges_started_total") - before.get("weir_exchanges_started_total")
    assert begun == 0


def test_continuation_without_end(flooded, origin):
    """CVE-2024-27316."""
    client = h2_connect(flooded[0])
    before = len(origin.requests)
    first = client.head(1, client.fields(), flags=()).serialize()
    more = ContinuationFrame(1, b"\x40\x01a" + b"\x7f\x81\x07" + b"b" * 256).serialize()

    def pieces():
        yield first
        yield from forever(more)

    assert attack(flooded, client, pieces()) < 8 * MIB
    assert len(origin.requests) == before + 1


def test_empty_continuation_without_end(flooded):
    client = h2_connect(flooded[0])

    def pieces():
        yield client.head(1, client.fields(), flags=()).serialize()
        yield from forever(ContinuationFrame(1, b"").serialize())

    attack(flooded, client, pieces())


@pytest.mark.parametrize("frame", [
    PingFrame(0, b"12345678"), SettingsFrame(0), SettingsFrame(0, settings={1: 4096}), PriorityFrame(5),
    WindowUpdateFrame(0, window_increment=1)],
    ids=["PING", "SETTINGS", "SETTINGS with a table size", "PRIORITY", "WINDOW_UPDATE"])
def test_frames_that_carry_nothing(flooded, frame):
    attack(flooded, h2_connect(flooded[0], window=0), forever(frame.serialize()))


def test_unknown_frames(flooded):
    attack(flooded, h2_connect(flooded[0]), forever(b"\0\0\0\xee\0\0\0\0\0"))


@pytest.mark.parametrize("frame", [DataFrame(1, b""), DataFrame(1, b"", flags=["PADDED"], pad_length=1)],
    ids=["empty", "padding only"])
def test_empty_content(flooded, frame):
    client = h2_connect(flooded[0])
    client.request("/", "POST", end=False)
    attack(flooded, client, forever(frame.serialize()))


# What a budget of 16 KiB for each frame of noise lets through, and as much again that the kernel has taken.
DEAD_BYTES_MAX = 24 * MIB


@pytest.mark.parametrize("frame", [DataFrame(1, b""), DataFrame(1, b"x"), DataFrame(1, b"x" * 16384)],
    ids=["empty", "a byte", "as much as can be"])
def test_content_for_a_stream_that_we_have_ended(flooded, frame):
    """It may have been on its way, so it is read away; but not for ever."""
    client = h2_connect(flooded[0])
    client.answers[1] = Answer()

    def pieces():
        # Malformed (RFC 9113 §8.2.2): it is reset, and nothing behind it is for anybody.
        yield client.head(1, client.fields("/", "POST", [("connection", "close")]), end=False).serialize()
        yield from forever(frame.serialize(), 262144 // len(frame.serialize()))

    assert attack(flooded, client, pieces()) < DEAD_BYTES_MAX


def test_pings_from_a_client_that_does_not_read(flooded):
    """CVE-2019-9512: the answers would be queued for ever."""
    gateway, admin = flooded
    before = memory(gateway)
    client = h2_connect(gateway, receive_buffer=4096)
    client.sock.settimeout(1)
    try:
        for piece in forever(PingFrame(0, b"12345678").serialize(), 1000):
            client.sock.sendall(piece)
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        pass
    client.close()
    assert_survived(gateway, admin, before)


def test_header_bomb(flooded, origin):
    """One large field in the table, then heads of one byte each that name it."""
    client = h2_connect(flooded[0])
    before = len(origin.requests)
    big = ("x", "y" * 3900)
    client.answers[1] = Answer()
    client.send(client.head(1, [*client.fields(), big]))
    assert client.answer(1).status == 200
    client.next = 3
    index = client.encoder.encode([big])
    assert len(index) == 1

    def pieces():
        for _ in range(2000):
            _, frame = client.open("/")
            frame.data += index * 16_000
            yield frame.serialize()

    attack(flooded, client, pieces())
    assert len(origin.requests) - before < UPSTREAM_REQUESTS_MAX


def test_cookie_crumbs(flooded, origin):
    """Many tiny fields that become one: counted before they are joined."""
    client = h2_connect(flooded[0])
    before = len(origin.requests)
    assert client.ask("/", fields=[("cookie", "a")]).status == 200
    crumb = client.encoder.encode([("cookie", "a")])
    assert len(crumb) == 1

    def pieces():
        for _ in range(100_000):
            _, frame = client.open("/")
            frame.data += crumb * 15_000
            yield frame.serialize()

    attack(flooded, client, pieces())
    assert len(origin.requests) - before < UPSTREAM_REQUESTS_MAX


# As much as a head may have, by its name in the table: 27 KiB for seven bytes.
LARGE = ("x", "y" * 3900)


def large_answers(wire, _):
    wire.sock.settimeout(None)
    while wire.unread or wire.more():
        wire.read_request()
        wire.send(response(b"x" * 1_000_000))


def large_answers_h2(wire, _):
    wire.sock.settimeout(None)
    Peer(wire).pour(1_000_000)


@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("large", [0, 7], ids=["small heads", "large heads"])
@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_stalled_windows(start, make_origin, window, large, protocol):
    """CVE-2019-9517, and the same with a header bomb within the limits: much is asked for, and no window is ever opened."""
    big = make_origin()
    big.serve(large_answers if protocol == "h1" else large_answers_h2)
    gateway, admin = administered(start, big, listener={"protocols": ["h1", "h2"], "timeouts": {"write_idle": "1s"}},
        upstream={"protocol": protocol}, log={"access": "off"})
    before = memory(gateway)
    client = h2_connect(gateway, hold=True, settings={4: window})
    streams = [client.request("/", fields=[LARGE] * large) for _ in range(100)]
    client.until(lambda: all(client.answers[stream].fields for stream in streams))
    # What it does not say it holds as well: an upstream whose socket is read no more.
    settled, grown = -1, memory(gateway) - before
    while settled != grown:
        client.ping()
        settled, grown = grown, memory(gateway) - before
    print(f"{grown / MIB:.2f} MiB for 100 stalled streams")
    assert grown < (10 if protocol == "h1" or not large else 15) * MIB
    for stream in streams:
        assert client.answer(stream).reset == INTERNAL_ERROR
    eventually(lambda: sum(value for (name, labels), value in admin.metrics().values.items()
        if name == "weir_pool_connections" and ("state", "leased") in labels) == 0)


def test_streams_that_are_never_completed(start, origin):
    """Requests whose content never comes are ended by body_idle, however many."""
    origin.serve()
    gateway, admin = administered(start, origin, log={"access": "off"},
        listener={"protocols": ["h1", "h2"], "timeouts": {"body_idle": "300ms"}})
    client = h2_connect(gateway)
    streams = [client.request("/", "POST", end=False) for _ in range(100)]
    for stream in streams:
        assert client.answer(stream).status == 408
    assert admin.metrics().get("weir_exchange_double_finish_total") == 0
    assert client.ask().status == 200
