"""One client's HTTP/2 connection, frame by frame (python3-h2 has the frames and the header compression).

What is sent is what the test says, a broken thing too: nothing here checks it. What is read is read strictly: a frame
for a stream that has ended, an answer without :status or a field in upper case is a failed test. SETTINGS and PING are
answered, and windows are given back as content is read, unless the test holds them.
"""

import socket

import hpack
from hyperframe.frame import (ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame,
    SettingsFrame, WindowUpdateFrame)

from raw import TIMEOUT

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, CALM = 0, 1, 2, 7, 8, 11


class Answer:
    """What has come on one stream."""

    def __init__(self):
        self.informational = []     # field lists
        self.fields = None          # of the final head
        self.body = bytearray()
        self.bytes = 0              # of the content, which the wire may have been told not to keep
        self.trailers = None
        self.ended = False
        self.reset = None           # the code

    @property
    def status(self):
        return int(dict(self.fields)[":status"]) if self.fields else None

    def get(self, name):
        return dict(self.fields).get(name)

    @property
    def over(self):
        return self.ended or self.reset is not None


class H2Wire:
    def __init__(self, sock, settings=None, window=1 << 30, hold=False, keep=True):
        """`window`: added to that of the connection. `hold`: nothing is given back. `keep`: contents are gathered."""
        self.sock = sock
        self.hold, self.keep = hold, keep
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.unread = b""
        self.block = None            # (frame, bytes) of a head that goes on in CONTINUATION
        self.answers = {}
        self.settings = None         # the other side's
        self.pongs = []
        self.goaway = []             # codes, and the last streams
        self.window, self.windows, self.first_window = 65535, {}, 65535
        self.unsent = {}
        self.next = 1
        self.at_end = False
        sock.settimeout(TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first = SettingsFrame(0, settings={4: (1 << 30) if not hold else 65535, **(settings or {})})
        self.send_bytes(PREFACE + first.serialize())
        if window and not hold:
            self.send(WindowUpdateFrame(0, window_increment=window))

    # --- sending -----------------------------------------------------------------------------------------------------

    def send_bytes(self, data):
        self.sock.sendall(data)
        return self

    def send(self, *frames):
        return self.send_bytes(b"".join(frame.serialize() for frame in frames))

    def head(self, stream, fields, end=True, flags=("END_HEADERS",)):
        """A HEADERS frame, to be sent."""
        frame = HeadersFrame(stream, self.encoder.encode(fields), flags=list(flags))
        if end:
            frame.flags.add("END_STREAM")
        return frame

    @staticmethod
    def fields(path="/", method="GET", fields=(), scheme="http", host="example.com"):
        return [(":method", method), (":scheme", scheme), (":authority", host), (":path", path), *fields]

    def open(self, path="/", method="GET", fields=(), end=True, **options):
        """A request's frame and its stream's number."""
        stream, self.next = self.next, self.next + 2
        self.answers[stream] = Answer()
        return stream, self.head(stream, self.fields(path, method, fields, **options), end)

    def request(self, path="/", method="GET", fields=(), body=None, **options):
        """Sends one, with its content. Its stream."""
        end = options.pop("end", True)
        stream, frame = self.open(path, method, fields, end and body is None, **options)
        self.send(frame)
        if body is not None:
            self.content(stream, body, end)
        return stream

    def room(self, stream):
        return min(self.window, self.windows.get(stream, self.first_window))

    def content(self, stream, data, end=True):
        """As the windows allow; meanwhile it reads."""
        data = memoryview(data)
        while True:
            n = min(len(data), 16384, max(self.room(stream), 0))
            if n > 0 or not data:
                self._spend(stream, n)
                last = end and n == len(data)
                self.send(DataFrame(stream, bytes(data[:n]), flags=["END_STREAM"] if last else []))
                data = data[n:]
                if not data:
                    return self
            else:
                assert not self.answers[stream].over, f"over while {len(data)} bytes are unsent"
                assert self.receive(), f"the connection ended while {len(data)} bytes are unsent: {self.goaway}"

    def _spend(self, stream, n):
        self.window -= n
        self.windows[stream] = self.windows.get(stream, self.first_window) - n

    def trailers(self, stream, fields):
        return self.send(self.head(stream, fields))

    def reset(self, stream, code=CANCEL):
        return self.send(RstStreamFrame(stream, error_code=code))

    def give(self, stream, n):
        return self.send(WindowUpdateFrame(stream, window_increment=n))

    def close(self):
        self.sock.close()

    # --- receiving ---------------------------------------------------------------------------------------------------

    def receive(self):
        """Some bytes, and the frames in them. False at the end."""
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError:
            data = b""
        if not data:
            self.at_end = True
            return False
        self.unread += data
        at = 0
        while len(self.unread) - at >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self.unread)[at:at + 9])
            if len(self.unread) - at - 9 < length:
                break
            frame.parse_body(memoryview(self.unread)[at + 9:at + 9 + length])
            at += 9 + length
            self._take(frame)
        self.unread = self.unread[at:]
        return True

    def until(self, predicate):
        while not (value := predicate()):
            assert self.receive(), f"the connection ended: {self.goaway}"
        return value

    def answer(self, stream):
        """The whole of it."""
        answer = self.answers[stream]
        self.until(lambda: answer.over)
        return answer

    def head_of(self, stream):
        self.until(lambda: self.answers[stream].fields or self.answers[stream].over)
        return self.answers[stream]

    def ask(self, *arguments, **options):
        answer = self.answer(self.request(*arguments, **options))
        # Behind the end of an answer that came before the request's it may be reset with NO_ERROR (RFC 9113 §8.1).
        assert answer.ended and answer.reset in (None, NO_ERROR), f"reset with {answer.reset}, ended: {answer.ended}"
        return answer

    def ping(self):
        """There and back: everything that was sent before has been received."""
        before = len(self.pongs)
        self.send(PingFrame(0, b"weirtest"))
        self.until(lambda: len(self.pongs) > before)
        return self

    def read_to_end(self):
        while self.receive():
            pass
        return self

    def _take(self, frame):
        if isinstance(frame, HeadersFrame):
            self._block(frame, frame.data)
        elif isinstance(frame, ContinuationFrame):
            first, data = self.block
            self._block(first, data + frame.data, "END_HEADERS" in frame.flags)
        elif isinstance(frame, DataFrame):
            self._content(frame)
        elif isinstance(frame, RstStreamFrame):
            if frame.stream_id in self.answers:
                self.answers[frame.stream_id].reset = frame.error_code
        elif isinstance(frame, SettingsFrame):
            self._settings(frame)
        elif isinstance(frame, PingFrame):
            if "ACK" in frame.flags:
                self.pongs.append(frame.opaque_data)
            else:
                self._reply(PingFrame(0, frame.opaque_data, flags=["ACK"]))
        elif isinstance(frame, GoAwayFrame):
            self.goaway.append((frame.error_code, frame.last_stream_id))
        elif isinstance(frame, WindowUpdateFrame):
            if frame.stream_id == 0:
                self.window += frame.window_increment
            else:
                before = self.windows.get(frame.stream_id, self.first_window)
                self.windows[frame.stream_id] = before + frame.window_increment

    def _reply(self, *frames):
        try:
            self.send(*frames)
        except OSError:
            pass

    def _settings(self, frame):
        if "ACK" in frame.flags:
            return
        self.settings = dict(frame.settings)
        if 4 in frame.settings:
            change = frame.settings[4] - self.first_window
            self.first_window += change
            self.windows = {stream: n + change for stream, n in self.windows.items()}
        self._reply(SettingsFrame(0, flags=["ACK"]))

    def _block(self, frame, data, whole=None):
        if not ("END_HEADERS" in frame.flags if whole is None else whole):
            self.block = frame, data
            return
        fields = [(str(n), str(v)) for n, v in self.decoder.decode(data)]
        assert all(n == n.lower() for n, _ in fields), fields
        answer = self.answers[frame.stream_id]
        assert not answer.ended, "a head behind the end"
        if answer.fields is not None:
            assert "END_STREAM" in frame.flags and not any(n.startswith(":") for n, _ in fields)
            answer.trailers = fields
        elif dict(fields)[":status"].startswith("1"):
            answer.informational.append(fields)
        else:
            answer.fields = fields
        answer.ended = "END_STREAM" in frame.flags

    def _content(self, frame):
        answer = self.answers[frame.stream_id]
        assert answer.fields is not None and not answer.ended, "content before the head, or behind the end"
        answer.bytes += len(frame.data)
        if self.keep:
            answer.body += frame.data
        answer.ended = "END_STREAM" in frame.flags
        if not self.hold and frame.flow_controlled_length:
            back = [WindowUpdateFrame(0, window_increment=frame.flow_controlled_length)]
            if not answer.ended:
                back.append(WindowUpdateFrame(frame.stream_id, window_increment=frame.flow_controlled_length))
            self._reply(*back)


def h2_connect(gateway, listener=0, receive_buffer=None, **options):
    """A new connection to a running gateway that speaks HTTP/2 from its first byte on."""
    wire = gateway.connect(listener, receive_buffer, translated=False)
    return H2Wire(wire.sock, **options)
