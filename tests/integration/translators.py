"""HTTP/1.1 as the tests write and read it, and HTTP/2 as the gateway then speaks it: what makes one suite four.

    WEIR_MATRIX=h2-h1    the client's side is HTTP/2, the upstream's HTTP/1.1; h1-h2, h2-h2

    test: Wire --h1--> ClientTranslator --h2--> gateway --h2--> OriginTranslator --h1--> Origin: test

Each is a thread. It keeps the order of things and adds nothing of its own: bytes are passed on as they come, windows are given back
when the other side has taken them, and an end is an end, a reset a reset. What it cannot say in the other version is an error,
which fails the test: such a test is about the version itself, and stands in matrix.py.

A WebSocket is an extended CONNECT (RFC 8441), whose stream is the tunnel. Other upgrades have no likeness.

A client's connection is a session with one stream at a time. An origin's session has a connection for each stream that it has at
a time, and takes one that is idle first; when the last is closed, so is the session.
"""

import http.client
import os
import select
import socket
import threading
import traceback

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

import proxy_header
from h1_leg import AHEAD, KEY, OF_THE_CONNECTION, Leg, octets, proof, reset_at_close
from raw import TIMEOUT, end_accepting

CLIENT, UPSTREAM = os.environ.get("WEIR_MATRIX", "h1-h1").split("-")

# As Via, the log and others have it.
VERSIONS = {"h1": "1.1", "h2": "2.0"}

NO_ERROR, INTERNAL_ERROR, CANCEL = 0, 2, 8


class Connection(h2.connection.H2Connection):
    """Behind a GOAWAY streams go on."""

    def _receive_goaway_frame(self, frame):
        event = h2.events.ConnectionTerminated()
        event.error_code, event.last_stream_id, event.additional_data = frame.error_code, frame.last_stream_id, b""
        return [], [event]


