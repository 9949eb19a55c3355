"""Asking on the terminal for passphrases, which a command line would show to everybody."""

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
