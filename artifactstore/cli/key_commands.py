"""Commands about keys: those of the user's key file, and those about the slots that unlock a store."""

import re
from pathlib import Path

import click

from artifactstore.cli.options import CommonOptions, common_options, example


@click.group(
    epilog=example(
        "artifactstore key backup /media/usb/artifactstore.key", "artifactstore key add --passphrase"
    )
)
def key() -> None:
    """Show, back up or restore your key file; list and add what unlocks a store.

    Whoever has the key file can read your stores; without it or another slot nobody can, not even you.
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


@key.command(epilog=example("artifactstore key request --name ana"))
@click.option("--name", metavar="NAME", help="What to call you; your user name by default.")
@common_options
def request(options: CommonOptions, name: str | None) -> None:
    """Print a line that asks a member of a store for access, and make a key file if you have none.

    The line holds your public key and your name, nothing secret. The member runs `artifactstore key add LINE`.
    """
    from artifactstore.cli.session import Session
    from artifactstore.clock import SystemClock, SystemRandomness
    from artifactstore.ids import check_name
    from artifactstore.keyring.keyfile import load_or_create_key_file
    from artifactstore.keyring.request import KeyRequest, request_line

    session = Session(options)
    name = check_name(name or _user_name(), "member")
    path = session.settings.key_file
    pair, made = load_or_create_key_file(path, randomness=SystemRandomness(), clock=SystemClock())
    if made:
        session.notice(
            f"made the key file {path}: back it up with `artifactstore key backup DEST`", always=True
        )
    line = request_line(KeyRequest(name, pair.public))
    session.result({"request": {"line": line, "name": name, "slot": pair.slot_id.hex()}}, [line])


@key.command(
    epilog=example(
        "artifactstore key add artifactstore-key:1:ana:… --read-only",
        "artifactstore key add --passphrase",
        "artifactstore key add --recovery",
    )
)
@click.argument("line", required=False, metavar="[LINE]")
@click.option("--passphrase", is_flag=True, help="Add a passphrase; it is asked for twice, on the terminal.")
@click.option("--recovery", is_flag=True, help="Add a recovery phrase, and print it once.")
@click.option("--read-only", is_flag=True, help="Give no signing key: who has it can read and not write.")
@click.option("--name", metavar="NAME", help="Whose it is; by default the name in LINE, or your user name.")
@common_options
def add(
    options: CommonOptions,
    line: str | None,
    passphrase: bool,
    recovery: bool,
    read_only: bool,
    name: str | None,
) -> None:
    """Add a way of unlocking the store: a colleague's LINE from `key request`, a passphrase or a recovery phrase.

    Whoever you add reads everything in the store, from its first version on.
    """
    from artifactstore.cli.asking import ask_new_passphrase
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import slot_shape

    if (line is not None) + passphrase + recovery != 1:
        raise click.UsageError("give one of LINE, --passphrase and --recovery")
    session = Session(options)
    phrase: str | None = None
    with session.open_store() as store:
        members = store.members
        members.refuse_read_only()
        if line is not None:
            slot = members.add(line, read_only=read_only, name=name)
        elif passphrase:
            slot = members.add_passphrase(ask_new_passphrase(), name or _user_name(), read_only=read_only)
        else:
            slot, phrase = members.add_recovery(name or "recovery", read_only=read_only)
    rights = "may read" if slot.read_only else "may read and write"
    told = [f"added {slot.name}, who {rights}: slot {slot.id} ({slot.kind})"]
    document: dict[str, object] = {"slot": slot_shape(slot)}
    if phrase is not None:
        document["phrase"] = phrase
        told += ["write this down, it is shown only once and opens the store:", "", f"    {phrase}", ""]
        session.result(document, told)  # even with --quiet: nobody can ask for it again
    else:
        session.summary(document, told)


@key.command(name="list", epilog=example("artifactstore key list"))
@common_options
def key_list(options: CommonOptions) -> None:
    """List the slots of the store: what unlocks it, whose it is, since when and by whom."""
    from artifactstore.cli.lines import slot_lines
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import slot_shape

    session = Session(options)
    with session.open_store() as store:
        slots = store.members.slots()
    session.result({"slots": [slot_shape(slot) for slot in slots]}, slot_lines(slots))


@key.command(epilog=example("artifactstore key remove 0c3f5f7d"))
@click.argument("slot")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@common_options
def remove(options: CommonOptions, slot: str, yes: bool) -> int:
    """Remove SLOT, as `key list` shows it or by its first digits, and give the store new keys.

    Its owner can open nothing that is written from then on, and nothing that is in the bucket from then on; what
    was read or copied before stays read.
    """
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import slot_shape

    session = Session(options)
    with session.open_store() as store:
        if not session.confirmed(f"remove slot {slot}, and give the store new keys?", yes=yes):
            return 1
        gone = store.members.remove(slot)
        generation = store.members.generation
    named = f" of {gone.name}" if gone.name else ""
    session.summary(
        {"removed": slot_shape(gone), "generation": generation},
        [f"removed slot {gone.id}{named}; generation {generation} of keys begins"],
    )
    return 0


@key.command(epilog=example("artifactstore key rotate"))
@common_options
def rotate(options: CommonOptions) -> None:
    """Give the store new keys, sealed to the same slots; no data is encrypted again."""
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        generation = store.members.rotate()
    session.summary({"generation": generation}, [f"generation {generation} of keys begins"])


@key.command(name="passphrase", epilog=example("artifactstore key passphrase"))
@click.argument("slot", required=False)
@common_options
def change_passphrase(options: CommonOptions, slot: str | None) -> None:
    """Change a passphrase, and give the store new keys that the old one does not open.

    SLOT says whose, as `key list` shows it; without it yours is meant, or the only one there is.
    """
    from artifactstore.cli.asking import ask_new_passphrase
    from artifactstore.cli.session import Session
    from artifactstore.cli.shapes import slot_shape

    session = Session(options)
    with session.open_store() as store:
        members = store.members
        members.refuse_read_only()
        changed = members.change_passphrase(ask_new_passphrase(), slot)
        generation = members.generation
    session.summary(
        {"slot": slot_shape(changed), "generation": generation},
        [f"changed the passphrase: slot {changed.id}; generation {generation} of keys begins"],
    )


def _user_name() -> str:
    """The user's login name, as far as it may be a name here."""
    import getpass

    try:
        login = getpass.getuser()
    except (OSError, KeyError):
        login = ""
    return re.sub(r"[^A-Za-z0-9._-]", "-", login, flags=re.ASCII).lstrip("._-")[:128] or "member"
