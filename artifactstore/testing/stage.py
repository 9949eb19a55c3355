"""Where schedules are played: a small store made once, and a copy of it for each schedule, with clients and judges.

Everything is small, so that a few files make several packs, pending records, index packs and states.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from artifactstore.backend.base import Backend
from artifactstore.backend.memory import MemoryBackend
from artifactstore.catalog.generation import purged_prefix, purged_version
from artifactstore.client.opening import Parts
from artifactstore.errors import ArtifactStoreError, ObjectExists
from artifactstore.format.operations import Push
from artifactstore.ids import parse_artifact_name
from artifactstore.keyring.keyfile import load_key_file, pair_of
from artifactstore.keyring.request import KeyRequest, request_line
from artifactstore.store.store import Store
from artifactstore.testing import invariants
from artifactstore.testing.history import parts_of
from artifactstore.testing.ledger import Checked, Collected, Fetched, Landed, Ledger, Outcome
from artifactstore.testing.model import Contents, shown_by
from artifactstore.testing.schedule import ARTIFACTS, CLIENTS_MAX, PUSHES, Act, Dice, Fault, Schedule, Step
from artifactstore.testing.scheduler import (
    Author,
    Broken,
    Died,
    Event,
    Scheduler,
    SimulatedBackend,
    SimulatedClock,
)
from artifactstore.testing.seals import Seal, noted_seals
from artifactstore.testing.seeded_hpke import SeededSealing
from artifactstore.testing.simulation import SeededRandomness, SteppedClock, World
from artifactstore.testing.takings import judge_gone, judge_roots
from artifactstore.testing.witness import Witness, Witnessed

_SHARED: Final = {f"plaintext-{name}": 40 + 700 * at for at, name in enumerate("abcde")}
# Two that share a pack in which one of them takes little.
_FILES: Final = {**_SHARED, "plaintext-f": 60, "plaintext-g": 900}
# Trees that share some files, that differ in one, and that hold the same under other names.
_TREES: Final = {
    "small": {"plaintext-x": "plaintext-a"},
    "large": {f"plaintext-folder/{name}": name for name in _SHARED},
    "left": {"plaintext-x": "plaintext-b", "plaintext-y": "plaintext-c"},
    "right": {"plaintext-y": "plaintext-c", "plaintext-z": "plaintext-d"},
    "renamed": {"plaintext-u": "plaintext-c", "plaintext-v": "plaintext-d"},
    "heavy": {"plaintext-x": "plaintext-e", "plaintext-y": "plaintext-d"},
    "pair": {"plaintext-x": "plaintext-f", "plaintext-y": "plaintext-g"},
    "half": {"plaintext-z": "plaintext-g"},
}
_PARTS: Final = 2
TREES: Final = tuple(_TREES)
FILES: Final = tuple(_FILES)
_BEFORE: Final = (
    *((ARTIFACTS[0], tree) for tree in ("left", "small")),
    *((ARTIFACTS[1], tree) for tree in ("left", "pair", "half")),
)
_SMALL: Final[Mapping[str, Any]] = {
    "content.put.PACK_BYTES_TARGET": 1200,
    "content.put.BLOB_RAW_BYTES_TARGET": 1000,
    "transfer.push.PENDING_BYTES": 2000,
    "transfer.push.BATCH_BYTES": 700,
    "catalog.state._TIER_WIDTH": 2,
}
_TAIL_BYTES: Final = (1, 2500, 64 << 10)
_INLINE_BYTES: Final = (200, 64 << 10)
# Who may become a member.
_COLLEAGUE: Final = pair_of(bytes(range(32)))
# Longer than any grace period and than what makes an object old.
_WAIT_S: Final = 8 * 24 * 3600
# For so long a collecting client may stand still before it calls its own clock wrong.
_LONG_NS: Final = 1800 * 1_000_000_000


class Played(NamedTuple):
    """A schedule, and what became of it.

    Attributes:
        schedule: What was played.
        events: Every operation on the backend.
        records: The log, as it was when the last client ended.
        outcomes: What the clients were told, in order.
        broken: What does not hold; empty when everything does.
        hit: The faults that hit something.
        used: The turns, by place, that moved the baton.
    """

    schedule: Schedule
    events: list[Event]
    records: list[Witnessed]
    outcomes: list[Outcome]
    broken: str
    hit: tuple[Fault, ...]
    used: frozenset[int]

    @property
    def digest(self) -> str:
        """A digest of the whole trace."""
        return hashlib.sha256(repr((self.events, self.broken)).encode()).hexdigest()


class Stage:
    """Plays schedules, one at a time.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.trees = {name: _written(folder / "trees" / name, tree) for name, tree in _TREES.items()}
        for name, tree in _TREES.items():
            for part in range(_PARTS):
                _written(folder / "trees" / f"{name}-{part}", dict(list(tree.items())[part::_PARTS]))
        _written(folder / "files", {name: name for name in FILES})
        (folder / "prepared").mkdir()
        with _small(SeededRandomness(1), Dice(0)), noted_seals() as seals:
            self._prepared = World(folder / "prepared")
            store = self._prepared.create("maker")
            for artifact, before in _BEFORE:
                store.push([self.source(before)], artifact)
            store.delete([f"{ARTIFACTS[0]}:v0"])
            store.close()
            for client in range(CLIENTS_MAX):
                with self._prepared.client(_cache(client)) as other:
                    other.projects()
        self._seals: set[Seal] = seals.seen

    def source(self, tree: str) -> Path:
        """The folder that holds a tree."""
        return self._folder / "trees" / tree

    def file(self, name: str) -> Path:
        """A file that is taken down."""
        return self._folder / "files" / name

    def contents(self, step: Step) -> Contents:
        """What a step pushes, takes down, or allows again."""
        if step.act in PUSHES:
            return self.trees[step.what]
        return {step.what: self.file(step.what).read_bytes()}

    def play(self, schedule: Schedule) -> Played:
        """Play a schedule to its end, and judge it."""
        place = self._folder / f"play-{self._count}"
        self._count += 1
        dice = Dice(schedule.seed)
        with ExitStack() as stack:
            stack.enter_context(_small(SeededRandomness(schedule.seed + 2), dice))
            seals = stack.enter_context(noted_seals(self._seals))
            world = self._prepared.copy(place)
            stack.callback(shutil.rmtree, place)
            stack.callback(world.end)
            play = _Play(self, world, schedule)
            broken = play.run()
            if not broken and seals.repeated:
                broken = f"invariant 14: {len(seals.repeated)} times a key sealed twice under one nonce"
        scheduler = play.scheduler
        return Played(
            schedule,
            scheduler.events,
            play.witness.records,
            play.outcomes,
            broken,
            tuple(scheduler.hit),
            frozenset(scheduler.used),
        )


