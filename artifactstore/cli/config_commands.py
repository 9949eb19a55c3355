"""The command `config show`: each setting, and where it comes from."""

import re
from collections.abc import Iterator, Sequence

import click

from artifactstore.cli.options import CommonOptions, common_options, example
from artifactstore.config import ENVIRONMENT, PROJECT_FILE, USER_FILE, Setting, config_dir, found_settings

_USERINFO = re.compile(r"(://)[^/@]*@")
_OPTIONS = {"key_file": "--key-file", "password_command": "--password-command", "store": "--store"}


@click.group(epilog=example("artifactstore config show"))
def config() -> None:
    """Show the settings of this client.

    They are taken from options, the environment, the nearest .artifactstore.toml upwards and your own config.toml.
    """


@config.command(
    epilog=example("artifactstore config show", "artifactstore config show --store s3://bucket/store")
)
@common_options
def show(options: CommonOptions) -> None:
    """Show each value and where it comes from: option, environment, project file, user file or default.

    No store is opened. What might be a secret is not shown.
    """
    from artifactstore.cli.rendering import fields, table
    from artifactstore.cli.session import Session

    session = Session(options)
    settings, found = found_settings(
        store=options.store,
        key_file=options.key_file,
        password_command=options.password_command,
        storage=options.storage,
    )
    user = config_dir() / USER_FILE
    project = next((str(file) for file in settings.files if file.name == PROJECT_FILE), None)
    session.result(
        {
            "settings": [
                {"name": each.name, "value": _value(each), "origin": each.origin, "place": each.place or None}
                for each in found
            ],
            "project_file": project,
            "user_file": str(user),
            "user_file_read": user in settings.files,
        },
        [
            *table(("setting", "value", "from"), _rows(found)),
            "",
            *fields(
                [
                    ("project file", project or f"none: no {PROJECT_FILE} from here upwards"),
                    ("user file", str(user) if user in settings.files else f"none: there is no {user}"),
                ]
            ),
        ],
    )


def _rows(found: Sequence[Setting]) -> Iterator[tuple[str, str, str]]:
    for each in found:
        value = _value(each)
        yield each.name, "-" if value is None else str(value), _from(each)


def _from(setting: Setting) -> str:
    """Where a value comes from, in words."""
    if setting.origin == "argument":
        return _OPTIONS.get(setting.name, "--storage-option")
    return f"{setting.origin} {setting.place}".rstrip()


def _value(setting: Setting) -> str | int | None:
    """A value as it may be shown: without the credentials that a URL or an option of a library may hold."""
    if setting.value is None or isinstance(setting.value, int):
        return setting.value
    if setting.name.startswith("storage.") and setting.name not in ENVIRONMENT:
        return "(not shown)"
    return _USERINFO.sub(r"\1…@", str(setting.value))
