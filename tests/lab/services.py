"""What stands behind the gateway, and its own books."""

import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

from certificates import Authority
from gateway import BINARY, Lines, free_port
from raw import TIMEOUT, end_accepting


class Origin:
    """A `weir origin`."""

    def __init__(self, options, under):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen([*under, BINARY, "origin", "--listen", self.address, *map(str, options)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.said = Lines(self.process.stderr)
        assert self.said.wait_for(lambda lines: any("ready on" in line for line in lines)), self.said.text()

    def books(self):
        with urllib.request.urlopen(f"http://{self.address}/books", timeout=TIMEOUT) as answer:
            return json.load(answer)

    def end(self):
        self.process.terminate()
        self.process.wait(TIMEOUT)


class SlowHandshakes:
    """A service with TLS that hesitates before each handshake, answers one request and closes."""

    def __init__(self, directory, hesitation_s):
        leaf = Authority(directory).issue("slow", "127.0.0.1")
        self.hesitation_s = hesitation_s
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(leaf.cert, leaf.key)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.accepting = threading.Thread(target=self._accept, daemon=True)
        self.accepting.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        time.sleep(self.hesitation_s)
        try:
            with self.context.wrap_socket(sock, server_side=True) as stream:
                stream.recv(65536)
                stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        except OSError:
            sock.close()

    def connect_s(self):
        """What a connection takes, by a client of its own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        began = time.monotonic()
        host, _, port = self.address.partition(":")
        with socket.create_connection((host, int(port)), TIMEOUT) as sock, context.wrap_socket(sock):
            return time.monotonic() - began

    def end(self):
        end_accepting(self.listener, self.accepting)
