"""Commands that look at what is kept: `ls`, `show`, `files`, `cat`."""

import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import click

from artifactstore.cli.options import (
    CommonOptions,
    Limits,
    common_options,
    example,
    limit_options,
    moment,
    parse_range,
)
from artifactstore.ids import ALL

# A multiple of 3, so that each span is whole in base64, and large enough that a blob is fetched once.
_SPAN_BYTES = 3 << 20
# What the library calls conditions that have another name here.
_ARGUMENTS = {"type_name": "type", "since": "since_ns", "until": "until_ns"}


@click.command(
    epilog=example(
        "artifactstore ls",
        "artifactstore ls team/corpus",
        "artifactstore ls team/corpus --where \"metadata.rows >= 1000 and 'draft' not in tags\"",
        "artifactstore ls team --type model --alias production --since 30d",
    )
)
@click.argument("what", metavar="[PROJECT | PROJECT/NAME]", required=False)
@click.option("--deleted", is_flag=True, help="Of PROJECT/NAME: the versions that `undelete` can bring back.")
@click.option("-t", "--type", "type_name", metavar="TYPE", help="Only of this type.")
@click.option("--tag", "tags", metavar="LABEL", multiple=True, help="Only versions with this label.")
@click.option("--alias", "aliases", metavar="NAME", multiple=True, help="Only versions with this alias.")
@click.option(
    "--where", metavar="EXPRESSION", help="Only versions of which this holds: metadata.rows > 1000."
)
@click.option(
    "--since", metavar="TIME", callback=moment, help="Only versions made since: 2026-01-31, or 30d ago."
)
@click.option("--until", metavar="TIME", callback=moment, help="Only versions made before.")
@click.option("--run", metavar="ID", help="Only versions that this run produced.")
@common_options
def ls(options: CommonOptions, what: str | None, deleted: bool, **conditions: Any) -> None:
    """List all projects, the artifacts of PROJECT, or the versions of PROJECT/NAME.

    With a condition on versions, those of PROJECT or of the whole store are listed. EXPRESSION compares fields with
    values by = != < <= > >= in, not in, and joins that by and, or, not and parentheses.
    """
    from artifactstore.cli import lines, shapes
    from artifactstore.cli.session import Session

    session = Session(options)
    asked = {_ARGUMENTS.get(name, name): value for name, value in conditions.items() if value}
    if deleted and ("/" not in (what or "") or asked):
        raise click.UsageError("--deleted goes with PROJECT/NAME, and with no condition")
    of_versions = bool(asked.keys() - {"type"}) or (what is None and bool(asked))
    with session.open_store() as store:
        if "/" in (what or "") or of_versions:
            scope = what if "/" in (what or "") else ALL if what is None else f"{what}/{ALL}"
            assert scope is not None
            versions = store.deleted_versions(scope) if deleted else store.versions(scope, **asked)
            shape: shapes.Shape = {
                "artifact": scope,
                "versions": [shapes.version_shape(item) for item in versions],
            }
            in_full = ALL in scope
            session.result(
                shape, lines.versions_lines(versions, full_digest=options.verbose, in_full=in_full)
            )
        elif what is None:
            projects = store.projects()
            shape = {"projects": [shapes.project_shape(item) for item in projects]}
            session.result(shape, lines.project_lines(projects))
        else:
            artifacts = store.artifacts(what, **asked)
            shape = {"project": what, "artifacts": [shapes.artifact_shape(item) for item in artifacts]}
            session.result(shape, lines.artifact_lines(artifacts))


@click.command(epilog=example("artifactstore show team/corpus:v0"))
@click.argument("reference", metavar="REF")
@click.option(
    "--references", is_flag=True, help="Count the references among its entries, for which its lists are read."
)
@common_options
def show(options: CommonOptions, reference: str, references: bool) -> None:
    """Show a version: its metadata, its digest, and its size when read, when pushed and as stored."""
    from artifactstore.cli.lines import version_lines
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import version_shape

    session = Session(options)
    with session.open_store() as store:
        version = store.version(session.qualified(reference))
        counted = version.counted_references() if references else None
        count, size = (None, None) if counted is None else counted
        shape = version_shape(version) | {"references": count, "reference_bytes": size}
        session.result({"version": shape}, version_lines(version, counted))


@click.command(epilog=example("artifactstore files team/corpus --path 'train/*.csv'"))
@click.argument("reference", metavar="REF")
@click.option("--path", "path_glob", metavar="GLOB", help="Only these paths, as in .gitignore.")
@common_options
def files(options: CommonOptions, reference: str, path_glob: str | None) -> None:
    """List the files of a version: size, digest (what b3sum prints), path.

    An empty folder ends with /, an executable file with *; a symlink shows its target, and a reference its URL.
    """
    from artifactstore.cli.lines import entry_line
    from artifactstore.cli.rendering import write_json_listing
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import entry_shape, version_shape

    session = Session(options)
    with session.open_store() as store:
        version = store.version(session.qualified(reference))
        entries = version.files(path_glob)
        if options.as_json:
            head = {"version": version_shape(version)}
            write_json_listing(sys.stdout, head, "files", map(entry_shape, entries))
        else:
            sys.stdout.writelines(f"{entry_line(entry, full_digest=options.verbose)}\n" for entry in entries)


@click.command(
    epilog=example(
        "artifactstore cat team/corpus:v0 train/part-0.csv",
        "artifactstore cat team/corpus model.bin --range 0:1000",
    )
)
@click.argument("reference", metavar="REF")
@click.argument("path")
@click.option("--range", "span", metavar="START:END", help="Only these bytes; -100: is the last hundred.")
@limit_options
@common_options
def cat(options: CommonOptions, limits: Limits, reference: str, path: str, span: str | None) -> None:
    """Write a file of a version to standard output, fetching only what is needed.

    With --json the bytes are base64.
    """
    from artifactstore.cli.rendering import json_line
    from artifactstore.cli.session import Session

    wanted = (None, None) if span is None else parse_range(span)
    session = Session(options)
    with session.open_store(limits) as store:
        version = store.version(session.qualified(reference))
        with version.open(path) as stream:
            start, end, _ = slice(*wanted).indices(stream.seek(0, 2))
            end = max(start, end)
            stream.seek(start)
            sys.stdout.flush()
            out = sys.stdout.buffer
            if not options.as_json:
                _write(out, _spans(stream, end - start))
                return
            head = json_line({"reference": version.qualified_name, "path": path, "start": start, "end": end})
            _write(out, (head.removesuffix("}\n").encode(), b', "data_base64": "'))
            _write(out, map(b64encode, _spans(stream, end - start)))
            _write(out, (b'"}\n',))


def _write(out: BinaryIO, spans: Iterable[bytes]) -> None:
    """Write whole spans: with PYTHONUNBUFFERED standard output is raw and may take a part of what it is given."""
    for span in spans:
        rest = memoryview(span)
        while rest:
            rest = rest[out.write(rest) :]


def _spans(stream: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """The next `size_bytes` of `stream`, in spans of a multiple of 3 but for the last."""
    from artifactstore.errors import TruncatedRead

    while size_bytes:
        want = min(_SPAN_BYTES, size_bytes)
        span = bytearray()
        while len(span) < want:
            piece = stream.read(want - len(span))
            if not piece:
                raise TruncatedRead("the file ended early", expected=want, found=len(span))
            span += piece
        size_bytes -= want
        yield bytes(span)
