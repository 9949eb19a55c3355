"""Commands about lock files: `lock` and `status`."""

from pathlib import Path

import click

from artifactstore.cli.options import CommonOptions, common_options, example

_FILE = click.option(
    "-f",
    "--file",
    "lock_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The lock file; the nearest artifacts.lock upwards when not given.",
)


@click.command(
    epilog=example(
        "artifactstore lock team/corpus:production --target data/corpus",
        "artifactstore lock --update",
        "artifactstore lock --check",
    )
)
@click.argument("references", metavar="[REF|NAME]...", nargs=-1)
@click.option("--target", metavar="DIR", type=click.Path(), help="The folder that the version belongs into.")
@click.option("--update", is_flag=True, help="Move NAME, or all, to the version that its alias is on now.")
@click.option("--check", is_flag=True, help="Say whether NAME, or all, can be restored; exit with 1 if not.")
@click.option("--remove", is_flag=True, help="Take NAME out of the file; its folder stays.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@_FILE
@common_options
def lock(
    options: CommonOptions,
    *,
    references: tuple[str, ...],
    target: str | None,
    update: bool,
    check: bool,
    remove: bool,
    dry_run: bool,
    lock_file: Path | None,
) -> int:
    """Write into a lock file for git which version of REF belongs into which folder.

    The folder is --target, or NAME beside the lock file. Where REF names an alias, or nothing, `lock --update` goes by
    that alias or `latest`. NAME, with --update, --check and --remove, is a target or an artifact. The file holds no
    secret and no URL: `pull --locked` takes the store from the configuration and holds its id against the file.
    """
    if sum((update, check, remove)) > 1:
        raise click.UsageError("--update, --check and --remove are three things to do")
    if target is not None and (update or check or remove or len(references) != 1):
        raise click.UsageError("--target goes with exactly one REF")
    if not references and not (update or check):
        raise click.UsageError("nothing to lock: name a REF")
    from artifactstore.cli.lock_work import LockWork

    work = LockWork(options, lock_file)
    if check:
        return work.check(references)
    if update:
        return work.update(references, dry_run=dry_run)
    if remove:
        return work.remove(references, dry_run=dry_run)
    return work.add(references, target, dry_run=dry_run)


@click.command(epilog=example("artifactstore status", "artifactstore status data/corpus"))
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--no-references", is_flag=True, help="Say nothing of what is only referred to.")
@_FILE
@common_options
def status(
    options: CommonOptions, names: tuple[str, ...], *, no_references: bool, lock_file: Path | None
) -> int:
    """Hold the folders of a lock file against what it says: changed, missing and extra paths.

    Files that have not changed since they were read are not read again. Exits with 1 where something differs.
    """
    from artifactstore.cli.lock_work import LockWork

    return LockWork(options, lock_file).status(names, references=not no_references)
