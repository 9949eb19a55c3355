"""What a store's log says happened, against what its clients were told.

The ledger replays the operations of every record into the reference model, without any code of the catalog. What a
client was told must be what the ledger had at some slot between the begin and the end of the client's step.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from artifactstore.catalog.generation import GRACE_MS_DEFAULT
from artifactstore.errors import (
    ClockSkewed,
    Deleted,
    Denied,
    NoSuchArtifact,
    NoSuchEntry,
    NoSuchProject,
    NoSuchPush,
    NoSuchVersion,
    PartsMissing,
    PreconditionFailed,
    PushEnded,
    UsageError,
)
from artifactstore.format.operations import (
    Alias,
    Allow,
    Delete,
    Deny,
    Expire,
    Operation,
    Push,
    Replace,
    Undelete,
)
from artifactstore.format.record import RecordType
from artifactstore.ids import LATEST
from artifactstore.testing.model import Contents, ModelArtifact, ModelStore
from artifactstore.testing.schedule import PUSHES, Act, Step
from artifactstore.testing.scheduler import Author, Broken
from artifactstore.testing.witness import Witnessed

_ABSENT = frozenset({kind.kind for kind in (Deleted, NoSuchArtifact, NoSuchProject, NoSuchVersion)})
_PASSED_OVER = PreconditionFailed.kind
_SWEEPING = frozenset({Act.GC, Act.ROTATE, Act.LEAVE})
# One step of these may be several operations.
_MANIFOLD = frozenset({Act.TAKEDOWN, Act.APPLY})
_GRACE_NS = GRACE_MS_DEFAULT * 1_000_000


class Landed(NamedTuple):
    """What a push was told."""

    number: int
    created: bool


class Fetched(NamedTuple):
    """What a pull was told, and what it wrote."""

    number: int
    contents: Contents


class Collected(NamedTuple):
    """What a collection was told: its sweep's record, if it made one, and what that purged."""

    slot: int | None
    purged: tuple[str, ...]


class Checked(NamedTuple):
    """What a check found."""

    problems: tuple[str, ...]


class Deletion(NamedTuple):
    """When a version was deleted, and whether for the next sweep."""

    time_ns: int
    now: bool


class Outcome(NamedTuple):
    """What became of one step.

    Attributes:
        author: Whose step, and which.
        step: What was asked for.
        begin: The head when it began.
        end: The head when it ended.
        result: What it returned; None when it failed.
        error: What it failed with; None when it didn't.
        died: Whether the client died over it.
        struck: Whether anything went wrong at its operations.
        skewed: Whether its clock has jumped, or much time passed over it.
    """

    author: Author
    step: Step
    begin: int
    end: int
    result: Landed | Fetched | Collected | Checked | None
    error: Exception | None
    died: bool
    struck: bool
    skewed: bool


class _Entry(NamedTuple):
    """One operation of a record and what it did: for a push what it made, else whether it applied."""

    slot: int
    operation: Operation
    result: Landed | bool