class Translator(threading.Thread):
    def __init__(self, sock, client_side):
        super().__init__(daemon=True)
        self.sock, self.legs, self.error = sock, [], None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.h2 = Connection(h2.config.H2Configuration(client_side=client_side, header_encoding="latin-1"))
        self.h2.decoder.max_header_list_size = 1 << 20
        # Huffman's code is slow in Python, and a large head would be late for it.
        encode = self.h2.encoder.encode
        self.h2.encoder.encode = lambda fields: encode(fields := list(fields), huffman=sum(len(f[1]) for f in fields) < AHEAD // 16)
        settings = dict(self.h2.local_settings.items()) | {SettingCodes.MAX_HEADER_LIST_SIZE: self.h2.decoder.max_header_list_size}
        if not client_side:
            settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
        self.h2.local_settings = h2.settings.Settings(client_side, settings)
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 24)
        self.out, self.over, self.ending = bytearray(), False, False
        self.waiting = False        # in poll(), everything before it is done

    def is_settled(self):
        """Whether all that the test has sent was passed on: nothing stands in a socket or in here. By another thread."""
        try:
            unread = any(not leg.reader.closed and select.select([leg.sock], [], [], 0)[0] for leg in list(self.legs))
        except (OSError, ValueError):
            unread = False
        # What was received is passed on in the same turn, so it is looked at last whether there is one.
        if unread or not self.is_alive():
            return not unread
        return self.waiting and not self.out and not any(leg.pending for leg in list(self.legs))

    def run(self):
        try:
            while not self.over:
                self._turn()
        except Exception:  # pylint: disable=broad-except
            self.error = traceback.format_exc()
            for leg in self.legs:
                leg.reset()
        for leg in list(self.legs):
            leg.sock.close()
        self.sock.close()

    def _turn(self):
        poll, socks = select.poll(), {self.sock.fileno(): None}
        self.out += self.h2.data_to_send()
        poll.register(self.sock, select.POLLIN | (select.POLLOUT if self.out else 0))
        for leg in self.legs:
            socks[leg.sock.fileno()] = leg
            wanted = not leg.reader.closed and len(leg.reader.data) + len(leg.pending) < leg.reader.ahead
            mask = (select.POLLIN if wanted else 0) | (select.POLLOUT if leg.out else 0)
            # Of a tunnel that has ended there is nothing to hear but that, again and again.
            if mask or not leg.tunnel:
                poll.register(leg.sock, mask)
        self.waiting = True
        ready = poll.poll(100)
        self.waiting = False
        for number, events in ready:
            leg = socks[number]
            if leg is None:
                self._h2_ready(events)
            elif leg in self.legs:
                self._leg_ready(leg, events)
        for leg in list(self.legs):
            self._settle(leg)
        if self.ending and not self.out and not self.legs:
            self.over = True

    # --- HTTP/2's side -----------------------------------------------------------------------------------------------

    def _h2_ready(self, events):
        try:
            if self.out:
                del self.out[:self.sock.send(self.out)]
            if events & ~select.POLLOUT:
                data = self.sock.recv(262144)
                if not data:
                    return self._h2_ended(False)
                for event in self.h2.receive_data(data):
                    self._take(event)
        except BlockingIOError:
            pass
        except OSError:
            self._h2_ended(True)

    def _h2_ended(self, broken):
        for leg in list(self.legs):
            Translator.drop(self, leg, broken or (leg.stream is not None and not leg.written_done))
        self.over = True

    def _take(self, event):
        stream = getattr(event, "stream_id", None)
        leg = next((leg for leg in self.legs if stream and leg.stream == stream), None)
        if isinstance(event, h2.events.RequestReceived):
            self.on_request(stream, event)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.on_goaway()
        elif leg is None:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, (h2.events.InformationalResponseReceived, h2.events.ResponseReceived)):
            self.on_response(leg, event)
        elif isinstance(event, h2.events.DataReceived):
            leg.content(event.data)
            leg.owed[stream] += event.flow_controlled_length
        elif isinstance(event, h2.events.TrailersReceived):
            leg.late = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            leg.end()
        elif isinstance(event, h2.events.StreamReset):
            self.on_reset(leg, event)

    def on_goaway(self):
        pass

    def reset_stream(self, leg, code):
        try:
            self.h2.reset_stream(leg.stream, code)
        except h2.exceptions.ProtocolError:
            pass

    def go_away(self):
        """Ends the session, and the thread with it once everything is out."""
        if not self.ending:
            self.out += self.h2.data_to_send()
            self.out += GoAwayFrame(0, last_stream_id=self.h2.highest_inbound_stream_id).serialize()
            self.ending = True

    # --- HTTP/1.1's side ---------------------------------------------------------------------------------------------

    def _leg_ready(self, leg, events):
        try:
            if events & select.POLLOUT:
                del leg.out[:leg.sock.send(leg.out)]
            if events & ~select.POLLOUT and not leg.reader.closed:
                data = leg.sock.recv(65536)
                leg.reader.data += data
                leg.reader.closed = not data
            elif events & (select.POLLHUP | select.POLLERR):
                raise ConnectionResetError
        except BlockingIOError:
            pass
        except OSError:
            self.drop(leg, True)

    def _settle(self, leg):
        """What can go on goes on."""
        while leg in self.legs and len(leg.pending) < AHEAD and self.may_read(leg) and (event := leg.reader.next()):
            {"head": self.on_head, "data": self.on_data, "end": self.on_end}[event[0]](leg, event[1])
            self._push(leg)
        if leg not in self.legs:
            return
        self._push(leg)
        leg.tell_end()
        if not leg.out:
            for stream, n in leg.owed.items():
                if n:
                    self.h2.acknowledge_received_data(n, stream)
            leg.owed.clear()
        if leg.read_done and leg.written_done and not leg.pending and leg.trailers is None and not leg.wants_out:
            self.on_exchanged(leg)
        if leg in self.legs and leg.reader.closed and len(leg.pending) < AHEAD:
            self.on_closed(leg)
        if leg in self.legs and leg.closing and not leg.out:
            self.drop(leg, False)

    def on_data(self, leg, data):
        leg.pending += data

    def on_end(self, leg, trailers):
        leg.read_done = True
        if not leg.headed:
            leg.trailers = trailers

    def _push(self, leg):
        """Content that was read goes on as the windows allow."""
        try:
            while leg.pending:
                room = min(self.h2.local_flow_control_window(leg.stream), self.h2.max_outbound_frame_size, len(leg.pending))
                if room <= 0:
                    return
                self.h2.send_data(leg.stream, bytes(leg.pending[:room]))
                del leg.pending[:room]
            if leg.trailers:
                self.h2.send_headers(leg.stream, octets(leg.trailers), end_stream=True)
            elif leg.trailers is not None:
                self.h2.end_stream(leg.stream)
        except h2.exceptions.StreamClosedError:
            leg.pending.clear()
        leg.trailers = None

    def drop(self, leg, broken):
        """`broken`: behind what is still to be said, it is reset."""
        try:
            leg.sock.send(leg.out)
        except OSError:
            pass
        if broken:
            leg.reset()
        leg.sock.close()
        self.legs.remove(leg)


