"""Commands that change what is said of versions and what artifacts are called: `edit`, `rename`, `link`, `unlink`."""

from typing import Any

import click

from artifactstore.cli.options import CommonOptions, common_options, example


def metadata_pairs(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    """`KEY=VALUE` as a mapping; a value that is JSON is taken as such, any other as text."""
    import json

    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"{text!r} is not KEY=VALUE, for example rows=1000")
        try:
            found[key] = json.loads(value)
        except (ValueError, RecursionError):
            found[key] = value
    return found


@click.command(
    epilog=example(
        "artifactstore edit team/corpus:v3 --description 'without duplicates'",
        "artifactstore edit team/corpus:v3 --metadata rows=1000 --remove-metadata draft",
    )
)
@click.argument("reference", metavar="REF")
@click.option("-d", "--description", help="Free text.")
@click.option(
    "-m",
    "--metadata",
    metavar="KEY=VALUE",
    multiple=True,
    callback=metadata_pairs,
    help="What to say under KEY: VALUE is JSON, or else text. The other keys stay.",
)
@click.option("--remove-metadata", metavar="KEY", multiple=True, help="Take KEY away.")
@click.option("--replace-metadata", is_flag=True, help="Take all keys away that are not given.")
@common_options
def edit(
    options: CommonOptions,
    reference: str,
    description: str | None,
    metadata: dict[str, Any],
    remove_metadata: tuple[str, ...],
    replace_metadata: bool,
) -> None:
    """Change the description and the metadata of a version; its files, digest and number stay."""
    from artifactstore.cli.lines import version_lines
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import version_shape

    session = Session(options)
    with session.open_store() as store:
        version = store.describe(
            session.qualified(reference),
            description=description,
            metadata=metadata,
            remove_metadata=remove_metadata,
            replace=replace_metadata,
        )
    session.summary({"version": version_shape(version)}, version_lines(version))


@click.command(
    epilog=example("artifactstore rename team/corpus team/articles", "artifactstore rename team research")
)
@click.argument("old", metavar="PROJECT/NAME | PROJECT")
@click.argument("new", metavar="PROJECT/NAME | PROJECT")
@common_options
def rename(options: CommonOptions, old: str, new: str) -> None:
    """Give an artifact or a project another name. Every name that it had goes on answering, and is nobody else's.

    An artifact may be renamed into another project. A new name that something has or had is refused.
    """
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        now = store.rename(old, new)
    session.summary({"old": old, "new": now}, [f"{old} is {now} now"])


@click.command(epilog=example("artifactstore link team/model:v3 registry/model --alias production"))
@click.argument("reference", metavar="REF")
@click.argument("collection", metavar="PROJECT/COLLECTION")
@click.option("-a", "--alias", "aliases", metavar="NAME", multiple=True, help="Point NAME at the link.")
@click.option("--tag", "tags", metavar="LABEL", multiple=True, help="Put LABEL on the link.")
@common_options
def link(
    options: CommonOptions, reference: str, collection: str, aliases: tuple[str, ...], tags: tuple[str, ...]
) -> None:
    """Put a version into a collection, where it has a number, aliases and tags of its own.

    The first link makes the collection. A version that is linked there already keeps its link, which gets the aliases
    and tags. What a link holds stays for as long as the link is there.
    """
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import version_shape

    session = Session(options)
    with session.open_store() as store:
        made = store.link(
            session.qualified(reference), session.qualified(collection), aliases=aliases, tags=tags
        )
    assert made.push is not None
    assert made.link is not None
    words = "is" if made.push.created else "was already"
    session.summary(
        {"version": version_shape(made), "created": made.push.created},
        [f"{made.qualified_name} {words} a link of {made.link.version}: aliases {' '.join(made.aliases)}"],
    )


@click.command(epilog=example("artifactstore unlink registry/model:v2"))
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Unlink also what an alias other than latest points at.")
@click.option("--reason", metavar="TEXT", default="", help="Why; kept sealed in the log.")
@common_options
def unlink(options: CommonOptions, references: tuple[str, ...], force: bool, reason: str) -> None:
    """Take links out of collections. The versions that they are of stay, and `undelete` brings links back.

    REF is as for `delete`: `registry/model:v2`, an alias, or `registry/model:*` for all of them.
    """
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import version_shape

    session = Session(options)
    with session.open_store() as store:
        gone = store.unlink(
            [session.qualified(reference) for reference in references], force=force, reason=reason
        )
    session.summary(
        {"versions": [version_shape(version) for version in gone]},
        [
            f"{version.qualified_name} is no link of {version.link.version} any more"
            for version in gone
            if version.link is not None
        ],
    )
