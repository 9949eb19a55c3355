"""Tidiness is tested: sizes, names, reachability, documentation and the top of the repository."""

import ast
import importlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pathspec

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "artifactstore"

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
# The independent reader is one file on purpose: whoever follows the format document can read it from top to bottom.
# Every error is drawn in one place on purpose: a class, its sentence and its advice each, and no code.
LINES_MAX_BY_FILE = {"tests/golden/reader.py": 900, "artifactstore/errors.py": 800}

# Built from halves, so that this file doesn't find itself.
LEFTOVERS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "base_utils"}
TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "LICENSE",
    "README.md",
    "artifactstore",
    "benchmarks",
    "docs",
    "pyproject.toml",
    "tests",
}
# Folders of tests that are not named after a package: what they test goes across layers.
TEST_FOLDERS_ACROSS = {"faults", "golden", "properties", "receipts", "scenarios", "simulator"}
# What starts by itself: the library, `python -m` and the console script.
ENTRY_POINTS = {"artifactstore", "artifactstore.__main__", "artifactstore.cli.main"}


def python_files() -> list[Path]:
    """Every Python file of the project."""
    return sorted(
        path for folder in ("artifactstore", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py")
    )


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def shown(path: Path) -> str:
    """A path as a failure should show it."""
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions and methods of a file, nested ones too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def named_modules(path: Path, module: str) -> Iterator[str]:
    """The dotted names that a file imports, or writes out as text for a lazy import."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\bartifactstore(?:\.\w+)+", node.value if " " not in node.value else "")


def used_by_the_package() -> set[str]:
    """The dotted names that modules of the package take from other modules."""
    return {
        name for module, path in modules().items() for name in named_modules(path, module) if name != module
    }


def test_files_are_short() -> None:
    """A file that outgrows its limit has more than one concern."""
    lines = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert {
        name: count for name, count in lines.items() if count > LINES_MAX_BY_FILE.get(name, FILE_LINES_MAX)
    } == {}


def test_functions_fit_on_a_screen() -> None:
    """A function can be read without scrolling back."""
    long = {
        f"{shown(path)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in python_files()
        for node in functions(path)
        if (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert long == {}


def test_nothing_is_left_for_later() -> None:
    """What is still to be done is an issue, not a word in a comment."""
    texts = [*python_files(), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "pyproject.toml"]
    found = [
        f"{shown(path)}:{number}"
        for path in texts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if LEFTOVERS.search(line)
    ]
    assert found == []


def test_each_module_is_named_after_what_it_provides() -> None:
    """A place without a subject collects what belongs elsewhere."""
    assert [name for name in modules() if name.rpartition(".")[2] in NAMES_THAT_SAY_NOTHING] == []


def test_each_module_opens_with_a_sentence() -> None:
    """The first paragraph of a module's docstring says what the module provides."""
    firsts = {
        shown(path): (ast.get_docstring(tree(path)) or "").split("\n\n")[0].strip()
        for path in modules().values()
    }
    assert [name for name, first in firsts.items() if not first.endswith((".", ":", "::"))] == []


def test_each_test_opens_with_its_purpose() -> None:
    """A test that fails tells its reader what was promised."""
    missing = [
        f"{shown(path)}:{node.lineno} {node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in functions(path)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert missing == []


def test_no_module_is_an_orphan() -> None:
    """Every module is imported by another one, or is an entry point, or is shipped for the tests of users."""
    used = used_by_the_package()
    packages = {name for name, path in modules().items() if path.name == "__init__.py"}
    # A package that only groups modules is used when one of them is.
    used |= {name.rpartition(".")[0] for name in used if name in modules()} & packages
    shipped = {name for name in modules() if name.startswith("artifactstore.testing")}
    assert sorted(set(modules()) - used - ENTRY_POINTS - shipped) == []


def test_what_is_shipped_for_tests_is_used_by_ours() -> None:
    """The testing package is not an attic either."""
    tests = (ROOT / "tests").rglob("*.py")
    used = used_by_the_package() | {name for path in tests for name in named_modules(path, "tests")}
    shipped = {name for name, path in modules().items() if name.startswith("artifactstore.testing.")}
    assert sorted(shipped - used) == []


def test_every_public_name_is_documented() -> None:
    """What `artifactstore` exports stands in `docs/` as code."""
    exported = importlib.import_module("artifactstore").__all__
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    code = " ".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    assert [name for name in exported if not re.search(rf"\b{re.escape(name)}\b", code)] == []


def test_tests_mirror_the_package() -> None:
    """The tests of a package lie in a folder, or a module, of the same name."""
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    folders = {
        path.parent.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")
    }
    assert sorted(folders - packages - TEST_FOLDERS_ACROSS) == []
    tested = folders | {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
    assert sorted(packages - tested - {"testing"}) == []


def entries_at_the_top() -> set[str]:
    """What git tracks at the top of the repository; without git, what is there and not ignored."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if listed.returncode == 0:
            return {name.partition("/")[0] for name in listed.stdout.split("\0") if name}
    ignored = pathspec.GitIgnoreSpec.from_lines(
        (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    )
    names = {path.name + "/" * path.is_dir() for path in ROOT.iterdir()}
    return {name.rstrip("/") for name in names if not ignored.match_file(name)} - {".git"}


def test_the_top_of_the_repository_holds_what_it_must() -> None:
    """A new entry at the top is a decision, made here."""
    assert sorted(entries_at_the_top() - TOP_LEVEL) == []
    assert sorted(name for name in TOP_LEVEL if not (ROOT / name).exists()) == []
