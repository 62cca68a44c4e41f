"""What Weir has to show: one table, and whether it does. Nothing is rounded, and nothing is forgiven."""

import dataclasses

from gateways import PEERS


@dataclasses.dataclass
class Goal:
    """`of`: to what it is put in relation, the best of them that was measured; (): to nothing."""

    figure: str
    bound: float
    of: tuple = ()
    least: bool = False     # the bound is the least; else it is the most

    def text(self):
        to = f" x the best of {', '.join(self.of)}" if len(self.of) > 1 else f" x {self.of[0]}" if self.of else ""
        return f"{self.figure}: at {'least' if self.least else 'most'} {self.bound:g}{to}"


GOALS = [
    Goal("h1", 1.06, ("relay-epoll",)),
    Goal("h1", 0.85, tuple(PEERS)),
    Goal("instructions", 3000),
    Goal("64k", 1.10, ("relay-epoll", "relay-splice")),
    Goal("64k", 0.6, ("haproxy",)),
    Goal("1m", 1.15, ("relay-splice",)),
    Goal("1m", 0.4, ("nginx",)),
    Goal("close", 0.85, tuple(PEERS)),
    Goal("h2-tls", 1.0, ("h2o",)),
    Goal("h1-tls", 0.85, ("nginx",)),
    Goal("idle", 300),
    Goal("p99 at 80 %", 0.7, ("nginx",)),
    Goal("workers", 1.9, least=True),
]


@dataclasses.dataclass
class Verdict:
    goal: Goal
    reached: tuple = None       # quartiles; None: what it needs was not measured
    beside: str = None          # to which of the goal's `of` it is the ratio

    @property
    def met(self):
        """None: nobody knows."""
        if self.reached is None:
            return None
        return self.reached[1] >= self.goal.bound if self.goal.least else self.reached[1] <= self.goal.bound

    def value(self):
        """What was reached, beside whom. With five digits, which is not what the bound is compared with."""
        if self.reached is None:
            return ""
        low, median, high = self.reached
        beside = f" x {self.beside}" if self.beside else ""
        return f"{median:.5g}{beside}" + (f" (quartiles {low:.5g} to {high:.5g})" if low != high else "")

    def text(self):
        if self.met is None:
            return f"{self.goal.text()}: not measured"
        return f"{self.goal.text()}: {'met' if self.met else 'MISSED'}, {self.value()}"


def judge(goal, results):
    if "weir" not in results.gateways(goal.figure):
        return Verdict(goal)
    if not goal.of:
        return Verdict(goal, results.spread(goal.figure, "weir"))
    # Who was left out might be the best.
    if not set(goal.of) <= set(results.gateways(goal.figure)):
        return Verdict(goal)
    beside = results.best(goal.figure, goal.of)
    return Verdict(goal, results.ratio(goal.figure, "weir", beside), beside)


def verdicts(results):
    """Of all goals that one of the figures is about."""
    return [judge(goal, results) for goal in GOALS if goal.figure in results.figures()]