class _Play:
    """One schedule being played."""

    def __init__(self, stage: Stage, world: World, schedule: Schedule) -> None:
        self.stage = stage
        self.world = world
        self.schedule = schedule
        self.outcomes: list[Outcome] = []
        self.witness = Witness(world.objects, load_key_file(world.folder / "key"), _COLLEAGUE.public)
        self.scheduler = Scheduler(schedule, self.witness)
        # The objects are dated by the time of the simulation.
        self.objects = MemoryBackend(
            world.objects.url.removeprefix("memory://"), clock=SimulatedClock(self.scheduler, 0)
        )
        for client in schedule.newcomers:
            world.forget(_cache(client))
        self.clients = [_Client(self, client, script) for client, script in enumerate(schedule.scripts)]

    def run(self) -> str:
        """Play and judge; return what does not hold."""
        try:
            self.scheduler.run([client.live for client in self.clients])
            if self.scheduler.broken is None:
                self.scheduler.land()
                self._judge()
        except Broken as error:
            return str(error)
        finally:
            for client in self.clients:
                client.leave()
        broken = self.scheduler.broken
        return "" if broken is None else str(broken) if isinstance(broken, Broken) else repr(broken)

    def _judge(self) -> None:
        with _named("a new client"), self.world.client("reader") as reader:
            reader.projects()
            ledger = Ledger(
                self.witness.records,
                self._contents,
                _purged(parts_of(reader), self.witness),
                self.witness.joined,
                self._step,
                self.stage.contents,
            )
            for outcome in self.outcomes:
                ledger.judge(outcome)
            self._judge_store(reader, ledger)
            for client in self.clients:
                with _named(f"client {client.number} afterwards"), self.world.client(client.cache) as other:
                    other.projects()
                    invariants.assert_same_index(parts_of(reader), parts_of(other))
        if ledger.sweeps or ledger.model.denied:
            judge_roots(self.witness.records, self._gives_up)
            self._judge_takings(ledger)
            self._collect(ledger)
            return
        with (
            _named("a client that starts from the first record"),
            self.world.client("steps") as steps,
            self.world.client("reader") as reader,
        ):
            parts = parts_of(steps)
            parts.log.follow(parts.catalog, from_start=True)
            invariants.assert_same_index(parts_of(reader), parts)

    def _judge_store(self, reader: Store, ledger: Ledger) -> None:
        """What a client shows must be what the log says, and every byte of it must be there."""
        shown, expected = shown_by(reader), ledger.model.shown()
        if shown != expected:
            raise Broken(f"the log says {_numbers(expected)}, and a new client is shown {_numbers(shown)}")
        invariants.assert_whole(reader)
        invariants.assert_packs_precede_records(parts_of(reader))

    def _judge_takings(self, ledger: Ledger) -> None:
        """What sweeps purged must be gone, unless a push that came to nothing may have stored it again."""
        with _named("a reader of what is left"), self.world.client("reader") as reader:
            reader.projects()
            self._judge_purged(reader, ledger)

    def _judge_purged(self, reader: Store, ledger: Ledger) -> None:
        """No chunk may be left that only purged versions had, but those of pushes that came to nothing."""
        versions = [version for artifact in ledger.model.artifacts.values() for version in artifact.versions]
        needed = [data for version in versions if not version.purged for data in version.contents.values()]
        for outcome in self.outcomes:
            if outcome.step.act in PUSHES and outcome.result is None:
                needed += self.stage.trees[outcome.step.what].values()
        purged = [data for version in versions if version.purged for data in version.contents.values()]
        judge_gone(parts_of(reader), purged, needed)

    def _gives_up(self, author: Author | None) -> bool:
        """Whether somebody collects whatever the age."""
        return author is not None and self._step(author).force

    def _step(self, author: Author) -> Step:
        """Which step somebody was in."""
        return self.schedule.scripts[author.client][author.step]

    def _collect(self, ledger: Ledger) -> None:
        """Finish what sweeps left, as anybody may: then nothing that was condemned is left, and all else is."""
        clock = SteppedClock(self.scheduler.now_ns)
        objects = MemoryBackend(self.objects.url.removeprefix("memory://"), clock=clock)
        with _named("who collects in the end"):
            with self.world.open("collector", wrap=lambda _: objects, clock=clock) as collector:
                collector.gc()
            for name in self.witness.condemned:
                if objects.exists(name):
                    raise Broken(f"invariant 9: {name} is condemned, and there after a collection")
            with self.world.client("reader") as reader:
                reader.projects()
                purged = _purged(parts_of(reader), self.witness)
                for slot in set(purged) - set(ledger.sweeps):
                    for name, number in purged[slot]:
                        ledger.model.purge(name, number)
                self._judge_store(reader, ledger)
                if ledger.model.denied:
                    self._judge_purged(reader, ledger)
                for name, artifact in ledger.model.artifacts.items():
                    for number, version in enumerate(artifact.versions):
                        if ledger.model.refuses(version.contents) and not version.purged:
                            raise Broken(f"{name}:v{number} was taken down, and a collection left it")

    def _contents(self, author: Author | None, push: Push) -> Contents:
        """What somebody has pushed."""
        if author is None:
            tree = next(
                tree
                for artifact, tree in _BEFORE
                if (f"{push.project}/{push.name}", push.manifest.size)
                == (artifact, _size(self.stage.trees[tree]))
            )
            return self.stage.trees[tree]
        return self.stage.contents(self._step(author))


