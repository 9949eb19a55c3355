"""Settings: who wins, what a file may say, and what is refused."""

import os
from pathlib import Path

import pytest

from artifactstore.config import (
    CONFIG_FILE_BYTES_MAX,
    PROJECT_FILE,
    USER_FILE,
    Settings,
    config_dir,
    default_cache_dir,
    default_key_file,
    default_store,
    load_settings,
)
from artifactstore.errors import PermissionRefused, UsageError


def write_user_file(text: str) -> Path:
    """The user's configuration file, with this in it."""
    path = config_dir() / USER_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_defaults_lie_in_the_users_folders(home: Path) -> None:
    """With nothing configured, everything lies below the home, and the store is nobody's choice."""
    assert load_settings(environment={}) == Settings(
        store=default_store(), store_named=False, key_file=default_key_file(), cache_dir=default_cache_dir()
    )
    for path in (default_store(), default_key_file(), default_cache_dir()):
        assert Path(path).is_relative_to(home)
    assert default_key_file() == config_dir() / "key"


def test_the_first_place_that_says_something_wins(home: Path) -> None:
    """Arguments before environment before project file before user's file before defaults."""
    user = write_user_file(
        'store = "mem://user"\nproject = "user"\nkey_file = "keys/mine"\ncache_dir = "/c"\n'
    )
    (home / PROJECT_FILE).write_text('store = "memory://project"\n')
    environment = {"ARTIFACTSTORE_STORE": "memory://environment"}
    assert load_settings(store="memory://argument", environment=environment).store == "memory://argument"
    assert load_settings(environment=environment).store == "memory://environment"
    assert load_settings(environment={"ARTIFACTSTORE_STORE": ""}).store == "memory://project"
    (home / PROJECT_FILE).unlink()
    settings = load_settings(environment={})
    assert settings == Settings(
        store="mem://user",
        store_named=True,
        key_file=user.parent / "keys" / "mine",
        key_file_named=True,
        cache_dir=Path("/c"),
        project="user",
        files=(user,),
    )


def test_paths_from_arguments_and_environment(home: Path) -> None:
    """Key file and cache follow the same order, and `~` is the home."""
    environment = {"ARTIFACTSTORE_KEY_FILE": "~/k", "ARTIFACTSTORE_CACHE_DIR": "~/c"}
    settings = load_settings(environment=environment)
    assert (settings.key_file, settings.cache_dir) == (home / "k", home / "c")
    settings = load_settings(key_file=Path("/k"), cache_dir=Path("/c"), environment=environment)
    assert (settings.key_file, settings.cache_dir) == (Path("/k"), Path("/c"))


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment given, the process's own counts."""
    monkeypatch.setenv("ARTIFACTSTORE_STORE", "memory://here")
    assert load_settings().store == "memory://here"


def test_the_nearest_project_file_counts(home: Path) -> None:
    """The search goes upwards and stops at the first; relative stores are relative to that file."""
    inner = home / "a" / "b"
    inner.mkdir(parents=True)
    (home / PROJECT_FILE).write_text('store = "far"\nproject = "far"\n')
    (home / "a" / PROJECT_FILE).write_text('store = "near"\nexclude = ["*.tmp"]\ncompression_level = 7\n')
    settings = load_settings(folder=inner, environment={})
    assert settings == Settings(
        store=str(home / "a" / "near"),
        store_named=True,
        key_file=default_key_file(),
        cache_dir=default_cache_dir(),
        exclude=("*.tmp",),
        compression_level=7,
        files=(home / "a" / PROJECT_FILE,),
    )


def test_excludes_add_up(home: Path) -> None:
    """What the user always leaves out is left out beside what the project leaves out."""
    write_user_file('exclude = [".DS_Store"]')
    (home / PROJECT_FILE).write_text('exclude = ["*.tmp", "build/"]')
    assert load_settings(environment={}).exclude == ("*.tmp", "build/", ".DS_Store")


@pytest.mark.parametrize("key", ["key_file", "cache_dir"])
def test_a_project_file_never_says_where_keys_lie(home: Path, key: str) -> None:
    """It comes with somebody's repository, which must not choose whose key is used."""
    (home / PROJECT_FILE).write_text(f'{key} = "x"')
    with pytest.raises(UsageError, match="other people's files") as caught:
        load_settings(environment={})
    assert caught.value.facts == {"path": str(home / PROJECT_FILE), "key": key}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("store = ", "is not TOML"),
        ("a = " + "[" * 5000, "is not TOML"),
        ("store = 3", "not a string"),
        ('exclude = "*.tmp"', "not a list of strings"),
        ("exclude = [3]", "not a list of strings"),
        ("compression_level = true", "not a whole number"),
        ("compression_level = 1.5", "not a whole number"),
        ("compression_level = 0", "outside 1 to 19"),
        ("compression_level = 20", "outside 1 to 19"),
        ("passphrase = 'x'", "which is none of"),
        ("[store]\nurl = 'x'", "not a string"),
        ("#" * CONFIG_FILE_BYTES_MAX + "#", "is longer than"),
    ],
)
def test_files_that_make_no_sense_are_refused(home: Path, text: str, why: str) -> None:
    """A slip in a configuration file is named with its file, not ignored."""
    (home / PROJECT_FILE).write_text(text)
    with pytest.raises(UsageError, match=why) as caught:
        load_settings(environment={})
    assert caught.value.facts["path"] == str(home / PROJECT_FILE)


