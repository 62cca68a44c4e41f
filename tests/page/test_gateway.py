"""The page before the real program: idle, loaded, saturated; ended and started again; asked for a token."""

import signal
import threading

import pytest

import checks
from admin import administered
from gateway import Gateway, free_port
from raw import get, response


@pytest.fixture
def slow(make_origin):
    """An upstream that takes 20 ms for each request."""
    origin = make_origin()
    wait = threading.Event()

    def answer(wire, _origin):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            wire.read_request()
            wait.wait(0.02)
            wire.send(response("done"))

    origin.serve(answer)
    return origin


class Load:
    """Clients that ask again as soon as they are answered, until it ends."""

    def __init__(self, gateway, clients):
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(gateway.connect(),)) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self, client):
        while not self.ended.is_set():
            client.ask(get())

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def url_of(gateway):
    return f"http://{gateway.config['admin']['address']}/"


@pytest.fixture
def loaded():
    loads = []

    def begin(gateway, clients):
        loads.append(Load(gateway, clients))
    yield begin
    for load in loads:
        load.end()


LOADS = {"idle": (0, 10, "Nothing is full"), "loaded": (4, 100, "Nothing is full"), "saturated": (40, 4, "pool is too small")}


@pytest.mark.parametrize("name", LOADS)
def test_shows_what_happens(page, start, slow, loaded, name):
    clients, connections, verdict = LOADS[name]
    gateway, _ = administered(start, slow, upstream={"pool": {"max_connections": connections}, "concurrency": "off"})
    loaded(gateway, clients)
    tab = page(url_of(gateway), **checks.options("wide-light"))
    tab.wait(f"document.querySelector('#verdict h3')?.textContent.includes('{verdict}')")
    tile = "parseFloat(document.querySelectorAll('.tile .value')[%d].textContent)"
    if clients:
        tab.wait(f"{tile % 0} > 10 && {tile % 2} > 0")
    else:
        tab.wait(f"{tile % 0} === 0")
    assert f"of {connections}" in tab.text() and slow.address in tab.text()
    if name == "saturated":
        assert "upstreams[origin].pool.max_connections" in tab.text()
    # Whoever comes later is told of what was before: ten seconds at least, so that there is something to be drawn.
    tab.wait("document.querySelectorAll('#throughput tbody tr').length >= 2")
    for way in checks.WAYS:
        later = page(url_of(gateway), **checks.options(way))
        assert later.run("document.querySelectorAll('#throughput tbody tr').length") >= 2
        checks.check(later, url_of(gateway), f"weir-{name}-{way}")
        later.close()


def test_failures_are_told_by_cause(page, start, origin, loaded):
    origin.close()
    gateway, _ = administered(start, origin)
    loaded(gateway, 1)
    tab = page(url_of(gateway))
    tab.wait("document.querySelector('#failures code')?.textContent === 'connect_refused'")
    assert "the upstream refused the connection" in tab.text()


def test_a_gateway_that_is_started_again_is_found_again(page, start, slow, tmp_path):
    gateway, _ = administered(start, slow)
    tab = page(url_of(gateway))
    gateway.stop()
    tab.wait("document.querySelector('[role=alert]') !== null")
    again = Gateway(gateway.config, tmp_path)
    try:
        tab.wait("document.querySelector('[role=alert]') === null && document.querySelector('.facts').textContent.includes('live')")
    finally:
        again.stop()


def test_a_token_is_asked_for_and_used(page, start, slow, tmp_path):
    (tmp_path / "token").write_text("correct-horse-battery-staple\n")
    (tmp_path / "token").chmod(0o600)
    gateway, _ = administered(start, slow, admin={"address": f"127.0.0.1:{free_port()}", "token_file": str(tmp_path / "token")})
    tab = page(url_of(gateway), wait="#token")
    submit = "document.querySelector('#token').value = '%s'; document.querySelector('form').requestSubmit()"
    tab.run(submit % "correct-horse")
    tab.wait("document.querySelector('form').textContent.includes('not accepted')")
    tab.run(submit % "correct-horse-battery-staple")
    tab.wait("document.querySelector('.tiles') !== null && document.querySelector('form') === null")


def test_a_reload_is_told(page, start, slow):
    gateway, _ = administered(start, slow, upstream={"pool": {"max_connections": 10}})
    tab = page(url_of(gateway))
    assert "it was not reloaded" in tab.text()
    gateway.reload()
    tab.wait("document.querySelector('#configuration .badge')?.textContent === 'reloaded'")
    gateway.file.write_text(gateway.file.read_text().replace("max_connections", "max_conections"))
    gateway.signal(signal.SIGHUP)
    tab.wait("document.querySelector('#configuration .badge')?.textContent === 'refused'")
    assert "max_conections" in tab.text() and "The configuration of before is in force." in tab.text()
    assert checks.serious(tab) == []


def test_configuration_in_force(page, start, slow):
    gateway, _ = administered(start, slow)
    tab = page(url_of(gateway))
    tab.run("document.querySelector('#configuration summary').click()")
    tab.wait("document.querySelector('#configuration pre').textContent.includes('listeners')")
