"""How long versions are kept: a time to live of single ones, retention policies of artifacts, and applying both.

Nothing is deleted by time alone. Whoever applies retention deletes what has expired and what no rule keeps, and such a
deletion is one like any other: it hides at once, and can be taken back until a sweep has purged.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from artifactstore.catalog.names import first_name, shown_name
from artifactstore.catalog.retention import Verdict, candidates, plan_retention
from artifactstore.catalog.rows import artifacts, get_artifact
from artifactstore.client import listing
from artifactstore.client.naming import Naming
from artifactstore.client.version import Version
from artifactstore.errors import InvalidMetadata, NoSuchArtifact, PreconditionFailed, UsageError
from artifactstore.format.limits import NUMBERS_PER_OPERATION_MAX, RETENTION_TAGS_MAX, TIME_MS_MAX
from artifactstore.format.operations import Delete, Expire, Operation, Retain, Retention
from artifactstore.ids import ALL, ArtifactName, check_name, parse_artifact_name
from artifactstore.index.environment import ReadTransaction

_COUNT_MAX: Final = (1 << 32) - 1
_NS_PER_MS: Final = 1_000_000
_MS_PER_S: Final = 1000


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions of an artifact are kept: those that any of the rules keeps.

    Attributes:
        last: So many of the newest.
        daily: The newest of each of so many days that have one, in UTC.
        weekly: Likewise of ISO weeks.
        monthly: Likewise of months.
        aliased: Those that an alias other than `latest` points at.
        tags: Those with one of these labels.
        min_age_s: Those that are younger, in seconds.
    """

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    aliased: bool = True
    tags: tuple[str, ...] = ()
    min_age_s: int = 0


class RetentionVerdict(msgspec.Struct, frozen=True):
    """What becomes of a version.

    Attributes:
        version: The version.
        kept_by: The rules that keep it, in words; empty when it is to be deleted.
        deleted_for: Why it is to be deleted; empty when it is kept.
    """

    version: Version
    kept_by: tuple[str, ...]
    deleted_for: str


class ArtifactRetention(msgspec.Struct, frozen=True):
    """What retention does to one artifact.

    Attributes:
        artifact: `project/name`.
        policy: Its policy; None where it has none, and only expired versions go.
        versions: Its versions, newest first.
    """

    artifact: str
    policy: RetentionPolicy | None
    versions: tuple[RetentionVerdict, ...]

    @property
    def deletes(self) -> tuple[Version, ...]:
        """The versions that would be deleted."""
        return tuple(one.version for one in self.versions if one.deleted_for)

    @property
    def deletes_all(self) -> bool:
        """Whether no version would be left."""
        return bool(self.versions) and all(one.deleted_for for one in self.versions)


class RetentionPlan(msgspec.Struct, frozen=True):
    """What applying retention would do.

    Attributes:
        artifacts: Each artifact that was asked for and has a policy or something that expired, by name.
    """

    artifacts: tuple[ArtifactRetention, ...]

    @property
    def deletes(self) -> tuple[Version, ...]:
        """The versions that would be deleted."""
        return tuple(version for one in self.artifacts for version in one.deletes)

    @property
    def emptied(self) -> tuple[str, ...]:
        """Artifacts of which no version would be left."""
        return tuple(one.artifact for one in self.artifacts if one.deletes_all)


