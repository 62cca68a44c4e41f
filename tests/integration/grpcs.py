"""What the tests of gRPC share: configurations, counters, and answers by hand."""

from admin import Admin
from gateway import configuration, free_port

KIND = ("content-type", "application/grpc")


def calls(*services, listener=None, upstream=None, **more):
    """gRPC in clear on both sides; parts laid over it."""
    return configuration(*services, listener={"protocols": ["h1", "h2"], **(listener or {})},
        upstream={"protocol": "h2", **(upstream or {})}, admin={"address": f"127.0.0.1:{free_port()}"}, **more)


def metric(gateway, name, **labels):
    """0 where there is none."""
    return int(Admin(gateway).metrics().values.get((name, frozenset(labels.items())), 0))


def retrying(origin, attempts=2, on=("grpc_unavailable",), **more):
    return calls(origin, upstream={"retry": {"attempts": attempts, "on": list(on)}, **more})


def fail(peer, stream, status="14"):
    peer.head(stream, [KIND, ("grpc-status", status), ("grpc-message", "not now")], end=True)
