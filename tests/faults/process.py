"""A command in a process of its own, which waits for its starting signal and may be killed at any moment.

Run as a program it imports everything, shrinks what decides how often the store is written to, says that it is ready
on standard output, and runs the command line once standard input ends.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READY = b"ready\n"
PACK_BYTES = 64 << 10
PENDING_BYTES = 256 << 10
TAIL_BYTES_MIN = 8 << 10


class Command:
    """One command line, ready to start at once.

    Args:
        words: What follows the program's name.
    """

    def __init__(self, *words: str) -> None:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", __file__, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def wait_until_ready(self) -> None:
        """Return when everything is imported."""
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said == READY, (said, self.process.communicate())

    def start(self) -> None:
        """Give the starting signal."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None

    def finish(self) -> int:
        """Wait for its end; return its exit code, or minus the signal that ended it."""
        _, errors = self.process.communicate()
        assert self.process.returncode in {0, -9}, errors.decode()
        return self.process.returncode


def run(words: list[str]) -> int:
    """What the child does."""
    import artifactstore.cli.main
    import artifactstore.cli.session
    import artifactstore.cli.sources
    import artifactstore.cli.transfer_commands
    from artifactstore.catalog import state
    from artifactstore.content import put
    from artifactstore.transfer import push

    put.PACK_BYTES_TARGET = PACK_BYTES  # type: ignore[misc]
    push.PENDING_BYTES = PENDING_BYTES  # type: ignore[misc]
    push.BATCH_BYTES = PACK_BYTES  # type: ignore[misc,attr-defined]
    state._TAIL_BYTES_MIN = TAIL_BYTES_MIN  # type: ignore[misc]
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    sys.stdin.buffer.read()
    return artifactstore.cli.main.main(words)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
