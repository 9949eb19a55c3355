"""What a doctor looks at: this machine, the key file, the backend, the clock, the index, and space on disks.

Nothing is changed, unless the backend's promise is to be tested, which leaves nothing behind. A check that fails is
one line of the result and no error: the others are made all the same.
"""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec

from artifactstore.backend.base import Backend, ObjectInfo
from artifactstore.backend.probe import PROBE_PREFIX, probe
from artifactstore.client.caching import cache_info
from artifactstore.client.opened import MakeExecutors
from artifactstore.client.opening import Access, access_to, backend_of, identity_of
from artifactstore.clock import Clock, Randomness, SystemClock, SystemRandomness
from artifactstore.errors import (
    ArtifactStoreError,
    KeyMissing,
    PermissionRefused,
    Unsupported,
)
from artifactstore.executors import threads
from artifactstore.format.record import slot_name
from artifactstore.keyring.keyfile import load_key_file
from artifactstore.store.store import Store

OK: Final = "ok"
WARNING: Final = "warning"
PROBLEM: Final = "problem"

_LIBRARIES: Final = (
    "blake3", "click", "cryptography", "lmdb", "msgspec", "pathspec", "platformdirs", "pyfastcdc", "rich", "zstandard",
)  # fmt: skip
_OPTIONAL: Final = {"fsspec": "fsspec", "s3fs": "s3", "gcsfs": "gcs", "adlfs": "azure"}
_PYTHON_NEWEST: Final = (3, 14)
_LATENCY_ASKED: Final = 5
_SLOW_S: Final = 1.0
_SPACE_WARNING_BYTES: Final = 1 << 30
_SPACE_PROBLEM_BYTES: Final = 64 << 20
_SKEW_WARNING_S: Final = 60
_SKEW_PROBLEM_S: Final = 3600
_NS: Final = 10**9
_RECORD_BYTES: Final = 1


class Finding(msgspec.Struct, frozen=True):
    """What the doctor says of one thing.

    Attributes:
        subject: What was looked at: `python`, `libraries`, `extras`, `key-file`, `backend`, `permissions`, `promise`,
            `clock`, `unlocking`, `backup`, `index`, `space`.
        verdict: `ok`, `warning` or `problem`.
        message: What was found, in a sentence.
        next_step: What to do about it; empty where nothing is to be done.
        facts: The same by name, for programs.
    """

    subject: str
    verdict: str
    message: str
    next_step: str = ""
    facts: Mapping[str, object] = {}


def diagnose(
    url: str | os.PathLike[str],
    *,
    key_file: Path | None = None,
    password_command: str | None = None,
    store_id: str | None = None,
    cache_dir: Path | None = None,
    storage_options: Mapping[str, Any] | None = None,
    single_writer: bool = False,
    probe_backend: bool = False,
    clock: Clock | None = None,
    randomness: Randomness | None = None,
    make_executors: MakeExecutors = threads,
) -> list[Finding]:
    """Look at all that a store needs from this machine, and at the store from here.

    Args:
        url: Where the store lies.
        key_file: As for `Store.open`.
        password_command: As for `Store.open`.
        store_id: As for `Store.open`.
        cache_dir: As for `Store.open`.
        storage_options: As for `Store.open`.
        single_writer: As for `Store.open`.
        probe_backend: Test that the backend creates exclusively, and its clock: objects are made and deleted.
        clock: As for `Store.open`.
        randomness: As for `Store.open`.
        make_executors: As for `Store.open`.

    Raises:
        UsageError: The request itself makes no sense.
    """
    clock, randomness = clock or SystemClock(), randomness or SystemRandomness()
    access = access_to(
        url,
        key_file=key_file,
        password_command=password_command,
        cache_dir=cache_dir,
        storage_options=storage_options,
        single_writer=single_writer,
    )
    doctor = _Doctor(access, clock, randomness, make_executors, probe_backend=probe_backend)
    found = [*_of_the_machine(), *_of_the_key_file(access)]
    found += doctor.backend()

    def opened() -> Store:
        return Store.open(
            access.url,
            key_file=access.ways.key_file if access.ways.key_file_named else None,
            password_command=password_command,
            store_id=store_id,
            cache_dir=access.cache_dir,
            storage_options=access.storage_options,
            single_writer=single_writer,
            clock=clock,
            randomness=randomness,
            make_executors=make_executors,
        )

    found += doctor.store(opened)
    return [*found, *_of_space(access)]


