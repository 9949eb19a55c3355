"""The documented JSON shapes of results: names as in `docs/cli.md`, sizes in bytes, times ISO 8601 in UTC.

A shape only ever gains names; a name that is there keeps its meaning.
"""

from __future__ import annotations

import msgspec

from artifactstore import store
from artifactstore.cli.rendering import iso_time
from artifactstore.cli.session import CreatedStore

Shape = dict[str, object]


def version_shape(version: store.Version) -> Shape:
    """A version without its files."""
    return {
        "reference": version.qualified_name,
        "artifact": version.artifact,
        "number": version.number,
        "digest": version.digest,
        "type": version.type,
        "description": version.description,
        "metadata": version.metadata,
        "aliases": list(version.aliases),
        "tags": list(version.tags),
        "created": iso_time(version.created_ns),
        "expires": None if version.expires_ns is None else iso_time(version.expires_ns),
        "stands_for": version.stands_for,
        "link": None if version.link is None else link_shape(version.link),
        "linked": list(version.linked),
        "file_count": version.file_count,
        "size_bytes": version.size_bytes,
        "new_bytes": version.new_bytes,
        "stored_bytes": version.stored_bytes,
    }


def link_shape(link: store.LinkInfo) -> Shape:
    """Of which version a link is."""
    return {
        "version": link.version,
        "state": link.state,
        "linked": iso_time(link.linked_ns),
        "linked_by": link.linked_by,
    }


def created_shape(store: CreatedStore) -> Shape:
    """A store that the command made."""
    return {
        "id": store.id,
        "url": store.url,
        "key_file": str(store.key_file),
        "key_file_created": store.key_file_created,
    }


def slot_shape(slot: store.KeySlot) -> Shape:
    """A slot key; `added` and `added_by` are null for the one with which the store was made."""
    return {
        "id": slot.id,
        "kind": slot.kind,
        "read_only": slot.read_only,
        "name": slot.name,
        "added": iso_time(slot.added_ns) if slot.added_ns else None,
        "added_by": slot.added_by or None,
    }


def entry_shape(entry: store.Entry) -> Shape:
    """One path of a version."""
    said = entry.reference
    return {
        "path": entry.path,
        "kind": entry.kind,
        "size_bytes": entry.size_bytes,
        "digest": entry.digest,
        "executable": entry.executable,
        "target": entry.target,
        "reference": None if said is None else reference_shape(said),
    }


def reference_shape(said: store.Reference) -> Shape:
    """What a reference says; `checksum` and `version` may be empty."""
    return {"url": said.url, "checksum": said.checksum, "version": said.version}


def push_shape(summary: store.PushSummary) -> Shape:
    """What a push did; `created` is false when the newest version has the same files already."""
    return {
        "created": summary.created,
        "files": summary.files,
        "logical_bytes": summary.logical_bytes,
        "files_read": summary.files_read,
        "bytes_read": summary.bytes_read,
        "new_bytes": summary.new_bytes,
        "stored_bytes": summary.stored_bytes,
        "packs": summary.packs,
        "seconds": summary.seconds,
    }


def push_plan_shape(plan: store.PushPlan) -> Shape:
    """What a push would do."""
    return {
        "files": plan.files,
        "logical_bytes": plan.logical_bytes,
        "files_unchanged": plan.files_unchanged,
        "files_to_read": plan.files_to_read,
        "bytes_to_read": plan.bytes_to_read,
        "paths": list(plan.paths),
    }


def pull_shape(summary: store.PullSummary) -> Shape:
    """What a pull did."""
    return {
        "destination": str(summary.destination),
        "files": summary.files,
        "logical_bytes": summary.logical_bytes,
        "files_written": summary.files_written,
        "bytes_written": summary.bytes_written,
        "bytes_kept": summary.bytes_kept,
        "references_left": summary.references_left,
        "seconds": summary.seconds,
    }


def pull_plan_shape(plan: store.PullPlan) -> Shape:
    """What a pull would do."""
    return {
        "files": plan.files,
        "logical_bytes": plan.logical_bytes,
        "files_to_write": plan.files_to_write,
        "bytes_to_fetch": plan.bytes_to_fetch,
    }


def deletion_plan_shape(plan: store.DeletionPlan) -> Shape:
    """What a deletion hides."""
    return {
        "versions": [version_shape(version) for version in plan.versions],
        "aliases": list(plan.aliases),
        "links": list(plan.links),
        "logical_bytes": plan.logical_bytes,
    }


def project_shape(project: store.ProjectInfo) -> Shape:
    """One project."""
    return {
        "name": project.name,
        "artifacts": project.artifacts,
        "versions": project.versions,
        "updated": iso_time(project.updated_ns),
    }


def artifact_shape(artifact: store.ArtifactInfo) -> Shape:
    """One artifact."""
    return {
        "artifact": artifact.artifact,
        "type": artifact.type,
        "versions": artifact.versions,
        "latest": artifact.latest,
        "size_bytes": artifact.size_bytes,
        "updated": iso_time(artifact.updated_ns),
        "collection": artifact.collection,
    }


