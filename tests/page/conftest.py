"""The integration tests' fixtures and helpers, for tests in a browser; and the browser."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "integration"))

_spec = importlib.util.spec_from_file_location("integration_conftest", TESTS / "integration" / "conftest.py")
_theirs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_theirs)

pytest_sessionstart, pytest_runtest_protocol = _theirs.pytest_sessionstart, _theirs.pytest_runtest_protocol
make_origin, origin, start, gateway = _theirs.make_origin, _theirs.origin, _theirs.start, _theirs.gateway

from browser import Browser  # noqa: E402 (needs the path above)
from checks import WEB  # noqa: E402


class Mock:
    """web/mock/server.mjs: gateways that are made up. It can go and come again."""

    def __init__(self):
        self.port = 0
        self.start()

    def start(self):
        self.process = subprocess.Popen(["node", WEB / "mock" / "server.mjs", str(self.port)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True)
        told = self.process.stdout.readline()
        self.port = int(re.search(r":(\d+)/", told)[1])

    def url(self, scene):
        return f"http://127.0.0.1:{self.port}/{scene}/"

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("browser"))
    yield opened
    opened.stop()


@pytest.fixture
def page(browser):
    """page(url, ...) is a tab that has opened it, and shows what the gateway has told."""
    def opened(url, wait=".tiles", **options):
        tab = browser.page(**options).open(url)
        tab.wait(f"document.querySelector('{wait}') !== null")
        return tab
    return opened


@pytest.fixture
def mock():
    server = Mock()
    yield server
    server.stop()
