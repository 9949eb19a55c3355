"""Commands about this client's index: `index info`, `index rebuild`."""

import click

from artifactstore.cli.options import CommonOptions, Limits, common_options, example, limit_options


@click.group(epilog=example("artifactstore index info", "artifactstore index rebuild"))
def index() -> None:
    """Show or rebuild this client's index of a store.

    The index makes lookups fast. It holds nothing that the store does not, and is rebuilt whenever it is
    missing or damaged.
    """


@index.command(name="info", epilog=example("artifactstore index info"))
@common_options
def index_info(options: CommonOptions) -> None:
    """Show where the index lies, its size, and how far it has followed the log."""
    from artifactstore.cli.lines import index_lines
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import index_shape

    session = Session(options)
    with session.open_store() as store:
        about = store.index_info()
    session.result({"index": index_shape(about)}, index_lines(about))


@index.command(epilog=example("artifactstore index rebuild"))
@limit_options
@common_options
def rebuild(options: CommonOptions, limits: Limits) -> None:
    """Throw the index away and build it anew from the store."""
    from artifactstore.cli.lines import index_lines
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import index_shape

    session = Session(options)
    with session.open_store(limits) as store:
        store.rebuild_index(progress=session.progress)
        about = store.index_info()
    session.summary({"index": index_shape(about)}, index_lines(about))
