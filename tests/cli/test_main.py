"""The command line as a whole: help, exit codes, failures in words and in JSON, completion."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from artifactstore import errors
from artifactstore.cli.main import COMMANDS, EXIT_READER_LEFT, commands, main
from artifactstore.cli.release import release
from tests.cli.conftest import Run

ROOT = Path(__file__).resolve().parent.parent.parent
COMMON_OPTIONS = {
    "--store ",
    "--key-file",
    "--store-id",
    "--single-writer",
    "--json",
    "-q,",
    "--quiet",
    "-v,",
    "--verbose",
}
HEAVY = {
    "cryptography", "fsspec", "lmdb", "msgspec", "numpy", "rich", "json", "platformdirs",
    "artifactstore.store", "artifactstore.config", "artifactstore.errors",
}  # fmt: skip


def leaves() -> Iterator[tuple[list[str], click.Command]]:
    """Every command with its words, those of groups too."""
    for name in COMMANDS:
        command = commands.get_command(click.Context(commands), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from (([name, each], command.commands[each]) for each in command.commands)
        else:
            yield [name], command


def all_errors(cls: type[errors.ArtifactStoreError] = errors.ArtifactStoreError) -> Iterator[type[Any]]:
    """Every error class of the project."""
    yield cls
    for each in cls.__subclasses__():
        yield from all_errors(each)


def in_a_process(*words: str, statement: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the program in a fresh interpreter."""
    script = f"import sys\nfrom artifactstore.cli.main import main\n{statement}\nsys.exit(main(sys.argv[1:]))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        text=True, check=False, env=environment, **({"capture_output": True} | options),
    )  # fmt: skip


def ended(statement: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program as its console script does, after a statement."""
    script = f"import sys\nfrom artifactstore.cli import main\n{statement}\nmain.command()"
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        text=True, check=False, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_a_process_ends_with_all_that_was_printed() -> None:
    """The process ends without taking its interpreter down, and not before its output is written and its code known."""
    printing = "main.main = lambda: (print('line\\n' * 50_000), print('told', file=sys.stderr), 3)[-1]"
    done = ended(printing)
    assert (done.returncode, len(done.stdout), done.stderr) == (3, 250_001, "told\n")


def test_a_process_waits_for_threads_that_still_work() -> None:
    """What somebody else's thread has begun is not cut off."""
    waiting = (
        "import threading, time\n"
        "def work(): time.sleep(0.2); print('done')\n"
        "main.main = lambda: threading.Thread(target=work).start() or 4"
    )
    done = ended(waiting)
    assert (done.returncode, done.stdout) == (4, "done\n")


@pytest.mark.parametrize("words", [words for words, _ in leaves()], ids=" ".join)
def test_every_command_has_help_with_an_example(run: Run, words: list[str]) -> None:
    """Help shows an example that names the command, and the options that every command has."""
    done = run(*words, "--help")
    assert (done.code, done.err) == (0, "")
    examples = done.out.partition("Example:")[2]
    assert f"artifactstore {' '.join(words)}" in examples
    assert {option for option in COMMON_OPTIONS if option not in done.out} == set()


@pytest.mark.parametrize("words", [["index"], ["key"]], ids=" ".join)
def test_a_group_alone_shows_its_help(run: Run, words: list[str]) -> None:
    """A group without a command is a usage error that shows what there is."""
    done = run(*words)
    assert done.code == errors.UsageError.exit_code
    assert "Commands:" in done.out + done.err


def test_no_words_show_help(run: Run) -> None:
    """The program alone shows the list of commands."""
    done = run()
    assert done.code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in done.out] == []


def test_help_imports_nothing_heavy() -> None:
    """The list of commands is printed without loading a single one of them."""
    statement = (
        "import atexit\n"
        "from artifactstore.cli.main import COMMANDS\n"
        f"heavy = {HEAVY!r} | {{source.module for source in COMMANDS.values()}}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))"
    )
    assert in_a_process("--help", statement=statement).stderr == "[]\n"


def test_version_is_printed(run: Run) -> None:
    """`--version` prints the release that pip knows."""
    assert run("--version").out == f"artifactstore {release()}\n"


@pytest.mark.parametrize("error", list(all_errors()), ids=lambda error: error.__name__)
def test_every_error_has_its_exit_code_and_sentence(run: Run, fake: Any, error: type[Any]) -> None:
    """Each class of error ends with its code and is told as one sentence and the next step."""
    run("push", "data", "team/x", "-q")
    fake.failure = error("something is so", next_step="do this", path="/p")
    done = run("show", "team/x")
    assert (done.code, done.out) == (error.exit_code, "")
    assert done.err == "artifactstore: something is so\n  next: do this\n"


