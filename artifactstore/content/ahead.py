"""What a pull needs of a version before its first range of data, asked for in one round trip.

The packs of pages and lists that a version's push added are small as a rule: to fetch them whole takes no longer than
to fetch the root page, and spares a round trip for each level below it. With them come the ends of the packs in which a
client without a complete index looks for chunks. All of it is a guess: what does not come, or is damaged, is read
where it is needed, and what is wrong with it shows there.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from artifactstore.backend.base import Backend, ByteRange, outcome_of
from artifactstore.content.get import ChunkReader
from artifactstore.content.locate import Locator
from artifactstore.content.packs import ref_of
from artifactstore.errors import ArtifactStoreError, Damaged


class Ahead:
    """What is asked for on behalf of one version. Used by one thread, but for its requests.

    Args:
        backend: Where packs lie.
        locator: Keeps what the ends of packs say.
        reader: Keeps the pages and lists.
        own: Names of the packs that the version's push added.
        likely: Names of packs in which its chunks are likely to be found; none where the index is complete.

    Attributes:
        requests: Each asks for one range; who makes the first of them only loses what the others would bring.
    """

    def __init__(
        self,
        backend: Backend,
        locator: Locator,
        reader: ChunkReader,
        own: Sequence[bytes],
        likely: Sequence[bytes],
    ) -> None:
        self._locator = locator
        self._reader = reader
        self._whole = reader.small_packs(own)
        whole = {pack.added.name for pack in self._whole}
        self._ends = locator.ends_of([name for name in likely if name not in whole])
        ranges = [ByteRange(ref_of(pack).name, 0, pack.added.size) for pack in self._whole]
        self._ranges = ranges + self._ends.ranges()
        self._answers: dict[int, bytes | ArtifactStoreError] = {}
        self.requests: list[Callable[[], object]] = [
            partial(self._ask, backend, number) for number in range(len(self._ranges))
        ]

    def take(self) -> None:
        """Keep what came."""
        for number, pack in enumerate(self._whole):
            if number in self._answers:
                with suppress(Damaged):
                    chunks = self._reader.keep_whole(pack, self._answers[number])
                    self._locator.keep_footer(pack, chunks)
        ends = self._ends
        answers = [self._answers.get(number) for number in range(len(self._whole), len(self._ranges))]
        came = [answer for answer in answers if answer is not None]
        self._locator.keep_ends(ends.cut(len(came)), came)

    def _ask(self, backend: Backend, number: int) -> None:
        self._answers[number] = outcome_of(partial(backend.get_range, *self._ranges[number]))
