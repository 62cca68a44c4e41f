"""The first thing that a stranger sees."""

from gateway import free_port, run


def test_every_answer_is_right():
    port = free_port()
    ended = run("demo", "--once", "--port", port)
    assert ended.returncode == 0, (ended.stdout, ended.stderr)
    assert f"Weir on http://127.0.0.1:{port}" in ended.stdout
    assert ended.stdout.count("  right ") >= 12 and "wrong" not in ended.stdout
