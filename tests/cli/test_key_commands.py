"""`key show`, `key backup` and `key restore`: the key file is copied, and never shown or overwritten."""

from pathlib import Path

import pytest

from artifactstore.clock import SystemClock, SystemRandomness
from artifactstore.config import default_key_file
from artifactstore.keyring.keyfile import create_key_file
from tests.cli.conftest import Run


@pytest.fixture
def key_file(home: Path) -> Path:
    """The user's key file."""
    create_key_file(default_key_file(), randomness=SystemRandomness(), clock=SystemClock())
    return default_key_file()


def test_show_prints_the_public_half(run: Run, key_file: Path) -> None:
    """Where it is, its slot and its public key; the secret stays in the file."""
    done = run("key", "show")
    document = run("key", "show", "--json").document["key"]
    assert [line.split()[-1] for line in done.out.splitlines()] == list(document.values())
    assert document["file"] == str(key_file)
    secret = next(line for line in key_file.read_text().splitlines() if line.startswith("key: ")).split()[1]
    assert secret not in done.out


def test_backup_and_restore(run: Run, key_file: Path, home: Path) -> None:
    """A backup brings the key back."""
    content = key_file.read_bytes()
    assert run("key", "backup", "copy").code == 0
    key_file.unlink()
    assert run("key", "show", "--json").error["kind"] == "key-missing"
    assert run("key", "restore", "copy").out == f"restored the key file {key_file} from copy\n"
    assert key_file.read_bytes() == content
    assert run("key", "restore", "copy", "-q") == (0, "", "")


def test_a_different_key_is_never_overwritten(run: Run, key_file: Path, home: Path) -> None:
    """Neither a backup nor a restore destroys a key."""
    create_key_file(home / "other", randomness=SystemRandomness(), clock=SystemClock())
    before = key_file.read_bytes(), (home / "other").read_bytes()
    assert run("key", "backup", "other").code == 4
    assert run("key", "restore", "other").code == 4
    assert (key_file.read_bytes(), (home / "other").read_bytes()) == before


def test_another_key_file(run: Run, home: Path) -> None:
    """--key-file names another one."""
    create_key_file(home / "other", randomness=SystemRandomness(), clock=SystemClock())
    done = run("key", "show", "--key-file", "other", "--json")
    assert done.document["key"]["file"] == "other"


def test_a_request_is_one_line_and_makes_a_key(run: Run, home: Path) -> None:
    """With a notice to back the key up, once; the name is checked."""
    first = run("key", "request", "--name", "ana")
    assert first.out.startswith("artifactstore-key:1:ana:")
    assert first.out.count("\n") == 1
    assert "back it up" in first.err
    assert run("key", "request", "--name", "ana") == (0, first.out, "")
    assert run("key", "request", "--name", "no spaces", "--json").error["kind"] == "invalid-name"


@pytest.mark.parametrize(
    "words", [[], ["artifactstore-key:1:x", "--recovery"], ["--passphrase", "--recovery"]], ids=" ".join
)
def test_one_way_is_added_at_a_time(run: Run, words: list[str]) -> None:
    """None, or two at once, is a slip."""
    assert run("key", "add", *words).code == 2
