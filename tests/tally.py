"""Sums up the results of a test run: Meson's JSON logs, pytest's JUnit files, and the steps noted by ./dev.

Prints every failure with the end of its output, then "N passed, N failed" alone on the last line. The exit status is 1
when anything failed, and also when nothing ran: a run that tested nothing has not succeeded.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
MESON = {"OK": PASSED, "EXPECTEDFAIL": PASSED, "SKIP": SKIPPED}
TAIL_LINES = 25


def meson_results(path):
    for line in path.read_text().splitlines():
        test = json.loads(line)
        output = (test.get("stdout") or "") + (test.get("stderr") or "")
        yield f"{path.stem}: {test['name']}", MESON.get(test["result"], FAILED), f"({test['result']})\n{output}"


def pytest_results(path):
    """A test that fails and whose fixtures fail too stands in the file twice, and counts once."""
    results = {}
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{path.stem}: {case.get('classname')}::{case.get('name')}"
        problems = [*case.findall("failure"), *case.findall("error")]
        outcome = FAILED if problems else SKIPPED if case.find("skipped") is not None else PASSED
        if outcome == FAILED or name not in results:
            results[name] = outcome, "".join(problem.text or problem.get("message", "") for problem in problems)
    for name, (outcome, output) in results.items():
        yield name, outcome, output


def step_results(path):
    for line in path.read_text().splitlines():
        outcome, name = line.split(" ", 1)
        log = path.parent / f"{name}.log"
        yield name, outcome, log.read_text(errors="replace") if log.exists() else ""


def collect(directory):
    for path in sorted(directory.iterdir()):
        if path.suffix == ".json":
            yield from meson_results(path)
        elif path.suffix == ".xml":
            yield from pytest_results(path)
        elif path.name == "steps":
            yield from step_results(path)


def main():
    directory = pathlib.Path(sys.argv[1])
    counts = {PASSED: 0, FAILED: 0, SKIPPED: 0}
    failures = []
    for name, outcome, output in collect(directory):
        counts[outcome] += 1
        if outcome == FAILED:
            failures.append((name, output))
    for name, output in failures:
        print(f"\nFAILED {name}")
        for line in output.strip().splitlines()[-TAIL_LINES:]:
            print(f"    {line}")
    print()
    if failures:
        print(f"failures (whole output in {directory}):")
        for name, _ in failures:
            print(f"  {name}")
    if counts[SKIPPED]:
        print(f"{counts[SKIPPED]} skipped")
    print(f"{counts[PASSED]} passed, {counts[FAILED]} failed")
    sys.exit(1 if counts[FAILED] or not counts[PASSED] else 0)


if __name__ == "__main__":
    main()
