"""Commands about the key file: `key show`, `key backup`, `key restore`."""

from pathlib import Path

import click

from artifactstore.cli.options import CommonOptions, common_options, example


@click.group(epilog=example("artifactstore key backup /media/usb/artifactstore.key"))
def key() -> None:
    """Show, back up or restore your key file.

    Whoever has the key file can read your stores; without it nobody can, not even you.
    """


@key.command(name="show", epilog=example("artifactstore key show"))
@common_options
def key_show(options: CommonOptions) -> None:
    """Show where the key file is and the public half of the key, never the secret one."""
    from artifactstore.cli.rendering import fields
    from artifactstore.cli.session import Session
    from artifactstore.keyring.keyfile import load_key_file

    session = Session(options)
    path = session.settings.key_file
    pair = load_key_file(path)
    slot, public = pair.slot_id.hex(), pair.public.hex()
    session.result(
        {"key": {"file": str(path), "slot": slot, "public_key": public}},
        fields((("key file", str(path)), ("slot", slot), ("public key", public))),
    )


@key.command(epilog=example("artifactstore key backup /media/usb/artifactstore.key"))
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@common_options
def backup(options: CommonOptions, destination: Path) -> None:
    """Copy the key file to DEST; anything else that is there is never overwritten."""
    from artifactstore.cli.session import Session
    from artifactstore.clock import SystemRandomness
    from artifactstore.keyring.keyfile import backup_key_file

    session = Session(options)
    path = session.settings.key_file
    backup_key_file(path, destination, randomness=SystemRandomness())
    session.summary(
        {"key": {"file": str(path), "backup": str(destination)}},
        [
            f"copied the key file to {destination}",
            "keep it where others can't read it and a fire won't find both",
        ],
    )


@key.command(epilog=example("artifactstore key restore /media/usb/artifactstore.key"))
@click.argument("source", metavar="BACKUP", type=click.Path(path_type=Path))
@common_options
def restore(options: CommonOptions, source: Path) -> None:
    """Put BACKUP in the key file's place; a different key that is there is never overwritten."""
    from artifactstore.cli.session import Session
    from artifactstore.clock import SystemRandomness
    from artifactstore.keyring.keyfile import restore_key_file

    session = Session(options)
    path = session.settings.key_file
    restore_key_file(source, path, randomness=SystemRandomness())
    session.summary(
        {"key": {"file": str(path), "restored_from": str(source)}},
        [f"restored the key file {path} from {source}"],
    )
