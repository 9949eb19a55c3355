"""Completion in a shell: commands and options by click, references from this client's index."""

from collections.abc import Iterator

import click
from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
    shell_complete,
)

from artifactstore.cli.bash_completion import Bash

# What an argument that takes a reference is called in help.
_REFERENCES = ("REF", "PROJECT/NAME")


add_completion_class(Bash)  # in the place of click's own


def completer_of(shell: str) -> type[ShellComplete] | None:
    """What makes and answers the script of a shell; None where this release of click knows none for it."""
    return get_completion_class(shell)


def complete(commands: click.Group, program: str, variable: str, instruction: str) -> int:
    """Answer a shell's completion script; print nothing where anything goes wrong, over what is being typed.

    Args:
        commands: The program's commands.
        program: Its name.
        variable: The environment variable in which the script asks.
        instruction: What it asks.
    """
    found = commands.get_command

    def with_references(context: click.Context, name: str) -> click.Command | None:
        command = found(context, name)
        for each in _leaves(command):
            for parameter in each.params:
                if isinstance(parameter, click.Argument) and _takes_reference(parameter):
                    # Public, and looked up on the object that completes.
                    setattr(parameter, "shell_complete", _references)  # noqa: B010 - mypy knows it as a method
        return command

    setattr(commands, "get_command", with_references)  # noqa: B010 - likewise
    try:
        return shell_complete(commands, {}, program, variable, instruction)
    except Exception:  # noqa: BLE001 - a shell that completes has no place for errors
        return 1


def _leaves(command: click.Command | None) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        yield from command.commands.values()
    elif command is not None:
        yield command


def _takes_reference(argument: click.Argument) -> bool:
    return any(word in (argument.metavar or "") for word in _REFERENCES)


def _references(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """References of the store that the line names, or the configuration; none where anything goes wrong."""
    from artifactstore.client.completing import known_references

    try:
        return [CompletionItem(name) for name in known_references(context.params.get("store"), incomplete)]
    except Exception:  # noqa: BLE001 - a shell that completes has no place for errors
        return []
