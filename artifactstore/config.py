"""Settings: which store, key file and cache, from arguments, environment, files and defaults.

Taken in this order, the first that says something wins: arguments, the `ARTIFACTSTORE_*` environment, the
nearest `.artifactstore.toml` from the working folder upwards (the project file), `config.toml` in the user's
configuration folder, defaults by platformdirs. `exclude` alone adds up, project file and user file together.
A project file comes with somebody's repository, so it never says where a key or a cache lies, nor names a command. How
a store's server is reached, the table `storage`, counts only for the store of the file that holds it; credentials are
in none.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs

from artifactstore.errors import InvalidName, PermissionRefused, UsageError
from artifactstore.ids import check_name

APPLICATION = "artifactstore"
PROJECT_FILE = ".artifactstore.toml"
USER_FILE = "config.toml"
CONFIG_FILE_BYTES_MAX = 1 << 20
COMPRESSION_LEVEL_MAX = 19

# The environment, all of it: a test holds this table against the documentation and the code.
ENVIRONMENT: Mapping[str, str] = {
    "store": "ARTIFACTSTORE_STORE",
    "project": "ARTIFACTSTORE_PROJECT",
    "key_file": "ARTIFACTSTORE_KEY_FILE",
    "password_command": "ARTIFACTSTORE_PASSWORD_COMMAND",
    "cache_dir": "ARTIFACTSTORE_CACHE_DIR",
    "storage.endpoint": "ARTIFACTSTORE_ENDPOINT",
    "storage.region": "ARTIFACTSTORE_REGION",
    "storage.addressing": "ARTIFACTSTORE_ADDRESSING",
    "storage.ca": "ARTIFACTSTORE_CA",
    "storage.profile": "ARTIFACTSTORE_PROFILE",
}

_PROJECT_KEYS: Mapping[str, type] = {
    "store": str,
    "project": str,
    "exclude": list,
    "compression_level": int,
    "storage": dict,
}
_USER_KEYS: Mapping[str, type] = {
    **_PROJECT_KEYS,
    "key_file": str,
    "password_command": str,
    "cache_dir": str,
}
_TYPE_NAMES = {str: "a string", list: "a list of strings", int: "a whole number", dict: "a table of strings"}
_PROJECT_STORAGE = ("endpoint", "region", "addressing", "ca")
# Which of a user's credentials are used is not for a project to say.
_USER_STORAGE = (*_PROJECT_STORAGE, "profile")

_ARGUMENTS = "the arguments"
_THE_ENVIRONMENT = "the environment"


class Setting(NamedTuple):
    """One value, and where it came from.

    Attributes:
        name: What it is called in a configuration file; `storage.NAME` for how the store's server is reached.
        value: The value; None where there is none.
        origin: `argument`, `environment`, `project file`, `user file` or `default`.
        place: The variable or the file that it was found in; empty for the others.
    """

    name: str
    value: object
    origin: str
    place: str = ""


class Settings(NamedTuple):
    """What a command works with.

    `store_named` tells whether anybody named the store: only the default one is made on first use. `key_file_named`
    likewise: the default key file gives way to a prompt. Whoever names a key file or a password command first
    decides which of the two it is, so there is never both.
    `storage` is how the store's server is reached; `files` are the configuration files that were read.
    """

    store: str
    store_named: bool
    key_file: Path
    cache_dir: Path
    key_file_named: bool = False
    password_command: str | None = None
    project: str | None = None
    exclude: tuple[str, ...] = ()
    compression_level: int | None = None
    storage: Mapping[str, Any] = {}
    files: tuple[Path, ...] = ()


class ConfigFile(NamedTuple):
    """What one configuration file says; None where it says nothing. `origin` is which of the two it is."""

    path: Path
    origin: str
    store: str | None = None
    project: str | None = None
    exclude: tuple[str, ...] = ()
    compression_level: int | None = None
    key_file: Path | None = None
    password_command: str | None = None
    cache_dir: Path | None = None
    storage: Mapping[str, str] = {}


def default_store() -> str:
    """The store in the user's data folder, made by the first push."""
    return str(platformdirs.user_data_path(APPLICATION, appauthor=False) / "store")


def default_key_file() -> Path:
    """The user's key file."""
    return config_dir() / "key"


def default_cache_dir() -> Path:
    """Where the client indexes of all stores lie."""
    return platformdirs.user_cache_path(APPLICATION, appauthor=False)


def config_dir() -> Path:
    """The user's configuration folder."""
    return platformdirs.user_config_path(APPLICATION, appauthor=False)


def load_settings(
    *,
    store: str | None = None,
    key_file: Path | None = None,
    password_command: str | None = None,
    cache_dir: Path | None = None,
    storage: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user_file: Path | None = None,
) -> Settings:
    """Settle what a command works with; arguments are those of `found_settings`."""
    return found_settings(
        store=store,
        key_file=key_file,
        password_command=password_command,
        cache_dir=cache_dir,
        storage=storage,
        environment=environment,
        folder=folder,
        user_file=user_file,
    )[0]


