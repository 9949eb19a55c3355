"""Commands that give names to versions: `alias`, `tag`."""

import click

from artifactstore.cli.options import CommonOptions, common_options, example


@click.command(
    epilog=example(
        "artifactstore alias team/corpus:v3 production",
        "artifactstore alias team/corpus:v3 candidate --expected none",
        "artifactstore alias --remove team/corpus beta",
    )
)
@click.argument("reference", metavar="REF")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--remove", is_flag=True, help="Take the names off the artifact; REF may be PROJECT/NAME.")
@click.option(
    "--expected",
    metavar="VERSION",
    help="Move them only if they are on VERSION until then: v3, or `none` for new ones.",
)
@common_options
def alias(
    options: CommonOptions, reference: str, names: tuple[str, ...], remove: bool, expected: str | None
) -> None:
    """Point aliases at a version; each names one version of its artifact and moves there from any other.

    `latest` moves by itself. An alias that looks like v3 is refused. With --expected, of several who move an alias from
    the same version one does, and the others are told where it is now (exit code 4).
    """
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import version_shape
    from artifactstore.ids import ANYWHERE, parse_reference

    standing = ANYWHERE if expected is None else None if expected == "none" else expected
    session = Session(options)
    where = session.qualified(reference)
    with session.open_store() as store:
        if remove:
            store.remove_aliases(where, names, expected=standing)
            artifact = str(parse_reference(where).artifact)
            session.summary(
                {"artifact": artifact, "removed": list(names)}, [f"{artifact}: removed {' '.join(names)}"]
            )
            return
        version = store.add_aliases(where, names, expected=standing)
    session.summary(
        {"version": version_shape(version)},
        [f"{version.qualified_name}: aliases {' '.join(version.aliases)}"],
    )


@click.command(
    epilog=example(
        "artifactstore tag team/corpus:v3 reviewed", "artifactstore tag --remove team/corpus:v3 draft"
    )
)
@click.argument("reference", metavar="REF")
@click.argument("labels", metavar="LABEL...", nargs=-1, required=True)
@click.option("--remove", is_flag=True, help="Take the labels off the version.")
@common_options
def tag(options: CommonOptions, reference: str, labels: tuple[str, ...], remove: bool) -> None:
    """Put labels on a version; any number of versions may have the same."""
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import version_shape

    session = Session(options)
    with session.open_store() as store:
        change = store.remove_tags if remove else store.add_tags
        version = change(session.qualified(reference), labels)
    session.summary(
        {"version": version_shape(version)},
        [f"{version.qualified_name}: {'tags ' + ' '.join(version.tags) if version.tags else 'no tags'}"],
    )
