"""Several workers: one cap over all of them, no request lost between them."""

import collections
import concurrent.futures
import threading
import time

import pytest

from gateway import configuration, eventually
from raw import get, post, response

pytestmark = pytest.mark.threads


class Counted:
    """Answers every request after a moment and notes how many were in service at once."""

    def __init__(self, service_time=0.002):
        self.service_time = service_time
        self.lock = threading.Lock()
        self.now = self.most = self.served = 0

    def __call__(self, wire, _):
        wire.sock.settimeout(None)
        while wire.unread or wire.more():
            request = wire.read_request()
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            time.sleep(self.service_time)
            with self.lock:
                self.now -= 1
                self.served += 1
            wire.send(response(request.body or b"ok"))


def requests(gateway, clients, each, request=get()):
    """So many clients at once, each with so many requests on one connection. Returns all statuses."""
    def client(_):
        wire = gateway.connect()
        statuses = [wire.ask(request).status for _ in range(each)]
        wire.close()
        return statuses

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        return [status for statuses in pool.map(client, range(clients)) for status in statuses]


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("cap", [1, 3, 8])
def test_cap_over_all_workers_is_never_exceeded(start, origin, workers, cap):
    counted = Counted()
    origin.serve(counted)
    pool = {"max_connections": cap, "acquire_timeout": "10s", "queue": "off"}
    gateway = start(configuration(origin, workers=workers, upstream={"pool": pool}))
    statuses = requests(gateway, clients=16, each=10)
    assert set(statuses) == {200}
    assert counted.most <= cap
    assert counted.served == len(statuses) == 160


def test_connections_as_the_origin_sees_them_stay_below_the_cap(start, origin):
    """Not only requests: open sockets. Nothing closes here, so none may be opened beyond the cap."""
    cap = 6
    origin.serve(Counted(0.001))
    pool = {"max_connections": cap, "acquire_timeout": "10s"}
    gateway = start(configuration(origin, workers=2, upstream={"pool": pool}))
    most = 0
    done = threading.Event()

    def watch():
        nonlocal most
        while not done.is_set():
            most = max(most, origin.connections_of_the_gateway())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert set(requests(gateway, clients=24, each=15)) == {200}
    finally:
        done.set()
        watcher.join()
    assert 1 < most <= cap


def test_idle_connection_of_one_worker_is_no_bar_to_the_other(start, origin):
    """With a cap of 1 each worker must come to its turn, though the other one holds the only connection idle."""
    origin.serve(Counted(0))
    pool = {"max_connections": 1, "acquire_timeout": "60s", "idle_timeout": "60s"}
    gateway = start(configuration(origin, workers=2, upstream={"pool": pool}))
    began = time.monotonic()
    for _ in range(30):
        client = gateway.connect()
        assert client.ask(get()).status == 200
        client.close()
    # Not by what happens once in a second.
    assert time.monotonic() - began < 10


def by_worker(gateway, count):
    """So many clients of each of two workers, connected: a worker begins its request ids with a number of its own. Who has more than that
    by chance has them closed."""
    workers = collections.defaultdict(list)
    while len(workers) < 2 or min(map(len, workers.values())) < count:
        assert sum(map(len, workers.values())) < 20 * count, "a worker has none"
        client = gateway.connect()
        workers[client.ask(get()).get("X-Request-Id")[:16]].append(client)
    for clients in workers.values():
        for client in clients[count:]:
            client.close()
    return [clients[:count] for clients in workers.values()]


@pytest.mark.parametrize("cap", [1, 4])
def test_worker_whose_queue_never_empties_leaves_some_to_the_other(start, origin, cap):
    origin.serve(Counted(0.005))
    # Longer than this takes: what a worker gets only then is too little, and no failure.
    pool = {"max_connections": cap, "acquire_timeout": "20s", "queue": "off"}
    gateway = start(configuration(origin, workers=2, upstream={"pool": pool}))
    workers = by_worker(gateway, 10)
    both, done = threading.Event(), threading.Event()
    served = [[[] for _ in range(10)] for _ in workers]

    def client(wire, statuses):
        while not done.is_set():
            status = wire.ask(get()).status
            if both.is_set():
                statuses.append(status)

    def is_shared():
        counts = [sum(map(len, worker)) for worker in served]
        return sum(counts) > 200 and min(counts) > sum(counts) / 5

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        running = [pool.submit(client, *who) for who in zip(workers[0], served[0], strict=True)]
        time.sleep(0.3)
        running += [pool.submit(client, *who) for who in zip(workers[1], served[1], strict=True)]
        both.set()
        try:
            # They have equally many clients: neither lives on what a timeout leaves it. If one stands still for a while, on a busy
            # machine, it has its part of what comes then.
            eventually(is_shared, 120)
        finally:
            done.set()
        for one in running:
            one.result()
    assert {status for worker in served for statuses in worker for status in statuses} == {200}


def test_both_workers_serve(start, origin):
    origin.serve()
    gateway = start(configuration(origin, workers=2))
    assert set(requests(gateway, clients=40, each=5)) == {200}
    # The kernel spreads connections over the listening sockets: with 40 of them no worker stays without.
    with open("/proc/net/tcp", encoding="ascii") as table:
        listening = [line for line in table if f":{gateway.port:04X} 00000000:0000 0A" in line]
    assert len(listening) == 2


def test_content_does_not_get_mixed_up(start, origin):
    origin.serve(Counted(0))
    pool = {"max_connections": 5, "acquire_timeout": "10s"}
    gateway = start(configuration(origin, workers=2, upstream={"pool": pool}))

    def client(number):
        wire = gateway.connect()
        for i in range(10):
            content = f"{number}/{i} ".encode() * (1 + 997 * i)
            assert wire.ask(post(content)).body == content

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(client, range(12)))


def test_limit_of_connections_holds_over_all_workers(start, origin):
    origin.serve()
    gateway = start(configuration(origin, workers=2, listener={"limits": {"connections": 10}}))
    clients = [gateway.connect() for _ in range(30)]
    statuses = []
    for client in clients:
        try:
            statuses.append(client.ask(get()).status)
        except (AssertionError, OSError):
            statuses.append(None)
    assert statuses.count(200) == 10
    assert set(statuses) <= {200, 503, None}


def test_clients_that_come_and_go(start, origin):
    """Resets at every moment, on both workers: afterwards everything is served and nothing is left over."""
    origin.serve(Counted(0.001))
    pool = {"max_connections": 4, "acquire_timeout": "10s"}
    gateway = start(configuration(origin, workers=2, upstream={"pool": pool}))
    before = gateway.open_files()

    def client(number):
        for i in range(15):
            wire = gateway.connect().send(get() if (number + i) % 3 else get()[:20])
            if (number + i) % 2:
                wire.reset()
            else:
                wire.close()

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(client, range(12)))
    assert set(requests(gateway, clients=8, each=5)) == {200}
    eventually(lambda: gateway.open_files() <= before + 4)