def found_settings(
    *,
    store: str | None = None,
    key_file: Path | None = None,
    password_command: str | None = None,
    cache_dir: Path | None = None,
    storage: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user_file: Path | None = None,
) -> tuple[Settings, tuple[Setting, ...]]:
    """Settle what a command works with, and say of each value where it came from.

    Args:
        store: The store's URL or folder, from an argument.
        key_file: The key file, from an argument.
        password_command: The command that prints a passphrase, from an argument.
        cache_dir: The cache folder, from an argument.
        storage: How the store's server is reached, from arguments.
        environment: `os.environ` when None.
        folder: Where the search for a project file starts; the working folder when None.
        user_file: The user's configuration file; the one in `config_dir()` when None.

    Raises:
        UsageError: A configuration file is not TOML, or says something it may not; or one place names both a key
            file and a password command.
        PermissionRefused: A configuration file can't be read.
    """
    environment = os.environ if environment is None else environment
    project = _project_file(folder)
    user = _read(user_file or config_dir() / USER_FILE, "user file", _USER_KEYS)
    found = [file for file in (project, user) if file is not None]
    look = _Look(environment, found)
    named = look.up("store", store, default_store())
    unlocking = _unlocking(look, key_file, password_command)
    said = {
        each.name: each
        for each in (
            named,
            *unlocking,
            look.up("cache_dir", cache_dir, default_cache_dir()),
            _named_project(look.up("project", None, None)),
            look.up("compression_level", None, None),
        )
    }
    excludes = [
        Setting("exclude", pattern, file.origin, str(file.path)) for file in found for pattern in file.exclude
    ]
    files = [file for file in found if named.origin == "default" or file.store in {None, named.value}]
    reached = _storage(storage or {}, environment, files)
    settings = Settings(
        store=str(named.value),
        store_named=named.origin != "default",
        key_file=Path(str(said["key_file"].value)),
        key_file_named=said["key_file"].origin != "default",
        password_command=said["password_command"].value,  # type: ignore[arg-type] # text or None, as all that says it
        cache_dir=Path(str(said["cache_dir"].value)),
        project=said["project"].value,  # type: ignore[arg-type] # likewise
        exclude=tuple(str(each.value) for each in excludes),
        compression_level=said["compression_level"].value,  # type: ignore[arg-type] # a number or None
        storage={each.name.removeprefix("storage."): each.value for each in reached},
        files=tuple(file.path for file in found),
    )
    return settings, (*said.values(), *excludes, *reached)


def _named_project(setting: Setting) -> Setting:
    """The setting `project`, if projects may be called so."""
    if setting.value is not None:
        try:
            check_name(str(setting.value), "project")
        except InvalidName as error:
            error.message = f"{setting.place} says {error.message}"
            raise
    return setting


class _Look:
    """Looks a setting up in every place, in order."""

    def __init__(self, environment: Mapping[str, str], files: list[ConfigFile]) -> None:
        self.environment = environment
        self.files = files

    def up(self, name: str, argument: object, default: object) -> Setting:
        """The setting from the first place that says something; an empty environment variable says nothing."""
        return next(
            (each for each in self.places(name, argument) if each.value is not None), None
        ) or Setting(name, default, "default")

    def places(self, name: str, argument: object) -> list[Setting]:
        """What each place says, best first."""
        found = [Setting(name, argument or None, "argument")]
        variable = ENVIRONMENT.get(name)
        if variable is not None:
            text = self.environment.get(variable) or None
            value = _path(text) if name in {"key_file", "cache_dir"} else text
            found.append(Setting(name, value, "environment", variable))
        found += [Setting(name, getattr(file, name), file.origin, str(file.path)) for file in self.files]
        return found


def _unlocking(look: _Look, key_file: Path | None, password_command: str | None) -> tuple[Setting, Setting]:
    """The key file or the password command that the first place names, with the default for the other."""
    for keys, command in zip(
        look.places("key_file", key_file), look.places("password_command", password_command), strict=True
    ):
        if keys.value is not None and command.value is not None:
            place = {"argument": _ARGUMENTS, "environment": _THE_ENVIRONMENT}.get(keys.origin, keys.place)
            raise UsageError(
                f"{place} name both a key file and a password command", next_step="name one of them"
            )
        if keys.value is not None:
            return keys, Setting("password_command", None, "default")
        if command.value is not None:
            return Setting("key_file", default_key_file(), "default"), command
    return Setting("key_file", default_key_file(), "default"), Setting("password_command", None, "default")