class _Client:
    """One client: its script, and the store that it has open."""

    def __init__(self, play: _Play, number: int, script: tuple[Step, ...]) -> None:
        self._play = play
        self._script = script
        self._clock = SimulatedClock(play.scheduler, number)
        self._randomness = SeededRandomness(play.schedule.seed * 64 + 3 + number)
        self._store: Store | None = None
        self.number = number
        shared = play.schedule.sharing and number == len(play.schedule.scripts) - 1
        self.cache = _cache(0 if shared else number)

    def live(self) -> None:
        """Do every step of the script."""
        for step in self._script:
            self._do(step)
            self._play.scheduler.steps[self.number] += 1

    def leave(self) -> None:
        """Let go of the index, as the end of a process does."""
        if self._store is not None:
            parts_of(self._store).environment.close()
            self._store = None

    def _do(self, step: Step) -> None:
        play, scheduler = self._play, self._play.scheduler
        author, begin, hit = scheduler.author(self.number), play.witness.head, self._struck()
        began_ns = scheduler.now_ns
        result: Landed | Fetched | Collected | Checked | None = None
        failure: Exception | None = None
        died = False
        try:
            result = self._act(step)
        except Died as death:
            died = True
            self.leave()
            if scheduler.broken is not None:
                raise
            if death.forget:
                play.world.forget(self.cache)
        except ArtifactStoreError as error:
            failure = error
        struck = died or self._struck() > hit
        skewed = self._clock.has_jumped or scheduler.now_ns - began_ns > _LONG_NS
        play.outcomes.append(
            Outcome(author, step, begin, play.witness.head, result, failure, died, struck, skewed)
        )

    def _act(self, step: Step) -> Landed | Fetched | Collected | Checked | None:
        if step.act is Act.REOPEN:
            self.leave()
            if step.force:
                self._play.world.forget(self.cache)
            return None
        store = self._opened()
        match step.act:
            case Act.PUSH | Act.SHARE:
                return self._push(store, step)
            case Act.PULL:
                return self._pull(store, step)
            case Act.GC | Act.RESUME | Act.ROTATE:
                return self._sweep(store, step)
            case Act.CHECK:
                problems = store.check(read_data=True).problems
                return Checked(tuple(problem.message for problem in problems))
            case _:
                self._change(store, step)
        return None

    def _push(self, store: Store, step: Step) -> Landed:
        """Push a tree, whole or in parts."""
        aliases, source = [step.alias] * bool(step.alias), self._play.stage.source
        if step.act is Act.PUSH:
            made = store.push([source(step.what)], step.artifact, aliases=aliases)
        else:
            push = store.distributed(step.artifact, shards=_PARTS, aliases=aliases)
            for part in range(_PARTS):
                push.part(part).push([source(f"{step.what}-{part}")])
            made = push.commit()
        assert made.push is not None
        return Landed(made.number, made.push.created)

    def _change(self, store: Store, step: Step) -> None:
        """Do what returns nothing that could be judged."""
        match step.act:
            case Act.DELETE:
                store.delete([f"{step.artifact}:{step.what}"], force=step.force, now=step.now)
            case Act.UNDELETE:
                store.undelete([f"{step.artifact}:{step.what}"])
            case Act.FORGE:
                self._forge(parts_of(store).backend)
            case Act.WAIT:
                self._play.scheduler.pass_time(_WAIT_S)
            case Act.ALIAS:
                store.add_aliases(f"{step.artifact}:{step.what}", [step.alias])
            case Act.JOIN:
                store.members.add(request_line(KeyRequest("plaintext-colleague", _COLLEAGUE.public)))
            case Act.LEAVE:
                store.members.remove(_COLLEAGUE.slot_id.hex())
            case Act.TAKEDOWN:
                store.takedown([self._play.stage.file(step.what)], rewrite=step.force)
            case Act.ALLOW:
                store.allow([self._play.stage.file(step.what)])
            case Act.EXPIRE:
                store.set_ttl(f"{step.artifact}:{step.what}", 0)
            case Act.APPLY:
                store.apply_retention(store.plan_retention(), everything=True)

    def _sweep(self, store: Store, step: Step) -> Collected | None:
        if step.act is Act.GC:
            done = store.gc(store.plan_gc(expiry_s=0) if step.force else None)
            return Collected(done.slot, done.purged)
        if step.act is Act.RESUME:
            store.resume_gc()
        else:
            store.members.rotate()
        return None

    def _forge(self, backend: Backend) -> None:
        """Be a stranger with write access, for one record."""
        forged = self._play.witness.forge(self._randomness)
        if forged is not None:
            with suppress(ObjectExists):
                backend.create(*forged)

    def _pull(self, store: Store, step: Step) -> Fetched:
        target = self._play.world.folder / f"pulled-{self.number}"
        try:
            version = store.pull(f"{step.artifact}:{step.what}", target).version
            found = {
                path.relative_to(target).as_posix(): path.read_bytes()
                for path in target.rglob("*")
                if path.is_file()
            }
            return Fetched(version.number, found)
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def _opened(self) -> Store:
        if self._store is None:
            self._store = self._play.world.open(
                self.cache, wrap=self._backend, clock=self._clock, randomness=self._randomness
            )
        return self._store

    def _backend(self, _: Backend) -> Backend:
        """The client's own way to the objects, in place of the one that its store has opened."""
        return SimulatedBackend(self._play.objects, self._play.scheduler, self.number, self._clock)

    def _struck(self) -> int:
        """How often something has gone wrong for this client."""
        return sum(
            event.fate is not None and event.author.client == self.number
            for event in self._play.scheduler.events
        )


