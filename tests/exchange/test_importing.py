"""Importing archives and folders: what was exported comes back equal, and what is broken makes no version."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from artifactstore import Store, export_version, import_from
from artifactstore.errors import (
    ArtifactStoreError,
    BrokenSource,
    InvalidSource,
    NoSuchPath,
    PathCollision,
    SourceTooLarge,
    UsageError,
)
from artifactstore.exchange import incoming
from tests.stores import make_store, noise, read_tree, write_tree

pytestmark = pytest.mark.places("memory", "s3")

TREE = {
    "a/big.bin": noise(2_500_000, 1),
    "a/run.sh": b"#!/bin/sh\n",
    "link": "a/run.sh",
    "nothing": None,
    "zero": b"",
    "é/" + "n" * 150: b"x",
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return make_store(tmp_path / "s")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of everything that there is."""
    folder = write_tree(tmp_path / "tree", TREE)
    (folder / "a/run.sh").chmod(0o755)
    return folder


def archive(store: Store, ref: str, format_name: str = "tar", **options: bool) -> bytes:
    out = io.BytesIO()
    export_version(store, ref, out, format=format_name, **options)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("format_name", ["tar", "zip", "folder"])
@pytest.mark.parametrize("with_metadata", [False, True])
def test_there_and_back(
    store: Store, tree: Path, tmp_path: Path, format_name: str, with_metadata: bool
) -> None:
    """Equal digests, and the same bytes when it is exported again; with metadata that comes back too."""
    first = store.push(
        [tree], "p/n", type="model", aliases=["prod"], tags=["t"], description="d", metadata={"k": 1}
    )
    path = tmp_path / f"x.{format_name}"
    export_version(store, "p/n", path, format=format_name, with_metadata=with_metadata)  # type: ignore[arg-type]
    (back,) = import_from(store, path, "p/back")
    assert back.digest == first.digest
    said = (back.type, back.aliases, back.tags, back.description, back.metadata)
    if with_metadata:
        assert said == (first.type, first.aliases, first.tags, first.description, first.metadata)
        assert archive(store, "p/n") == archive(store, "p/back")
    else:
        assert said == ("dataset", ("latest",), (), "", {})
    assert archive(store, "p/n", "zip") == archive(store, "p/back", "zip")


NAMES = st.text(alphabet="abAB. ~é0", min_size=1, max_size=4).filter(lambda name: name.strip(". ") != "")
CONTENTS = st.one_of(st.binary(max_size=200), st.none(), st.just("target"))


@settings(max_examples=12)
@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), CONTENTS, max_size=8))
def test_export_import_export_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, bytes | str | None]
) -> None:
    """Whatever is pushed, by tar and by zip."""
    root = tmp_path_factory.mktemp("property")
    kept: dict[str, bytes | str | None] = {}
    for path in sorted(entries):
        folded = path.lower()
        if not any(
            other.lower() == folded
            or other.lower().startswith(folded + "/")
            or folded.startswith(other.lower() + "/")
            for other in kept
        ):
            kept[path] = entries[path]
    try:
        folder = write_tree(root / "tree", kept)
        with make_store(root / "s") as store:
            first = store.push([folder], "p/n")
            for name in ("tar", "zip"):
                data = archive(store, "p/n", name)
                (root / name).write_bytes(data)
                (back,) = import_from(store, root / name, f"p/{name}")
                assert back.digest == first.digest
                assert archive(store, f"p/{name}", name) == data
    except PathCollision:
        pass  # folders that differ by case only


