"""The program as a file that is replaced while it runs, as an upgrade finds it."""

import shutil
import types

import pytest

import gateway

ORIGINAL = gateway.BINARY


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program that the gateway is started from, and that can be replaced: program.replace(script) (of the shell; $WEIR is the real one)."""
    path = tmp_path / "weir"
    shutil.copy(ORIGINAL, path)
    monkeypatch.setattr(gateway, "BINARY", path)

    def replace(script):
        new = tmp_path / "new"
        new.write_text(f"#!/bin/sh\nWEIR={ORIGINAL}\n{script}\n")
        new.chmod(0o755)
        new.rename(path)

    return types.SimpleNamespace(replace=replace, go=tmp_path / "go",
        waiting=f"while [ ! -e {tmp_path / 'go'} ]; do sleep 0.01; done; exec $WEIR \"$@\"")
