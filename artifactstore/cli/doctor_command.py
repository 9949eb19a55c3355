"""The command `doctor`: what may stand in the way of working with a store, and what to do about it."""

import click

from artifactstore.cli.options import CommonOptions, common_options, example

EXIT_PROBLEM = 1


@click.command(
    epilog=example("artifactstore doctor", "artifactstore doctor --store s3://bucket/store --probe")
)
@click.option(
    "--probe",
    is_flag=True,
    help="Write to the store too: test its promise and its clock. Nothing is left there.",
)
@common_options
def doctor(options: CommonOptions, probe: bool) -> int:
    """Look at this machine, the key file, the backend, the clock, the index and the disks, one line each.

    Each line says ok, warning or problem, and what to do. Nothing is changed. Exits with 1 where there is a problem.
    """
    from artifactstore.cli.rendering import printable
    from artifactstore.cli.session import Session
    from artifactstore.store import diagnose

    session = Session(options)
    settings = session.settings
    found = diagnose(
        settings.store,
        key_file=options.key_file,
        password_command=options.password_command,
        store_id=options.store_id,
        cache_dir=settings.cache_dir,
        storage_options=settings.storage,
        single_writer=options.single_writer,
        probe_backend=probe,
    )
    ok = not any(each.verdict == "problem" for each in found)
    lines = []
    for each in found:
        lines.append(f"{each.verdict:<7}  {each.subject:<11}  {printable(each.message)}")
        if each.next_step:
            lines.append(f"{'':<22}next: {printable(each.next_step)}")
    shape = [
        {
            "subject": each.subject,
            "verdict": each.verdict,
            "message": each.message,
            "next_step": each.next_step,
            "facts": dict(each.facts),
        }
        for each in found
    ]
    session.result({"ok": ok, "findings": shape}, lines)
    return 0 if ok else EXIT_PROBLEM
