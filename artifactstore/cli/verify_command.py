"""The command `verify`: hold a version's references against their sources."""

import click

from artifactstore.cli.options import CommonOptions, common_options, example
from artifactstore.cli.reference_options import access_to, allowing_option


@click.command(
    epilog=example(
        "artifactstore verify team/corpus",
        "artifactstore verify team/corpus:v2 --path 'raw/' --allow-references file:///data/",
    )
)
@click.argument("reference", metavar="REF")
@click.option(
    "--path",
    "path_globs",
    metavar="GLOB",
    multiple=True,
    help="Only these paths, in the language of .gitignore.",
)
@allowing_option
@common_options
def verify(
    options: CommonOptions, reference: str, path_globs: tuple[str, ...], allowed: tuple[str, ...]
) -> int:
    """Ask the sources of a version's references whether they are there and the same.

    Sizes, entity tags and versions are asked for; what is known by the hash of its bytes alone is read. Exits with 1
    when one is gone or changed. What the store keeps itself is verified by `check`.
    """
    from artifactstore.cli.reference_lines import report_lines, report_shape
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        report = store.verify_references(
            session.qualified(reference),
            paths=path_globs,
            access=access_to(allowed),
            progress=session.progress,
        )
    tell = session.summary if report.ok else session.result
    tell(report_shape(report), report_lines(report))
    return 0 if report.ok else 1
