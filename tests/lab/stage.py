"""A stage: what a lab test builds around the gateway, and what it knows without asking the gateway.

    load (clients.py) ---> gateway ---> origin (services.py)     their books, /proc, what was configured: the truth
                             |
                             '--- weir why --json                what is judged

Everything ends with the test.
"""

import copy
import json
import re
import subprocess

from clients import WARM, WINDOW, Idlers, Knocker, Load, SlowReaders, Tunnels
from gateway import BINARY, Gateway, free_port, merged
from network import Network
from raw import TIMEOUT
from services import Origin, SlowHandshakes

ERROR = 0.20            # how far its number may be from the truth
TURNED = 3              # seconds for which it is looked at what a turned knob does


def configuration(*endpoints, upstream=None, route=None, listener=None, **top):
    """One listener, one upstream, one route, all as they come but for what the stage is about."""
    return merged({
        "version": 1,
        "workers": 1,
        "drain_timeout": "1s",
        "listeners": [merged({"name": "public", "address": f"127.0.0.1:{free_port()}"}, listener)],
        "upstreams": [merged({"name": "backend", "endpoints": [{"address": one.address} for one in endpoints]}, upstream)],
        "routes": [merged({"name": "all", "upstream": "backend"}, route)],
        "log": {"access": "off", "level": "warning"},
    }, top)


def turned(config, knob, otherwise):
    """The configuration with the knob where the verdict wants it, or where it says nothing of that, at `otherwise`: "upstreams[backend].pool.max_connections"."""
    config = copy.deepcopy(config)
    *way, last = re.findall(r"[^.\[\]]+(?:\[[^\]]*\])?", knob["key"])
    place = config
    for step in way:
        name, _, item = step.rstrip("]").partition("[")
        place = place.setdefault(name, {})
        if item:
            place = next(one for i, one in enumerate(place) if item in (one.get("name"), str(i)))
    place[last] = round(knob.get("to") or otherwise)
    config["listeners"][0]["address"] = f"127.0.0.1:{free_port()}"
    return config


def pinned(cpu):
    return () if cpu is None else ("taskset", "-c", str(cpu))


class Stage:
    def __init__(self, directory, note):
        self.directory, self.note = directory, note
        self.network = None
        self.ending = []

    def keep(self, one):
        """It ends with the stage."""
        self.ending.append(one.end)
        return one

    @property
    def under(self):
        return self.network.inside if self.network else ()

    def in_network(self, **limits):
        self.network = self.keep(Network(**limits))
        return self.network

    def origin(self, *options, cpu=None):
        return self.keep(Origin(options, (*self.under, *pinned(cpu))))

    def slow_handshakes(self, hesitation_s):
        return self.keep(SlowHandshakes(self.directory, hesitation_s))

    def gateway(self, config, files=None, cpu=None, under=()):
        admin = {"admin": {"address": f"unix:{self.directory}/admin-{len(self.ending)}"}}
        gateway = Gateway(merged(config, admin), self.directory, files=files, under=(*self.under, *pinned(cpu), *under))
        self.ending.append(gateway.stop)
        return gateway

    def load(self, port, seconds=WARM + WINDOW + 8, cpu=None, **options):
        return self.keep(Load(port, seconds, (*self.under, *pinned(cpu)), options))

    def slow_readers(self, *arguments):
        return self.keep(SlowReaders(*arguments))

    def idlers(self, *arguments):
        return self.keep(Idlers(*arguments))

    def tunnels(self, *arguments):
        return self.keep(Tunnels(*arguments))

    def knocker(self, *arguments):
        return self.keep(Knocker(*arguments))

    def why(self, gateway, window=WINDOW):
        result = subprocess.run([BINARY, "why", "-c", gateway.file, "--window", f"{window}s", "--json"], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def judge(self, gateway, what, truth, turn=None, **subject):
        """Asks why, and holds the first verdict against what is known. Gives the verdict. `truth` is asked beside it."""
        told = self.why(gateway)
        known = truth() if callable(truth) else truth
        verdict = told["verdicts"][0]
        number = verdict["number"]["value"]
        off = abs(number - known) / (known or 1)
        self.note(verdict["what"], verdict["number"], known, off)
        evidence = json.dumps(told, indent=1)
        assert verdict["what"] == what, evidence
        assert off <= ERROR, f"{number} is {off:.0%} off {known}:\n{evidence}"
        for name, value in subject.items():
            assert verdict["subject"].get(name) == value, evidence
        if turn is not None:
            assert verdict["knob"]["turn"] in turn, evidence
        return verdict

    def refused_when_turned(self, gateway, knob, load, otherwise=None):
        """How many a second are refused of this load when the knob is where the verdict wants it."""
        config = turned(gateway.config, knob, otherwise)
        config.pop("admin")
        again = self.load(self.gateway(config).port, TURNED + 3, **load)
        again.wait_for_second(TURNED)
        return again.rate("refused", "bad", "broken", last=TURNED - 1)

    def end(self):
        errors = []
        for one in reversed(self.ending):
            try:
                one()
            except Exception as error:  # pylint: disable=broad-except
                errors.append(error)
        if errors:
            raise errors[0]