class Keeping(Naming):
    """The part of a store that knows how long versions are kept."""

    def set_ttl(self, ref: str, seconds: int | None) -> Version:
        """Let a version expire so long after it was made, or never; return it.

        It is deleted by whoever applies retention after that.

        Args:
            ref: The version.
            seconds: Its time to live, counted from `created_ns`; None for ever.

        Raises:
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: There is none.
            UsageError: It is negative, or ends after the year 9999.
        """
        version = self.version(ref)
        expires_ms = None
        if seconds is not None:
            expires_ms = version.created_ns // _NS_PER_MS + seconds * _MS_PER_S
            if seconds < 0 or expires_ms > TIME_MS_MAX:
                raise UsageError(
                    f"a time to live is not negative, and ends before the year 10000: {seconds} s"
                )
        name = parse_artifact_name(version.artifact)
        self._keep(Expire(name.project, name.name, version.number, expires_ms))
        return self._now(version)

    def retention(self, artifact: str) -> RetentionPolicy | None:
        """The policy of an artifact, None where it has none.

        Raises:
            NoSuchProject, NoSuchArtifact: There is none of that name.
        """
        name = parse_artifact_name(artifact)
        self.refresh()
        with self._parts.environment.read() as txn:
            row = listing.artifact_row(self, txn, name)
        return _public(row.retention)

    def set_retention(self, artifact: str, policy: RetentionPolicy | None) -> None:
        """Set the policy of an artifact; nothing is deleted before somebody applies it.

        Args:
            artifact: `project/name`.
            policy: None for none.

        Raises:
            NoSuchProject, NoSuchArtifact: There is none of that name.
            UsageError: A number is out of range, or the policy has no rule at all.
            InvalidName: A tag breaks the naming rules.
        """
        name = parse_artifact_name(artifact)
        stored = None if policy is None else _stored(policy)
        self.retention(artifact)
        self._keep(Retain(name.project, name.name, stored))

    def plan_retention(self, artifacts_asked: Iterable[str] | None = None) -> RetentionPlan:
        """Say which versions `apply_retention` would delete, and by which rules the others are kept.

        Args:
            artifacts_asked: `project/name`, or `project/*`; all artifacts when None.

        Raises:
            NoSuchProject, NoSuchArtifact: There is none of that name.
        """
        self.refresh()
        now_ms = self._clock.now_ns() // _NS_PER_MS
        with self._parts.environment.read() as txn:
            names = self._asked(txn, artifacts_asked)
            found = [self._of_artifact(txn, name, now_ms) for name in names]
        return RetentionPlan(tuple(one for one in found if one.policy is not None or one.deletes))

    def apply_retention(self, plan: RetentionPlan, *, everything: bool = False) -> list[Version]:
        """Delete what a plan says, but for what was changed since so that it is kept; return it.

        Args:
            plan: From `plan_retention`.
            everything: Go on although of some artifact no version would be left.

        Raises:
            PreconditionFailed: No version of some artifact would be left, and `everything` is not set.
        """
        if plan.emptied and not everything:
            raise PreconditionFailed(
                f"no version of {plan.emptied[0]} would be left",
                next_step="change the policy, or pass --force (everything=True) to delete them all",
                artifacts=list(plan.emptied),
            )
        if not plan.deletes:
            return []
        deleted: set[str] = set()

        def operations() -> Sequence[Operation]:
            # Plans are made again as of the very slot: an alias that was put on a version since keeps it.
            deleted.clear()
            now_ms = self._clock.now_ns() // _NS_PER_MS
            found: list[Operation] = []
            with self._parts.environment.read() as txn:
                for one in plan.artifacts:
                    due = _due(txn, one, now_ms)
                    deleted.update(
                        f"{one.artifact}:v{number}" for numbers in due.values() for number in numbers
                    )
                    found += _deletions(parse_artifact_name(one.artifact), due)
            if not found:
                raise _NothingDue
            return found

        self.before_writing()
        try:
            self.across(lambda: self._parts.committer.commit(operations))
        except _NothingDue:
            return []
        return [version for version in plan.deletes if version.qualified_name in deleted]

    def _keep(self, operation: Expire | Retain) -> None:
        skipped = self._commit([operation])
        if skipped:
            raise NoSuchArtifact(f"nothing was changed: {skipped}")

    def _asked(self, txn: ReadTransaction, asked: Iterable[str] | None) -> list[ArtifactName]:
        """The artifacts that were asked for, by name, each once."""
        if asked is None:
            return sorted((name for name, _ in artifacts(txn)), key=lambda name: shown_name(txn, name))
        names: set[ArtifactName] = set()
        for text in asked:
            project, slash, name = text.partition("/")
            if slash and name == ALL:
                listing.refuse_unknown_project(txn, check_name(project, "project"))
                names.update(found for found, _ in artifacts(txn, project))
            else:
                names.add(first_name(txn, parse_artifact_name(text)))
                listing.artifact_row(self, txn, parse_artifact_name(text))
        return sorted(names, key=lambda name: shown_name(txn, name))

    def _of_artifact(self, txn: ReadTransaction, name: ArtifactName, now_ms: int) -> ArtifactRetention:
        row = get_artifact(txn, name)
        policy = None if row is None else row.retention
        verdicts = plan_retention(policy, candidates(txn, name), now_ms)
        return ArtifactRetention(
            str(shown_name(txn, name)),
            _public(policy),
            tuple(
                RetentionVerdict(
                    listing.version_at(self, txn, name, one.candidate.number), one.kept_by, one.deleted_for
                )
                for one in verdicts
            ),
        )