def _storage(
    given: Mapping[str, Any], environment: Mapping[str, str], files: list[ConfigFile]
) -> list[Setting]:
    """Each option from the first place that has it."""
    merged: dict[str, Setting] = {}
    for file in reversed(files):
        merged |= {
            name: Setting(f"storage.{name}", value, file.origin, str(file.path))
            for name, value in file.storage.items()
        }
    for name in _USER_STORAGE:
        variable = ENVIRONMENT[f"storage.{name}"]
        if environment.get(variable):
            merged[name] = Setting(f"storage.{name}", environment[variable], "environment", variable)
    return list(
        {
            **merged,
            **{name: Setting(f"storage.{name}", value, "argument") for name, value in given.items()},
        }.values()
    )


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None


def _project_file(folder: Path | None) -> ConfigFile | None:
    """The nearest project file from `folder` upwards, if there is one."""
    try:
        start = (folder or Path.cwd()).absolute()
    except FileNotFoundError:  # the working folder was deleted under us
        return None
    for candidate in (start, *start.parents):
        found = _read(candidate / PROJECT_FILE, "project file", _PROJECT_KEYS)
        if found is not None:
            return found
    return None


def _read(path: Path, origin: str, allowed: Mapping[str, type]) -> ConfigFile | None:
    """Read one configuration file; None when it does not exist."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(CONFIG_FILE_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except PermissionError as error:
        raise PermissionRefused(
            f"the configuration file {path} can't be read: permission denied",
            next_step="make it readable for you",
            path=str(path),
        ) from error
    if len(raw) > CONFIG_FILE_BYTES_MAX:
        raise _refused(path, f"is longer than {CONFIG_FILE_BYTES_MAX} bytes")
    return _checked(path, origin, _parsed(path, raw), allowed)


def _parsed(path: Path, raw: bytes) -> dict[str, object]:
    import tomllib  # noqa: PLC0415 - most users have no such file

    try:
        return tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(path, f"is not TOML: {error}") from error


def _checked(path: Path, origin: str, table: dict[str, object], allowed: Mapping[str, type]) -> ConfigFile:
    """Keep what `table` says after checking every key and its type."""
    for key, value in table.items():
        if key not in allowed:
            if key in _USER_KEYS:
                raise _refused(
                    path, f"may not set {key!r}: a project file comes with other people's files", key
                )
            raise _refused(path, f"sets {key!r}, which is none of {', '.join(sorted(allowed))}", key)
        if not _fits(value, allowed[key]):
            raise _refused(path, f"sets {key!r} to something that is not {_TYPE_NAMES[allowed[key]]}", key)
    level = table.get("compression_level")
    if isinstance(level, int) and not 1 <= level <= COMPRESSION_LEVEL_MAX:
        raise _refused(
            path, f"sets 'compression_level' outside 1 to {COMPRESSION_LEVEL_MAX}", "compression_level"
        )
    store, project, exclude = table.get("store"), table.get("project"), table.get("exclude")
    return ConfigFile(
        path,
        origin,
        storage=_checked_storage(
            path, table.get("storage"), _USER_STORAGE if "key_file" in allowed else _PROJECT_STORAGE
        ),
        store=_located(store, path) if isinstance(store, str) and store else None,
        project=project if isinstance(project, str) else None,
        exclude=tuple(str(pattern) for pattern in exclude) if isinstance(exclude, list) else (),
        compression_level=level if isinstance(level, int) else None,
        key_file=_beside(path, table.get("key_file")),
        password_command=str(table["password_command"]) if table.get("password_command") else None,
        cache_dir=_beside(path, table.get("cache_dir")),
    )


def _checked_storage(path: Path, table: object, allowed: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(table, dict):
        return {}
    for name in table:
        if name not in allowed:
            raise _refused(
                path,
                f"sets {name!r} under 'storage', which is none of {', '.join(allowed)};"
                " credentials go to the usual places of their service",
                f"storage.{name}",
            )
    ca = _beside(path, table.get("ca"))
    return {**table, **({} if ca is None else {"ca": str(ca)})}


def _fits(value: object, expected: type) -> bool:
    if isinstance(value, dict):
        return expected is dict and all(isinstance(item, str) for item in value.values())
    if isinstance(value, list):
        return expected is list and all(isinstance(item, str) for item in value)
    return isinstance(value, expected) and not isinstance(value, bool)


def _located(store: str, path: Path) -> str:
    """A relative folder in a configuration file is relative to that file."""
    return store if "://" in store else str(path.parent / Path(store).expanduser())


def _beside(path: Path, value: object) -> Path | None:
    return path.parent / Path(value).expanduser() if isinstance(value, str) and value else None


def _refused(path: Path, why: str, key: str | None = None) -> UsageError:
    facts = {"path": str(path)} if key is None else {"path": str(path), "key": key}
    return UsageError(
        f"the configuration file {path} {why}", next_step="correct that file, or move it away", **facts
    )
