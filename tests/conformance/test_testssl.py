"""TLS, by testssl.sh. What it calls worse than "low" is what keeps a server from an A; certificates are left out, which are ours."""

import json
import shutil
import subprocess

import pytest

from certificates import Authority
from gateway import configuration
from servers import nginx
from test_h2spec import needs

TESTSSL = shutil.which("testssl") or shutil.which("testssl.sh")

pytestmark = pytest.mark.skipif(TESTSSL is None, reason="testssl is not there: apt-get install testssl.sh")

BAD = ("MEDIUM", "HIGH", "CRITICAL", "FATAL")

# Of the certificate and its CA, whom nobody knows outside the test, and of the content.
OURS = ("cert", "OCSP", "DNS_CAArecord", "HSTS", "HPKP", "security_headers", "banner_", "cookie_", "HTTP_", "intermediate_")


def judge(directory, port):
    """What testssl.sh finds that is bad, by name."""
    report = directory / f"testssl-{port}.json"
    process = subprocess.run([TESTSSL, "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--nodns", "min",
        "--sneaky", "--jsonfile", report, "-p", "-S", "-P", "-E", "-U", f"127.0.0.1:{port}"], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900, check=False)
    assert report.exists(), process.stdout.decode()
    findings = json.loads(report.read_text())
    assert len(findings) > 50, process.stdout.decode()
    return {f["id"]: f"{f['severity']}: {f['finding']}" for f in findings
        if f["severity"] in BAD and not f["id"].startswith(OURS)}


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    return [authority.issue(f"local-{key}", "localhost", "127.0.0.1", key=key) for key in ("ec", "rsa")]


def test_runner_sees_what_is_bad(tmp_path, local):
    """Old ciphers, and the client chooses among them."""
    server = nginx(tmp_path, f"ssl_certificate {local[1].cert}; ssl_certificate_key {local[1].key}; "
        "ssl_protocols TLSv1.2; ssl_ciphers 'AES128-SHA:ECDHE-RSA-AES128-SHA';", listen="ssl")
    found = judge(tmp_path, server.port)
    server.stop()
    assert "cipher_order" in found


def test_gateway(start, tmp_path, local):
    pairs = [{"cert": str(c.cert), "key": str(c.key)} for c in local]
    config = configuration(listener={"tls": {"certificates": pairs}}, route={"respond": {"body": "hello"}})
    needs(tmp_path, config)
    gateway = start(config)
    assert judge(tmp_path, gateway.port) == {}
