"""The documented JSON shapes of what commands on content print; as `shapes`, which has those of the others."""

from artifactstore.cli.rendering import iso_time
from artifactstore.cli.shapes import Shape, names_shape, version_shape
from artifactstore.store import DeniedFile, FindReport, FoundFile, Place, TakedownPlan, TakedownSummary


def find_shape(report: FindReport) -> Shape:
    """What a search found."""
    return {
        "files": [_file_shape(file) for file in report.files],
        "versions": report.versions,
        "pages": report.pages,
        "lists": report.lists,
        "unread": names_shape(report.unread),
    }


def takedown_plan_shape(plan: TakedownPlan) -> Shape:
    """What a takedown would do."""
    return {
        "files": [_file_shape(file) for file in plan.files],
        "delete": [version_shape(version) for version in plan.delete],
        "replace": [version_shape(version) for version in plan.replace],
        "hasten": [version_shape(version) for version in plan.hasten],
        "parts": list(plan.parts),
        "aliases": list(plan.aliases),
        "denied": plan.denied,
    }


def takedown_shape(done: TakedownSummary) -> Shape:
    """What a takedown did."""
    return {
        "deleted": list(done.deleted),
        "replaced": [{"reference": old, "successor": new} for old, new in done.replaced],
        "hastened": list(done.hastened),
        "parts": list(done.parts),
        "slots": list(done.slots),
    }


def denied_shape(file: DeniedFile) -> Shape:
    """One file that is refused."""
    return {
        "id": file.id,
        "time": iso_time(file.time_ns),
        "slot": file.slot,
        "member": file.member,
        "reason": file.reason,
        "requested_by": file.requested_by,
    }


def _file_shape(file: FoundFile) -> Shape:
    return {
        "name": file.name,
        "digest": file.digest,
        "size_bytes": file.size_bytes,
        "estimated": file.estimated,
        "places": [_place_shape(place) for place in file.places],
        "more": file.more,
        "unused_bytes": file.unused_bytes,
        "references": [_place_shape(place) for place in file.references],
    }


def _place_shape(place: Place) -> Shape:
    return {
        "artifact": place.artifact,
        "path": place.path,
        "digest": place.digest,
        "size_bytes": place.size_bytes,
        "whole": place.whole,
        "shared_bytes": place.shared_bytes,
        "versions": list(place.versions),
        "deleted": list(place.deleted),
    }