class _Doctor:
    """Looks at one store."""

    def __init__(
        self,
        access: Access,
        clock: Clock,
        randomness: Randomness,
        make_executors: MakeExecutors,
        *,
        probe_backend: bool,
    ) -> None:
        self._access = access
        self._clock = clock
        self._randomness = randomness
        self._make_executors = make_executors
        self._probes = probe_backend
        self._reached = False

    def backend(self) -> Iterator[Finding]:
        """Whether it can be reached, how fast it answers, what it allows, what time it is there."""
        try:
            backend = backend_of(self._access, self._clock, self._randomness, make=False)
        except ArtifactStoreError as error:
            yield _failed("backend", error)
            return
        try:
            yield from self._of_backend(backend)
        finally:
            backend.close()

    def _of_backend(self, backend: Backend) -> Iterator[Finding]:
        try:
            found, _, _ = identity_of(backend)
            took = [self._timed(backend) for _ in range(_LATENCY_ASKED)]
        except ArtifactStoreError as error:
            yield _failed("backend", error)
            return
        self._reached = True
        latency = median(took)
        yield Finding(
            "backend",
            WARNING if latency > _SLOW_S else OK,
            f"{backend.url} answers in {latency * 1000:.2f} ms, and holds the store {found.hex()[:12]}…",
            "a store that is far away is slow: look at the network, or use one that is nearer"
            if latency > _SLOW_S
            else "",
            {"url": backend.url, "store": found.hex(), "latency_ms": round(latency * 1000, 3)},
        )
        newest = None
        try:
            newest = max(backend.list("log/"), key=lambda info: info.name, default=None)
            yield Finding("permissions", OK, "objects may be read and listed")
        except PermissionRefused as error:
            yield Finding(
                "permissions",
                WARNING,
                f"objects may be read, and not listed: {error.message}",
                "allow listing for whoever checks or collects garbage; pushing and pulling go on without",
            )
        except ArtifactStoreError as error:
            yield _failed("permissions", error)
        yield from self._promise(backend)
        yield from self._time(backend, newest)

    def _timed(self, backend: Backend) -> float:
        started = self._clock.monotonic_s()
        backend.get_range(slot_name(0), 0, _RECORD_BYTES)
        return self._clock.monotonic_s() - started

    def _promise(self, backend: Backend) -> Iterator[Finding]:
        if self._access.single_writer:
            yield Finding(
                "promise",
                WARNING,
                "single-writer mode: nothing keeps two writers apart",
                "see that only one writes",
            )
            return
        if not self._probes:
            return
        try:
            with self._make_executors() as executors:
                probe(backend, self._randomness, executors)
        except ArtifactStoreError as error:
            yield _failed("promise", error)
        else:
            yield Finding("promise", OK, "objects may be written, and of two writers of one name one wins")

    def _time(self, backend: Backend, newest: ObjectInfo | None) -> Iterator[Finding]:
        """This machine's clock against the backend's: exactly where it may be written to, else by the newest record."""
        seen = newest
        if self._probes:
            name = PROBE_PREFIX + self._randomness.token(16).hex()
            try:
                backend.put(name, b"clock")
                seen = next((info for info in backend.list(name) if info.name == name), None)
                backend.delete(name)
            except ArtifactStoreError as error:
                yield _failed("clock", error)
                return
        if seen is None or not seen.modified_ns:
            yield Finding("clock", OK, "the backend says no times to hold this machine's clock against")
            return
        ahead_s = (self._clock.now_ns() - seen.modified_ns) / _NS
        # An old record says only that the clock is not behind it.
        off_s = abs(ahead_s) if self._probes else max(0.0, -ahead_s)
        verdict = OK if off_s < _SKEW_WARNING_S else WARNING if off_s < _SKEW_PROBLEM_S else PROBLEM
        what = (
            f"this machine's clock is {abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} the backend's"
            if self._probes or off_s
            else "this machine's clock is not behind the newest record; --probe compares it with the backend's"
        )
        yield Finding(
            "clock",
            verdict,
            what,
            ""
            if verdict == OK
            else "set this machine's clock: gc judges ages by it, and refuses more than an hour",
            {"off_seconds": round(off_s, 3)},
        )

    def store(self, opened: Callable[[], Store]) -> Iterator[Finding]:
        """Whether the store can be unlocked and followed, and what this client's index of it is like."""
        if not self._reached:
            return
        try:
            store = opened()
        except ArtifactStoreError as error:
            yield _failed("unlocking", error)
            return
        with store:
            try:
                records = store.refresh().next_slot
            except ArtifactStoreError as error:
                yield _failed("unlocking", error)
                return
            yield Finding(
                "unlocking",
                OK,
                f"the store is unlocked; its log has {records:,} records",
                facts={"records": records},
            )
            yield from self._backup(store)
            yield from self._index(store)

    def _backup(self, store: Store) -> Iterator[Finding]:
        """Whether the store can be opened without this machine's key file."""
        others = [slot for slot in store.members.slots() if not slot.read_only]
        if len(others) > 1:
            yield Finding("backup", OK, f"{len(others)} keys unlock the store", facts={"slots": len(others)})
            return
        yield Finding(
            "backup",
            WARNING,
            "one key alone unlocks the store: whoever loses it, and every copy, has lost the store",
            "artifactstore key backup DEST, or artifactstore key add --recovery for a phrase on paper",
            {"slots": len(others)},
        )

    def _index(self, store: Store) -> Iterator[Finding]:
        info = store.index_info()
        facts = {
            "path": str(info.path),
            "size_bytes": info.size_bytes,
            "slot": info.slot,
            "stat_rows": info.stat_rows,
        }
        said = "; ".join(notice for notice in store.notices if "index" in notice)
        yield Finding(
            "index",
            WARNING if said else OK,
            said or f"the index in {info.path} is whole and has followed the log to record {info.slot}",
            "artifactstore index rebuild, if it is said again" if said else "",
            facts,
        )
        left = [
            each
            for each in cache_info(self._access.cache_dir).indexes
            if each.store_id == store.id and each.path != info.path and not each.in_use
        ]
        if left:
            yield Finding(
                "index",
                WARNING,
                f"{len(left)} indexes of earlier generations of the store take"
                f" {sum(each.size_bytes for each in left):,} bytes",
                "artifactstore cache clean",
                {"left": [str(each.path) for each in left]},
            )


