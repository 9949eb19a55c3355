"""Looking after a store: its log, a check, the client index, the store as a whole."""

from collections.abc import Iterator

from artifactstore.maintenance.check import Checker, CheckReport
from artifactstore.progress import Progress
from artifactstore.store import listing
from artifactstore.store.opened import OpenStore
from artifactstore.store.opening import with_empty_index
from artifactstore.store.results import IndexInfo, LogEntry, StoreInfo


class Upkeep(OpenStore):
    """The part of a store that looks after it."""

    def log(self, *, limit: int | None = None) -> Iterator[LogEntry]:
        """Yield the log's slots, newest first."""
        position = self._parts.log.follow(self._parts.catalog)
        return listing.log_entries(self._parts.log, position.next_slot, limit)

    def check(
        self, *, read_data: bool = False, sample_percent: float = 100.0, progress: Progress | None = None
    ) -> CheckReport:
        """Check that everything the store promises is there and whole.

        Args:
            read_data: Read packs whole, and open every chunk in them.
            sample_percent: How many of the packs to read, by chance.
            progress: Told what happens; the store's own when None.
        """
        self._refresh()
        parts = self._parts
        with self._make_executors() as executors:
            checker = Checker(
                parts.backend,
                parts.keyring,
                parts.environment,
                parts.packs,
                parts.log,
                parts.reader,
                executors,
                progress or self._progress,
            )
            return checker.run(
                read_data=read_data, sample_percent=sample_percent, randomness=self._randomness
            )

    def rebuild_index(self, progress: Progress | None = None) -> None:
        """Delete this client's index and build it again from the log."""
        watcher = progress or self._progress
        watcher.start("rebuild")
        self._parts = with_empty_index(self._access, self._parts, self._clock, self._randomness)
        self._refresh()
        watcher.finish()

    def index_info(self) -> IndexInfo:
        """What this client's index holds."""
        self._refresh()
        return listing.index_info(self._parts.environment)

    def info(self) -> StoreInfo:
        """The store as a whole."""
        self._refresh()
        return listing.store_info(
            self._parts.environment,
            self._parts.packs,
            self._parts.log,
            self.members.slots(),
            store_id=self.id,
            url=self.url,
            single_writer=self._access.single_writer,
            probed_ns=self._probed_ns(),
            key_file=self.key_file,
        )
