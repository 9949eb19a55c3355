"""Every command of the command line, one after the other, on a real S3 server."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from artifactstore.cli.main import commands, main
from artifactstore.client.members import Members
from artifactstore.config import PROJECT_FILE
from artifactstore.format.keys import ARGON_MEMORY_KIB_MIN
from tests.servers import OWNER, Server
from tests.stores import noise, read_tree, write_tree

TREE = {"a.bin": noise(300_000), "sub/b.txt": b"text", "link": "a.bin", "empty": None, "nothing": b""}
SECRET = {"kept": b"kept", "secret": noise(100_000, 4)}


class CommandLine:
    """Runs lines, with what earlier ones printed in place of names in braces.

    Attributes:
        acts: Whether lines are run, or noted alone.
        ran: Words of every line.
        known: What the names stand for.
    """

    def __init__(self, capfd: Any) -> None:
        self.acts = True
        self.ran: list[list[str]] = []
        self.known: dict[str, str] = {}
        self._capfd = capfd

    def run(self, line: str, code: int = 0) -> str:
        """What one prints; its words are split at blanks."""
        words = line.format(**self.known).split()
        self.ran.append(words)
        if not self.acts:
            return ""
        self._capfd.readouterr()
        found, said = main(words), self._capfd.readouterr()
        assert found == code, (words, said)
        return str(said.out)

    def learn(self, name: str, line: str, *path: str | int) -> None:
        """Run a line and keep what it prints, or the part of its JSON at a path, under a name."""
        said = self.run(line)
        if not self.acts:
            said, path = "unknown", ()
        found: Any = json.loads(said) if path else said.strip()
        for step in path:
            found = found[step]
        self.known[name] = str(found)

    def unused(self) -> set[str]:
        """The commands of which there is no line."""
        return {
            name for name in leaves(commands) if not any(words[: len(name)] == [*name] for words in self.ran)
        }


def leaves(group: click.Group, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command that is no group of others."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from leaves(found, (*before, name))
        else:
            yield (*before, name)


@pytest.fixture
def cli(
    s3_url: str, s3_server: Server, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> CommandLine:
    """Credentials from the environment, endpoint and addressing from the project file; some files to push."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", OWNER[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OWNER[1])
    (home / PROJECT_FILE).write_text(
        f'store = "{s3_url}"\n[storage]\nendpoint = "{s3_server.endpoint}"\naddressing = "path"\n'
    )
    write_tree(home / "in", TREE)
    write_tree(home / "more", SECRET)
    made = CommandLine(capfd)
    made.known.update(url=s3_url, other=f"{s3_url}-other", folder=str(home / "copy"), python=sys.executable)
    made.known["endpoint"] = f"endpoint={s3_server.endpoint}"
    words = iter(["first words", "other words"])
    # Of 256 MiB each; what matters here is not what the passphrase costs.
    for method in (Members.add_passphrase, Members.change_passphrase):
        monkeypatch.setitem(method.__kwdefaults__, "memory_kib", ARGON_MEMORY_KIB_MIN)
    monkeypatch.setattr("artifactstore.cli.asking.ask_new_passphrase", lambda: next(words))
    return made


# Those of the other parts run on S3 in tests of their own too, a sample of them always.
ALWAYS = ("pushing", "describing", "of_keys", "elsewhere", "caring")


def test_the_command_line_does_everything_on_s3(cli: CommandLine, home: Path, deep: bool) -> None:
    """Whatever the command line has stands here; a new command has to be added."""
    for part in (pushing, describing, moving_on, of_many, of_runs, of_keys, deleting, elsewhere, caring):
        cli.acts = deep or part.__name__ in ALWAYS
        part(cli)
    assert read_tree(home / "out") == TREE
    assert read_tree(home / "back") == TREE
    assert not cli.unused()


