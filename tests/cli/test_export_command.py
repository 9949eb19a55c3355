"""`export`: to a file, to standard output, as a folder."""

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import Run

pytestmark = [pytest.mark.places("folder", "s3"), pytest.mark.usefixtures("ready")]


@pytest.fixture(autouse=True)
def pushed(ready: None, run: Run) -> None:
    """`team/x`, with two files."""
    assert run("push", "data", "team/x", "-q").code == 0


def tar_names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


def test_to_a_file(run: Run, home: Path) -> None:
    """The format follows the ending; without --output the file is named after the version."""
    done = run("export", "team/x", "--json").document
    assert (done["output"], done["format"], done["files"]) == ("x-v0.tar", "tar", 2)
    assert tar_names((home / "x-v0.tar").read_bytes()) == ["a.txt", "b.csv"]
    assert run("export", "team/x", "-o", "y.zip").out.startswith(
        "team/x:v0 is in y.zip: 2 files, 14 B\nsha256 "
    )
    with zipfile.ZipFile(home / "y.zip") as archive:
        assert archive.namelist() == ["a.txt", "b.csv"]
    assert run("export", "team/x", "-o", "y.zip").code == 4
    assert run("export", "team/x", "--format", "folder", "--with-metadata").code == 0
    assert sorted(path.name for path in (home / "x-v0").iterdir()) == [
        ".artifactstore-version.json",
        "a.txt",
        "b.csv",
    ]


def test_to_standard_output(home: Path) -> None:
    """Nothing but the archive goes there."""
    done = subprocess.run(
        [sys.executable, "-m", "artifactstore", "export", "team/x", "--output", "-"],
        capture_output=True,
        check=True,
    )
    assert tar_names(done.stdout) == ["a.txt", "b.csv"]


def test_what_standard_output_can_not_be(run: Run) -> None:
    """JSON beside the archive, or a folder."""
    assert run("export", "team/x", "--output", "-", "--json").code == 2
    assert run("export", "team/x", "--output", "-", "--format", "folder").code == 2
