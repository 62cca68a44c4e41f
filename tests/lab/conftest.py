"""The diagnosis lab: bottlenecks staged on the real program, and whether `weir why` names each. The table at the end tells what
it said and what was so."""

import importlib.util
import pathlib
import sys

import pytest

INTEGRATION = pathlib.Path(__file__).resolve().parents[1] / "integration"
sys.path.insert(0, str(INTEGRATION))

_spec = importlib.util.spec_from_file_location("integration_conftest", INTEGRATION / "conftest.py")
_theirs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_theirs)

pytest_sessionstart = _theirs.pytest_sessionstart

from stage import Stage  # noqa: E402

_rows = []


@pytest.fixture
def stage(tmp_path, request):
    """A Stage, which ends with the test."""
    name = request.node.name.removeprefix("test_")

    def note(what, number, known, off):
        _rows.append(f"{name:48} {what:18} {number['name']:24} {number['value']:12.5g} {known:12.5g} {off:7.1%}")

    one = Stage(tmp_path, note)
    yield one
    one.end()


def pytest_terminal_summary(terminalreporter):
    if not _rows:
        return
    terminalreporter.section("what weir why said, and what was so")
    terminalreporter.line(f"{'stage':48} {'verdict':18} {'number':24} {'said':>12} {'truth':>12} {'off':>7}")
    for row in _rows:
        terminalreporter.line(row)
