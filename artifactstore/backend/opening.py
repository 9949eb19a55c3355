"""From a URL to its backend: a path or `file://`, `memory://`, anything else through fsspec.

fsspec is imported only for a URL that needs it.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artifactstore.backend.base import Backend, from_os_error
from artifactstore.backend.local import LocalBackend, make_folders
from artifactstore.backend.memory import MemoryBackend
from artifactstore.errors import ForeignContents, MissingExtra, NoSuchStore, Unsupported

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def open_backend(
    url: str | os.PathLike[str],
    *,
    storage_options: Mapping[str, Any] | None = None,
    make: bool = False,
) -> Backend:
    """Return the backend that `url` names; whether a store lies there is the caller's question.

    Args:
        url: A path (`~` is the home directory), `file://`, `memory://NAME` or any URL that fsspec knows.
        storage_options: What the fsspec file system takes, such as an endpoint; for fsspec only.
        make: Make a local folder that does not exist, with its parents.

    Raises:
        NoSuchStore: A local folder does not exist, and `make` is not set.
        ForeignContents: The path is not a folder.
        MissingExtra: The library for this kind of URL is not installed.
        Unsupported: No library knows this kind of URL.
    """
    text = os.fspath(url)
    scheme = _SCHEME.match(text)
    if "::" in text and "://" in text:
        # A cache in the chain would hide what other writers do, and an archive can't create exclusively.
        raise Unsupported(
            f"{text!r} chains several file systems",
            next_step="name the last of them alone",
            url=text,
        )
    if scheme is None:
        return _open_folder(Path(text).expanduser(), make=make)
    kind, rest = scheme.group(1).lower(), text[scheme.end() :]
    if kind in {"file", "local"}:
        return _open_folder(_path_of_file_url(text, rest), make=make)
    if kind == "memory":
        return MemoryBackend(rest.strip("/"))
    return _open_remote(text, storage_options)


def _open_remote(url: str, storage_options: Mapping[str, Any] | None) -> Backend:
    try:
        from artifactstore.backend.remote import FsspecBackend
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "fsspec":
            raise
        raise MissingExtra(
            "stores outside of folders need fsspec", next_step="pip install 'artifactstore[fsspec]'"
        ) from error
    return FsspecBackend(url, storage_options)


def _path_of_file_url(url: str, rest: str) -> Path:
    """The path of `file:///path`, with `%20` and the like decoded."""
    host, slash, path = rest.partition("/")
    if host not in {"", "localhost"} or not slash:
        raise Unsupported(
            f"{url!r} names a file on another machine", next_step="write file:///absolute/path", url=url
        )
    if "%" in path:
        from urllib.parse import unquote

        path = unquote(path)
    return Path("/" + path)


def _open_folder(path: Path, *, make: bool) -> LocalBackend:
    # Absolute, so that a later change of the working directory doesn't move the store.
    folder = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow symlinks
    try:
        if make:
            make_folders(folder)
        present = folder.is_dir()
        taken = present or folder.exists() or folder.is_symlink()
    except NotADirectoryError:
        present, taken = False, True
    except FileNotFoundError as error:
        raise NoSuchStore(
            f"no folder can be made at {folder}",
            next_step="choose a place where you may make folders",
            url=str(folder),
        ) from error
    except OSError as error:
        raise from_os_error(error, str(folder), "") from error
    if present:
        return LocalBackend(folder)
    if taken:
        raise ForeignContents(f"{folder} is not a folder", url=str(folder))
    raise NoSuchStore(f"there is no folder {folder}", url=str(folder))
