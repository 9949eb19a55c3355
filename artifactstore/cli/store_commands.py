"""Commands about the store as a whole: `init`, `log`, `info`."""

import sys

import click

from artifactstore.cli.options import CommonOptions, common_options, example


@click.command(epilog=example("artifactstore init /mnt/backup/store", "artifactstore init s3://bucket/store"))
@click.argument("url", required=False, type=click.Path())
@common_options
def init(options: CommonOptions, url: str | None) -> None:
    """Make a store at URL, and a key file if you have none.

    Without URL, the store is made where --store, the environment or a configuration file says, or else in
    your data folder. The key file unlocks all stores that you make; back it up.
    """
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import created_shape

    options = options.of_store(url)
    if options.store_id is not None:
        raise click.UsageError("a new store gets a new id, so --store-id makes no sense here")
    session = Session(options)
    store, made = session.create_store(session.settings.store)
    with store:
        session.tell_notices(store)
    session.summary({"store": created_shape(made)}, [f"the store {made.url} is ready"])


@click.command(epilog=example("artifactstore log -n 10"))
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="COUNT", help="Only the newest so many.")
@click.option(
    "--checkpoint",
    is_flag=True,
    help="Print instead how long the log is and its root, signed, as a C2SP note.",
)
@common_options
def log(options: CommonOptions, limit: int | None, checkpoint: bool) -> None:
    """Show the records of the store, newest first.

    Each record says when it was written (by its writer's clock), which slot key its writer claims, and what
    it did. No record says on which machine.
    """
    from artifactstore.cli.lines import record_line
    from artifactstore.cli.rendering import write_json_listing
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import record_shape

    session = Session(options)
    with session.open_store() as store:
        if checkpoint:
            note = store.checkpoint()
            session.result({"checkpoint": note}, [note.rstrip("\n")])
            return
        records = store.log(limit=limit)
        if options.as_json:
            write_json_listing(sys.stdout, {}, "records", map(record_shape, records))
        else:
            sys.stdout.writelines(f"{record_line(record)}\n" for record in records)


@click.command(epilog=example("artifactstore du team/corpus:v3", "artifactstore du 'team/*' 'team/corpus:*'"))
@click.argument("references", metavar="[REF...]", nargs=-1)
@common_options
def du(options: CommonOptions, references: tuple[str, ...]) -> None:
    """Show how much versions take, and what deleting them would free: of each artifact, or of each REF.

    REF is a version, PROJECT/NAME:* for all versions of an artifact, or PROJECT/* for all of a project. Lists of files
    are read, and no data.
    """
    from artifactstore.cli.session import Session
    from artifactstore.cli.usage_rendering import usage_lines, usage_shape

    session = Session(options)
    with session.open_store() as store:
        rows = store.du([session.qualified(ref) for ref in references], progress=session.progress)
    session.result({"usage": [usage_shape(row) for row in rows]}, usage_lines(rows))


@click.command(epilog=example("artifactstore info --store /mnt/backup/store"))
@click.option("--quick", is_flag=True, help="Do not look for garbage, which reads all lists of files.")
@common_options
def info(options: CommonOptions, quick: bool) -> None:
    """Show what the store holds, how small it is kept, what garbage there is, and which slots unlock it."""
    from artifactstore.cli.lines import store_lines
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import store_shape
    from artifactstore.cli.usage_rendering import garbage_lines, garbage_shape
    from artifactstore.errors import PermissionRefused

    session = Session(options)
    garbage = None
    with session.open_store() as store:
        about = store.info()
        if not quick:
            try:
                garbage = store.garbage(progress=session.progress)
            except PermissionRefused as error:
                session.notice(f"garbage is not known: {error.message}")
    session.result(
        {"store": store_shape(about), "garbage": None if garbage is None else garbage_shape(garbage)},
        store_lines(about, () if garbage is None else garbage_lines(garbage)),
    )
