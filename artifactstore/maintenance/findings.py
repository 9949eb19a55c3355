"""What a check finds: problems with whom they concern and what to do, and the facts that a repair is planned from.

Lists of names are bounded and carry their totals, whatever a store holds.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from artifactstore.errors import ArtifactStoreError
from artifactstore.format.pack import PackType

NAMES_SHOWN_MAX: Final = 20


class Names(msgspec.Struct, frozen=True):
    """The first few of some names, and how many there are.

    Attributes:
        shown: The first of them, at most 20.
        total: How many there are.
    """

    shown: tuple[str, ...] = ()
    total: int = 0


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong.

    Attributes:
        kind: The stable kind of the error.
        object: The object or version it is about.
        message: What is wrong, in one sentence.
        part: What the object is to the store: `log`, `tile`, `keys`, `pack`, `index-pack`, `state`, `version`, or
            `index` for this client's own.
        versions: Versions that miss something because of it.
        paths: Paths that they miss, each with its version before it.
        next_step: What to do about it.
    """

    kind: str
    object: str
    message: str
    part: str
    versions: Names = Names()
    paths: Names = Names()
    next_step: str = ""


class Objects(msgspec.Struct, frozen=True):
    """Objects on the backend that no record names.

    Attributes:
        names: Which they are.
        size_bytes: Their bytes.
    """

    names: Names = Names()
    size_bytes: int = 0


class BrokenPack(msgspec.Struct, frozen=True):
    """A registered pack that is missing or not what it was.

    Attributes:
        name: Its SHA-256.
        object: Its name on the backend.
        number: Its number in this client's index.
        type: What its chunks are.
        reason: What is wrong with it, in one sentence.
        lost: Ordinals of the blobs that can't be opened any more; None when none can.
        survivors: Chunks that can still be read from it, and from no other pack that is whole.
        taken_out: Whether a record says already that it is damaged.
        in_use: Whether it holds what newcomers start from: the current state or an index pack.
    """

    name: bytes
    object: str
    number: int
    type: PackType
    reason: str
    lost: frozenset[int] | None
    survivors: int
    taken_out: bool
    in_use: bool

    def gives(self, ordinal: int) -> bool:
        """Whether a blob of it can still be opened."""
        return self.lost is not None and ordinal not in self.lost

    @property
    def part(self) -> str:
        """What it is to the store."""
        return {PackType.INDEX: "index-pack", PackType.STATE: "state"}.get(self.type, "pack")


class Diagnosis(msgspec.Struct, frozen=True):
    """What a repair is planned from.

    Attributes:
        log_is_whole: Whether every record is there and chained; nothing is written to a store where it is not.
        broken: Packs that are missing or not what they were.
        whole_again: Packs that a record calls damaged, and that were read and found whole; with its slot.
        tiles: Tiles of the Merkle tree that are wrong or missing.
    """

    log_is_whole: bool = True
    broken: tuple[BrokenPack, ...] = ()
    whole_again: tuple[tuple[bytes, int], ...] = ()
    tiles: tuple[str, ...] = ()


class CheckReport(msgspec.Struct, frozen=True):
    """What a check found.

    Attributes:
        problems: All that is wrong.
        records: Slots that were verified.
        packs: Packs that were looked at.
        versions: Versions whose manifests were walked.
        versions_hurt: Versions that miss something.
        chunks: References to chunks that were located; with `read_data`, chunks that were opened instead.
        bytes_read: Bytes of packs that were read whole.
        packs_read_before: Packs that an earlier, cut part of this run had read whole.
        packs_out_of_use: Packs that records call damaged.
        orphans: Packs that no record names: left by a push that was cut, or of one that is still running.
        foreign: Other objects that no record names; None where listing the backend is forbidden.
        diagnosis: What a repair is planned from.
    """

    problems: tuple[Problem, ...]
    records: int
    packs: int
    versions: int
    versions_hurt: int
    chunks: int
    bytes_read: int
    packs_read_before: int
    packs_out_of_use: int
    orphans: Objects
    foreign: Objects | None
    diagnosis: Diagnosis

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Some:
    """Names as they are found: the first few are kept, the rest counted; one that comes again at once is no other."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._last = ""
        self._total = 0

    def add(self, name: str) -> None:
        """Count a name."""
        if name == self._last:
            return
        self._last = name
        self._total += 1
        if self._total <= NAMES_SHOWN_MAX:
            self._first.append(name)

    def names(self) -> Names:
        """What was found."""
        return Names(tuple(self._first), self._total)


class Pile:
    """Objects as they are found: names as `Some` keeps them, and their bytes."""

    def __init__(self) -> None:
        self._names = Some()
        self._size_bytes = 0

    def add(self, name: str, size_bytes: int) -> None:
        """Count an object."""
        self._names.add(name)
        self._size_bytes += size_bytes

    def objects(self) -> Objects:
        """What was found."""
        return Objects(self._names.names(), self._size_bytes)


def some(names: Iterable[str]) -> Names:
    """The first few of some distinct names."""
    found = Some()
    for name in names:
        found.add(name)
    return found.names()


def problem_of(error: ArtifactStoreError, subject: str, part: str, **more: Names) -> Problem:
    """The problem that an error tells of.

    Args:
        error: The error.
        subject: The object or version that was looked at, where the error names none.
        part: What that is to the store.
        more: `versions` and `paths`.
    """
    named = str(error.facts.get("object") or subject)
    return Problem(error.kind, named, error.message, part, next_step=error.next_step, **more)
