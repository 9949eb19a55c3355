"""Importing a snapshot of a restic repository, streamed out of it by restic's own program.

The password is restic's own affair: its environment (`RESTIC_PASSWORD_FILE`, `RESTIC_PASSWORD_COMMAND`,
`RESTIC_PASSWORD`) or a command that is handed on to it; it is never asked for here, and never an argument.
"""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from tempfile import TemporaryFile
from typing import IO, BinaryIO, Final, cast

import msgspec

from artifactstore.errors import BrokenSource, Unsupported
from artifactstore.exchange.incoming import Budget, Incoming, broken
from artifactstore.exchange.tar_reader import TarSource
from artifactstore.transfer.scan import Found, Program, Sources

PROGRAM: Final = "restic"
_ANSWER_BYTES_MAX: Final = 64 << 20
_SAID_BYTES_MAX: Final = 2000


class _Snapshot(msgspec.Struct):
    """What restic says of a snapshot."""

    id: str
    time: str
    paths: list[str]
    tags: list[str] | None = None


def snapshot_of(
    repository: str, snapshot: str | None, password_command: str | None, size_max: int | None
) -> list[Incoming]:
    """A snapshot; the folder or file that it is of becomes the version's root, several keep their paths.

    Args:
        repository: As restic's `--repo` takes it.
        snapshot: Its id; `latest` when None.
        password_command: As restic's `--password-command` takes it; None for what its environment says.
        size_max: Bytes that all files together may have.

    Raises:
        Unsupported: restic is not installed.
        BrokenSource: restic found no such snapshot, or could not open the repository; it says why.
    """
    if shutil.which(PROGRAM) is None:
        raise Unsupported(
            "importing from a restic repository needs restic, and it is not installed",
            next_step="install it, for example: apt install restic",
        )
    words = [PROGRAM, "--repo", repository, "--no-lock", "--quiet"]
    if password_command is not None:
        words += ["--password-command", password_command]
    found = _snapshot(words, snapshot or "latest")
    where = f"restic's snapshot {found.id[:8]}"
    facts = {"snapshot": found.id, "time": found.time, "paths": found.paths, "tags": found.tags or []}
    prefix = found.paths[0] if len(found.paths) == 1 else ""
    program = Program(partial(_entries, words, found.id, prefix, where, size_max), ordered=False)
    return [Incoming(Sources(program=program), {"restic": facts}, where)]


def _snapshot(words: Sequence[str], snapshot: str) -> _Snapshot:
    with TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - no shell, and restic alone
            [*words, "snapshots", "--json", snapshot],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        with process:
            assert process.stdout is not None
            answer = process.stdout.read(_ANSWER_BYTES_MAX)
        if process.returncode:
            raise _failed(said, process.returncode)
    try:
        found = msgspec.json.decode(answer, type=list[_Snapshot])
    except msgspec.MsgspecError as error:
        raise broken("restic's answer", error) from error
    if len(found) != 1:
        raise BrokenSource(
            f"restic knows {len(found)} snapshots by {snapshot!r}",
            next_step="name one by its id, as `restic snapshots` lists them",
            snapshot=snapshot,
        )
    return found[0]


def _entries(
    words: Sequence[str], snapshot: str, prefix: str, where: str, size_max: int | None
) -> Iterator[Found]:
    with TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - no shell, and restic alone
            [*words, "dump", "--archive", "tar", snapshot, "/"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        )

        def at_end() -> None:
            if process.wait():
                raise _failed(said, process.returncode)

        source = TarSource(
            cast("BinaryIO", process.stdout), where, Budget(where, size_max), prefix=prefix, at_end=at_end
        )
        try:
            source.begin(sidecar=False)
            yield from source.entries()
        except BrokenSource:
            # What restic says of it is nearer to the cause than where its output was cut.
            if process.poll():
                raise _failed(said, process.returncode) from None
            raise
        finally:
            source.close()
            process.kill()
            process.wait()


def _failed(said: IO[bytes], code: int) -> BrokenSource:
    said.seek(0)
    words = said.read(_SAID_BYTES_MAX).decode(errors="replace").strip() or f"exit code {code}"
    return BrokenSource(
        f"restic failed: {words}",
        next_step="see that `restic snapshots` works with the same repository and environment",
        exit_code=code,
    )
