"""GET /v1/live: what whoever watches is told, each second."""

import json

import pytest

from admin import administered
from gateway import eventually
from raw import get

pytestmark = pytest.mark.threads

STREAMS_MAX = 8


class Watcher:
    def __init__(self, admin):
        self.wire = admin.connect().send(get("/v1/live"))
        self.head = self.wire.read_head()
        self.text = b""

    def frame(self):
        """The next one."""
        while b"\n\n" not in self.text:
            self.text += self.wire.read_chunk()
        event, _, self.text = self.text.partition(b"\n\n")
        name, data = event.split(b"\n")
        assert name == b"event: live" and data.startswith(b"data: ")
        return json.loads(data[6:])

    def until(self, predicate):
        while not predicate(frame := self.frame()):
            pass
        return frame


def samples(*frames):
    """Those that they tell of, oldest first, of seconds that were left out, too."""
    return [sample for frame in frames for sample in (*frame.get("past", ()), frame["sample"])]


def requests(*frames):
    return sum(sample["requests"] for sample in samples(*frames))


def test_what_is_told(start, origin):
    origin.serve()
    gateway, admin = administered(start, origin, workers=2, upstream={"breaker": True},
        route={"filters": [{"rate_limit": {"rate": "1/h", "burst": 3}}]})
    watcher = Watcher(admin)
    assert (watcher.head.status, watcher.head.get("Content-Type")) == (200, "text/event-stream")
    assert watcher.head.get("Cache-Control") == "no-store"
    first = watcher.frame()
    client = gateway.connect()
    for _ in range(5):
        client.ask(get())
    frames = [first]
    # On a busy machine a worker may not answer within a second, and is heard of later.
    while requests(*frames) < 5 or not all(w["answers"] for w in frames[-1]["workers"]):
        frames.append(watcher.frame())
    # Each is of a time of its own, and together they are what happened.
    told = samples(*frames)
    for before, after in zip(told, told[1:]):
        assert after["at_ms"] > before["at_ms"] and 0.5 < after["interval_s"] < 60
    assert requests(*frames) == 5
    assert sum(sample["failed"] for sample in told) == 2
    assert sum(sum(sample["latency"]["counts"]) for sample in told) == 5
    last = frames[-1]
    assert [(c["cause"], c["count"]) for c in last["failures"]["causes"]] == [("rate_limited", 2)]
    endpoint = last["upstreams"][0]["endpoints"][0]
    assert (last["upstreams"][0]["name"], endpoint["address"], endpoint["state"]) == ("origin", origin.address, "in_service")
    assert [(limit["name"], limit["keys"]) for limit in last["limits"]] == [("all / all", 1)]
    assert [(b["scope"], b["state"]) for b in last["breakers"]] == [("endpoint", "closed")]
    assert [w["index"] for w in last["workers"]] == [0, 1]
    assert last["gateway"]["state"] == "ready" and last["machine"]["descriptors"] > 0
    assert last["why"]["verdicts"] and first["reload"] is None and last.get("reload") is None


def test_who_comes_later_is_told_of_the_past(start, origin):
    origin.serve()
    gateway, admin = administered(start, origin)
    watcher = Watcher(admin)
    gateway.connect().ask(get())
    watcher.until(lambda frame: requests(frame) == 1)
    watcher.frame()
    first = Watcher(admin).frame()
    assert sum(sample["requests"] for sample in first["past"]) == 1
    times = [sample["at_ms"] for sample in samples(first)]
    assert times == sorted(set(times))
    # And only then.
    assert "past" not in watcher.until(lambda frame: "past" not in frame)


def test_few_may_watch(start, origin):
    _, admin = administered(start, origin)
    watchers = [Watcher(admin) for _ in range(STREAMS_MAX)]
    answer = admin.ask("/v1/live")
    assert answer.status == 503 and json.loads(answer.body)["message"]
    assert admin.ask("/readyz").status == 200
    # Who leaves makes room.
    watchers[0].wire.close()
    eventually(lambda: Watcher(admin).head.status == 200)
    for watcher in watchers[1:]:
        watcher.frame()


def test_a_new_generation_is_told(start, origin):
    gateway, admin = administered(start, origin)
    watcher = Watcher(admin)
    before = watcher.frame()["gateway"]["generation"]
    gateway.reload()
    assert watcher.until(lambda frame: frame["gateway"]["generation"] > before)["upstreams"][0]["endpoints"]


def receipts(watcher, n):
    """How many of the next events tell of the last reload, but for those after a second that was left out, which always do."""
    return sum("reload" in frame and "past" not in frame for frame in (watcher.frame() for _ in range(n)))


def test_a_receipt_is_told_once(start, origin):
    """Not each second; whoever comes later is told the last one, and of the next as everybody is."""
    gateway, admin = administered(start, origin)
    watcher = Watcher(admin)
    assert watcher.frame()["reload"] is None and receipts(watcher, 2) == 0
    gateway.reload()
    assert watcher.until(lambda frame: frame.get("reload"))["reload"]["outcome"] == "reloaded"
    # Once more where a second was left out just then.
    assert receipts(watcher, 4) <= 1
    later = Watcher(admin)
    assert later.frame()["reload"]["outcome"] == "reloaded"
    gateway.hang_up("nonsense")
    for one in (watcher, later):
        assert one.until(lambda frame: (frame.get("reload") or {}).get("outcome") == "refused")
        assert receipts(one, 4) <= 1