class ClientTranslator(Translator):
    """In front of the gateway. `left` is the test's end."""

    def __init__(self, sock, receive_buffer=None, named=False):
        """`named`: its connection begins with a header of the PROXY protocol, which the test sends."""
        super().__init__(sock, True)
        self.naming = proxy_header.Passing() if named else None
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.left = socket.socket()
            if receive_buffer:
                self.left.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.left.connect(listener.getsockname())
            right, _ = listener.accept()
        if receive_buffer:
            right.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, receive_buffer)
        right.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.legs.append(Leg(right))
        self.start()

    def _turn(self):
        if self.naming:
            self._pass_header(self.legs[0])
        else:
            super()._turn()

    def _pass_header(self, leg):
        """The header goes on as it comes. Where the gateway does not like it no HTTP/2 is begun."""
        poll = select.poll()
        for sock in [self.sock] if leg.reader.closed else [self.sock, leg.sock]:
            poll.register(sock, select.POLLIN)
        self.waiting = True
        ready = {number for number, _ in poll.poll(100)}
        self.waiting = False
        if self.sock.fileno() in ready:
            return self._h2_ready(select.POLLIN)
        if leg.sock.fileno() in ready:
            self._leg_ready(leg, select.POLLIN)
            self.sock.sendall(self.naming.take(leg.reader.data))
        if leg.reader.closed:
            self.sock.shutdown(socket.SHUT_WR)
        if self.naming.ended:
            self.naming = None

    def may_read(self, leg):
        """The next request waits for the answer to the one before."""
        return leg.stream is None or not leg.read_done

    def on_head(self, leg, message):
        leg.begin(self.h2.get_next_available_stream_id())
        leg.closes = "close" in (message.get("Connection") or "")
        leg.method, leg.key = message.method, message.get("Sec-WebSocket-Key") if message.upgrades else None
        leg.headed = message.framing in (None, 0) and not leg.key
        method = [(":method", "CONNECT"), (":protocol", "websocket")] if leg.key else [(":method", message.method)]
        scheme = [*method, (":scheme", "http"), (":authority", message.get("Host")), (":path", message.target)]
        fields = [(n.lower(), v) for n, v in message.fields if n.lower() not in OF_THE_CONNECTION]
        self.h2.send_headers(leg.stream, octets(scheme + fields), end_stream=leg.headed)

    def on_response(self, leg, event):
        status = int(dict(event.headers)[":status"])
        fields = [field for field in event.headers if field[0] != ":status"]
        if leg.key and 200 <= status < 300:
            return leg.switch(fields)
        if leg.key and status >= 200:
            self.stay(leg)
        leg.answered = status >= 200
        content = status >= 200 and leg.method != "HEAD" and status not in (204, 304)
        if content and event.stream_ended and not any(n == "content-length" for n, _ in fields):
            fields.append(("content-length", "0"))
        if leg.closes and status >= 200:
            fields.append(("connection", "close"))
        leg.head(f"HTTP/1.1 {status} {http.client.responses.get(status, '')}", fields, content)

    def stay(self, leg):
        """No tunnel: the request is one without content, and whatever came behind it is the next one's."""
        leg.reader.stay()
        leg.reader.data[:0] = leg.pending
        leg.pending.clear()
        leg.read_done, leg.key, leg.trailers = True, None, []

    def on_goaway(self):
        """The answer that is still to come is the last one."""
        for leg in self.legs:
            leg.closes = leg.closes or leg.stream is not None

    def on_reset(self, leg, event):
        """An answer that was whole before leaves the rest of the request unread."""
        if not leg.written_done or leg.tunnel:
            self.drop(leg, True)
            self.go_away()
        leg.pending.clear()

    def on_exchanged(self, leg):
        closes = leg.closes or leg.tunnel
        leg.begin(None)
        if closes:
            leg.closing = True
            self.go_away()

    def on_closed(self, leg):
        """The test's client has left. What it ends of a tunnel is its own direction."""
        if leg.key:
            return
        if leg.stream is not None and not leg.written_done:
            self.reset_stream(leg, CANCEL)
            # What has begun and never ends must not look complete.
            self.drop(leg, leg.answered)
        if not leg.closing:
            leg.closing = True
            self.go_away()

    def drop(self, leg, broken):
        if broken and leg.stream is not None:
            self.reset_stream(leg, CANCEL)
        super().drop(leg, broken)
        self.go_away()


