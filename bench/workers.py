"""What two workers get done in the processor time that they have, beside what one does."""

import os
import random

from works import ALL, turn

WHAT = {"workers": "the work of two workers with a processor each, HTTP/1.1, 64 clients, 128 bytes"}

LOAD = ("load_h1", "--clients", 64)


def workers(bench, name):
    """Gateways have two processors, and load and service two others; where there are not four, all have all of them, with one worker as
    with two."""
    processors = sorted(os.sched_getaffinity(0))
    apart = len(processors) >= 4
    cpus = ",".join(map(str, processors[:2] if apart else processors))
    load_cpus = ",".join(map(str, processors[2:4] if apart else processors))
    names = bench.chosen(ALL)
    gateways = {(one, count): bench.gateway(one, cpus, workers=count) for one in names for count in (1, 2)}
    for _ in bench.rounds():
        for one in random.sample(names, len(names)):
            took = {}
            for count in random.sample((1, 2), 2):
                told, used_ns = turn(bench, gateways[one, count], (*LOAD, "--seconds", bench.seconds), cpu=load_cpus)
                took[count] = used_ns / told["answers"]
            bench.results.add(name, "times that of one with one", one, 2 * took[1] / took[2])
