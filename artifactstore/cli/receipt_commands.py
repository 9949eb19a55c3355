"""Commands about receipts of what was deleted: `receipt list`, `show`, `export`, `verify`."""

import sys
from pathlib import Path

import click

from artifactstore.cli.options import CommonOptions, common_options, example


@click.group(
    epilog=example("artifactstore receipt list", "artifactstore receipt export 3f9a --output receipt.json")
)
def receipt() -> None:
    """List, show and export receipts of versions that were purged; verify one that was exported.

    A receipt shows anybody, without a key, which chunks a version held and that they are gone from the store.
    """


@receipt.command(name="list", epilog=example("artifactstore receipt list --json"))
@common_options
def receipt_list(options: CommonOptions) -> None:
    """List the receipts, by the sweep that issued them."""
    from artifactstore.cli.receipt_rendering import receipt_shape, receipts_lines
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        found = store.receipts.list()
    session.result({"receipts": [receipt_shape(one) for one in found]}, receipts_lines(found))


@receipt.command(name="show", epilog=example("artifactstore receipt show 3f9a"))
@click.argument("receipt_id", metavar="ID")
@common_options
def receipt_show(options: CommonOptions, receipt_id: str) -> None:
    """Show which version the receipt ID is of, why it was deleted and who asked for it.

    ID may be cut to as few digits as name one receipt, at least 4.
    """
    from artifactstore.cli.receipt_rendering import details_lines, details_shape
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        found = store.receipts.show(receipt_id)
    session.result({"receipt": details_shape(found)}, details_lines(found))


@receipt.command(
    name="export",
    epilog=example("artifactstore receipt export 3f9a --output receipt.json --disclose reason"),
)
@click.argument("receipt_id", metavar="ID")
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="Where it goes."
)
@click.option(
    "--disclose",
    multiple=True,
    metavar="FIELD",
    help="Show this too: project, name, digest, page, number, deleted, reason, requested-by.",
)
@common_options
def receipt_export(options: CommonOptions, receipt_id: str, output: Path, disclose: tuple[str, ...]) -> None:
    """Write the receipt ID to FILE, for somebody who has no key.

    It shows which chunks the version held and which of them are gone. What else it shows you choose with --disclose;
    the rest is there as commitments, which say nothing. FILE is not overwritten.
    """
    from artifactstore.cli.receipt_rendering import facts_lines, facts_shape
    from artifactstore.cli.session import Session
    from artifactstore.errors import DestinationExists
    from artifactstore.store import verify_receipt

    session = Session(options)
    if output.exists():
        raise DestinationExists(f"{output} exists already", next_step="choose another file", path=str(output))
    with session.open_store() as store:
        data = store.receipts.export(receipt_id, disclose=disclose)
    with output.open("xb") as file:
        file.write(data)
    facts = verify_receipt(data)
    session.summary({"output": str(output), "receipt": facts_shape(facts)}, facts_lines(facts))


@receipt.command(
    name="verify", epilog=example("artifactstore receipt verify receipt.json --checkpoint log.note")
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="NOTE",
    help="A checkpoint from elsewhere that it must agree with.",
)
@common_options
def receipt_verify(options: CommonOptions, file: Path, checkpoint: Path | None) -> None:
    """Verify a receipt that somebody gave you; no store, no key and no network is needed.

    Signatures from the store's id on, proofs that its records belong to one log, commitments, counts. That the objects
    are gone from the bucket shows `artifactstore audit --receipt FILE URL`.
    """
    from artifactstore.cli.receipt_rendering import facts_lines, facts_shape
    from artifactstore.cli.rendering import json_text
    from artifactstore.store import verify_receipt

    facts = verify_receipt(
        read_receipt(file),
        store_id=options.store_id,
        checkpoint=None if checkpoint is None else checkpoint.read_text(encoding="utf-8"),
    )
    if options.as_json:
        sys.stdout.write(json_text({"receipt": facts_shape(facts)}) + "\n")
    elif not options.quiet:
        sys.stdout.writelines(f"{line}\n" for line in facts_lines(facts))


def read_receipt(file: Path) -> bytes:
    """The bytes of a receipt; of one that is too long no more than shows that."""
    from artifactstore.format.exported import RECEIPT_BYTES_MAX

    with file.open("rb") as opened:
        return opened.read(RECEIPT_BYTES_MAX + 1)
