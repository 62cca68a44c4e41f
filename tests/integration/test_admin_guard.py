"""Who may ask the administration: tokens, names, and pages in browsers."""

import contextlib
import json
import socket
import time

import pytest

from admin import Admin, Metrics, administered
from gateway import configuration, eventually, free_port, run
from raw import get, is_open_there, unread_there
from test_admin_api import JSON, error_of, request
from timing import due

pytestmark = pytest.mark.threads

TOKEN = "c0rrect-Horse.battery_~+/stapl3="
GUARDED = ("/metrics", "/v1", "/v1/leaks", "/v1/log/level")
OPEN = ("/healthz", "/readyz")


def loopback(host="127.0.0.1", **more):
    return {"address": f"{host}:{free_port()}", "hosts": ["weir.internal"], **more}


def bearer(token):
    return [f"Authorization: Bearer {token}"]


# --- tokens -------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["token", "token_file", "token_file without a newline"])
def guarded(request, start, origin, tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN + ("" if "without" in request.param else "\r\n"))
    said = {"token": TOKEN} if request.param == "token" else {"token_file": str(file)}
    return administered(start, origin, admin=loopback(**said), log={"level": "debug"})[1]


@pytest.mark.parametrize("fields", [[], bearer(""), bearer(TOKEN[:-1]), bearer(TOKEN + "x"), bearer(TOKEN[::-1]), bearer(TOKEN.lower()),
    [f"Authorization: Basic {TOKEN}"], [f"Authorization: {TOKEN}"], bearer(TOKEN) * 2, [f"Authorization:  Bearer, {TOKEN}"],
    [f"X-Authorization: Bearer {TOKEN}"], bearer(TOKEN + TOKEN)])
def test_wrong_tokens(guarded, fields):
    client = guarded.connect()
    for path in GUARDED:
        answer = client.ask(get(path, "localhost", fields))
        assert error_of(answer) == (401, "unauthorized")
        assert answer.get("WWW-Authenticate") == 'Bearer realm="weir"'
    assert all(client.ask(get(path, "localhost", fields)).status == 200 for path in OPEN)
    assert error_of(client.ask(request("PUT", "/v1/log/level", {"level": "error"}, [JSON, *fields]))) == (401, "unauthorized")
    # Its content is not read, so nothing can follow.
    client.expect_end()


def test_right_token(guarded):
    client = guarded.connect()
    for scheme in ("Bearer", "bearer", "BEARER"):
        for path in GUARDED:
            # By any name: a page that has led the browser here does not know the token.
            assert client.ask(get(path, "anything.example", [f"Authorization: {scheme} {TOKEN}"])).status == 200
    assert client.ask(request("PUT", "/v1/log/level", {"level": "debug"}, [JSON, *bearer(TOKEN)])).status == 200
    assert TOKEN not in guarded.gateway.events.text()


def test_addresses_of_others_need_a_token(start, origin, tmp_path):
    config = configuration(origin, admin={"address": f"0.0.0.0:{free_port()}", "token": TOKEN})
    gateway = start(config)
    admin = Admin(gateway)
    assert admin.ask("/metrics").status == 401
    assert admin.ask("/metrics", bearer(TOKEN)).status == 200


# --- the unix socket ----------------------------------------------------------------------------------------------------


def test_unix_socket_beside_an_address(start, origin, tmp_path):
    path = tmp_path / "admin.sock"
    gateway, admin = administered(start, origin, admin=loopback(token=TOKEN, unix=str(path)))
    gateway.event(f"listening on unix:{path} (admin)")
    gateway.event(f"listening on {admin.address} (admin)")
    assert path.stat().st_mode & 0o777 == 0o600
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    sock.sendall(get("/v1/leaks", "anything.example", ["Connection: close"]))
    answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert admin.ask("/v1/leaks").status == 401


