"""Commands that move files: `push`, `pull`."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from artifactstore.cli.options import (
    CommonOptions,
    Limits,
    common_options,
    example,
    limit_options,
    part_of,
    run_option,
    version_options,
)
from artifactstore.cli.reference_options import Elsewhere, Fetched, pulling_options, pushing_options
from artifactstore.cli.url_options import FromUrl, url_options

if TYPE_CHECKING:
    from artifactstore.cli.session import Session
    from artifactstore.cli.sources import Sources
    from artifactstore.store import Store, Version


@click.command(
    epilog=example(
        "artifactstore push data team/corpus --alias clean --metadata source=web",
        "tar c photos | artifactstore push - --as photos.tar team/photos",
        "git ls-files | artifactstore push --files-from - team/code",
        'artifactstore push shard-3 --into "$token" --part 3/8',
        "artifactstore push --from-url https://example.org/corpus.tar.gz --unpack team/corpus",
    )
)
@click.argument("paths", metavar="PATH...", nargs=-1, type=click.Path())
@click.argument("artifact", metavar="PROJECT/NAME", required=False)
@version_options
@click.option(
    "--exclude", metavar="GLOB", multiple=True, help="Leave out what matches, as a line of .gitignore."
)
@click.option(
    "--files-from",
    metavar="FILE",
    type=click.Path(),
    help="Push the files listed there, one a line; - is standard input.",
)
@click.option(
    "--as", "as_path", metavar="PATH", help="The path in the version of standard input (-) or a URL."
)
@run_option("The run that produces it, by 8 digits of its id or more.")
@pushing_options
@url_options
@click.option(
    "--into", "token", metavar="TOKEN", help="Push a part of a distributed push; PROJECT/NAME is left out."
)
@click.option(
    "--part", metavar="I/N", callback=part_of, help="Which part of how many, from 0: 3/8. With --into."
)
@click.option("--dry-run", is_flag=True, help="Say what would be read, and write nothing.")
@limit_options
@common_options
def push(
    options: CommonOptions,
    limits: Limits,
    *,
    from_url: FromUrl,
    paths: tuple[str, ...],
    artifact: str | None,
    type_name: str,
    aliases: tuple[str, ...],
    tags: tuple[str, ...],
    description: str | None,
    metadata: tuple[str, ...],
    exclude: tuple[str, ...],
    files_from: str | None,
    as_path: str | None,
    run: str | None,
    elsewhere: Elsewhere,
    token: str | None,
    part: tuple[int, int] | None,
    dry_run: bool,
) -> None:
    """Keep files and folders as the next version of PROJECT/NAME.

    PATH is a file, a folder, or - for standard input. What the store has already is not stored again. A file
    named .artifactignore, with the rules of .gitignore, says what to leave out of its folder. If the newest
    version has the same files, there is no new one.

    The first push makes a store in your data folder and a key file. Back up the key file.
    """
    from artifactstore.cli.session import Session
    from artifactstore.cli.sources import gather, parse_metadata, refuse_lone_word, refuse_missing
    from artifactstore.ids import refuse_bad_names

    if token is not None or part is not None:
        from artifactstore.cli.push_work import push_part

        said_of = (aliases, tags, description, metadata, type_name != "dataset", elsewhere.references)
        words = (*said_of, from_url.url, dry_run)
        push_part(options, limits, token, part, (*paths, artifact), exclude, files_from, as_path, said=words)
        return
    _refuse_together(elsewhere, from_url, (paths, files_from, exclude), as_path, dry_run=dry_run)
    session = Session(options)
    name = session.qualified(_named(artifact))
    refuse_lone_word(name, paths or tuple(elsewhere.references) or from_url.named, files_from)
    refuse_bad_names(name, type_name, aliases, tags)
    said: dict[str, Any] = {
        "type": type_name,
        "aliases": aliases,
        "tags": tags,
        "description": description,
        "metadata": parse_metadata(metadata) or None,
        "run": run or None,
        "progress": session.progress,
    }
    if from_url.url is not None:
        _push_url(session, limits, from_url, name, as_path, said)
        return
    refuse_missing(paths)
    patterns = (*session.settings.exclude, *exclude)
    given = gather(paths, as_path=as_path, files_from=files_from, may_be_none=bool(elsewhere.references))
    _push_sources(session, limits, given, name, patterns, {**elsewhere.arguments, **said}, dry_run=dry_run)


def _push_sources(
    session: "Session",
    limits: Limits,
    given: "Sources",
    name: str,
    patterns: tuple[str, ...],
    said: dict[str, Any],
    *,
    dry_run: bool,
) -> None:
    """Push files and folders, or say what that would do."""
    with closing(given) as sources, session.open_store(limits, make_default=not dry_run) as store:
        if dry_run:
            _tell_plan(session, store, sources, name, patterns)
            return
        with session.counting(store, name, sources, patterns):
            version = store.push(
                sources.paths,
                name,
                exclude=patterns,
                files=sources.files,
                streams=sources.streams or None,
                **said,
            )
    _tell_push(session, version)


def _named(artifact: str | None) -> str:
    if artifact is None:
        raise click.UsageError("missing argument 'PROJECT/NAME'")
    return artifact


def _refuse_together(
    elsewhere: Elsewhere, from_url: FromUrl, local: tuple[object, ...], as_path: str | None, *, dry_run: bool
) -> None:
    """Refuse what does not go together, and to say what a push would read of what can't be looked at twice."""
    from_url.refuse_beside(*local, elsewhere.references, dry_run)
    if dry_run:
        elsewhere.refuse_dry_run()
    if dry_run and as_path is not None:
        raise click.UsageError("standard input can't be read twice, so it has no --dry-run")


