"""Commands, and an administration that is none: whoever has taken its place says what it likes, to the operator's terminal."""

import copy
import json
import re
import socket
import threading

import pytest

from gateway import REPORTS, run
from raw import TIMEOUT, end_accepting

VERDICT = {"what": "pool_too_small", "subject": {"upstream": "u", "endpoint": "e", "endpoints_alike": 1}, "text": "some text",
    "number": {"name": "n", "value": 42.5, "unit": "c"}, "arithmetic": ["a", "b"], "knob": {"key": "k", "turn": "raise", "now": 10, "to": 42}}
LEASE = {"stage": "waiting", "held_s": 1.0, "age_s": 1.0, "quiet_s": None, "upstream": "u", "endpoint": "e", "request_id": "r", "method": "m",
    "path": "p", "route": "r", "client": "c", "worker": 0}
COMPLAINT = {"line": 1, "column": 1, "path": "p", "text": "t"}
ENDPOINT = {"address": "a", "weight": 1, "requests": 1, "waiting": 0, "out": ["x", "y"], "set": {"drain": True}}
SHOWN = {"address": "a", "state": "in_service", "requests_per_s": 1.0, "first_byte_us": 1, "leased": 1, "max": 2, "waiting": 0}

# What each is told when all is well.
ANSWERS = {
    "status": {"version": "v", "state": "running", "started_at": "x", "uptime_s": 1.0, "configuration": 1, "workers": 2,
        "workers_unanswered": [1], "requests": {"total": 1, "failed": 1, "in_flight": 0}, "connections": {"open": 1},
        "endpoints": {"total": 1, "out_of_service": 0, "set": 0}, "log_level": "info", "file": "f",
        "process": {"open_files": 1, "open_files_max": 2, "memory_bytes": 3, "processor_s": 1.0}},
    "why": {"window_s": 10.0, "requests_per_s": 1.0, "in_flight": 1.0, "phases": {"queue": .5}, "verdicts": [VERDICT, VERDICT],
        "ruled_out": [{"what": "w", "text": "t"}]},
    "top": {"gateway": {"version": "v", "state": "ready"}, "upstreams": [{"name": "u", "endpoints": [SHOWN]}], "endpoints_left_out": 3,
        "sample": {"interval_s": 1.0, "requests": 1, "failed": 0, "in_flight": 1, "latency": {"first_us": 64, "counts": [0, 1, 2]}},
        "limits": [{"name": "l", "refused_per_s": 1.0}], "breakers": [{"name": "b", "state": "open"}, {"name": "b", "state": "half_open"}],
        "machine": {"processors_used": 1.0, "resident_bytes": 1, "descriptors": 1, "descriptors_max": 2},
        "why": {"phases": {"queue": .5}, "verdicts": [VERDICT]}},
    "leaks": {"leases": [LEASE], "exchanges": [LEASE], "workers_unanswered": [1]},
    "stuck": {"exchanges": [LEASE], "clients": [{"stage": "s", "client": "c", "worker": 1}]},
    "log-level": {"level": "info"},
    "reload": {"outcome": "failed", "changes": ["a", "b"], "longest_pause_ms": 1.0, "complaints": [COMPLAINT], "warnings": [COMPLAINT],
        "took_ms": {"read": 1.0, "check": 1.0, "resolve": 1.0, "compile": 1.0, "swap": 1.0}, "refused": 1, "workers": 2},
    "upgrade": {"outcome": "upgraded", "process": 1, "message": "m"},
    "drain": {"outcome": "draining"},
    "endpoint list": {"upstreams": [{"name": "u", "endpoints": [ENDPOINT]}]},
    "endpoint drain u a": ENDPOINT,
}

# Sets the terminal's title, clears it, and colours what follows: by ESC, DEL, and the CSI of C1. Long enough to be wrapped.
CODES = "\x1b]0;x\x07\x1b[2J\x7f\u009b31m\r\n\t" * 8
ODD = (None, 7, -1e308, CODES, [None, 1, CODES], {CODES: 1, "a": None})


class Liar:
    """Answers each connection with this."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.status, self.answer, self.is_event = 200, {}, False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(TIMEOUT)
            sock.recv(65536)
            # As it stands: in a JSON string only C0 must be escaped.
            body = json.dumps(self.answer, ensure_ascii=False).encode()
            kind = "text/event-stream" if self.is_event else "application/json"
            body = b"event: live\ndata: " + body + b"\n\n" if self.is_event else body
            head = f"HTTP/1.1 {self.status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode() + body)
            sock.close()


@pytest.fixture
def liar():
    liar = Liar()
    yield liar
    end_accepting(liar.listener, liar.thread)


def told(liar, command, answer, status=200, more=()):
    """What it prints of that; whatever it is, that is text, and no crash."""
    liar.status, liar.answer, liar.is_event = status, answer, command == "top" and status == 200
    result = run(*command.split(), "--at", liar.address, *more)
    said = result.stdout + result.stderr
    assert result.returncode in (0, 1, 2), (answer, result)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", said), (answer, said)
    assert "(null)" not in said and not any(report in said for report in REPORTS), (answer, said)
    return result


def places(json_value, path=()):
    yield path
    if isinstance(json_value, dict | list):
        for key in json_value if isinstance(json_value, dict) else range(len(json_value)):
            yield from places(json_value[key], (*path, key))


def with_at(json_value, path, value):
    if not path:
        return value
    changed = copy.deepcopy(json_value)
    within = changed
    for key in path[:-1]:
        within = within[key]
    within[path[-1]] = value
    return changed


@pytest.mark.parametrize("command", ANSWERS)
def test_whatever_is_answered_is_only_text(liar, command):
    assert told(liar, command, ANSWERS[command]).returncode == 0
    for path in places(ANSWERS[command]):
        for value in ODD:
            told(liar, command, with_at(ANSWERS[command], path, value))


@pytest.mark.parametrize("command", ANSWERS)
def test_whatever_refuses_is_only_text(liar, command):
    for message in ODD:
        assert told(liar, command, {"error": CODES, "message": message}, 400).returncode == 1
    assert "said " + "?" * 3 in told(liar, command, {"error": "x", "message": "said \x1b\x7f\x07"}, 400).stderr


@pytest.mark.parametrize("command", ANSWERS)
def test_programs_are_told_all_of_it(liar, command):
    answer = {"outcome": CODES, CODES: [CODES, "größer"]}
    assert json.loads(told(liar, command, answer, more=["--json"]).stdout) == answer


def test_letters_stay(liar):
    assert told(liar, "log-level", {"level": "größer \u0100\u2192\U0001f600"}).stdout == "größer \u0100\u2192\U0001f600\n"