def record_shape(record: store.LogEntry) -> Shape:
    """One record of the log."""
    return {
        "slot": record.slot,
        "time": iso_time(record.time_ns),
        "kind": record.kind,
        "operations": list(record.operations),
        "member": record.member,
        "packs_added": record.packs_added,
        "bytes_added": record.bytes_added,
    }


def check_shape(report: store.CheckReport) -> Shape:
    """What a check looked at and found."""
    return {
        "ok": report.ok,
        "problems": [problem_shape(problem) for problem in report.problems],
        "records": report.records,
        "packs": report.packs,
        "versions": report.versions,
        "versions_hurt": report.versions_hurt,
        "chunks": report.chunks,
        "bytes_read": report.bytes_read,
        "packs_read_before": report.packs_read_before,
        "packs_out_of_use": report.packs_out_of_use,
        "orphans": _objects_shape(report.orphans),
        "foreign": None if report.foreign is None else _objects_shape(report.foreign),
    }


def audit_shape(report: store.AuditReport) -> Shape:
    """What an audit looked at and found."""
    return {
        "ok": report.ok,
        "store": report.store_id,
        "problems": [problem_shape(problem) for problem in report.problems],
        "records": report.records,
        "root": report.root,
        "generation": report.generation,
        "time": iso_time(report.time_ns),
        "packs": report.packs,
        "pack_bytes": report.pack_bytes,
        "chunks": report.chunks,
        "bytes_read": report.bytes_read,
        "condemned": report.condemned,
        "unerased": _objects_shape(report.unerased),
        "all_forms": report.all_forms,
        "unnamed": None if report.unnamed is None else _objects_shape(report.unnamed),
        "checkpoint": report.checkpoint,
        "receipt": None if report.receipt is None else msgspec.to_builtins(report.receipt),
    }


def problem_shape(problem: store.Problem) -> Shape:
    """One thing that is wrong."""
    return {
        "kind": problem.kind,
        "object": problem.object,
        "message": problem.message,
        "part": problem.part,
        "versions": names_shape(problem.versions),
        "paths": names_shape(problem.paths),
        "next_step": problem.next_step,
    }


def repair_plan_shape(plan: store.RepairPlan) -> Shape:
    """What a repair would do, and what is beyond it."""
    return {
        "refused": plan.refused,
        "take_out": [
            {"object": pack.object, "part": pack.part, "reason": pack.reason} for pack in plan.take_out
        ],
        "take_back": len(plan.take_back),
        "chunks_to_save": sum(pack.survivors for pack in plan.save),
        "new_state": plan.new_state,
        "tiles": len(plan.tiles),
        "beyond": [problem_shape(problem) for problem in plan.beyond],
    }


def repair_shape(done: store.RepairSummary) -> Shape:
    """What a repair did."""
    return {
        "taken_out": done.taken_out,
        "taken_back": done.taken_back,
        "saved_bytes": done.saved_bytes,
        "packs_added": done.packs_added,
        "new_state": done.new_state,
        "tiles": done.tiles,
        "problems_left": done.problems_left,
    }


def adopt_shape(plan: store.AdoptPlan) -> Shape:
    """What a client has seen and the bucket does not have."""
    return {
        "needed": plan.needed,
        "slots_known": plan.slots_known,
        "slots_found": plan.slots_found,
        "lost": names_shape(plan.lost),
        "replaced": names_shape(plan.replaced),
        "come_back": names_shape(plan.come_back),
        "purged": names_shape(plan.purged),
        "lost_packs": plan.lost_packs,
        "lost_bytes": plan.lost_bytes,
    }


def names_shape(names: store.Names) -> Shape:
    """The first of some names, and how many there are."""
    return {"shown": list(names.shown), "total": names.total}


def _objects_shape(objects: store.Objects) -> Shape:
    return {**names_shape(objects.names), "size_bytes": objects.size_bytes}


def index_shape(index: store.IndexInfo) -> Shape:
    """The client's index."""
    return {
        "path": str(index.path),
        "size_bytes": index.size_bytes,
        "packs": index.packs,
        "chunks": index.chunks,
        "slot": index.slot,
        "stat_rows": index.stat_rows,
    }


def store_shape(info: store.StoreInfo) -> Shape:
    """The store as a whole."""
    return {
        "id": info.id,
        "url": info.url,
        "created": iso_time(info.created_ns),
        "generation": info.generation,
        "slots": [slot_shape(slot) for slot in info.slots],
        "records": info.records,
        "packs": info.packs,
        "chunks": info.chunks,
        "projects": info.projects,
        "artifacts": info.artifacts,
        "versions": info.versions,
        "logical_bytes": info.logical_bytes,
        "unique_bytes": info.unique_bytes,
        "stored_bytes": info.stored_bytes,
        "dedup_ratio": info.dedup_ratio,
        "compression_ratio": info.compression_ratio,
        "single_writer": info.single_writer,
        "probed": iso_time(info.probed_ns),
        "key_file": str(info.key_file),
        "cache": str(info.cache),
    }