def _due(txn: ReadTransaction, planned: ArtifactRetention, now_ms: int) -> dict[str, list[int]]:
    """The numbers that are still to be deleted of those that were planned, by the reason."""
    name = parse_artifact_name(planned.artifact)
    row = get_artifact(txn, name)
    if row is None:
        return {}
    wanted = {version.number for version in planned.deletes}
    verdicts: list[Verdict] = plan_retention(row.retention, candidates(txn, name), now_ms)
    due: dict[str, list[int]] = {}
    for one in verdicts:
        if one.deleted_for and one.candidate.number in wanted:
            due.setdefault(one.deleted_for, []).append(one.candidate.number)
    return due


def _deletions(name: ArtifactName, due: dict[str, list[int]]) -> list[Operation]:
    return [
        Delete(
            name.project,
            name.name,
            sorted(numbers)[start : start + NUMBERS_PER_OPERATION_MAX],
            # A rule, or the lack of one, has decided about the aliases already.
            force=True,
            now=False,
            reason=reason,
            requested_by="",
        )
        for reason, numbers in due.items()
        for start in range(0, len(numbers), NUMBERS_PER_OPERATION_MAX)
    ]


def _stored(policy: RetentionPolicy) -> Retention:
    counts = (policy.last, policy.daily, policy.weekly, policy.monthly)
    if (
        any(not 0 <= count <= _COUNT_MAX for count in counts)
        or not 0 <= policy.min_age_s * _MS_PER_S <= TIME_MS_MAX
    ):
        raise UsageError("what a policy counts is not negative, and not absurdly large")
    if len(policy.tags) > RETENTION_TAGS_MAX:
        raise InvalidMetadata(
            f"a policy may name {RETENTION_TAGS_MAX} labels at most, and this one names {len(policy.tags)}"
        )
    if not any(counts) and not policy.tags and not policy.min_age_s:
        raise UsageError(
            "a policy without a rule would keep nothing but what has an alias",
            next_step="say what to keep: --keep-last, -daily, -weekly, -monthly or -tagged, or --min-age",
        )
    tags = sorted({check_name(tag, "tag") for tag in policy.tags})
    return Retention(*counts, policy.aliased, tags, policy.min_age_s * _MS_PER_S)


def _public(policy: Retention | None) -> RetentionPolicy | None:
    if policy is None:
        return None
    return RetentionPolicy(
        last=policy.last,
        daily=policy.daily,
        weekly=policy.weekly,
        monthly=policy.monthly,
        aliased=policy.aliased,
        tags=tuple(policy.tags),
        min_age_s=policy.age_ms // _MS_PER_S,
    )


class _NothingDue(Exception):
    """Everything that was planned is kept by now, or gone."""
