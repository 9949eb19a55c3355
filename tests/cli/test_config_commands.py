"""`config show`: each value and where it comes from, and the table of variables in the documentation."""

import ast
import re
from pathlib import Path

import pytest

from artifactstore.cli.main import COMPLETION_VARIABLE
from artifactstore.cli.options import RUN_VARIABLE
from artifactstore.config import ENVIRONMENT, PROJECT_FILE, USER_FILE, config_dir
from tests.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip(" `") for cell in line.split("|")[1:6]]
    for line in TEXT.splitlines()
    if re.match(r"\| `[\w.]+` \|", line) and line.count("|") == 7
]


def test_the_table_has_every_setting_and_variable() -> None:
    """What the code reads from the environment is what the table says, setting by setting."""
    documented = {name: variable for name, _, variable, _, _ in ROWS if variable}
    assert documented == dict(ENVIRONMENT)
    constants = {
        found
        for path in (ROOT / "artifactstore").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for found in re.findall(r"_?ARTIFACTSTORE_[A-Z_]*[A-Z]", node.value)
    }
    assert constants == {*ENVIRONMENT.values(), COMPLETION_VARIABLE, RUN_VARIABLE}
    assert constants <= set(re.findall(r"`(\w+)`", TEXT))


def test_the_table_says_what_a_project_file_may_set(run: Run, home: Path) -> None:
    """`yes` is read and shown, `refused` is an error that names the setting."""
    for name, _, _, in_project, in_user in ROWS:
        table, _, key = name.rpartition(".")
        value = "3" if name == "compression_level" else '["x"]' if name == "exclude" else '"x"'
        text = f"[{table}]\n{key} = {value}\n" if table else f"{key} = {value}\n"
        for path, allowed in ((home / PROJECT_FILE, in_project), (config_dir() / USER_FILE, in_user)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            done = run("config", "show", "--json")
            assert (done.code == 0) == (allowed == "yes"), (name, done)
            if done.code:
                assert repr(key) in done.error["message"]
                assert str(path) in done.error["message"]
            else:
                origins = {
                    each["name"]: (each["origin"], each["place"]) for each in done.document["settings"]
                }
                assert origins[name] == (
                    "project file" if path.name == PROJECT_FILE else "user file",
                    str(path),
                )
            path.unlink()


def test_each_value_says_where_it_comes_from(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Option before variable before project file before user file before default, and excludes add up."""
    (config_dir()).mkdir(parents=True)
    (config_dir() / USER_FILE).write_text(
        'project = "mine"\ncompression_level = 4\nexclude = ["a"]\nstore = "u"\n'
    )
    (home / PROJECT_FILE).write_text('project = "ours"\nexclude = ["b"]\n[storage]\nregion = "r"\n')
    monkeypatch.setenv("ARTIFACTSTORE_STORE", "memory://e")
    done = run("config", "show", "--json", "--key-file", "k").document
    found = [(each["name"], each["value"], each["origin"]) for each in done["settings"]]
    assert found == [
        ("store", "memory://e", "environment"),
        ("key_file", "k", "argument"),
        ("password_command", None, "default"),
        ("cache_dir", str(home / ".cache" / "artifactstore"), "default"),
        ("project", "ours", "project file"),
        ("compression_level", 4, "user file"),
        ("exclude", "b", "project file"),
        ("exclude", "a", "user file"),
        ("storage.region", "r", "project file"),
    ]
    assert done["project_file"] == str(home / PROJECT_FILE)
    assert done["user_file_read"] is True
    lines = run("config", "show").out.splitlines()
    assert re.search(r"^store +memory://e +environment ARTIFACTSTORE_STORE$", lines[1])


def test_what_may_be_secret_is_not_shown(run: Run) -> None:
    """Credentials in a URL, and options of a library that nobody knows."""
    options = ["--store", "s3://user:hunter2@bucket/x", "--storage-option", 'client_kwargs={"p": "hunter2"}']
    for words in (options, [*options, "--json"]):
        done = run("config", "show", *words)
        assert done.code == 0
        assert "hunter2" not in done.out
        assert "bucket/x" in done.out


def test_a_project_that_can_not_be_one(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place that says it is named, not the artifact that was asked for."""
    (home / PROJECT_FILE).write_text('project = "a/b"\n')
    done = run("show", "corpus", "--json")
    assert (done.code, done.error["kind"]) == (2, "invalid-name")
    assert str(home / PROJECT_FILE) in done.error["message"]
    monkeypatch.setenv("ARTIFACTSTORE_PROJECT", "-")
    assert "ARTIFACTSTORE_PROJECT" in run("ls").err


def test_a_default_project_may_be_left_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last word of a push is the artifact, whether a file is called so or not."""
    monkeypatch.setenv("ARTIFACTSTORE_PROJECT", "team")
    assert run("push", "data", "data", "-q").out == "team/data:v0\n"
    assert run("show", "data:v0", "--json").document["version"]["artifact"] == "team/data"
    assert run("push", "data", "other/data", "-q").out == "other/data:v0\n"
    done = run("push", "data")
    assert done.code == 2
    assert "nothing to push" in done.err
