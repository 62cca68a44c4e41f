"""A page of several parts and a WebSocket, by HTTP/2 over TLS, in Chromium without a window."""

import base64
import hashlib
import json
import subprocess
import urllib.parse

import pytest

from authority import authorities
from gateway import Lines, configuration
from raw import get
from servers import command, node, tool
from ways import frame, proof

PARTS = 20
VISITS = 3

PAGE = """<!doctype html><title>x</title><link rel="icon" href="data:,"><script>
const parts = Promise.all([...Array(%d).keys()].map((i) => fetch('/part/' + i).then((r) => r.text())));
const talk = new Promise((resolve, reject) => {
  const socket = new WebSocket('wss://' + location.host + '/chat', ['echo']), seen = [];
  socket.onopen = () => socket.send('hello');
  socket.onmessage = (m) => { seen.push(m.data.length); if (seen.length < 2) socket.send('x'.repeat(50000)); else socket.close(1000); };
  socket.onclose = (e) => resolve({seen, code: e.code, clean: e.wasClean, protocol: socket.protocol});
  socket.onerror = () => resolve('error');
});
const events = new Promise((resolve) => {
  const source = new EventSource('/events');
  source.onmessage = (m) => { source.close(); resolve(m.data); };
  source.onerror = () => resolve('error');
});
Promise.all([parts, talk, events]).then(([texts, ws, event]) => {
  const hops = performance.getEntriesByType('resource').map((e) => e.nextHopProtocol);
  const page = performance.getEntriesByType('navigation')[0].nextHopProtocol;
  fetch('/report?' + encodeURIComponent(JSON.stringify({texts, ws, event, page, hops: [...new Set(hops)]})));
});
</script>""" % PARTS


def key_hash(certificate):
    """As --ignore-certificate-errors-spki-list wants it."""
    public = subprocess.run([tool("openssl"), "x509", "-in", certificate, "-noout", "-pubkey"], capture_output=True, check=True)
    der = subprocess.run([tool("openssl"), "pkey", "-pubin", "-outform", "DER"], input=public.stdout, capture_output=True,
        check=True)
    return base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()


class Browser:
    def __init__(self, directory, certificate, url):
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", f"--user-data-dir={directory}/chromium", "--host-resolver-rules=MAP * 127.0.0.1",
            f"--ignore-certificate-errors-spki-list={key_hash(certificate)}", "--remote-debugging-port=0", url]
        self.process = subprocess.Popen([tool("chromium"), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={"HOME": str(directory), "PATH": "/usr/bin:/bin"})
        self.told = Lines(self.process.stdout)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def serve(wire, origin):
    """A service of HTTP/1.1: an echo of messages, and one event."""
    wire.sock.settimeout(None)
    head = wire.read_head()
    if head.target == "/events":
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: now\n\n")
        wire.expect_gone()
        return
    wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: echo\r\n"
        f"Sec-WebSocket-Accept: {proof(head.get('Sec-WebSocket-Key'))}\r\n\r\n")
    opcode = None
    while opcode != 8:
        first, second = wire.take(2)
        opcode, length = first & 15, second & 127
        length = int.from_bytes(wire.take(2), "big") if length == 126 else length
        mask = wire.take(4)
        wire.send(frame(opcode, bytes(b ^ mask[i % 4] for i, b in enumerate(wire.take(length)))))


@pytest.fixture
def service(request, origin):
    """One that speaks the version."""
    if request.param == "h1":
        yield origin.serve(serve)
        return
    server = node("node_websocket_h2.js")
    yield server
    server.stop()


def visit(gateway, certificate, directory):
    """What the page has seen, and what is told of that."""
    before = len(gateway.access.lines)
    directory.mkdir()
    browser = Browser(directory, certificate["cert"], f"https://example.com:{gateway.port}/")
    try:
        told = gateway.access.wait_for(lambda lines: [line for line in lines[before:] if "/report?" in line], 60)
        assert told, f"no report:\n{gateway.access.text()}\n{browser.told.text()}"
    finally:
        browser.stop()
    # A WebSocket is told of when it is over for both.
    assert gateway.access.wait_for(lambda lines: any('"/chat"' in line for line in lines[before:]))
    report = urllib.parse.unquote(json.loads(told[0])["target"].partition("?")[2])
    return json.loads(report), [json.loads(line) for line in gateway.access.lines[before:]]


@pytest.mark.parametrize("service, protocol", [("h1", "h1"), ("h2", "h2")], indirect=["service"], ids=["to h1", "to h2"])
def test_page(start, tmp_path, service, protocol):
    """By HTTP/2 all of it. Once in hundreds of visits a browser connects anew for its WebSocket, by HTTP/1.1, though it knows what it could do:
    that is its own choice, and it is asked to come again."""
    ours, _ = authorities()
    certificate = ours.issue(f"chromium-{protocol}", "example.com")
    routes = [{"name": "page", "match": {"path": "/"}, "respond": {"status": 200, "body": PAGE, "content_type": "text/html"}},
        {"name": "part", "match": {"path": "/part/*"}, "respond": {"status": 200, "body": "part"}},
        {"name": "report", "match": {"path": "/report"}, "respond": {"status": 204}},
        {"name": "service", "match": {"path": "/*"}, "upstream": "origin"}]
    gateway = start(configuration(service, listener={"tls": {"certificates": [certificate]}}, route=routes,
        upstream={"protocol": protocol}))
    for n in range(VISITS):
        report, records = visit(gateway, certificate, tmp_path / str(n))
        others = [r for r in records if r["protocol"] != "HTTP/2.0"]
        if not others:
            break
    assert others == []
    assert report["texts"] == ["part"] * PARTS
    assert (report["page"], report["hops"], report["event"]) == ("h2", ["h2"], "now")
    assert report["ws"] == {"seen": [5, 50000], "code": 1000, "clean": True, "protocol": "echo"}
    assert [r["status"] for r in records if r["target"] == "/chat"] == [101]
