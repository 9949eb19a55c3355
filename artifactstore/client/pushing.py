"""Running a push to its end, through whatever happens to the store meanwhile.

A push that meets a sweep goes on in the next generation: what it has stored is registered there, what it relied on is
looked for again, and its sources are read once more only where something of that is gone.
"""

from typing import Final

from artifactstore.catalog.links import refuse_collection
from artifactstore.catalog.runs import find_run, open_run
from artifactstore.client import listing
from artifactstore.client.opened import OpenStore
from artifactstore.client.opening import Parts
from artifactstore.client.version import PushSummary, Version
from artifactstore.errors import PreconditionFailed
from artifactstore.executors import Executors
from artifactstore.log.log import GenerationPassed
from artifactstore.progress import Progress
from artifactstore.transfer.push import NOTHING_BEGUN, Begun, Pipeline, Pusher
from artifactstore.transfer.request import Pushed, Wanted, WantedVersion
from artifactstore.transfer.scan import Sources, scan

# A push starts over at most so often; each time only for what a sweep or a repair took from under it.
_STARTS_MAX: Final = 16


class Pushing(OpenStore):
    """The part of a store that runs pushes."""

    def run_to_produce(self, run: str) -> bytes:
        """The id of a run that a push may say produces its version, as the request takes it.

        Raises:
            NoSuchRun, RunEnded: The run is not one that may still produce versions.
        """
        self.refresh()
        return self._open_run(run)

    def push_sources(
        self, given: Sources, request: WantedVersion, progress: Progress | None = None, label: str = "push"
    ) -> Version:
        """Make a version from sources of any kind, files or what a program gives; `Store.push` says the rest.

        Args:
            given: The sources.
            request: What to make of them, checked.
            progress: Told what happens; the store's own when None.
            label: What it is told that this is.
        """
        self._parts.keyring.signer()
        started = self._clock.monotonic_s()
        watcher = progress or self._progress
        self.refresh()
        with self._parts.environment.read() as txn:
            refuse_collection(txn, request.artifact)
        self.before_writing()
        watcher.start(label)
        with self._make_executors() as executors:
            pushed = self._pushed(given, request, executors, watcher)
        watcher.finish()
        summary = PushSummary(*pushed[1:], self._clock.monotonic_s() - started)
        with self._parts.environment.read() as txn:
            return listing.version_of(self, txn, request.artifact, pushed.number, summary)

    def _open_run(self, text: str) -> bytes:
        """The id of a run that may use and produce versions, by its first digits.

        Raises:
            NoSuchRun, RunEnded: There is none.
        """
        with self._parts.environment.read() as txn:
            run = find_run(txn, text)
            open_run(txn, run)
        return run

    def _pushed(self, given: Sources, request: Wanted, executors: Executors, progress: Progress) -> Pushed:
        """Push everything given.

        Raises:
            PreconditionFailed: Something that it relied on was taken meanwhile, and a stream can't be read again.
        """
        begun = NOTHING_BEGUN
        for start in range(1, _STARTS_MAX + 1):
            pusher = Pusher(
                self._pipeline(executors, progress),
                begun,
                rereads=given.rereads,
                ordered=given.ordered,
                keeps=given.keeps,
            )
            try:
                return self._finished(pusher, given, request, executors, progress)
            except PreconditionFailed:
                if not given.rereads or start == _STARTS_MAX:
                    raise
                begun = pusher.begun
            except _StartOver as again:
                begun = again.begun
        raise AssertionError("the last start returns or raises")

    def _finished(
        self, pusher: Pusher, given: Sources, request: Wanted, executors: Executors, progress: Progress
    ) -> Pushed:
        """Run a push; when a sweep comes between its reading and its commit, carry it over."""
        since = self._parts.catalog.position().next_slot
        before = self._parts
        try:
            return pusher.run(scan(given), request)
        except GenerationPassed:
            gone = self._moved_on(before, since)
        for _ in range(_STARTS_MAX):
            if not pusher.has_read:
                raise _StartOver(pusher.begun.without(gone))
            before = self._parts
            try:
                pipeline = self._pipeline(executors, progress)
                return pusher.carry_over(pipeline, self._parts.reader, request, gone)
            except GenerationPassed:
                gone = self._moved_on(before, since)
        raise PreconditionFailed("sweeps came faster than this push could commit", next_step="push again")

    def _moved_on(self, before: Parts, since: int) -> set[str]:
        """Go on in the current generation; return names of what was condemned since a slot."""
        if self._parts is before:
            self._renew(before)
        position = self.refresh()
        return self._parts.log.condemned_since(position.sweep_slot, since)

    def _pipeline(self, executors: Executors, progress: Progress) -> Pipeline:
        parts = self._parts
        return Pipeline(
            self._chunk_writer(executors),
            self._the_chunker(),
            parts.committer,
            parts.environment,
            parts.reader,
            parts.keyring.deny_key(),
            executors,
            self._clock,
            self._randomness,
            progress,
        )


class _StartOver(Exception):
    """A sweep came while sources were read."""

    def __init__(self, begun: Begun) -> None:
        super().__init__()
        self.begun = begun
