"""Who waits for a connection to an upstream: how long while others do all the time, and who is served first."""

import json
import threading
import time

from admin import Admin
from gateway import configuration, free_port
from raw import get, response

SERVICE = 0.01


class Clients:
    """So many, each asks again when it was answered."""

    def __init__(self, gateway, n):
        self.gateway, self.ending = gateway, False
        self.answers = []  # (status, seconds, error, Retry-After)
        self.threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(n)]
        for thread in self.threads:
            thread.start()

    def _ask(self):
        client = self.gateway.connect()
        while not self.ending:
            begun = time.monotonic()
            answer = client.ask(get())
            error = None if answer.status == 200 else json.loads(answer.body)["error"]
            self.answers.append((answer.status, time.monotonic() - begun, error, answer.get("Retry-After")))
            if error is not None:
                time.sleep(SERVICE)

    def stop(self):
        self.ending = True
        for thread in self.threads:
            thread.join()
        return self.answers


def serve_slowly(wire, _):
    while wire.read_request() is not None:
        time.sleep(SERVICE)
        wire.send(response("here"))


def overloaded(start, origin, **pool):
    """24 clients at two connections: each waits for eleven services before its own. Three seconds of it."""
    origin.serve(serve_slowly)
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 2, **pool}},
        admin={"address": f"127.0.0.1:{free_port()}"}))
    clients = Clients(gateway, 24)
    time.sleep(3)
    return gateway, clients.stop()


def median(times):
    return sorted(times)[len(times) // 2]


def test_standing_queue_is_shed(start, origin):
    gateway, answers = overloaded(start, origin, queue={"target": "20ms", "interval": "100ms"})
    refused = [answer for answer in answers if answer[0] != 200]
    served = [seconds for status, seconds, _, _ in answers if status == 200]
    assert {answer[2] for answer in refused} == {"concurrency_limited"}
    assert all(int(answer[3]) >= 1 for answer in refused)
    # Not before they had waited: who comes again at once is not to do so as fast as it can be refused.
    assert median([answer[1] for answer in refused]) >= 0.015
    assert served
    metrics = Admin(gateway).metrics().values
    told = {reason: value for key, value in metrics.items() for reason in ("queue_full", "shed", "late")
        if "weir_pool_refusals_total" in str(key) and reason in str(key)}
    assert told["shed"] > 0 and sum(told.values()) == len(refused)


def test_without_the_discipline_everybody_waits(start, origin):
    _, answers = overloaded(start, origin, queue="off", acquire_timeout="10s")
    assert {answer[0] for answer in answers} == {200}


ROUTES = [{"name": name, "match": {"path": f"/{name}"}, "upstream": "origin", "priority": name}
    for name in ("high", "normal", "low", "background")]
ROUTES.append({"name": "said", "match": {"path": "/said/*"}, "upstream": "origin", "priority_header": "Priority"})


def order(start, origin, requests, **listener):
    """In which they are served that wait behind another one."""
    gateway = start(configuration(origin, upstream={"pool": {"max_connections": 1, "acquire_timeout": "10s"}},
        route=ROUTES, listener=listener))
    first, wire, _ = origin.asked(gateway, get("/normal"))
    clients = [first]
    for request in requests:
        clients.append(gateway.connect().send(request))
        clients[-1].wait_taken()
    targets = []
    for _ in requests:
        wire.send(response())
        targets.append(wire.read_request().target)
    wire.send(response())
    assert {client.read_response().status for client in clients} == {200}
    return targets


def test_routes_have_priorities(start, origin):
    names = ["/background", "/low", "/normal", "/high", "/low", "/high"]
    assert order(start, origin, [get(name) for name in names]) == [
        "/high", "/high", "/normal", "/low", "/low", "/background"]


SAID = [("1", "Priority: u=7"), ("2", "Priority: nonsense"), ("3", "Priority: 2"), ("4", "Priority: i, u=0"), ("5", "X: y")]


def said():
    return [get(f"/said/{name}", fields=[field]) for name, field in SAID]


def test_client_may_put_itself_behind(start, origin):
    assert order(start, origin, said()) == ["/said/2", "/said/4", "/said/5", "/said/3", "/said/1"]


def test_trusted_proxy_may_say_any_priority(start, origin):
    assert order(start, origin, said(), trusted_proxies=["127.0.0.0/8"]) == [
        "/said/4", "/said/2", "/said/5", "/said/3", "/said/1"]


def test_higher_priority_takes_a_place_in_a_full_queue(start, origin):
    gateway = start(configuration(origin, route=ROUTES,
        upstream={"pool": {"max_connections": 1, "max_pending": 1, "acquire_timeout": "10s"}}))
    first, wire, _ = origin.asked(gateway, get("/normal"))
    low = gateway.connect().send(get("/low"))
    low.wait_taken()
    high = gateway.connect().send(get("/high"))
    answer = low.read_response()
    assert (answer.status, json.loads(answer.body)["error"]) == (503, "pool_queue_full")
    wire.send(response())
    assert wire.read_request().target == "/high"
    wire.send(response())
    assert [first.read_response().status, high.read_response().status] == [200, 200]
