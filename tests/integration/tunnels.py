"""An upgrade and the tunnel behind it (RFC 9110 §7.8), for tests that run whatever the two sides speak.

Between two sides of HTTP/1.1 any protocol will do. Where one of them speaks HTTP/2 it is a WebSocket: the one that has a name
there (RFC 8441), and so the only one that goes from one version to the other.
"""

from h1_leg import KEY, proof
from raw import get
from translators import CLIENT, UPSTREAM

PROTOCOL = "echo/1" if (CLIENT, UPSTREAM) == ("h1", "h1") else "websocket"


def upgrade(target="/chat", fields=()):
    """The request."""
    handshake = [f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"] if PROTOCOL == "websocket" else []
    return get(target, fields=["Connection: Upgrade", f"Upgrade: {PROTOCOL}", *handshake, *fields])


def switch(request, fields=()):
    """The answer to it as the upstream has got it, with which the tunnel begins."""
    key = request.get("Sec-WebSocket-Key")
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", f"Upgrade: {PROTOCOL}",
        *([f"Sec-WebSocket-Accept: {proof(key)}"] if key else []), *fields]
    return "".join(line + "\r\n" for line in lines).encode("latin-1") + b"\r\n"


def asked_tunnel(gateway, origin, target="/chat", fields=(), early=b""):
    """The client, and the upstream's wire with the request, which was not answered. `early`: sent right behind the request."""
    client = gateway.connect().send(upgrade(target, fields) + early)
    wire = origin.accept()
    return client, wire, wire.read_head()


def open_tunnel(gateway, origin):
    """Both ends."""
    client, wire, request = asked_tunnel(gateway, origin, fields=["Sec-Key: x"])
    assert (request.get("Upgrade"), request.get("Sec-Key")) == (PROTOCOL, "x")
    assert request.get("Connection").lower() == "upgrade"
    wire.send(switch(request, ["Sec-Accept: y"]))
    answer = client.read_head()
    assert (answer.status, answer.get("Upgrade"), answer.get("Sec-Accept")) == (101, PROTOCOL, "y")
    assert answer.get("Connection").lower() == "upgrade"
    assert answer.framing is None
    return client, wire
