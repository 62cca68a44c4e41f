"""What is malformed is refused alike, whatever the client speaks and whatever the upstream does.

Each way has one gateway and one origin, which notes what of requests it sees. Between the cases good requests go the same way.
"""

import pytest

import h2raw
import malformed
import malformed_alike
import malformed_h2
from gateway import Gateway, configuration, run
from h2raw import H2Wire
from origin import Origin
from raw import get, response

WAYS = [(client, upstream) for client in ("h1", "h2") for upstream in ("h1", "h2")]

CHUNKED = b"POST /bad HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n"


def serve_h1(wire, origin):
    wire.sock.settimeout(None)
    while wire.unread or wire.more():
        head = wire.read_head()
        origin.begun.append(head.target)
        wire.read_content(head)
        origin.note(head.target)
        wire.send(response("ok"))


def serve_h2(raw, origin):
    wire = H2Wire(raw.sock, server=True)
    raw.sock.settimeout(None)
    wire.start()
    begun, answered = set(), set()
    while True:
        wire.read_one()
        for stream, message in wire.messages.items():
            if message.fields is not None and stream not in begun:
                begun.add(stream)
                origin.begun.append(message.get(":path"))
            if message.ended and message.reset is None and stream not in answered:
                answered.add(stream)
                origin.note(message.get(":path"))
                wire.respond(stream, body=b"ok")


def serve(wire, origin):
    try:
        {"h1": serve_h1, "h2": serve_h2}[origin.speaks](wire, origin)
    except EOFError:
        pass


class Way:
    def __init__(self, client, upstream, directory):
        self.client = client
        self.origin = Origin()
        self.origin.speaks, self.origin.begun = upstream, []
        listener = {"protocols": ["h2"]} if client == "h2" else {}
        config = configuration(self.origin, listener=listener, upstream={"protocol": upstream} if upstream == "h2" else {})
        self.origin.serve(serve)
        self.gateway = Gateway(config, directory)

    def connect(self):
        return h2raw.connect(self.gateway.address()).start() if self.client == "h2" else self.gateway.connect()

    def ask_well(self, wire):
        """A good request; on a connection that is to be in order."""
        if self.client == "h2":
            answer = wire.ask(h2raw.get("/good"))
        else:
            answer = wire.ask(get("/good"))
        assert (answer.status, answer.body) == (200, b"ok")

    def close(self):
        self.gateway.stop()
        self.origin.close()


def speaks_h2(directory):
    file = directory / "needs.yaml"
    file.write_text("version: 1\nlisteners: [{name: l, address: '127.0.0.1:1', protocols: [h2]}]\n"
        "upstreams: [{name: u, protocol: h2, endpoints: [{address: '127.0.0.1:2'}]}]\nroutes: [{name: r, upstream: u}]\n")
    told = run("check", file).stderr
    return 'unknown key "protocols"' not in told and "not supported by this version" not in told


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: f"{way[0]} to {way[1]}")
def way(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("way")
    if "h2" in request.param and not speaks_h2(directory):
        pytest.skip("this version does not speak HTTP/2")
    made = Way(*request.param, directory)
    yield made
    made.close()


# What came of each case by the client's version: no matter what the upstream speaks.
outcomes = {}


def refuse(way, name, case):
    """What came of it: the status of an answer, or what h2raw says. A connection that is to go on carries a good request."""
    wire = way.connect()
    if way.client == "h1":
        wire.send(case)
        outcome = wire.read_response().status
        wire.half_close().expect_end()
    else:
        outcome = malformed_h2.refusal(wire, case)
        if outcome in case.expected and case.connection_goes_on:
            way.ask_well(wire)
        wire.close()
    assert outcomes.setdefault((way.client, name), outcome) == outcome, f"{name}: otherwise with another upstream"
    return outcome


def is_expected(way, case, outcome):
    return outcome == 400 if way.client == "h1" else outcome in case.expected


def refuse_all(way, table, unanswered=()):
    """All of them, each as it has to be; and so says the log. `unanswered`: what it may say of those that are not answered."""
    before = len(way.gateway.access.lines)
    came = {name: refuse(way, name, case) for name, case in table.items()}
    wrong = {name: outcome for name, outcome in came.items() if not is_expected(way, table[name], outcome)}
    assert not wrong, wrong
    # Its record is the last one.
    way.ask_well(way.connect())
    good = 1 + sum(way.client == "h2" and case.connection_goes_on for case in table.values())
    way.gateway.access.wait_for(lambda lines: sum('"/good"' in line for line in lines[before:]) == good)
    records = [record for record in way.gateway.records(before)[before:] if record["target"] != "/good"]
    causes = [(record["status"], record["cause"]) for record in records]
    answered = sum(outcome == 400 for outcome in came.values())
    assert causes.count((400, "bad_request")) >= answered
    assert len(causes) == answered or unanswered
    assert {cause for _, cause in causes} <= {"bad_request", *unanswered}


def test_the_corpora_are_alike():
    """What HTTP/1.1 has and HTTP/2 has not, or the other way round, stands in malformed_alike.py with its reason."""
    assert malformed_alike.left_out() == []


def test_heads(way):
    """Nothing of them goes upstream."""
    way.origin.begun.clear()
    refuse_all(way, malformed.HEADS if way.client == "h1" else malformed_h2.HEADS)
    assert set(way.origin.begun) == {"/good"}


def test_bodies(way):
    """An upstream may see them, and never as a whole."""
    way.origin.requests.clear()
    if way.client == "h1":
        refuse_all(way, {name: CHUNKED + content for name, content in malformed.CHUNKS.items()})
    else:
        # Behind the end of a request there is nothing that could make it less whole.
        refuse_all(way, {name: case for name, case in malformed_h2.BODIES.items() if "behind the end" not in name},
            unanswered=("bad_request",))
    assert set(way.origin.requests) == {"/good"}


def test_broken_connections(way):
    if way.client == "h1":
        pytest.skip("HTTP/1.1 has no frames")
    refuse_all(way, malformed_h2.FRAMES, unanswered=("bad_request",))
    refuse_all(way, {name: case for name, case in malformed_h2.BODIES.items() if "behind the end" in name},
        unanswered=("bad_request", None))
