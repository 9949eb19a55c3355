"""The command `import`: versions of what another tool, an archive or a folder holds."""

import sys
from typing import Any, BinaryIO

import click

from artifactstore.cli.options import (
    CommonOptions,
    Limits,
    common_options,
    example,
    limit_options,
)
from artifactstore.cli.url_options import max_size as size_of

STANDARD_INPUT = "-"
_KINDS = ["folder", "versions", "tar", "zip", "mlflow", "dvc", "huggingface", "restic"]


@click.command(
    "import",
    epilog=example(
        "artifactstore import corpus.tar.zst team/corpus",
        "artifactstore import mlruns/0/3f2c… team/model --alias candidate",
        "artifactstore import data.dvc team/data",
        "artifactstore import /srv/backup team/etc --from restic --revision latest",
    ),
)
@click.argument("source", metavar="SOURCE", type=click.Path())
@click.argument("artifact", metavar="PROJECT/NAME")
@click.option(
    "--from",
    "kind",
    type=click.Choice(_KINDS),
    help="What SOURCE is; told by its look where nothing is said.",
)
@click.option("-t", "--type", "type_name", metavar="TYPE", help="What it is, else what the source says.")
@click.option(
    "-a", "--alias", "aliases", metavar="NAME", multiple=True, help="Point this alias at the last version."
)
@click.option("--tag", "tags", metavar="LABEL", multiple=True, help="Put this label on each version.")
@click.option("--description", metavar="TEXT", help="A sentence about the version.")
@click.option(
    "--metadata",
    metavar="KEY=VALUE|@FILE",
    multiple=True,
    help="A value (JSON where it parses, else text), or a JSON file, beside what the source says.",
)
@click.option(
    "--revision", metavar="NAME", help="The commit, branch or tag of huggingface; the snapshot of restic."
)
@click.option(
    "--source-password-command",
    metavar="COMMAND",
    help="Handed to restic, which unlocks its repository with what COMMAND prints.",
)
@click.option("--max-size", metavar="SIZE", callback=size_of, help="Refuse a version of more: 500GB, 2TiB.")
@limit_options
@common_options
def import_command(
    options: CommonOptions,
    limits: Limits,
    *,
    source: str,
    artifact: str,
    kind: Any,
    type_name: str | None,
    aliases: tuple[str, ...],
    tags: tuple[str, ...],
    description: str | None,
    metadata: tuple[str, ...],
    revision: str | None,
    source_password_command: str | None,
    max_size: int | None,
) -> None:
    """Make versions of PROJECT/NAME from SOURCE: an archive, a folder of versions, or what another tool keeps.

    SOURCE is a tar (also compressed; - for standard input) or zip archive, a folder of subfolders v0, v1, … or
    dated ones, an MLflow run or experiment, a .dvc file, dvc.lock or project of DVC, a repository in the cache of
    the Hugging Face hub, or, with --from restic, a restic repository. A version is made when all of its source was
    read and found whole. Content that a version has already makes no new one.
    """
    from artifactstore.cli.import_rendering import import_lines, import_shape
    from artifactstore.cli.session import Session
    from artifactstore.cli.sources import parse_metadata
    from artifactstore.exchange import import_from
    from artifactstore.ids import parse_artifact_name

    values = parse_metadata(metadata)
    session = Session(options)
    name = session.qualified(artifact)
    parse_artifact_name(name)
    given: str | BinaryIO = sys.stdin.buffer if source == STANDARD_INPUT else source
    with session.open_store(limits, make_default=True) as store:
        versions = import_from(
            store,
            given,
            name,
            kind=kind,
            type=type_name,
            aliases=aliases,
            tags=tags,
            description=description,
            metadata=values or None,
            revision=revision,
            password_command=source_password_command,
            max_size_bytes=max_size,
            progress=session.progress,
        )
    session.summary(import_shape(source, versions, session.created), import_lines(versions))
