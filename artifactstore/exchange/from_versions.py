"""Importing a folder of versions: subfolders `v0`, `v1` …, or dated ones, each a version, in their order."""

import re
from pathlib import Path
from typing import Final

from artifactstore.errors import BrokenSource
from artifactstore.exchange.incoming import Incoming
from artifactstore.transfer.scan import Sources

_NUMBERED: Final = re.compile(r"v(0|[1-9][0-9]{0,8})", re.ASCII)
_DATED: Final = re.compile(
    r"[0-9]{4}[-_.]?[0-9]{2}([-_.]?[0-9]{2})?([-_.T]?[0-9]{2}[-_.h]?[0-9]{2}([-_.m]?[0-9]{2})?)?Z?", re.ASCII
)


def has_versions(folder: Path) -> bool:
    """Whether a folder holds nothing but subfolders that are numbered or dated."""
    names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    return bool(names) and _ordered(names) is not None and all((folder / name).is_dir() for name in names)


def versions_of(folder: Path) -> list[Incoming]:
    """The versions in a folder, oldest first; a dated one gets its date as a label.

    Raises:
        BrokenSource: It holds something else.
    """
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    ordered = _ordered(names)
    files = [name for name in names if not (folder / name).is_dir()]
    if not names or ordered is None or files:
        wrong = f"such as {files[0]!r}" if files else f"but {', '.join(names[:3]) or 'nothing'}"
        raise BrokenSource(
            f"{str(folder)!r} does not hold subfolders v0, v1, … or dated ones alone, {wrong}",
            next_step="push the folder as it is, or move away what is no version",
            path=str(folder),
        )
    return [
        Incoming(
            Sources([str(folder / name)]),
            {},
            str(folder / name),
            tags=() if _NUMBERED.fullmatch(name) else (name,),
        )
        for name in ordered
    ]


def _ordered(names: list[str]) -> list[str] | None:
    """Names in the order of their numbers or dates; None where they are neither."""
    if all(_NUMBERED.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: int(name[1:]))
    if all(_DATED.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: re.sub(r"\D", "", name))
    return None
