"""Commands that hide versions and bring them back: `delete`, `undelete`."""

import click

from artifactstore.cli.options import CommonOptions, common_options, example


@click.command(
    epilog=example(
        "artifactstore delete team/corpus:v3 --dry-run",
        "artifactstore delete 'team/corpus:*' --yes --reason 'contract ended'",
    )
)
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Delete also what an alias other than latest points at.")
@click.option("--now", is_flag=True, help="Let the next `gc` purge them, without the grace period.")
@click.option("--reason", default="", metavar="TEXT", help="Why; kept sealed in the log.")
@click.option("--requested-by", default="", metavar="TEXT", help="Who asked for it; kept sealed in the log.")
@common_options
def delete(
    options: CommonOptions,
    references: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    force: bool,
    now: bool,
    reason: str,
    requested_by: str,
) -> int:
    """Delete versions: they are hidden at once, from everybody, and can be brought back with `undelete`.

    After the store's grace period, of 7 days where nobody set another, `gc` takes them away for good.

    REF is PROJECT/NAME:v3 (or :ALIAS, or @DIGEST), PROJECT/NAME:* for all versions of an artifact, or PROJECT/* for
    all of a project; a name alone is refused.
    """
    from artifactstore.cli.lines import deletion_plan_lines
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import deletion_plan_shape

    session = Session(options)
    wanted = [session.qualified(reference) for reference in references]
    with session.open_store() as store:
        plan = store.plan_delete(wanted)
        shape = deletion_plan_shape(plan)
        if dry_run:
            session.result({"dry_run": True, **shape}, deletion_plan_lines(plan, "would delete"))
            return 0
        # What is refused anyway is not asked for.
        asks = not yes and (force or not (plan.aliases or plan.links))
        if asks and not session.agreed("delete them?", deletion_plan_lines(plan, "about to delete")):
            session.result({"dry_run": True, **shape}, ())
            return 1
        store.delete(wanted, force=force, now=now, reason=reason, requested_by=requested_by)
    session.summary({"dry_run": False, **shape}, deletion_plan_lines(plan, "deleted"))
    return 0


@click.command(epilog=example("artifactstore undelete team/corpus:v3"))
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@common_options
def undelete(options: CommonOptions, references: tuple[str, ...]) -> None:
    """Bring deleted versions back; aliases that they had, other than latest, do not come back.

    REF is as for `delete`. `ls PROJECT/NAME --deleted` lists what there is.
    """
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import version_shape

    session = Session(options)
    with session.open_store() as store:
        versions = store.undelete([session.qualified(reference) for reference in references])
    session.summary(
        {"versions": [version_shape(version) for version in versions]},
        [f"{version.qualified_name} is back" for version in versions],
    )
