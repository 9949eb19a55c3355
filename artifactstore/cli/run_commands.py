"""Commands on runs: `run list`, `show`, `start`, `exec`, `use`, `finish`, `delete`; and `lineage`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click

from artifactstore.cli.options import RUN_VARIABLE, CommonOptions, common_options, example

_DEPTH = 16
_SIGNALLED = 128


_SAID = (
    click.argument("project", metavar="PROJECT"),
    click.option("--name", metavar="TEXT", help="What it is called."),
    click.option("--job-type", metavar="TEXT", help="What kind of work it does."),
    click.option("--group", metavar="TEXT", help="What it belongs together with."),
    click.option("--tag", "tags", metavar="LABEL", multiple=True, help="Put this label on it."),
    click.option(
        "--config",
        metavar="KEY=VALUE|@FILE",
        multiple=True,
        help="A value (JSON where it parses, else text), or a JSON file with several.",
    ),
    click.option("--no-git", is_flag=True, help="Do not keep the Git commit of this folder."),
    click.option("--host", is_flag=True, help="Keep host name, system, Python, processors, process id."),
)


def _said_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a run says of itself when it begins."""
    for option in reversed(_SAID):
        function = option(function)
    return function


@click.group(
    epilog=example("artifactstore run exec vision -- python train.py", "artifactstore run list vision")
)
def run() -> None:
    """Begin, end, list and show runs: executions of programs that use and produce versions."""