class OriginTranslator(threading.Thread):
    """In front of a scripted origin; the gateway connects to its `port`."""

    ports = set()           # of all that there are
    running = set()

    def __init__(self, host, to_port, port):
        super().__init__(daemon=True)
        self.listener = socket.create_server((host, port), backlog=4096,
            family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.to, self.port = (host, to_port), port
        self.sessions = []
        self.ends_together = False      # a connection that ends within an answer, or before it, takes the session with it
        self.ports.add(str(self.port))
        self.running.add(self)
        self.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.sessions.append(OriginSession(sock, self))

    def refuse(self):
        end_accepting(self.listener, self)

    def close(self):
        self.refuse()
        # It may come to be another's.
        self.ports.discard(str(self.port))
        self.running.discard(self)
        check(self.sessions)

    def session_of(self, sock):
        """That which passes on what is sent on this connection of the origin's. None: none does any more."""
        try:
            peer = sock.getpeername()
            return next((session for session in self.sessions for leg in list(session.legs)
                if leg.sock.getsockname() == peer), None)
        except OSError:
            return None


class OriginSession(Translator):
    def __init__(self, sock, owner):
        super().__init__(sock, False)
        self.owner = owner
        self.start()

    def may_read(self, leg):
        return leg.stream is not None and not leg.read_done

    def on_request(self, stream, event):
        # Behind our GOAWAY: it is asked again on another session.
        if self.ending:
            return
        fields = dict(event.headers)
        leg = next((leg for leg in self.legs if leg.stream is None), None)
        if leg is None:
            leg = Leg(socket.create_connection(self.owner.to, TIMEOUT))
            leg.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.legs.append(leg)
        leg.begin(stream)
        leg.reader.tunnels = ":protocol" in fields
        leg.reader.method = "GET" if leg.reader.tunnels else fields[":method"]
        start = f"{leg.reader.method} {fields[':path']} HTTP/1.1\r\nHost: {fields.get(':authority', '')}"
        if leg.reader.tunnels:
            assert fields[":protocol"] == "websocket", "an upgrade that cannot be translated"
            leg.key = KEY
            start += f"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {leg.key}"
        leg.head(start, event.headers, not event.stream_ended and not leg.key)

    def on_head(self, leg, message):
        if message.status == 101:
            assert message.get("Sec-WebSocket-Accept") == proof(leg.key) and message.upgrades
            leg.tunnel, message.status = True, 200
        elif leg.key and message.status >= 200:
            leg.written_done = True
        leg.closes = "close" in (message.get("Connection") or "").lower() or leg.reader.state == leg.reader._rest
        leg.headed = message.status >= 200 and leg.reader.state == leg.reader._length and leg.reader.left == 0
        fields = [(n.lower(), v) for n, v in message.fields if n.lower() not in OF_THE_CONNECTION]
        self.h2.send_headers(leg.stream, octets([(":status", str(message.status)), *fields]), end_stream=leg.headed)

    def on_reset(self, leg, event):
        """The others go on, and those that are still to come."""
        Translator.drop(self, leg, False)

    def on_exchanged(self, leg):
        closes = leg.closes or leg.tunnel
        leg.begin(None)
        if closes:
            self.drop(leg, False)

    def on_closed(self, leg):
        if leg.stream is None or not leg.read_done:
            self.drop(leg, False)

    def drop(self, leg, broken):
        cut_short = leg.stream is not None and not (leg.read_done and leg.written_done)
        if cut_short and self.owner.ends_together:
            return self.end(leg, broken)
        if cut_short:
            self.reset_stream(leg, INTERNAL_ERROR)
        super().drop(leg, broken)
        if not self.legs:
            self.go_away()

    def end(self, leg, broken):
        """Without a word, as this connection has."""
        super().drop(leg, False)
        self.out += self.h2.data_to_send()
        self.ending = True
        if broken:
            reset_at_close(self.sock)

    def on_goaway(self):
        self.ending = self.ending or not self.legs


def are_settled(clients):
    """Whether these and all origins' have passed on what was sent to them."""
    return all(translator.is_settled() for translator in [*clients, *(s for o in OriginTranslator.running for s in o.sessions)])


def check(translators):
    """At the end of a test: what they could not do has failed it."""
    for translator in translators:
        translator.over = True
        translator.join(TIMEOUT)
    errors = [t.error for t in translators if t.error]
    assert not errors, "\n".join(errors)
