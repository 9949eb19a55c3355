"""Zip archives beyond what the format could first say: many members, large ones."""

import io
import subprocess
import zipfile
from pathlib import Path
from typing import cast

import pytest

from artifactstore.exchange.zip_writer import ZipWriter


def test_more_members_than_two_bytes_count() -> None:
    """The end of the archive has them in its long form, and the directory goes through a file."""
    out = io.BytesIO()
    writer = ZipWriter(out)
    for number in range(70_000):
        writer.add_folder(f"folder-{number}")
    writer.close()
    writer.discard()
    with zipfile.ZipFile(out) as archive:
        assert len(archive.infolist()) == 70_000


class Zeros(io.RawIOBase):
    """Bytes without end."""

    def read(self, size: int = -1) -> bytes:
        return bytes(size)


@pytest.mark.deep
def test_a_file_beyond_four_gibibytes(tmp_path: Path) -> None:
    """Its size, and the offset of what comes behind it, in their long forms; unzip agrees."""
    size = (4 << 30) + 12345
    with (tmp_path / "x.zip").open("wb") as out:
        writer = ZipWriter(out)
        for _ in writer.add_file("big", size, executable=False, stream=cast("io.BytesIO", Zeros())):
            pass
        for _ in writer.add_file("small", 2, executable=True, stream=io.BytesIO(b"ok")):
            pass
        writer.close()
        writer.discard()
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert (archive.getinfo("big").file_size, archive.read("small")) == (size, b"ok")
        assert archive.testzip() is None
    subprocess.run(["unzip", "-tq", "x.zip"], cwd=tmp_path, check=True)


def test_fewer_bytes_than_said() -> None:
    """Nobody gets an archive that looks whole."""
    writer = ZipWriter(io.BytesIO())
    with pytest.raises(EOFError):
        list(writer.add_file("x", 10, executable=False, stream=io.BytesIO(b"short")))
    writer.discard()
