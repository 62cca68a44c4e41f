"""The administration, as a client of it."""

import json
import re
import socket
import time

from gateway import configuration, eventually, free_port
from raw import TIMEOUT, Wire, get


# How long workers have to answer (SURVEY_US).
SURVEY = 1.0


class Admin:
    """The administration of a running gateway."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.address = gateway.config["admin"]["address"]

    def connect(self, receive_buffer=None):
        """A new connection. With a small receive buffer (TCP's), for a client that takes little: the other side hears of it at once."""
        if self.address.startswith("unix:"):
            sock, address = socket.socket(socket.AF_UNIX), self.address[len("unix:"):]
        else:
            host, _, port = self.address.rpartition(":")
            sock, address = socket.socket(), (host, int(port))
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(TIMEOUT)
        sock.connect(address)
        wire = Wire(sock)
        self.gateway.wires.append(wire)
        return wire

    def ask(self, path, fields=()):
        wire = self.connect()
        answer = wire.ask(get(path, "localhost", fields))
        wire.close()
        return answer

    def json(self, path):
        """What was told a second late is what was known before, or nothing, where a worker of a busy machine has not answered in time: then
        it is asked again."""
        for _ in range(3):
            began = time.monotonic()
            answer = self.ask(path)
            if time.monotonic() - began < SURVEY:
                break
        assert answer.status == 200 and answer.get("Content-Type") == "application/json"
        return json.loads(answer.body)

    def why(self, query=""):
        """As soon as the gateway has been watched for long enough."""
        answer = eventually(lambda: (a := self.ask("/v1/why" + query)) and a.status != 503 and a)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def metrics(self):
        """Of all workers: on a busy machine one may be asked again, as it does not answer within a second."""
        for _ in range(10):
            answer = self.ask("/metrics")
            if answer.status == 503 and json.loads(answer.body)["error"] == "busy":
                continue
            assert answer.status == 200
            metrics = Metrics(answer.body.decode())
            if metrics.get("weir_workers_unanswered") == 0:
                break
        return metrics


# Counters that move whether or not anything is asked of the gateway.
BY_ITSELF = ("process_", "weir_machine_", "weir_worker_", "weir_pool_audits_")

# What is told of endpoints, unless it is 0.
BY_ENDPOINT = ("weir_pool_", "weir_upstream_")

LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{({LABEL}(?:,{LABEL})*)\}})? ([0-9]+(?:\.[0-9]+)?)$")


def unescape(text):
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], text)


class Metrics:
    """A text, read as strictly as the format allows: each family once, HELP and TYPE before its samples, no doubles."""

    def __init__(self, text):
        self.types, self.values = {}, {}
        helped = family = None
        assert text.endswith("\n")
        for line in text[:-1].split("\n"):
            if line.startswith("# HELP "):
                helped = line.split(" ", 3)[2]
                assert line.split(" ", 3)[3]
            elif line.startswith("# TYPE "):
                _, _, family, kind = line.split(" ")
                assert family == helped and family not in self.types and kind in ("counter", "gauge", "histogram")
                assert family.endswith("_total") == (kind == "counter")
                self.types[family] = kind
            else:
                self._sample(line, family)
        told = {self._family(name) for name, _ in self.values}
        assert all(name in told or name.startswith(BY_ENDPOINT) for name in self.types), "a family without samples"
        self._check_histograms()

    def _family(self, name):
        """Of a histogram's samples; every other name is its own."""
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        return family if self.types.get(family) == "histogram" else name

    def _check_histograms(self):
        """Buckets never fall, and the last one counts all."""
        rows = {}
        for (name, labels), value in self.values.items():
            bound = dict(labels).get("le")
            if bound is not None and name.endswith("_bucket"):
                rest = frozenset((n, v) for n, v in labels if n != "le")
                rows.setdefault((self._family(name), rest), []).append((float(bound), value))
        for (family, labels), row in rows.items():
            assert row == sorted(row) and row[-1][0] == float("inf")
            assert [value for _, value in row] == sorted(value for _, value in row)
            assert self.values[f"{family}_count", labels] == row[-1][1]
            assert self.values[f"{family}_sum", labels] >= 0

    def _sample(self, line, family):
        parts = SAMPLE.match(line)
        assert parts, f"not a sample: {line!r}"
        name, labels, value = parts[1], parts[2] or "", parts[3]
        pairs = (label.split("=", 1) for label in re.findall(LABEL, labels))
        key = name, frozenset((n, unescape(v[1:-1])) for n, v in pairs)
        assert self._family(name) == family and key not in self.values, line
        self.values[key] = float(value)

    def get(self, name, **labels):
        key = name, frozenset(labels.items())
        if "endpoint" in labels and self._family(name) in self.types:
            return self.values.get(key, 0)
        return self.values[key]

    def labels(self, name, label):
        """That label's values in the samples of that name."""
        return [dict(labels)[label] for n, labels in self.values if n == name]

    def moved_since(self, before):
        """Every counter that traffic moved, and by how much: {(name, labels): difference}. None goes back."""
        moved = {}
        for key, value in self.values.items():
            if self.types.get(key[0]) == "counter" and not key[0].startswith(BY_ITSELF):
                was = before.get(key[0], **dict(key[1]))
                assert value >= was, f"{key} went back"
                if value != was:
                    moved[key[0], tuple(sorted(v for _, v in key[1]))] = value - was
        return moved


def administered(start, *origins, **options):
    """`example.com` is by what requests ask that say nothing else (raw.py)."""
    given = options.pop("admin", {"address": f"127.0.0.1:{free_port()}"})
    gateway = start(configuration(*origins, admin={"hosts": ["example.com"], **given}, **options))
    return gateway, Admin(gateway)
