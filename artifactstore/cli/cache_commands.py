"""Commands about the cache directory: `cache info`, `cache clean`."""

import click

from artifactstore.cli.options import CommonOptions, common_options, example, parse_size


def _size(_: click.Context, __: click.Parameter, text: str | None) -> int:
    return 0 if text in {None, "0"} else parse_size(str(text))


@click.group(epilog=example("artifactstore cache info", "artifactstore cache clean --max 2GB"))
def cache() -> None:
    """Show or clean the cache directory: the indexes of all stores that you use from this machine."""


@cache.command(name="info", epilog=example("artifactstore cache info"))
@common_options
def cache_info(options: CommonOptions) -> None:
    """Show the indexes in the cache directory, their sizes, and when each was last used."""
    from artifactstore.cli.cache_rendering import info_lines, info_shape
    from artifactstore.cli.session import Session
    from artifactstore.store import cache_info as look

    session = Session(options)
    info = look(session.settings.cache_dir)
    session.result({"cache": info_shape(info)}, info_lines(info, full_ids=options.verbose))


@cache.command(epilog=example("artifactstore cache clean --max 2GB", "artifactstore cache clean --dry-run"))
@click.option(
    "--max", "max_bytes", metavar="SIZE", callback=_size, help="What may stay; nothing when not given."
)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@common_options
def clean(options: CommonOptions, max_bytes: int, dry_run: bool) -> None:
    """Remove the indexes that were not used for the longest time, until those that stay fit into SIZE.

    One that a process has open stays. The next command on a store whose index went makes it anew, which takes time and
    loses nothing.
    """
    from artifactstore.cli.cache_rendering import cleaning_lines, cleaning_shape
    from artifactstore.cli.session import Session
    from artifactstore.store import clean_cache

    session = Session(options)
    done = clean_cache(session.settings.cache_dir, max_bytes=max_bytes, dry_run=dry_run)
    session.summary({"dry_run": dry_run, **cleaning_shape(done)}, cleaning_lines(done, dry_run=dry_run))
