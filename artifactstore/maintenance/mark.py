"""Marking: which chunks live versions need, and which ones only deleted versions do that a sweep may purge.

Pages and lists are read, data never. Each page and list is read once, however many versions share it.
"""

from collections.abc import Iterable, Iterator

from artifactstore.format.cids import cid_prefixes
from artifactstore.format.operations import Manifest
from artifactstore.maintenance.census import Census
from artifactstore.manifest.reach import reach_all
from artifactstore.manifest.read import Getter


class Mark:
    """Chunks by the first 16 bytes of their cids. Used by one thread.

    Attributes:
        getter: Reads pages and lists.
        live: Chunks that are needed.
        dead: Chunks that only versions need that may be purged, each with the last of the units of purge that do:
            it goes once all units up to that one are purged.
        census: What each pack held of them when all were marked; None where nobody has looked.
    """

    def __init__(self, getter: Getter) -> None:
        self.getter = getter
        self._seen: set[bytes] = set()
        self._seen_dead: set[bytes] = set()
        self.live: set[bytes] = set()
        self.dead: dict[bytes, int] = {}
        self.census: Census | None = None

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
        for reached in _prefixes(self.getter, manifests, self._seen):
            new = reached - self.live
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
        for prefixes in _prefixes(self.getter, manifests, self._seen_dead):
            for prefix in prefixes - self.live:
                self.dead.setdefault(prefix, unit)

    def planned(self) -> None:
        """Forget what only a plan is made from; what is needed stays known."""
        self.dead.clear()
        self._seen_dead.clear()


def _prefixes(getter: Getter, manifests: Iterable[Manifest], seen: set[bytes]) -> Iterator[set[bytes]]:
    for _, cids in reach_all(getter, manifests, seen):
        yield set(cid_prefixes(cids))
