"""`import`: from a file, from standard input, with what is said of it."""

import io
import tarfile
from pathlib import Path

import pytest

from tests.cli.conftest import Run

pytestmark = [pytest.mark.places("folder", "s3"), pytest.mark.usefixtures("ready")]


def tar_of(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_a_tar(run: Run, home: Path) -> None:
    """A file and standard input make the same version; what is there already is said."""
    (home / "x.tgz").write_bytes(tar_of(one=b"1", two=b"22"))
    first = run("import", "x.tgz", "team/x", "-t", "model", "--alias", "prod", "--metadata", "a=1", "--json")
    (made,) = first.document["versions"]
    assert (made["version"]["type"], made["version"]["aliases"]) == ("model", ["latest", "prod"])
    assert (made["version"]["metadata"], made["push"]["created"]) == ({"a": 1}, True)
    again = run("import", "-", "team/x", "--tag", "seen", stdin=(home / "x.tgz").read_bytes())
    assert again.out.startswith("team/x:v0 has the same files already: 2 files (3 B)\n")
    assert run("show", "team/x", "--json").document["version"]["tags"] == ["seen"]


def test_a_broken_one(run: Run, home: Path) -> None:
    """Its own error, and no version."""
    data = tar_of(one=b"1" * 100_000)
    (home / "x.tgz").write_bytes(data[: len(data) // 2])
    refused = run("import", "x.tgz", "team/x", "--json")
    assert (refused.code, refused.error["kind"]) == (4, "broken-source")
    assert run("ls", "team/x").code == 3


def test_too_large(run: Run, home: Path) -> None:
    """The bound of the command line."""
    (home / "x.tgz").write_bytes(tar_of(one=b"1" * 3000))
    refused = run("import", "x.tgz", "team/x", "--max-size", "2kB", "--json")
    assert (refused.code, refused.error["kind"]) == (4, "source-too-large")
