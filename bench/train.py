"""What the release build is trained by: the program, built so that it counts which way it goes, serves what a gateway serves all day.

    train.py PROGRAM

The compiler then lays the usual way out in one piece and moves what is rare out of it: a request goes through a tenth fewer instructions,
and through a fraction of the memory that they stand in. What is not asked for here is taken for rare, and made small rather than fast; so
whatever a gateway does in bulk has its share: requests alone and in batches, small and large content both ways, connections
that are kept and others, HTTP/2 and TLS on either side, with and without a log, traces, filters and limits.

There are counts of requests, not of seconds, and one client that asks one after the other: a slow machine makes the same of it.
"""

import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

SMALL = 12000           # requests, of each way of being asked
TLS = 4000
LARGE = 200

# On a machine that has no time for it nothing is refused, and the way is the same.
PATIENT = {"pool": {"acquire_timeout": "60s"}, "timeouts": {"connect": "60s", "first_byte": "60s"}}


def hold_ports(count):
    """Sockets that have a port each and listen to nobody: as long as they are kept, a port is given to nobody else, and whoever reuses
    addresses, as Weir does, may listen there."""
    sockets = [socket.socket() for _ in range(count)]
    for sock in sockets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
    return sockets


class Client:
    """Asks on one connection, and takes answers by their Content-Length."""

    def __init__(self, port):
        self.sock, self.read = socket.create_connection(("127.0.0.1", port), 30), b""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def take(self):
        while (end := self.read.find(b"\r\n\r\n")) < 0:
            self.more()
        head = self.read[:end].lower()
        if not head.startswith(b"http/1.1 200"):
            raise SystemExit(f"train.py: an answer begins {self.read[:200]!r}")
        left = end + 4 + int(head.partition(b"content-length:")[2].split()[0])
        while len(self.read) < left:
            left, self.read = left - len(self.read), b""
            self.more()
        self.read = self.read[left:]

    def more(self):
        data = self.sock.recv(262144)
        if not data:
            raise SystemExit("train.py: a connection was closed before its answer was complete")
        self.read += data

    def ask(self, request, times, at_once=1):
        for _ in range(times // at_once):
            self.sock.sendall(request * at_once)
            for _ in range(at_once):
                self.take()


def request(target="/", method="GET", fields=(), content=b""):
    lines = [f"{method} {target} HTTP/1.1", "Host: training.example", *fields]
    return "".join(line + "\r\n" for line in lines).encode() + b"\r\n" + content


BROWSER = ("User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Accept: text/html,application/xhtml+xml",
    "Accept-Language: en-GB,en;q=0.5", "Accept-Encoding: gzip, deflate, br", "Cookie: session=0123456789abcdef; theme=dark",
    "Referer: https://training.example/", "Cache-Control: no-cache")


def serve_all_kinds(port, small):
    client = Client(port)
    client.ask(request(), small)
    client.ask(request("/users/7?with=orders", fields=BROWSER), small // 4)
    client.ask(request(), small // 4, at_once=16)
    client.ask(request("/?size=64KiB"), LARGE)
    client.ask(request("/?size=1MiB"), LARGE // 10)
    for content in (b"x" * 200, b"x" * 65536):
        client.ask(request(method="POST", fields=[f"Content-Length: {len(content)}"], content=content), LARGE)
    client.ask(request(method="POST", fields=["Transfer-Encoding: chunked"], content=b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n"), LARGE)
    for _ in range(small // 20):
        Client(port).ask(request(fields=["Connection: close"]), 1)


def gateway(listen, upstream, route=None, **more):
    """One worker, so that no two threads count at the same time."""
    return {
        "version": 1,
        "workers": 1,
        "listeners": [{"name": "public", "address": f"127.0.0.1:{listen[0]}", **listen[1]}],
        "upstreams": [{"name": "service", "endpoints": [{"address": f"127.0.0.1:{upstream[0]}"}], **PATIENT, **upstream[1]}],
        "routes": [{"name": "all", "upstream": "service", **(route or {})}],
        "shedding": "off",
        "admin": "off",
        "log": {"access": "off"},
        **more,
    }


def everything_on(directory, admin):
    return {
        "admin": {"address": f"127.0.0.1:{admin}"},
        "tracing": {"upstream": "service", "sample": "1%"},
        "log": {"access": {"format": "json", "path": str(directory / "access.log")}},
        "route": {"filters": [{"rate_limit": {"rate": "1000000/s"}}, {"headers": {"response": {"set": {"X-Trained": "yes"}}}}]},
    }


def certify(directory):
    cert, key = str(directory / "cert.pem"), str(directory / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
        "-subj", "/CN=training.example", "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    return {"cert": cert, "key": key}


class Program:
    def __init__(self, *arguments, port, log):
        self.process = subprocess.Popen(list(map(str, arguments)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    self.process.kill()
                    raise SystemExit(f"train.py: {' '.join(map(str, arguments))} does not serve") from None
                time.sleep(0.02)

    def end(self):
        """What it has counted is written at its end."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60) != 0:
            raise SystemExit("train.py: a program ended badly")


def train(binary, directory, log, programs):
    held = hold_ports(7)
    origin, off, on, admin, tls, front, front_h1 = (sock.getsockname()[1] for sock in held)
    service, secret = (origin, {}), {"tls": {"certificates": [certify(directory)]}}
    trusting = {"tls": {"verify": False}}
    gateways = {
        off: gateway((off, {}), service),
        on: gateway((on, {}), service, **everything_on(directory, admin)),
        tls: gateway((tls, secret), service),
        front: gateway((front, {}), (tls, {"protocol": "h2", **trusting})),
        front_h1: gateway((front_h1, {}), (tls, trusting)),
    }
    programs.append(Program(binary, "origin", "--listen", f"127.0.0.1:{origin}", "--size", 128, port=origin, log=log))
    for port, config in gateways.items():
        file = directory / f"{port}.yaml"
        file.write_text(json.dumps(config))
        programs.append(Program(binary, "run", "-c", file, port=port, log=log))
    for port, small in ((off, SMALL), (on, SMALL), (front, TLS), (front_h1, TLS)):
        serve_all_kinds(port, small)
        Client(admin).ask(request("/metrics", fields=["Connection: close"]).replace(b"training.example", b"localhost"), 1)
    # Those in front first.
    for program in reversed(programs):
        program.end()
    for sock in held:
        sock.close()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="weir-train-") as scratch:
        directory = pathlib.Path(scratch)
        with open(directory / "said", "w+", encoding="utf-8") as log:
            programs = []
            try:
                train(pathlib.Path(sys.argv[1]).resolve(), directory, log, programs)
            except BaseException:
                log.seek(0)
                sys.stderr.write(log.read())
                raise
            finally:
                for program in programs:
                    program.process.kill()


if __name__ == "__main__":
    main()
