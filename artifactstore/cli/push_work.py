"""Pushing a part of a distributed push, as `push --into TOKEN --part I/N` does."""

from contextlib import closing

import click

from artifactstore.cli.distributed_rendering import part_lines, part_shape
from artifactstore.cli.options import CommonOptions, Limits
from artifactstore.cli.session import Session
from artifactstore.cli.sources import gather, refuse_missing
from artifactstore.errors import InvalidPart


def push_part(
    options: CommonOptions,
    limits: Limits,
    token: str | None,
    part: tuple[int, int] | None,
    given: tuple[str | None, ...],
    exclude: tuple[str, ...],
    files_from: str | None,
    as_path: str | None,
    *,
    said: tuple[object, ...],
) -> None:
    """Push a part and tell what was done.

    Args:
        options: The common options.
        limits: What may be moved a second.
        token: The push's token.
        part: Its number, and how many the worker believes there are.
        given: What to push; the last of them, which names the artifact elsewhere, may be None.
        exclude: As for `push`.
        files_from: As for `push`.
        as_path: As for `push`.
        said: What was said of the version as well; nothing of it may be.

    Raises:
        click.UsageError: Options don't fit together.
        InvalidPart: The push has another number of parts.
    """
    if token is None:
        raise click.UsageError("--part goes with --into TOKEN")
    if part is None:
        raise click.UsageError("--into TOKEN needs --part I/N, for example --part 0/8")
    if any(said):
        raise click.UsageError(
            "what is said of the version (type, alias, tag, description, metadata) goes to `distributed begin`,"
            " and a part has neither --dry-run nor --reference"
        )
    number, shards = part
    paths = tuple(path for path in given if path is not None)
    session = Session(options)
    refuse_missing(paths)
    patterns = (*session.settings.exclude, *exclude)
    with (
        closing(gather(paths, as_path=as_path, files_from=files_from)) as sources,
        session.open_store(limits) as store,
    ):
        push = store.join(token)
        if push.shards != shards:
            raise InvalidPart(
                f"the push has {push.shards} parts, and not {shards}", part=number, shards=push.shards
            )
        done = push.part(number).push(
            sources.paths,
            exclude=patterns,
            files=sources.files,
            streams=sources.streams or None,
            progress=session.progress,
        )
    session.summary({"part": part_shape(done)}, part_lines(done, shards))
