"""Importing from the cache folder of the Hugging Face hub: a snapshot of a repository, each blob held against its name.

`models--ORG--NAME/snapshots/COMMIT/…` are links into `blobs/`, where a blob is called by its SHA-256, or by the SHA-1
that git gives it; `refs/NAME` says which commit a branch or tag is on.
"""

import hashlib
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from artifactstore.exchange.incoming import Budget, Incoming, broken, checked_path
from artifactstore.exchange.source_streams import Hasher, hashed_file
from artifactstore.format.page import Kind
from artifactstore.transfer.scan import Found, Given, Program, Sources

_REPOSITORY: Final = re.compile(r"(models|datasets|spaces)--([^/]+)")
_KINDS: Final = {"models": "model", "datasets": "dataset", "spaces": "space"}
_COMMIT: Final = re.compile(r"[0-9a-f]{40}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_REF_BYTES_MAX: Final = 4096
DEFAULT_REVISION: Final = "main"


def is_huggingface(folder: Path) -> bool:
    """Whether a folder looks like a repository in the hub's cache."""
    return _REPOSITORY.fullmatch(folder.name) is not None and (folder / "snapshots").is_dir()


def snapshot_of(folder: Path, revision: str | None, size_max: int | None) -> list[Incoming]:
    """One snapshot of a repository.

    Args:
        folder: `models--ORG--NAME`, or with `datasets` or `spaces` in front.
        revision: A commit, or the name of a branch or tag; `main` when None.
        size_max: Bytes that all files together may have.

    Raises:
        BrokenSource: There is no such snapshot, or a blob is missing or not what its name says.
    """
    found = _REPOSITORY.fullmatch(folder.absolute().name)
    if found is None:
        raise broken(str(folder), "it is not called models--ORG--NAME, as the hub's cache calls repositories")
    commit = _commit(folder, revision or DEFAULT_REVISION)
    snapshot = folder / "snapshots" / commit
    if not snapshot.is_dir():
        raise broken(str(folder), f"it has no snapshot of {commit}", path=str(snapshot))
    repository = found[2].replace("--", "/")
    aliases = tuple(name for name in _refs(folder) if "/" not in name and _ref(folder, name) == commit)
    kind = _KINDS[found[1]]
    where = f"{repository} at {commit[:12]}"
    facts = {"repository": repository, "kind": kind, "revision": commit}
    program = Program(partial(_entries, folder, snapshot, where, size_max), ordered=False)
    return [
        Incoming(
            Sources(program=program),
            {"huggingface": facts},
            where,
            type=kind if kind != "space" else None,
            aliases=aliases,
        )
    ]


def _commit(folder: Path, revision: str) -> str:
    return revision if _COMMIT.fullmatch(revision) else _ref(folder, revision)


def _refs(folder: Path) -> list[str]:
    refs = folder / "refs"
    return sorted(path.relative_to(refs).as_posix() for path in refs.rglob("*") if path.is_file())


def _ref(folder: Path, name: str) -> str:
    if name not in _refs(folder):
        raise broken(
            str(folder), f"it has no revision {name!r}; it has {', '.join(_refs(folder)) or 'none by name'}"
        )
    with (folder / "refs" / name).open("rb") as stream:
        commit = stream.read(_REF_BYTES_MAX).decode(errors="replace").strip()
    if not _COMMIT.fullmatch(commit):
        raise broken(str(folder), f"refs/{name} names no commit", path=f"refs/{name}")
    return commit


def _entries(folder: Path, snapshot: Path, where: str, size_max: int | None) -> Iterator[Found]:
    budget = Budget(where, size_max)
    blobs = (folder / "blobs").resolve()
    for path in sorted(snapshot.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        inside = checked_path(path.relative_to(snapshot).as_posix(), where)
        said = f"{inside!r} of {where}"
        blob = path.resolve()
        if path.is_symlink() and blob.parent != blobs:
            raise broken(said, "it is a link that does not lead to a blob", path=inside)
        if not blob.is_file():
            raise broken(said, f"its blob {blob.name} is missing", path=inside)
        stat = blob.stat()
        budget.take(stat.st_size)
        # Where a system has no symlinks the file itself lies there, and nothing says what it must be.
        digest = blob.name if path.is_symlink() else ""
        given = Given(stat.st_size, open=partial(_opened, blob, said, digest, stat.st_size))
        yield Found(inside, Kind.FILE, said, None, given=given)


def _opened(blob: Path, said: str, digest: str, size: int) -> BinaryIO:
    hashers: list[Hasher] = []
    start = b""
    if _SHA256.fullmatch(digest):
        hashers = [hashlib.sha256()]
    elif _COMMIT.fullmatch(digest):
        hashers, start = [hashlib.sha1(usedforsecurity=False)], b"blob %d\0" % size
    return hashed_file(blob, said, digest, hashers, start)