def test_an_error_as_json(run: Run, fake: Any) -> None:
    """With --json an error is one line of JSON on standard error, whatever its facts are."""
    run("push", "data", "team/x", "-q")
    fake.failure = errors.Damaged("pack is cut", object=b"packs/ab", expected=5, found=3, path=Path("/p"))
    done = run("show", "team/x", "--json")
    assert (done.code, done.out) == (6, "")
    assert done.error == {
        "kind": "damaged",
        "message": "pack is cut",
        "next_step": errors.Damaged.advice,
        "facts": {"object": "b'packs/ab'", "expected": 5, "found": 3, "path": "/p"},
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pusch", "data", "team/x"], "there is no command 'pusch'; did you mean 'push'?"),
        (["frobnicate"], "there is no command 'frobnicate'"),
        (["show"], "missing argument 'REF'"),
        (["show", "a/b", "--nonsense"], "no such option"),
        (["check", "--sample", "0"], "0.0 is not in the range"),
        (["cat", "a/b", "c", "--range", "5"], "'5' is not START:END"),
        (["pull", "a/b", "--limit-download", "fast"], "'fast' is not a size such as 10MB"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_usage_errors(run: Run, words: list[str], message: str) -> None:
    """What can't be meant ends with 2, says why, and names the help to read; as JSON when asked."""
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert " --help`\n" in done.err
    as_json = run(*words, "--json")
    assert (as_json.code, as_json.error["kind"]) == (2, "usage")
    assert message in as_json.error["message"]


def test_options_before_the_command(run: Run) -> None:
    """Git's habit of options before the command is met with where they stand here."""
    done = run("--store", "place", "ls")
    assert done.code == 2
    assert "no such option '--store'" in done.err
    assert "artifactstore ls --json" in done.err


def test_python_m_runs_the_same_program() -> None:
    """For a machine where the console script is not on the path."""
    done = subprocess.run(
        [sys.executable, "-m", "artifactstore", "--version"],
        text=True, check=False, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, f"artifactstore {release()}\n", "")


def test_ctrl_c_ends_with_130(run: Run, fake: Any) -> None:
    """Ctrl-C is told in a sentence, and the store's `with` block is left."""
    run("push", "data", "team/x", "-q")
    (store,) = fake.made.values()
    closed = store.closed
    fake.failure = KeyboardInterrupt()
    done = run("push", "data", "team/x")
    assert done.code == 130
    assert done.err.startswith("artifactstore: interrupted; the store is whole\n  next: ")
    assert store.closed == closed + 1
    assert run("show", "team/x", "--json").error["kind"] == "interrupted"


def test_an_unforeseen_error_is_told_without_a_traceback(run: Run, fake: Any) -> None:
    """A fault of the program ends with 70; -v, alone or joined to another letter, shows where it was."""
    run("push", "data", "team/x", "-q")
    fake.failure = RuntimeError("boom")
    done = run("show", "team/x")
    assert done.code == 70
    assert done.err.splitlines()[0] == "artifactstore: RuntimeError: boom"
    assert "Traceback" not in done.err
    assert "Traceback" in run("show", "team/x", "-qv").err


@pytest.mark.parametrize(
    ("number", "code"),
    [("ENOSPC", 7), ("EDQUOT", 7), ("EACCES", 5), ("EROFS", 5), ("ENOENT", 3), ("EIO", 7)],
)
def test_errors_of_the_system_are_classified(run: Run, fake: Any, number: str, code: int) -> None:
    """An error of the operating system that no layer named gets the exit code of its meaning."""
    import errno

    run("push", "data", "team/x", "-q")
    fake.failure = OSError(getattr(errno, number), "It failed", "/some/file")
    done = run("show", "team/x")
    assert (done.code, done.err.splitlines()[0]) == (code, "artifactstore: /some/file: it failed")


def test_a_reader_that_leaves_is_no_error() -> None:
    """When `head` has seen enough, the program ends as others do, silently."""
    reading, writing = os.pipe()
    os.close(reading)
    done = in_a_process("--help", stdout=writing, stderr=subprocess.PIPE, capture_output=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (EXIT_READER_LEFT, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written() -> None:
    """A full disk below standard output is told once, with its exit code."""
    with Path("/dev/full").open("w") as full:
        done = in_a_process("--help", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (7, "artifactstore: no space left on device")


def test_a_locale_without_the_letters(data: Path) -> None:
    """What the terminal's encoding lacks is escaped, and is no reason to fail."""
    done = in_a_process("frob\u00fc", statement="sys.stderr.reconfigure(encoding='ascii')")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2,
        r"artifactstore: there is no command 'frob\xfc'",
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(run: Run, shell: str) -> None:
    """The script for each shell calls the program back through its variable; --json wraps it."""
    done = run("completion", shell)
    assert done.code == 0
    assert "_ARTIFACTSTORE_COMPLETE" in done.out
    assert run("completion", shell, "--json").document == {"shell": shell, "script": done.out}


def test_completion_completes_commands(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the script calls lists the commands that begin so."""
    monkeypatch.setenv("_ARTIFACTSTORE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "artifactstore pu")
    monkeypatch.setenv("COMP_CWORD", "1")
    done = run()
    assert (done.code, done.out.split()) == (0, ["plain,push", "plain,pull"])


def test_main_takes_the_words_of_the_process(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The console script calls `main()` and exits with what it returns."""
    monkeypatch.setattr(sys, "argv", ["artifactstore", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("artifactstore ")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("artifactstore push ", "file"), ("artifactstore push data ", "file"), ("artifactstore init ", "file"),
        ("artifactstore pull a/b ", "file"), ("artifactstore ls --store ", "file"),
        ("artifactstore ls --key-file ", "file"), ("artifactstore completion ", "plain"),
    ],
)  # fmt: skip
def test_completion_leaves_paths_to_the_shell(
    run: Run, monkeypatch: pytest.MonkeyPatch, line: str, kind: str
) -> None:
    """Where a path is wanted the shell is asked for its own, and elsewhere it is not."""
    monkeypatch.setenv("_ARTIFACTSTORE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    assert {item.partition(",")[0] for item in run().out.split()} == {kind}
