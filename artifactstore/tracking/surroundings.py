"""What surrounds a run: the Git commit of its code, and facts of the machine for whoever asks for them."""

import os
import platform
import re
import subprocess
import sys
from typing import Any, Final

_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)
_GIT_S: Final = 5.0


def git_commit(folder: str | os.PathLike[str] | None = None) -> str | None:
    """The commit that is checked out in a folder; None where there is none, or no Git.

    Args:
        folder: The working directory when None.
    """
    command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, of which only a commit's id is taken
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=_GIT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    said = done.stdout.decode("ascii", "replace").strip()
    return said if done.returncode == 0 and _COMMIT.fullmatch(said) else None


def host_facts() -> dict[str, Any]:
    """Where this process runs: host name, system, Python, processors, process id."""
    return {
        "host": platform.node(),
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "processors": os.cpu_count() or 0,
        "pid": os.getpid(),
    }
