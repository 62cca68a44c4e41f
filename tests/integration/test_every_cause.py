"""Each cause of the closed list staged once: the same word in the answer, in Proxy-Status, in the access log, in the metrics, and in the
trace.

The list is the program's own, the causes of weir_exchanges_total, so that one without a staging fails here.
"""

import contextlib
import json
import pathlib
import select
import shutil
import signal
import subprocess

import pytest

from admin import administered
from authority import authorities
from collector import SERVER, Collector
from gateway import BINARY, PATIENT, eventually, merged, sanitizer
from h2raw import H2Wire
from origin import closed_port, full_backlog
from raw import TIMEOUT, get, post, response
from test_queue import Clients, serve_slowly
from test_tls import connect as connect_tls

# A connection that is refused has no request, and so neither a line in the log nor a trace.
WITHOUT_REQUEST = {"client_connections_limited"}

# It is counted when nothing is left to do, and nobody can ask any more.
WITHOUT_SCRAPE = {"draining"}

# And nobody sends spans any more.
WITHOUT_TRACE = WITHOUT_REQUEST | WITHOUT_SCRAPE

# Nobody is there who could be answered.
WITHOUT_ANSWER = {"client_gone"}

STAGINGS = {}


def staging(function):
    STAGINGS[function.__name__] = function
    return function


class Stage:
    def __init__(self, start, make_origin, directory):
        self.start, self.make_origin, self.directory = start, make_origin, directory
        self.origin = make_origin()
        self.collector = Collector(make_origin())
        self.gateway = self.admin = None
        self.kept = []              # what must not end before the test does

    def begin(self, *origins, files=None, under=(), **options):
        """A gateway in front of `origin`, or of these."""
        def begin(config):
            config["upstreams"].append({"name": "collector", "endpoints": [{"address": self.collector.address}], **PATIENT})
            return self.start(config, files=files, under=under)

        tracing = {"upstream": "collector", "sample": "100%", "export": {"interval": "10ms"}}
        options["upstream"] = merged({"retry": {"attempts": 0}, "health": {"passive": "off"}}, options.get("upstream"))
        self.gateway, self.admin = administered(begin, *(origins or (self.origin,)), tracing=tracing, **options)
        return self.gateway

    def ask(self, request=get()):
        return self.gateway.connect().ask(request)

    def occupied(self):
        """Behind a request on the only connection that there may be, which is not answered."""
        client, wire, _ = self.origin.asked(self.gateway, get("/first"))
        self.kept += [client, wire]


@pytest.fixture
def stage(start, make_origin, tmp_path):
    stage = Stage(start, make_origin, tmp_path)
    yield stage
    for kept in stage.kept:
        kept.close()


# --- the client's part ------------------------------------------------------------------------------------------------


