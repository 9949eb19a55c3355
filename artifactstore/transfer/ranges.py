"""Reading files of versions by ranges, and what the chunk lists of two files say about which ranges may differ."""

from collections.abc import Callable, Iterator
from typing import Final

from artifactstore.format.pack import PackType
from artifactstore.manifest.read import Getter, Span, StoredEntry, read_lists_ahead, spans
from artifactstore.transfer.read import refuse_other_length

# Those of a file of some 100 GB.
_LISTS_AHEAD_MAX: Final = 1024


class StoredBytes:
    """A file of a version that is read by ranges; the chunks of a range are fetched together.

    Args:
        getter: Reads chunk lists and data.
        entry: The file.
        name: What it is called, for messages.

    Attributes:
        name: As it was given.
        size: Its bytes.
        entry: The file.
    """

    def __init__(self, getter: Getter, entry: StoredEntry, name: str) -> None:
        self._getter = getter
        self.entry = entry
        self.name = name
        self.size = entry.size

    def read_at(self, offset: int, length: int) -> bytes:
        """So many bytes from an offset.

        Raises:
            Damaged: A chunk can't be read.
            HostileManifest: A chunk is not as long as its list says.
        """
        wanted = list(spans(self._getter, self.entry.content, offset, offset + length))
        chunks = self._getter.read_many(PackType.DATA, [span.cid for span in wanted])
        parts: list[bytes] = []
        for span, data in zip(wanted, chunks, strict=True):
            refuse_other_length(self.entry, span, data)
            parts.append(data[max(0, offset - span.start) : offset + length - span.start])
        return b"".join(parts)


def chunks_apart(
    getter: Getter, before: StoredEntry, after: StoredEntry
) -> Callable[[int, int, int], Iterator[tuple[int, int]]]:
    """What says, from the chunk lists alone, which bytes of two files may differ.

    It is asked for an offset in the first, one in the second, and a length, and yields (offset from there, length) of
    what is not made of the same chunks at the same places.
    """
    read_lists_ahead(getter, [before.content, after.content], _LISTS_AHEAD_MAX)

    def apart(one: int, other: int, length: int) -> Iterator[tuple[int, int]]:
        left = _relative(getter, before, one, length)
        right = _relative(getter, after, other, length)
        there = next(right, None)
        begin = end = 0
        for here in left:
            while there is not None and there.start < here.start:
                there = next(right, None)
            if there is not None and (there.start, there.cid) == (here.start, here.cid):
                continue
            if max(here.start, 0) > end:
                if end > begin:
                    yield begin, end - begin
                begin = max(here.start, 0)
            end = min(here.start + here.length, length)
        if end > begin:
            yield begin, end - begin

    return apart


def _relative(getter: Getter, entry: StoredEntry, at: int, length: int) -> Iterator[Span]:
    """The chunks of a range, each with where it begins in it."""
    return (span._replace(start=span.start - at) for span in spans(getter, entry.content, at, at + length))
