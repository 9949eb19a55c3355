"""Reading slots, many in one round trip.

What is read is bounded: records asked for together are taken up to 1 MiB each, and a longer one is read by itself.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from artifactstore.backend.base import Backend, answer_of
from artifactstore.errors import ObjectMissing, ObjectTooLarge
from artifactstore.format.limits import RECORD_BYTES_MAX
from artifactstore.format.record import slot_name

# 64 of them are in memory at once; most records are a few KiB.
_TOGETHER_BYTES_MAX: Final = 1 << 20


class Slots:
    """The slots of one log, as they lie on the backend.

    Args:
        backend: Where they lie.

    Thread-safe: it keeps no state of its own.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def read(self, slot: int) -> bytes | None:
        """The bytes at a slot, None when it is absent; longer than a record may be, they come back as void."""
        try:
            return self._backend.get(slot_name(slot), limit_bytes=RECORD_BYTES_MAX)
        except ObjectMissing:
            return None
        except ObjectTooLarge:
            return b""

    def read_many(self, slots: Sequence[int]) -> list[bytes | None]:
        """The bytes at several slots, each as `read` gives them, asked for together."""
        return self.look(slots, ())[0]

    def look(
        self, read: Sequence[int], ask: Sequence[int], beside: Sequence[Callable[[], object]] = ()
    ) -> tuple[list[bytes | None], list[bool]]:
        """The bytes at some slots, and whether others are filled, asked for together.

        Args:
            read: Slots to read.
            ask: Slots to ask about.
            beside: Other requests to make in the same round trip; each keeps what it finds to itself.
        """
        calls: list[Callable[[], object]] = [
            partial(self._backend.get, slot_name(slot), limit_bytes=_TOGETHER_BYTES_MAX) for slot in read
        ]
        calls += [partial(self._backend.exists, slot_name(slot)) for slot in ask]
        answers = self._backend.together([*calls, *beside])
        bytes_read = [self._settled(slot, answer) for slot, answer in zip(read, answers, strict=False)]
        return bytes_read, [bool(answer_of(answer)) for answer in answers[len(read) : len(calls)]]

    def _settled(self, slot: int, answer: object) -> bytes | None:
        if isinstance(answer, ObjectMissing):
            return None
        if isinstance(answer, ObjectTooLarge):
            return self.read(slot)
        found = answer_of(answer)
        assert isinstance(found, bytes)
        return found
