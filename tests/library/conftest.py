"""Fixtures: the pool's library as a stranger gets it, built from the tree and installed into a directory of its own."""

import pytest

from installed import install


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """Built as Debian builds packages: gcc, optimised, and here with link-time optimisation, which it must not need."""
    return install(tmp_path_factory.mktemp("gcc"), "gcc", "-Db_lto=true")