@pytest.mark.parametrize("how", ["unix", "token", "both"])
def test_commands_ask_by_what_there_is(start, origin, tmp_path, how):
    said = {"unix": {"unix": str(tmp_path / "admin.sock")}, "token": loopback(token=TOKEN),
        "both": loopback(token=TOKEN, unix=str(tmp_path / "admin.sock"))}[how]
    said.pop("hosts", None)
    gateway = start(configuration(origin, admin=said))
    result = run("leaks", "-c", gateway.file, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["leases"] == []


def test_command_with_another_token(start, origin, tmp_path):
    gateway, admin = administered(start, origin, admin=loopback(token=TOKEN))
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps(configuration(origin, admin={"address": admin.address, "token": TOKEN[::-1]})))
    result = run("leaks", "-c", other)
    assert result.returncode == 1 and "token" in result.stderr
    assert TOKEN not in result.stderr and TOKEN[::-1] not in result.stderr


# --- browsers -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(start, origin):
    return administered(start, origin, admin=loopback())[1]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9180", "127.0.0.1.evil.example", "localhost.evil.example",
    "weir.internal.evil.example", "x.weir.internal", "127.1", "2130706433", "0x7f000001", "1.2.3"])
def test_names_that_somebody_has_led_here(admin, host):
    client = admin.connect()
    for path in GUARDED:
        assert error_of(client.ask(get(path, host))) == (403, "forbidden")
    assert all(client.ask(get(path, host)).status == 200 for path in OPEN)
    assert error_of(client.ask(request("PUT", "/v1/log/level", {"level": "error"}).replace(b"localhost", host.encode()))) == \
        (403, "forbidden")
    assert admin.json("/v1/log/level") == {"level": "info"}


@pytest.mark.parametrize("host", ["localhost", "LocalHost:9180", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:80", "10.1.2.3",
    "weir.internal", "WEIR.internal:9180"])
def test_names_of_our_own(admin, host):
    client = admin.connect()
    assert all(client.ask(get(path, host)).status == 200 for path in GUARDED)
    assert client.ask("GET /v1 HTTP/1.0\r\n\r\n").status == 200