def _tell_plan(
    session: "Session", store: "Store", sources: "Sources", name: str, patterns: tuple[str, ...]
) -> None:
    """Say what a push would do."""
    from artifactstore.cli import lines, shapes

    plan = store.plan_push(sources.paths, name, exclude=patterns, files=sources.files)
    document = {"artifact": name, "plan": shapes.push_plan_shape(plan)}
    session.result(document, lines.push_plan_lines(plan))


def _push_url(
    session: "Session", limits: Limits, from_url: FromUrl, name: str, path: str | None, said: dict[str, Any]
) -> None:
    """Push what a URL gives."""
    from artifactstore.exchange import push_from_url

    assert from_url.url is not None
    bound = from_url.max_size_bytes
    with session.open_store(limits, make_default=True) as store:
        version = push_from_url(
            store, from_url.url, name, path=path, unpack=from_url.unpack, max_size_bytes=bound, **said
        )
    _tell_push(session, version)


def _tell_push(session: "Session", version: "Version") -> None:
    """Say what a push did."""
    from artifactstore.cli import lines, shapes

    done = version.push
    assert done is not None, "a version that was just pushed says what the push did"
    shape: shapes.Shape = {
        "version": shapes.version_shape(version),
        "push": shapes.push_shape(done),
        "store_created": None if session.created is None else shapes.created_shape(session.created),
    }
    short = [version.qualified_name]  # what a script that pushes quietly still needs
    session.result(shape, short if session.options.quiet else lines.push_lines(version.qualified_name, done))


@click.command(
    epilog=example(
        "artifactstore pull team/corpus",
        "artifactstore pull team/corpus:v0 data --path 'train/*.csv'",
        "artifactstore pull --locked",
    )
)
@click.argument("reference", metavar="REF", required=False)
@click.argument("destination", metavar="[DEST]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--path",
    "path_globs",
    metavar="GLOB",
    multiple=True,
    help="Only these paths, in the language of .gitignore.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there and differ.")
@click.option(
    "--locked",
    is_flag=True,
    help="Make the folders of a lock file exactly what it says; REF is the file then, artifacts.lock without.",
)
@click.option("--clean", is_flag=True, help="With --locked: remove files that are not in the version.")
@run_option("The run that uses it, by 8 digits of its id or more.")
@pulling_options
@click.option(
    "--part", metavar="I/N", callback=part_of, help="Only part I of N, from 0: about 1/N of the bytes."
)
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@limit_options
@common_options
def pull(
    options: CommonOptions,
    limits: Limits,
    *,
    reference: str | None,
    destination: Path | None,
    path_globs: tuple[str, ...],
    overwrite: bool,
    locked: bool,
    clean: bool,
    run: str | None,
    fetched: Fetched,
    part: tuple[int, int] | None,
    dry_run: bool,
) -> None:
    """Write the files of a version to DEST, a folder; ./NAME when it is not given.

    REF is PROJECT/NAME[:vN | :ALIAS | @DIGEST], and the newest version when it names none. A pull that was
    cut is taken up where it stood by repeating it.
    """
    from artifactstore.cli import lines, shapes
    from artifactstore.cli.session import Session
    from artifactstore.ids import parse_reference

    if locked:
        if destination is not None or path_globs or part is not None:
            raise click.UsageError("--locked takes a lock file, and neither DEST nor --path nor --part")
        if fetched.allow_missing:
            raise click.UsageError(
                "--locked leaves nothing out that is missing: say --no-references to leave out all"
            )
        from artifactstore.cli.lock_work import LockWork

        work = LockWork(options, None if reference is None else Path(reference))
        work.restore(limits, fetched, overwrite=overwrite, clean=clean, run=run, dry_run=dry_run)
        return
    if reference is None:
        raise click.UsageError("missing argument 'REF'")
    if clean:
        raise click.UsageError("--clean goes with --locked")
    session = Session(options)
    where = session.qualified(reference)
    target = destination or Path(parse_reference(where).artifact.name)
    with session.open_store(limits) as store:
        if dry_run:
            plan = store.plan_pull(where, target, paths=path_globs, overwrite=overwrite, part=part)
            shape = {"version": shapes.version_shape(plan.version), "plan": shapes.pull_plan_shape(plan)}
            session.result(shape, lines.pull_plan_lines(plan, target))
            return
        if run:
            where = store.use_in_run(run, where).qualified_name
        done = store.pull(
            where,
            target,
            paths=path_globs,
            overwrite=overwrite,
            part=part,
            progress=session.progress,
            **fetched.arguments,
        )
    shape = {"version": shapes.version_shape(done.version), "pull": shapes.pull_shape(done)}
    session.summary(shape, lines.pull_lines(done))
