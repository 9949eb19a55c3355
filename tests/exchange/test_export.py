"""Exports: what other programs read out of them, the same bytes each time, nothing half written."""

import hashlib
import io
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from artifactstore import Store, export_version, import_from
from artifactstore.errors import Damaged, DestinationExists, NoSuchVersion, PathCollision, UsageError
from artifactstore.exchange.sidecar import SIDECAR_PATH, decode_sidecar
from artifactstore.format.page import path_order
from artifactstore.format.reference import Reference
from tests.stores import make_store, noise, read_tree, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")

TREE = {
    "a/big.bin": noise(2_500_000, 1),
    "a/run.sh": b"#!/bin/sh\n",
    "a/" + "n" * 120 + ".txt": b"long name",
    "link": "a/run.sh",
    "nothing": None,
    "zero": b"",
    "Ärger/ü.txt": "grün".encode(),
}
# Of the tree above; whatever changes them changes the bytes of every archive that was ever exported.
SHA256 = {
    "tar": "37e13f2f2282ccd198360ed4bd5af3713d9b09c8448c17a86eeab58d265f4913",
    "zip": "b6e6366892424890c182c97681a05b8e277edd3330585d62349ca1f1f078f3ee",
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one version of everything that there is."""
    folder = write_tree(tmp_path / "tree", TREE)
    (folder / "a/run.sh").chmod(0o755)
    store = make_store(tmp_path / "s")
    store.push([folder], "p/n", metadata={"k": "v"}, aliases=["prod"], tags=["t"], description="words")
    return store


def exported(store: Store, ref: str, format_name: str, **options: bool) -> bytes:
    out = io.BytesIO()
    done = export_version(store, ref, out, format=format_name, **options)  # type: ignore[arg-type]
    data = out.getvalue()
    assert (done.archive_bytes, done.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    return data


def test_tar_program_unpacks_it(store: Store, tmp_path: Path) -> None:
    """GNU tar finds every file, mode, link and empty folder."""
    data = exported(store, "p/n", "tar")
    (tmp_path / "out").mkdir()
    done = subprocess.run(["tar", "-xC", str(tmp_path / "out")], input=data, capture_output=True, check=True)
    assert done.stderr == b""
    assert read_tree(tmp_path / "out") == dict(sorted(TREE.items()))
    assert (tmp_path / "out/a/run.sh").stat().st_mode & 0o777 == 0o755
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in archive} == {
            (0, 0, "", "", 315_532_800)
        }


@pytest.mark.skipif(shutil.which("unzip") is None, reason="there is no unzip here")
def test_unzip_unpacks_it(store: Store, tmp_path: Path) -> None:
    """Info-ZIP's unzip does too."""
    (tmp_path / "x.zip").write_bytes(exported(store, "p/n", "zip"))
    subprocess.run(["unzip", "-q", "x.zip", "-d", "out"], cwd=tmp_path, check=True)
    assert read_tree(tmp_path / "out") == dict(sorted(TREE.items()))


def test_python_reads_the_zip(store: Store, tmp_path: Path) -> None:
    """With checksums, modes and names."""
    with zipfile.ZipFile(io.BytesIO(exported(store, "p/n", "zip"))) as archive:
        assert archive.testzip() is None
        assert [name.rstrip("/") for name in archive.namelist()] == sorted(TREE, key=path_order)
        assert archive.read("a/big.bin") == TREE["a/big.bin"]
        assert archive.getinfo("a/run.sh").external_attr >> 16 == 0o100755
        assert archive.read("link") == b"a/run.sh"
        assert archive.getinfo("link").external_attr >> 16 == 0o120777


@pytest.mark.parametrize("format_name", ["tar", "zip"])
def test_the_same_bytes_everywhere(store: Store, tmp_path: Path, format_name: str) -> None:
    """Today and tomorrow, from this store and from another, on every Python."""
    data = exported(store, "p/n", format_name)
    with make_store(tmp_path / "other") as other:
        other.push([tmp_path / "tree"], "x/y")
        assert exported(other, "x/y", format_name) == data
    assert hashlib.sha256(data).hexdigest() == SHA256[format_name]


def test_metadata_beside_the_files(store: Store, tmp_path: Path) -> None:
    """The first member, and a file of a folder; a version that holds such a file keeps it to itself."""
    with tarfile.open(fileobj=io.BytesIO(exported(store, "p/n", "tar", with_metadata=True))) as archive:
        first = archive.next()
        assert first is not None
        assert first.name == SIDECAR_PATH
        stream = archive.extractfile(first)
        assert stream is not None
        said = decode_sidecar(stream.read())
    assert said is not None
    assert (said.metadata, said.aliases, said.tags, said.description) == (
        {"k": "v"},
        ["prod"],
        ["t"],
        "words",
    )
    export_version(store, "p/n", tmp_path / "folder", format="folder", with_metadata=True)
    assert decode_sidecar((tmp_path / "folder" / SIDECAR_PATH).read_bytes()) == said
    store.push([tmp_path / "folder"], "p/again")
    with pytest.raises(PathCollision, match="itself holds"):
        exported(store, "p/again", "zip", with_metadata=True)


def test_a_file_takes_its_name_when_it_is_whole(store: Store, tmp_path: Path) -> None:
    """What is there is kept unless told otherwise, and a failure leaves nothing."""
    out = tmp_path / "o/x.tar"
    export_version(store, "p/n", out)
    before = out.read_bytes()
    with pytest.raises(DestinationExists):
        export_version(store, "p/n", out)
    backend = store.parts.backend
    backend.delete(max(backend.list("packs/"), key=lambda info: info.size_bytes).name)
    with reopened(tmp_path / "s", store, cache="another") as other, pytest.raises(Damaged):
        export_version(other, "p/n", out, overwrite=True)
    assert ([path.name for path in out.parent.iterdir()], out.read_bytes()) == (["x.tar"], before)


def test_bad_requests(store: Store, tmp_path: Path) -> None:
    """No such version, no such format, a folder as a stream."""
    with pytest.raises(NoSuchVersion):
        export_version(store, "p/n:v7", tmp_path / "x")
    with pytest.raises(UsageError, match="no format"):
        export_version(store, "p/n", tmp_path / "x", format="rar")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="folder"):
        export_version(store, "p/n", io.BytesIO(), format="folder")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("format_name", ["tar", "zip", "folder"])
def test_references_are_listed(tmp_path: Path, format_name: str) -> None:
    """Instead of being fetched; importing makes them anew, with the same digest."""
    reference = Reference("https://example.org/big", 5, "md5:" + "0" * 32)
    with make_store(tmp_path / "r") as store:
        (tmp_path / "x").write_bytes(b"x")
        first = store.push([tmp_path / "x"], "p/n", references={"far/away": reference})
        path = tmp_path / f"out.{format_name}"
        done = export_version(store, "p/n", path, format=format_name)  # type: ignore[arg-type]
        assert (done.files, done.references, done.logical_bytes) == (1, 1, 1)
        (back,) = import_from(store, path, "p/back")
        assert back.digest == first.digest
