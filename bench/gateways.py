"""What stands between load and service in the bench: Weir, the peers of Debian, and relays that do nothing but relay.

All have one worker, no log of requests, and keep as many connections to the service as they need; beyond that each is as it comes,
but for what is said beside a line. What a line is for is told again, for users, in docs/PERFORMANCE.md.
"""

import dataclasses
import functools
import json
import os
import pathlib
import re
import subprocess
import time

from gateway import BINARY, ROOT, free_port
from processes import end, family_ns, is_quiet, pinned
from raw import TIMEOUT
from servers import H2O_HEAD, Server, tool

PROGRAMS = pathlib.Path(os.environ.get("BENCH_BIN", ROOT / "build-sim" / "bench"))

# The same for all, and for the loads.
CIPHER = "TLS_AES_128_GCM_SHA256"
CURVE = "X25519"

CONNECTIONS = 12000       # a sixteenth has to stay free, or nginx ends idle ones


@dataclasses.dataclass
class Place:
    """What a configuration is written for."""

    directory: pathlib.Path
    origin: int
    certificate: object
    plain: int = dataclasses.field(default_factory=free_port)
    tls: int = dataclasses.field(default_factory=free_port)
    routes: int = 0             # beside the one for everything
    workers: int = 1
    weir: dict = dataclasses.field(default_factory=dict)    # more of Weir's settings; "upstream": of its upstream
    generation: int = 0         # what /generation answers, when it is not 0: so it is seen that a configuration has come into force

    def paths(self):
        return [f"/r{number:05}/" for number in range(self.routes)]


# --- Weir ------------------------------------------------------------------------------------------------------------------


def weir(place, upstream=None):
    more = dict(place.weir)
    upstream = {**(upstream or {}), **more.pop("upstream", {})}
    tls = {"certificates": [{"cert": str(place.certificate.cert), "key": str(place.certificate.key)}]}
    common = {"limits": {"connections": CONNECTIONS}, "timeouts": {"keep_alive": "600s"}}
    routes = [{"name": f"r{number}", "match": {"path": path + "*"}, "upstream": "origin"}
        for number, path in enumerate(place.paths())]
    if place.generation:
        routes.insert(0, {"name": "generation", "match": {"path": "/generation"},
            "respond": {"status": 200, "body": str(place.generation)}})
    return json.dumps({
        "version": 1,
        "workers": place.workers,
        "listeners": [{"name": "plain", "address": f"127.0.0.1:{place.plain}", **common},
            {"name": "tls", "address": f"127.0.0.1:{place.tls}", "tls": tls, **common}],
        "upstreams": [{"name": "origin", "endpoints": [{"address": f"127.0.0.1:{place.origin}"}], **upstream}],
        "routes": [*routes, {"name": "all", "match": {"path": "/*"}, "upstream": "origin"}],
        # The others have nobody listening for their operator, either.
        "admin": "off",
        "log": {"access": "off", "level": "warning"},
        **more,
    })


# --- nginx -----------------------------------------------------------------------------------------------------------------

NGINX = """\
# One process that is master and worker; where more are asked for, a master beside them.
daemon off; master_process {master}; worker_processes {workers}; pid {directory}/nginx.pid; error_log stderr crit;
worker_rlimit_nofile 20000;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  # As many requests on a connection as come, and as long as it takes: else each thousandth one would end it.
  keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  # Connections to the service are kept: HTTP/1.0 and a connection for each request is what is the default.
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 300; keepalive_requests 1000000000; keepalive_timeout 600s; }}
  proxy_http_version 1.1; proxy_set_header Connection "";
  # Uploads are passed on as they come, and no content takes the way through a file.
  client_max_body_size 0; proxy_request_buffering off; proxy_max_temp_file_size 0;
  ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites {cipher}; ssl_ecdh_curve {curve};
  ssl_certificate {cert}; ssl_certificate_key {key};
  server {{
    listen 127.0.0.1:{plain} backlog=4096; listen 127.0.0.1:{tls} ssl http2 backlog=4096;
    location / {{ proxy_pass http://origin; }}
{locations}
  }}
}}
"""


def nginx(place):
    locations = [f"    location {path} {{ proxy_pass http://origin; }}" for path in place.paths()]
    if place.generation:
        locations.append(f'    location = /generation {{ return 200 "{place.generation}"; }}')
    return NGINX.format(**values(place), locations="\n".join(locations), master="on" if is_led(place) else "off")


# --- HAProxy ---------------------------------------------------------------------------------------------------------------

HAPROXY_DEFAULTS = """\
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  # Any connection to the service is good for any request; by default a client's first one gets none that was used before.
  http-reuse always
"""

HAPROXY = """\
global
  nbthread {workers}
  maxconn {connections}
  # It reckons with two descriptors for each, of which 10,000 idle ones need one: it starts where there are not as many, too.
  no strict-limits
  ssl-default-bind-ciphersuites {cipher}
  ssl-default-bind-curves {curve}
  ssl-default-bind-options ssl-min-ver TLSv1.3
""" + HAPROXY_DEFAULTS + """\
frontend public
  bind 127.0.0.1:{plain} backlog 4096
  bind 127.0.0.1:{tls} backlog 4096 ssl crt {directory}/both.pem alpn h2,http/1.1
{rules}
  default_backend origin
backend origin
  server origin 127.0.0.1:{origin} pool-max-conn 300
"""


