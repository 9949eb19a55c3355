"""Commands that ask for content, whatever it is called: `find`."""

import click

from artifactstore.cli.options import CommonOptions, common_options, example


@click.command(
    epilog=example(
        "artifactstore find customers.csv",
        "artifactstore find --in team/corpus:v3 train/customers.csv",
    )
)
@click.argument("files", metavar="FILE|DIGEST...", nargs=-1, required=True)
@click.option("--in", "within", metavar="REF", help="FILE is a path in this version, not a local file.")
@common_options
def find(options: CommonOptions, files: tuple[str, ...], within: str | None) -> int:
    """Say in which artifacts, versions and paths a file is kept, whole or in part.

    FILE is a local file; DIGEST its BLAKE3 in full, as b3sum prints it. Nothing is downloaded but lists of files.
    Deleted versions that are not purged are searched too. Exits with 6 if a part of the store could not be searched.
    """
    from artifactstore.cli.content_lines import find_lines
    from artifactstore.cli.content_shapes import find_shape
    from artifactstore.cli.session import Session
    from artifactstore.errors import Damaged

    session = Session(options)
    with session.open_store() as store:
        report = store.find(
            files, within=None if within is None else session.qualified(within), progress=session.progress
        )
    session.result(find_shape(report), find_lines(report))
    return Damaged.exit_code if report.unread.total else 0
