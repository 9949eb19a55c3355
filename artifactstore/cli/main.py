"""The entry point `main`: the table of commands, and what happens around every one of them.

Exit codes: 0; 1 check found damage; 2 usage; 3 not found; 4 conflict or refused; 5 key or permission;
6 corrupt; 7 backend or disk; 70 an error of this program; 130 Ctrl-C; 141 the reader of standard output left.
"""

import gc
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import click

from artifactstore.cli.lazy_group import CommandSource, LazyGroup

PROGRAM = "artifactstore"
EXIT_READER_LEFT = 141
COMPLETION_VARIABLE = "_ARTIFACTSTORE_COMPLETE"
# A command makes many small objects and hardly a cycle: looking for garbage as often as Python does by default took
# a tenth of an unchanged push of 50,000 files, and 4 ms of each start.
_COLLECT_EVERY = 100_000

_STORES = "artifactstore.cli.store_commands"
_TRANSFER = "artifactstore.cli.transfer_commands"
_LOCKS = "artifactstore.cli.lock_commands"
_READING = "artifactstore.cli.reading_commands"
_CARE = "artifactstore.cli.care_commands"
_NAMES = "artifactstore.cli.name_commands"
_EDITS = "artifactstore.cli.edit_commands"
_RETENTION = "artifactstore.cli.retention_commands"
_DELETION = "artifactstore.cli.deletion_commands"
_AUDIT = "artifactstore.cli.audit_commands"
_RECEIPTS = "artifactstore.cli.receipt_commands"
_DISTRIBUTED = "artifactstore.cli.distributed_commands"
_COPYING = "artifactstore.cli.copy_commands"
_RUNS = "artifactstore.cli.run_commands"

COMMANDS = {
    "init": CommandSource(_STORES, "init", "Make a store, and a key file if you have none."),
    "push": CommandSource(_TRANSFER, "push", "Keep files and folders as a new version."),
    "pull": CommandSource(_TRANSFER, "pull", "Write the files of a version to a folder."),
    "distributed": CommandSource(
        _DISTRIBUTED, "distributed", "Make one version by many processes or machines."
    ),
    "lock": CommandSource(_LOCKS, "lock", "Note for git which version belongs into which folder."),
    "status": CommandSource(_LOCKS, "status", "Hold folders against the lock file."),
    "ls": CommandSource(_READING, "ls", "List projects, artifacts or versions."),
    "show": CommandSource(_READING, "show", "Show a version: metadata, digest, sizes."),
    "files": CommandSource(_READING, "files", "List the files of a version."),
    "cat": CommandSource(_READING, "cat", "Write a file of a version to standard output."),
    "find": CommandSource(
        "artifactstore.cli.content_commands", "find", "Say where a file, or a part of it, is kept."
    ),
    "diff": CommandSource(
        "artifactstore.cli.diff_command",
        "diff",
        "Show what differs between versions, or a version and a folder.",
    ),
    "alias": CommandSource(_NAMES, "alias", "Point aliases at a version, or remove them."),
    "tag": CommandSource(_NAMES, "tag", "Put labels on a version, or take them off."),
    "edit": CommandSource(_EDITS, "edit", "Change the description and metadata of a version."),
    "rename": CommandSource(_EDITS, "rename", "Give an artifact or a project another name."),
    "link": CommandSource(_EDITS, "link", "Put a version into a collection."),
    "unlink": CommandSource(_EDITS, "unlink", "Take links out of collections."),
    "ttl": CommandSource(_RETENTION, "ttl", "Let a version expire after a time."),
    "retention": CommandSource(
        _RETENTION, "retention", "Say which versions are kept, and delete the others."
    ),
    "run": CommandSource(_RUNS, "run", "Begin, end, list and show runs of programs."),
    "lineage": CommandSource(_RUNS, "lineage", "Show what a version came of, and what came of it."),
    "export": CommandSource(
        "artifactstore.cli.export_command", "export", "Write a version as a tar, a zip or a folder."
    ),
    "import": CommandSource(
        "artifactstore.cli.import_command", "import_command", "Make versions of what other tools keep."
    ),
    "copy": CommandSource(_COPYING, "copy", "Copy versions to another store."),
    "mirror": CommandSource(_COPYING, "mirror", "Copy everything to another store, and follow it."),
    "delete": CommandSource(_DELETION, "delete", "Hide versions, until they are brought back."),
    "undelete": CommandSource(_DELETION, "undelete", "Bring deleted versions back."),
    "takedown": CommandSource(
        "artifactstore.cli.content_commands", "takedown", "Take a file out of every version, and refuse it."
    ),
    "gc": CommandSource(
        "artifactstore.cli.gc_commands", "gc", "Take away for good what is deleted, and other garbage."
    ),
    "log": CommandSource(_STORES, "log", "Show the records of the store, newest first."),
    "check": CommandSource(_CARE, "check", "Look for damage in the store."),
    "verify": CommandSource(
        "artifactstore.cli.verify_command", "verify", "Ask whether what a version refers to is still there."
    ),
    "repair": CommandSource(_CARE, "repair", "Mend what can be mended; say what heals the rest."),
    "audit": CommandSource(_AUDIT, "audit", "Check a store from outside, without a key."),
    "receipt": CommandSource(_RECEIPTS, "receipt", "List, export or verify receipts of deletions."),
    "adopt": CommandSource(_CARE, "adopt", "Go on with a store that was set back, knowing what is lost."),
    "du": CommandSource(_STORES, "du", "Show how much versions take, and what deleting them frees."),
    "info": CommandSource(_STORES, "info", "Show what the store holds and how small it is kept."),
    "index": CommandSource(
        "artifactstore.cli.index_commands", "index", "Show or rebuild this client's index."
    ),
    "cache": CommandSource(
        "artifactstore.cli.cache_commands",
        "cache",
        "Show or clean the indexes of all stores on this machine.",
    ),
    "key": CommandSource("artifactstore.cli.key_commands", "key", "Show, back up or restore your key file."),
    "config": CommandSource(
        "artifactstore.cli.config_commands", "config", "Show each setting, and where it comes from."
    ),
    "doctor": CommandSource(
        "artifactstore.cli.doctor_command",
        "doctor",
        "Look for what may stand in the way, on this machine too.",
    ),
    "completion": CommandSource(
        "artifactstore.cli.completion_command", "completion", "Print a shell's completion script."
    ),
}


