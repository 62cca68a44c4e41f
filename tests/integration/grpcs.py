"""What the tests of gRPC share: configurations, counters, and answers by hand."""

import socket

from gateway import configuration, free_port

KIND = ("content-type", "application/grpc")


def calls(*services, listener=None, upstream=None, **more):
    """gRPC in clear on both sides; parts laid over it."""
    return configuration(*services, listener={"protocols": ["h1", "h2"], **(listener or {})},
        upstream={"protocol": "h2", **(upstream or {})}, admin={"address": f"127.0.0.1:{free_port()}"}, **more)


def metric(gateway, name, **labels):
    port = int(gateway.config["admin"]["address"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
    wanted = name + ("{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}" if labels else "") + " "
    return sum(int(line.split()[-1]) for line in text.splitlines() if line.startswith(wanted))


def retrying(origin, attempts=2, on=("grpc_unavailable",), **more):
    return calls(origin, upstream={"retry": {"attempts": attempts, "on": list(on)}, **more})


def fail(peer, stream, status="14"):
    peer.head(stream, [KIND, ("grpc-status", status), ("grpc-message", "not now")], end=True)
