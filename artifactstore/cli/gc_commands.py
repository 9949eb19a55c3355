"""Commands that take away what is deleted: `gc`."""

import click

from artifactstore.cli.options import (
    CommonOptions,
    Limits,
    common_options,
    example,
    limit_options,
    parse_age,
    parse_size,
)


def _size(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    return None if text is None else parse_size(text)


def _age(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    return None if text is None else parse_age(text)


@click.command(
    epilog=example("artifactstore gc --dry-run", "artifactstore gc --yes", "artifactstore gc --resume")
)
@click.option("-n", "--dry-run", is_flag=True, help="Show the plan, and write nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do what the plan says without asking.")
@click.option("--resume", is_flag=True, help="Only delete what earlier runs gave up and left.")
@click.option(
    "--max-rewrite",
    metavar="SIZE",
    callback=_size,
    help="Rewrite at most so much; deletions that need more wait for the next run.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(min=0, max=100),
    metavar="PERCENT",
    default=50.0,
    show_default=True,
    help="Rewrite packs of which more than this is garbage.",
)
@click.option(
    "--expiry",
    metavar="AGE",
    callback=_age,
    default="7d",
    show_default=True,
    help="Give up uploads of pushes that died longer ago than this.",
)
@click.option(
    "--grace",
    metavar="AGE",
    callback=_age,
    help="Set how long deleted versions can be brought back; do no more.",
)
@click.option(
    "--trust-clock", is_flag=True, help="Go on although this machine's clock and the backend's differ."
)
@limit_options
@common_options
def gc(
    options: CommonOptions,
    limits: Limits,
    dry_run: bool,
    yes: bool,
    resume: bool,
    max_rewrite: int | None,
    threshold: float,
    expiry: int,
    grace: int | None,
    trust_clock: bool,
) -> int:
    """Take away for good what was deleted longer ago than the store's grace period, and other garbage.

    Shows a plan and asks. It needs no quiet hour: others push and pull meanwhile, and it may be cut at any moment
    and run again, from any machine. Exits with 1 while something is left to do.
    """
    from artifactstore.cli.gc_rendering import gc_lines, gc_plan_lines, gc_plan_shape, gc_shape
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store(limits) as store:
        if grace is not None:
            store.set_grace(grace)
            session.summary({"grace_seconds": grace}, ["set the grace period"])
            return 0
        if resume:
            done = store.resume_gc(progress=session.progress)
            session.progress.finish()
            session.summary({"plan": None, "gc": gc_shape(done)}, gc_lines(done))
            return 1 if done.left_total else 0
        prepared = store.plan_gc(
            threshold=threshold / 100, max_rewrite=max_rewrite, expiry_s=expiry, progress=session.progress
        )
        plan = prepared.plan
        session.progress.finish()
        if not options.quiet or plan.refused:
            session.lines(gc_plan_lines(plan))
        act = not (plan.is_empty or plan.refused or dry_run) and session.confirmed("take it away?", yes=yes)
        summary = store.gc(prepared, trust_clock=trust_clock, progress=session.progress) if act else None
    session.summary(
        {"plan": gc_plan_shape(plan), "gc": None if summary is None else gc_shape(summary)},
        () if summary is None else gc_lines(summary),
    )
    if summary is None:
        return 1 if plan.refused or (not plan.is_empty and not dry_run) else 0
    return 1 if summary.left_total else 0
