"""The ways by which a user unlocks a store, and the order in which they are tried.

What the user named is all that is tried: a passphrase, a password command or a key file. When nothing was named, the
default key file comes first and then, on a terminal, a prompt. `config` settles who names first: arguments,
environment, the user's configuration file.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from artifactstore import keyring
from artifactstore.errors import AccessError, KeyMissing, WrongKey
from artifactstore.format.keys import KeysObject, SlotKind
from artifactstore.keyring.keyfile import KeyPair, load_key_file
from artifactstore.keyring.keyring import Keyring, unlock_slot

# A command may ask its user for a PIN; one that hangs must end some time.
_COMMAND_PATIENCE_S: Final = 600
_ASKED_MAX: Final = 3

Candidates = Iterable[tuple[str, KeysObject]]


class Ways(NamedTuple):
    """How a user can unlock a store.

    Attributes:
        key_file: The key file.
        key_file_named: Whether somebody named it; the default one gives way to a prompt.
        passphrase: A passphrase or a recovery phrase.
        password_command: A command that prints one.
        ask: Asks the user for one; None where nobody can be asked. It returns None when the user gives up.
        pair: The slot key itself, once it is known: a store that is opened again asks nobody twice.
    """

    key_file: Path
    key_file_named: bool = True
    passphrase: str | None = None
    password_command: str | None = None
    ask: Callable[[], str | None] | None = None
    pair: KeyPair | None = None

    def __repr__(self) -> str:
        """Without secrets: representations end up in logs."""
        return f"Ways(key_file={str(self.key_file)!r}, password_command={self.password_command is not None})"


def unlock_by(ways: Ways, candidates: Candidates, where: str) -> tuple[Keyring, KeyPair]:
    """Unlock a store by the first way that fits.

    Args:
        ways: What the user has.
        candidates: `keys/` objects that valid records name, with their names, the likeliest first; those after the
            first are asked for only when it has no slot for a key.
        where: The store, for messages.

    Raises:
        KeyMissing: There is nothing to unlock with.
        WrongKey: It opens no slot.
        Damaged: No `keys/` object is whole.
    """
    known = _Remembered(candidates)
    if ways.pair is not None:
        return _by_pair(ways.pair, known, where, "the key"), ways.pair
    if ways.passphrase is not None:
        return _by_passphrase(ways.passphrase, known, where)
    if ways.password_command is not None:
        return _by_passphrase(_printed_by(ways.password_command), known, where)
    try:
        pair = load_key_file(ways.key_file)
        return _by_pair(pair, known, where, f"the key in {ways.key_file}"), pair
    except (KeyMissing, WrongKey):
        if ways.key_file_named or ways.ask is None or not _takes_passphrases(known):
            raise
    return _by_prompt(ways.ask, known, where)


class _Remembered:
    """Candidates that can be gone through again, each fetched once."""

    def __init__(self, candidates: Candidates) -> None:
        self._rest: Iterator[tuple[str, KeysObject]] = iter(candidates)
        self._seen: list[tuple[str, KeysObject]] = []

    def __iter__(self) -> Iterator[tuple[str, KeysObject]]:
        yield from list(self._seen)
        for each in self._rest:
            self._seen.append(each)
            yield each


def _by_pair(pair: KeyPair, known: _Remembered, where: str, what: str) -> Keyring:
    expected: list[str] = []
    for name, keys in known:
        try:
            return unlock_slot(keys, pair, name)
        except WrongKey:
            expected = [slot.id.hex() for slot in keys.slots]
    raise WrongKey(
        f"{what} opens no slot of the store at {where}",
        url=where,
        found=pair.slot_id.hex(),
        expected=expected,
    )


def _by_passphrase(text: str, known: _Remembered, where: str) -> tuple[Keyring, KeyPair]:
    found = keyring.phrase.pair_of_phrase(text)
    if found is not None:
        return _by_pair(found, known, where, "this recovery phrase"), found
    tried: set[bytes] = set()
    for name, keys in known:
        for slot in keys.slots:
            if slot.kind is SlotKind.PASSPHRASE and slot.id not in tried:
                tried.add(slot.id)
                pair = keyring.passphrase.pair_by_passphrase(slot, keys.store_id, text)
                if pair is not None:
                    return unlock_slot(keys, pair, name), pair
    if not tried:
        raise WrongKey(
            f"no slot of the store at {where} takes a passphrase",
            next_step="use a key file, or add a passphrase with `artifactstore key add --passphrase`",
            url=where,
        )
    phrase = keyring.phrase.looks_like_phrase(text)
    raise WrongKey(
        f"this {'recovery phrase' if phrase else 'passphrase'} opens no slot of the store at {where}",
        next_step="compare it with what is on paper: a character is wrong"
        if phrase
        else "check keyboard layout and caps lock, and type it again; a passphrase can't be recovered",
        url=where,
    )


def _by_prompt(ask: Callable[[], str | None], known: _Remembered, where: str) -> tuple[Keyring, KeyPair]:
    for left in reversed(range(_ASKED_MAX)):
        text = ask()
        if text is None:
            break
        try:
            return _by_passphrase(text, known, where)
        except WrongKey:
            if not left:
                raise
    raise KeyMissing(f"the store at {where} stays locked: no passphrase was given", url=where)


def _takes_passphrases(known: _Remembered) -> bool:
    return any(
        slot.kind in {SlotKind.PASSPHRASE, SlotKind.RECOVERY} for _, keys in known for slot in keys.slots
    )


def _printed_by(command: str) -> str:
    """The first line that a command prints; it runs without a shell, and may ask its user on the terminal."""
    import subprocess  # noqa: PLC0415 - who has a key file never needs it

    failed = f"the password command {command!r}"
    step = "run it by itself: it must print the passphrase on its first line and end with 0"
    try:
        with subprocess.Popen(shlex.split(command), stdout=subprocess.PIPE) as process:  # noqa: S603 - the user's own command
            assert process.stdout is not None
            printed = process.stdout.read(keyring.passphrase.PASSPHRASE_BYTES_MAX + 2)
            process.stdout.close()
            try:
                code = process.wait(_COMMAND_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AccessError(f"{failed} does not end", next_step=step) from None
    except (OSError, ValueError, IndexError) as error:
        raise AccessError(f"{failed} can't be run: {error}", next_step=step) from error
    if code:
        raise AccessError(f"{failed} ended with {code}", next_step=step, code=code)
    try:
        text = printed.decode().split("\n", 1)[0].rstrip("\r")
    except UnicodeDecodeError:
        raise AccessError(f"{failed} printed something that is not UTF-8", next_step=step) from None
    if not text or len(text.encode()) > keyring.passphrase.PASSPHRASE_BYTES_MAX:
        raise AccessError(f"{failed} printed no passphrase", next_step=step)
    return text