class Ledger:
    """The model after every record.

    Args:
        records: The log.
        contents_of: Gives the contents that a push by somebody put there.
        purged: By sweep: the versions that a new client calls purged by it.
        joined: Whether the colleague was a member, at every head from 0 on.
        step_of: Which step somebody was in.
        files_of: The contents that a step pushes, or takes down, or allows again.
    """

    def __init__(
        self,
        records: Sequence[Witnessed],
        contents_of: Callable[[Author | None, Push], Contents],
        purged: Mapping[int, Sequence[tuple[str, int]]],
        joined: Sequence[bool],
        step_of: Callable[[Author], Step],
        files_of: Callable[[Step], Contents],
    ) -> None:
        self._contents_of = contents_of
        self._purged = purged
        self._joined = joined
        self._step_of = step_of
        self._files_of = files_of
        self._expiring: set[tuple[str, int]] = set()
        self._denied: list[frozenset[bytes]] = [frozenset()]
        self._deletions: dict[tuple[str, int], Deletion] = {}
        self._time_ns = 0
        self.sweeps = [slot for slot, one in enumerate(records) if _is_sweep(one)]
        self.model = ModelStore()
        self.after: list[Mapping[str, ModelArtifact]] = [{}]
        self.entries: dict[Author | None, list[_Entry]] = {}
        self._digests: dict[bytes, Contents] = {}
        for author, opened, self._time_ns in records:
            changed = self._purge(opened.slot)
            for operation in () if opened.sealed is None else opened.sealed.operations:
                result = self._apply(operation, author)
                if result is not None:
                    changed.add(f"{operation.project}/{operation.name}")  # type: ignore[union-attr]
                    self.entries.setdefault(author, []).append(_Entry(opened.slot, operation, result))
            self._judge_denied(opened.slot)
            copied = self.model.copy().artifacts if changed else {}
            self.after.append(
                {**self.after[-1], **{name: copied[name] for name in changed if name in copied}}
            )

    def judge(self, outcome: Outcome) -> None:
        """Compare what a client was told with what happened.

        Raises:
            Broken: They contradict each other.
        """
        entries = self.entries.get(outcome.author, [])
        once = len(entries) <= 1 or outcome.step.act in _MANIFOLD
        _demand(once, outcome, f"it took effect {len(entries)} times (invariant 4)")
        if outcome.died:
            return
        if outcome.error is not None:
            self._judge_error(outcome, outcome.error, entries)
            return
        match outcome.step.act:
            case Act.PUSH | Act.SHARE:
                self._judge_push(outcome, entries)
            case Act.PULL:
                self._judge_pull(outcome)
            case Act.DELETE | Act.UNDELETE | Act.ALIAS:
                _demand(
                    len(entries) == 1, outcome, "it was acknowledged, and no record holds it (invariant 12)"
                )
                _demand(entries[0].result is True, outcome, "it was acknowledged, and did not apply")
            case Act.GC:
                assert isinstance(outcome.result, Collected)
                slot, told = outcome.result
                found = () if slot is None else self._purged.get(slot, ())
                agrees = sorted(told) == sorted(f"{name}:v{number}" for name, number in found)
                _demand(agrees, outcome, f"it was told of {told}, and purged {found}")
            case Act.JOIN | Act.LEAVE:
                was = self._was_member(outcome, member=outcome.step.act is Act.JOIN)
                _demand(was, outcome, "it was acknowledged, and no record says so (invariant 12)")
            case Act.TAKEDOWN | Act.ALLOW:
                listed = self._listed(outcome, denied=outcome.step.act is Act.TAKEDOWN)
                _demand(listed, outcome, "it was acknowledged, and the deny list never said so")
            case Act.CHECK:
                assert isinstance(outcome.result, Checked)
                clean = outcome.struck or not outcome.result.problems
                _demand(clean, outcome, f"it found {outcome.result.problems}, and nothing had gone wrong")
            case _:
                pass

    def _judge_error(self, outcome: Outcome, error: Exception, entries: list[_Entry]) -> None:
        kind = getattr(error, "kind", "")
        refused = isinstance(error, PreconditionFailed | UsageError)
        if (
            refused
            and outcome.step.act in {Act.JOIN, Act.LEAVE}
            and self._was_member(outcome, member=outcome.step.act is Act.JOIN)
        ):
            return  # somebody else was faster
        if isinstance(error, PreconditionFailed) and outcome.step.act in _SWEEPING:
            swept = any(outcome.begin <= slot < outcome.end for slot in self.sweeps)
            _demand(swept, outcome, f"it was refused with {error}, and no sweep had come between")
        elif isinstance(error, PushEnded | NoSuchPush) and outcome.step.act is Act.SHARE:
            swept = any(outcome.begin <= slot < outcome.end for slot in self.sweeps)
            _demand(swept, outcome, f"it failed with {error}, and no sweep had come between")
        elif kind in {Denied.kind, PartsMissing.kind}:
            _demand(
                self._was_denied(outcome), outcome, f"it was refused with {error}, and nothing was denied"
            )
        elif kind == NoSuchEntry.kind and outcome.step.act is Act.ALLOW:
            _demand(
                self._listed(outcome, denied=False), outcome, f"it failed with {error}, and it was denied"
            )
        elif kind == ClockSkewed.kind:
            _demand(outcome.skewed, outcome, f"it was refused with {error}, and its clock was right")
        elif kind == _PASSED_OVER and outcome.step.act is not Act.PULL:
            passed_over = any(entry.result is False for entry in entries)
            held = any(self._held(outcome, state) for state in self._between(outcome))
            _demand(passed_over or held, outcome, "it was refused, and nothing stood in its way")
        elif kind in _ABSENT:
            wanted = outcome.step.act is Act.UNDELETE
            absent = any(
                not self._numbers(state, outcome.step, deleted=wanted) for state in self._between(outcome)
            )
            _demand(absent, outcome, f"it failed with {error}, and the version was there all the time")
        else:
            _demand(outcome.struck, outcome, f"it failed with {error!r}, and nothing had gone wrong")

    def _judge_push(self, outcome: Outcome, entries: list[_Entry]) -> None:
        result, contents = outcome.result, None
        assert isinstance(result, Landed)
        if entries:
            _demand(
                entries[0].result == result, outcome, f"it was told {result}, and made {entries[0].result}"
            )
            return
        _demand(not result.created, outcome, f"it was told {result}, and no record holds it (invariant 12)")
        for state in self._between(outcome):
            artifact = state.get(outcome.step.artifact)
            if artifact is not None and artifact.newest() == result.number:
                contents = artifact.versions[result.number].contents
        _demand(contents is not None, outcome, f"it was told {result}, which was never the newest")

    def _judge_pull(self, outcome: Outcome) -> None:
        result = outcome.result
        assert isinstance(result, Fetched)
        states = [
            state
            for state in self._between(outcome)
            if result.number in self._numbers(state, outcome.step, deleted=False)
        ]
        _demand(bool(states), outcome, f"it was given v{result.number}, which it never named")
        expected = states[0][outcome.step.artifact].versions[result.number].contents
        _demand(result.contents == expected, outcome, f"it was given other bytes than v{result.number} holds")

    def _between(self, outcome: Outcome) -> Iterable[Mapping[str, ModelArtifact]]:
        """The model at every head that the step may have seen."""
        return self.after[outcome.begin : outcome.end + 1]

    def _listed(self, outcome: Outcome, *, denied: bool) -> bool:
        """Whether all files of a step were on the deny list at one head that it may have seen, or none was."""
        files = set(self._files_of(outcome.step).values())
        between = self._denied[outcome.begin : outcome.end + 1]
        return any(files <= listed if denied else files.isdisjoint(listed) for listed in between)

    def _was_member(self, outcome: Outcome, *, member: bool) -> bool:
        """Whether the colleague was a member, or none, at one head that a step may have seen."""
        return member in self._joined[outcome.begin : outcome.end + 1]

    def _was_denied(self, outcome: Outcome) -> bool:
        """Whether what a step would have shown was on the deny list at a head that it may have seen."""
        step = outcome.step
        for slot in range(outcome.begin, outcome.end + 1):
            state, listed = self.after[slot], self._denied[slot]
            if step.act in PUSHES:
                wanted = [self._files_of(step)]
            else:
                numbers = self._numbers(state, step, deleted=True)
                wanted = [state[step.artifact].versions[number].contents for number in numbers]
            if any(not listed.isdisjoint(contents.values()) for contents in wanted):
                return True
        return False

    def _judge_denied(self, slot: int) -> None:
        """After each record nothing is shown that is on the deny list."""
        denied = self.model.denied
        for name, artifact in self.model.artifacts.items():
            for number in artifact.shown() if denied else ():
                if self.model.refuses(artifact.versions[number].contents):
                    raise Broken(
                        f"record {slot} leaves {name}:v{number} in sight, which holds what is denied"
                    )
        self._denied.append(frozenset(denied))

    def _numbers(self, state: Mapping[str, ModelArtifact], step: Step, *, deleted: bool) -> list[int]:
        """The versions that a step names."""
        artifact = state.get(step.artifact)
        if artifact is None:
            return []
        there = [
            number for number, _ in enumerate(artifact.versions) if _is(artifact, number, deleted=deleted)
        ]
        if step.what == "*":
            return there
        if step.what.startswith("v"):
            return [number for number in there if step.what == f"v{number}"]
        return [number for number in there if artifact.aliases.get(step.what) == number]

    def _held(self, outcome: Outcome, state: Mapping[str, ModelArtifact]) -> bool:
        """Whether an alias stands in the way of a deletion."""
        if outcome.step.act is not Act.DELETE or outcome.step.force:
            return False
        numbers = self._numbers(state, outcome.step, deleted=False)
        aliases = state[outcome.step.artifact].aliases if numbers else {}
        return any(at in numbers for alias, at in aliases.items() if alias != LATEST)

    def _purge(self, slot: int) -> set[str]:
        """Purge what the sweep at a slot did, which must have been deleted for long enough (invariant 5)."""
        for name, number in self._purged.get(slot, ()):
            artifact = self.model.artifacts.get(name)
            if artifact is None or not _is(artifact, number, deleted=True):
                raise Broken(f"invariant 5: the sweep {slot} purged {name}:v{number}, which was not deleted")
            deletion = self._deletions[name, number]
            if not deletion.now and self._time_ns < deletion.time_ns + _GRACE_NS:
                raise Broken(f"the sweep {slot} purged {name}:v{number} within its grace")
            self.model.purge(name, number)
        return {name for name, _ in self._purged.get(slot, ())}

    def _apply(self, operation: Operation, author: Author | None) -> Landed | bool | None:
        """Apply one operation; None for one that changes no version."""
        match operation:
            case Push():
                contents = self._contents_of(author, operation)
                self._learn(operation.manifest.digest, contents)
                name = f"{operation.project}/{operation.name}"
                return Landed(
                    *self.model.push(name, contents, aliases=operation.aliases, tags=operation.tags)
                )
            case Replace():
                return self._replace(operation, self._files(author))
            case Alias():
                return self._move(operation)
            case Delete():
                self._judge_retention(operation, author)
                return self._delete(operation)
            case Undelete():
                return self._undelete(operation)
            case Deny():
                self.model.denied |= self._files(author)
            case Allow():
                self.model.denied -= self._files(author)
            case Expire():
                self._expiring.add((f"{operation.project}/{operation.name}", operation.number))
        return None

    def _files(self, author: Author | None) -> set[bytes]:
        """What somebody is taking down, or allowing again."""
        assert author is not None
        return set(self._files_of(self._step_of(author)).values())

    def _learn(self, digest: bytes, contents: Contents) -> None:
        if self._digests.setdefault(digest, contents) != contents:
            raise Broken("two contents have one digest")

    def _replace(self, operation: Replace, files: set[bytes]) -> Landed | bool:
        name, number = f"{operation.project}/{operation.name}", operation.number
        artifact = self.model.artifacts.get(name)
        if artifact is None or not _is(artifact, number, deleted=False):
            return False
        contents = artifact.versions[number].contents
        rest = {path: data for path, data in contents.items() if data not in files}
        self._learn(operation.manifest.digest, rest)
        self._deletions[name, number] = Deletion(self._time_ns, now=True)
        return Landed(self.model.replace(name, number, rest), created=True)

    def _judge_retention(self, operation: Delete, author: Author | None) -> None:
        """Retention deletes what has expired, and nothing else."""
        if author is not None and self._step_of(author).act is Act.APPLY:
            name = f"{operation.project}/{operation.name}"
            early = [number for number in operation.numbers if (name, number) not in self._expiring]
            if early:
                raise Broken(f"retention deleted {early} of {name}, which nobody had let expire")

    def _move(self, operation: Alias) -> bool:
        name, artifact = self._artifact(operation)
        number = operation.number
        if artifact is None or (number is not None and not _is(artifact, number, deleted=False)):
            return False
        if number is not None:
            self.model.add_aliases(name, number, operation.aliases)
        else:
            self.model.remove_aliases(name, [one for one in operation.aliases if one in artifact.aliases])
        return True

    def _delete(self, operation: Delete) -> bool:
        name, artifact = self._artifact(operation)
        if artifact is None:
            return False
        # What is hidden already may still be purged sooner.
        numbers = [
            number
            for number in operation.numbers
            if _is(artifact, number, deleted=False)
            or (
                operation.now
                and _is(artifact, number, deleted=True)
                and not self._deletions[name, number].now
            )
        ]
        held = any(at in operation.numbers for alias, at in artifact.aliases.items() if alias != LATEST)
        if not numbers or (held and not operation.force):
            return False
        for number in numbers:
            self.model.delete(name, number)
            self._deletions[name, number] = Deletion(self._time_ns, operation.now)
        return True

    def _undelete(self, operation: Undelete) -> bool:
        """Whether what was wanted is so afterwards: who comes second with the same wish has it fulfilled."""
        name, artifact = self._artifact(operation)
        if artifact is None:
            return False
        for number in operation.numbers:
            if _is(artifact, number, deleted=True):
                self.model.undelete(name, number)
        return any(_is(artifact, number, deleted=False) for number in operation.numbers)

    def _artifact(self, operation: Alias | Delete | Undelete) -> tuple[str, ModelArtifact | None]:
        name = f"{operation.project}/{operation.name}"
        return name, self.model.artifacts.get(name)


def _is_sweep(record: Witnessed) -> bool:
    return record.opened.clear is not None and record.opened.clear.type == RecordType.SWEEP


def _is(artifact: ModelArtifact, number: int, *, deleted: bool) -> bool:
    if number >= len(artifact.versions):
        return False
    version = artifact.versions[number]
    return version.deleted == deleted and not version.purged


def _demand(holds: bool, outcome: Outcome, otherwise: str) -> None:
    if not holds:
        author = outcome.author
        raise Broken(f"{otherwise}: client {author.client}, step {author.step}, {outcome.step}")
