"""Dividing a version's entries into parts: runs of neighbouring paths of about equal weight, each entry in one part.

What lies outside of a part is left out page by page and not read. Everybody who divides a version comes to the same.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from artifactstore.errors import InvalidPart
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import Content, Identity, Page
from artifactstore.manifest.read import (
    Getter,
    Node,
    PathGuard,
    StoredEntry,
    child_node,
    entries,
    open_page,
    read_page,
    root_node,
)

# What an entry weighs beside its bytes, so that a million empty files are divided too.
ENTRY_WEIGHT: Final = 4096
_TOGETHER_MAX: Final = 16


class Division(NamedTuple):
    """One of so many parts.

    Attributes:
        part: Its number, from 0.
        parts: How many there are.
    """

    part: int
    parts: int


def division_of(part: tuple[int, int] | None) -> Division | None:
    """Part i of n, from (i, n).

    Raises:
        InvalidPart: There is no such part.
    """
    if part is None:
        return None
    division = Division(*part)
    if not 0 <= division.part < division.parts:
        raise InvalidPart(
            f"there is no part {division.part} of {division.parts}", part=division.part, parts=division.parts
        )
    return division


def entries_of(getter: Getter, manifest: Manifest, division: Division | None) -> Iterator[StoredEntry]:
    """The entries of a version, or of one part of it, in path order, each checked.

    Raises:
        Damaged, HostileManifest: As for `entries`.
    """
    return entries(getter, manifest) if division is None else divided(getter, manifest, division)


def divided(getter: Getter, manifest: Manifest, division: Division) -> Iterator[StoredEntry]:
    """Yield the entries of one part, in path order, each checked.

    An entry belongs to the part in whose share of the whole weight it begins: a file is never cut.

    Raises:
        Damaged: A page is missing, or contradicts its parent.
        HostileManifest: An entry has a path that no honest writer produces.
    """
    total = manifest.size + ENTRY_WEIGHT * manifest.entries
    start = _share(total, division.part, division.parts)
    stop = _share(total, division.part + 1, division.parts)
    guard = PathGuard()
    root = root_node(manifest)
    for identity, content in _within(getter, read_page(getter, root), 0, start, stop):
        guard.check(identity)
        yield StoredEntry(identity, content)


def _share(total: int, part: int, parts: int) -> int:
    """Where a part begins: rounded up, so that each place is in one part."""
    return -(-total * part // parts)


def _within(
    getter: Getter, page: Page, before: int, start: int, stop: int
) -> Iterator[tuple[Identity, Content]]:
    """The entries below a page that begin in [start, stop), where `before` is the weight of all before the page."""
    if page.level == 0:
        for identity, content in zip(page.identities, page.contents, strict=True):
            if start <= before < stop:
                yield identity, content
            before += identity[2] + ENTRY_WEIGHT
        return
    chosen: list[tuple[int, Node]] = []
    for identity, content in zip(page.identities, page.contents, strict=True):
        weight = identity[2] + ENTRY_WEIGHT * content.sizes[0]
        if before < stop and before + weight > start:
            chosen.append((before, child_node(page, identity, content)))
        before += weight
    for at in range(0, len(chosen), _TOGETHER_MAX):
        together = chosen[at : at + _TOGETHER_MAX]
        read = getter.read_many(PackType.PAGE, [node.cid for _, node in together])
        for (first, node), data in zip(together, read, strict=True):
            yield from _within(getter, open_page(node, data), first, start, stop)
