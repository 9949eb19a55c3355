"""The command `diff`: how two versions differ, or a version and a local folder."""

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from artifactstore.cli.options import CommonOptions, common_options, example

if TYPE_CHECKING:
    from artifactstore.store import Change, TableDiff, TensorsDiff, VersionDiff

    FileDiff = TableDiff | TensorsDiff

EXIT_DIFFERENT = 1
_PLACE_BEGINS = (".", "/", "~")


@click.command(
    epilog=example(
        "artifactstore diff team/corpus:v0 team/corpus:v1",
        "artifactstore diff team/corpus ./data --stat",
        "artifactstore diff team/model:v3 team/model --path '*.safetensors' --exit-code",
    )
)
@click.argument("before", metavar="REF")
@click.argument("after", metavar="REF|PATH", type=click.Path())
@click.option("--path", "paths", metavar="GLOB", multiple=True, help="Only these paths, as in .gitignore.")
@click.option("--stat", is_flag=True, help="Count by folder instead of naming each path.")
@click.option(
    "--deep", is_flag=True, help="Look into changed tables (CSV, Parquet) and tensors (safetensors)."
)
@click.option(
    "--exclude", metavar="GLOB", multiple=True, help="Leave paths of a local folder out, as push does."
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 if paths differ, as git diff does.")
@common_options
def diff(
    options: CommonOptions,
    before: str,
    after: str,
    paths: tuple[str, ...],
    stat: bool,
    deep: bool,
    exclude: tuple[str, ...],
    exit_code: bool,
) -> int:
    """Show what a version adds, removes, changes and renames against another one, of any artifact.

    A local folder (./data, /srv/data, or data where it can't be a version) is compared as a push would find it.
    """
    from artifactstore.cli.diff_lines import change_lines, head_lines, stat_lines, total_lines
    from artifactstore.cli.diff_shapes import change_shape, diff_shape, stat_shape
    from artifactstore.cli.rendering import write_json_listing
    from artifactstore.cli.session import Session

    session = Session(options)
    reference = session.qualified(before)
    folder = _folder(after, session.settings.project)
    if deep and stat:
        raise click.UsageError("--deep looks into each path, and --stat names none")
    if exclude and folder is None:
        raise click.UsageError("--exclude goes with a local folder; choose paths of versions with --path")
    with session.open_store() as store:
        if folder is None:
            found = store.diff(reference, session.qualified(after), paths=paths)
        else:
            excluded = [*session.settings.exclude, *exclude]
            found = store.diff_folder(
                reference, folder, paths=paths, exclude=excluded, progress=session.progress
            )
        if not found.all_renames:
            session.notice("there are too many files on one side only to look for renames among all of them")
        if options.as_json and stat:
            session.result({**diff_shape(found), "folders": stat_shape(found)}, ())
        elif options.as_json:
            shapes = (change_shape(change, _look(found, change) if deep else None) for change in found)
            write_json_listing(sys.stdout, diff_shape(found), "changes", shapes)
        else:
            coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
            quiet = options.quiet
            session.lines(() if quiet else head_lines(found, coloured=coloured))
            if stat:
                session.lines(stat_lines(found))
            else:
                look = partial(_look, found) if deep else None
                session.lines(change_lines(found, coloured=coloured, each=options.verbose, look=look))
            session.lines(() if quiet else total_lines(found))
    return EXIT_DIFFERENT if exit_code and not found.equal else 0


def _look(diff: "VersionDiff", change: "Change") -> "FileDiff | str | None":
    """What is inside a changed file that differs, or why that can't be said."""
    from artifactstore.errors import InvalidContent, MissingExtra

    try:
        return diff.look_into(change)
    except (InvalidContent, MissingExtra) as error:
        return f"{error.message}; {error.next_step}"


def _folder(text: str, project: str | None) -> str | None:
    """The local folder that an argument names; None where it is a reference."""
    if text.startswith(_PLACE_BEGINS) or text.endswith("/"):
        return os.path.expanduser(text)  # noqa: PTH111 - a path ends as it was written, for the messages
    like_reference = project is not None or any(mark in text for mark in "/:@")
    if not os.path.isdir(text):  # noqa: PTH112
        if like_reference or os.path.lexists(text):
            return None if like_reference else text
        from artifactstore.errors import NoSuchPath

        raise NoSuchPath(
            f"there is no folder {text!r} here, and no version is called so",
            next_step="write PROJECT/NAME for a version, or the path of a folder",
            path=text,
        )
    if like_reference and text.count("/") <= 1:
        raise click.UsageError(
            f"{text!r} is a folder here and may be a version; write ./{text} for the folder,"
            f" or {text}:latest for the version"
        )
    return text