@pytest.mark.parametrize(
    "compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress]
)
def test_compressed_archives(
    store: Store, tree: Path, tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    """By their first bytes, from a file and as a stream; cut ones make no version."""
    first = store.push([tree], "p/n")
    data = compress(archive(store, "p/n"))
    assert import_from(store, io.BytesIO(data), "p/stream")[0].digest == first.digest
    for cut in (len(data) // 2, len(data) - 3):
        with pytest.raises(BrokenSource):
            import_from(store, io.BytesIO(data[:cut]), "p/cut")
    assert [one.name for one in store.projects()] == ["p"]
    assert {one.artifact for one in store.artifacts("p")} == {"p/n", "p/stream"}


def test_a_tar_cut_anywhere(store: Store, tmp_path: Path) -> None:
    """Within a header, within a file, between members, before its end: each is an error, none a version."""
    store.push([write_tree(tmp_path / "t", {"a": b"1" * 600, "b": b"2" * 100})], "p/n")
    data = archive(store, "p/n")
    for cut in [0, 100, 512, 700, 512 + 1024, 512 + 1024 + 100, 512 + 1024 + 512, 512 + 1024 + 1024]:
        with pytest.raises(BrokenSource):
            import_from(store, io.BytesIO(data[:cut]), "p/cut")
    damaged = bytearray(data)
    damaged[512 + 1024 + 10] ^= 1  # a name: the header's checksum does not fit
    with pytest.raises(BrokenSource):
        import_from(store, io.BytesIO(bytes(damaged)), "p/cut")
    assert [one.artifact for one in store.artifacts("p")] == ["p/n"]


def test_a_broken_zip(store: Store, tree: Path, tmp_path: Path) -> None:
    """Cut, or with a byte of a member altered."""
    store.push([tree], "p/n")
    data = bytearray(archive(store, "p/n", "zip"))
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    data[1_000_000] ^= 1
    (tmp_path / "altered.zip").write_bytes(data)
    for name in ("cut.zip", "altered.zip"):
        with pytest.raises(BrokenSource):
            import_from(store, tmp_path / name, "p/x", kind="zip")
    assert [one.artifact for one in store.artifacts("p")] == ["p/n"]


def tar_with(*members: tuple[str, bytes, str, bytes]) -> io.BytesIO:
    """A tar of (name, type, target, data)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, kind, target, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, len(data)
            made.addfile(info, io.BytesIO(data))
    out.seek(0)
    return out


FILE, LINK, DEVICE = tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE


def test_what_other_programs_put_into_a_tar(store: Store, tmp_path: Path) -> None:
    """`./` in front, folders, hard links, members in any order."""
    made = tar_with(
        ("./", tarfile.DIRTYPE, "", b""),
        ("./z", FILE, "", b"zz"),
        ("./a", tarfile.DIRTYPE, "", b""),
        ("./a/b", LINK, "./z", b""),
        ("./empty", tarfile.DIRTYPE, "", b""),
    )
    import_from(store, made, "p/n")
    store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"a/b": b"zz", "empty": None, "z": b"zz"}


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ([("../out", FILE, "", b"x")], InvalidSource),
        ([("/etc/passwd", FILE, "", b"x")], InvalidSource),
        ([("a/../../b", FILE, "", b"x")], InvalidSource),
        ([("a\\b", FILE, "", b"x")], InvalidSource),
        ([("dev", DEVICE, "", b"")], InvalidSource),
        ([("a", LINK, "nowhere", b"")], InvalidSource),
        ([("a", FILE, "", b"x"), ("a", FILE, "", b"y")], PathCollision),
        ([("a", FILE, "", b"x"), ("a/b", FILE, "", b"y")], PathCollision),
        ([("a", FILE, "", b"x"), ("A", FILE, "", b"y")], PathCollision),
    ],
)
def test_what_a_tar_may_not_hold(
    store: Store, members: list[tuple[str, bytes, str, bytes]], error: type[ArtifactStoreError]
) -> None:
    """Paths that lead out, devices, collisions: refused, and nothing is committed."""
    with pytest.raises(error):
        import_from(store, tar_with(*members), "p/n")
    assert store.projects() == []


@pytest.mark.parametrize("name", ["../out", "/abs", "a/../../b"])
def test_what_a_zip_may_not_hold(store: Store, tmp_path: Path, name: str) -> None:
    """The same of a zip."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        made.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(InvalidSource):
        import_from(store, tmp_path / "x.zip", "p/n")


def test_bounds(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes in all, and the ratio of what is unpacked to what it is unpacked from."""
    with pytest.raises(SourceTooLarge, match="more than 10 bytes"):
        import_from(store, tar_with(("a", FILE, "", b"x" * 11)), "p/n", max_size_bytes=10)
    monkeypatch.setattr(incoming, "_RATIO_FREE_BYTES", 1 << 16)
    bomb = tar_with(("a", FILE, "", bytes(30_000_000))).getvalue()
    with pytest.raises(SourceTooLarge, match="1000 times"):
        import_from(store, io.BytesIO(lzma.compress(bomb)), "p/n")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_BZIP2) as made:
        made.writestr("a", bytes(30_000_000))
    with pytest.raises(SourceTooLarge):
        import_from(store, tmp_path / "bomb.zip", "p/n")
    assert store.projects() == []


def test_a_zip_whose_members_overlap(store: Store, tmp_path: Path) -> None:
    """Many names for the same bytes, as in archives that are made to hurt."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        made.writestr("a", b"x" * 1000)
        made.writestr("b", b"x" * 1000)
        made.getinfo("b").header_offset = 0
    with pytest.raises(BrokenSource):
        import_from(store, tmp_path / "x.zip", "p/n")


def test_a_folder_of_versions(store: Store, tmp_path: Path) -> None:
    """In the order of their numbers, and again nothing new; one that is new is added."""
    for number in range(11):
        write_tree(tmp_path / f"all/v{number}", {"x": b"%d" % number})
    made = import_from(store, tmp_path / "all", "p/n", aliases=["last"])
    assert [(one.number, one.push is not None and one.push.created) for one in made] == [
        (number, True) for number in range(11)
    ]
    assert store.version("p/n:last").number == 10
    write_tree(tmp_path / "all/v11", {"x": b"11"})
    again = import_from(store, tmp_path / "all", "p/n", aliases=["last"])
    assert [one.push is not None and one.push.created for one in again] == [False] * 11 + [True]
    assert len(store.versions("p/n")) == 12


def test_dated_versions(store: Store, tmp_path: Path) -> None:
    """By date, which becomes a label."""
    for day in ("2026-02-01", "2026-01-15"):
        write_tree(tmp_path / "all" / day, {"x": day.encode()})
    made = import_from(store, tmp_path / "all", "p/n")
    assert [(one.number, one.tags) for one in made] == [(0, ("2026-01-15",)), (1, ("2026-02-01",))]
    write_tree(tmp_path / "all", {"README": b"what"})
    with pytest.raises(BrokenSource, match="README"):
        import_from(store, tmp_path / "all", "p/m", kind="versions")


def test_bad_requests(store: Store, tmp_path: Path) -> None:
    """No source, no such kind, an option of another kind, a file that is nothing."""
    with pytest.raises(NoSuchPath):
        import_from(store, tmp_path / "none", "p/n")
    with pytest.raises(UsageError, match="no kind"):
        import_from(store, tmp_path, "p/n", kind="rar")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="revision"):
        import_from(store, tmp_path, "p/n", kind="folder", revision="main")
    (tmp_path / "noise").write_bytes(noise(100_000))
    with pytest.raises(BrokenSource):
        import_from(store, tmp_path / "noise", "p/n")
    os.truncate(tmp_path / "noise", 0)
    with pytest.raises(BrokenSource):
        import_from(store, tmp_path / "noise", "p/n")