def test_a_file_that_is_not_text_is_refused(home: Path) -> None:
    """TOML is UTF-8."""
    (home / PROJECT_FILE).write_bytes(b"store = '\xff'")
    with pytest.raises(UsageError, match="is not TOML"):
        load_settings(environment={})


def test_a_file_that_cannot_be_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is there but closed to the user is not passed over in silence."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionRefused, match="permission denied"):
        load_settings(environment={})


def test_a_folder_in_place_of_a_file_is_none(home: Path) -> None:
    """A folder of that name is somebody else's."""
    (home / PROJECT_FILE).mkdir()
    assert load_settings(environment={}).files == ()


def test_a_deleted_working_folder_has_no_project(home: Path) -> None:
    """Commands that need no working folder go on without one."""
    gone = home / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert load_settings(environment={}).files == ()


# --- how a store's server is reached ---


def test_each_storage_option_comes_from_the_first_place_that_has_it(home: Path) -> None:
    """Arguments before environment before project file before user's file, option by option."""
    write_user_file(
        '[storage]\nendpoint = "https://user"\nregion = "user"\nprofile = "user"\nca = "ca.pem"\n'
    )
    (home / PROJECT_FILE).write_text('[storage]\nendpoint = "https://project"\nregion = "project"\n')
    found = load_settings(
        storage={"addressing": "path"}, environment={"ARTIFACTSTORE_REGION": "environment"}
    ).storage
    assert found == {
        "endpoint": "https://project",
        "region": "environment",
        "addressing": "path",
        "profile": "user",
        "ca": str(config_dir() / "ca.pem"),
    }


def test_the_storage_of_a_file_is_that_of_its_store(home: Path) -> None:
    """An endpoint that a project names for its store is not used for another one."""
    (home / PROJECT_FILE).write_text('store = "s3://one/x"\n[storage]\nendpoint = "https://one"\n')
    assert load_settings(environment={}).storage == {"endpoint": "https://one"}
    assert load_settings(store="s3://other/x", environment={}).storage == {}


@pytest.mark.parametrize(
    ("name", "of_user"), [("profile", False), ("secret", True), ("key", True), ("client_kwargs", True)]
)
def test_no_file_holds_credentials(home: Path, name: str, of_user: bool) -> None:
    """A project does not choose among its users' credentials either."""
    text = f'[storage]\n{name} = "x"\n'
    if of_user:
        write_user_file(text)
    (home / PROJECT_FILE).write_text(text if not of_user else "")
    with pytest.raises(UsageError, match="credentials"):
        load_settings(environment={})


def test_a_password_command_and_a_key_file_are_named_in_one_order(home: Path) -> None:
    """The first place that names either decides; no place names both."""
    write_user_file('password_command = "pass show user"\n')
    environment = {"ARTIFACTSTORE_PASSWORD_COMMAND": "pass show environment"}
    by_user, by_environment = load_settings(environment={}), load_settings(environment=environment)
    assert (by_user.password_command, by_user.key_file_named) == ("pass show user", False)
    assert by_environment.password_command == "pass show environment"
    named = load_settings(key_file=Path("/k"), environment=environment)
    assert (named.key_file, named.key_file_named, named.password_command) == (Path("/k"), True, None)
    assert load_settings(password_command="mine", environment=environment).password_command == "mine"
    assert load_settings(environment={"ARTIFACTSTORE_KEY_FILE": "/k"}).password_command is None
    with pytest.raises(UsageError, match="both"):
        load_settings(environment={**environment, "ARTIFACTSTORE_KEY_FILE": "/k"})


@pytest.mark.parametrize("key", ["key_file", "password_command"])
def test_a_project_file_never_says_what_unlocks(home: Path, key: str) -> None:
    """It comes with somebody's repository: a command in it would run with the first `ls`."""
    (home / PROJECT_FILE).write_text(f'{key} = "touch /tmp/x"\n')
    with pytest.raises(UsageError, match="may not set"):
        load_settings(environment={})
