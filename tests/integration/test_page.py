"""The live page at the administration's address, as it is served: with what the program was built with, or without."""

import gzip
import re

import pytest

from admin import administered
from raw import get

pytestmark = pytest.mark.threads

FILES = {"/": "text/html; charset=utf-8", "/page.js": "text/javascript; charset=utf-8", "/page.css": "text/css; charset=utf-8",
    "/icon.svg": "image/svg+xml", "/licences.txt": "text/plain; charset=utf-8"}


@pytest.fixture
def admin(start, origin):
    return administered(start, origin)[1]


def is_built(admin):
    return admin.ask("/").status == 200


def test_without_it_it_is_said_what_to_run(admin):
    if is_built(admin):
        pytest.skip("this program has the page")
    for path in FILES:
        answer = admin.ask(path, ["Accept-Encoding: gzip"])
        assert (answer.status, answer.get("Content-Type")) == (404, "text/plain; charset=utf-8")
        assert b"./dev build" in answer.body and b"weir why" in answer.body
        assert answer.get("Content-Encoding") is None and answer.get("Cache-Control") == "no-store"


def test_every_file(admin):
    if not is_built(admin):
        pytest.skip("this program was built without the page")
    for path, kind in FILES.items():
        plain, packed = admin.ask(path), admin.ask(path, ["Accept-Encoding: br, gzip"])
        assert (plain.status, packed.status) == (200, 200)
        assert (plain.get("Content-Encoding"), packed.get("Content-Encoding")) == (None, "gzip")
        assert gzip.decompress(packed.body) == plain.body
        for answer in (plain, packed):
            assert (answer.get("Content-Type"), answer.get("Cache-Control"), answer.get("Vary")) == \
                (kind, "no-cache", "Accept-Encoding")
            assert (answer.get("X-Content-Type-Options"), answer.get("X-Frame-Options")) == ("nosniff", "DENY")
            policy = answer.get("Content-Security-Policy")
            assert "default-src 'self';" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    # Under that policy neither a script nor a style may stand in the page itself.
    page = admin.ask("/").body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|https?://", page)


def test_what_a_browser_has_is_not_sent_again(admin):
    if not is_built(admin):
        pytest.skip("this program was built without the page")
    client = admin.connect()
    first = client.ask(get("/page.js"))
    tag = first.get("ETag")
    again = client.ask(get("/page.js", fields=[f"If-None-Match: {tag}"]))
    assert (again.status, again.body, again.get("ETag")) == (304, b"", tag)
    # It is of one representation, and of one file.
    assert client.ask(get("/page.js", fields=[f"If-None-Match: {tag}", "Accept-Encoding: gzip"])).status == 200
    assert client.ask(get("/page.css", fields=[f"If-None-Match: {tag}"])).status == 200
    assert client.ask(get("/page.js", fields=["If-None-Match: " + "x" * 5000])).status == 200


def test_head(admin):
    client = admin.connect()
    length = client.ask(get("/")).get("Content-Length")
    client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = client.read_head()
    assert head.get("Content-Length") == length
    assert client.ask(get("/readyz")).status == 200
