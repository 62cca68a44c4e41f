"""A scripted HTTP/2 server on a raw socket: python3-h2 keeps the protocol's books, the test says what happens and when."""

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

OK = [(":status", "200")]


class Peer:
    def __init__(self, wire, settings=None, hello=True):
        self.wire = wire
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=True))
        self.h2.update_settings(settings or {})
        if settings:
            self.h2.local_settings = h2.settings.Settings(client=False, initial_values={
                **dict(self.h2.local_settings), **settings})
        self.events = []
        self.ended = False
        if hello:
            self.h2.initiate_connection()
            self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.wire.sock.sendall(data)
        return self

    def receive(self):
        """Receives once; False at the end of the connection."""
        data = self.wire.sock.recv(65536)
        if not data:
            self.ended = True
            return False
        self.events += self.h2.receive_data(data)
        self.flush()
        return True

    def take(self, kind, stream=None):
        """The next event of the kind (on the stream), which is waited for; others stay."""
        while True:
            for i, event in enumerate(self.events):
                if isinstance(event, kind) and (stream is None or event.stream_id == stream):
                    return self.events.pop(i)
            assert self.receive(), f"the connection ended before {kind.__name__}; there was {self.events}"

    def request(self):
        """The next request's head: its stream and its fields."""
        event = self.take(h2.events.RequestReceived)
        return event.stream_id, dict(event.headers)

    def content(self, stream, grant=True):
        """All content of a stream's request."""
        content = bytearray()
        while True:
            for i, event in enumerate(self.events):
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, h2.events.DataReceived):
                    content += self.events.pop(i).data
                    if grant and event.flow_controlled_length:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                        self.flush()
                    break
                if isinstance(event, h2.events.StreamEnded):
                    self.events.pop(i)
                    return bytes(content)
            else:
                assert self.receive(), "the connection ended in the content"

    def head(self, stream, fields=(), status="200", end=False):
        self.h2.send_headers(stream, [(":status", status), *fields], end_stream=end)
        return self.flush()

    def data(self, stream, data, end=False):
        """As far as the windows allow; the rest when they open."""
        at, last = 0, False
        while at < len(data) or (end and not last):
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data) - at)
            if at < len(data) and room == 0:
                assert self.receive(), "the connection ended before the content was sent"
                continue
            piece = data[at:at + room]
            at += room
            last = end and at == len(data)
            self.h2.send_data(stream, piece, end_stream=last)
            self.flush()
        return self

    def pour(self, size, path=None):
        """Answers requests (for that path) with so much content, as the windows allow, until the end."""
        left = self.poured = {}
        while self.receive():
            for event in self.events:
                if isinstance(event, h2.events.RequestReceived):
                    is_large = path in (None, dict(event.headers)[":path"])
                    self.h2.send_headers(event.stream_id, OK, end_stream=not is_large)
                    if is_large:
                        left[event.stream_id] = size
                elif isinstance(event, h2.events.StreamReset):
                    left.pop(event.stream_id, None)
            self.events.clear()
            for stream in list(left):
                while (room := min(self.h2.local_flow_control_window(stream), 16384, left[stream])) > 0:
                    left[stream] -= room
                    self.h2.send_data(stream, b"x" * room, end_stream=left[stream] == 0)
                if left[stream] == 0:
                    del left[stream]
            self.flush()

    def answer(self, stream, body=b"ok", fields=()):
        self.head(stream, fields)
        return self.data(stream, body, end=True)

    def reset(self, stream, code=h2.errors.ErrorCodes.INTERNAL_ERROR):
        self.h2.reset_stream(stream, code)
        return self.flush()

    def refuse(self, stream):
        return self.reset(stream, h2.errors.ErrorCodes.REFUSED_STREAM)

    def go_away(self, last_stream):
        self.h2.close_connection(last_stream_id=last_stream)
        return self.flush()
