"""TLS, by testssl.sh. What it calls worse than "low" is what keeps a server from an A; certificates are left out, which are ours.

The grade itself is made here of what it finds, by the rules of SSL Labs (SSL Server Rating Guide, 2009r), since testssl.sh gives
none before its version 3.2.
"""

import json
import re
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


def scan(directory, port):
    """What testssl.sh finds: (severity, finding) by name."""
    report = directory / f"testssl-{port}.json"
    process = subprocess.run([TESTSSL, "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--nodns", "min",
        "--sneaky", "--jsonfile", report, "-p", "-S", "-P", "-E", "-U", f"127.0.0.1:{port}"], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900, check=False)
    assert report.exists(), process.stdout.decode()
    findings = json.loads(report.read_text())
    assert len(findings) > 50, process.stdout.decode()
    return {f["id"]: (f["severity"], f["finding"]) for f in findings if not f["id"].startswith(OURS)}


def bad(findings):
    return {name: f"{severity}: {said}" for name, (severity, said) in findings.items() if severity in BAD}


PROTOCOLS = {"SSLv2": 0, "SSLv3": 80, "TLS1": 90, "TLS1_1": 95, "TLS1_2": 100, "TLS1_3": 100}
VULNERABILITIES = ("heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_renego", "secure_client_renego", "CRIME_TLS", "POODLE_SSL",
    "SWEET32", "FREAK", "DROWN", "LOGJAM", "RC4")
CIPHER = re.compile(r"^\S+ \S+\s+x\w+\s+(\S+)\s+(\w+)\s+(\d*)\s+(\w+)\s+(\d+)\s")


def ciphers(findings):
    """(name, key exchange, its bits as of RSA, cipher, its bits) of each that is offered."""
    found = [CIPHER.match(said) for name, (_, said) in findings.items() if name.startswith("cipher-")]
    assert found and all(found), findings
    return [(m[1], m[2], 3072 if m[2] == "ECDH" and int(m[3] or 0) < 384 else int(m[3] or 2048), m[4], int(m[5])) for m in found]


def points(bits, steps):
    return next(score for least, score in steps if bits >= least)


def score(offered, protocols):
    """Of 100: the mean of the best and the worst of each, weighed."""
    exchange = [points(bits, ((4096, 100), (2048, 90), (1024, 80), (512, 40), (0, 20))) for _, _, bits, _, _ in offered]
    cipher = [points(bits, ((256, 100), (128, 80), (1, 20), (0, 0))) for *_, bits in offered]
    kinds = (0.3, [PROTOCOLS[p] for p in protocols]), (0.3, [min(exchange)]), (0.4, cipher)
    return sum(weight * (min(values) + max(values)) / 2 for weight, values in kinds)


def grade(findings):
    """By the score, and never better than the worst thing allows."""
    protocols = [p for p in PROTOCOLS if findings[p][1].startswith("offered")]
    offered = ciphers(findings)
    caps = ["A"]
    caps += ["F"] * ("SSLv2" in protocols) + ["C"] * ("SSLv3" in protocols) + ["C"] * ("TLS1_2" not in protocols)
    caps += ["B"] * bool({"TLS1", "TLS1_1"} & set(protocols))
    caps += ["A-"] * ("TLS1_3" not in protocols)
    caps += ["B"] * any(exchange not in ("ECDH", "DH") for _, exchange, *_ in offered)
    caps += ["B"] * (not any(re.search("GCM|CCM|CHACHA", name) for name, *_ in offered))
    caps += ["F"] * any(findings[v][0] in BAD for v in VULNERABILITIES if v in findings)
    caps.append(points(score(offered, protocols), ((80, "A"), (65, "B"), (50, "C"), (35, "D"), (20, "E"), (0, "F"))))
    return max(caps, key=["A", "A-", "B", "C", "D", "E", "F"].index)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    return [authority.issue(f"local-{key}", "localhost", "127.0.0.1", key=key) for key in ("ec", "rsa")]


def test_runner_sees_what_is_bad(tmp_path, local):
    """Old ciphers, and the client chooses among them."""
    server = nginx(tmp_path, f"ssl_certificate {local[1].cert}; ssl_certificate_key {local[1].key}; "
        "ssl_protocols TLSv1.2; ssl_ciphers 'AES128-SHA:ECDHE-RSA-AES128-SHA';", listen="ssl")
    found = scan(tmp_path, server.port)
    server.stop()
    assert "cipher_order" in bad(found)
    assert grade(found) == "B", "no forward secrecy"


def test_gateway(start, tmp_path, local):
    pairs = [{"cert": str(c.cert), "key": str(c.key)} for c in local]
    config = configuration(listener={"tls": {"certificates": pairs}}, route={"respond": {"body": "hello"}})
    needs(tmp_path, config)
    gateway = start(config)
    found = scan(tmp_path, gateway.port)
    print(f"score {score(ciphers(found), ['TLS1_2', 'TLS1_3']):.0f}, grade {grade(found)}")
    assert bad(found) == {}
    assert set(VULNERABILITIES) <= set(found), "testssl.sh did not look for all of them"
    assert grade(found) == "A"
