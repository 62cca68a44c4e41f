"""h2spec (https://github.com/summerwind/h2spec) and what it says.

`./dev test conformance` builds it where Go is available, and tells where in H2SPEC_DIR. It has two programs: h2spec is a client
that tests servers, h2specd a server for each of its cases that tests clients.
"""

import os
import pathlib
import re
import select
import shlex
import socket
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

import pytest

from gateway import free_port

DIRECTORY = pathlib.Path(os.environ.get("H2SPEC_DIR", "/nonexistent"))
HERE = pathlib.Path(__file__).parent

# What there is to pass. Fewer cases would be another suite.
SERVER_CASES, CLIENT_CASES = 146, 57

# How often in a row.
RUNS = int(os.environ.get("H2SPEC_RUNS", 10))

needs_h2spec = pytest.mark.skipif(not (DIRECTORY / "h2spec").exists(),
    reason="h2spec is not there: it needs Go (apt-get install golang-go), then ./dev test conformance builds it")


class Report(dict):
    """By case ("http2/5.1.1/2: what it does"): "passed", "skipped", or what is said of the failure."""

    def failures(self):
        return {case: said for case, said in self.items() if said != "passed"}

    def __str__(self):
        return "\n".join(f"{case}: {said}" for case, said in self.failures().items())


def _junit(text):
    """What a frame held is quoted as it is, controls too, which XML does not allow."""
    report = Report()
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "?", text)
    for suite in xml.etree.ElementTree.fromstring(text).iter("testsuite"):
        for number, case in enumerate(suite.iter("testcase"), 1):
            problem = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
            said = "passed" if problem is None else problem.tag if problem.tag == "skipped" else \
                " ".join("".join(problem.itertext()).split())
            report[f"{case.get('package')}/{number}: {case.get('classname')}"] = said
    return report


class Together:
    """Between h2spec and a server: what h2spec says without waiting for an answer arrives together.

    Many cases are a request and then a mistake on its stream, each written by itself. A server that answers at once may have
    answered, and have closed the stream, before the mistake was written; what then comes for it may be ignored (RFC 9113
    §5.1), but h2spec does not know that. So what it writes is held until all of its threads sleep, which is when it waits.
    """

    def __init__(self, port):
        self.server = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.process = None
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client, socket.create_connection(self.server)), daemon=True).start()

    def _waits(self):
        """Every thread of h2spec sleeps. One that was woken and has not run yet does not."""
        if self.process is None:
            return False
        try:
            tasks = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
            return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "S" for task in tasks)
        except OSError:
            return True

    def _gather(self, client):
        """All that it says until it waits, and whether that was the end."""
        said = b""
        while True:
            waits = self._waits()
            if select.select([client], [], [], 0)[0]:
                piece = client.recv(262144)
                said += piece
                if not piece:
                    return said, True
            elif waits and said:
                return said, False
            else:
                time.sleep(0.0005)

    def _relay(self, client, server):
        with client, server:
            try:
                while True:
                    for ready in select.select([client, server], [], [])[0]:
                        data, at_end = self._gather(client) if ready is client else (server.recv(262144), False)
                        (server if ready is client else client).sendall(data)
                        if at_end or not data:
                            return
            except OSError:
                pass


def run_server_suite(directory, port, path="/", tls=False, sections=(), timeout=2):
    """h2spec in strict mode against a server on 127.0.0.1."""
    junit = directory / "h2spec.xml"
    between = Together(port)
    with subprocess.Popen([DIRECTORY / "h2spec", "--strict", "-h", "127.0.0.1", "-p", str(between.port), "-P", path, "-o",
            str(timeout), "-j", junit, *(["--tls", "--insecure"] if tls else []), *sections], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        between.process = process
        try:
            said, _ = process.communicate(timeout=600)
        finally:
            process.kill()
            between.close()
    assert junit.exists(), said.decode()
    return _junit(junit.read_text())


HEADING = re.compile(r"^\s*(\d+(?:\.\d+)*)\. ")
CASE = re.compile(r"^\s*([✔×]?)\s*(\d+): (.*)$")


def _text(text):
    """h2specd writes no JUnit. Headings and cases stand on lines of their own; behind "Failures:" they are repeated."""
    report, section, said = Report(), "", None
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "", text)
    for line in text.partition("Failures:")[0].splitlines():
        heading, case = HEADING.match(line), CASE.match(line)
        if case:
            said = f"client/{section}/{case[2]}: {case[3]}"
            report[said] = {"✔": "passed", "×": "", "": "skipped"}[case[1]]
        elif heading:
            section, said = heading[1], None
        elif said and line.strip() and report[said] not in ("passed", "skipped"):
            report[said] += " " + line.strip()
    return report


def first_port(count):
    """The first of `count` ports in a row that are free."""
    while True:
        ports = [free_port() for _ in range(count)]
        if ports == list(range(ports[0], ports[0] + count)):
            return ports[0]


def run_client_suite(port, command, certificate=None):
    """h2specd: listens on CLIENT_CASES ports from `port` on, one for each case, and runs `command` with the URL of each, which
    is to have the client under test send a request there, and ends within three seconds. Stops at the first that is never
    asked."""
    process = subprocess.run([DIRECTORY / "h2specd", "--strict", "-f", str(port), "-e", " ".join(map(str, command)),
        *(["--tls", "-c", certificate.cert, "-k", certificate.key] if certificate else [])], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False)
    return _text(process.stdout.decode("utf-8", "replace"))


def main():
    """Tests any server: python3 h2spec.py PORT [PATH]"""
    report = run_server_suite(pathlib.Path("/tmp"), int(sys.argv[1]), *sys.argv[2:3])
    print(report)
    print(f"{len(report)} cases, {len(report.failures())} not passed ({shlex.join(sys.argv)})")


if __name__ == "__main__":
    main()
