"""The documented JSON shapes of what commands on content print; as `shapes`, which has those of the others."""

from artifactstore.cli.shapes import Shape, names_shape
from artifactstore.store import FindReport, FoundFile, Place


def find_shape(report: FindReport) -> Shape:
    """What a search found."""
    return {
        "files": [_file_shape(file) for file in report.files],
        "versions": report.versions,
        "pages": report.pages,
        "lists": report.lists,
        "unread": names_shape(report.unread),
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
