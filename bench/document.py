"""Writes what was measured into docs/PERFORMANCE.md and docs/performance.svg, so that no figure there is typed by hand.

    ./dev bench document RUN.json... [--into FILE] [--svg FILE]

RUN.json is what `./dev bench --json` has written. Of several the later ones count where they have the same work. In the document only what
stands between the marks is replaced: `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
"""

import argparse
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

import breakdown  # noqa: E402
from goals import verdicts  # noqa: E402
from plot import svg  # noqa: E402
from report import ORDER, WHAT, panels, title  # noqa: E402
from results import Results, number  # noqa: E402

URING, COPIES = "relay-uring", ("relay-epoll", "relay-splice")


def figures_of(run):
    return dict.fromkeys(row["figure"] for row in run["rows"])


def machine_line(run, figures):
    """Where, when, and of which versions these figures are."""
    machine, built = run["machine"], run["built"]
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return (f"{run['date'][:10]}, {machine['processor']}, {machine['processors']} processors, {machine['memory_mib']} MiB, Linux {machine['kernel']}, "
        f"TCP by {machine['congestion_control']}; {versions} (commit `{run['commit']}`, {built['compiler']}, {built['libraries']}); rounds of {run['settings']['seconds']:g} s: {', '.join(figures)}.")


def kept_of(runs):
    """What each run has told that no later one has told as well."""
    for number, run in enumerate(runs):
        replaced = {figure for later in runs[number + 1:] for figure in figures_of(later)}
        if kept := [figure for figure in figures_of(run) if figure not in replaced]:
            yield run, kept


def machine_lines(runs, wanted=None):
    """Of each run that one of the figures (None: all) was taken from."""
    for run, kept in kept_of(runs):
        if figures := [figure for figure in kept if wanted is None or figure in wanted]:
            yield from (machine_line(run, figures), "")


def cell(spread, said):
    low, median, high = spread
    return f"{said(median)} ({said(low)} to {said(high)})" if low != high else said(median)


def in_order(results):
    return sorted(results.figures(), key=list(WHAT).index)


def by_gateway(results, figures, names, said):
    """A line for each figure, a column for each gateway: what is said of both, or nothing."""
    names = sorted(names, key=ORDER.index)
    return breakdown.table(["Work", *names],
        [[f"`{figure}`, {results.units[figure]}", *(said(figure, name) if name in results.gateways(figure) else "" for name in names)] for figure in figures])


def result_lines(runs, results, picture):
    figures = in_order(results)
    names = {name for figure in figures for name in results.gateways(figure)}
    compared = [figure for figure in figures if {"weir"} < set(results.gateways(figure))]
    return [*machine_lines(runs), f"![A bar for each gateway in each work]({picture})", "", *goal_lines(results), "",
        "The median of the rounds, and its quartiles:", "",
        *by_gateway(results, figures, names, lambda figure, name: cell(results.spread(figure, name), number)), "",
        "Weir beside each: the median of the ratios within the rounds, and its quartiles:", "",
        *by_gateway(results, compared, names - {"weir"}, lambda figure, name: cell(results.ratio(figure, "weir", name), "{:.3f}".format)),
        *(f"\n{note}" for run in runs for note in run["notes"])]


def goal_lines(results):
    said = {True: "met", False: "**missed**", None: "not measured"}
    return breakdown.table(["Goal", "Reached", ""], [[verdict.goal.text(), verdict.value(), said[verdict.met]] for verdict in verdicts(results)])


def uring_lines(runs, results):
    """io_uring beside the calls that Weir makes, and beside a pipe."""
    figures = [figure for figure in in_order(results) if {URING, *COPIES} <= set(results.gateways(figure))]
    return [*machine_lines(runs, figures)] + breakdown.table(["Work", URING, *(f"{URING} / {name}" for name in COPIES)],
        [[f"`{figure}`, {results.units[figure]}", number(results.median(figure, URING)),
            *(cell(results.ratio(figure, URING, name), "{:.3f}".format) for name in COPIES)] for figure in figures])


def fill(text, name, lines):
    """The document with these lines between the marks of that name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"the document needs '{begin}' and '{end}', once each")
    head, rest = text.split(begin)
    return "\n".join([head + begin, *lines, end + rest.split(end)[1]])


def written(text, runs, picture):
    results, profiled = Results(), [run for run in runs if run.get("profile")]
    for run in runs:
        results.take_rows(run["rows"])
    if results.figures():
        text = fill(text, "results", result_lines(runs, results, picture))
    if any({URING, *COPIES} <= set(results.gateways(figure)) for figure in results.figures()):
        text = fill(text, "uring", uring_lines(runs, results))
    if profiled:
        text = fill(text, "profile", [machine_line(profiled[-1], ["profile"]), "", *breakdown.lines(profiled[-1]["profile"])])
    return text, results


def main():
    parser = argparse.ArgumentParser(prog="./dev bench document", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN.json")
    parser.add_argument("--into", type=pathlib.Path, default=ROOT / "docs" / "PERFORMANCE.md", metavar="FILE")
    parser.add_argument("--svg", type=pathlib.Path, default=ROOT / "docs" / "performance.svg", metavar="FILE")
    arguments = parser.parse_args()
    runs = [json.loads(file.read_text()) for file in arguments.runs]
    text, results = written(arguments.into.read_text(), runs, re.sub(r".*/", "", str(arguments.svg)))
    arguments.into.write_text(text)
    arguments.svg.write_text(svg(panels(results), title([run for run, _ in kept_of(runs)])))


if __name__ == "__main__":
    main()
