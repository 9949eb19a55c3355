"""A backend around one create of which something else happens, and whose answer to it is lost."""

from collections.abc import Callable
from typing import NamedTuple

from artifactstore.backend.base import Backend, Buffer
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.errors import ConnectionLost


class _Event(NamedTuple):
    during: Callable[[], None]
    effect: bool


class Interrupted(WrapperBackend):
    """Passes calls on until it is armed."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._event: _Event | None = None

    def arm(self, during: Callable[[], None], *, effect: bool) -> "Interrupted":
        """Let `during` happen around the next create of a record, after the create took effect or instead of it."""
        self._event = _Event(during, effect)
        return self

    def disarm(self) -> bool:
        """Pass calls on again; return whether nothing had happened yet."""
        event, self._event = self._event, None
        return event is not None

    def create(self, name: str, data: Buffer) -> None:
        """Make an object that must not exist yet."""
        if not name.startswith("log/") or self._event is None:
            self.inner.create(name, data)
            return
        event, self._event = self._event, None
        if event.effect:
            self.inner.create(name, data)
        event.during()
        raise ConnectionLost("the answer was lost")
