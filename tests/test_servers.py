"""The servers of the tests start, are shared, and end with the last process that uses them, however it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import Server, served

ROOT = Path(__file__).resolve().parent.parent
_PATIENCE_S = 30.0

_USER = """
import sys, time
from pathlib import Path
from tests.servers import served
with served("rclone", Path(sys.argv[1])) as server:
    print(server.endpoint, flush=True)
    time.sleep(60)
"""


def answers(server: Server) -> bool:
    place = urlsplit(server.endpoint)
    try:
        socket.create_connection((place.hostname or "", place.port or 0), timeout=5).close()
    except OSError:
        return False
    return True


def assert_ends(server: Server) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while answers(server):
        assert time.monotonic() < deadline, "the server was left running"
        time.sleep(0.05)


def test_a_server_ends_with_its_last_user_killed_or_not(tmp_path: Path) -> None:
    """Two users share one server; it stays for the second, and goes when that one is killed."""
    with served("rclone", tmp_path) as server:
        user = subprocess.Popen(
            [sys.executable, "-c", _USER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert user.stdout is not None
        with user.stdout:
            assert user.stdout.readline().strip() == server.endpoint
    assert answers(server)
    os.kill(user.pid, signal.SIGKILL)
    user.wait()
    assert_ends(server)


def test_a_server_that_ended_is_started_again(tmp_path: Path) -> None:
    """Who comes after the last user gets a server of their own."""
    for _ in range(2):
        with served("rclone", tmp_path) as server:
            assert answers(server)
    assert_ends(server)
