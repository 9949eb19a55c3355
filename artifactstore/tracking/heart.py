"""The heart of a run: a thread that puts its sign of life about every minute, until it is stopped.

A sign that can't be put is not put: a run does not fail because nobody sees that it lives.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from artifactstore.backend.base import Backend
from artifactstore.catalog.signs import ASLEEP_MS, BEAT_S
from artifactstore.clock import Clock
from artifactstore.errors import ArtifactStoreError
from artifactstore.format.alive import alive_name, encode_alive

_NS_PER_MS: Final = 1_000_000
# How long a run that ends waits for a sign that is under way: what arrives later is condemned by a later sweep.
_STOP_S: Final = 10.0
_log = logging.getLogger(__name__)


class Heart:
    """Beats for one run.

    Args:
        backend: Gives the backend of the moment: a store that meets a sweep goes on with another one.
        store_id: The store's id.
        run: The run's id.
        clock: Tells how long it slept.
        every_s: Seconds between two signs.

    Thread-safe. It does not survive a fork: the child of a run is not the run.
    """

    def __init__(
        self,
        backend: Callable[[], Backend],
        store_id: bytes,
        run: bytes,
        clock: Clock,
        every_s: float = BEAT_S,
    ) -> None:
        self._backend = backend
        self._name = alive_name(run)
        self._data = encode_alive(store_id)
        self._clock = clock
        self._every_s = every_s
        self._last_ms = self._now_ms()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Give the first sign, and go on with it on a thread that does not keep the process from ending."""
        self.beat()
        self._thread = threading.Thread(target=self._go_on, name="artifactstore-heart", daemon=True)
        self._thread.start()

    def beat(self) -> bool:
        """Give one sign; return whether further ones may follow.

        None may after a day without: a sweep may take the run for killed, and condemn what a sign would bring back.
        """
        now_ms = self._now_ms()
        if now_ms - self._last_ms > ASLEEP_MS:
            return False
        try:
            self._backend().put(self._name, self._data)
        except ArtifactStoreError as error:
            _log.debug("a sign of life was not stored: %s", error.kind)
        else:
            self._last_ms = now_ms
        return True

    def stop(self) -> None:
        """Give no more signs. Idempotent."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_STOP_S)

    def _go_on(self) -> None:
        while not self._stopped.wait(self._every_s):
            if not self.beat():
                return

    def _now_ms(self) -> int:
        return self._clock.now_ns() // _NS_PER_MS
