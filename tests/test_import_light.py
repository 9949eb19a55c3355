"""Start-up stays light: what is heavy is imported when it is first needed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"numpy", "fsspec", "lmdb", "cryptography"}


def loaded_by(statement: str, *, whole: bool = False) -> set[str]:
    """The modules that a fresh interpreter holds after `statement`, by their top-level names unless `whole`."""
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    names = done.stdout.split()
    return set(names) if whole else {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    "statement",
    ["import artifactstore", "import artifactstore; artifactstore.__all__", "import artifactstore.errors"],
)
def test_importing_the_library_loads_nothing_heavy(statement: str) -> None:
    """A server or a worker that imports the library pays for LMDB and cryptography when it opens a store."""
    assert loaded_by(statement) & HEAVY == set()


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    """`artifactstore --help` answers at once, so `rich` and `dataclasses` wait as well."""
    assert loaded_by("import artifactstore.cli.main") & (HEAVY | {"rich", "dataclasses"}) == set()


def test_the_front_door_loads_no_maintenance() -> None:
    """A push or a pull pays for nothing of checks, sweeps and audits."""
    loaded = loaded_by("import artifactstore; artifactstore.Store", whole=True)
    for package in ("maintenance", "comparison", "tracking", "exchange", "checkout", "references"):
        assert {name for name in loaded if name.startswith(f"artifactstore.{package}.")} == set()


def test_the_lines_of_results_load_no_more_than_their_command_does() -> None:
    """What a push prints needs nothing of what a check or an audit prints."""
    loaded = loaded_by("import artifactstore.cli.lines, artifactstore.cli.shapes", whole=True)
    assert {name for name in loaded if name.startswith("artifactstore.maintenance.")} <= {
        "artifactstore.maintenance.settings"
    }


def test_a_store_grows_when_something_else_is_asked_of_it() -> None:
    """Pushes and pulls load no drafts, runs and deletions; whoever asks a store for one of them has them all."""
    lean = loaded_by("import artifactstore; artifactstore.Store.push", whole=True)
    assert "artifactstore.store.whole" not in lean
    whole = loaded_by("import artifactstore; artifactstore.Store.delete", whole=True)
    assert {"artifactstore.store.whole", "artifactstore.deletion.deleting"} <= whole


def test_a_store_is_importable_by_name() -> None:
    """Lightness does not hide the front door: README's `from artifactstore import Store` works."""
    assert "artifactstore" in loaded_by("from artifactstore import Store; Store.open")
