"""The front door of the library: `Store`, and what it hands back."""

from artifactstore.maintenance.check import CheckReport, Problem
from artifactstore.store.results import (
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
from artifactstore.store.store import Store
from artifactstore.store.version import Entry, PushSummary, Version

__all__ = [
    "ArtifactInfo",
    "CheckReport",
    "DeletionPlan",
    "Entry",
    "IndexInfo",
    "KeySlot",
    "LogEntry",
    "Problem",
    "ProjectInfo",
    "PullPlan",
    "PullSummary",
    "PushPlan",
    "PushSummary",
    "Store",
    "StoreInfo",
    "Version",
]
