"""What `export` prints, for people and for programs."""

from collections.abc import Iterator
from pathlib import Path

from artifactstore.cli.rendering import count_text, printable, size_text
from artifactstore.cli.shapes import version_shape
from artifactstore.exchange import ExportSummary


def export_shape(done: ExportSummary, output: Path) -> dict[str, object]:
    """What was written; `sha256` is null for a folder."""
    return {
        "version": version_shape(done.version),
        "output": str(output),
        "format": done.format,
        "files": done.files,
        "references": done.references,
        "logical_bytes": done.logical_bytes,
        "archive_bytes": done.archive_bytes,
        "sha256": done.sha256 or None,
    }


def export_lines(done: ExportSummary, output: Path) -> Iterator[str]:
    """What was written, and the archive's checksum."""
    holds = f"{count_text(done.files, 'file')}, {size_text(done.logical_bytes)}"
    yield f"{done.version.qualified_name} is in {printable(str(output))}: {holds}"
    if done.references:
        yield f"{count_text(done.references, 'reference')} listed in .artifactstore-references.json"
    if done.sha256:
        yield f"sha256 {done.sha256}"
