"""What came of it: for people, and as JSON."""

import datetime
import os
import pathlib
import platform
import re
import subprocess

import breakdown
import counts
import idle
import latency
import starts
import workers
import works
from gateway import ROOT
from gateways import CONFIGS, RELAYS, built, version
from goals import GOALS
from results import number

WHAT = works.WHAT | idle.WHAT | latency.WHAT | starts.WHAT | counts.WHAT | workers.WHAT

NAMES_MAX = 14
MORE_IS_BETTER = {goal.figure for goal in GOALS if goal.least}
ORDER = [*CONFIGS, *RELAYS]


def rows(results, figure):
    """One for each gateway: its name, quartiles, and the median ratio of Weir to it within the rounds."""
    for gateway in sorted(results.gateways(figure), key=ORDER.index):
        ratio = results.ratio(figure, "weir", gateway) if "weir" in results.gateways(figure) else None
        yield gateway, results.spread(figure, gateway), ratio


def table(results):
    lines = []
    for figure in results.figures():
        count = max(len(values) for values in results.values[figure].values())
        lines.append(f"\n{figure}: {WHAT[figure]}, {results.units[figure]}; {count} round{'s' if count > 1 else ''}")
        for gateway, (low, median, high), ratio in rows(results, figure):
            line = f"  {gateway:{NAMES_MAX}} {number(median):>8}   ({number(low)} to {number(high)})"
            if (busy := results.busy(figure, gateway)) is not None:
                line = f"{line:42} {busy:4.0%} busy"
            if ratio and gateway != "weir":
                line = f"{line:56} weir / {gateway}: {ratio[1]:.3f} ({ratio[0]:.3f} to {ratio[2]:.3f})"
            if detail := results.details.get((figure, gateway)):
                line = f"{line}   {detail}"
            lines.append(line)
    if results.profile:
        lines += ["", *breakdown.lines(results.profile)]
    return "\n".join([*lines, "", *results.notes])


def panels(results):
    """For plot.py."""
    return [(f"{figure}: {results.units[figure]}{', more is better' if figure in MORE_IS_BETTER else ''}", WHAT[figure],
            [(gateway, spread) for gateway, spread, _ in rows(results, figure)]) for figure in results.figures()]


def title(runs):
    """Of a picture: when and where what it shows was measured."""
    where = dict.fromkeys(f"{run['date'][:10]}, {run['machine']['processor']}, {run['machine']['processors']} processors, "
        f"Linux {run['machine']['kernel']}; " + ", ".join(f"{name} {version}" for name, version in run["versions"].items()) for run in runs)
    return [*where, "A shorter bar is better, where nothing else is said."]


def machine():
    processor = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+) kB", pathlib.Path("/proc/meminfo").read_text())
    return {"processor": processor[1] if processor else platform.machine(), "processors": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory[1]) // 1024, "kernel": platform.release(), "load_average": os.getloadavg()[0],
        "congestion_control": pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()}


def as_json(results, verdicts, settings):
    figures = [{"figure": figure, "what": WHAT[figure], "unit": results.units[figure], "gateway": gateway,
            "median": median, "quartiles": [low, high], "values": results.values[figure][gateway],
            "busy": results.busy(figure, gateway), "detail": results.details.get((figure, gateway)),
            "weir_ratio": {"median": ratio[1], "quartiles": [ratio[0], ratio[2]]} if ratio else None}
        for figure in results.figures() for gateway, (low, median, high), ratio in rows(results, figure)]
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    measured = {gateway for figure in results.figures() for gateway in results.gateways(figure)}
    return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "machine": machine(),
        "commit": commit.stdout.strip(),
        "versions": {name: version(name) for name in CONFIGS if name in measured}, "built": built(), "settings": settings, "notes": results.notes, "rows": figures,
        "profile": results.profile,
        "goals": [{"goal": verdict.goal.text(), "met": verdict.met, "reached": verdict.reached, "beside": verdict.beside}
            for verdict in verdicts]}
