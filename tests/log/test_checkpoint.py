"""Checkpoints: the note is what C2SP says, and nothing that was altered passes."""

import base64
import hashlib

import pytest

from artifactstore.crypto.signing import SigningKey
from artifactstore.errors import InvalidEvidence
from artifactstore.log.checkpoint import Checkpoint, read_note, sign_note, verify_note

KEY = SigningKey(bytes(range(32)))
OTHER = SigningKey(bytes(range(1, 33)))
HERE = Checkpoint(hashlib.sha256(KEY.public_bytes).digest(), 12, bytes(range(32)))


def test_a_note_is_what_c2sp_says() -> None:
    """Text, blank line, em dash, key name, and base64 of key id and Ed25519 signature over the text."""
    note = sign_note(HERE, KEY)
    text, _, line = note.partition("\n\n")
    origin, slots, root = text.splitlines()
    assert (origin, slots) == (f"artifactstore/{HERE.store_id.hex()}", "12")
    assert base64.b64decode(root) == HERE.root
    dash, name, signature = line.rstrip("\n").split(" ")
    assert (dash, name) == ("\u2014", origin)
    key_id = hashlib.sha256(origin.encode() + b"\n\x01" + KEY.public_bytes).digest()[:4]
    assert base64.b64decode(signature) == key_id + KEY.sign(f"{text}\n".encode())


def test_a_note_reads_back_with_the_lines_of_witnesses() -> None:
    """Other names may sign too; only the store's own key counts."""
    line = f"\u2014 witness.example/1 {base64.b64encode(bytes(68)).decode()}\n"
    note = read_note(sign_note(HERE, KEY) + line, "it")
    assert note.checkpoint == HERE
    verify_note(note, [OTHER.public_bytes, KEY.public_bytes], "it")
    with pytest.raises(InvalidEvidence):
        verify_note(note, [OTHER.public_bytes], "it")


def test_a_bare_text_is_a_checkpoint_without_a_signer() -> None:
    """What an auditor keeps for itself."""
    note = read_note(HERE.text, "it")
    assert (note.checkpoint, note.signatures) == (HERE, ())
    with pytest.raises(InvalidEvidence):
        verify_note(note, [KEY.public_bytes], "it")


def test_any_altered_character_fails() -> None:
    """It is malformed, or says another thing than was signed."""
    note = sign_note(HERE, KEY)
    for at in range(len(note)):
        for character in ("A", "0", "\n", " "):
            altered = note[:at] + character + note[at + 1 :]
            if altered == note:
                continue
            with pytest.raises(InvalidEvidence):
                verify_note(read_note(altered, "it"), [KEY.public_bytes], "it")


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", HERE.text + "\n", HERE.text.replace("12", "012"), HERE.text + "more\n", HERE.text * 5000],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """Empty, cut, with leading zeros, with lines of its own, or endless."""
    with pytest.raises(InvalidEvidence):
        read_note(text, "it")
