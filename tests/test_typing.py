"""The package type-checks in a user's program under mypy's strict mode, as it is installed: `py.typed` is kept."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = '''
"""What a user writes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from artifactstore import (
    ArtifactStoreError,
    Counters,
    Entry,
    Observer,
    OperationDone,
    Progress,
    PullSummary,
    RequestDone,
    RetentionPolicy,
    Store,
    StorePool,
    Tenant,
    Version,
    Workers,
    audit,
)
from artifactstore.errors import NoSuchVersion


class Watching:
    def operation_started(self, store: str, operation: str) -> None:
        print(store, operation)

    def operation_done(self, done: OperationDone) -> None:
        print(done.seconds + 1.0, done.error or "fine")

    def request_done(self, done: RequestDone) -> None:
        print(done.sent_bytes + done.received_bytes)


class Bar:
    def start(self, label: str, *, bytes_total: int | None = None, files_total: int | None = None) -> None: ...
    def total(self, *, bytes_total: int | None = None, files_total: int | None = None) -> None: ...
    def advance(self, *, bytes: int = 0, files: int = 0, new_bytes: int = 0) -> None: ...
    def notice(self, text: str) -> None: ...
    def finish(self) -> None: ...


def use(url: str) -> dict[str, float]:
    counters = Counters()
    watching: Observer = Watching()
    bar: Progress = Bar()
    with Store.open(url, key_file=Path("key"), observer=watching, make_executors=Workers(operations=2)) as store:
        version: Version = store.push(["data"], "p/n", aliases=["a"], metadata={"rows": 1}, progress=bar)
        entries: Iterator[Entry] = version.files("*.csv")
        sizes: list[int] = [entry.size_bytes for entry in entries]
        done: PullSummary = store.pull("p/n:a", Path("out"))
        pieces: Iterator[bytes] = version.stream("x", 0, 10)
        with version.open("x") as file:
            head: bytes = file.read(4)
        store.set_retention("p/n", RetentionPolicy(last=3))
        try:
            store.version("p/n:v9")
        except NoSuchVersion as error:
            print(error.kind, error.next_step, error.facts["reference"])
        print(sum(sizes), done.files, list(pieces), head, audit(url).ok)
    return counters.snapshot()


async def chunks() -> AsyncIterator[bytes]:
    yield b"1"


async def serve(pool: StorePool) -> str:
    async with pool.lease("ada") as store:
        async with store.upload("p/n", stall_s=30) as upload:
            count: int = await upload.write_async("x", chunks())
        if upload.version is None:
            raise ArtifactStoreError("never", next_step="")
        version = await asyncio.to_thread(store.version, "p/n")
        return f"{version.qualified_name} {count}"


pool = StorePool(lambda name: Tenant(f"stores/{name}"), stores_max=8)
reveal_type(use("x"))
reveal_type(asyncio.run(serve(pool)))
'''
WRONG = """
from artifactstore import Store

with Store.open("x") as store:
    store.push(["data"], "p/n", alias="a")
    number: str = store.version("p/n").number
"""


def checked(folder: Path, program: str) -> str:
    """What mypy says of a program, in a folder where nothing configures it."""
    (folder / "program.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=../cache", "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("user") / "program"
    made.mkdir()
    return made


def test_a_users_program_passes_strict_mypy(folder: Path) -> None:
    """Every type that it names is the one that the package gives."""
    said = checked(folder, PROGRAM)
    assert "Success: no issues found" in said, said
    assert 'Revealed type is "dict[' in said or 'Revealed type is "builtins.dict[' in said
    assert "Any" not in said


def test_a_users_mistakes_are_found(folder: Path) -> None:
    """So the types are seen at all."""
    said = checked(folder, WRONG)
    assert 'Unexpected keyword argument "alias" for "push"' in said
    assert 'expression has type "int", variable has type "str"' in said
