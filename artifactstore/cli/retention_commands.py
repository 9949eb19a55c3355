"""Commands about how long versions are kept: `ttl`, `retention set`, `retention show`, `retention apply`."""

import click

from artifactstore.cli.options import CommonOptions, common_options, example, parse_age


def _age(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    return None if text is None else parse_age(text)


@click.command(
    epilog=example("artifactstore ttl team/corpus:v3 30d", "artifactstore ttl team/corpus:v3 never")
)
@click.argument("reference", metavar="REF")
@click.argument("age", metavar="AGE|never")
@common_options
def ttl(options: CommonOptions, reference: str, age: str) -> None:
    """Let a version expire so long after it was made: 12h, 30d, 4w; or never.

    What has expired is deleted by the next `retention apply`, whoever runs it, unless an alias other than latest
    keeps it.
    """
    from artifactstore.cli.rendering import time_text
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import version_shape

    session = Session(options)
    seconds = None if age == "never" else parse_age(age)
    with session.open_store() as store:
        version = store.set_ttl(session.qualified(reference), seconds)
    until = "never expires" if version.expires_ns is None else f"expires {time_text(version.expires_ns)}"
    session.summary({"version": version_shape(version)}, [f"{version.qualified_name} {until}"])


@click.group(
    epilog=example(
        "artifactstore retention set team/corpus --keep-last 5 --keep-monthly 12",
        "artifactstore retention apply --all --dry-run",
    )
)
def retention() -> None:
    """Say which versions of an artifact are kept, and delete the others."""


@retention.command(
    name="set", epilog=example("artifactstore retention set team/corpus --keep-daily 7 --keep-tagged paper")
)
@click.argument("artifact", metavar="PROJECT/NAME")
@click.option("--keep-last", type=click.IntRange(min=0), default=0, metavar="N", help="Keep the N newest.")
@click.option(
    "--keep-daily", type=click.IntRange(min=0), default=0, metavar="N", help="Keep the newest of N days."
)
@click.option(
    "--keep-weekly", type=click.IntRange(min=0), default=0, metavar="N", help="Keep the newest of N weeks."
)
@click.option(
    "--keep-monthly", type=click.IntRange(min=0), default=0, metavar="N", help="Keep the newest of N months."
)
@click.option("--keep-tagged", multiple=True, metavar="LABEL", help="Keep what has this label; repeatable.")
@click.option(
    "--keep-aliased/--no-keep-aliased",
    default=True,
    help="Keep what an alias other than latest points at, as by default, or not.",
)
@click.option(
    "--min-age", metavar="AGE", default="0", callback=_age, help="Keep what is younger: 12h, 30d, 4w."
)
@click.option("--none", "remove", is_flag=True, help="Remove the policy: keep all versions.")
@common_options
def set_policy(
    options: CommonOptions,
    artifact: str,
    keep_last: int,
    keep_daily: int,
    keep_weekly: int,
    keep_monthly: int,
    keep_tagged: tuple[str, ...],
    keep_aliased: bool,
    min_age: int,
    remove: bool,
) -> None:
    """Set the policy of an artifact: a version stays that any of the rules keeps. Nothing is deleted before `apply`."""
    from artifactstore.cli.retention_lines import policy_lines
    from artifactstore.cli.retention_shapes import policy_shape
    from artifactstore.cli.session import Session
    from artifactstore.store import RetentionPolicy

    session = Session(options)
    name = session.qualified(artifact)
    policy = RetentionPolicy(
        last=keep_last,
        daily=keep_daily,
        weekly=keep_weekly,
        monthly=keep_monthly,
        aliased=keep_aliased,
        tags=keep_tagged,
        min_age_s=min_age,
    )
    with session.open_store() as store:
        store.set_retention(name, None if remove else policy)
        kept = store.retention(name)
    session.summary({"artifact": name, "policy": policy_shape(kept)}, policy_lines(name, kept))


@retention.command(epilog=example("artifactstore retention show team/corpus"))
@click.argument("artifact", metavar="PROJECT/NAME")
@common_options
def show(options: CommonOptions, artifact: str) -> None:
    """Show the policy of an artifact, and which of its versions it keeps and why."""
    from artifactstore.cli.retention_lines import verdict_lines
    from artifactstore.cli.retention_shapes import artifact_retention_shape
    from artifactstore.cli.session import Session
    from artifactstore.store import ArtifactRetention

    session = Session(options)
    name = session.qualified(artifact)
    with session.open_store() as store:
        policy = store.retention(name)
        planned = store.plan_retention([name]).artifacts
    (about,) = planned or (ArtifactRetention(name, policy, ()),)
    session.result(artifact_retention_shape(about), verdict_lines(about))


@retention.command(
    epilog=example("artifactstore retention apply team/corpus", "artifactstore retention apply --all --yes")
)
@click.argument("artifacts", metavar="[PROJECT/NAME...]", nargs=-1)
@click.option("--all", "everywhere", is_flag=True, help="Apply the policies of all artifacts.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Go on although no version of an artifact would be left.")
@common_options
def apply(
    options: CommonOptions,
    artifacts: tuple[str, ...],
    everywhere: bool,
    dry_run: bool,
    yes: bool,
    force: bool,
) -> int:
    """Delete what has expired and what no rule of the policy keeps, of PROJECT/NAME, of PROJECT/*, or of --all.

    Shows a plan and asks. Where no version of an artifact would be left it asks twice, and --yes is not enough: it
    takes --force too. What is deleted can be brought back with `undelete` until it is purged.
    """
    from artifactstore.cli.retention_lines import retention_lines, retention_plan_lines
    from artifactstore.cli.retention_shapes import retention_plan_shape
    from artifactstore.cli.session import Session

    if everywhere == bool(artifacts):
        raise click.UsageError("name artifacts (PROJECT/NAME or PROJECT/*), or pass --all")
    session = Session(options)
    with session.open_store() as store:
        plan = store.plan_retention(None if everywhere else [session.qualified(name) for name in artifacts])
        shape = {"dry_run": dry_run, "plan": retention_plan_shape(plan)}
        if dry_run or not plan.deletes:
            session.result({**shape, "deleted": []}, retention_plan_lines(plan))
            return 0
        if not yes:
            questions = ["delete them?"]
            if plan.emptied and not force:
                emptied = " and ".join(plan.emptied)
                questions.append(f"no version of {emptied} would be left; delete them all the same?")
            said = retention_plan_lines(plan)
            if not all(session.agreed(each, () if at else said) for at, each in enumerate(questions)):
                session.result({**shape, "deleted": []}, ())
                return 1
            force = force or bool(plan.emptied)
        deleted = store.apply_retention(plan, everything=force)
    names = [version.qualified_name for version in deleted]
    session.summary({**shape, "deleted": names}, retention_lines(deleted))
    return 0
