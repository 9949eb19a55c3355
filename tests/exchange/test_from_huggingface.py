"""The hub's cache: laid out by hand as its documentation says, and made by `huggingface_hub` itself."""

import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from artifactstore import Store, import_from
from artifactstore.errors import BrokenSource
from tests.exchange.tools import tool_environment
from tests.stores import make_store, noise, read_tree

COMMIT = "ab" * 20
WEIGHTS = noise(1_500_000)
CONFIG = b'{"hidden": 4}\n'
TREE = {"config.json": CONFIG, "sub/model.safetensors": WEIGHTS}


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return make_store(tmp_path / "s")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one snapshot, on which `main` and a tag are."""
    root = tmp_path / "hub/models--org--tiny--model"
    snapshot = root / "snapshots" / COMMIT
    (snapshot / "sub").mkdir(parents=True)
    (root / "blobs").mkdir()
    (root / "refs/pr").mkdir(parents=True)
    for name in ("main", "v1.0", "pr/1"):
        (root / "refs" / name).write_text(COMMIT)
    for path, name in (("config.json", git_sha1(CONFIG)), ("sub/model.safetensors", sha256(WEIGHTS))):
        (root / "blobs" / name).write_bytes(TREE[path])
        up = "../" * (2 + path.count("/"))
        (snapshot / path).symlink_to(f"{up}blobs/{name}")
    return root


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_snapshot(store: Store, repository: Path, tmp_path: Path) -> None:
    """Files instead of links; repository and commit are metadata, branches and tags aliases."""
    (made,) = import_from(store, repository, "p/n")
    assert (made.type, made.aliases) == ("model", ("latest", "main", "v1.0"))
    assert made.metadata == {
        "huggingface": {"repository": "org/tiny/model", "kind": "model", "revision": COMMIT}
    }
    store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == TREE
    (same,) = import_from(store, repository, "p/n", revision=COMMIT)
    assert same.number == 0


@pytest.mark.parametrize("how", ["missing", "altered", "leads out", "no snapshot"])
def test_a_broken_cache(store: Store, repository: Path, tmp_path: Path, how: str) -> None:
    """A blob that is gone or altered, a link that leads elsewhere, a revision that is not there."""
    link = repository / "snapshots" / COMMIT / "sub/model.safetensors"
    if how == "missing":
        link.resolve().unlink()
    elif how == "altered":
        link.resolve().write_bytes(WEIGHTS[:-1] + b"?")
    elif how == "leads out":
        (tmp_path / "secret").write_bytes(b"secret")
        link.unlink()
        link.symlink_to(tmp_path / "secret")
    with pytest.raises(BrokenSource):
        import_from(store, repository, "p/n", revision="gone" if how == "no snapshot" else None)
    assert store.projects() == []


class Hub(BaseHTTPRequestHandler):
    """What `huggingface_hub` asks of the hub for the files of one commit."""

    def do_HEAD(self) -> None:
        path = self.path.partition(f"/resolve/{COMMIT}/")[2] or self.path.partition("/resolve/main/")[2]
        data = TREE[path]
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{sha256(data) if path.endswith(".safetensors") else git_sha1(data)}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(TREE[self.path.partition("/resolve/")[2].partition("/")[2]])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    """Its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


SCRIPT = """
import sys
from huggingface_hub import hf_hub_download, scan_cache_dir
for name in ("config.json", "sub/model.safetensors"):
    hf_hub_download("org/tiny", name, endpoint=sys.argv[1], cache_dir=sys.argv[2])
print(len(scan_cache_dir(sys.argv[2]).repos))
"""


@pytest.mark.deep
def test_a_cache_that_the_hubs_library_made(store: Store, hub: str, tmp_path: Path) -> None:
    """Downloaded by `huggingface_hub` into its cache, and scanned by it."""
    python = tool_environment(tmp_path, "huggingface_hub") / "python"
    done = subprocess.run(
        [str(python), "-c", SCRIPT, hub, str(tmp_path / "cache")],
        env={**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    (made,) = import_from(store, tmp_path / "cache/models--org--tiny", "p/n")
    assert (made.metadata["huggingface"]["revision"], made.aliases) == (COMMIT, ("latest", "main"))
    store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == TREE
