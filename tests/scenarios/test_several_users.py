"""A team as strangers to the code: each with a home of their own, on the command line, over a folder or S3."""

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from artifactstore import Store
from artifactstore.backend.opening import open_backend
from artifactstore.format.keys import ARGON_MEMORY_KIB_MIN

WORDS = "correct horse battery staple"
_PATIENCE_S = 60.0
# What a terminal is asked has nothing to do with where the store lies.
ON_A_FOLDER = pytest.mark.parametrize("store", ["folder"], indirect=True)


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Place(NamedTuple):
    """Where the team's store lies.

    Attributes:
        url: Its URL, or a folder.
        options: How the library reaches it.
        environment: How commands do.
    """

    url: str
    options: dict[str, Any]
    environment: dict[str, str]

    def objects(self) -> set[str]:
        """The names of all that lies there."""
        return {info.name for info in open_backend(self.url, storage_options=self.options).list("")}


class Person:
    """Somebody with a home, who types commands."""

    def __init__(self, folder: Path, store: Place) -> None:
        self.home = folder
        folder.mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ARTIFACTSTORE_STORE": store.url,
            **store.environment,
            "PYTHONWARNINGS": "error",
            "TERM": "dumb",
        }

    @property
    def key_file(self) -> Path:
        return next(self.home.rglob("artifactstore/key"))

    def runs(self, *words: str, code: int = 0) -> Done:
        """Run a command with no terminal; it ends with `code`."""
        done = subprocess.run(
            [sys.executable, "-m", "artifactstore", *words],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, done
        return Done(done.returncode, done.stdout, done.stderr)

    def types(self, *words: str, answers: list[tuple[str, str]]) -> Done:
        """Run a command on a terminal and answer what it asks; what is typed is not echoed."""
        process, terminal = pty.fork()
        if not process:  # pragma: no cover - the child
            os.chdir(self.home)
            os.execve(sys.executable, [sys.executable, "-m", "artifactstore", *words], self.environment)
        seen, waiting = b"", list(answers)
        asked_from = 0
        while True:
            assert select.select([terminal], [], [], _PATIENCE_S)[0], seen
            try:
                part = os.read(terminal, 4096)
            except OSError:  # the other end of the terminal is closed
                part = b""
            if not part:
                break
            seen += part
            if waiting and waiting[0][0].encode() in seen[asked_from:]:
                asked_from = len(seen)
                os.write(terminal, waiting.pop(0)[1].encode() + b"\n")
        os.close(terminal)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        assert not waiting, seen
        return Done(code, seen.decode(), "")


@pytest.fixture(params=["folder", "s3"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """A folder, and a prefix on a real S3 server."""
    if request.param == "folder":
        return Place(str(tmp_path / "store"), {}, {})
    options = request.getfixturevalue("s3_options")
    environment = {
        "AWS_ACCESS_KEY_ID": options["key"],
        "AWS_SECRET_ACCESS_KEY": options["secret"],
        "ARTIFACTSTORE_ENDPOINT": options["endpoint"],
    }
    return Place(request.getfixturevalue("s3_url"), options, environment)


@pytest.fixture
def ana(tmp_path: Path, store: Place) -> Person:
    """Ana made the store and has pushed a version."""
    person = Person(tmp_path / "ana", store)
    person.runs("init", store.url)
    (person.home / "data").mkdir()
    (person.home / "data" / "a.txt").write_text("alpha\n")
    person.runs("push", "data", "team/x")
    return person


def test_a_read_only_colleague(tmp_path: Path, store: Place, ana: Person) -> None:
    """B asks, A lets B read, B pulls; B's push is refused and leaves nothing in the store."""
    ben = Person(tmp_path / "ben", store)
    line = ben.runs("key", "request", "--name", "ben").out.strip()
    assert "WrongKey" not in line
    refused = ben.runs("pull", "team/x", code=5)
    assert "artifactstore key request" in refused.err
    ana.runs("key", "add", line, "--read-only")
    ben.runs("pull", "team/x", "here")
    assert (ben.home / "here" / "a.txt").read_text() == "alpha\n"
    before = store.objects()
    (ben.home / "b.txt").write_text("mine\n")
    refused = ben.runs("push", "b.txt", "team/x", "--json", code=5)
    assert json.loads(refused.err.splitlines()[-1])["error"]["kind"] == "permission-refused"
    assert ben.runs("key", "add", "--recovery", code=5).out == ""
    assert store.objects() == before
    listed = json.loads(ben.runs("key", "list", "--json").out)["slots"]
    assert [(slot["name"], slot["kind"], slot["read_only"]) for slot in listed] == [
        ("", "key-file", False),
        ("ben", "public-key", True),
    ]
    assert listed[1]["added_by"] == listed[0]["id"]


@ON_A_FOLDER
def test_a_passphrase_typed_and_printed(tmp_path: Path, store: Place, ana: Person) -> None:
    """C has no key file: the prompt asks on a terminal, a command answers without one, and neither is echoed."""
    with Store.open(
        store.url, key_file=ana.key_file, cache_dir=tmp_path / "cache", storage_options=store.options
    ) as opened:
        opened.members.add_passphrase(WORDS, "cyd", memory_kib=ARGON_MEMORY_KIB_MIN)
    cyd = Person(tmp_path / "cyd", store)
    question = "Passphrase or recovery phrase"
    done = cyd.types("pull", "team/x", "typed", answers=[(question, "a slip of the hand"), (question, WORDS)])
    assert done.code == 0, done
    assert WORDS not in done.out
    assert (cyd.home / "typed" / "a.txt").read_text() == "alpha\n"
    (cyd.home / "words").write_text(WORDS + "\n")
    cyd.runs("pull", "team/x", "printed", "--password-command", "cat words")
    assert (cyd.home / "printed" / "a.txt").read_text() == "alpha\n"
    assert cyd.runs("ls", "--password-command", "false", code=5).out == ""
    assert "no key file" in cyd.runs("ls", code=5).err
    assert not list(cyd.home.rglob("artifactstore/key"))


@ON_A_FOLDER
def test_a_passphrase_is_set_on_a_terminal_alone(tmp_path: Path, store: Place, ana: Person) -> None:
    """It is asked for twice; without a terminal nothing is added."""
    assert "terminal" in ana.runs("key", "add", "--passphrase", code=2).err
    done = ana.types(
        "key",
        "add",
        "--passphrase",
        "--name",
        "ana",
        answers=[("New passphrase", WORDS), ("The same", WORDS)],
    )
    assert done.code == 0, done
    assert WORDS not in done.out
    (ana.home / "words").write_text(WORDS)
    cyd = Person(tmp_path / "cyd", store)
    cyd.runs("ls", "--password-command", f"cat {ana.home / 'words'}")


def test_the_recovery_phrase_opens_what_no_key_file_does(store: Place, ana: Person) -> None:
    """Printed once; with every key file lost it lets the owner in, who then adds a new key file."""
    added = json.loads(ana.runs("key", "add", "--recovery", "--json").out)
    ana.key_file.unlink()
    ana.runs("pull", "team/x", code=5)
    (ana.home / "phrase").write_text(added["phrase"].lower())
    unlock = ("--password-command", "cat phrase")
    ana.runs("pull", "team/x", "back", *unlock)
    assert (ana.home / "back" / "a.txt").read_text() == "alpha\n"
    line = ana.runs("key", "request", "--name", "ana").out.strip()
    ana.runs("key", "add", line, *unlock)
    (ana.home / "data" / "b.txt").write_text("beta\n")
    ana.runs("push", "data", "team/x")
    assert "3 versions" not in ana.runs("check").out
