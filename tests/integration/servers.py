"""Real servers and real clients, as children of the tests, on free ports."""

import os
import pathlib
import shutil
import socket
import subprocess

from gateway import Lines, eventually, free_port
from raw import TIMEOUT

# What the tests need, and the Debian package that has it.
PACKAGES = {"curl": "curl", "wrk": "wrk", "ab": "apache2-utils", "h2load": "nghttp2-client", "nginx": "nginx-light",
            "node": "nodejs", "strace": "strace", "valgrind": "valgrind", "gcc": "gcc", "openssl": "openssl", "h2o": "h2o",
            "nghttp": "nghttp2-client", "testssl": "testssl.sh", "chromium": "chromium",
            "promtool": "prometheus", "prometheus": "prometheus", "haproxy": "haproxy"}

PYTHON = "/usr/bin/python3"

HERE = pathlib.Path(__file__).parent


def tool(name):
    """Its path. A missing one is a failure: the suite's promise is that it was tested against."""
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/usr/bin")
    assert path, f"{name} is missing: apt-get install {PACKAGES[name]}"
    return path


def command(name, *arguments, timeout=60, status=0, **options):
    """Runs a tool to its end, which must have this status; what it said on standard output."""
    result = subprocess.run([tool(name), *map(str, arguments)], stdin=options.pop("stdin", subprocess.DEVNULL),
        capture_output=True, timeout=timeout, check=False, **options)
    assert result.returncode == status, f"{name}: exit status {result.returncode}\n{result.stdout!r}\n{result.stderr!r}"
    return result.stdout.decode("utf-8", "replace")


class Server:
    """A child that listens on a port, within so many seconds."""

    def __init__(self, arguments, port, seconds=TIMEOUT, **options):
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, **options)
        self.output = Lines(self.process.stdout)
        eventually(self._listens, seconds)

    def _listens(self):
        assert self.process.poll() is None, f"{self.process.args[0]} ended:\n{self.output.text()}"
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.terminate()
        self.process.wait(TIMEOUT)


NGINX = """\
daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr warn; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type text/plain; server_tokens off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096 {listen}; root {directory}/root; client_max_body_size 1m; {settings}
    location = /hello {{ return 200 "hello"; }}
    location = /status/503 {{ return 503 "busy"; }}
    location = /seen {{ return 200 "$request_method $request_uri $http_host $http_x_forwarded_for $http_via"; }}
    location /zip/ {{ gzip on; gzip_proxied any; gzip_min_length 1; gzip_types *; alias {directory}/root/; }}
  }}
}}
"""


def nginx(directory, settings="", listen=""):
    """`settings` of its server, and further parameters of its `listen`."""
    port = free_port()
    directory.mkdir(exist_ok=True)
    (directory / "root").mkdir(exist_ok=True)
    (directory / "nginx.conf").write_text(NGINX.format(directory=directory, port=port, settings=settings, listen=listen))
    return Server([tool("nginx"), "-p", directory, "-c", directory / "nginx.conf", "-e", "stderr"], port)


def node(script, *arguments):
    """A script of this folder; it is given the port first."""
    port = free_port()
    return Server([tool("node"), HERE / script, str(port), *map(str, arguments)], port)


def python(directory):
    port = free_port()
    return Server([PYTHON, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", directory, str(port)], port)


# --- with TLS and HTTP/2: `certificate` of certificates.py, None: h2c with prior knowledge ---------------------------


def nginx_h2(directory, certificate=None, settings=""):
    if certificate is None:
        return nginx(directory, settings, listen="http2")
    return nginx(directory, f"ssl_certificate {certificate.cert}; ssl_certificate_key {certificate.key}; {settings}",
        listen="ssl http2")


# Started by root it becomes another user, who does not see the directory of a test; others it lets name nobody, themselves included.
H2O_HEAD = ("user: root\n" if os.geteuid() == 0 else "") + """\
num-threads: 1
error-log: /dev/stderr
pid-file: {directory}/h2o.pid
temp-buffer-path: {directory}
"""
H2O = H2O_HEAD + """\
listen: {{host: 127.0.0.1, port: {port}{tls}}}
hosts:
  default:
    paths:
      /: {{file.dir: {directory}/root}}
"""


def h2o(directory, certificate=None):
    """Files of `directory`/root; /hello is one. Speaks HTTP/1.1 on the same port."""
    port = free_port()
    directory.mkdir(exist_ok=True)
    (directory / "root").mkdir(exist_ok=True)
    (directory / "root" / "hello").write_text("hello")
    tls = f", ssl: {{certificate-file: {certificate.cert}, key-file: {certificate.key}}}" if certificate else ""
    config = H2O.format(directory=directory, port=port, tls=tls)
    (directory / "h2o.conf").write_text(config)
    return Server([tool("h2o"), "-c", directory / "h2o.conf"], port)


def node_h2(certificate=None):
    return node("node_h2_server.js", *([certificate.cert, certificate.key] if certificate else []))
