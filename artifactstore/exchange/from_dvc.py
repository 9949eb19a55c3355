"""Importing what DVC keeps: the outputs of `.dvc` files and of `dvc.lock`, from DVC's cache, each held against its MD5.

One output that is a folder becomes the version's root, one that is a file keeps its name, and several keep their paths.
"""

import hashlib
from collections.abc import Iterator, Sequence
from configparser import ConfigParser, Error
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

import msgspec

from artifactstore.exchange.incoming import Budget, Incoming, broken, checked_path
from artifactstore.exchange.source_streams import Hasher, hashed_file
from artifactstore.exchange.yaml_files import read_yaml
from artifactstore.format.page import Kind
from artifactstore.transfer.scan import Found, Given, Program, Sources

_FOLDER: Final = ".dir"
_LISTING_BYTES_MAX: Final = 1 << 30
_MD5_CHARACTERS: Final = 32


class _Output(NamedTuple):
    """One output: where it goes, what it is, where it would lie in the workspace."""

    path: str
    md5: str
    executable: bool
    legacy: bool
    workspace: Path


class _Listed(msgspec.Struct):
    """One file of a folder, as DVC's listing has it."""

    md5: str
    relpath: str
    isexec: bool = False


def is_dvc(path: Path) -> bool:
    """Whether a path looks like a `.dvc` file, a `dvc.lock`, or a project of DVC."""
    if path.is_file():
        return path.suffix == ".dvc" or path.name == "dvc.lock"
    return (path / ".dvc").is_dir() or (path / "dvc.lock").is_file()


def outputs_of(path: Path, size_max: int | None) -> list[Incoming]:
    """The outputs of a `.dvc` file, of a `dvc.lock`, or of all of them in a project, as one version.

    Raises:
        BrokenSource: A file of the cache is missing, or is not what its MD5 says; or there is no output.
        MissingExtra: PyYAML is not installed.
    """
    files = [path] if path.is_file() else _files_of(path)
    root = path.parent if path.is_file() else path
    where = f"DVC's {path.name}"
    found = [output for file in files for output in _outputs(file, root)]
    if not found:
        raise broken(where, "it has no output", path=str(path))
    caches = _caches(root)
    alone = len(found) == 1
    revision = {output.path: output.md5 for output in found}
    program = Program(partial(_entries, found, caches, where, size_max, alone=alone), ordered=False)
    return [Incoming(Sources(program=program), {"dvc": {"outs": revision}}, where)]


def _files_of(project: Path) -> list[Path]:
    found = [
        file
        for file in sorted(project.rglob("*"))
        if (file.suffix == ".dvc" or file.name == "dvc.lock")
        and file.is_file()
        and ".dvc" not in file.relative_to(project).parts[:-1]
    ]
    if not found:
        raise broken(str(project), "it has neither a .dvc file nor a dvc.lock")
    return found


def _outputs(file: Path, root: Path) -> Iterator[_Output]:
    said = read_yaml(file)
    stages: Sequence[Any] = list((said.get("stages") or {}).values()) if file.name == "dvc.lock" else [said]
    folder = file.parent.relative_to(root)
    for stage in stages:
        for out in (stage or {}).get("outs") or []:
            md5, path = out.get("md5"), str(out.get("path", ""))
            if not isinstance(md5, str) or len(md5.removesuffix(_FOLDER)) != _MD5_CHARACTERS:
                raise broken(str(file), f"the output {path!r} has no MD5, so it is not in a cache", path=path)
            place = checked_path(PurePosixPath(folder.as_posix(), path).as_posix(), str(file))
            legacy = out.get("hash") != "md5"
            yield _Output(place, md5, bool(out.get("isexec")), legacy, file.parent / path)


def _caches(root: Path) -> list[Path]:
    """Where the cache may lie: as the configuration says, or `.dvc/cache` of the project."""
    project = next(
        (folder for folder in (root.absolute(), *root.absolute().parents) if (folder / ".dvc").is_dir()), None
    )
    if project is None:
        return []
    caches = [project / ".dvc/cache"]
    for name in ("config", "config.local"):
        config = ConfigParser(interpolation=None)
        try:
            config.read(project / ".dvc" / name, encoding="utf-8")
        except (Error, UnicodeDecodeError) as error:
            raise broken(str(project / ".dvc" / name), error) from error
        if config.has_option("cache", "dir"):
            caches.insert(0, project / ".dvc" / config.get("cache", "dir"))
    return caches


def _entries(
    outputs: Sequence[_Output], caches: Sequence[Path], where: str, size_max: int | None, *, alone: bool
) -> Iterator[Found]:
    budget = Budget(where, size_max)
    for output in outputs:
        if not output.md5.endswith(_FOLDER):
            name = PurePosixPath(output.path).name if alone else output.path
            yield _file(name, output, caches, budget, where)
            continue
        prefix = "" if alone else f"{output.path}/"
        listed = _listing(output, caches, where)
        if not listed and not alone:
            yield Found(output.path, Kind.FOLDER, where, None, given=Given())
        for one in listed:
            inside = checked_path(one.relpath, where)
            part = _Output(prefix + inside, one.md5, one.isexec, output.legacy, output.workspace / inside)
            yield _file(part.path, part, caches, budget, where)


def _listing(output: _Output, caches: Sequence[Path], where: str) -> list[_Listed]:
    said = f"the listing of {output.path!r} in {where}"
    place = _place(output, caches, said, workspace=False)
    digest = output.md5.removesuffix(_FOLDER)
    with hashed_file(place, said, digest, _hashers(output)) as stream:
        data = b"".join(iter(lambda: stream.read(1 << 20), b""))
    if len(data) > _LISTING_BYTES_MAX:
        raise broken(said, "it is too long")
    try:
        return msgspec.json.decode(data, type=list[_Listed])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise broken(said, error) from error


def _file(path: str, output: _Output, caches: Sequence[Path], budget: Budget, where: str) -> Found:
    said = f"{output.path!r} in {where}"
    place = _place(output, caches, said, workspace=True)
    size = place.stat().st_size
    budget.take(size)
    given = Given(size, output.executable, lambda: hashed_file(place, said, output.md5, _hashers(output)))
    return Found(path, Kind.FILE, said, None, given=given)


def _place(output: _Output, caches: Sequence[Path], said: str, *, workspace: bool) -> Path:
    """Where a file lies: in a cache of DVC 3 or before it, or, where it was never cached, in the workspace."""
    first, rest = output.md5[:2], output.md5[2:]
    for cache in caches:
        for folder in (cache / "files/md5", cache):
            if (folder / first / rest).is_file():
                return folder / first / rest
    if workspace and output.workspace.is_file():
        return output.workspace
    raise broken(said, f"{output.md5} is not in DVC's cache; `dvc pull` fetches it", path=output.path)


def _hashers(output: _Output) -> list[Hasher]:
    """Before DVC 3 text was hashed with the line ends of Unix."""
    plain = hashlib.md5(usedforsecurity=False)
    return [plain, _UnixLines()] if output.legacy else [plain]


class _UnixLines:
    """MD5 over bytes in which each CR LF is an LF."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._held = b""

    def update(self, data: bytes, /) -> None:
        """Hash more."""
        data = self._held + data
        self._held = b"\r" if data.endswith(b"\r") else b""
        self._md5.update(data[: len(data) - len(self._held)].replace(b"\r\n", b"\n"))

    def hexdigest(self) -> str:
        """The digest."""
        whole = self._md5.copy()
        whole.update(self._held)
        return whole.hexdigest()
