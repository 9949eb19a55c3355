"""The command `completion`: the script that a shell sources."""

import sys

import click

from artifactstore.cli.options import CommonOptions, common_options, example

SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog=example(
        'eval "$(artifactstore completion bash)"',
        "artifactstore completion fish > ~/.config/fish/completions/artifactstore.fish",
    )
)
@click.argument("shell", type=click.Choice(SHELLS))
@common_options
def completion(options: CommonOptions, shell: str) -> None:
    """Print the script that completes commands, options and references in SHELL."""
    from artifactstore.cli.completing import completer_of
    from artifactstore.cli.main import COMPLETION_VARIABLE, PROGRAM, commands
    from artifactstore.cli.rendering import json_text

    script_of = completer_of(shell)
    if script_of is None:
        raise click.UsageError(f"this release of click has no completion for {shell}")
    script = script_of(commands, {}, PROGRAM, COMPLETION_VARIABLE).source()
    sys.stdout.write(json_text({"shell": shell, "script": script}) + "\n" if options.as_json else script)
