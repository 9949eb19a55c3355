"""DVC's cache: laid out by hand as DVC lays it out, and made by DVC itself."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from artifactstore import Store, import_from
from artifactstore.errors import BrokenSource
from tests.exchange.tools import tool_environment
from tests.stores import make_store, noise, read_tree, write_tree

FILES = {"x.txt": b"a\r\nb\r\n", "sub/y.bin": noise(1_500_000)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return make_store(tmp_path / "s")


def cached(project: Path, data: bytes, *, suffix: str = "", name: str = "", old: bool = False) -> str:
    """Put bytes into the cache; return what DVC calls them."""
    md5 = name or hashlib.md5(data).hexdigest()
    place = project / ".dvc/cache" / ("" if old else "files/md5") / md5[:2] / (md5[2:] + suffix)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return md5 + suffix


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a folder and a file, as `dvc add` leaves one whose workspace is empty."""
    project = tmp_path / "project"
    listed = [{"md5": cached(project, data), "relpath": name} for name, data in sorted(FILES.items())]
    folder = cached(project, json.dumps(listed).encode(), suffix=".dir")
    single = cached(project, b"one\n")
    write_tree(
        project,
        {
            "data.dvc": f"outs:\n- md5: {folder}\n  hash: md5\n  path: data\n".encode(),
            "raw/single.sh.dvc": (
                f"outs:\n- md5: {single}\n  hash: md5\n  isexec: true\n  path: single.sh\n".encode()
            ),
        },
    )
    return project


def pulled(store: Store, ref: str, folder: Path) -> object:
    store.pull(ref, folder)
    return read_tree(folder)


def test_outputs(store: Store, project: Path, tmp_path: Path) -> None:
    """A folder becomes the root, a file keeps its name, a project keeps paths."""
    (made,) = import_from(store, project / "data.dvc", "p/data")
    assert made.metadata["dvc"]["outs"].keys() == {"data"}
    assert pulled(store, "p/data", tmp_path / "data") == FILES
    import_from(store, project / "raw/single.sh.dvc", "p/single")
    assert pulled(store, "p/single", tmp_path / "single") == {"single.sh": b"one\n"}
    assert (tmp_path / "single/single.sh").stat().st_mode & 0o100
    import_from(store, project, "p/all")
    every = {**{f"data/{name}": data for name, data in FILES.items()}, "raw/single.sh": b"one\n"}
    assert pulled(store, "p/all", tmp_path / "all") == every


def test_before_dvc_3(store: Store, tmp_path: Path) -> None:
    """Another place in the cache, and text is hashed with the line ends of Unix."""
    project = tmp_path / "old"
    text = b"line\r\n" * 300_000
    md5 = cached(project, text, name=hashlib.md5(text.replace(b"\r\n", b"\n")).hexdigest(), old=True)
    write_tree(project, {"t.txt.dvc": f"outs:\n- md5: {md5}\n  path: t.txt\n".encode()})
    import_from(store, project / "t.txt.dvc", "p/n")
    assert pulled(store, "p/n", tmp_path / "out") == {"t.txt": text}


def test_a_cache_elsewhere(store: Store, project: Path, tmp_path: Path) -> None:
    """As the project's configuration says."""
    (project / ".dvc/cache").rename(tmp_path / "elsewhere")
    (project / ".dvc/config").write_text(
        "[cache]\n    dir = ../../elsewhere\n['remote \"r\"']\n    url = /x\n"
    )
    import_from(store, project / "data.dvc", "p/n")
    assert pulled(store, "p/n", tmp_path / "out") == FILES


@pytest.mark.parametrize("how", ["missing", "altered", "listing", "listing altered", "escaping"])
def test_a_broken_cache(store: Store, project: Path, how: str) -> None:
    """A blob that is gone or altered, a listing that is gone, altered, or leads out: no version."""
    blob = max((project / ".dvc/cache").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    (listing,) = (project / ".dvc/cache").rglob("*.dir")
    if how == "missing":
        blob.unlink()
    elif how == "altered":
        blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    elif how == "listing":
        listing.unlink()
    elif how == "listing altered":
        listing.write_bytes(listing.read_bytes().replace(b"x.txt", b"z.txt"))
    else:
        data = json.dumps([{"md5": "0" * 32, "relpath": "../out"}]).encode()
        (project / "data.dvc").write_text(
            f"outs:\n- md5: {cached(project, data, suffix='.dir')}\n  hash: md5\n  path: data\n"
        )
    with pytest.raises(Exception, match=r"broken|leads|'\.\.'"):
        import_from(store, project / "data.dvc", "p/n")
    assert store.projects() == []


@pytest.mark.parametrize(
    "text", ["outs: [", "- a\n", "outs: []\n", "outs:\n- path: x\n", "outs:\n- md5: 1\n"]
)
def test_a_broken_file(store: Store, tmp_path: Path, text: str) -> None:
    """What is no YAML, or names nothing that could be in a cache."""
    (tmp_path / "x.dvc").write_text(text)
    with pytest.raises(BrokenSource):
        import_from(store, tmp_path / "x.dvc", "p/n")


@pytest.mark.deep
def test_a_project_that_dvc_made(store: Store, tmp_path: Path) -> None:
    """`dvc add` of a folder and a file, and a stage whose output is in `dvc.lock`."""
    program = tool_environment(tmp_path, "dvc") / "dvc"
    project = write_tree(
        tmp_path / "project",
        {
            **{f"data/{name}": data for name, data in FILES.items()},
            "single.txt": b"one\n",
            "dvc.yaml": b"stages:\n  make:\n    cmd: mkdir -p out && cp single.txt out/z\n    outs: [out]\n",
        },
    )
    for words in (["init", "--no-scm"], ["add", "data", "single.txt"], ["repro"]):
        subprocess.run(
            [str(program), *words, "-q"],
            cwd=project,
            env={**os.environ, "DVC_NO_ANALYTICS": "1"},
            check=True,
            capture_output=True,
        )
    (made,) = import_from(store, project / "data.dvc", "p/data")
    assert made.digest == store.push([project / "data"], "p/same").digest
    import_from(store, project / "dvc.lock", "p/lock")
    assert pulled(store, "p/lock", tmp_path / "lock") == {"z": b"one\n"}
    import_from(store, project, "p/all")
    every = {f"data/{name}": data for name, data in FILES.items()}
    assert pulled(store, "p/all", tmp_path / "all") == dict(
        sorted({**every, "out/z": b"one\n", "single.txt": b"one\n"}.items())
    )
