"""The documented JSON shapes of what commands on retention print; as `shapes`, which has those of the others."""

from artifactstore.cli.rendering import iso_time
from artifactstore.cli.shapes import Shape
from artifactstore.store import ArtifactRetention, RetentionPlan, RetentionPolicy, RetentionVerdict


def policy_shape(policy: RetentionPolicy | None) -> Shape | None:
    """A retention policy."""
    if policy is None:
        return None
    return {
        "last": policy.last,
        "daily": policy.daily,
        "weekly": policy.weekly,
        "monthly": policy.monthly,
        "aliased": policy.aliased,
        "tags": list(policy.tags),
        "min_age_seconds": policy.min_age_s,
    }


def artifact_retention_shape(about: ArtifactRetention) -> Shape:
    """What retention does to one artifact."""
    return {
        "artifact": about.artifact,
        "policy": policy_shape(about.policy),
        "versions": [_verdict_shape(one) for one in about.versions],
        "deletes_all": about.deletes_all,
    }


def retention_plan_shape(plan: RetentionPlan) -> Shape:
    """What applying retention would do."""
    return {
        "artifacts": [artifact_retention_shape(one) for one in plan.artifacts],
        "emptied": list(plan.emptied),
    }


def _verdict_shape(one: RetentionVerdict) -> Shape:
    return {
        "reference": one.version.qualified_name,
        "created": iso_time(one.version.created_ns),
        "kept_by": list(one.kept_by),
        "deleted_for": one.deleted_for,
    }