def haproxy(place):
    (place.directory / "both.pem").write_bytes(place.certificate.cert.read_bytes() + place.certificate.key.read_bytes())
    rules = []
    if place.generation:
        rules.append(f'  http-request return status 200 content-type text/plain string "{place.generation}" if {{ path /generation }}')
    if place.routes:
        # A tree of prefixes, as its documentation advises for many: rules would be tried one after another.
        (place.directory / "routes.map").write_text("".join(f"{path} origin\n" for path in place.paths()))
        rules.append(f"  use_backend %[path,map_beg({place.directory}/routes.map,origin)]")
    return HAPROXY.format(**values(place), rules="\n".join(rules))


# --- h2o -------------------------------------------------------------------------------------------------------------------

H2O = H2O_HEAD.replace("num-threads: 1", "num-threads: {workers}") + """\
max-connections: {connections}
http1-request-timeout: 600
http2-idle-timeout: 600
listen: {{host: 127.0.0.1, port: {plain}}}
# neverbleed keeps keys in another process, and certificates are asked about by another one, which none of the others does.
listen: {{host: 127.0.0.1, port: {tls}, ssl: {{certificate-file: {cert}, key-file: {key}, neverbleed: OFF, max-version: TLSv1.3,
  ocsp-update-interval: 0}}}}
# By default a connection to the service is kept for 2 s.
proxy.timeout.keepalive: 600000
hosts:
  default:
    paths:
      /: {{proxy.reverse.url: "http://127.0.0.1:{origin}/"}}
{paths}
"""


def h2o(place):
    paths = [f'      {path}: {{proxy.reverse.url: "http://127.0.0.1:{place.origin}{path}"}}' for path in place.paths()]
    return H2O.format(**values(place), paths="\n".join(paths))


# --- all of them -------------------------------------------------------------------------------------------------------------


def values(place):
    return {"directory": place.directory, "plain": place.plain, "tls": place.tls, "origin": place.origin,
        "cert": place.certificate.cert, "key": place.certificate.key, "cipher": CIPHER, "curve": CURVE,
        "connections": CONNECTIONS, "workers": place.workers}


def is_led(place):
    """Whether there is a process beside the one that works."""
    return place.workers > 1 or place.generation > 0


# For tests on machines that are short of processor time: nobody is refused for having waited.
PATIENT = {"shedding": "off", "upstream": {"concurrency": "off", "pool": {"acquire_timeout": "60s"},
    "timeouts": {"connect": "60s", "first_byte": "60s"}}}

# Weir with other settings, measured when they are named: what does a default cost?
VARIANTS = {"weir-unlimited": {"concurrency": "off"}}

CONFIGS = {"weir": weir, "nginx": nginx, "haproxy": haproxy, "h2o": h2o,
    **{name: functools.partial(weir, upstream=upstream) for name, upstream in VARIANTS.items()}}


def run_weir(file, place):
    return [BINARY, "run", "-c", file]


COMMANDS = {
    "weir": run_weir,
    **{name: run_weir for name in VARIANTS},
    "nginx": lambda file, place: [tool("nginx"), "-p", place.directory, "-c", file, "-e", "stderr"],
    "haproxy": lambda file, place: [tool("haproxy"), *(["-W"] if place.generation else ["-db"]), "-f", file],
    "h2o": lambda file, place: [tool("h2o"), "-c", file],
}

# One connection to the service for each client, and nothing looked at.
RELAYS = {name: PROGRAMS / name.replace("-", "_") for name in ("relay-epoll", "relay-splice", "relay-uring")}

PEERS = ["nginx", "haproxy", "h2o"]


class Gateway:
    """One of them, running on that processor (or those: "0,1"). `under`: a command that runs it, and may take that long to begin."""

    def __init__(self, name, place, cpu, under=(), seconds=TIMEOUT):
        self.name, self.place = name, place
        place.directory.mkdir(parents=True, exist_ok=True)
        self.file = place.directory / f"{name}.conf"
        if name in RELAYS:
            command = [RELAYS[name], place.plain, place.origin]
        else:
            self.write()
            command = COMMANDS[name](self.file, place)
        self.began_ms = time.monotonic() * 1000
        self.server = Server(pinned(cpu, [*under, *command]), place.plain, seconds)
        self.pid = self.server.process.pid

    def write(self):
        """Its configuration, as its place says now."""
        self.file.write_text(CONFIGS[self.name](self.place))

    def port(self, tls):
        return self.place.tls if tls else self.place.plain

    def used_ns(self):
        return family_ns(self.pid)

    def is_quiet(self):
        return is_quiet(self.pid)

    def stop(self, seconds=10):
        """False: it had to be killed."""
        return end(self.server.process, seconds)


def runs_here(name):
    """Not every kernel has io_uring for everybody."""
    return name != "relay-uring" or subprocess.run([RELAYS[name]], check=False).returncode == 0


def built():
    """The compiler and libraries that Weir was built with, as it says itself."""
    said = subprocess.run([BINARY, "version"], capture_output=True, text=True, check=True).stdout
    return dict(line.split(": ", 1) for line in said.splitlines()[1:])


def version(name):
    """As it says itself."""
    arguments = {"weir": [BINARY, "version"], "nginx": [tool("nginx"), "-v"], "haproxy": [tool("haproxy"), "-v"],
        "h2o": [tool("h2o"), "-v"]}
    if name not in arguments:
        return ""
    said = subprocess.run(arguments[name], capture_output=True, text=True, check=True)
    return re.search(r"\d+\.\d+\S*", said.stdout + said.stderr)[0]
