"""A laptop that sleeps for an hour in the middle of a push or a pull: clocks jump, nothing else happened."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.clock import SystemClock
from artifactstore.testing import invariants
from tests.faults.process import Command
from tests.stores import make_store, noise, read_tree, reopened, write_tree

HOUR_S = 3600.0
TREE = {f"{number}": noise(60_000, number) for number in range(6)}


class JumpingClock:
    """The system's clock, which jumps at one of its readings.

    Args:
        at: At which reading, from 0.
        wall_s: By how much the wall clock jumps.
        monotonic_s: By how much the other one does, where the system lets it run on in its sleep.
    """

    def __init__(self, at: int, wall_s: float, monotonic_s: float) -> None:
        self._clock = SystemClock()
        self._at = at
        self._jumps = wall_s, monotonic_s
        self.readings = 0

    def _jump(self) -> tuple[float, float]:
        self.readings += 1
        return self._jumps if self.readings > self._at else (0.0, 0.0)

    def now_ns(self) -> int:
        return self._clock.now_ns() + int(self._jump()[0] * 1e9)

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s() + self._jump()[1]

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


def at_each_reading(act: Callable[[JumpingClock, int], object], *, jumps: tuple[float, float]) -> int:
    """Do something once for each reading of the clock in it, which jumps there; return how many there were."""
    at = 0
    while True:
        clock = JumpingClock(at, *jumps)
        act(clock, at)
        if clock.readings <= at:
            return at
        at += 1


@pytest.mark.parametrize(
    ("jumps", "limit"),
    [
        ((HOUR_S, 0.0), None),
        ((HOUR_S, HOUR_S), None),
        ((-HOUR_S, 0.0), None),
        ((HOUR_S, HOUR_S), 50_000_000),
    ],
    ids=["wall", "both", "wall-set-back", "both-limited"],
)
def test_the_clocks_jump_at_any_reading(
    tmp_path: Path, jumps: tuple[float, float], limit: int | None
) -> None:
    """Push and pull end as ever, whichever clock jumps and whenever."""
    with make_store(tmp_path, tmp_path / "store") as store:

        def act(clock: JumpingClock, at: int) -> None:
            source = write_tree(tmp_path / "in", TREE | {"own": noise(60_000, 1000 + at)})
            with Store.open(
                tmp_path / "store",
                key_file=tmp_path / "key",
                cache_dir=tmp_path / "cache",
                clock=clock,
                upload_bytes_per_s=limit,
                download_bytes_per_s=limit,
            ) as sleeper:
                assert sleeper.push([source], "p/n").number == at
                sleeper.pull("p/n", tmp_path / "out")
            assert read_tree(tmp_path / "out") == read_tree(source)
            shutil.rmtree(tmp_path / "out")

        assert at_each_reading(act, jumps=jumps) > 1
        invariants.assert_whole(store)
        invariants.assert_numbered(store)


def library() -> str:
    """The library that fakes the time of a process; skips where there is none."""
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed")
    found = subprocess.run(
        ["faketime", "-f", "+0s", "sh", "-c", "echo $LD_PRELOAD"], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def test_a_command_sleeps_for_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real commands, whose every clock jumps by an hour in the middle of their transfers."""
    preload = library()
    with make_store(tmp_path, tmp_path / "store") as store:
        source = write_tree(tmp_path / "in", TREE)
        jump = tmp_path / "jump"
        monkeypatch.setenv("ARTIFACTSTORE_KEY_FILE", str(tmp_path / "key"))
        monkeypatch.setenv("ARTIFACTSTORE_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setenv("LD_PRELOAD", preload)
        monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(jump))
        monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
        for words in (("push", str(source), "p/n"), ("pull", "p/n", str(tmp_path / "out"))):
            jump.write_text("+0s")
            limited = ("--limit-upload" if words[0] == "push" else "--limit-download", "2MB")
            with Command(*words, "--store", str(tmp_path / "store"), *limited) as command:
                command.wait_until_ready()
                command.start()
                wait_for_a_part(tmp_path, command)
                assert command.process.poll() is None
                written(tmp_path / "later", "+3600s").replace(jump)
                assert command.finish() == 0
        assert read_tree(tmp_path / "out") == TREE
        for name in ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE"):
            monkeypatch.delenv(name)
        with reopened(tmp_path, store) as again:
            assert again.version("p/n").number == 0
            invariants.assert_whole(again)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def wait_for_a_part(folder: Path, command: Command) -> None:
    """Return once a command has moved a part of its bytes, or has ended."""
    while command.process.poll() is None:
        if list((folder / "store" / "packs").rglob("*/*")) and not (folder / "out").exists():
            return