def _of_the_machine() -> Iterator[Finding]:
    running = sys.version_info[:3]
    name = ".".join(map(str, running))
    yield Finding(
        "python",
        OK if running[:2] <= _PYTHON_NEWEST else WARNING,
        f"Python {name} on {sys.platform}",
        "" if running[:2] <= _PYTHON_NEWEST else "this release is tested with Python 3.11 to 3.14",
        {"python": name, "platform": sys.platform},
    )
    libraries = {name: _release(name) for name in _LIBRARIES}
    missing = [name for name, release in libraries.items() if release is None]
    try:
        from artifactstore.chunking import Chunker  # noqa: PLC0415 - what is missing is to be said, not raised

        Chunker(0)
    except (ImportError, Unsupported) as error:
        yield Finding(
            "libraries",
            PROBLEM,
            f"pyfastcdc can't be used: {error}",
            "pip install --force-reinstall pyfastcdc",
        )
    yield Finding(
        "libraries",
        PROBLEM if missing else OK,
        f"not installed: {', '.join(missing)}"
        if missing
        else f"artifactstore {_release('artifactstore')}, and what it needs",
        "pip install artifactstore" if missing else "",
        {"artifactstore": _release("artifactstore"), **libraries},
    )
    extras = {name: _release(name) for name in _OPTIONAL}
    there = [f"{name} {release}" for name, release in extras.items() if release]
    yield Finding(
        "extras",
        OK,
        f"for object stores: {', '.join(there) or 'nothing is installed; folders need nothing'}",
        facts={**extras},
    )


def _of_the_key_file(access: Access) -> Iterator[Finding]:
    path = access.ways.key_file
    if access.ways.password_command is not None:
        yield Finding("key-file", OK, "a password command is used instead of a key file")
        return
    try:
        pair = load_key_file(path)
    except KeyMissing as error:
        yield (
            _failed("key-file", error)
            if access.ways.key_file_named
            else Finding(
                "key-file",
                WARNING,
                error.message,
                f"{error.next_step}; a store that has a passphrase asks for it instead",
                {"path": str(path)},
            )
        )
    except ArtifactStoreError as error:
        yield _failed("key-file", error)
    else:
        mode = f"{stat.S_IMODE(path.stat().st_mode):04o}"
        yield Finding(
            "key-file",
            OK,
            f"the key file {path} is whole, and for its owner alone (mode {mode})",
            facts={"path": str(path), "mode": mode, "slot": pair.slot_id.hex()},
        )


def _of_space(access: Access) -> Iterator[Finding]:
    folders = {"the cache": access.cache_dir, "temporary files": Path(tempfile.gettempdir())}
    if "://" not in access.url:
        folders["the store"] = Path(access.url)
    for what, folder in folders.items():
        there = next((each for each in (folder, *folder.parents) if each.exists()), None)
        if there is None:
            continue
        free = shutil.disk_usage(there).free
        verdict = OK if free >= _SPACE_WARNING_BYTES else WARNING if free >= _SPACE_PROBLEM_BYTES else PROBLEM
        yield Finding(
            "space",
            verdict,
            f"{free / 1e9:.1f} GB are free for {what} in {folder}",
            ""
            if verdict == OK
            else "free some space there" + ("" if what != "the cache" else ": artifactstore cache clean"),
            {"path": str(folder), "free_bytes": free},
        )


def _failed(subject: str, error: ArtifactStoreError) -> Finding:
    return Finding(subject, PROBLEM, error.message, error.next_step, {"kind": error.kind, **error.facts})


def _release(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
