"""What `verify` prints."""

from collections.abc import Iterator

from artifactstore import ReferenceReport
from artifactstore.cli.rendering import count_text, printable
from artifactstore.cli.shapes import Shape, version_shape


def report_lines(report: ReferenceReport) -> Iterator[str]:
    """What asking the sources told."""
    for one in report.problems:
        yield f"{one.kind}: {printable(one.path)}: {printable(one.message)}"
        yield f"  {one.next_step}"
    unknown = f", {report.unknown} without a checksum" if report.unknown else ""
    yield (
        f"{report.version.qualified_name}: {count_text(report.references, 'reference')},"
        f" {report.good} as they were{unknown}, {count_text(len(report.problems), 'problem')}"
    )


def report_shape(report: ReferenceReport) -> Shape:
    """The same for `--json`."""
    return {
        "version": version_shape(report.version),
        "ok": report.ok,
        "references": report.references,
        "good": report.good,
        "unknown": report.unknown,
        "problems": [
            {
                "path": one.path,
                "url": one.url,
                "kind": one.kind,
                "message": one.message,
                "next_step": one.next_step,
            }
            for one in report.problems
        ],
    }
