"""What was measured: figures of gateways, one value in each round, and what follows from them."""

import statistics


class Results:
    """Values stand in the order of the rounds, so that those of one round can be compared: what the machine did besides has met all."""

    def __init__(self):
        self.values, self.units, self.shares = {}, {}, {}
        self.details, self.notes = {}, []
        self.profile = None     # breakdown.py's

    def add(self, figure, unit, gateway, value):
        self.values.setdefault(figure, {}).setdefault(gateway, []).append(value)
        self.units[figure] = unit

    def take_rows(self, rows):
        """As report.py has written them. A figure that is there already is replaced."""
        for figure in {row["figure"] for row in rows}:
            for kept in (self.values, self.shares):
                kept.pop(figure, None)
        for row in rows:
            self.values.setdefault(row["figure"], {})[row["gateway"]] = row["values"]
            self.units[row["figure"]] = row["unit"]
            if row["busy"] is not None:
                self.shares.setdefault(row["figure"], {})[row["gateway"]] = [row["busy"]]
            self.details[row["figure"], row["gateway"]] = row["detail"]

    def tell(self, figure, gateway, detail):
        """What it consists of."""
        self.details[figure, gateway] = detail

    def note(self, text):
        """What has to be known of the figures beside them."""
        self.notes.append(text)

    def add_share(self, figure, gateway, share):
        """How much of a turn its processor had to do for it: what has little to do takes its requests one by one, which costs more."""
        self.shares.setdefault(figure, {}).setdefault(gateway, []).append(share)

    def busy(self, figure, gateway):
        """The median share; None: it was not looked at."""
        shares = self.shares.get(figure, {}).get(gateway)
        return statistics.median(shares) if shares else None

    def figures(self):
        return list(self.values)

    def gateways(self, figure):
        return list(self.values.get(figure, {}))

    def spread(self, figure, gateway):
        """Quartiles: the middle one is the median."""
        return quartiles(self.values[figure][gateway])

    def median(self, figure, gateway):
        return statistics.median(self.values[figure][gateway])

    def ratio(self, figure, one, other):
        """Quartiles of the ratio within the rounds."""
        pairs = zip(self.values[figure][one], self.values[figure][other], strict=True)
        return quartiles([value / of_other for value, of_other in pairs])

    def best(self, figure, names):
        """Which of these, all of which were measured, needs least."""
        return min(names, key=lambda name: self.median(figure, name))


def quartiles(values):
    if len(values) < 2:
        return tuple(values * 3)
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def number(value):
    """Three digits that mean something, more where the number has them."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
