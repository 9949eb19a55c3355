"""Gathering a distributed push: finished parts → one manifest → one record, all or nothing.

No file is read. What the parts hold is looked for in the index once more; their pages become the pages of the whole,
most of which are new; the record that makes the version ends the push.
"""

from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Final

from artifactstore.catalog.begun import OpenPush, attempt_id, open_push
from artifactstore.catalog.denied import DenyList, deny_list
from artifactstore.catalog.links import refuse_collection
from artifactstore.catalog.runs import refuse_producer
from artifactstore.errors import Damaged, PartLost, PartsMissing, PreconditionFailed
from artifactstore.format.cids import split_cids
from artifactstore.format.commitment import SALT_BYTES
from artifactstore.format.operations import Ended, Manifest, Operation, PendingDone, Push
from artifactstore.format.page import Kind
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import ReadTransaction
from artifactstore.index.tables import damaged_packs, known_chunks
from artifactstore.manifest.build import ManifestBuilder
from artifactstore.manifest.merge import PartDamaged, merged
from artifactstore.manifest.reach import reach
from artifactstore.pack.writer import FinishedPack
from artifactstore.transfer.push import Pipeline
from artifactstore.transfer.request import Pushed, refuse_ended

# An advisory list, in every state for good.
_PACKS_NAMED_MAX: Final = 1024
# Each further try needs a part that was pushed again, a takedown or damage since the last one.
_TRIES_MAX: Final = 64


class Gatherer:
    """One commit of a distributed push. Used once.

    Args:
        pipeline: What it runs through.
        push: The push's id.
        run: Id of the run that produces the version, or None.
    """

    def __init__(self, pipeline: Pipeline, push: bytes, run: bytes | None = None) -> None:
        self._through = pipeline
        self._id = push
        self._run = run
        self._packs: list[FinishedPack] = []

    def run(self) -> Pushed:
        """Make the version.

        Raises:
            PushEnded: The push has ended.
            PartsMissing: Some parts are not finished.
            PartLost: What some parts hold can't be read any more.
            PathCollision: Two parts hold one path.
            Denied: A part holds a file that was taken down.
            IsCollection, NoSuchRun, RunEnded, LineageCircle: As of a push.
            GenerationPassed: A sweep was met; the parts are kept.
        """
        for _ in range(_TRIES_MAX):
            try:
                return self._try()
            except _Changed:
                continue
        raise PreconditionFailed(
            "parts were pushed again all the time while they were gathered", next_step="commit again"
        )

    def _try(self) -> Pushed:
        through = self._through
        with through.environment.read() as txn:
            push = _finished(txn, self._id)
            damaged = frozenset(damaged_packs(txn))
            rules = deny_list(txn, through.deny_key)
        through.progress.start(
            "commit", files_total=sum(row.manifest.entries for row in push.finished.values())
        )
        self._refuse_lost(push)
        manifest = self._merged(push, rules)
        self._packs += through.writer.drain()

        def unchanged(txn: ReadTransaction) -> None:
            """Invariants 1 and 5: what was merged is what the parts are before the very slot."""
            now = _finished(txn, self._id)
            if now.finished != push.finished or damaged_packs(txn).keys() - damaged:
                raise _Changed
            refuse_collection(txn, ArtifactName(made.project, made.name))
            refuse_producer(txn, made)
            if deny_list(txn, through.deny_key).beyond(rules):
                raise _Changed

        made = self._version(push, manifest)
        operations = [made, Ended(self._id, committed=True), *released(push)]
        committed = through.committer.commit(operations, self._packs, precondition=unchanged)
        through.writer.registered(self._packs)
        through.progress.finish()
        outcome = committed.outcomes[0]
        assert outcome.number is not None
        return Pushed(
            number=outcome.number,
            created=outcome.created,
            files=manifest.entries,
            logical_bytes=manifest.size,
            files_read=0,
            bytes_read=0,
            new_bytes=sum(row.new_bytes for row in push.finished.values()),
            stored_bytes=self._stored_bytes(push),
            packs=len(self._packs),
        )

    def _refuse_lost(self, push: OpenPush) -> None:
        """Invariant 1: everything that the parts reach lies in the store as it is now."""
        lost: list[int] = []
        seen: set[bytes] = set()
        for part, row in sorted(push.finished.items()):
            try:
                there = all(
                    all(known_chunks(self._through.environment, split_cids(cids)))
                    for _, cids, _ in reach(self._through.reader, row.manifest, seen)
                )
            except Damaged:
                there = False
            if not there:
                lost.append(part)
        if lost:
            raise part_lost(lost)

    def _merged(self, push: OpenPush, rules: DenyList) -> Manifest:
        through = self._through
        builder = ManifestBuilder(through.writer)
        try:
            for part, entry in merged(
                through.reader, {part: row.manifest for part, row in push.finished.items()}
            ):
                if rules and entry.kind == Kind.FILE and entry.digest in rules:
                    raise rules.refusal(entry.digest, f"part {part}", entry.path)
                builder.add(entry.identity, entry.content)
                through.progress.advance(files=1)
        except PartDamaged as damaged:
            raise part_lost([damaged.part]) from damaged.error
        return builder.finish()

    def _version(self, push: OpenPush, manifest: Manifest) -> Push:
        row = push.row
        return Push(
            project=row.project,
            name=row.name,
            type=row.type,
            manifest=manifest,
            description=row.description,
            metadata=row.metadata,
            aliases=row.aliases,
            tags=row.tags,
            new_bytes=sum(part.new_bytes for part in push.finished.values()),
            stored_bytes=self._stored_bytes(push),
            packs=self._named(push),
            salt=self._through.randomness.token(SALT_BYTES),
            run=self._run,
        )

    def _stored_bytes(self, push: OpenPush) -> int:
        return sum(part.stored_bytes for part in push.finished.values()) + sum(
            pack.added.size for pack in self._packs
        )

    def _named(self, push: OpenPush) -> list[bytes]:
        """What a client without an index should look into: pages of the whole, then the first packs of each part."""
        own = [pack.added.name for pack in self._packs]
        by_turns: Iterator[bytes | None] = chain.from_iterable(
            zip_longest(*(part.packs for part in push.finished.values()))
        )
        return list(dict.fromkeys([*own, *(name for name in by_turns if name is not None)]))[
            :_PACKS_NAMED_MAX
        ]


def released(push: OpenPush) -> list[Operation]:
    """Give up what was registered for parts by attempts that came to no end."""
    return [PendingDone(attempt_id(push.push, part)) for part in sorted({part for part, _ in push.attempts})]


def part_lost(parts: list[int]) -> PartLost:
    """The error for parts of which something can't be read any more."""
    return PartLost(f"what {parts_named(parts)} held can't be read any more", parts=parts)


def parts_named(parts: list[int]) -> str:
    """`part 3`, or `parts 3, 5 and 7`."""
    if len(parts) == 1:
        return f"part {parts[0]}"
    return f"parts {', '.join(map(str, parts[:-1]))} and {parts[-1]}"


def _finished(txn: ReadTransaction, push: bytes) -> OpenPush:
    """An open push all of whose parts are finished.

    Raises:
        PushEnded: It has ended.
        PartsMissing: Some are not.
    """
    refuse_ended(txn, push)
    found = open_push(txn, push)
    assert found is not None
    if found.missing:
        raise PartsMissing(
            f"{parts_named(found.missing)} of {found.row.parts} {'is' if len(found.missing) == 1 else 'are'} "
            "not finished",
            parts=found.missing,
        )
    return found


class _Changed(Exception):
    """Parts were pushed again, files taken down or packs found damaged since it was looked."""
