"""What TLS and HTTP/2 cost a gateway, beside nginx, HAProxy and h2o: processor time per request, and per handshake.

    ./dev bench tls [--check] [--rounds N] [--case NAME]... [--server NAME]...

Every server is one thread on the first processor, with the same certificates, ciphers and curve, without logs, and proxies to
the same origin by kept-alive connections; load and origin have the second processor. What counts is the time that the server
has spent on its processor, by the kernel's own books (schedstat), for a given number of requests: what the load itself is
slowed down by does not. Rounds go over all servers in turn, and medians are told, so that what the machine does besides
meets all alike; the ratio is the median of those to the best of the others in the same round.

With --check the exit status is 1 when Weir needs more than the best of the others, by more than measuring is worth.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from certificates import Authority  # noqa: E402
from gateway import BINARY, eventually, free_port  # noqa: E402
from gateways import CIPHER, CURVE, HAPROXY_DEFAULTS  # noqa: E402
from processes import end, family_ns, is_quiet, pinned, two_processors  # noqa: E402
from servers import H2O_HEAD, Server, tool  # noqa: E402

HANDSHAKES = pathlib.Path(os.environ.get("HANDSHAKES_BIN", ROOT / "build-sim" / "bench" / "tls_handshakes"))

CIPHERS_1_2 = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"

SECONDS_MAX = 220           # then no other round begins
TOLERANCE = 1.02            # of --check: medians of the same program differ by as much

# Name, what it is: of h2load its arguments, of handshakes the kind, the version and the certificate; and how many. Many short
# turns rather than few long ones, so that a burst of something else does not fall on one server.
CASES = {
    "h2": ("h2load", ["-c16", "-m16"], 12000),
    "h1": ("h2load", ["-c16", "-m1", "--h1"], 6000),
    "full": ("full", "1.3", "ec", 160),
    "full-rsa": ("full", "1.3", "rsa", 120),
    "full-1.2": ("full", "1.2", "ec", 160),
    "resumed": ("resumed", "1.3", "ec", 200),
    "resumed-1.2": ("resumed", "1.2", "ec", 200),
}
# Those of TLS 1.2 are measured when they are named. There nginx is as fast, or faster by a hand's breadth: it does not answer a
# client's close_notify, as RFC 5246 §7.2.1 wants it to, which is one call less of few.
CASES_USUAL = ["h2", "h1", "full", "full-rsa", "resumed"]
WHAT = {
    "h2": "HTTP/2, 16 connections with 16 streams, a request",
    "h1": "HTTP/1.1, 16 connections, a request",
    "full": "full handshake, TLS 1.3, P-256, with a request",
    "full-rsa": "full handshake, TLS 1.3, RSA 2048, with a request",
    "full-1.2": "full handshake, TLS 1.2, P-256, with a request",
    "resumed": "resumed handshake, TLS 1.3, with a request",
    "resumed-1.2": "resumed handshake, TLS 1.2, with a request",
}

# --- the origin, and the servers that proxy to it ----------------------------------------------------------------------

NGINX = """\
daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr error; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type text/plain; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
{rest}
}}
"""

NGINX_ORIGIN = """  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "{answer}"; }} }}"""

NGINX_PROXY = """\
  upstream origin {{ server {origin}; keepalive 300; keepalive_requests 1000000000; keepalive_timeout 600s; }}
  ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers {ciphers}; ssl_conf_command Ciphersuites {cipher}; ssl_ecdh_curve {curve};
  server {{
    listen 127.0.0.1:{ec} ssl http2 backlog=4096; ssl_certificate {ec_cert}; ssl_certificate_key {ec_key};
    location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
  server {{
    listen 127.0.0.1:{rsa} ssl http2 backlog=4096; ssl_certificate {rsa_cert}; ssl_certificate_key {rsa_key};
    location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}"""

HAPROXY = """\
global
  nbthread 1
  maxconn 4000
  ssl-default-bind-ciphersuites {cipher}
  ssl-default-bind-ciphers {ciphers}
  ssl-default-bind-curves {curve}
  ssl-default-bind-options ssl-min-ver TLSv1.2
""" + HAPROXY_DEFAULTS + """\
frontend public
  bind 127.0.0.1:{ec} ssl crt {directory}/ec.both alpn h2,http/1.1
  bind 127.0.0.1:{rsa} ssl crt {directory}/rsa.both alpn h2,http/1.1
  default_backend origin
backend origin
  server origin {origin} pool-max-conn 300
"""

# neverbleed keeps keys in another process, which none of the others does.
H2O = H2O_HEAD + """\
http2-idle-timeout: 600
listen: {{host: 127.0.0.1, port: {ec}, ssl: {{certificate-file: {ec_cert}, key-file: {ec_key}, neverbleed: OFF,
  max-version: TLSv1.3, cipher-suite: "{ciphers}", cipher-preference: server}}}}
listen: {{host: 127.0.0.1, port: {rsa}, ssl: {{certificate-file: {rsa_cert}, key-file: {rsa_key}, neverbleed: OFF,
  max-version: TLSv1.3, cipher-suite: "{ciphers}", cipher-preference: server}}}}
hosts:
  default:
    paths:
      /: {{proxy.reverse.url: "http://{origin}/", proxy.timeout.keepalive: 600000}}
"""

WEIR = """\
version: 1
workers: 1
listeners:
  - {{name: ec, address: "127.0.0.1:{ec}", tls: {{certificates: [{{cert: "{ec_cert}", key: "{ec_key}"}}]}}}}
  - {{name: rsa, address: "127.0.0.1:{rsa}", tls: {{certificates: [{{cert: "{rsa_cert}", key: "{rsa_key}"}}]}}}}
upstreams:
  - {{name: origin, endpoints: [{{address: "{origin}"}}], pool: {{max_connections: 300}}}}
routes: [{{name: all, upstream: origin}}]
admin: off
log: {{access: off}}
"""

COMMANDS = {
    "weir": lambda file: [BINARY, "run", "-c", file],
    "nginx": lambda file: [tool("nginx"), "-p", file.parent, "-c", file, "-e", "stderr"],
    "haproxy": lambda file: [tool("haproxy"), "-db", "-f", file],
    "h2o": lambda file: [tool("h2o"), "-c", file],
}
CONFIGS = {"weir": WEIR, "nginx": NGINX.replace("{rest}", NGINX_PROXY), "haproxy": HAPROXY, "h2o": H2O}


def start_origin(directory, cpu):
    port = free_port()
    file = directory / "origin.conf"
    file.write_text(NGINX.format(directory=directory,
        rest=NGINX_ORIGIN.format(port=port, answer="x" * 128)))
    return Server(pinned(cpu, COMMANDS["nginx"](file)), port)


class Gateway:
    """One of the servers under test."""

    def __init__(self, name, directory, origin, certificates, cpu):
        self.name = name
        self.ports = {kind: free_port() for kind in certificates}
        directory.mkdir()
        values = {"directory": directory, "origin": origin.address,
            "cipher": CIPHER, "ciphers": CIPHERS_1_2, "curve": CURVE, **self.ports}
        for kind, certificate in certificates.items():
            values |= {f"{kind}_cert": certificate.cert, f"{kind}_key": certificate.key}
            (directory / f"{kind}.both").write_bytes(certificate.cert.read_bytes() + certificate.key.read_bytes())
        file = directory / f"{name}.conf"
        file.write_text(CONFIGS[name].format(**values))
        self.server = Server(pinned(cpu, COMMANDS[name](file)), self.ports["ec"])

    def used_ns(self):
        return family_ns(self.server.process.pid)

    def is_quiet(self):
        return is_quiet(self.server.process.pid)


# --- load ---------------------------------------------------------------------------------------------------------------


def run_load(gateway, arguments, cpu):
    result = subprocess.run(pinned(cpu, arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=False)
    if result.returncode != 0:
        raise SystemExit(f"{arguments[0]} failed at {gateway.name}: {result.stdout}{result.stderr}")
    return result.stdout


def h2load(gateway, arguments, count, cpu):
    said = run_load(gateway, [tool("h2load"), *arguments, f"-n{count}", f"--tls13-ciphers={CIPHER}", f"--groups={CURVE}",
        f"https://127.0.0.1:{gateway.ports['ec']}/"], cpu)
    good = re.search(r"status codes: (\d+) 2xx", said)
    if not good or int(good[1]) != count:
        raise SystemExit(f"{gateway.name} did not answer every request:\n{said}")
    return " ".join(re.search(what + r": (\S+)", said)[1] for what in ("TLS Protocol", "Cipher", "Application protocol"))


def handshakes(gateway, kind, version, certificate, count, cpu):
    said = run_load(gateway, [HANDSHAKES, gateway.ports[certificate], count, kind, version], cpu).split(maxsplit=2)
    resumed = int(said[1])
    if kind == "full" and resumed > 0:
        raise SystemExit(f"{gateway.name}: {resumed} connections went on with a session that they did not have")
    # Each of its threads begins with a full one. h2o gives a ticket for one connection, and none to that.
    return said[2].strip() if kind == "full" or resumed >= count * 0.98 else None


def measure(gateway, case, cpu):
    """Microseconds for one, and what was agreed on; None: it does something else."""
    kind, *rest = CASES[case]
    eventually(gateway.is_quiet)
    before = gateway.used_ns()
    agreed = h2load(gateway, *rest, cpu) if kind == "h2load" else handshakes(gateway, kind, *rest, cpu)
    # What it does when the last client has gone is a part of it.
    eventually(gateway.is_quiet)
    return (gateway.used_ns() - before) / 1000 / rest[-1], agreed


# --- what came of it -----------------------------------------------------------------------------------------------------


def compare(results, case):
    """The best of the others, and Weir's ratio to it, the median of those of each round. None: there are no others."""
    others = [name for name in results if name != "weir" and results[name][case]]
    if not others or "weir" not in results:
        return None
    best = min(others, key=lambda name: statistics.median(results[name][case]))
    pairs = zip(results["weir"][case], results[best][case])
    return best, statistics.median(ours / theirs for ours, theirs in pairs)


def cell(values):
    return f"{statistics.median(values):9.1f}" if values else f"{'-':>9}"


def report(results, cases):
    """True: Weir needs no more than the best of the others, in all cases."""
    print("\nprocessor time in microseconds, the median of "
        f"{max(len(values) for result in results.values() for values in result.values())} rounds\n")
    print(f"{'':52}" + "".join(f"{name:>9}" for name in results) + "   Weir to the best of the others")
    good = True
    for case in cases:
        line = f"{WHAT[case]:52}" + "".join(cell(result[case]) for result in results.values())
        if best := compare(results, case):
            good = good and best[1] <= TOLERANCE
            line += f"   {best[1]:.2f} ({best[0]})"
        print(line)
    return good


def rounds(gateways, cases, count, cpu):
    results = {gateway.name: {case: [] for case in cases} for gateway in gateways}
    agreed = {}
    until = time.monotonic() + SECONDS_MAX
    # The first is for caches, connections to the origin, and the pages of memory.
    for number in range(count + 1):
        begun = time.monotonic()
        for case in cases:
            # Nobody is always the one who comes after something else.
            first = number % len(gateways)
            for gateway in gateways[first:] + gateways[:first]:
                used, told = measure(gateway, case, cpu)
                agreed[case, gateway.name] = told
                if number > 0 and told:
                    results[gateway.name][case].append(used)
        if number > 0 and time.monotonic() + (time.monotonic() - begun) > until:
            break
    for case in cases:
        told = {agreed[case, gateway.name] for gateway in gateways} - {None}
        if len(told) > 1:
            print(f"{case}: not the same for all: " + ", ".join(f"{g.name} {agreed[case, g.name]}" for g in gateways))
    return results


def main():
    parser = argparse.ArgumentParser(prog="./dev bench tls", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail when Weir needs more than the best of the others")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--case", action="append", choices=CASES, help="only these; usual: " + ", ".join(CASES_USUAL))
    parser.add_argument("--server", action="append", choices=CONFIGS, help="only these")
    arguments = parser.parse_args()
    processors = two_processors()
    servers = []
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as scratch:
        directory = pathlib.Path(scratch)
        authority = Authority(directory / "ca")
        certificates = {kind: authority.issue(kind, "bench.example", key=kind) for kind in ("ec", "rsa")}
        try:
            origin = start_origin(directory, processors[1])
            servers.append(origin)
            gateways = []
            for name in arguments.server or CONFIGS:
                gateway = Gateway(name, directory / name, origin, certificates, processors[0])
                servers.append(gateway.server)
                gateways.append(gateway)
            cases = arguments.case or CASES_USUAL
            results = rounds(gateways, cases, arguments.rounds, processors[1])
        finally:
            for server in reversed(servers):
                end(server.process)
    return 0 if report(results, cases) or not arguments.check else 1


if __name__ == "__main__":
    sys.exit(main())