@staging
def bad_request(stage):
    stage.begin()
    return stage.ask(b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n")


@staging
def uri_too_long(stage):
    stage.begin(listener={"limits": {"target_bytes": "100B"}})
    return stage.ask(get("/" + "a" * 100))


@staging
def headers_too_large(stage):
    stage.begin(listener={"limits": {"header_bytes": "8KiB"}})
    return stage.ask(get(fields=["A: " + "x" * 9000]))


@staging
def body_too_large(stage):
    stage.begin(listener={"limits": {"body_bytes": "10B"}})
    return stage.ask(post("more than that"))


@staging
def client_timeout(stage):
    stage.begin(listener={"timeouts": {"header": "150ms"}})
    return stage.ask("GET / HTTP/1.1\r\nHo")


@staging
def client_gone(stage):
    stage.begin()
    client, _, _ = stage.origin.asked(stage.gateway)
    client.close()


@staging
def misdirected_request(stage):
    ours, _ = authorities()
    open_to_all, closed = ours.issue("one.test", "one.test"), ours.issue("two.test", "two.test")
    rules = {"client_auth": "required", "client_ca": ours.ca}
    stage.begin(listener={"tls": {"certificates": [open_to_all, {**closed, **rules}]}})
    return connect_tls(stage.gateway, ours.client_context(), "one.test").ask(get(host="two.test"))


@staging
def no_route(stage):
    stage.begin(route={"match": {"path": "/only"}})
    return stage.ask()


@staging
def method_not_allowed(stage):
    stage.begin(route={"match": {"path": "/*", "methods": ["POST"]}})
    return stage.ask()


@staging
def unauthorized(stage):
    stage.begin(route={"filters": [{"api_key": {"keys": [{"name": "somebody", "key": "0123456789abcdef"}]}}]})
    return stage.ask(get(fields=["X-Api-Key: fedcba9876543210"]))


@staging
def forbidden(stage):
    stage.begin(route={"filters": [{"access": {"deny": ["127.0.0.0/8"]}}]})
    return stage.ask()


@staging
def rate_limited(stage):
    stage.begin(route={"filters": [{"rate_limit": {"rate": "1/h", "burst": 1}}]})
    stage.origin.serve()
    assert stage.ask().status == 200
    return stage.ask()


# --- the upstream's part ----------------------------------------------------------------------------------------------


@staging
def concurrency_limited(stage):
    """Somebody who comes to a queue that stands."""
    stage.begin(upstream={"pool": {"max_connections": 2, "queue": {"target": "20ms", "interval": "100ms"}}})
    stage.origin.serve(serve_slowly)
    others = Clients(stage.gateway, 24)
    answer = eventually(lambda: (said := stage.ask()).status == 503 and said)
    others.stop()
    return answer


@staging
def pool_queue_full(stage):
    stage.begin(upstream={"pool": {"max_connections": 1, "max_pending": 0}})
    stage.occupied()
    return stage.ask()


@staging
def pool_acquire_timeout(stage):
    """Behind one who need not wait himself: the connection is there before him."""
    stage.begin(upstream={"pool": {"max_connections": 1, "min_idle": 1, "acquire_timeout": "150ms"}})
    eventually(lambda: stage.admin.metrics().get("weir_pool_connections", upstream="origin", endpoint=stage.origin.address,
        state="idle") == 1)
    stage.occupied()
    return stage.ask()


@staging
def breaker_open(stage):
    bad = response("no", status="500 Oops")
    stage.begin(route={"breaker": {"min_calls": 2, "open_for": "30s", "open_max": "30s"}})
    stage.origin.serve(lambda wire, origin: answer_bad(wire, origin, bad))
    return eventually(lambda: (answer := stage.ask()).status == 503 and answer)


def answer_bad(wire, origin, bad):
    wire.sock.settimeout(None)
    while wire.unread or wire.more():
        origin.note(wire.read_request())
        wire.send(bad)


@staging
def no_healthy_endpoint(stage):
    keeper, port = closed_port()
    stage.kept.append(keeper)
    checks = {"active": {"type": "tcp", "interval": "100ms", "fall": 1}, "panic_threshold": 0}
    stage.begin(f"127.0.0.1:{port}", upstream={"health": checks})
    return eventually(lambda: b"no_healthy_endpoint" in (answer := stage.ask()).body and answer)


@staging
def connect_refused(stage):
    keeper, port = closed_port()
    stage.kept.append(keeper)
    stage.begin(f"127.0.0.1:{port}")
    return stage.ask()


@staging
def connect_timeout(stage):
    origin, fillers = full_backlog(stage.make_origin)
    stage.kept += fillers
    stage.begin(origin, upstream={"timeouts": {"connect": "150ms"}})
    return stage.ask()


@staging
def tls_failed(stage):
    stage.begin(upstream={"tls": {"verify": False}})
    stage.origin.serve(lambda wire, _: (wire.more(), wire.send("HTTP/1.1 400 Not TLS\r\n\r\n")))
    return stage.ask()


@staging
def upstream_reset(stage):
    stage.begin()
    client, wire, _ = stage.origin.asked(stage.gateway)
    wire.reset()
    return client.read_response()


@staging
def upstream_bad_response(stage):
    stage.begin()
    client, wire, _ = stage.origin.asked(stage.gateway)
    wire.send("HTTP/1.1 2xx Perhaps\r\n\r\n")
    return client.read_response()


@staging
def first_byte_timeout(stage):
    stage.begin(upstream={"timeouts": {"first_byte": "150ms"}})
    return stage.ask()


@staging
def upstream_idle_timeout(stage):
    """It takes no more of the request's content."""
    stage.begin(upstream={"timeouts": {"idle": "150ms"}})
    client = stage.gateway.connect().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
    stage.origin.accept()
    client.sock.settimeout(0.05)
    with contextlib.suppress(ConnectionError):
        while not client.has_more():
            with contextlib.suppress(TimeoutError):
                client.sock.send(b"x" * 262144)
    client.sock.settimeout(TIMEOUT)
    return client.read_response()


@staging
def request_deadline(stage):
    stage.begin(upstream={"timeouts": {"request": "150ms"}})
    return stage.ask()


# --- the gateway's own ------------------------------------------------------------------------------------------------


@staging
def client_connections_limited(stage):
    stage.begin(listener={"limits": {"connections": 1}})
    stage.origin.serve()
    first = stage.gateway.connect()
    assert first.ask(get()).status == 200
    stage.kept.append(first)
    return stage.gateway.connect().read_response()


@staging
def files_exhausted(stage):
    stage.begin(files=40, shedding={"files": "off"})
    stage.origin.serve()
    # Before clients have taken all that there are.
    admin = stage.admin.connect()
    clients = [stage.gateway.connect() for _ in range(60)]
    eventually(lambda: stage.gateway.open_files() >= 40)
    answer = clients[0].ask(get())
    for client in clients:
        client.close()
    admin.close()
    return answer


@staging
def memory_exhausted(stage):
    """A rate limit that has no room for one more key."""
    limit = {"algorithm": "concurrent", "max_concurrent": 1, "key": "header:X-Key", "keys": 1}
    stage.begin(route={"filters": [{"rate_limit": limit}]})
    for key in range(1000):
        client = stage.gateway.connect().send(get(fields=[f"X-Key: {key}"]))
        if client.sock in select.select([client.sock, stage.origin.listener], [], [], TIMEOUT)[0]:
            return client.read_response()
        stage.kept += [client, stage.origin.accept()]
    return None


@staging
def filter_failed(stage):
    """Two let a request wait, each for less than both may take together. (Together it is at least as much as is left of two
    turns when the last one asks.)"""
    def limit(key):
        return {"rate_limit": {"algorithm": "leaky_bucket", "rate": "1/5s", "max_delay": "5s", "key": key}}

    stage.begin(listener={"timeouts": {"filters": "5500ms"}}, route={"filters": [limit("header:X-Key"), limit("route")]})
    stage.origin.serve()
    first, other, client = [stage.gateway.connect() for _ in range(3)]
    assert first.ask(get(fields=["X-Key: a"])).status == 200
    # For the second limit at once, whose next turn it takes from the one that still waits for the first limit.
    stage.kept.append(other.send(get(fields=["X-Key: b"])))
    return client.ask(get(fields=["X-Key: a"]))


@staging
def overloaded(stage):
    """It is given no processor for a while, with work to do. Who asks a second later is served again: that may be us."""
    stage.begin(shedding={"loop_lag": "100ms"})
    client = stage.gateway.connect()
    stage.occupied()
    stage.origin.serve()

    def begun(lines):
        return sum("shedding begins: loop_lag is at" in line for line in lines)

    def refused():
        before = begun(stage.gateway.events.lines)
        stage.gateway.stand_still(3)
        assert stage.gateway.events.wait_for(lambda lines: begun(lines) > before)
        return (answer := client.ask(get())).status != 200 and answer

    return eventually(refused)


@staging
def draining(stage):
    stage.begin(drain_timeout="150ms")
    client, _, _ = stage.origin.asked(stage.gateway)
    stage.gateway.signal(signal.SIGTERM)
    return client.read_response()


@staging
def internal(stage):
    """Of a bug, which is brought in from outside: a session with the upstream cannot go on (breaking.c)."""
    if sanitizer() or b"libnghttp2.so" not in BINARY.read_bytes() or not shutil.which("cc"):
        pytest.skip("nothing can be put before libnghttp2: the program has a sanitizer, or has it inside, or there is no compiler")
    bug = stage.directory / "breaking.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", bug, pathlib.Path(__file__).with_name("breaking.c"), "-ldl"], check=True)
    stage.origin.serve(serve_h2)
    stage.begin(under=("env", f"LD_PRELOAD={bug}"), upstream={"protocol": "h2"})
    assert stage.ask(get("/whole")).status == 200
    return stage.ask(get("/break"))


