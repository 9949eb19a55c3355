"""A click group that imports a command's module only when that command is called.

The summaries stand in the table, so that `artifactstore --help` loads none of them (a test imports every
command in it).
"""

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

import click


class CommandSource(NamedTuple):
    """Where a command lives, and its line in the list of commands."""

    module: str
    attribute: str
    summary: str


class LazyGroup(click.Group):
    """A group whose commands are named in `sources` and imported on demand."""

    sources: Mapping[str, CommandSource] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of the table, which is the order of work."""
        return list(self.sources)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import the command of that name; None when there is none."""
        source = self.sources.get(cmd_name)
        if source is None:
            return None
        command: click.Command = getattr(import_module(source.module), source.attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with, and suggest near names when there is none."""
        if args and args[0] not in self.sources and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], self.sources)
            hint = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """Write the table without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, source.summary) for name, source in self.sources.items()])
