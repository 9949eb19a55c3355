"""The command `export`: a version as a tar or zip archive, or as a folder."""

import sys
from pathlib import Path
from typing import Any, BinaryIO

import click

from artifactstore.cli.options import CommonOptions, Limits, common_options, example, limit_options

STANDARD_OUTPUT = "-"
_BY_ENDING = {".tar": "tar", ".zip": "zip"}


@click.command(
    epilog=example(
        "artifactstore export team/corpus:v3 --output corpus.zip",
        "artifactstore export team/corpus --output - | zstd > corpus.tar.zst",
    )
)
@click.argument("reference", metavar="REF")
@click.option(
    "-o",
    "--output",
    metavar="FILE|-",
    type=click.Path(),
    help="Where it goes; - is standard output. NAME-vN.tar where nothing is said.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["tar", "zip", "folder"]),
    help="As the output's ending says, else tar.",
)
@click.option(
    "--with-metadata", is_flag=True, help="Add a member with description, metadata, aliases, labels."
)
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@limit_options
@common_options
def export(
    options: CommonOptions,
    limits: Limits,
    *,
    reference: str,
    output: str | None,
    format_name: Any,
    with_metadata: bool,
    overwrite: bool,
) -> None:
    """Write a version as an archive whose bytes are the same each time, or as a folder.

    REF is PROJECT/NAME[:vN | :ALIAS | @DIGEST], and the newest version when it names none. Archives are not
    compressed: pipe them through a compressor of your choice.
    """
    from artifactstore.cli.export_rendering import export_lines, export_shape
    from artifactstore.cli.session import Session
    from artifactstore.exchange import export_version

    chosen: Any = format_name or _BY_ENDING.get(Path(output or "").suffix, "tar")
    if output == STANDARD_OUTPUT:
        _refuse_as_output(options, chosen)
    session = Session(options)
    with session.open_store(limits) as store:
        where: Path | BinaryIO
        if output == STANDARD_OUTPUT:
            where = sys.stdout.buffer
        else:
            version = store.version(session.qualified(reference))
            ending = "" if chosen == "folder" else f".{chosen}"
            name = f"{version.artifact.partition('/')[2]}-{version.name}{ending}"
            where = Path(output or name)
        done = export_version(
            store,
            session.qualified(reference),
            where,
            format=chosen,
            with_metadata=with_metadata,
            overwrite=overwrite,
            progress=session.progress,
        )
    if isinstance(where, Path):
        session.summary(export_shape(done, where), export_lines(done, where))


def _refuse_as_output(options: CommonOptions, format_name: str) -> None:
    if options.as_json:
        raise click.UsageError("standard output can't hold both the archive and JSON")
    if format_name == "folder":
        raise click.UsageError("a folder can't go to standard output")
    if sys.stdout.isatty():
        raise click.UsageError("an archive is not for a terminal: name a file, or a pipe")
