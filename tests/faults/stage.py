"""Commands on a stage: each runs on one thread in a process of its own, where `strace` fails or kills a system call.

Run as a program it imports everything once and forks a child for each command, so that a case costs no start of an
interpreter and the calls that are counted are the command's own. The child waits at its gate until `strace` holds it.
`strace` counts calls by thread, so with one thread the n-th call of a run is the n-th of every run.
"""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACK_BYTES = 16 << 10
PENDING_BYTES = 48 << 10
TAIL_BYTES_MIN = 2 << 10
# Whatever changes something on a disk; of the calls that open files, those that may make one.
CALLS = (
    "openat",
    *("write", "pwrite64", "writev", "pwritev", "ftruncate", "fallocate"),
    *("fsync", "fdatasync", "msync"),
    *("link", "linkat", "rename", "renameat", "renameat2", "symlink", "symlinkat"),
    *("mkdir", "mkdirat", "unlink", "unlinkat", "rmdir", "chmod", "fchmod", "fchmodat"),
)
KILLED = -9
EXIT_NOT_BEGUN = 99
_PR_SET_PTRACER = 0x59616D61
_ANYONE = -1
_CALL = re.compile(r"(?:\d+ +)?([a-z0-9]+)\(")


class Fault(NamedTuple):
    """What happens at the n-th call of one kind, counted from 1.

    Attributes:
        call: A system call.
        when: Which one.
        error: Its error, or KILL for the end of the process.
    """

    call: str
    when: int
    error: str

    @property
    def expression(self) -> str:
        """What `strace` is told."""
        what = "signal=SIGKILL" if self.error == "KILL" else f"error={self.error}"
        return f"inject={self.call}:{what}:when={self.when}"


class Outcome(NamedTuple):
    """How a command ended.

    Attributes:
        code: Its exit code, or minus the signal that ended it.
        kind: The kind of the error that it told; empty for none.
        said: All that it printed on standard error.
        printed: All that it printed on standard output.
        calls: What it did that changes something: the name of each call, and the how-many-th it was, from 1.
        hit: The call that was failed, as `strace` prints it; empty when there was none.
    """

    code: int
    kind: str
    said: str
    printed: str
    calls: list[tuple[str, int]]
    hit: str


def why_not() -> str:
    """Why no system call can be failed here; empty where one can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(
        ["strace", "-f", "-o", os.devnull, "-e", "inject=mkdir:error=EIO", "true"],
        capture_output=True,
        check=False,
    )
    return "" if done.returncode == 0 else "tracing a process is not permitted here"


class Stage:
    """Where commands run. A context manager.

    Args:
        folder: For what they print, and what `strace` does.
        environment: Their environment, beside this process's.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        folder.mkdir()
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._server = subprocess.Popen(
            [sys.executable, "-W", "error", __file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment, "PYTHONPATH": path},
        )
        assert self._answer() == "ready"

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        for stream in (self._server.stdin, self._server.stdout):
            if stream is not None:
                stream.close()
        self._server.wait()

    @property
    def answers(self) -> int:
        """The descriptor on which the end of a command is said."""
        assert self._server.stdout is not None
        return self._server.stdout.fileno()

    def run(self, *words: str) -> Outcome:
        """Run a command to its end."""
        self.begin(*words)
        return self.finish()

    def begin(self, *words: str) -> int:
        """Start a command; return its process id."""
        self._ask(list(words))
        process = int(self._answer())
        self._ask("go")
        return process

    def finish(self) -> Outcome:
        """Wait for the end of the command that was started."""
        status = int(self._answer())
        said = (self._folder / "stderr").read_text()
        printed = (self._folder / "stdout").read_text()
        return Outcome(os.waitstatus_to_exitcode(status), _kind_in(said), said, printed, [], "")

    def trace(self, *words: str, fault: Fault | None = None) -> Outcome:
        """Run a command while `strace` counts its calls, and fails one."""
        log = self._folder / "trace"
        self._ask(list(words))
        injected = ["-e", fault.expression] if fault else []
        command = ["strace", "-f", "-o", str(log), "-e", f"trace={','.join(CALLS)}", *injected]
        with subprocess.Popen([*command, "-p", self._answer()], stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            assert "attached" in said, said
            self._ask("go")
            outcome = self.finish()
            tracer.stderr.read()
        lines = log.read_text(errors="replace").splitlines()
        calls = _writing_calls(lines)
        hit = next((line for line in lines if "(INJECTED)" in line), "")
        if outcome.code == KILLED:
            hit = next((line for line in reversed(lines) if _CALL.match(line)), "")
        return outcome._replace(calls=calls, hit=hit)

    def _ask(self, what: Any) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(what).encode() + b"\n")
        self._server.stdin.flush()

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().decode().strip()


def _writing_calls(lines: list[str]) -> list[tuple[str, int]]:
    """The calls of a trace that change something, each with its number among those of its name."""
    numbers, calls = Counter[str](), []
    for line in lines:
        found = _CALL.match(line)
        if found:
            numbers[found[1]] += 1
            if found[1] != "openat" or "O_CREAT" in line:
                calls.append((found[1], numbers[found[1]]))
    return calls


def _kind_in(said: str) -> str:
    """The kind of the error in what a command with --json printed on standard error."""
    for line in said.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if "error" in found:
            return str(found["error"]["kind"])
    return ""


def _prepare() -> None:
    """Import what commands need, shrink what decides how often they write, and keep them on one thread."""
    from contextlib import nullcontext

    from artifactstore.catalog import state
    from artifactstore.content import put
    from artifactstore.executors import inline
    from artifactstore.store.store import Store
    from artifactstore.transfer import push

    put.PACK_BYTES_TARGET = PACK_BYTES  # type: ignore[misc]
    push.PENDING_BYTES = PENDING_BYTES  # type: ignore[misc]
    push.BATCH_BYTES = PACK_BYTES  # type: ignore[misc,attr-defined]
    state._TAIL_BYTES_MIN = TAIL_BYTES_MIN  # type: ignore[misc]
    for method in (Store.create, Store.open):
        defaults = method.__func__.__kwdefaults__  # type: ignore[attr-defined]
        defaults["make_executors"] = lambda: nullcontext(inline())


def _serve(folder: Path) -> None:
    """Fork a child for each command that is asked for, and say how it ended."""
    _prepare()
    print("ready", flush=True)
    while line := sys.stdin.buffer.readline():
        words = json.loads(line)
        waiting, opening = os.pipe()
        child = os.fork()
        if not child:
            os.close(opening)
            try:
                _perform(words, folder, waiting)
            finally:
                # What can't even begin must not go on as a second server.
                os._exit(EXIT_NOT_BEGUN)
        os.close(waiting)
        sys.stdin.buffer.readline()
        os.close(opening)
        print(os.waitpid(child, 0)[1], flush=True)


def _perform(words: list[str], folder: Path, gate: int) -> None:
    """In the child: say its process id, wait, run the command line, and end with its exit code."""
    from artifactstore.cli.main import main

    answers = os.dup(1)
    # Where only ancestors may trace a process, it says itself who else may.
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_long(_ANYONE), 0, 0, 0)
    for number, name in ((0, os.devnull), (1, "stdout"), (2, "stderr")):
        file = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.write(answers, b"%d\n" % os.getpid())
    os.close(answers)
    os.read(gate, 1)
    os.close(gate)
    code = main(words)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 1
    os._exit(code)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
