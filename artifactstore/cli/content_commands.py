"""Commands on content, whatever it is called: `find`, `takedown`."""

from typing import TYPE_CHECKING

import click

from artifactstore.cli.options import CommonOptions, common_options, example

if TYPE_CHECKING:
    from artifactstore.store import Lineage, Store


@click.command(
    epilog=example(
        "artifactstore find customers.csv",
        "artifactstore find --in team/corpus:v3 train/customers.csv",
    )
)
@click.argument("files", metavar="FILE|DIGEST...", nargs=-1, required=True)
@click.option("--in", "within", metavar="REF", help="FILE is a path in this version, not a local file.")
@click.option(
    "--references", is_flag=True, help="Look for references to it, also where the store holds nothing of it."
)
@common_options
def find(options: CommonOptions, files: tuple[str, ...], within: str | None, *, references: bool) -> int:
    """Say in which artifacts, versions and paths a file is kept, whole or in part.

    FILE is a local file; DIGEST its BLAKE3 in full, as b3sum prints it. Nothing is downloaded but lists of files.
    Deleted versions that are not purged are searched too. Exits with 6 if a part of the store could not be searched.
    """
    from artifactstore.cli.content_lines import find_lines, found_versions
    from artifactstore.cli.content_shapes import find_shape
    from artifactstore.cli.run_rendering import downstream_lines, downstream_shape
    from artifactstore.cli.session import Session
    from artifactstore.errors import Damaged

    session = Session(options)
    with session.open_store() as store:
        report = store.find(
            files,
            within=None if within is None else session.qualified(within),
            references=references,
            progress=session.progress,
        )
        after = _downstream(store, found_versions(report.files))
    shape = {**find_shape(report), "downstream": downstream_shape(after)}
    session.result(shape, [*find_lines(report), *downstream_lines(after)])
    return Damaged.exit_code if report.unread.total else 0


@click.command(
    epilog=example(
        "artifactstore takedown customers.csv --dry-run",
        "artifactstore takedown customers.csv --rewrite --reason 'Art. 17' --requested-by 'A. Person'",
        "artifactstore takedown --allow customers.csv",
    )
)
@click.argument("files", metavar="[FILE|DIGEST...]", nargs=-1)
@click.option("--in", "within", metavar="REF", help="FILE is a path in this version, not a local file.")
@click.option("--rewrite", is_flag=True, help="Replace versions by successors without the file; delete none.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--reason", default="", metavar="TEXT", help="Why; kept sealed in the log.")
@click.option("--requested-by", default="", metavar="TEXT", help="Who asked for it; kept sealed in the log.")
@click.option("--allow", is_flag=True, help="Take FILE off the list of what is refused.")
@click.option("--list", "show", is_flag=True, help="Show the list of what is refused.")
@common_options
def takedown(
    options: CommonOptions,
    files: tuple[str, ...],
    within: str | None,
    rewrite: bool,
    dry_run: bool,
    yes: bool,
    reason: str,
    requested_by: str,
    allow: bool,
    show: bool,
) -> int:
    """Take a file out of every version for good, and refuse it from now on.

    FILE and DIGEST are as for `find`; files with the same content are meant, whatever they are called. Versions that
    hold it are deleted, with their aliases, and purged by the next sweep without a grace period. Who pushes or
    undeletes it later is refused.
    """
    from artifactstore.cli.content_lines import takedown_lines, takedown_plan_lines
    from artifactstore.cli.content_shapes import takedown_plan_shape, takedown_shape
    from artifactstore.cli.run_rendering import downstream_lines, downstream_shape
    from artifactstore.cli.session import Session

    if allow or show:
        _deny_list(options, files, show=show)
        return 0
    if not files:
        raise click.UsageError("name a file or a digest, or pass --list")
    session = Session(options)
    where = None if within is None else session.qualified(within)
    with session.open_store() as store:
        plan = store.plan_takedown(files, within=where, rewrite=rewrite, progress=session.progress)
        going = [version.qualified_name for version in (*plan.delete, *plan.replace, *plan.hasten)]
        after = _downstream(store, going)
        shape = {"dry_run": dry_run, "plan": takedown_plan_shape(plan), "downstream": downstream_shape(after)}
        said = [*takedown_plan_lines(plan), *downstream_lines(after)]
        if dry_run:
            session.result({**shape, "takedown": None}, said)
            return 0
        if not yes and not session.agreed("take it down?", said):
            session.result({**shape, "takedown": None}, ())
            return 1
        done = store.takedown(
            files,
            within=where,
            rewrite=rewrite,
            reason=reason,
            requested_by=requested_by,
            progress=session.progress,
        )
    session.summary({**shape, "takedown": takedown_shape(done)}, takedown_lines(done))
    return 0


def _downstream(store: "Store", versions: list[str]) -> "Lineage | None":
    """What came of versions; None of none."""
    return store.downstream(versions) if versions else None


def _deny_list(options: CommonOptions, files: tuple[str, ...], *, show: bool) -> None:
    """Show the deny list, or take files off it."""
    from artifactstore.cli.content_lines import allowed_lines, denied_lines
    from artifactstore.cli.content_shapes import denied_shape
    from artifactstore.cli.session import Session

    if show == bool(files):
        raise click.UsageError("--allow takes files or digests, --list takes none")
    session = Session(options)
    with session.open_store() as store:
        if show:
            denied = store.denied_files()
            session.result({"denied": [denied_shape(file) for file in denied]}, denied_lines(denied))
        else:
            allowed = store.allow(files, progress=session.progress)
            session.summary({"allowed": [denied_shape(file) for file in allowed]}, allowed_lines(allowed))