@run.command(name="list", epilog=example("artifactstore run list vision --state running"))
@click.argument("project", metavar="[PROJECT]", required=False)
@click.option("--state", metavar="STATE", help="Only these: running, finished, failed or killed.")
@click.option("--group", metavar="TEXT", help="Only those of this group.")
@click.option("--job-type", metavar="TEXT", help="Only those of this job type.")
@click.option("--tag", metavar="LABEL", help="Only those with this label.")
@click.option("--used", metavar="REF", help="Only those that used this version.")
@click.option("--produced", metavar="REF", help="Only those that produced this version.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="So many.")
@common_options
def run_list(options: CommonOptions, **conditions: Any) -> None:
    """List runs, the newest first."""
    from artifactstore.cli.run_rendering import run_shape, runs_lines
    from artifactstore.cli.session import Session

    session = Session(options)
    for name in ("used", "produced"):
        if conditions[name] is not None:
            conditions[name] = session.qualified(conditions[name])
    with session.open_store() as store:
        found = store.runs(**conditions)
    session.result({"runs": [run_shape(one) for one in found]}, runs_lines(found))


@run.command(name="show", epilog=example("artifactstore run show 3f9a01bc"))
@click.argument("run_id", metavar="ID")
@common_options
def run_show(options: CommonOptions, run_id: str) -> None:
    """Show the run ID, which may be cut to 8 digits, with what it used and produced."""
    from artifactstore.cli.run_rendering import run_details_shape, run_lines
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        found = store.run_info(run_id)
        around = store.lineage(found.id, depth=1)
    session.result(run_details_shape(found, around), run_lines(found, around))


@run.command(name="start", epilog=example("export ARTIFACTSTORE_RUN=$(artifactstore run start vision)"))
@_said_options
@common_options
def run_start(options: CommonOptions, **said: Any) -> None:
    """Begin a run of PROJECT and print its id, for steps that belong to it.

    Nobody gives signs of life for it: it is running until `run finish`.
    """
    from artifactstore.cli.run_rendering import run_shape
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        begun = store.run(**_begun(said), heartbeat=False)
        found = begun.info()
    session.result({"run": run_shape(found)}, [found.id])


@run.command(
    name="exec",
    context_settings={"ignore_unknown_options": True},
    epilog=example("artifactstore run exec vision --job-type fit -- python train.py"),
)
@_said_options
@click.argument("command", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@common_options
def run_exec(options: CommonOptions, command: tuple[str, ...], **said: Any) -> int:
    """Run COMMAND as a run of PROJECT: it finishes when the command exits with 0, and fails otherwise.

    The command finds the run's id in ARTIFACTSTORE_RUN; `artifactstore push` and `pull` in it belong to the run.
    Exits as the command does.
    """
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store, store.run(**_begun(said)) as begun:
        surroundings = os.environ | {RUN_VARIABLE: begun.id}
        if options.store is not None:
            surroundings["ARTIFACTSTORE_STORE"] = options.store
        try:
            code = subprocess.run(command, env=surroundings, check=False).returncode  # noqa: S603 - what was asked for
        except OSError as error:
            begun.finish("failed")
            raise click.UsageError(f"{command[0]!r} can't be run: {error.strerror}") from error
        if code:
            begun.finish("failed" if code > 0 else "killed")
    return code if code >= 0 else _SIGNALLED - code


@run.command(name="use", epilog=example("artifactstore run use 3f9a01bc vision/cats:train --role training"))
@click.argument("run_id", metavar="ID")
@click.argument("reference", metavar="REF")
@click.option("--role", default="", metavar="TEXT", help="What for.")
@common_options
def run_use(options: CommonOptions, run_id: str, reference: str, role: str) -> None:
    """Note that the run ID uses the version REF."""
    from artifactstore.cli import shapes
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        version = store.use_in_run(run_id, session.qualified(reference), role)
    session.summary({"version": shapes.version_shape(version)}, [f"uses {version.qualified_name}"])


@run.command(name="finish", epilog=example("artifactstore run finish 3f9a01bc --state failed"))
@click.argument("run_id", metavar="ID")
@click.option(
    "--state",
    type=click.Choice(["finished", "failed", "killed"]),
    default="finished",
    show_default=True,
    help="How it ended.",
)
@common_options
def run_finish(options: CommonOptions, run_id: str, state: Any) -> None:
    """End the run ID."""
    from artifactstore.cli.run_rendering import run_shape
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        store.finish_run(run_id, state)
        found = store.run_info(run_id)
    session.summary({"run": run_shape(found)}, [f"run {found.id[:8]} {found.state}"])


@run.command(name="delete", epilog=example("artifactstore run delete 3f9a01bc"))
@click.argument("run_id", metavar="ID")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@common_options
def run_delete(options: CommonOptions, run_id: str, yes: bool) -> int:
    """Forget what the run ID has said of itself: name, labels, configuration, commit, host.

    That there was a run, and what it used and produced, stays known.
    """
    from artifactstore.cli.run_rendering import run_lines, run_shape
    from artifactstore.cli.session import Session

    session = Session(options)
    with session.open_store() as store:
        found = store.run_info(run_id)
        if not yes:
            around = store.lineage(found.id, depth=1)
            if not session.agreed("forget what it has said?", run_lines(found, around)):
                session.result({"run": run_shape(found)}, ())
                return 1
        store.delete_run(found.id)
        found = store.run_info(found.id)
    session.summary({"run": run_shape(found)}, [f"run {found.id[:8]} says nothing any more"])
    return 0


@click.command(
    epilog=example(
        "artifactstore lineage vision/model:v3",
        "artifactstore lineage vision/cats --direction down --dot | dot -Tsvg > lineage.svg",
    )
)
@click.argument("reference", metavar="REF|RUN")
@click.option(
    "--direction",
    type=click.Choice(["up", "down", "both"]),
    default="both",
    show_default=True,
    help="What it came of, what came of it, or both.",
)
@click.option("--depth", type=click.IntRange(min=1), default=_DEPTH, show_default=True, help="So many steps.")
@click.option("--dot", "notation", flag_value="dot", help="Print it in the language of Graphviz.")
@click.option("--mermaid", "notation", flag_value="mermaid", help="Print a Mermaid flowchart.")
@click.option(
    "--openlineage", "notation", flag_value="openlineage", help="Print OpenLineage events, one a line."
)
@common_options
def lineage(options: CommonOptions, reference: str, direction: str, depth: int, notation: str | None) -> None:
    """Show what a version or a run came of, and what came of it.

    REF may be a version that was deleted or purged; RUN is 8 digits of a run's id or more.
    """
    from artifactstore.cli.run_rendering import lineage_shape
    from artifactstore.cli.session import Session

    if notation is not None and options.as_json:
        raise click.UsageError(f"--json and --{notation} are two notations")
    session = Session(options)
    with session.open_store() as store:
        start = session.qualified(reference) if "/" in reference else reference
        found = store.lineage(start, direction, depth)
    if notation == "openlineage":
        sys.stdout.writelines(f"{json.dumps(event)}\n" for event in found.to_openlineage())
    elif notation is not None:
        sys.stdout.write({"dot": found.to_dot, "mermaid": found.to_mermaid}[notation]() + "\n")
    else:
        session.result({"lineage": lineage_shape(found)}, found.to_tree().splitlines())


def _begun(said: dict[str, Any]) -> dict[str, Any]:
    """What a run is begun with, of the options that say it."""
    from artifactstore.cli.sources import parse_metadata

    said["config"] = parse_metadata(said["config"])
    said["git"] = not said.pop("no_git")
    return said
