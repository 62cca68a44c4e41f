"""The page over gateways that are made up (web/mock): how it looks, and how it is used."""

import time

import pytest

import checks

FOCUSED = "document.activeElement.textContent"


@pytest.mark.parametrize("way", checks.WAYS)
@pytest.mark.parametrize("scene, verdict", [("idle", "Nothing is full"), ("loaded", "Nothing is full"),
    ("saturated", "The connection pool is too small")])
def test_looks(page, mock, scene, verdict, way):
    tab = page(mock.url(scene), **checks.options(way))
    tab.wait(f"document.querySelector('#verdict h3').textContent.includes('{verdict}')")
    tab.wait("document.querySelectorAll('.chart canvas').length === 3")
    checks.check(tab, mock.url(scene), f"mock-{scene}-{way}")


def test_everything_unfolded_is_accessible_too(page, mock):
    tab = page(mock.url("saturated"))
    tab.run("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    tab.wait("document.querySelector('pre').textContent.includes('listeners')")
    checks.check(tab, mock.url("saturated"), "mock-unfolded")
    text = tab.text()
    assert "Raise upstreams[users].pool.max_connections from 10 to 42" in text
    assert "The queue is too small" in text and "412 of 65,536 are open" in text
    assert '"token": "***"' in text


def test_keyboard(page, mock):
    tab = page(mock.url("saturated"))
    tab.key("Tab")
    assert tab.run(FOCUSED) == "Skip to the verdict"
    assert tab.run("document.activeElement.getBoundingClientRect().left") >= 0
    tab.key("Tab")
    assert tab.run(FOCUSED) == "Pause"
    assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.key("Enter")
    tab.wait("document.querySelector('.facts').textContent.includes('paused')")
    shown = tab.run("document.querySelector('.tiles').textContent")
    time.sleep(2.5)  # frames come, and nothing moves
    assert tab.run("document.querySelector('.tiles').textContent") == shown
    tab.key("Enter")
    tab.wait("document.querySelector('.facts').textContent.includes('live')")
    # The switch is one stop, and arrows move within it.
    tab.key("Tab")
    assert tab.run("document.activeElement.value") == "auto"
    tab.key("ArrowRight")
    tab.key("ArrowRight")
    tab.wait("document.documentElement.dataset.theme === 'dark'")
    # And on through everything that unfolds.
    seen = set()
    for _ in range(20):
        tab.key("Tab")
        seen.add(tab.run(FOCUSED))
    assert {"One more finding", "Throughput as a table", "What is in force", "metrics"} <= seen


def test_unfolds_by_keyboard_and_tables_say_what_charts_show(page, mock):
    tab = page(mock.url("loaded"))
    tab.run("document.querySelector('#throughput summary').focus()")
    tab.key("Enter")
    tab.wait("document.querySelectorAll('#throughput tbody tr').length >= 12")
    first = tab.run("[...document.querySelectorAll('#throughput tbody tr')[0].children].map((c) => c.textContent)")
    assert len(first) == 3 and first[1].endswith("/s")
    assert "now" in tab.run("document.querySelector('#throughput .chart').getAttribute('aria-label')")


def test_the_switch_is_remembered_and_auto_follows_the_system(page, mock):
    tab = page(mock.url("idle"), dark=True)
    theme = "document.documentElement.dataset.theme"
    assert tab.run(theme) == "dark"
    tab.prefer(False)
    tab.wait(f"{theme} === 'light'")
    tab.run("document.querySelector('input[value=dark]').click()")
    tab.wait(f"{theme} === 'dark'")
    tab("Page.reload")
    tab.wait(f"document.querySelector('.tiles') !== null && {theme} === 'dark'")
    tab.run("document.querySelector('input[value=auto]').click()")
    tab.wait(f"{theme} === 'light'")


def test_the_verdict_is_said_once(page, mock):
    tab = page(mock.url("saturated"))
    status = "document.querySelector('[role=status]').textContent"
    tab.wait(f"{status} === 'The connection pool is too small: users 127.0.0.1:9001.'")
    tab.run("""window.told = 0; new MutationObserver(() => { window.told++ }).observe(document.querySelector('[role=status]'),
        {childList: true, characterData: true, subtree: true})""")
    time.sleep(2.5)  # frames with the same verdict
    assert tab.run("window.told") == 0


def test_a_lost_connection_is_shown_and_comes_again(page, mock):
    tab = page(mock.url("loaded"))
    mock.stop()
    tab.wait("document.querySelector('[role=alert]') !== null")
    assert "Connection lost" in tab.text() and "What is shown is from" in tab.text()
    assert checks.serious(tab) == []
    tab.shoot(checks.PICTURES / "mock-lost.png", whole=False)
    mock.start()
    tab.wait("document.querySelector('[role=alert]') === null && document.querySelector('.facts').textContent.includes('live')")


def test_a_token_is_asked_for(page, mock):
    tab = page(mock.url("token"), wait="#token")
    assert checks.serious(tab) == []
    submit = "document.querySelector('#token').value = '%s'; document.querySelector('form').requestSubmit()"
    tab.run(submit % "wrong")
    tab.wait("document.querySelector('form').textContent.includes('not accepted')")
    tab.shoot(checks.PICTURES / "mock-token.png", whole=False)
    tab.run(submit % "weir")
    tab.wait("document.querySelector('.tiles') !== null && document.querySelector('form') === null")
