"""Many archives in a borg repository, made through borg's own modules; `borg create` takes half a second for each.

Run with the interpreter that borg runs on: `python3 benchmarks/borg_history.py REPOSITORY VERSIONS CHUNKS`. Each
archive holds what `large_history.files_of` says, item by item as `borg create` stores it.
"""

import importlib.util
import sys
from datetime import datetime, timedelta
from pathlib import Path

from borg.archive import Archive
from borg.cache import Cache
from borg.helpers import Manifest
from borg.item import Item
from borg.logger import setup_logging
from borg.repository import Repository

_ARCHIVES_PER_COMMIT = 500


def _sources():
    """The module with the files' bytes, by its path: this interpreter has none of the project's libraries."""
    spec = importlib.util.spec_from_file_location(
        "large_history", Path(__file__).with_name("large_history.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(url: str, versions: int, chunks: int) -> None:
    """Make the archives v0, v1 and so on, and commit now and then."""
    setup_logging()
    files_of = _sources().files_of
    with Repository(url, exclusive=True) as repository:
        manifest, key = Manifest.load(repository, (Manifest.Operation.WRITE,))
        with Cache(repository, key, manifest) as cache:
            commits = manifest.write, repository.commit, cache.commit
            manifest.write = cache.commit = lambda *_: None
            repository.commit = lambda **_: None
            for number in range(versions):
                start = datetime.utcnow()
                archive = Archive(repository, key, manifest, f"v{number}", cache=cache, create=True)
                for path, data in files_of(number, chunks):
                    _add(archive, cache, key, path, data)
                archive.save(timestamp=start + timedelta(microseconds=number))
                if number % _ARCHIVES_PER_COMMIT == _ARCHIVES_PER_COMMIT - 1 or number == versions - 1:
                    write, commit, save = commits
                    write()
                    commit(compact=False)
                    save()
                    print(f"borg: {number + 1:,} archives", file=sys.stderr, flush=True)


def _add(archive, cache, key, path: str, data: bytes) -> None:
    item = Item(path=path, mode=0o100644, user="root", group="root", uid=0, gid=0, mtime=0)
    item.chunks = [cache.add_chunk(key.id_hash(data), data, archive.stats, wait=False)]
    item.size = len(data)
    archive.stats.nfiles += 1
    archive.add_item(item)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
