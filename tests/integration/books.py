"""The gateway's books, as its administration tells them."""

from admin import BY_ENDPOINT, Admin


class Books:
    """Metrics at one moment."""

    def __init__(self, gateway):
        metrics = Admin(gateway).metrics()
        self.types = metrics.types
        self.samples = [(name, dict(labels), value) for (name, labels), value in metrics.values.items()]

    def total(self, name, **labels):
        """The sum of all series of that name with these labels. There must be one, or it is 0 of every endpoint."""
        values = [value for n, has, value in self.samples if n == name and labels.items() <= has.items()]
        assert values or name in self.types and name.startswith(BY_ENDPOINT), f"no {name} with {labels}"
        return int(sum(values))

    def states(self):
        """Connections to all upstreams, by state."""
        names = {labels["state"] for name, labels, _ in self.samples if name == "weir_pool_connections"}
        return {state: self.total("weir_pool_connections", state=state) for state in names}

    def is_quiet(self):
        states = self.states()
        idle = states.pop("idle")
        return sum(states.values()) == 0 and self.total("weir_pool_waiters") == 0 and idle >= 0 and \
            self.total("weir_exchanges_started_total") == self.total("weir_exchanges_finished_total")

    def must_balance(self):
        """When it is quiet: what was opened and not closed is idle, and what is a bug when it happens did not."""
        assert self.is_quiet(), self.samples
        opened, closed = self.total("weir_pool_opened_total"), self.total("weir_pool_closed_total")
        assert opened - closed == self.states()["idle"]
        for never in ("weir_exchange_double_finish_total", "weir_pool_audit_mismatch_total",
                "weir_pool_give_backs_rejected_total", "weir_pool_bad_reports_total"):
            assert self.total(never) == 0, never
        assert self.total("weir_pool_audits_total") > 0

    def acquires(self):
        return {labels["outcome"]: int(value) for name, labels, value in self.samples
                if name == "weir_pool_acquires_total"}
