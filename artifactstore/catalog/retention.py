"""Which versions are kept: expiry of single versions, the policy of an artifact, and what follows from both.

`plan_retention` is pure: the same versions, policy and time give the same verdicts. Nothing is deleted by time alone;
somebody applies retention, and the deletion is one like any other.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from artifactstore.catalog.links import links_of
from artifactstore.catalog.names import shown_name
from artifactstore.catalog.outcome import Cause, Outcome
from artifactstore.catalog.rows import (
    VersionRow,
    aliases,
    get_artifact,
    live_version,
    put_artifact,
    put_changed,
    versions,
)
from artifactstore.format.limits import TIME_MS_MAX
from artifactstore.format.operations import Expire, Retain, Retention
from artifactstore.ids import LATEST, ArtifactName
from artifactstore.index.environment import ReadTransaction, WriteTransaction

EXPIRED: Final = "its time to live is over"
UNKEPT: Final = "no rule of the retention policy keeps it"
_NO_VERSION: Final = "there is no such version"


def apply_keeping(txn: WriteTransaction, operation: Expire | Retain, cause: Cause) -> Outcome:
    """Note when a version expires, or the policy of an artifact."""
    name = ArtifactName(operation.project, operation.name)
    artifact = get_artifact(txn, name)
    if isinstance(operation, Retain):
        if artifact is None:
            return Outcome(None, skipped="there is no such artifact")
        changed = msgspec.structs.replace(artifact, retention=operation.policy, updated_ms=cause.time_ms)
        put_artifact(txn, name, changed)
        return Outcome(None)
    row = live_version(txn, name, operation.number)
    if artifact is None or row is None:
        return Outcome(operation.number, skipped=_NO_VERSION)
    expiring = msgspec.structs.replace(row, expires_ms=operation.expires_ms)
    put_changed(txn, name, artifact, operation.number, expiring, cause.time_ms)
    return Outcome(operation.number)


class Candidate(NamedTuple):
    """A version as a policy sees it.

    Attributes:
        number: Its number.
        place: Where it stands among the others.
        created_ms: When it was made; a successor, when the version was that it stands for.
        expires_ms: From when on it is to be deleted; None for never.
        aliases: Those that point at it, without `latest`.
        tags: Its labels.
        links: Links of it, as references.
    """

    number: int
    place: int
    created_ms: int
    expires_ms: int | None
    aliases: tuple[str, ...]
    tags: tuple[str, ...]
    links: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """What becomes of a version.

    Attributes:
        candidate: The version.
        kept_by: The rules that keep it, in words; empty when it is to be deleted.
        deleted_for: Why it is to be deleted; empty when it is kept.
    """

    candidate: Candidate
    kept_by: tuple[str, ...]
    deleted_for: str


def candidates(txn: ReadTransaction, name: ArtifactName) -> list[Candidate]:
    """The versions of an artifact that are shown, by number."""
    named: dict[int, list[str]] = {}
    for alias, number in aliases(txn, name):
        if alias != LATEST:
            named.setdefault(number, []).append(alias)
    return [
        _candidate(number, row, named.get(number, ()), _links(txn, name, number))
        for number, row in versions(txn, name)
        if row.deleted is None
    ]


def _candidate(number: int, row: VersionRow, names: Iterable[str], links: tuple[str, ...]) -> Candidate:
    place = number if row.place is None else row.place
    return Candidate(number, place, row.created_ms, row.expires_ms, tuple(names), tuple(row.tags), links)


def _links(txn: ReadTransaction, name: ArtifactName, number: int) -> tuple[str, ...]:
    links = links_of(txn, name, number)
    return tuple(sorted(f"{shown_name(txn, one.collection)}:v{one.number}" for one in links))


def plan_retention(
    policy: Retention | None, versions_shown: Sequence[Candidate], now_ms: int
) -> list[Verdict]:
    """Say of each version whether it is kept, newest first.

    A version whose time to live is over goes, whatever the rules say, unless an alias keeps it. Of the others, those
    stay that any rule keeps; without a policy all of them. Without one, or where it says so, an alias other than
    `latest` keeps a version, and so does a link of it.

    Args:
        policy: The artifact's; None where it has none.
        versions_shown: Its versions that are not deleted.
        now_ms: The time.
    """
    ordered = sorted(versions_shown, key=lambda one: one.place, reverse=True)
    aliased = policy is None or policy.aliased
    chosen = {} if policy is None else _chosen(policy, ordered)
    verdicts: list[Verdict] = []
    for one in ordered:
        held = [f"alias {alias}" for alias in one.aliases] + [f"link {link}" for link in one.links]
        kept_by = held if aliased else []
        if one.expires_ms is not None and one.expires_ms <= now_ms:
            verdicts.append(Verdict(one, tuple(kept_by), "" if kept_by else EXPIRED))
            continue
        if policy is None:
            kept_by.append("no policy")
        else:
            kept_by += chosen.get(one.number, [])
            kept_by += [f"tag {tag}" for tag in policy.tags if tag in one.tags]
            if now_ms - one.created_ms < policy.age_ms:
                kept_by.append("age")
        verdicts.append(Verdict(one, tuple(kept_by), "" if kept_by else UNKEPT))
    return verdicts


def _chosen(policy: Retention, ordered: Sequence[Candidate]) -> dict[int, list[str]]:
    """The versions that the rules which count keep, by number, each with those rules."""
    rules: list[tuple[str, int, Callable[[Candidate], object]]] = [
        ("last", policy.last, lambda one: one.number),
        ("daily", policy.daily, lambda one: _date(one).toordinal()),
        ("weekly", policy.weekly, lambda one: _date(one).isocalendar()[:2]),
        ("monthly", policy.monthly, lambda one: (_date(one).year, _date(one).month)),
    ]
    chosen: dict[int, list[str]] = {}
    for words, count, period in rules:
        seen: set[object] = set()
        for one in ordered:
            if len(seen) >= count:
                break
            if (at := period(one)) not in seen:
                seen.add(at)
                chosen.setdefault(one.number, []).append(words)
    return chosen


def _date(one: Candidate) -> datetime:
    """When a version was made; times are advisory, and one that is none counts as the last there is."""
    return datetime.fromtimestamp(min(one.created_ms, TIME_MS_MAX) / 1000, tz=UTC)
