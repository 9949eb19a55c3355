"""Names for a shell to complete, out of this client's index alone: no key is used, nothing asked of the store."""

import os
from collections.abc import Iterator
from pathlib import Path

from artifactstore.catalog.rows import aliases, artifacts
from artifactstore.client.pins import pinned
from artifactstore.config import load_settings
from artifactstore.ids import LATEST
from artifactstore.index.environment import Environment
from artifactstore.index.places import all_folders, index_folder
from artifactstore.index.tables import TABLES


def known_references(
    url: str | os.PathLike[str] | None, beginning: str, *, cache_dir: Path | None = None
) -> Iterator[str]:
    """Yield references that begin so, as far as this client's index has followed the store.

    Artifacts by name; behind a colon their aliases and versions.

    Args:
        url: Where the store lies; where the configuration says when None.
        beginning: What is typed already.
        cache_dir: Where this client's indexes are.
    """
    settings = load_settings(store=None if url is None else os.fspath(url), cache_dir=cache_dir)
    location = settings.store if "://" in settings.store else str(Path(settings.store).absolute())
    store_id = pinned(settings.cache_dir, location)
    if store_id is None:
        return
    folders = all_folders(index_folder(settings.cache_dir, store_id).path)
    if not folders:
        return
    newest = max(folders, key=lambda folder: int(folder.name.partition("-")[2] or 0))
    with Environment.open(newest, tables=TABLES) as environment, environment.read() as txn:
        head, colon, _ = beginning.partition(":")
        for name, row in artifacts(txn):
            if row.newest is None:  # all its versions are deleted
                continue
            if not colon:
                if str(name).startswith(beginning):
                    yield str(name)
            elif str(name) == head:
                selectors = [LATEST, *(alias for alias, _ in aliases(txn, name)), f"v{row.newest}"]
                yield from (
                    found
                    for each in dict.fromkeys(selectors)
                    if (found := f"{name}:{each}").startswith(beginning)
                )
