"""Commands for those who check a store from outside: `audit`."""

from pathlib import Path

import click

from artifactstore.cli.options import CommonOptions, common_options, example


@click.command(
    epilog=example("artifactstore audit --keyless s3://bucket/store", "artifactstore audit --read-data")
)
@click.argument("url", required=False, type=click.Path())
@click.option(
    "--keyless", is_flag=True, help="Use no key and no index. An audit never does; this says it aloud."
)
@click.option(
    "--read-data", is_flag=True, help="Read the packs too, and hold their bytes against their names."
)
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A checkpoint that the log must agree with.",
)
@click.option(
    "--receipt",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="An exported receipt: see whether what it calls gone is gone.",
)
@click.option(
    "--print-checkpoint", is_flag=True, help="Print what was seen of the log, to be kept elsewhere."
)
@common_options
def audit(
    options: CommonOptions,
    url: str | None,
    keyless: bool,  # noqa: ARG001 - there is no other way
    read_data: bool,
    checkpoint: Path | None,
    receipt: Path | None,
    print_checkpoint: bool,
) -> int:
    """Check what anybody can check who may read the bucket at URL, without a key.

    Signatures and roots of the log from its first record on; that every pack is there which should be, with the
    size and the trailer that its record promised; that nothing is there which was condemned and called erased.
    Remembers what it saw of the log, and says so when an older copy lies there. Exits with 1 when it finds something.
    """
    from artifactstore.cli.lines import audit_lines
    from artifactstore.cli.receipt_commands import read_receipt
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import audit_shape
    from artifactstore.store import audit as run_audit

    session = Session(options.of_store(url))
    try:
        report = run_audit(
            session.settings.store,
            store_id=options.store_id,
            checkpoint=None if checkpoint is None else checkpoint.read_text(encoding="utf-8"),
            receipt=None if receipt is None else read_receipt(receipt),
            read_data=read_data,
            cache_dir=session.settings.cache_dir,
            storage_options=session.settings.storage,
            progress=session.progress,
        )
    finally:
        session.progress.finish()
    if print_checkpoint:
        session.result(audit_shape(report), [report.checkpoint.rstrip("\n")])
        if not report.ok:
            session.notice("the audit found something: run it without --print-checkpoint", always=True)
    else:
        tell = session.summary if report.ok else session.result
        tell(audit_shape(report), audit_lines(report))
    return 0 if report.ok else 1
