"""What holds for the page whatever it shows."""

import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEB = ROOT / "web"
PICTURES = ROOT / ".cache" / "page"
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"

WAYS = {"wide-light": (1280, False), "wide-dark": (1280, True), "narrow-light": (360, False), "narrow-dark": (360, True)}


def options(way):
    width, dark = WAYS[way]
    return {"width": width, "dark": dark}


def serious(page):
    """What axe-core finds that keeps somebody from using the page."""
    page.run(AXE.read_text() + "; 0")
    found = json.loads(page.run("axe.run().then((r) => JSON.stringify(r.violations.map((v) => "
        "[v.impact, v.id, v.nodes.map((n) => n.target.join(' ') + ': ' + n.failureSummary)])))"))
    return [v for v in found if v[0] in ("serious", "critical")]


def check(page, base, picture):
    """No complaint of the browser, nothing from elsewhere, nothing beside the screen, nobody left out; and a picture of it."""
    page.shoot(PICTURES / f"{picture}.png")
    assert page.said == []
    assert [url for url in page.requested if not url.startswith(base)] == []
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    assert serious(page) == []