@contextmanager
def _named(who: str) -> Iterator[None]:
    """Say of whom something does not hold."""
    try:
        yield
    except Broken:
        raise
    except (AssertionError, ArtifactStoreError) as error:
        raise Broken(f"{who}: {error!r}") from error


@contextmanager
def _small(randomness: SeededRandomness, dice: Dice) -> Iterator[None]:
    """Make everything small for the length of a block, and what is sealed to keys repeatable."""
    values = {
        **_SMALL,
        "catalog.state._TAIL_BYTES_MIN": dice.one_of(_TAIL_BYTES),
        "catalog.commit.INLINE_INDEX_BYTES_MAX": dice.one_of(_INLINE_BYTES),
        "keyring.keyring.seal_to": SeededSealing(randomness).seal_to,
    }
    with ExitStack() as stack:
        for name, value in values.items():
            stack.enter_context(patch(f"artifactstore.{name}", value))
        yield


def _purged(parts: Parts, witness: Witness) -> dict[int, list[tuple[str, int]]]:
    """By sweep: the versions that a client's index calls purged."""
    found: dict[int, list[tuple[str, int]]] = {}
    key = parts.keyring.name_key()
    with parts.environment.read() as txn:
        for artifact in ARTIFACTS:
            prefix = purged_prefix(key, parse_artifact_name(artifact))
            for number in range(len(witness.records)):
                purged = purged_version(txn, prefix, number)
                if purged is not None:
                    found.setdefault(purged.slot, []).append((artifact, number))
    return found


def _written(folder: Path, tree: Mapping[str, str]) -> Contents:
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        path: SeededRandomness(int.from_bytes(file.encode(), "big")).token(_FILES[file])
        for path, file in tree.items()
    }
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return contents


def _size(contents: Contents) -> int:
    return sum(map(len, contents.values()))


def _cache(client: int) -> str:
    return f"client-{client}"


def _numbers(shown: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {version.number: version.aliases for version in versions} for name, versions in shown.items()
    }
