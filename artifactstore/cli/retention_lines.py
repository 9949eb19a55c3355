"""The lines in which people read what commands on retention say; as `lines`, which has those of the others."""

from collections.abc import Iterator, Sequence

from artifactstore.cli.rendering import count_text, size_text, table, time_text
from artifactstore.store import ArtifactRetention, RetentionPlan, RetentionPolicy, Version

_VERSIONS_SHOWN = 50
_UNITS = (("week", 7 * 86_400), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def policy_lines(artifact: str, policy: RetentionPolicy | None) -> Iterator[str]:
    """A policy in a sentence."""
    if policy is None:
        yield f"{artifact} has no policy: all its versions are kept, but for what expires"
        return
    rules = [f"the newest {policy.last:,}"] if policy.last else []
    for period, count in (("day", policy.daily), ("week", policy.weekly), ("month", policy.monthly)):
        rules += [f"the newest of each of {count_text(count, period)}"] if count else []
    rules += ["what an alias points at"] if policy.aliased else []
    rules += [f"what is tagged {tag}" for tag in policy.tags]
    rules += [f"what is younger than {_age_text(policy.min_age_s)}"] if policy.min_age_s else []
    yield f"{artifact} keeps {'; '.join(rules)}"


def verdict_lines(about: ArtifactRetention) -> Iterator[str]:
    """A policy, and what becomes of each version."""
    yield from policy_lines(about.artifact, about.policy)
    if about.versions:
        yield from table(
            ("version", "created", "kept by", "to be deleted, since"),
            [
                (
                    one.version.name,
                    time_text(one.version.created_ns),
                    ", ".join(one.kept_by),
                    one.deleted_for,
                )
                for one in about.versions
            ],
        )


def retention_plan_lines(plan: RetentionPlan) -> Iterator[str]:
    """What applying retention would delete."""
    if not plan.deletes:
        yield "there is nothing to delete"
        return
    size = sum(version.size_bytes for version in plan.deletes)
    yield f"would delete {count_text(len(plan.deletes), 'version')}, {size_text(size)}"
    for one in plan.artifacts:
        deletes = [verdict for verdict in one.versions if verdict.deleted_for]
        if not deletes:
            continue
        left = "no version would be left" if one.deletes_all else f"{len(one.versions) - len(deletes):,} stay"
        yield f"{one.artifact}: {count_text(len(deletes), 'version')}, {left}"
        for verdict in deletes[:_VERSIONS_SHOWN]:
            version = verdict.version
            names = [alias for alias in version.aliases if alias != "latest"]
            with_names = f", with the alias {', '.join(names)}" if names else ""
            yield f"  {version.name} of {time_text(version.created_ns)}: {verdict.deleted_for}{with_names}"
        if len(deletes) > _VERSIONS_SHOWN:
            yield f"  and {len(deletes) - _VERSIONS_SHOWN:,} more"


def retention_lines(deleted: Sequence[Version]) -> Iterator[str]:
    """What applying retention deleted."""
    yield f"deleted {count_text(len(deleted), 'version')}"


def _age_text(seconds: int) -> str:
    """`30 days`; in the largest unit that gives a whole number."""
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return count_text(seconds // size, unit)
