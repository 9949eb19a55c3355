"""The programs of `docs/distributed.md` as they stand there, with 8 workers, of which one is killed and done again."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.testing.invariants import assert_whole
from tests.stores import noise, read_tree, write_tree

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "distributed.md").read_text(encoding="utf-8")
WORKERS, VICTIM = 8, 3
# Killed while it reads the last of its files, once; whoever does the part again finds the mark.
KILLING = f"""
import io, os, signal
from pathlib import Path

MARK = Path(__file__).with_name("killed")

class Last(io.RawIOBase):
    def readable(self):
        return True

    def readinto(self, buffer):
        MARK.touch()
        os.kill(os.getpid(), signal.SIGKILL)

def pushed_or_killed(store, token, part, folder):
    streams = dict(zz=Last()) if part == {VICTIM} and not MARK.exists() else None
    return store.part(token, part).push([folder], streams=streams)
"""
PUSHING = "store.part(token, part).push([folder])"


def program(name: str) -> str:
    """One program of the page."""
    (found,) = re.findall(rf"^```\w+\n(# {re.escape(name)}.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """What each worker has to push."""
    return [
        str(
            write_tree(
                tmp_path / f"in{part}",
                {f"p{part}/f{number}": noise(20_000, 10 * part + number) for number in range(5)},
            )
        )
        for part in range(WORKERS)
    ]


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """In a folder, with key and cache where a user's are."""
    with Store.create(home / "store") as made:
        yield made


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    # Dask keeps its locks in the system's temporary folder for ever, unless told otherwise.
    scratch = {"DASK_TEMPORARY_DIRECTORY": str(Path(words[1]).parent / "dask")}
    return subprocess.run(
        words, capture_output=True, text=True, timeout=120, check=False, env=os.environ | scratch
    )


def assert_made(tmp_path: Path, store: Store) -> None:
    """The version is that of one push of all files, and nothing is left over or lost."""
    store.pull("team/all", tmp_path / "out")
    whole: dict[str, bytes | str | None] = {}
    for part in range(WORKERS):
        whole |= read_tree(tmp_path / f"in{part}")
    assert read_tree(tmp_path / "out") == whole
    assert store.push([tmp_path / "out"], "team/once").digest == store.version("team/all").digest
    assert store.distributed_pushes() == []
    assert_whole(store)
    assert (tmp_path / "killed").exists()


@pytest.mark.parametrize(
    "name",
    [
        "pool.py",
        pytest.param(
            "cluster.py",
            marks=pytest.mark.skipif(
                find_spec("distributed") is None, reason="Dask is not installed: artifactstore[dask]"
            ),
        ),
    ],
)
def test_a_pool_of_processes(tmp_path: Path, store: Store, folders: list[str], name: str) -> None:
    """Spawned workers of the standard library and of Dask, in processes of their own."""
    text = program(name)
    assert text.count(PUSHING) == 1
    (tmp_path / "killing.py").write_text(KILLING)
    (tmp_path / name).write_text(
        "from killing import pushed_or_killed\n"
        + text.replace(PUSHING, "pushed_or_killed(store, token, part, folder)")
    )
    done = run(sys.executable, tmp_path / name, store.url, "team/all", *folders)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "team/all:v0"
    assert_made(tmp_path, store)


def test_plain_shell_commands(
    tmp_path: Path, store: Store, folders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a command was killed the script ends before the commit; that part is pushed again, then it commits."""
    real = f"{sys.executable} -m artifactstore"
    killed = tmp_path / "killed"
    write_tree(
        tmp_path / "bin",
        {
            "artifactstore": (
                f"#!/bin/sh\ncase \"$*\" in *' {VICTIM}/{WORKERS} '*) [ -e '{killed}' ] || "
                f'{{ touch \'{killed}\'; exec timeout -s KILL 0.05 {real} "$@"; }};; esac\nexec {real} "$@"\n'
            ).encode()
        },
    )
    (tmp_path / "bin/artifactstore").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "shell.sh").write_text(program("shell.sh"))
    done = run("sh", tmp_path / "shell.sh", store.url, "team/all", *folders)
    assert done.returncode == 137, done
    (left,) = store.distributed_pushes()
    assert left.missing == (VICTIM,)
    common = ["--store", store.url]
    again = run(
        "artifactstore",
        "push",
        folders[VICTIM],
        "--into",
        left.token,
        "--part",
        f"{VICTIM}/{WORKERS}",
        *common,
    )
    assert again.returncode == 0, again
    committed = run("artifactstore", "distributed", "commit", left.token, *common)
    assert "team/all:v0 is new: 40 files" in committed.stdout, committed
    assert_made(tmp_path, store)
