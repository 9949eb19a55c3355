"""How much of a file is made of chunks that another one doesn't have, by their chunk lists and without their data.

A part of a list that both files have is not read, so the cost follows what differs. What is new is therefore at most
what is told: a chunk that moved to a changed place of the file from one whose list is the same on both sides counts.
Lists are read many together, those of several files too. Memory is bounded (invariant 18): of lists that are very long
a share of the chunks is looked at, always the same for the same chunks.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from artifactstore.format.cids import split_cids
from artifactstore.format.limits import LIST_DEPTH_MAX
from artifactstore.format.pack import PackType
from artifactstore.format.page import Content, decode_list
from artifactstore.manifest.read import Getter

_TOGETHER_MAX: Final = 64
# Lists of data chunks that are compared in one go, of as many files as have no more.
_LISTS_TOGETHER: Final = 128
# Some terabytes of a file; of a larger one that differs all over, all is taken for new.
_LISTS_MAX: Final = 1 << 16
# Chunks that are remembered of a file; of more a share is looked at.
_CHUNKS_MAX: Final = 1 << 18


class Fresh(NamedTuple):
    """What one file has and another one doesn't.

    Attributes:
        size: Bytes.
        exact: Whether every chunk was looked at where the lists differ.
    """

    size: int
    exact: bool


class _Ref(NamedTuple):
    """A chunk, or the list of some, and the bytes under it."""

    cid: bytes
    size: int


# A list that is to be opened, and who takes what it holds.
_Todo = tuple[_Ref, Callable[[Iterable[_Ref]], object]]


class _Compared:
    """Two files: what is left to be looked at, by level of list; data chunks have level 0."""

    def __init__(self, before: Content, after: Content) -> None:
        self.before: dict[int, list[_Ref]] = {before.depth: _refs(before.cids, before.sizes)}
        self.after: dict[int, list[_Ref]] = {after.depth: _refs(after.cids, after.sizes)}
        self._known: set[int] = set()
        self._sampled = 1
        self._seen = self._new = 0
        self._whole_new = 0

    def pass_over(self, level: int) -> None:
        """Drop what both files have at a level."""
        one, other = self.before.get(level, []), self.after.get(level, [])
        common = {ref.cid for ref in one} & {ref.cid for ref in other}
        self.before[level] = list({ref.cid: ref for ref in one if ref.cid not in common}.values())
        self.after[level] = [ref for ref in other if ref.cid not in common]
        if len(self.before[level]) + len(self.after[level]) > _LISTS_MAX and level:
            self._whole_new += sum(ref.size for ref in self.after[level])
            self.before[level], self.after[level] = [], []

    def lists_below(self, level: int) -> list[_Todo]:
        """What is left at a level, to be put in the place of the lists there."""
        return [
            (ref, side.setdefault(level - 1, []).extend)
            for side in (self.before, self.after)
            for ref in side[level]
        ]

    def learn(self, refs: Iterable[_Ref]) -> None:
        """Take in chunks of the first file."""
        known = self._known
        known.update(number for number in (_number(ref.cid) for ref in refs) if not number % self._sampled)
        while len(known) > _CHUNKS_MAX:
            self._sampled *= 2
            known = self._known = {number for number in known if not number % self._sampled}

    def hold_against(self, refs: Iterable[_Ref]) -> None:
        """Take in chunks of the second file, when all of the first are."""
        for cid, size in refs:
            number = _number(cid)
            if number % self._sampled:
                continue
            self._seen += size
            if number not in self._known:
                self._new += size

    def fresh(self, held_against: int) -> Fresh:
        """What was found, of so many bytes that were held against the first file."""
        if self._sampled == 1:
            return Fresh(self._new + self._whole_new, not self._whole_new)
        share = self._new / self._seen if self._seen else 1.0
        return Fresh(round(share * held_against) + self._whole_new, exact=False)


def fresh_bytes(getter: Getter, files: Sequence[tuple[Content, Content]]) -> list[Fresh]:
    """Say of each of some files how many bytes of its second content are in no chunk of its first.

    Args:
        getter: Reads chunk lists.
        files: Where the bytes of each lie, before and after. They are in memory together.

    Raises:
        Damaged: A list is missing or contradicts what stands above it.
    """
    compared = [_Compared(*file) for file in files]
    for level in range(LIST_DEPTH_MAX, 0, -1):
        for one in compared:
            one.pass_over(level)
        if level > 1:
            _read(getter, level, [todo for one in compared for todo in one.lists_below(level)])
    found: list[Fresh] = []
    group: list[_Compared] = []
    for one in compared:
        if group and sum(map(_lists, group)) + _lists(one) > _LISTS_TOGETHER:
            found += _compare(getter, group)
            group = []
        group.append(one)
    return found + _compare(getter, group)


def _compare(getter: Getter, group: Sequence[_Compared]) -> list[Fresh]:
    """Compare the data chunks of some files."""
    for one in group:
        one.learn(one.before.get(0, ()))
    # All of the first files stands before anything of the second ones.
    before: list[_Todo] = [(ref, one.learn) for one in group for ref in one.before[1]]
    _read(getter, 1, before + [(ref, one.hold_against) for one in group for ref in one.after[1]])
    for one in group:
        one.hold_against(one.after.get(0, ()))
    return [one.fresh(sum(ref.size for level in (0, 1) for ref in one.after.get(level, ()))) for one in group]


def _read(getter: Getter, level: int, lists: Sequence[_Todo]) -> None:
    """Open lists of one level in turn, and hand over what each holds."""
    for start in range(0, len(lists), _TOGETHER_MAX):
        part = lists[start : start + _TOGETHER_MAX]
        read = getter.read_many(PackType.LIST, [ref.cid for ref, _ in part])
        for (ref, take), data in zip(part, read, strict=True):
            node = decode_list(data, level, ref.size, f"list {ref.cid.hex()[:16]}…")
            take(_refs(node.cids, node.sizes))


def _lists(one: _Compared) -> int:
    return len(one.before[1]) + len(one.after[1])


def _refs(cids: bytes, sizes: Sequence[int]) -> list[_Ref]:
    return [_Ref(*each) for each in zip(split_cids(cids), sizes, strict=True)]


def _number(cid: bytes) -> int:
    """A cid as a number: its last bytes are as good as random, and half as long as all of it."""
    return int.from_bytes(cid[-16:], "big")
