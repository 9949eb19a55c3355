"""The mutants of `mutants.md`: reading the list, and trying them on copies of the tree.

Run as `python -m tests.mutants [NAME…]`; it prints whether each was caught and fails if one was not.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LIST = Path(__file__).with_name("mutants.md")
COPIED = ("artifactstore", "tests", "docs", "benchmarks", "pyproject.toml", "README.md")
TESTS_FAILED = 1
CAUGHT, ESCAPED, NOT_RUN = "caught", "ESCAPED", "NOT RUN"

_SECTION = re.compile(r"^## (?P<name>[a-z-]+)$(?P<body>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_EDIT = re.compile(r"^```diff\n--- (?P<path>\S+)\n(?P<lines>.*?)^```$", re.MULTILINE | re.DOTALL)
_OUT_OF_TIME = re.compile(r"Failed: Timeout|\+ Timeout \+")
_CAUGHT = re.compile(r"^Caught by (?P<tests>.+)$", re.MULTILINE)


class Edit(NamedTuple):
    """One place in one file: what is there, and what comes instead."""

    path: str
    old: str
    new: str


class Mutant(NamedTuple):
    """A fault, and the tests that catch it."""

    name: str
    edits: list[Edit]
    tests: list[str]


def mutants(text: str | None = None) -> list[Mutant]:
    """All mutants of the list."""
    text = LIST.read_text(encoding="utf-8") if text is None else text
    found = []
    for section in _SECTION.finditer(text):
        edits = [_edit(match["path"], match["lines"]) for match in _EDIT.finditer(section["body"])]
        caught = _CAUGHT.search(section["body"])
        tests = re.findall(r"`([^`]+)`", caught["tests"]) if caught else []
        found.append(Mutant(section["name"], edits, tests))
    return found


def _edit(path: str, lines: str) -> Edit:
    split = [line or " " for line in lines.splitlines()]
    old = [line[1:] for line in split if line[0] != "+"]
    new = [line[1:] for line in split if line[0] != "-"]
    return Edit(path, "".join(f"{line}\n" for line in old), "".join(f"{line}\n" for line in new))


def apply(mutant: Mutant, root: Path) -> None:
    """Make the edits in the tree at `root`; each must fit exactly one place."""
    for edit in mutant.edits:
        path = root / edit.path
        source = path.read_text(encoding="utf-8")
        # Whole lines only: an edit must not begin in the middle of one.
        places = ("\n" + source).count("\n" + edit.old)
        if places != 1:
            raise ValueError(f"{mutant.name}: an edit fits {places} places of {edit.path}:\n{edit.old}")
        path.write_text(("\n" + source).replace("\n" + edit.old, "\n" + edit.new)[1:], encoding="utf-8")


def copy_tree(target: Path) -> None:
    """Copy what tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target / name)


def run_tests(root: Path, tests: list[str]) -> subprocess.CompletedProcess[str]:
    """Run tests in a copy of the tree, with that copy of the package."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-n", "0", *tests],
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": str(root),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_PROFILE": "mutants",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def verdict(code: int, output: str) -> str:
    """What a run of a mutant's tests says: caught, escaped, or that it says nothing."""
    if code == 0:
        return ESCAPED
    if code == TESTS_FAILED and " failed" in output and not _OUT_OF_TIME.search(output):
        return CAUGHT
    # Killed, out of time, nothing collected, or only a fixture broke: no test has judged the mutant.
    return NOT_RUN


def attempt(mutant: Mutant) -> tuple[str, str]:
    """The verdict on a mutant, and what its tests printed."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        root = Path(folder)
        copy_tree(root)
        apply(mutant, root)
        done = run_tests(root, mutant.tests)
    return verdict(done.returncode, done.stdout), f"{done.stdout}{done.stderr}exit code {done.returncode}"


def main(names: list[str]) -> int:
    """Try the named mutants, all without names; return how many were not caught."""
    chosen = [mutant for mutant in mutants() if not names or mutant.name in names]
    missed = 0
    for mutant in chosen:
        found, output = attempt(mutant)
        missed += found != CAUGHT
        print(f"{found}  {mutant.name}", flush=True)
        if found != CAUGHT:
            print(output[-2000:], flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} caught")
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