class _Commands(LazyGroup):
    sources = COMMANDS


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from artifactstore.cli.release import release

        sys.stdout.write(f"{PROGRAM} {release()}\n")
        ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExample:\n  artifactstore push data team/corpus\n  artifactstore pull team/corpus",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the release.",
)
def commands() -> None:
    """Keep versions of datasets, models and other files: deduplicated, compressed, encrypted.

    A version is named PROJECT/NAME, PROJECT/NAME:v3, PROJECT/NAME:ALIAS or PROJECT/NAME@DIGEST.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; nothing is raised, whatever happens.

    Args:
        arguments: The words after the program's name; those of this process when None.
    """
    gc.set_threshold(_COLLECT_EVERY)
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return EXIT_READER_LEFT
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last one to see it says it in a sentence
        from artifactstore.cli.failures import report

        code = report(error, words)
        try:
            sys.stdout.flush()
        except OSError:  # what was printed before the failure can't be written; the failure has been told
            _drop_output()
    return code


def command() -> NoReturn:
    """Run the command that this process was started for, and end it.

    Taking the interpreter down object by object takes a fifth of a short command (22 ms); the system does it at once.
    Whatever a command must leave behind it has made durable by then, and its output is written.
    """
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    others = (thread for thread in threading.enumerate() if thread is not threading.current_thread())
    if all(thread.daemon for thread in others):
        os._exit(code)
    sys.exit(code)


def _run(words: list[str]) -> int:
    if sys.platform == "win32":
        from artifactstore.errors import Unsupported

        raise Unsupported("artifactstore runs on Linux and macOS", next_step="on Windows, run it inside WSL")
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction:
        from artifactstore.cli.completing import complete

        return complete(commands, PROGRAM, COMPLETION_VARIABLE, instruction)
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal can't show must not end a listing
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with commands.make_context(PROGRAM, words or ["--help"]) as context:
            result = commands.invoke(context)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    return result if isinstance(result, int) else 0


def _drop_output() -> None:
    """Send what is still buffered nowhere: the interpreter flushes again when it ends, and would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):  # standard output is not a file here
        pass
    finally:
        os.close(nowhere)


if __name__ == "__main__":
    command()
