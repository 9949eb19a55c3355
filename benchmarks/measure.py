"""Run one command and measure it: wall time, CPU seconds, and the peak memory of its process tree.

CPU seconds come from wait4 and include descendants that were waited for. Memory is polled from /proc every
50 ms over the whole tree: resident (sum, and never less than the kernel's own peak of one process) and
anonymous, which is what a process can't give back. The kernel's peak in rusage is not used: it starts at the
size of the process that forked.
"""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

POLL_S = 0.05
_READ_BYTES = 1 << 20


class Measurement(NamedTuple):
    """What one command cost."""

    wall_s: float
    cpu_s: float
    rss_bytes: int
    anonymous_bytes: int
    returncode: int


def measure(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: Path, poll_s: float = POLL_S
) -> Measurement:
    """Sync the disks, run the command to its end and return what it cost; its output goes to `log`."""
    os.sync()
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        sampler = _MemorySampler(process.pid, poll_s)
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)  # so that Popen does not wait again
        sampler.stop()
    cpu_s = usage.ru_utime + usage.ru_stime
    return Measurement(wall_s, cpu_s, sampler.rss_bytes, sampler.anonymous_bytes, process.returncode)


class _MemorySampler(threading.Thread):
    """Polls the memory of a process and its descendants until stopped."""

    def __init__(self, pid: int, poll_s: float) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._poll_s = poll_s
        self._done = threading.Event()
        self.rss_bytes = 0
        self.anonymous_bytes = 0

    def run(self) -> None:
        while not self._done.is_set():
            self._sample()
            self._done.wait(self._poll_s)

    def stop(self) -> None:
        self._done.set()
        self.join()

    def _sample(self) -> None:
        statuses = [_status(pid) for pid in _tree(self._pid)]
        rss = sum(status.get("VmRSS", 0) for status in statuses)
        peak = max((status.get("VmHWM", 0) for status in statuses), default=0)
        self.rss_bytes = max(self.rss_bytes, rss, peak)
        anonymous = sum(status.get("RssAnon", 0) for status in statuses)
        self.anonymous_bytes = max(self.anonymous_bytes, anonymous)


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for parent in pids:  # grows while it is walked
        # A process or thread may end at any moment between these lines.
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):  # noqa: PTH208  # every 50 ms: keep it cheap
                children = Path(f"/proc/{parent}/task/{thread}/children").read_text()
                pids += map(int, children.split())
    return pids


def _status(pid: int) -> dict[str, int]:
    """Return the memory fields of /proc/PID/status in bytes; empty when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    wanted = (line.split() for line in lines if line.startswith(("VmHWM", "VmRSS", "RssAnon")))
    return {field[0].rstrip(":"): int(field[1]) * 1024 for field in wanted}


def warm(folder: Path) -> None:
    """Read every file below `folder` once, so that the timed step finds it in the page cache."""
    buffer = bytearray(_READ_BYTES)
    for path in walk_files(folder):
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # str paths: 50,000 of them
            while file.readinto(buffer):
                pass


def walk_files(folder: Path | str) -> list[str]:
    """Return the paths of all regular files below `folder`."""
    found: list[str] = []
    folders = [os.fspath(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    found.append(entry.path)
    return found


def stored_bytes(folder: Path) -> int:
    """Return the sum of the lengths of all files below `folder`."""
    return sum(os.stat(path).st_size for path in walk_files(folder))  # noqa: PTH116


def remove(folder: Path) -> None:
    """Delete a folder and all below it; fine when it is not there."""
    shutil.rmtree(folder, ignore_errors=True)


def set_aside(folder: Path, work: Path) -> None:
    """Empty the files below `folder` and move it out of the way, to be deleted by `empty_trash`.

    ext4 does not reuse an inode for up to five minutes after its deletion, and searches past such inodes on
    every creation: after deleting 50,000 files, creating as many took 6 s in place of 0.7 s. So nothing that
    holds many files is deleted while a benchmark runs.
    """
    if not folder.exists():
        return
    for path in walk_files(folder):
        os.truncate(path, 0)
    trash = work / "trash"
    trash.mkdir(exist_ok=True)
    folder.rename(trash / f"{time.time_ns()}")


def empty_trash(work: Path) -> None:
    """Delete what was set aside."""
    remove(work / "trash")