def serve_h2(wire, _):
    wire, answered = H2Wire(wire.sock, server=True), 0
    wire.start()
    with contextlib.suppress(EOFError, OSError):
        while True:
            wire.read_one()
            for number in sorted(n for n, message in wire.messages.items() if message.fields is not None and n > answered):
                wire.respond(number, body=b"whole")
                answered = number


# --- the same word ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", STAGINGS)
def test_same_word_everywhere(stage, cause):
    answer = STAGINGS[cause](stage)
    if cause not in WITHOUT_ANSWER:
        assert_answer(answer, cause)
    if cause not in WITHOUT_REQUEST:
        assert_logged(stage.gateway, answer, cause)
    if cause not in WITHOUT_TRACE:
        assert_traced(stage, answer, cause)
    if cause not in WITHOUT_SCRAPE:
        eventually(lambda: stage.admin.metrics().get("weir_exchanges_total", cause=cause) >= 1)


def assert_answer(answer, cause):
    error = json.loads(answer.body)
    assert (error["error"], error["status"]) == (cause, answer.status)
    assert f'details="{cause}"' in answer.get("Proxy-Status")


def assert_logged(gateway, answer, cause):
    """In the line of that very request."""
    mark = json.loads(answer.body)["request_id"] if answer else f'"cause":"{cause}"'
    line = gateway.access.wait_for(lambda lines: next((line for line in lines if mark in line), None))
    assert line, gateway.access.text()
    record = json.loads(line)
    assert (record["cause"], record["status"]) == (cause, answer.status if answer else 499)
    assert not record["upstream_status"]


def assert_traced(stage, answer, cause):
    mark = json.loads(answer.body)["request_id"] if answer else None

    def told():
        assert not stage.collector.wrong, stage.collector.wrong
        return next((span for span in stage.collector.spans if span.kind == SERVER and
            (span.attributes.get("weir.cause") == cause if mark is None else span.attributes.get("weir.request_id") == mark)), None)

    span = eventually(told)
    assert (span.attributes["weir.cause"], span.attributes["error.type"]) == (cause, cause)
    assert any(line for line in stage.gateway.access.lines if f'"trace_id":"{span.trace}"' in line)


def test_no_cause_is_left_out(stage):
    """Every one of the program's is staged."""
    stage.begin()
    assert set(stage.admin.metrics().labels("weir_exchanges_total", "cause")) - {"none"} == set(STAGINGS)
