"""How long answers take when requests come at a fixed rate, whatever becomes of those before."""

import random
import statistics

from gateways import RELAYS
from works import ALL, turn

CLIENTS = 64                # connections; a request that finds none of them free waits, and that counts
SHARES = {"50 %": 0.5, "80 %": 0.8}
QUANTILES = ("p50", "p99", "p99.9")
CAPACITY_TURNS = 3

WHAT = {f"{quantile} at {share}": f"time to an answer of 128 bytes at {share} of what Weir can do, HTTP/1.1"
    for share in SHARES for quantile in QUANTILES}


def latency(bench, name):
    """The rates are the same for all: shares of what Weir does when it is asked for as much as it can."""
    gateways = [bench.gateway(one) for one in bench.chosen([*ALL, *RELAYS])]
    capacity = statistics.median(rate_of(bench, gateways[0]) for _ in range(CAPACITY_TURNS))
    bench.results.note(f"latency: Weir answers {capacity:.0f} requests a second, with the load and the service on one processor beside it")
    for _ in bench.rounds():
        for gateway in random.sample(gateways, len(gateways)):
            for share, factor in SHARES.items():
                told, _ = turn(bench, gateway, ("load_h1", "--clients", CLIENTS, "--rate", capacity * factor, "--seconds", bench.seconds))
                for quantile in QUANTILES:
                    bench.results.add(f"{quantile} at {share}", "us", gateway.name, told[quantile])


def rate_of(bench, gateway):
    told, _ = turn(bench, gateway, ("load_h1", "--clients", CLIENTS, "--seconds", bench.seconds))
    return told["answers"] / told["seconds"]
