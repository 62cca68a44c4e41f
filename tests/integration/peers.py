"""gRPC services and clients of grpcio, without generated code: messages are bytes.

    with GrpcService() as service:                    # on service.port; certificate=... for TLS
        with GrpcClient(service.address) as client:   # or through the gateway
            client.unary(b"x")

The methods of the service echo what they are told, or do what the first word of the message says.
"""

import concurrent.futures
import dataclasses
import hashlib
import random
import threading

import grpc

from gateway import free_port
from raw import TIMEOUT

SERVICE = "weir.test.Echo"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]
PIECE = 1 << 20


@dataclasses.dataclass
class Call:
    method: str
    metadata: dict
    ended: bool = False             # however it ended


class GrpcService:
    """`unary`, `gather` (a stream in, one message out), `scatter` (one in, a stream out), `both` (a stream each way).

    What unary and scatter understand: b"fail CODE text" ends with that status, b"sleep SECONDS" answers then or when the
    call has ended, and of scatter b"bytes N" sends so many in pieces of up to a megabyte, b"noise N" likewise what noise()
    says, b"count N" so many messages, and b"fail_after CODE" one and then that status. Everything else is echoed. `digest`
    takes a stream and answers with its blake2b.
    Every answer ends with the trailer x-messages, the number of messages that came.
    """

    def __init__(self, certificate=None, threads=16):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.calls = []             # in the order in which they begin
        self.changed = threading.Condition()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(threads), options=OPTIONS)
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {
            "unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "gather": grpc.stream_unary_rpc_method_handler(self._gather),
            "digest": grpc.stream_unary_rpc_method_handler(self._digest),
            "scatter": grpc.unary_stream_rpc_method_handler(self._scatter),
            "both": grpc.stream_stream_rpc_method_handler(self._both),
        })])
        if certificate:
            pair = (certificate.key.read_bytes(), certificate.cert.read_bytes())
            bound = self.server.add_secure_port(self.address, grpc.ssl_server_credentials([pair]))
        else:
            bound = self.server.add_insecure_port(self.address)
        assert bound == self.port
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.server.stop(0).wait(TIMEOUT)

    def wait(self, predicate, timeout=TIMEOUT):
        with self.changed:
            assert self.changed.wait_for(lambda: predicate(self), timeout), "the service never got there"

    def _begin(self, method, context):
        def ended():
            with self.changed:
                call.ended = True
                self.changed.notify_all()

        call = Call(method, dict(context.invocation_metadata()))
        with self.changed:
            self.calls.append(call)
            self.changed.notify_all()
        # Before it had all: then the call has ended by now, and nobody would call.
        if not context.add_callback(ended):
            ended()
        return call

    @staticmethod
    def _end(context, count):
        context.set_trailing_metadata((("x-messages", str(count)),))

    def _obey(self, call, message, context):
        words = message.split(b" ", 2)
        if words[0] == b"fail":
            context.set_trailing_metadata((("x-messages", "1"),))
            context.abort(grpc.StatusCode[words[1].decode()], words[2].decode())
        if words[0] == b"sleep":
            with self.changed:
                self.changed.wait_for(lambda: call.ended, float(words[1]))

    def _unary(self, message, context):
        call = self._begin("unary", context)
        self._obey(call, message, context)
        self._end(context, 1)
        return message

    def _gather(self, messages, context):
        self._begin("gather", context)
        total = count = 0
        for message in messages:
            total += len(message)
            count += 1
        self._end(context, count)
        return str(total).encode()

    def _digest(self, messages, context):
        self._begin("digest", context)
        digest = hashlib.blake2b()
        for message in messages:
            digest.update(message)
        self._end(context, 1)
        return digest.hexdigest().encode()

    def _scatter(self, message, context):
        call = self._begin("scatter", context)
        self._obey(call, message, context)
        words = message.split(b" ")
        if words[0] == b"bytes":
            left, piece = int(words[1]), bytes(PIECE)
            while left > 0:
                yield piece[:left]
                left -= min(left, PIECE)
        elif words[0] == b"noise":
            yield from noise(int(words[1]))
        elif words[0] == b"fail_after":
            yield message
            context.abort(grpc.StatusCode[words[1].decode()], "after a message")
        elif words[0] == b"count":
            for i in range(int(words[1])):
                yield str(i).encode()
        else:
            yield message
        self._end(context, 1)

    def _both(self, messages, context):
        self._begin("both", context)
        count = 0
        for message in messages:
            count += 1
            yield message
        self._end(context, count)


class GrpcClient:
    """`ca`: the PEM file of the authority that the server is verified with; then by TLS."""

    def __init__(self, address, ca=None, name=None):
        options = OPTIONS + ([("grpc.ssl_target_name_override", name)] if name else [])
        if ca:
            self.channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca.read_bytes()), options)
        else:
            self.channel = grpc.insecure_channel(address, options)
        self.unary = self.channel.unary_unary(f"/{SERVICE}/unary")
        self.digest = self.channel.stream_unary(f"/{SERVICE}/digest")
        self.gather = self.channel.stream_unary(f"/{SERVICE}/gather")
        self.scatter = self.channel.unary_stream(f"/{SERVICE}/scatter")
        self.both = self.channel.stream_stream(f"/{SERVICE}/both")
        self.unknown = self.channel.unary_unary(f"/{SERVICE}/unknown")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()


def noise(n):
    """So many bytes, no two pieces alike."""
    block = random.Random(7).randbytes(PIECE)
    for i in range(0, n, PIECE):
        yield (i.to_bytes(8, "big") + block[8:])[:n - i]


def received(messages):
    """How many bytes and messages a stream brings, without keeping them."""
    total = count = 0
    for message in messages:
        total += len(message)
        count += 1
    return total, count


class Waiting:
    """One message, and then none for as long as nobody closes it."""

    def __init__(self):
        self.begun, self.closed = False, threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        if self.begun:
            self.closed.wait(30)
            raise StopIteration
        self.begun = True
        return b"first"

    def close(self):
        self.closed.set()
