"""The power is cut at any moment, and returns: what was acknowledged is there, and everything goes on.

The store, its key and its pin lie on a disk that forgets what was not synced, the client's index too or elsewhere.
Moments and what survives are chosen by seeds.
"""

import json
import os
import random
import select
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.forgetful import Disk, forgetful_disk, why_not
from tests.faults.stage import Outcome, Stage
from tests.stores import noise, read_tree, write_tree

ARTIFACT = "project/data"
ROUNDS = 8
ROUNDS_DEEP = 150
# A push of these sources makes about so many changes and syncs; beyond it the power is cut after the end.
PUSH_CHANGES = 70
INIT_CHANGES = 110
INITS = 6
FILE_BYTES = 9000
# Nothing survives, or what a seed chooses.
SURVIVORS = pytest.mark.parametrize("survivors", ["nothing", "some"])


class Machine:
    """A disk and a stage that works on it."""

    def __init__(self, disk: Disk, stage: Stage, folder: Path, *, survivors: str) -> None:
        self.disk = disk
        self.stage = stage
        self.folder = folder
        self._choice = random.Random(folder.name) if survivors == "some" else None

    def cut(self) -> None:
        """Cut the power, and let it return."""
        self.disk.cut(None if self._choice is None else self._choice.randrange(1 << 30))

    def run_until(self, change: int, *words: str, power: bool) -> Outcome:
        """Run a command, which is killed at one of its changes if it makes so many.

        Args:
            change: Which one.
            words: The command.
            power: Whether the power goes with it; otherwise the change still takes place, as that of a killed process.
        """
        self.disk.hold(change)
        process = self.stage.begin(*words)
        if self.disk.answers in select.select([self.disk.answers, self.stage.answers], [], [])[0]:
            self.disk.held()
            os.kill(process, signal.SIGKILL)
            if power:
                self.cut()
            else:
                self.disk.go_on()
            return self.stage.finish()
        outcome = self.stage.finish()
        self.disk.go_on()
        assert outcome.code == 0, outcome.said
        if power:
            self.cut()
        return outcome

    def succeed(self, *words: str) -> Outcome:
        """Run a command that must succeed."""
        outcome = self.stage.run(*words)
        assert outcome.code == 0, (words, outcome.said)
        return outcome

    def digests(self) -> list[str]:
        """What the store shows: the digests of the versions."""
        outcome = self.stage.run("ls", ARTIFACT, "--json")
        if outcome.code == 3:
            return []
        assert outcome.code == 0, outcome.said
        listed = json.loads(outcome.printed)["versions"]
        assert [version["number"] for version in listed] == list(range(len(listed)))
        return [str(version["digest"]) for version in listed]


@contextmanager
def machine(folder: Path, *, index_on_disk: bool, survivors: str) -> Iterator[Machine]:
    """A machine without a store."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with forgetful_disk(folder / "disk") as disk:
        environment = {
            "ARTIFACTSTORE_STORE": str(disk.path / "home" / "store"),
            "ARTIFACTSTORE_KEY_FILE": str(disk.path / "config" / "artifactstore" / "key"),
            "ARTIFACTSTORE_CACHE_DIR": str((disk.path if index_on_disk else folder) / "cache"),
        }
        with Stage(folder / "stage", environment) as stage:
            yield Machine(disk, stage, folder, survivors=survivors)


def source(folder: Path, number: int) -> Path:
    """A folder of which most is new in each version."""
    tree = {f"{name}": noise(FILE_BYTES, number * 10 + name) for name in range(5)}
    return write_tree(folder / f"source-{number}", tree | {"same": b"same", "number": b"%d" % number})


@SURVIVORS
@pytest.mark.parametrize("index_on_disk", [True, False], ids=["index-on-disk", "index-elsewhere"])
def test_what_was_acknowledged_survives(
    tmp_path: Path, index_on_disk: bool, survivors: str, deep: bool
) -> None:
    """Pushes cut at random moments, some killed before and repeated: what was acknowledged is there, the next works."""
    moments = random.Random(f"{index_on_disk} {survivors}")
    cuts = 0
    with machine(tmp_path, index_on_disk=index_on_disk, survivors=survivors) as here:
        here.succeed("init", str(here.disk.path / "home" / "store"))
        here.cut()
        known: list[str] = []
        for number in range(ROUNDS_DEEP if deep else ROUNDS):
            push = ("push", str(source(tmp_path, number)), ARTIFACT, "--json")
            moment = moments.randrange(PUSH_CHANGES)
            if moments.randrange(2):
                outcome = here.run_until(moment, *push, power=True)
            else:
                here.run_until(moment, *push, power=False)
                outcome = here.run_until(moments.randrange(PUSH_CHANGES), *push, power=True)
            cuts += 1
            if outcome.code == 0:
                known.append(json.loads(outcome.printed)["version"]["digest"])
            here.succeed("check", "--read-data")
            found = here.digests()
            assert found[: len(known)] == known, f"round {number}"
            assert len(found) <= len(known) + 1
            again = json.loads(here.succeed(*push).printed)["version"]
            assert again["number"] == number
            known = [*found[:number], again["digest"]]
            out = tmp_path / "out"
            here.succeed("pull", ARTIFACT, str(out))
            assert read_tree(out) == read_tree(tmp_path / f"source-{number}")
            shutil.rmtree(out)
        here.cut()
        here.succeed("check", "--read-data")
        assert here.digests() == known
    assert cuts


@SURVIVORS
def test_a_store_that_was_made_survives(tmp_path: Path, survivors: str, deep: bool) -> None:
    """An init that is killed at any moment and repeated: its store and its key are there after a cut, or neither is."""
    moments = (
        list(range(INIT_CHANGES)) if deep else random.Random(survivors).sample(range(INIT_CHANGES), INITS)
    )
    for moment in moments:
        folder = tmp_path / f"{moment}"
        folder.mkdir()
        with machine(folder, index_on_disk=True, survivors=survivors) as here:
            store = str(here.disk.path / "home" / "store")
            here.run_until(moment, "init", store, power=False)
            repeated = here.stage.run("init", store)
            assert repeated.code in {0, 4}, repeated.said
            here.cut()
            here.succeed("push", str(source(folder, 0)), ARTIFACT)
            here.succeed("check", "--read-data")
            pins = here.disk.path / "cache" / "pins"
            # Beside it may lie what a killed process was writing, under a name that nobody reads.
            assert [len(pin.read_text()) for pin in pins.glob("[!.]*")] == [64]


@SURVIVORS
def test_a_backup_survives(tmp_path: Path, survivors: str) -> None:
    """A copy of the key that was acknowledged is there after a cut, wherever it was put."""
    with machine(tmp_path, index_on_disk=True, survivors=survivors) as here:
        here.succeed("init", str(here.disk.path / "home" / "store"))
        backup = here.disk.path / "new" / "folder" / "backup"
        here.succeed("key", "backup", str(backup))
        here.cut()
        key = here.disk.path / "config" / "artifactstore" / "key"
        assert backup.read_bytes() == key.read_bytes()
        key.unlink()
        here.succeed("key", "restore", str(backup))
        here.cut()
        here.succeed("push", str(source(tmp_path, 0)), ARTIFACT)