@pytest.mark.parametrize("fields", [["Origin: http://evil.example"], ["Origin: null"], ["Origin: http://localhost:1"],
    ["Origin: localhost"], ["Sec-Fetch-Site: cross-site"], ["Sec-Fetch-Site: same-site"], ["Sec-Fetch-Site: anything"],
    ["Origin: http://localhost", "Sec-Fetch-Site: cross-site"], ["Origin: http://localhost", "Origin: http://evil.example"],
    ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"]])
def test_pages_of_other_sites(admin, fields):
    client = admin.connect()
    for path in GUARDED:
        assert error_of(client.ask(get(path, "localhost", fields))) == (403, "forbidden")
    answer = client.ask(request("PUT", "/v1/log/level", {"level": "error"}, [JSON, *fields]))
    assert error_of(answer) == (403, "forbidden")
    assert admin.json("/v1/log/level") == {"level": "info"}


def test_page_of_our_own(admin):
    client = admin.connect()
    for fields in (["Origin: http://localhost"], ["Origin: https://LOCALHOST", "Sec-Fetch-Site: same-origin"],
            ["Sec-Fetch-Site: none"]):
        assert client.ask(get("/v1", "localhost", fields)).status == 200
        assert client.ask(request("PUT", "/v1/log/level", {"level": "debug"}, [JSON, *fields])).status == 200


# --- limits and time-outs -----------------------------------------------------------------------------------------------


def test_limits_are_configured(start, origin):
    _, admin = administered(start, origin, admin=loopback(limits={"connections": 2, "streams": 2}))
    for client in (admin.connect(), admin.connect()):
        assert client.send(get("/v1/live", "localhost")).read_head().status == 200
    assert error_of(admin.connect().read_response()) == (503, "too_many_connections")


HOGGED = 12    # answers that are asked for at once: of the first ones the kernel takes some MiB, whoever reads


def talkative(start, origin, **given):
    """An administration with much to tell."""
    endpoints = [{"address": f"127.1.{n >> 8}.{n & 255}:9"} for n in range(256)]
    upstreams = [{"name": f"u{n}", "endpoints": endpoints} for n in range(8)]
    config = configuration(origin, admin=loopback(**given))
    return Admin(start({**config, "upstreams": config["upstreams"] + upstreams}))


@pytest.fixture
def ways(start, origin, tmp_path):
    """To one with little room for it: by its address, and by its unix socket."""
    unix = tmp_path / "admin.sock"
    admin = talkative(start, origin, unix=str(unix), limits={"answer_bytes": "1MiB", "streams": 1}, timeouts={"write_idle": "1h"})
    owner = Admin(admin.gateway)
    owner.address = f"unix:{unix}"
    return admin, owner


@pytest.fixture
def hasty(start, origin):
    return talkative(start, origin, timeouts={"write_idle": "300ms"})


def hogs(admin):
    """Who ask for much and take nothing of it."""
    return [admin.connect().send(get("/metrics", "localhost") * HOGGED) for _ in range(2)]


def await_refusal(asker, path):
    """Of an answer, for the bytes of others: until the kernel takes no more of those."""
    def is_refused():
        answer = asker.ask(get(path, "localhost"))
        return answer.status == 503 and error_of(answer) == (503, "too_many_bytes")

    eventually(is_refused)


def test_what_clients_do_not_take_is_bounded(ways):
    """Of all together. What is open to everybody is answered, everything by the unix socket, and everything again once they have taken
    theirs."""
    admin, owner = ways
    slow = hogs(admin)
    asker = admin.connect()
    for path in ("/v1/status", "/v1/pools"):
        await_refusal(asker, path)
    assert asker.ask(get("/readyz", "localhost")).status == 200
    assert owner.ask("/v1/status").status == 200
    for wire in slow:
        assert {wire.read_response().status for _ in range(HOGGED)} <= {200, 503}
    assert asker.ask(get("/v1/status", "localhost")).status == 200
    assert refusals(owner)["answer_bytes"] >= 2


def test_what_the_owner_does_not_take_is_bounded(ways):
    """By the unix socket there is as much, apart from the others."""
    admin, owner = ways
    slow = hogs(owner)
    asker = owner.connect()
    await_refusal(asker, "/v1/status")
    assert admin.ask("/v1/status").status == 200
    for wire in slow:
        assert {wire.read_response().status for _ in range(HOGGED)} <= {200, 503}
    assert asker.ask(get("/v1/status")).status == 200


def test_who_watches_shuts_no_owner_out(ways):
    """One may by each way."""
    for one in ways:
        assert one.connect().send(get("/v1/live", "localhost")).read_head().status == 200
    for one in ways:
        assert error_of(one.ask("/v1/live")) == (503, "too_many_streams")


# --- who holds places ---------------------------------------------------------------------------------------------------


CRAM_BYTES = 32768


def crammed(admin, request):
    """Who asks until nothing more is read of it, and takes no answer: not as it is slow just now, but for good. It says no more then than
    the gateway's kernel takes at once: of what came later the gateway would hear, and see that its own has passed on some more."""
    client = admin.connect(receive_buffer=4096)
    while unread_there(client.sock) == 0:
        client.send(request * (CRAM_BYTES // len(request)))
        admin.gateway.settle()
        admin.gateway.rest()
    return client


def test_who_has_been_answered_shuts_nobody_out(start, origin):
    """Those that linger, as they do not end their direction: who has done so for longest goes first."""
    _, admin = administered(start, origin, admin=loopback(token=TOKEN, limits={"connections": 4, "streams": 4}))
    clients = []
    for _ in range(20):
        clients.append(admin.connect())
        assert clients[-1].ask(get("/healthz", fields=["Connection: close"])).status == 200
    client = admin.connect()
    assert all(client.ask(get(path)).status == 200 for path in OPEN)
    clients[0].expect_gone()


@pytest.mark.parametrize("path", ["/healthz", "/v1", "/nothing"])
def test_who_takes_no_answer_shuts_nobody_out(start, origin, path):
    """Unless it has been let in: who has taken nothing for longest goes first."""
    _, admin = administered(start, origin, admin=loopback(token=TOKEN, limits={"connections": 4, "streams": 4}, timeouts={"write_idle": "1h"}))
    inside = crammed(admin, get("/v1/log/level", "a", bearer(TOKEN)))
    clients = [crammed(admin, get(path)) for _ in range(3)]
    for _ in range(2):
        newcomer = admin.connect()
        assert all(newcomer.ask(get(one)).status == 200 for one in OPEN)
        newcomer.close()
    eventually(lambda: not is_open_there(clients[0].sock))
    assert is_open_there(inside.sock)


def test_who_asks_all_the_time_shuts_nobody_out(start, origin):
    """What anybody gets is for everybody: who has come first gives way to a newcomer, though he takes his answers."""
    _, admin = administered(start, origin, admin=loopback(token=TOKEN, limits={"connections": 4, "streams": 4}))
    clients = [admin.connect() for _ in range(4)]
    for client in clients:
        assert client.ask(get("/healthz")).status == 200
        # As many as are answered for as long as this takes, one after the other.
        client.send(get("/healthz") * 100)
    for _ in range(8):
        newcomer = admin.connect()
        assert newcomer.ask(get("/healthz")).status == 200
        newcomer.close()


def test_who_is_refused_lets_nobody_else_in(start, origin):
    """A connection that is told 503 is none that the next one could take the place of."""
    _, admin = administered(start, origin, admin=loopback(limits={"connections": 1, "streams": 1}))
    stream = admin.connect().send(get("/v1/live", "localhost"))
    assert stream.read_head().status == 200
    refused = [admin.connect() for _ in range(4)]
    assert [error_of(client.ask(get("/v1", "localhost"))) for client in refused] == [(503, "too_many_connections")] * 4


def test_an_answer_is_taken_in_time(start, origin):
    """By who takes some of it now and then, too."""
    client = talkative(start, origin, timeouts={"write_idle": "1s"}).connect()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    length = int(client.send(get("/metrics", "localhost")).read_head().get("Content-Length"))
    taken, some = len(client.unread), b"some"
    with contextlib.suppress(ConnectionResetError):
        while some and taken < length:
            some = client.sock.recv(65536)
            taken += len(some)
            time.sleep(0.25)    # it is what takes its time
    assert taken < length


def test_an_answer_that_goes_on_is_told_as_long_as_it_is_taken(hasty):
    client = hasty.connect().send(get("/v1/live", "localhost"))
    assert client.read_head().status == 200
    with due(2):
        while client.unread.count(b"event: live") < 4:
            assert client.more()


def test_timeouts_are_configured(start, origin):
    _, admin = administered(start, origin, admin=loopback(timeouts={"header": "200ms", "keep_alive": "3s"}))
    client = admin.connect().send("GET /readyz HT")
    assert error_of(client.read_response()) == (408, "timeout")
    client = admin.connect().send(request("PUT", "/v1/log/level", {"level": "debug"})[:-1])
    assert error_of(client.read_response()) == (408, "timeout")
    client = admin.connect()
    assert client.ask(get("/readyz")).status == 200
    client.expect_end()


# --- counted ------------------------------------------------------------------------------------------------------------


def refusals(admin, fields=()):
    metrics, name = Metrics(admin.ask("/metrics", fields).body.decode()), "weir_admin_refused_total"
    return {reason: metrics.get(name, reason=reason) for reason in metrics.labels(name, "reason") if metrics.get(name, reason=reason)}


def test_refusals_are_counted(start, origin, tmp_path):
    unix = tmp_path / "admin"
    _, admin = administered(start, origin, admin=loopback(unix=str(unix), limits={"connections": 2, "streams": 2}))
    client = admin.connect()
    # What is no refusal, but a mistake or an answer.
    for path in ("/readyz", "/v1", "/nothing", "/v1/why?a=b"):
        client.ask(get(path, "localhost"))
    client.ask(get("/readyz", "evil.example"))
    assert not refusals(admin)
    for _ in range(2):
        client.ask(get("/v1", "evil.example"))
    for fields in (["Origin: null"], ["Sec-Fetch-Site: cross-site"], ["Origin: null", JSON]):
        client.ask(get("/v1", "localhost", fields))
    admin.connect().ask(request("PUT", "/v1/log/level", fields=[]))
    for _ in range(2):
        assert admin.connect().send(get("/v1/live", "localhost")).read_head().status == 200
    admin.connect().read_response()
    # By the unix socket there is a place still.
    admin.address = f"unix:{unix}"
    assert refusals(admin) == {"host": 2, "page": 3, "content_type": 1, "connections": 1}


def test_wrong_tokens_are_counted(start, origin):
    _, admin = administered(start, origin, admin=loopback(token=TOKEN))
    for fields in ([], bearer(TOKEN[::-1]), ["Origin: null"]):
        assert admin.ask("/v1", fields).status == 401
    assert refusals(admin, bearer(TOKEN)) == {"token": 3}
