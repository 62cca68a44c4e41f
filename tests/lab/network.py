"""A network of a stage's own, in which the kernel's limits are the stage's and not the machine's."""

import os
import pathlib
import subprocess

import pytest

from raw import TIMEOUT

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of its own takes root")


class Network:
    """A network namespace with nothing but a loopback of its own, and its own limits (`net.*`)."""

    def __init__(self, **limits):
        script = "ip link set lo up && " + "".join(
            f"echo '{value}' >/proc/sys/{name.replace('.', '/')} && " for name, value in limits.items()) + "echo there && exec cat"
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"there\n", "a network namespace could not be made"
        self.inside = ("nsenter", f"--net=/proc/{self.holder.pid}/ns/net")

    def read(self, name):
        return pathlib.Path(f"/proc/{self.holder.pid}/net/{name}").read_text()

    def overflows(self):
        """Connections that found an accept queue full, so far."""
        names, values = [line.split() for line in self.read("netstat").splitlines() if line.startswith("TcpExt:")]
        return int(values[names.index("ListenOverflows")])

    def ports_to(self, port):
        """Local ports that are bound to a connection to this one, whatever its state."""
        tuples = [line.split()[1:3] for line in self.read("tcp").splitlines()[1:]]
        return len({local for local, remote in tuples if int(remote.rpartition(":")[2], 16) == port})

    def end(self):
        self.holder.stdin.close()
        self.holder.wait(TIMEOUT)
