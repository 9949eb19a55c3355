"""Commands that look after a store: `check`, `repair`, `adopt`."""

import click

from artifactstore.cli.options import CommonOptions, Limits, common_options, example, limit_options

_read_data = click.option("--read-data", is_flag=True, help="Read, decrypt and verify the packs themselves.")
_sample = click.option(
    "--sample",
    type=click.FloatRange(min=0, max=100, min_open=True),
    metavar="PERCENT",
    help="Read only so many of the packs, taken at random; implies --read-data.",
)
_restart = click.option(
    "--restart", is_flag=True, help="Read all of them, although an earlier check was cut half-way."
)


@click.command(epilog=example("artifactstore check", "artifactstore check --sample 5"))
@_read_data
@_sample
@_restart
@limit_options
@common_options
def check(
    options: CommonOptions, limits: Limits, read_data: bool, sample: float | None, restart: bool
) -> int:
    """Look for damage in the store: records, keys, manifests and packs.

    Says which versions and files each damage concerns, and what to do. Exits with 1 when there is any. Without
    --read-data the ends of the packs are read, where their contents are listed. With it, a check that was cut
    goes on where it stood.
    """
    from artifactstore.cli.lines import check_lines
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import check_shape

    session = Session(options)
    with session.open_store(limits) as store:
        report = store.check(
            read_data=read_data or sample is not None,
            sample_percent=100.0 if sample is None else sample,
            restart=restart,
            progress=session.progress,
        )
    tell = session.summary if report.ok else session.result  # damage is told even with --quiet
    tell(check_shape(report), check_lines(report))
    return 0 if report.ok else 1


@click.command(epilog=example("artifactstore repair --read-data", "artifactstore repair --yes"))
@_read_data
@_sample
@_restart
@click.option("--dry-run", is_flag=True, help="Show the plan, and write nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do what the plan says without asking.")
@limit_options
@common_options
def repair(
    options: CommonOptions,
    limits: Limits,
    read_data: bool,
    sample: float | None,
    restart: bool,
    dry_run: bool,
    yes: bool,
) -> int:
    """Mend what can be mended, and say what heals the rest.

    Checks the store first and shows a plan. Broken packs are taken out of use by a record, so that pushing what
    they held stores it anew; what can still be read from them is stored in new packs; packs that are whole again
    are taken back; states, index packs and tiles are written anew. Exits with 1 while something is left to do.
    """
    from artifactstore.cli.lines import repair_lines, repair_plan_lines
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import repair_plan_shape, repair_shape

    session = Session(options)
    with session.open_store(limits) as store:
        plan = store.plan_repair(
            read_data=read_data or sample is not None,
            sample_percent=100.0 if sample is None else sample,
            restart=restart,
            progress=session.progress,
        )
        session.progress.finish()
        if not options.quiet or plan.beyond or not plan.is_empty:
            session.lines(repair_plan_lines(plan))
        act = not (plan.is_empty or plan.refused or dry_run) and session.confirmed(
            "repair the store?", yes=yes
        )
        done = store.repair(plan, progress=session.progress) if act else None
    session.summary(
        {"plan": repair_plan_shape(plan), "repair": None if done is None else repair_shape(done)},
        () if done is None else repair_lines(done),
    )
    return 1 if plan.beyond or not (act or plan.is_empty) else 0


@click.command(epilog=example("artifactstore adopt", "artifactstore adopt --yes"))
@click.option("--dry-run", is_flag=True, help="Show what is lost, and write nothing.")
@click.option("-y", "--yes", is_flag=True, help="Go on with what is there without asking.")
@common_options
def adopt(options: CommonOptions, dry_run: bool, yes: bool) -> int:
    """Go on with a store that was set back, for example restored from an old copy.

    Every client that has seen more of the log refuses such a store. This shows what this client has seen and the
    store does not have any more; if you agree, a record says so, and this client forgets it. What is lost is not
    brought back: push it again. Exits with 1 when there was something to agree to and you did not.
    """
    from artifactstore.cli.lines import adopt_lines
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import adopt_shape

    session = Session(options)
    with session.open_store() as store:
        plan = store.plan_adopt()
        if not options.quiet or plan.needed:
            session.lines(adopt_lines(plan))
        act = (
            plan.needed
            and not dry_run
            and session.confirmed("forget what is lost, and go on with what is there?", yes=yes)
        )
        if act:
            store.adopt(plan)
    session.summary({"plan": adopt_shape(plan), "adopted": act}, ["adopted"] if act else ())
    return 0 if act or not plan.needed else 1
