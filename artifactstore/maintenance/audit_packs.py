"""The part of an audit that looks at packs: each is there with the size and the trailer that its record promised.

Sizes come from listing the bucket, which is also how objects show that should not be there; trailers are read 64 at
once. Nothing is decrypted, for there is no key. What is held of packs is bounded in bytes, whatever they hold.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX, Backend
from artifactstore.crypto.hashing import Sha256, sha256
from artifactstore.errors import ArtifactStoreError, Damaged, ObjectMissing, TruncatedRead
from artifactstore.format.limits import CID_PREFIX_BYTES
from artifactstore.format.pack import END, PackType, decode_trailer
from artifactstore.format.record import PackAdded
from artifactstore.maintenance.findings import Problem, problem_of
from artifactstore.pack.names import pack_name
from artifactstore.progress import Progress

# What is held at once: a trailer is 16 MiB at most, most are some KiB.
_TRAILER_BYTES_TOGETHER: Final = 32 << 20
# Packs are read whole in such pieces, 16 of which are under way.
_PIECE_BYTES: Final = 4 << 20
_PIECES_TOGETHER: Final = 16
_RESTORE: Final = (
    "put that object back from a copy of the bucket; whoever has a key can run `artifactstore repair`"
)
_PARTS: Final = {PackType.INDEX: "index-pack", PackType.STATE: "state"}


class TrailerReader(Protocol):
    """Told what every live pack says that it holds."""

    def holds(self, pack: str, prefixes: Sequence[bytes]) -> None:
        """A pack, by its name, holds chunks whose cids begin with these 16 bytes each."""
        ...


class PackAudit:
    """One look at all live packs. Used once.

    Args:
        backend: Where they lie.
        progress: Told what happens.
        reader: Told what each holds; None when nobody asks.

    Attributes:
        packs: Packs that were looked at.
        pack_bytes: Their bytes, as records say.
        chunks: Chunks that they hold, as their trailers say.
        bytes_read: Bytes of packs that were read whole.
        problems: What is wrong, by name of the pack.
    """

    def __init__(self, backend: Backend, progress: Progress, reader: TrailerReader | None = None) -> None:
        self._backend = backend
        self._progress = progress
        self._reader = reader
        self.packs = self.pack_bytes = self.chunks = self.bytes_read = 0
        self.problems: dict[str, Problem] = {}

    def run(
        self, live: Mapping[bytes, PackAdded], sizes: Mapping[bytes, int] | None, *, read_data: bool
    ) -> None:
        """Look at every live pack.

        Args:
            live: What records promise of each.
            sizes: The size of each that a listing shows; None where listing is forbidden.
            read_data: Read them whole, and hold their bytes against their names.
        """
        self.packs, self.pack_bytes = len(live), sum(pack.size for pack in live.values())
        self._progress.start(
            "audit packs", bytes_total=self.pack_bytes if read_data else None, files_total=len(live)
        )
        for lot in _lots(live.values()):
            self._look(lot, sizes if sizes is not None else self._asked(lot))
        if read_data:
            whole = [pack for pack in live.values() if pack_name(pack.name) not in self.problems]
            self._read(whole)

    def _look(self, lot: Sequence[PackAdded], sizes: Mapping[bytes, int]) -> None:
        """The trailers of some packs, and their sizes."""
        there = []
        for pack in lot:
            size = sizes.get(pack.name)
            if size is None:
                self._note(pack, Damaged(f"{pack_name(pack.name)} is missing"))
            elif size != pack.size:
                message = f"{pack_name(pack.name)} has {size} bytes, and its record promised {pack.size}"
                self._note(pack, Damaged(message))
            else:
                there.append(pack)
        trailers = self._backend.together(
            [
                partial(
                    self._backend.get_range, pack_name(pack.name), pack.size - _length(pack), _length(pack)
                )
                for pack in there
            ]
        )
        for pack, trailer in zip(there, trailers, strict=True):
            if isinstance(trailer, ArtifactStoreError):
                self._note(pack, trailer)
            else:
                self._compare(pack, trailer)
        self._progress.advance(files=len(lot))

    def _compare(self, pack: PackAdded, trailer: bytes) -> None:
        name = pack_name(pack.name)
        if sha256(trailer) != pack.trailer:
            self._note(pack, Damaged(f"{name}: its trailer is not the one that its record promised"))
            return
        self.chunks += pack.count
        if self._reader is not None:
            try:
                self._reader.holds(name, decode_trailer(trailer, name).prefixes)
            except Damaged as error:
                self._note(pack, error)

    def _asked(self, lot: Sequence[PackAdded]) -> dict[bytes, int]:
        """Sizes of some packs, each asked for."""
        answers = self._backend.together([partial(self._backend.size, pack_name(pack.name)) for pack in lot])
        found: dict[bytes, int] = {}
        for pack, answer in zip(lot, answers, strict=True):
            if isinstance(answer, int):
                found[pack.name] = answer
            elif not isinstance(answer, ObjectMissing):
                raise answer
        return found

    def _read(self, packs: Sequence[PackAdded]) -> None:
        """Read packs whole, piece by piece, and hash each as its pieces come."""
        hashing = Sha256()
        for pack, piece, is_last in self._pieces(packs):
            name = pack_name(pack.name)
            if isinstance(piece, ArtifactStoreError):
                self._note(pack, piece)
            else:
                hashing.update(piece)
                self.bytes_read += len(piece)
                self._progress.advance(bytes=len(piece))
            if is_last:
                if name not in self.problems and hashing.digest() != pack.name:
                    self._note(pack, Damaged(f"{name} was altered: its bytes do not hash to its name"))
                hashing = Sha256()

    def _pieces(
        self, packs: Sequence[PackAdded]
    ) -> Iterator[tuple[PackAdded, bytes | ArtifactStoreError, bool]]:
        wanted = (
            (pack, start, min(_PIECE_BYTES, pack.size - start))
            for pack in packs
            for start in range(0, pack.size, _PIECE_BYTES)
        )
        while window := [piece for _, piece in zip(range(_PIECES_TOGETHER), wanted, strict=False)]:
            calls: list[Callable[[], bytes]] = [
                partial(self._backend.get_range, pack_name(pack.name), start, length)
                for pack, start, length in window
            ]
            answers = self._backend.together(calls)
            for (pack, start, length), answer in zip(window, answers, strict=True):
                yield pack, answer, start + length == pack.size

    def _note(self, pack: PackAdded, error: ArtifactStoreError) -> None:
        name = pack_name(pack.name)
        if isinstance(error, ObjectMissing | TruncatedRead):
            error = Damaged(f"{name} is missing or was cut short")
        if isinstance(error, Damaged):
            error.next_step = _RESTORE
        part = _PARTS.get(PackType(pack.type), "pack")
        self.problems.setdefault(name, problem_of(error, name, part))


def _length(pack: PackAdded) -> int:
    """Bytes of the trailer that a pack of so many chunks has."""
    return min(pack.count * CID_PREFIX_BYTES + END.size, pack.size)


def _lots(packs: Iterable[PackAdded]) -> Iterator[list[PackAdded]]:
    """Packs to look at together: as many as one round trip takes, and no more bytes of trailers than may be held."""
    lot: list[PackAdded] = []
    held = 0
    for pack in packs:
        if lot and (len(lot) == PARALLEL_REQUESTS_MAX or held + _length(pack) > _TRAILER_BYTES_TOGETHER):
            yield lot
            lot, held = [], 0
        lot.append(pack)
        held += _length(pack)
    if lot:
        yield lot
