"""Commands about pushes that many make together: `distributed begin`, `list`, `status`, `commit`, `abandon`."""

import click

from artifactstore.cli.options import CommonOptions, common_options, example, run_option, version_options


@click.group(
    epilog=example(
        "token=$(artifactstore distributed begin team/corpus --parts 8)",
        'artifactstore push shard-3 --into "$token" --part 3/8',
        'artifactstore distributed commit "$token"',
    )
)
def distributed() -> None:
    """Make one version by many processes or machines, each of which pushes a part.

    Beginning such a push prints a token, a word that is no secret. Workers push their parts with push --into TOKEN;
    the commit makes one version of all parts, or none.
    """


@distributed.command(name="begin", epilog=example("artifactstore distributed begin team/corpus --parts 8"))
@click.argument("artifact", metavar="PROJECT/NAME")
@click.option(
    "--parts", "shards", metavar="N", type=int, required=True, help="How many parts there are; from 0 to N-1."
)
@version_options
@common_options
def distributed_begin(
    options: CommonOptions,
    *,
    artifact: str,
    shards: int,
    type_name: str,
    aliases: tuple[str, ...],
    tags: tuple[str, ...],
    description: str | None,
    metadata: tuple[str, ...],
) -> None:
    """Begin the next version of PROJECT/NAME, to be made in parts, and print its TOKEN."""
    from artifactstore.cli.distributed_rendering import distributed_shape
    from artifactstore.cli.session import Session
    from artifactstore.cli.sources import parse_metadata

    session = Session(options)
    with session.open_store() as store:
        push = store.distributed(
            session.qualified(artifact),
            shards=shards,
            type=type_name,
            aliases=aliases,
            tags=tags,
            description=description,
            metadata=parse_metadata(metadata) or None,
        )
        found = push.status()
    session.result({"distributed": distributed_shape(found)}, [push.token])


@distributed.command(name="list", epilog=example("artifactstore distributed list"))
@common_options
def distributed_list(options: CommonOptions) -> None:
    """List the pushes that are open: how far they are, and how long ago somebody was at them."""
    from artifactstore.cli.distributed_rendering import distributed_shape, pushes_lines
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        found = store.distributed_pushes()
    session.result({"pushes": [distributed_shape(one) for one in found]}, pushes_lines(found))


@distributed.command(name="status", epilog=example('artifactstore distributed status "$token"'))
@click.argument("token", metavar="TOKEN")
@common_options
def distributed_status(options: CommonOptions, token: str) -> None:
    """Show which parts are finished, and which are missing."""
    from artifactstore.cli.distributed_rendering import distributed_lines, distributed_shape
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        found = store.join(token).status()
    session.result({"distributed": distributed_shape(found)}, distributed_lines(found))


@distributed.command(name="commit", epilog=example('artifactstore distributed commit "$token"'))
@click.argument("token", metavar="TOKEN")
@run_option("The run that produces it, by 8 digits of its id or more.")
@common_options
def distributed_commit(options: CommonOptions, token: str, run: str | None) -> None:
    """Make the version of all parts; where parts are missing, name them and do nothing.

    Done again it says which version was made.
    """
    from artifactstore.cli import shapes
    from artifactstore.cli.distributed_rendering import gathered_lines
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        version = store.join(token).commit(run=run or None, progress=session.progress)
    name, done = version.qualified_name, version.push
    shape = {
        "version": shapes.version_shape(version),
        "push": None if done is None else shapes.push_shape(done),
    }
    told = [f"{name} was made before"] if done is None else gathered_lines(name, done)
    session.result(shape, [name] if options.quiet else told)


@distributed.command(name="abandon", epilog=example('artifactstore distributed abandon "$token"'))
@click.argument("token", metavar="TOKEN")
@click.option("--yes", is_flag=True, help="Don't ask.")
@common_options
def distributed_abandon(options: CommonOptions, token: str, *, yes: bool) -> int:
    """Give up a push: no version is made of it, and the next sweep takes away what its parts hold."""
    from artifactstore.cli.distributed_rendering import distributed_lines, distributed_shape
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        push = store.join(token)
        before = push.status()
        finished = len(before.finished)
        question = f"give up the push to {before.artifact}, of which {finished} of {before.shards} parts are finished?"
        if before.state == "open" and not session.confirmed(question, yes=yes):
            session.result({"distributed": distributed_shape(before)}, ())
            return 1
        push.abandon()
        found = push.status()
    session.summary({"distributed": distributed_shape(found)}, distributed_lines(found))
    return 0
