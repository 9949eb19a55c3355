"""Handing versions on: to another store, out of the store as archives, and into it from elsewhere."""

from artifactstore.exchange.copy_plan import CopyPlan, CopyStep
from artifactstore.exchange.copying import copy_versions, mirror, plan_copy, plan_mirror, run_plan
from artifactstore.exchange.export import ExportSummary, export_version
from artifactstore.exchange.from_url import push_from_url
from artifactstore.exchange.importing import import_from

__all__ = [
    "CopyPlan",
    "CopyStep",
    "ExportSummary",
    "copy_versions",
    "export_version",
    "import_from",
    "mirror",
    "plan_copy",
    "plan_mirror",
    "push_from_url",
    "run_plan",
]
