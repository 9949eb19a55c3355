"""artifactstore keeps versions of datasets, models and other files: deduplicated, compressed, encrypted, anywhere.

The names below are loaded when they are first used, so that importing the package stays cheap.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artifactstore.errors import ArtifactStoreError
    from artifactstore.exchange import (
        CopyPlan,
        CopyStep,
        copy_versions,
        mirror,
        plan_copy,
        plan_mirror,
        run_plan,
    )
    from artifactstore.progress import Progress
    from artifactstore.store import (
        AdoptPlan,
        ArtifactInfo,
        ArtifactRetention,
        AuditReport,
        BrokenPack,
        CheckReport,
        DeletionPlan,
        DeniedFile,
        Entry,
        FindReport,
        FoundFile,
        GcSummary,
        IndexInfo,
        KeySlot,
        LogEntry,
        Names,
        Objects,
        Place,
        PreparedSweep,
        Problem,
        ProjectInfo,
        PullPlan,
        PullSummary,
        PushPlan,
        PushSummary,
        ReceiptAudit,
        ReceiptDetails,
        ReceiptFacts,
        ReceiptInfo,
        RepairPlan,
        RepairSummary,
        RetentionPlan,
        RetentionPolicy,
        RetentionVerdict,
        Store,
        StoreInfo,
        SweepPlan,
        TakedownPlan,
        TakedownSummary,
        Version,
        audit,
        verify_receipt,
    )

__all__ = [
    "AdoptPlan",
    "ArtifactInfo",
    "ArtifactRetention",
    "ArtifactStoreError",
    "AuditReport",
    "BrokenPack",
    "CheckReport",
    "CopyPlan",
    "CopyStep",
    "DeletionPlan",
    "DeniedFile",
    "Entry",
    "FindReport",
    "FoundFile",
    "Garbage",
    "GcSummary",
    "IndexInfo",
    "KeySlot",
    "LogEntry",
    "Names",
    "Objects",
    "Place",
    "PreparedSweep",
    "Problem",
    "Progress",
    "ProjectInfo",
    "PullPlan",
    "PullSummary",
    "PushPlan",
    "PushSummary",
    "ReceiptAudit",
    "ReceiptDetails",
    "ReceiptFacts",
    "ReceiptInfo",
    "RepairPlan",
    "RepairSummary",
    "RetentionPlan",
    "RetentionPolicy",
    "RetentionVerdict",
    "Store",
    "StoreInfo",
    "SweepPlan",
    "TakedownPlan",
    "TakedownSummary",
    "UsageRow",
    "Version",
    "audit",
    "copy_versions",
    "mirror",
    "plan_copy",
    "plan_mirror",
    "run_plan",
    "verify_receipt",
]

_HOMES = {
    **dict.fromkeys(__all__, "artifactstore.store"),
    "ArtifactStoreError": "artifactstore.errors",
    "Progress": "artifactstore.progress",
    **dict.fromkeys(
        ("CopyPlan", "CopyStep", "copy_versions", "mirror", "plan_copy", "plan_mirror", "run_plan"),
        "artifactstore.exchange",
    ),
}


def __getattr__(name: str) -> object:
    """Load a public name from its home."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'artifactstore' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
