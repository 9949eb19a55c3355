"""Asking on the terminal: for passphrases, which a command line would show to everybody, and whether to go on."""

import sys

import click

from artifactstore.errors import UsageError


def ask_passphrase() -> str | None:
    """A passphrase or recovery phrase to unlock with; None when the user gives none."""
    text: str = click.prompt(
        "Passphrase or recovery phrase", hide_input=True, default="", show_default=False, err=True
    )
    return text or None


def ask_new_passphrase() -> str:
    """A passphrase to set, asked for twice.

    Raises:
        UsageError: There is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            "a new passphrase is asked for on a terminal, and there is none",
            next_step="run it in a terminal, or call `store.members.add_passphrase` from a program",
        )
    text: str = click.prompt(
        "New passphrase", hide_input=True, confirmation_prompt="The same again", err=True
    )
    return text


def ask_to_go_on(question: str) -> None:
    """Go on only if a person says yes.

    Raises:
        UsageError: Nobody is there to ask.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            "nobody is there to confirm", next_step="pass --yes, or --dry-run to see what would happen"
        )
    click.confirm(question, abort=True, err=True)
