"""Commands that hand versions to another store: `copy`, `mirror`."""

import click

from artifactstore.cli.options import CommonOptions, Limits, common_options, example, limit_options
from artifactstore.cli.other_store import OtherStore, other_store_options

_TO = click.option(
    "--to", metavar="URL", required=True, type=click.Path(), help="The store to copy to; `init` makes one."
)


@click.command(
    epilog=example(
        "artifactstore copy team/corpus:v3 --to s3://partner/store --to-key-file partner.key",
        "artifactstore copy 'team/*' --to /mnt/archive --dry-run",
    )
)
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@_TO
@other_store_options
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be copied, and write nothing.")
@limit_options
@common_options
def copy(
    options: CommonOptions, limits: Limits, *, references: tuple[str, ...], other: OtherStore, dry_run: bool
) -> None:
    """Copy versions to another store, with aliases, labels, description and metadata; digests stay what they are.

    REF is PROJECT/NAME (the newest), PROJECT/NAME:v3 (or :ALIAS, or @DIGEST), PROJECT/NAME:* for all versions of
    an artifact, or PROJECT/* for all of a project. The other store has keys of its own. What it has already is not
    copied again, so a copy that was cut is taken up by repeating it.
    """
    from artifactstore.cli.copy_rendering import copy_lines, copy_shape
    from artifactstore.cli.other_store import open_other
    from artifactstore.cli.session import Session
    from artifactstore.exchange import plan_copy, run_plan

    session = Session(options)
    wanted = [session.qualified(reference) for reference in references]
    with (
        session.open_store(limits) as store,
        open_other(other, limits, session.settings.cache_dir) as destination,
    ):
        plan = plan_copy(store, destination, wanted)
        if dry_run:
            session.result(copy_shape(plan, dry_run=True), copy_lines(plan, dry_run=True))
            return
        done = run_plan(store, destination, plan, progress=session.progress)
        session.tell_notices(destination)
    session.summary(copy_shape(done, dry_run=False), copy_lines(done, dry_run=False))


@click.command(
    epilog=example(
        "artifactstore mirror --to s3://backup/store",
        "artifactstore mirror --to /mnt/archive --delete --dry-run",
    )
)
@_TO
@other_store_options
@click.option("--delete", is_flag=True, help="Delete there what is not here; it can be undeleted there.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before deleting.")
@limit_options
@common_options
def mirror(
    options: CommonOptions,
    limits: Limits,
    *,
    other: OtherStore,
    delete: bool,
    dry_run: bool,
    yes: bool,
) -> int:
    """Copy everything to another store, as `copy` does; repeat it to keep the other store up to date.

    Nothing is deleted there unless --delete asks for it.
    """
    from artifactstore.cli.copy_rendering import copy_lines, copy_shape
    from artifactstore.cli.other_store import open_other
    from artifactstore.cli.session import Session
    from artifactstore.exchange import plan_mirror, run_plan

    session = Session(options)
    with (
        session.open_store(limits) as store,
        open_other(other, limits, session.settings.cache_dir) as destination,
    ):
        plan = plan_mirror(store, destination, delete=delete)
        if dry_run:
            session.result(copy_shape(plan, dry_run=True), copy_lines(plan, dry_run=True))
            return 0
        if plan.deletes and not yes:
            said = (f"would delete {ref} in {plan.destination}" for ref in plan.deletes)
            if not session.agreed("mirror, and delete them there?", said):
                session.result(copy_shape(plan, dry_run=True), ())
                return 1
        done = run_plan(store, destination, plan, progress=session.progress)
        session.tell_notices(destination)
    session.summary(copy_shape(done, dry_run=False), copy_lines(done, dry_run=False))
    return 0
