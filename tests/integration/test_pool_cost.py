"""What it costs to borrow a connection and to give it back: no allocation, and instructions in user space.

Both are counted, not timed, so they are the same on every machine with the same compiler; `./dev bench pool` tells the time.
"""

import re

import pytest

from gateway import ROOT, sanitizer
from servers import command

pytestmark = pytest.mark.skipif(sanitizer() is not None, reason="the pool is compiled here, for speed")

# For the pair: what it costs now, and a tenth more. (100 ns are some 300 cycles, in which a present processor does about
# a thousand instructions.)
INSTRUCTIONS_MAX = {"lifo": 500, "fifo": 500, "budget": 535, "leak_watch": 515, "ageless": 250, "queue": 1155}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """The benchmark, as optimised as what is installed. It fails by itself when a pair allocates."""
    program = tmp_path_factory.mktemp("pool") / "pool_bench"
    sources = [ROOT / "bench" / "pool_bench.c", *sorted((ROOT / "src" / "pool").glob("*.c"))]
    wrapped = ["-Wl,--wrap=malloc", "-Wl,--wrap=calloc", "-Wl,--wrap=realloc"]
    command("gcc", "-std=gnu11", "-O3", "-DNDEBUG", "-D_GNU_SOURCE", "-fno-strict-aliasing", f"-I{ROOT / 'src'}",
        *sources, *wrapped, "-pthread", "-o", program, timeout=240)
    return program


def instructions(bench, directory, scenario, pairs):
    """Of a whole run, from start to end."""
    counted = directory / f"callgrind-{scenario}-{pairs}"
    command("valgrind", "--tool=callgrind", f"--callgrind-out-file={counted}", bench, pairs, scenario,
        timeout=240)
    return int(re.search(r"^(?:summary|totals): (\d+)", counted.read_text(), re.M)[1])


@pytest.mark.parametrize("scenario", INSTRUCTIONS_MAX)
def test_pair(bench, tmp_path, scenario):
    """The difference of two runs: setting up and ending are in both."""
    few, many = 5_000, 30_000
    cost = (instructions(bench, tmp_path, scenario, many) - instructions(bench, tmp_path, scenario, few)) / (many - few)
    print(f"\n{scenario}: {cost:.0f} instructions per acquire + give back")
    # Less than a tenth is impossible: then it was not the pool that was counted.
    assert INSTRUCTIONS_MAX[scenario] / 10 < cost < INSTRUCTIONS_MAX[scenario]


def test_a_million_pairs_allocate_nothing(bench):
    told = command(bench, 1_000_000, timeout=240)
    assert re.findall(r"(\d+) allocations$", told, re.M) == ["0"] * (len(INSTRUCTIONS_MAX) + 1), told
