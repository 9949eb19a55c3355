"""A client that pushes, moves aliases, puts labels, deletes, undeletes and pulls at random, for runs of many at once.

Run as a program it takes a `Workload` as JSON on standard input, and may be killed at any moment: what it did is in
its journal. It ends by itself after its operations or at its time, with exit code 0; a wrong byte ends it otherwise.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from artifactstore.clock import SystemClock
from artifactstore.errors import BackendError, PreconditionFailed
from artifactstore.format.keys import KEYS_BYTES_MAX
from artifactstore.format.limits import STORE_ID_BYTES
from artifactstore.ids import LATEST
from artifactstore.keyring.keyfile import load_key_file
from artifactstore.keyring.keyring import Keyring, unlock
from artifactstore.store.store import Store
from artifactstore.testing.history import Recorder, parts_of
from artifactstore.testing.simulation import SeededRandomness

T = TypeVar("T")

ALIASES: Final = ("stable", "candidate", "mine")
SWAPPED_VERSIONS: Final = 8
SWEPT: Final = "swept/one"
_LABELS: Final = ("good", "bad")
_SWEPT_BYTES: Final = 100_000
_NS_PER_S: Final = 1_000_000_000
_OPEN_PAUSE_S: Final = 0.5
# Where the package lies, for an interpreter in which it is not installed.
_ROOT: Final = Path(__file__).resolve().parents[2]
# Of a hundred operations, those below the first number push, below the second move an alias, and so on; the rest pull.
_PUSHES, _MOVES, _MARKS, _DELETIONS, _RETURNS = 45, 60, 66, 71, 75
_EQUAL_PUSHES = 4


class Workload(msgspec.Struct, frozen=True):
    """What a client is to do.

    Attributes:
        url: The store, which exists.
        storage_options: As `Store.open` takes them.
        folder: Where its key file `key` lies; its journal, cache and scratch are made there.
        client: Its name.
        seed: Of its choices.
        artifacts: What it works on.
        operations: After how many it ends.
        until_s: When it ends, by the system's monotonic clock; None for no end.
        epoch_s: How often it goes over to new artifacts, which keeps histories short; None for never.
        size_bytes_max: Of a version's content; most are far smaller.
        skew_s: How far its wall clock is off.
        sweeps: It sweeps without a pause instead, and pushes and deletes for good what nobody else looks at, `SWEPT`;
            the keys of each generation are in the folder before the next begins. One client may do so.
        swaps: Among how many aliases of the first artifact, `alias-0` and so on, it moves one at a time from where it
            has seen it to another of the versions v0 to v7, instead of what clients do as a rule; 0 for that.
        cache: What its cache and scratch are named after, so that a client takes over from one that was killed; its
            own name when empty.
    """

    url: str
    storage_options: dict[str, Any] | None
    folder: str
    client: str
    seed: int
    artifacts: list[str]
    operations: int
    until_s: float | None = None
    epoch_s: float | None = None
    size_bytes_max: int = 4096
    skew_s: int = 0
    cache: str = ""
    swaps: int = 0
    sweeps: bool = False

    @property
    def journal(self) -> Path:
        """Where it notes what it does."""
        return Path(self.folder) / f"{self.client}.journal"

    def place(self, what: str) -> Path:
        """Its cache or its scratch folder."""
        return Path(self.folder) / f"{self.cache or self.client}.{what}"


class SkewedClock(SystemClock):
    """The machine's clock, with wall time that is off by some seconds."""

    def __init__(self, skew_s: int) -> None:
        self._skew_ns = skew_s * _NS_PER_S

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, and the skew."""
        return super().now_ns() + self._skew_ns


def start(workload: Workload) -> "subprocess.Popen[bytes]":
    """Start a client in a process of its own; what goes wrong is written beside its journal, with `.log` at its end."""
    with workload.journal.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - this very module
            [sys.executable, "-W", "error", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(msgspec.json.encode(workload))
    return process


def run(workload: Workload) -> None:
    """Do what a workload says, to its end."""
    store = _opened(workload)
    if store is None:
        return
    if workload.sweeps:
        with store:
            _sweep(workload, store)
        return
    with store:
        recorder = Recorder(store, workload.client, workload.journal, workload.place("scratch"))
        client = _Client(workload, recorder)
        for number in range(workload.operations):
            if _is_over(workload):
                break
            if workload.swaps:
                client.swap(store)
            else:
                client.act(number)
        recorder.close()


def former_keyrings(folder: Path, key_file: Path) -> dict[int, Keyring]:
    """The keys of the generations that a client has swept away, by generation."""
    pair = load_key_file(key_file)
    kept = [path.read_bytes() for path in folder.glob("*.keys")]
    keyrings = [unlock(data[STORE_ID_BYTES:], data[:STORE_ID_BYTES], pair) for data in kept]
    return {keyring.generation: keyring for keyring in keyrings}


def _sweep(workload: Workload, store: Store) -> None:
    """Sweep until time is over; what is purged was pushed for it."""
    scratch = workload.place("scratch")
    scratch.mkdir(exist_ok=True)
    randomness = SeededRandomness(workload.seed)
    while not _is_over(workload):
        try:
            (scratch / "data").write_bytes(randomness.token(_SWEPT_BYTES))
            version = store.push([scratch], SWEPT)
            store.delete([version.qualified_name], now=True)
            keep_keys(Path(workload.folder), store)
            done = store.gc()
        except (BackendError, PreconditionFailed):
            continue
        with workload.journal.with_suffix(".swept").open("a", encoding="utf-8") as journal:
            journal.write(f"{done.generation} {len(done.purged)}\n")


def keep_keys(folder: Path, store: Store) -> None:
    """Put the keys of the generation that is about to end where they outlive it."""
    store.refresh()
    parts = parts_of(store)
    keys = parts.backend.get(parts.keyring.keys_object, limit_bytes=KEYS_BYTES_MAX)
    path = folder / f"{parts.keyring.generation}.keys"
    written = path.with_suffix(".new")
    written.write_bytes(parts.keyring.store_id + keys)
    written.rename(path)


class _Client:
    """Chooses what to do next."""

    def __init__(self, workload: Workload, recorder: Recorder) -> None:
        self._workload = workload
        self._recorder = recorder
        self._randomness = SeededRandomness(workload.seed)
        self._newest: dict[str, int] = {}
        self._pushed: dict[str, tuple[str, int]] = {}

    def act(self, number: int) -> None:
        """Do one thing to one artifact."""
        artifact = self._one_of(self._workload.artifacts)
        if self._workload.epoch_s is not None:
            artifact += f"-{int(time.monotonic() // self._workload.epoch_s)}"
        known = self._newest.get(artifact)
        die = self._below(100)
        if die < _PUSHES or known is None:
            self._push(artifact, number, equal=die < _EQUAL_PUSHES)
        elif die < _MOVES:
            self._recorder.move(artifact, self._below(known + 1), [self._one_of(ALIASES)])
        elif die < _MARKS:
            labels = [self._one_of(_LABELS)]
            put = bool(self._below(2))
            self._recorder.mark(artifact, self._below(known + 1), labels if put else (), labels)
        elif die < _DELETIONS:
            self._recorder.delete(artifact, self._below(known + 1), force=bool(self._below(2)))
        elif die < _RETURNS:
            self._recorder.undelete(artifact, self._below(known + 1))
        else:
            name = self._one_of([LATEST, *ALIASES, f"v{self._below(known + 1)}"])
            found = self._recorder.pull(artifact, name)
            if found is not None:
                self._newest[artifact] = max(known, found.number)

    def swap(self, store: Store) -> None:
        """Move an alias from where it was seen, which it may have left since."""
        artifact = self._workload.artifacts[0]
        alias = f"alias-{self._below(self._workload.swaps)}"
        seen = store.version(f"{artifact}:{alias}").number
        to = (seen + 1 + self._below(SWAPPED_VERSIONS - 1)) % SWAPPED_VERSIONS
        self._recorder.move(artifact, to, [alias], expected=f"v{seen}")

    def _push(self, artifact: str, number: int, *, equal: bool) -> None:
        label, size_bytes = f"{self._workload.client}-{number}", self._size_bytes()
        aliases = [self._one_of(ALIASES)] if self._below(2) else []
        if equal and artifact in self._pushed:
            # What was pushed before, without anything to write if it is still the newest.
            label, size_bytes = self._pushed[artifact]
            aliases = []
        else:
            equal = False
        landed = self._recorder.push(artifact, label, size_bytes, aliases=aliases, tagged=not equal)
        if landed is not None:
            # Only what is in the log with its label can be recognised there without it.
            self._pushed[artifact] = label, size_bytes
            self._newest[artifact] = max(self._newest.get(artifact, 0), landed.number)

    def _size_bytes(self) -> int:
        """Small as a rule, at times up to the most that there may be."""
        most = self._workload.size_bytes_max
        return self._below(most if self._below(20) == 0 else max(1, most // 64))

    def _below(self, stop: int) -> int:
        return int.from_bytes(self._randomness.token(8), "big") % stop

    def _one_of(self, choices: Sequence[T]) -> T:
        return choices[self._below(len(choices))]


def _opened(workload: Workload) -> Store | None:
    """The store, opened as often as it takes; None where time is over before that."""
    while not _is_over(workload):
        try:
            return Store.open(
                workload.url,
                key_file=Path(workload.folder) / "key",
                cache_dir=workload.place("cache"),
                storage_options=workload.storage_options,
                clock=SkewedClock(workload.skew_s),
            )
        except BackendError:
            if workload.until_s is None:
                raise
            time.sleep(_OPEN_PAUSE_S)
    return None


def _is_over(workload: Workload) -> bool:
    return workload.until_s is not None and time.monotonic() >= workload.until_s


if __name__ == "__main__":
    run(msgspec.json.decode(sys.stdin.buffer.read(), type=Workload))
