"""A small name server whose every byte is the test's: it answers, changes its mind, fails, is silent, or lies.

It answers from the questions' names: `answers[name]` is called with each Query and returns the messages to send, in order
(none: silence). Over TCP the same answers go out with their length in front, but never truncated. Names that are not there
do not exist.
"""

import ipaddress
import socket
import struct
import threading

from gateway import free_port
from raw import TIMEOUT

A, CNAME, AAAA = 1, 5, 28
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
RESPONSE, AUTHORITATIVE, TRUNCATED, RECURSIVE = 0x8000, 0x0400, 0x0200, 0x0180


def encode_name(name):
    labels = [label.encode("latin-1") for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


class Query:
    def __init__(self, message, stream):
        self.stream = stream            # it came by TCP
        self.id, self.flags = struct.unpack_from("!HH", message)
        labels, at = [], 12
        while message[at]:
            labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1"))
            at += 1 + message[at]
        self.name = ".".join(labels).lower()
        self.kind = struct.unpack_from("!H", message, at + 1)[0]
        self.question = message[12:at + 5]

    def message(self, records=(), rcode=NOERROR, flags=0, id=None, question=None, count=None):
        """A response; `count` is what it claims to have of records."""
        head = struct.pack("!HHHHHH", self.id if id is None else id, RESPONSE | RECURSIVE | flags | rcode, 1,
            len(records) if count is None else count, 0, 0)
        return head + (self.question if question is None else question) + b"".join(records)


def record(kind, data, ttl=1, name=None):
    """One with the question's name, unless it has one of its own."""
    owner = b"\xc0\x0c" if name is None else encode_name(name)
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def address_record(address, ttl=1, name=None):
    packed = ipaddress.ip_address(address).packed
    return record(A if len(packed) == 4 else AAAA, packed, ttl, name)


def addresses(*texts, ttl=1):
    """Those addresses, by what is asked for."""
    by_kind = {kind: [t for t in texts if (":" in t) == (kind == AAAA)] for kind in (A, AAAA)}
    return lambda query: [query.message([address_record(t, ttl) for t in by_kind.get(query.kind, [])])]


def failing(rcode):
    return lambda query: [query.message(rcode=rcode)]


def silent(_query):
    return []


class NameServer:
    def __init__(self, port=0, host="127.0.0.1"):
        self.port = port or free_port()
        self.tcp = socket.create_server((host, self.port))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((host, self.port))
        self.answers = {}
        self.queries = []               # (name, kind)
        self.changed = threading.Condition()
        self.closed = False
        self.threads = [threading.Thread(target=target, daemon=True) for target in (self._serve_udp, self._serve_tcp)]
        for thread in self.threads:
            thread.start()

    @property
    def config(self):
        """The gateway's `resolver` with which it asks here."""
        return {"servers": [f"127.0.0.1:{self.port}"], "timeout": "5s", "attempts": 2}

    def wait(self, predicate, timeout=TIMEOUT):
        with self.changed:
            assert self.changed.wait_for(lambda: predicate(self.queries), timeout), f"asked only {self.queries}"

    def wait_for_question(self, name):
        """Until it is asked once more."""
        with self.changed:
            before = len(self.queries)
        self.wait(lambda queries: any(asked == name for asked, _ in queries[before:]))

    def send_late(self, query, messages):
        for message in messages:
            self.udp.sendto(message, query.sender)

    def _answer(self, message, stream, sender=None):
        query = Query(message, stream)
        query.sender = sender
        messages = self.answers.get(query.name, failing(NXDOMAIN))(query)
        with self.changed:
            self.queries.append((query.name, query.kind))
            self.changed.notify_all()
        return messages

    def _serve_udp(self):
        while not self.closed:
            try:
                message, sender = self.udp.recvfrom(65535)
                # Nothing comes when the socket is being closed.
                for answer in self._answer(message, stream=False, sender=sender) if message else []:
                    self.udp.sendto(answer, sender)
            except OSError:
                continue

    def _serve_tcp(self):
        while not self.closed:
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_stream, args=(sock,), daemon=True).start()

    def _serve_stream(self, sock):
        with sock, sock.makefile("rb") as stream:
            while not self.closed and len(head := stream.read(2)) == 2:
                for answer in self._answer(stream.read(struct.unpack("!H", head)[0]), stream=True):
                    sock.sendall(struct.pack("!H", len(answer)) + answer)

    def close(self):
        self.closed = True
        for sock in (self.udp, self.tcp):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        # They would go on with whatever has the descriptors next.
        for thread in self.threads:
            thread.join(TIMEOUT)
        self.udp.close()
        self.tcp.close()
