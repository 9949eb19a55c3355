"""From URLs to backends: each kind, what is refused, and what is not imported."""

import subprocess
import sys
from pathlib import Path

import pytest
from fsspec.registry import _registry

import artifactstore
from artifactstore.backend.local import LocalBackend
from artifactstore.backend.memory import MemoryBackend
from artifactstore.backend.opening import open_backend
from artifactstore.backend.remote import FsspecBackend
from artifactstore.errors import ForeignContents, MissingExtra, NoSuchStore, PermissionRefused, Unsupported


def test_paths_are_folders(tmp_path: Path) -> None:
    """A path as text or Path, and a file URL, are the local folder, shown as an absolute path."""
    for url in (
        str(tmp_path),
        tmp_path,
        f"file://{tmp_path}",
        f"file://localhost{tmp_path}",
        f"local://{tmp_path}",
    ):
        backend = open_backend(url)
        assert isinstance(backend, LocalBackend)
        assert backend.url == str(tmp_path)


def test_relative_paths_stay_where_they_were_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A later change of the working directory doesn't move the store."""
    monkeypatch.chdir(tmp_path)
    backend = open_backend("store", make=True)
    monkeypatch.chdir("/")
    backend.create("a", b"data")
    assert (tmp_path / "store" / "a").read_bytes() == b"data"


def test_the_home_directory_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`~/store` is in the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_backend("~/store", make=True).url == str(tmp_path / "store")


def test_file_urls_are_decoded(tmp_path: Path) -> None:
    """What `Path.as_uri` wrote leads back to the path; a plain path with a percent sign is left alone."""
    folder = tmp_path / "my store %41"
    backend = open_backend(folder.as_uri(), make=True)
    assert backend.url == str(folder)
    assert open_backend(str(folder)).url == str(folder)


def test_a_missing_folder_is_made_only_when_asked(tmp_path: Path) -> None:
    """Opening what isn't there is `NoSuchStore` and makes nothing; `make` makes parents too."""
    folder = tmp_path / "a" / "b"
    with pytest.raises(NoSuchStore) as caught:
        open_backend(folder)
    assert caught.value.facts["url"] == str(folder)
    assert not folder.parent.exists()
    open_backend(folder, make=True)
    assert folder.is_dir()
    open_backend(folder, make=True)


@pytest.mark.parametrize("make", [True, False])
def test_what_is_no_folder_is_refused(tmp_path: Path, make: bool) -> None:
    """A file, or a symlink to nowhere, is neither a store nor overwritten."""
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "broken").symlink_to("nowhere")
    for name in ("file", "broken"):
        with pytest.raises(ForeignContents, match="not a folder"):
            open_backend(tmp_path / name, make=make)
    assert (tmp_path / "file").read_bytes() == b"data"
    with pytest.raises((ForeignContents, NoSuchStore)):
        open_backend(tmp_path / "file" / "below", make=make)


def test_a_folder_that_may_not_be_made_is_refused() -> None:
    """Where no folder may be made, the error is about permission or the medium, and ours."""
    with pytest.raises((PermissionRefused, NoSuchStore)):
        open_backend("/proc/artifactstore", make=True)


def test_memory_urls_are_places_by_name() -> None:
    """One name is one place, however many slashes follow it."""
    first = open_backend("memory://opening")
    assert isinstance(first, MemoryBackend)
    first.put("a", b"data")
    assert open_backend("memory://opening/").exists("a")
    assert not open_backend("memory://other").exists("a")
    assert open_backend("memory://").url == "memory://"


def test_other_urls_go_to_fsspec(tmp_path: Path) -> None:
    """What is neither path nor memory is opened through fsspec, with its options."""
    backend = open_backend(
        f"dir://{tmp_path}", storage_options={"path": str(tmp_path), "target_protocol": "file"}
    )
    assert isinstance(backend, FsspecBackend)


@pytest.mark.parametrize(
    "url", ["nonsense://x", "file://host/path", "simplecache::s3://bucket/x", "dir::file:///x"]
)
def test_urls_that_nothing_can_open_are_refused(url: str) -> None:
    """Unknown schemes, files of other machines and chains are refused before anything is touched."""
    if url.startswith("dir::"):
        url = "dir://x::file:///x"
    with pytest.raises(Unsupported) as caught:
        open_backend(url)
    assert caught.value.next_step


def hide(library: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a library were not installed, whoever has loaded it before: fsspec remembers the class of each scheme."""
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(_registry, scheme, raising=False)


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without fsspec, or without the library for a scheme, the error says what to install."""
    hide("s3fs", "s3", monkeypatch)
    with pytest.raises(MissingExtra, match="s3fs") as caught:
        open_backend("s3://bucket/prefix")
    assert caught.value.next_step == "pip install 'artifactstore[s3]'"
    monkeypatch.delitem(sys.modules, "artifactstore.backend.remote")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtra) as caught:
        open_backend("s3://bucket/prefix")
    assert caught.value.next_step == "pip install 'artifactstore[fsspec]'"


@pytest.mark.parametrize(
    ("url", "library", "extra"),
    [
        ("s3://b/x", "s3fs", "s3"),
        ("s3a://b/x", "s3fs", "s3"),
        ("gs://b/x", "gcsfs", "gcs"),
        ("gcs://b/x", "gcsfs", "gcs"),
        ("az://c/x", "adlfs", "azure"),
        ("abfs://c/x", "adlfs", "azure"),
    ],
)
def test_each_scheme_names_its_extra(
    url: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the library of a scheme, the error says which extra of this project holds it."""
    hide(library, url.partition(":")[0], monkeypatch)
    with pytest.raises(MissingExtra) as caught:
        open_backend(url)
    assert caught.value.next_step == f"pip install 'artifactstore[{extra}]'"


def test_folders_and_memory_need_no_fsspec(tmp_path: Path) -> None:
    """Opening a folder or memory loads nothing that only other URLs need."""
    modules = {"fsspec", "lmdb", "numpy", "cryptography", "dataclasses", "tempfile"}
    code = (
        "import sys; from artifactstore.backend import open_backend; "
        f"open_backend({str(tmp_path)!r}); open_backend('memory://x'); "
        f"print(sorted({modules} & set(sys.modules)))"
    )
    root = Path(artifactstore.__path__[0]).parent
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == "[]"
