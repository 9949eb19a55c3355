"""The front door of the library: `Store` and what it hands back, and `audit`, which needs no key."""

from typing import TYPE_CHECKING

from artifactstore.deferred import names_of

if TYPE_CHECKING:
    from artifactstore.client.caching import CacheCleaning, CachedIndex, CacheInfo, cache_info, clean_cache
    from artifactstore.client.referring import ReferenceProblem, ReferenceReport
    from artifactstore.client.results import (
        ArtifactInfo,
        DeletionPlan,
        IndexInfo,
        KeySlot,
        LogEntry,
        ProjectInfo,
        PullPlan,
        PullSummary,
        PushPlan,
        StoreInfo,
    )
    from artifactstore.client.version import Entry, LinkInfo, PushSummary, Version
    from artifactstore.comparison.results import ColumnChange, TableDiff, Tensor, TensorChange, TensorsDiff
    from artifactstore.deletion.collecting import GcSummary, PreparedSweep
    from artifactstore.deletion.keeping import (
        ArtifactRetention,
        RetentionPlan,
        RetentionPolicy,
        RetentionVerdict,
    )
    from artifactstore.deletion.measuring import Garbage
    from artifactstore.deletion.receipts import ReceiptDetails, ReceiptFacts, ReceiptInfo, verify_receipt
    from artifactstore.deletion.takingdown import DeniedFile, TakedownPlan, TakedownSummary
    from artifactstore.distribution.distributing import (
        DistributedInfo,
        DistributedPush,
        PartInfo,
        PartSummary,
        PushPart,
    )
    from artifactstore.distribution.uploading import Upload
    from artifactstore.drafts.artifact import Artifact
    from artifactstore.drafts.artifact_entry import ArtifactEntry, ArtifactManifest
    from artifactstore.format.reference import Reference
    from artifactstore.maintenance.adopt import AdoptPlan
    from artifactstore.maintenance.audit import AuditReport, ReceiptAudit
    from artifactstore.maintenance.find import FindReport, FoundFile, Place
    from artifactstore.maintenance.findings import BrokenPack, CheckReport, Names, Objects, Problem
    from artifactstore.maintenance.repair import RepairSummary
    from artifactstore.maintenance.repair_plan import RepairPlan
    from artifactstore.maintenance.sweep_plan import SweepPlan
    from artifactstore.maintenance.usage import UsageRow
    from artifactstore.references.access import ReferenceAccess
    from artifactstore.runs.run import Run, RunInfo
    from artifactstore.store.auditing import audit
    from artifactstore.store.diagnosis import Finding, diagnose
    from artifactstore.store.differences import Change, DiffTotals, FactChange, RenamedFolder, VersionDiff
    from artifactstore.store.store import Store
    from artifactstore.tracking.graph import Lineage, LineageEdge, LineageNode

__all__ = [
    "AdoptPlan",
    "Artifact",
    "ArtifactEntry",
    "ArtifactInfo",
    "ArtifactManifest",
    "ArtifactRetention",
    "AuditReport",
    "BrokenPack",
    "CacheCleaning",
    "CacheInfo",
    "CachedIndex",
    "Change",
    "CheckReport",
    "ColumnChange",
    "DeletionPlan",
    "DeniedFile",
    "DiffTotals",
    "DistributedInfo",
    "DistributedPush",
    "Entry",
    "FactChange",
    "FindReport",
    "Finding",
    "FoundFile",
    "Garbage",
    "GcSummary",
    "IndexInfo",
    "KeySlot",
    "Lineage",
    "LineageEdge",
    "LineageNode",
    "LinkInfo",
    "LogEntry",
    "Names",
    "Objects",
    "PartInfo",
    "PartSummary",
    "Place",
    "PreparedSweep",
    "Problem",
    "ProjectInfo",
    "PullPlan",
    "PullSummary",
    "PushPart",
    "PushPlan",
    "PushSummary",
    "ReceiptAudit",
    "ReceiptDetails",
    "ReceiptFacts",
    "ReceiptInfo",
    "Reference",
    "ReferenceAccess",
    "ReferenceProblem",
    "ReferenceReport",
    "RenamedFolder",
    "RepairPlan",
    "RepairSummary",
    "RetentionPlan",
    "RetentionPolicy",
    "RetentionVerdict",
    "Run",
    "RunInfo",
    "Store",
    "StoreInfo",
    "SweepPlan",
    "TableDiff",
    "TakedownPlan",
    "TakedownSummary",
    "Tensor",
    "TensorChange",
    "TensorsDiff",
    "Upload",
    "UsageRow",
    "Version",
    "VersionDiff",
    "audit",
    "cache_info",
    "clean_cache",
    "diagnose",
    "verify_receipt",
]

