"""A client for runs of many at once: one that pushes, pulls and deletes, or one that sweeps without a pause.

Run as a program it takes a `Client` as JSON on standard input, and may be killed at any moment. What it did is in its
journal, a line for each thing that was acknowledged, and one before each that may have happened.
"""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from artifactstore import Store
from artifactstore.errors import ArtifactStoreError, Deleted, NotFoundError, PreconditionFailed

ARTIFACTS = [f"p/{letter}" for letter in "abc"]
# Chunks of one sweep in four come from a few contents that all share.
COMMON = [random.Random(f"common {number}").randbytes(3000) for number in range(6)]


class Client(NamedTuple):
    """What a client is."""

    url: str
    options: dict[str, Any] | None
    folder: str
    name: str
    seed: int
    seconds: float
    sweeps: bool

    @property
    def journal(self) -> Path:
        """Where it notes what it does."""
        return Path(self.folder) / f"{self.name}.journal"


def start(client: Client) -> "subprocess.Popen[bytes]":
    """Start a client in a process of its own."""
    root = Path(__file__).resolve().parents[2]
    with (Path(client.folder) / f"{client.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.sweeping"], stdin=subprocess.PIPE, stderr=log, cwd=root
        )
    assert process.stdin is not None
    process.stdin.write(json.dumps(client._asdict()).encode())
    process.stdin.close()
    return process


def content(key: str) -> dict[str, bytes]:
    """The files of a push, by its key."""
    chance = random.Random(key)
    files = {"own": chance.randbytes(chance.randrange(200, 6000))}
    for number in range(chance.randrange(3)):
        files[f"shared{number}"] = chance.choice(COMMON)
    return files


def main() -> None:
    """Do what standard input says until the time is over."""
    client = Client(**json.load(sys.stdin))
    until_s = time.monotonic() + client.seconds
    folder = Path(client.folder)
    with Store.open(
        client.url,
        key_file=folder / "key",
        cache_dir=folder / f"{client.name}.cache",
        storage_options=client.options,
    ) as store:
        if client.sweeps:
            sweep(store, client, until_s)
        else:
            work(store, client, until_s)


def sweep(store: Store, client: Client, until_s: float) -> None:
    """Sweep without a pause."""
    with client.journal.open("a") as journal:
        while time.monotonic() < until_s:
            try:
                done = store.gc()
            except PreconditionFailed:
                continue  # the other one was faster
            journal.write(json.dumps({"purged": done.purged, "generation": done.generation}) + "\n")
            journal.flush()


def work(store: Store, client: Client, until_s: float) -> None:
    """Push, pull and delete at random; every byte pulled is compared."""
    chance = random.Random(client.seed)
    scratch = Path(client.folder) / f"{client.name}.scratch"
    known: dict[str, str] = {}
    with client.journal.open("a") as journal:

        def note(**what: object) -> None:
            journal.write(json.dumps(what) + "\n")
            journal.flush()

        turn = 0
        while time.monotonic() < until_s:
            turn += 1
            drawn = chance.random()
            if drawn < 0.5 or not known:
                key = f"{client.name} {turn}"
                shutil.rmtree(scratch, ignore_errors=True)
                scratch.mkdir()
                for name, data in content(key).items():
                    (scratch / name).write_bytes(data)
                version = store.push([scratch], chance.choice(ARTIFACTS))
                known[version.qualified_name] = key
                note(pushed=version.qualified_name, key=key)
                continue
            reference = chance.choice(list(known))
            if drawn < 0.7:
                note(deleting=reference)
                try:
                    store.delete([reference], now=True, force=True)
                except (NotFoundError, PreconditionFailed):
                    continue
                note(deleted=reference)
            else:
                out = scratch.with_suffix(".out")
                shutil.rmtree(out, ignore_errors=True)
                try:
                    store.pull(reference, out)
                except Deleted:
                    note(missing=reference)
                    continue
                found = {path.name: path.read_bytes() for path in out.iterdir()}
                assert found == content(known[reference]), reference
                note(pulled=reference)


if __name__ == "__main__":
    try:
        main()
    except ArtifactStoreError as error:
        sys.stderr.write(f"{type(error).__name__}: {error} {error.facts}\n")
        raise
