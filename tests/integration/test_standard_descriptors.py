"""Started without standard descriptors, nothing of its own gets their numbers: the logs would write into it."""

import os
import pathlib
import socket
import subprocess

import pytest

from gateway import BINARY, configuration, eventually
from raw import TIMEOUT, Wire, get
from test_command_line import file_of


@pytest.mark.parametrize("closed", [[1], [2], [0, 1, 2]], ids=["out", "err", "all"])
def test_closed_standard_descriptors(tmp_path, closed):
    config = configuration(route={"respond": {"body": "own"}})
    port = int(config["listeners"][0]["address"].rpartition(":")[2])
    command = f"exec \"$0\" run -c \"$1\" {' '.join(f'{fd}>&-' for fd in closed)}"
    process = subprocess.Popen(["bash", "-c", command, BINARY, file_of(tmp_path, config)], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: is_listening(port))
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
            client = Wire(sock)
            for _ in range(3):
                assert client.ask(get()).body == b"own"
            client.expect_silence()
        for fd in closed:
            assert os.readlink(pathlib.Path(f"/proc/{process.pid}/fd/{fd}")) == "/dev/null"
    finally:
        process.terminate()
        assert process.wait(TIMEOUT) == 0


def is_listening(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
