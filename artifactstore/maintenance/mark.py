"""Marking: which chunks live versions need, and which ones only deleted versions do that a sweep may purge.

Pages and lists are read, data never. Each page and list is read once, however many versions share it.
"""

from collections.abc import Iterable
from typing import Final

from artifactstore.format.cids import cid_prefixes
from artifactstore.format.limits import CID_PREFIX_BYTES
from artifactstore.format.operations import Manifest
from artifactstore.maintenance.census import Census
from artifactstore.manifest.reach import reach_all
from artifactstore.manifest.read import Getter

# Of pages that are remembered: two million chunks.
_PAGES_BYTES_MAX: Final = 32 << 20


class Mark:
    """Chunks by the first 16 bytes of their cids. Used by one thread.

    Attributes:
        getter: Reads pages and lists.
        live: Chunks that are needed.
        dead: Chunks that only versions need that may be purged, each with the last of the units of purge that do:
            it goes once all units up to that one are purged.
        census: What each pack held of them when all were marked; None where nobody has looked.
        pages: Of pages that only versions need that may be purged, and that name data chunks alone: the first 16 bytes
            of the cids of those, one after another, by the page's cid. Not of all, where there are many.
    """

    def __init__(self, getter: Getter) -> None:
        self.getter = getter
        self._seen: set[bytes] = set()
        self._seen_dead: set[bytes] = set()
        self.live: set[bytes] = set()
        self.dead: dict[bytes, int] = {}
        self.census: Census | None = None
        self.pages: dict[bytes, bytes] = {}
        self._pages_room = _PAGES_BYTES_MAX

    def keep(self, manifest: Manifest) -> set[bytes]:
        """Mark everything that a version reaches as needed; return what was not so before.

        Raises:
            Damaged: A page or list of it can't be read, so what it needs is not known.
        """
        return self.keep_all([manifest])

    def keep_all(self, manifests: Iterable[Manifest]) -> set[bytes]:
        """The same for many versions, whose pages are read together.

        Raises:
            Damaged: One of them can't be read whole. What was marked then is not all that any of them needs.
        """
        fresh: set[bytes] = set()
        for _, cids, _ in reach_all(self.getter, manifests, self._seen):
            new = set(cid_prefixes(cids)) - self.live
            self.live |= new
            fresh |= new
            if self.dead:
                for prefix in new:
                    self.dead.pop(prefix, None)
        return fresh

    def give_up(self, manifest: Manifest, unit: int) -> None:
        """Mark what a version reaches and no live one does; units come in falling order, after all live versions.

        Raises:
            Damaged: A page or list of it can't be read.
        """
        self.give_up_all([manifest], unit)

    def give_up_all(self, manifests: Iterable[Manifest], unit: int) -> None:
        """The same for many versions of one unit, whose pages are read together.

        Raises:
            Damaged: One of them can't be read whole.
        """
        if not self._seen_dead:
            self._seen_dead = set(self._seen)
        for _, cids, page in reach_all(self.getter, manifests, self._seen_dead):
            prefixes = cid_prefixes(cids)
            for prefix in set(prefixes) - self.live:
                self.dead.setdefault(prefix, unit)
            size = len(prefixes) * CID_PREFIX_BYTES
            if page and size <= self._pages_room:
                self.pages[page] = b"".join(prefixes)
                self._pages_room -= size

    def planned(self) -> None:
        """Forget what only a plan is made from; what is needed stays known."""
        self.dead.clear()
        self._seen_dead.clear()
