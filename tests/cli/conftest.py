"""Fixtures for the command line: some files to push, a way to run a command, and a Store in memory."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from artifactstore.backend.base import Backend
from artifactstore.backend.opening import open_backend
from artifactstore.cli.main import main
from tests import stores
from tests.cli import fake_store


class Finished(NamedTuple):
    """What one command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err.splitlines()[-1])["error"]


Run = Callable[..., Finished]


@pytest.fixture
def data(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `data` with two small files in the working folder, and a terminal of known width."""
    monkeypatch.setenv("COLUMNS", "100")
    folder = home / "data"
    folder.mkdir()
    (folder / "a.txt").write_text("alpha\n")
    (folder / "b.csv").write_text("1,2\n3,4\n")
    return folder


@pytest.fixture
def run(data: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run one command line in this process and collect what it prints."""

    def runner(*words: str, stdin: bytes | None = None) -> Finished:
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Finished(code, *capfd.readouterr())

    return runner


@pytest.fixture
def place(stores_in: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where no store is yet, in what a test is run on; commands without `--store` go there."""
    url = stores.new_url()
    monkeypatch.setenv("ARTIFACTSTORE_STORE", url)
    return url


@pytest.fixture
def ready(stores_in: str, run: Run, request: pytest.FixtureRequest) -> None:
    """On S3 a store; elsewhere the one that a first push makes by itself."""
    if stores_in == "s3":
        request.getfixturevalue("place")
        assert run("init").code == 0


@pytest.fixture
def objects(place: str) -> Backend:
    """What lies there."""
    return open_backend(place)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[fake_store.Store]]:
    """The fake Store in place of the real one."""
    from artifactstore.cli import session

    monkeypatch.setattr(session, "Store", fake_store.Store)
    fake_store.forget_everything()
    yield fake_store.Store
    fake_store.forget_everything()
