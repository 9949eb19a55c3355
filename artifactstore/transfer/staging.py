"""The folder in which a pull gathers its files, and how they get from there to the destination."""

import os
from collections.abc import Iterable, Sequence
from typing import Final

from blake3 import blake3

from artifactstore.errors import DestinationExists
from artifactstore.format.operations import Manifest
from artifactstore.transfer.target import Target

STAGING_SUFFIX: Final = ".partial"
_STAGED_NAME_BYTES_MAX: Final = 128


def refuse_occupied(destination: str, *, overwrite: bool, staging: str = "") -> bool:
    """Whether a folder is at the destination; an empty one, or one with its own staging folder alone, may be filled.

    Raises:
        DestinationExists: Something is there and `overwrite` is not given, or it is no folder.
    """
    if not os.path.lexists(destination):
        return False
    if not os.path.isdir(destination):
        raise DestinationExists(
            f"{destination!r} exists and is not a folder",
            next_step="choose another destination",
            path=destination,
        )
    with os.scandir(destination) as listing:
        empty = all(os.path.join(destination, entry.name) == staging for entry in listing)
    if not empty and not overwrite:
        raise DestinationExists(f"{destination!r} exists and is not empty", path=destination)
    # A folder that someone else keeps open (the current one, a mount point) can't be replaced by a rename.
    return True


def staging_of(destination: str, manifest: Manifest, globs: Sequence[str], division: str = "") -> str:
    """Where a pull gathers its files: beside the destination, on the same file system.

    Another selection of paths, or another part, is another pull: what one leaves half written, the other must not
    publish.
    """
    parent, name = os.path.split(destination)
    if len(os.fsencode(name)) > _STAGED_NAME_BYTES_MAX:
        name = blake3(os.fsencode(name)).hexdigest()[:32]
    key = manifest.digest.hex()[:16]
    if globs:
        key += "-" + blake3(os.fsencode("\0".join(sorted(set(globs))))).hexdigest()[:8]
    key += division
    if os.path.isdir(destination) and not _renames_into(parent, destination):
        parent = destination
    return os.path.join(parent, f".{name}.{key}{STAGING_SUFFIX}")


def _renames_into(parent: str, destination: str) -> bool:
    """Whether what is made in `parent` can be moved into `destination`: not into a mount point, say."""
    return os.access(parent, os.W_OK) and os.stat(parent).st_dev == os.stat(destination).st_dev


def made(staging: str) -> bool:
    """Make the staging folder; False when a pull that was cut has left it."""
    try:
        os.mkdir(staging, 0o700)
    except FileExistsError:
        return False
    return True


def publish(staging: str, destination: str) -> None:
    """Give the staging folder the destination's name, and the mode that a new folder has."""
    umask = os.umask(0o077)
    os.umask(umask)
    os.chmod(staging, 0o777 & ~umask)
    os.rename(staging, destination)


def move_into(existing: Target, staging: Target, moved: Iterable[tuple[str, bool]]) -> None:
    """Move what was gathered, as (path, whether it is an empty folder), over what is at the destination."""
    for path, is_folder in moved:
        if is_folder:
            existing.make_folder(path)
        else:
            existing.move_from(staging, path)
