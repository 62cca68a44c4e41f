"""What programs have had of the processor, by the kernel's own books, and where they run."""

import contextlib
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys

from servers import tool


def two_processors():
    """For who is measured, and for load and service. From now on the bench, ended from outside, ends what it has started."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise SystemExit("it takes two processors: one for who is measured, one for load and service")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return processors[:2]


def pinned(cpu, arguments):
    return [tool("taskset"), "-c", str(cpu), *map(str, arguments)]


def raise_limit(files):
    """So many descriptors for everything that is started from here, or as many as may be had."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, PermissionError):
        hard = max(hard, files)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def thread_stats(pid):
    return [path.read_bytes() for path in pathlib.Path(f"/proc/{pid}/task").glob("*/stat")]


def thread_ns(pid):
    return sum(int(path.read_text().split()[0]) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))


def family(pid):
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [one for child in children for one in family(int(child))]


def end(process, seconds=10):
    """As long as it may take before it is killed: False, it was."""
    process.terminate()
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def family_ns(pid):
    """What its threads, and those of its children, have had of the processor."""
    return sum(thread_ns(one) for one in family(pid))


def anonymous_bytes(pid):
    """Resident memory of it and its children that is no file's: heap and stacks."""
    rollups = [pathlib.Path(f"/proc/{one}/smaps_rollup").read_text() for one in family(pid)]
    return sum(int(re.search(r"^Anonymous:\s+(\d+) kB", rollup, re.M)[1]) * 1024 for rollup in rollups)


def is_quiet(pid):
    return all(b") S " in stat for one in family(pid) for stat in thread_stats(one))