_NAMES = {
    "artifactstore.comparison.results": [
        "ColumnChange",
        "TableDiff",
        "Tensor",
        "TensorChange",
        "TensorsDiff",
    ],
    "artifactstore.format.reference": ["Reference"],
    "artifactstore.references.access": ["ReferenceAccess"],
    "artifactstore.client.referring": ["ReferenceProblem", "ReferenceReport"],
    "artifactstore.drafts.artifact": ["Artifact"],
    "artifactstore.drafts.artifact_entry": ["ArtifactEntry", "ArtifactManifest"],
    "artifactstore.maintenance.adopt": ["AdoptPlan"],
    "artifactstore.maintenance.audit": ["AuditReport", "ReceiptAudit"],
    "artifactstore.maintenance.find": ["FindReport", "FoundFile", "Place"],
    "artifactstore.maintenance.findings": ["BrokenPack", "CheckReport", "Names", "Objects", "Problem"],
    "artifactstore.maintenance.repair": ["RepairSummary"],
    "artifactstore.maintenance.repair_plan": ["RepairPlan"],
    "artifactstore.maintenance.sweep_plan": ["SweepPlan"],
    "artifactstore.maintenance.usage": ["UsageRow"],
    "artifactstore.store.auditing": ["audit"],
    "artifactstore.client.caching": [
        "CacheCleaning",
        "CacheInfo",
        "CachedIndex",
        "cache_info",
        "clean_cache",
    ],
    "artifactstore.store.diagnosis": ["Finding", "diagnose"],
    "artifactstore.deletion.collecting": ["GcSummary", "PreparedSweep"],
    "artifactstore.store.differences": ["Change", "DiffTotals", "FactChange", "RenamedFolder", "VersionDiff"],
    "artifactstore.distribution.distributing": [
        "DistributedInfo",
        "DistributedPush",
        "PartInfo",
        "PartSummary",
        "PushPart",
    ],
    "artifactstore.deletion.keeping": [
        "ArtifactRetention",
        "RetentionPlan",
        "RetentionPolicy",
        "RetentionVerdict",
    ],
    "artifactstore.deletion.measuring": ["Garbage"],
    "artifactstore.deletion.receipts": ["ReceiptDetails", "ReceiptFacts", "ReceiptInfo", "verify_receipt"],
    "artifactstore.client.results": [
        "ArtifactInfo",
        "DeletionPlan",
        "IndexInfo",
        "KeySlot",
        "LogEntry",
        "ProjectInfo",
        "PullPlan",
        "PullSummary",
        "PushPlan",
        "StoreInfo",
    ],
    "artifactstore.runs.run": ["Run", "RunInfo"],
    "artifactstore.store.store": ["Store"],
    "artifactstore.deletion.takingdown": ["DeniedFile", "TakedownPlan", "TakedownSummary"],
    "artifactstore.distribution.uploading": ["Upload"],
    "artifactstore.tracking.graph": ["Lineage", "LineageEdge", "LineageNode"],
    "artifactstore.client.version": ["Entry", "LinkInfo", "PushSummary", "Version"],
}

_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__getattr__ = names_of(__name__, _HOMES)
