"""artifactstore keeps versions of datasets, models and other files: deduplicated, compressed, encrypted, anywhere.

The names below are loaded when they are first used, so that importing the package stays cheap.
"""

from typing import TYPE_CHECKING

from artifactstore.deferred import names_of

if TYPE_CHECKING:
    from artifactstore.checkout import (
        Lock,
        LockCheck,
        LockedTarget,
        LockMove,
        Restored,
        RestorePlan,
        TargetStatus,
    )
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
    "Lock",
    "LockCheck",
    "LockMove",
    "LockedTarget",
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
    "RestorePlan",
    "Restored",
    "RetentionPlan",
    "RetentionPolicy",
    "RetentionVerdict",
    "Store",
    "StoreInfo",
    "SweepPlan",
    "TakedownPlan",
    "TakedownSummary",
    "TargetStatus",
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
    **dict.fromkeys(
        (
            "Lock",
            "LockCheck",
            "LockMove",
            "LockedTarget",
            "RestorePlan",
            "Restored",
            "TargetStatus",
        ),
        "artifactstore.checkout",
    ),
    "ArtifactStoreError": "artifactstore.errors",
    "Progress": "artifactstore.progress",
    **dict.fromkeys(
        ("CopyPlan", "CopyStep", "copy_versions", "mirror", "plan_copy", "plan_mirror", "run_plan"),
        "artifactstore.exchange",
    ),
}

__getattr__ = names_of(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