def pushing(cli: CommandLine) -> None:
    cli.run("init")
    cli.run("push in p/n --alias best")
    cli.run("ls p/n")
    cli.run("show p/n:best")
    cli.run("files p/n")
    cli.run("cat p/n sub/b.txt")
    cli.run("diff p/n in")
    cli.run("pull p/n out")
    cli.run("lock p/n --target out")
    cli.run("status")
    cli.run("find in/a.bin")
    cli.run("verify p/n")


def describing(cli: CommandLine) -> None:
    cli.run("tag p/n:v0 good")
    cli.run("alias p/n:v0 prod")
    cli.run("edit p/n:v0 --description text")
    cli.run("ttl p/n:v0 never")
    cli.run("link p/n:v0 p/shown")
    cli.run("unlink p/shown:v0")
    cli.run("rename p/n p/m")
    cli.run("rename p/m p/n")
    cli.run("retention set p/n --keep-last 5")
    cli.run("retention show p/n")
    cli.run("retention apply p/n --yes")


def moving_on(cli: CommandLine) -> None:
    cli.run("export p/n -o out.tar")
    cli.run("import out.tar p/imported")


def of_many(cli: CommandLine) -> None:
    cli.learn("push", "distributed begin p/parts --parts 1")
    cli.run("push in --into {push} --part 0/1")
    cli.run("distributed status {push}")
    cli.run("distributed list")
    cli.run("distributed commit {push}")
    cli.learn("push", "distributed begin p/parts --parts 1")
    cli.run("distributed abandon {push} --yes")


def of_runs(cli: CommandLine) -> None:
    cli.learn("run", "run start p")
    cli.run("run use {run} p/n")
    cli.run("push more p/made --run {run}")
    cli.run("run show {run}")
    cli.run("run finish {run}")
    cli.run("run exec p -- {python} -c pass")
    cli.run("run list p")
    cli.run("lineage p/made")
    cli.run("run delete {run} --yes")


def of_keys(cli: CommandLine) -> None:
    cli.run("key show")
    cli.run("key backup kept.key")
    cli.run("key restore kept.key")
    cli.learn("line", "key request --name ana --key-file ana.key")
    cli.learn("ana", "key add {line} --json", "slot", "id")
    cli.learn("typed", "key add --passphrase --json", "slot", "id")
    cli.run("key passphrase {typed}")
    cli.run("key list")
    cli.run("ls --key-file ana.key")
    cli.run("key remove {ana} --yes")
    cli.run("key rotate")
    cli.run("ls --key-file ana.key", 5)


def deleting(cli: CommandLine) -> None:
    cli.run("delete p/imported:v0 --yes")
    cli.run("undelete p/imported:v0")
    cli.run("takedown more/secret --rewrite --yes")
    cli.run("delete p/made:* --now --yes")
    cli.run("gc --yes")
    cli.learn("receipt", "receipt list --json", "receipts", 0, "id")
    cli.run("receipt show {receipt}")
    cli.run("receipt export {receipt} --output receipt.json")
    cli.run("receipt verify receipt.json")
    cli.run("audit {url} --receipt receipt.json")


def elsewhere(cli: CommandLine) -> None:
    """To another store on S3, and from it into a folder."""
    cli.run("init {other} --key-file other.key --storage-option {endpoint}")
    cli.run("copy p/n --to {other} --to-key-file other.key --to-storage-option {endpoint}")
    cli.run("mirror --to {other} --to-key-file other.key --to-storage-option {endpoint}")
    cli.run("init {folder} --key-file other.key")
    cli.run(
        "mirror --store {other} --key-file other.key --storage-option {endpoint} --to {folder} --to-key-file other.key"
    )
    cli.run("pull p/n back --store {folder} --key-file other.key")


def caring(cli: CommandLine) -> None:
    cli.run("log")
    cli.run("check --read-data")
    cli.run("repair --yes")
    cli.run("adopt --yes")
    cli.run("du")
    cli.run("info")
    cli.run("index info")
    cli.run("index rebuild")
    cli.run("config show")
    cli.run("doctor")
    cli.run("completion bash")
    cli.run("cache info")
    cli.run("cache clean")
    cli.run("show p/n:prod")
