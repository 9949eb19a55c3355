"""Completion in real shells: each is started on a terminal, a line is typed, and TAB completes it."""

import os
import pty
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artifactstore.clock import SystemClock
from tests.cli.conftest import Run

PATIENCE_S = 20.0
SHELLS = {
    "bash": (["bash", "--norc", "-i"], 'eval "$(artifactstore completion bash)"'),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -U compinit; compinit -u -D; eval "$(artifactstore completion zsh)"',
    ),
    "fish": (["fish", "--no-config", "-i"], "artifactstore completion fish | source"),
}
# A shell that reads from a terminal which is not its own ends.
TAKES_THE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A shell on a terminal of its own, with the completion sourced."""

    def __init__(self, shell: str, home: Path) -> None:
        words, source = SHELLS[shell]
        self._master, slave = pty.openpty()
        self.seen = b""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._shell = subprocess.Popen(
            [sys.executable, "-c", TAKES_THE_TERMINAL, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=home,
            # fish leaves a pipe where files of a session go.
            env={
                **os.environ,
                "PATH": path,
                "TERM": "xterm",
                "PS1": "$ ",
                "TMPDIR": str(home),
                "XDG_RUNTIME_DIR": str(home),
            },
            start_new_session=True,
        )
        os.close(slave)
        # What is echoed is not what it prints.
        self.types(f"{source}; echo sour''ced\n", until=b"sourced\r")

    def types(self, keys: str, *, until: bytes) -> None:
        """Type, and wait for what the shell shows then.

        Raises:
            AssertionError: It did not show it.
        """
        clock = SystemClock()
        self.seen = b""
        os.write(self._master, keys.encode())
        end = clock.monotonic_s() + PATIENCE_S
        while until not in self.seen:
            left = end - clock.monotonic_s()
            ready, _, _ = select.select([self._master], [], [], max(left, 0))
            assert ready, (until, self.seen)
            self.seen += os.read(self._master, 65536)

    def close(self) -> None:
        """End the shell."""
        self._shell.kill()
        self._shell.wait()
        os.close(self._master)


@pytest.fixture
def terminal(run: Run, home: Path) -> Iterator[Callable[[str], Terminal]]:
    """Opens shells, in a home with a store that is known."""
    opened: list[Terminal] = []

    def opener(shell: str) -> Terminal:
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not installed here")
        opened.append(Terminal(shell, home))
        return opened[-1]

    assert run("push", "data", "team/corpus", "-q", "--alias", "production").code == 0
    yield opener
    for each in opened:
        each.close()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_line_is_completed(terminal: Callable[[str], Terminal], shell: str) -> None:
    """Commands, options, files, references and what stands behind their colon; a line that means nothing stays."""
    shown = terminal(shell)
    for typed, completed in (
        ("distributed ab", b"abandon"),
        ("show --js", b"--json"),
        ("push dat", b"data"),
        ("show te", b"team/corpus"),
        ("show team/corpus:p", b"team/corpus:production"),
    ):
        shown.types(f"artifactstore {typed}\t", until=completed)
        shown.types("\x15", until=b"")
    shown.types("artifactstore nothing \t\x15echo st''ill here\n", until=b"still here")
    assert b"there is no command" not in shown.seen
