"""Each system call that writes fails, or is the last one before a kill; the store is a folder, and nothing is lost.

`strace` fails the calls of real commands: ENOSPC, EIO, EDQUOT, EACCES at each of them, and SIGKILL at each. A fixed
sample is drawn from all of these in CI; `--deep` runs them all.
"""

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from traceback import format_exc
from typing import Any, NamedTuple

import pytest

from artifactstore.errors import (
    ArtifactStoreError,
    BackendError,
    KeyDamaged,
    KeyMissing,
    NoSuchStore,
    PermissionRefused,
    StorageFull,
)
from artifactstore.keyring.keyfile import load_key_file, pair_of
from artifactstore.keyring.request import KeyRequest, request_line
from artifactstore.store.store import Store
from artifactstore.testing import invariants
from tests.faults.stage import KILLED, Fault, Outcome, Stage, why_not
from tests.stores import noise, read_tree, write_tree

ARTIFACT = "project/data"
ANA = pair_of(bytes(range(32)))
LINE = request_line(KeyRequest("ana", ANA.public))
SAMPLE_PER_SCENARIO = 12
FIRST = {f"{number}": noise(9000, number) for number in range(6)} | {
    "folder/small": b"small",
    "folder/link": "small",
    "empty": None,
}
SECOND = FIRST | {f"{number}": noise(9000, 100 + number) for number in range(5)}
# What an error of the system must be called.
NAMES = {
    "ENOSPC": StorageFull,
    "EDQUOT": StorageFull,
    "EACCES": PermissionRefused,
    "EIO": BackendError,
}
KILL = "KILL"
FAILURES_SHOWN = 20


class Place:
    """Everything outside the program: a store, its key, two caches, sources and destinations."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = folder / "world"
        self.store = self.world / "store"
        self.key = self.world / "key"
        self.cache = self.world / "cache"
        self.out = self.world / "out"
        self.first = write_tree(folder / "first", FIRST)
        self.second = write_tree(folder / "second", SECOND)

    @property
    def environment(self) -> dict[str, str]:
        """What tells commands where things are."""
        return {
            "ARTIFACTSTORE_STORE": str(self.store),
            "ARTIFACTSTORE_KEY_FILE": str(self.key),
            "ARTIFACTSTORE_CACHE_DIR": str(self.cache),
        }

    def open(self, cache: str = "cache") -> Store:
        """The store, as the client with that cache."""
        return Store.open(self.store, key_file=self.key, cache_dir=self.world / cache)

    def shown(self) -> Any:
        """What the store shows its user; None where there is no store, or no key to it."""
        try:
            store = self.open()
        except (NoSuchStore, KeyMissing, KeyDamaged):
            return None
        with store:
            invariants.assert_whole(store)
            return {
                str(artifact.artifact): [
                    (version.number, version.digest, version.aliases)
                    for version in store.versions(str(artifact.artifact))
                ]
                for project in store.projects()
                for artifact in store.artifacts(project.name)
            }


class Scenario(NamedTuple):
    """One command, and what is there when it begins.

    Attributes:
        name: What it is called.
        words: The command; a repetition of it must be harmless.
        prepare: Changes the place, in which two versions lie, before the command runs.
        verify: Raises unless what the command promises is there, once it has succeeded.
        repeated_codes: How a repetition may end after the command has had its effect.
        partial_codes: How it may end where it did its work, and told of something that is left to do.
        always: Faults that are tried whatever the sample.
    """

    name: str
    words: Callable[[Place], tuple[str, ...]]
    prepare: Callable[[Place], object] = lambda place: None
    verify: Callable[[Place], object] = lambda place: None
    repeated_codes: tuple[int, ...] = (0,)
    partial_codes: tuple[int, ...] = ()
    always: tuple[Fault, ...] = ()


def forget_everything(place: Place) -> None:
    for each in (place.store, place.cache):
        shutil.rmtree(each)
    place.key.unlink()


def forget_the_cache(place: Place) -> None:
    shutil.rmtree(place.cache)


def put_something_there(place: Place) -> None:
    write_tree(place.out, {"0": b"old", "1": FIRST["1"], "folder/small": b"old"})


def lose_the_key(place: Place) -> None:
    (place.world / "backup").write_bytes(place.key.read_bytes())
    place.key.write_bytes(place.key.read_bytes()[:50])


def has_pulled(place: Place) -> None:
    assert read_tree(place.out) == FIRST
    assert [path.name for path in place.world.glob("*.partial")] == []


def has_backup(place: Place) -> None:
    assert (place.world / "backup").read_bytes() == place.key.read_bytes()
    assert place.key.stat().st_mode & 0o777 == 0o600


def has_a_key_of_its_own(place: Place) -> None:
    assert load_key_file(place.world / "ben")
    assert (place.world / "ben").stat().st_mode & 0o777 == 0o600


def has_a_member(place: Place) -> None:
    with place.open() as store:
        assert [slot.name for slot in store.members.slots()] == ["", "ana"]


def add_a_member(place: Place) -> None:
    with place.open() as store:
        store.members.add(LINE)


def has_no_member(place: Place) -> None:
    with place.open() as store:
        assert ([slot.name for slot in store.members.slots()], store.members.generation >= 1) == ([""], True)


def has_recovery(place: Place) -> None:
    with place.open() as store:
        assert {slot.kind for slot in store.members.slots()} == {"key-file", "recovery"}


def has_no_index(place: Place) -> None:
    assert [each.name for each in place.cache.glob("**/data.mdb")] == []


def delete_the_first(place: Place) -> None:
    with place.open() as store:
        store.delete([f"{ARTIFACT}:v0"], now=True)


def has_no_garbage(place: Place) -> None:
    with place.open() as store:
        plan = store.plan_gc().plan
        assert (plan.purge, plan.condemn, plan.left) == ((), (), ())


def has_new_keys(place: Place) -> None:
    with place.open() as store:
        assert store.members.generation >= 1


SCENARIOS = [
    Scenario("init", lambda place: ("init", str(place.store)), forget_everything, repeated_codes=(0, 4)),
    Scenario(
        "push",
        lambda place: ("push", str(place.second), ARTIFACT, "-a", "new"),
        # The last of a commit that the push can do without, after which LMDB gives itself up.
        always=(Fault("pwrite64", 1, "ENOSPC"),),
    ),
    Scenario(
        "first-push", lambda place: ("push", str(place.second), ARTIFACT, "-a", "new"), forget_the_cache
    ),
    Scenario("equal-push", lambda place: ("push", str(place.first), ARTIFACT, "-a", "same")),
    Scenario("alias", lambda place: ("alias", ARTIFACT, "good")),
    Scenario("pull", lambda place: ("pull", ARTIFACT, str(place.out), "--overwrite"), verify=has_pulled),
    Scenario(
        "pull-over",
        lambda place: ("pull", ARTIFACT, str(place.out), "--overwrite"),
        put_something_there,
        has_pulled,
    ),
    Scenario(
        "first-pull",
        lambda place: ("pull", ARTIFACT, str(place.out), "--overwrite"),
        forget_the_cache,
        has_pulled,
    ),
    Scenario("rebuild", lambda place: ("index", "rebuild")),
    Scenario("key-backup", lambda place: ("key", "backup", str(place.world / "backup")), verify=has_backup),
    Scenario(
        "key-restore",
        lambda place: ("key", "restore", str(place.world / "backup")),
        lose_the_key,
        has_backup,
    ),
    Scenario(
        "key-request",
        lambda place: ("key", "request", "--name", "ben", "--key-file", str(place.world / "ben")),
        verify=has_a_key_of_its_own,
    ),
    # Who is a member already is not added again.
    Scenario("key-add", lambda place: ("key", "add", LINE), verify=has_a_member, repeated_codes=(0, 4)),
    # One whose phrase was never printed stays, and another is added.
    Scenario("key-recovery", lambda place: ("key", "add", "--recovery"), verify=has_recovery),
    Scenario(
        "key-remove",
        lambda place: ("key", "remove", ANA.slot_id.hex(), "--yes"),
        add_a_member,
        has_no_member,
        repeated_codes=(0, 2),
    ),
    Scenario("cache-clean", lambda place: ("cache", "clean"), verify=has_no_index),
    Scenario("delete", lambda place: ("delete", f"{ARTIFACT}:v0", "--yes"), repeated_codes=(0, 3)),
    # What could not be deleted is told, and deleted by the repetition.
    Scenario("gc", lambda place: ("gc", "--yes"), delete_the_first, has_no_garbage, partial_codes=(1,)),
    Scenario("key-rotate", lambda place: ("key", "rotate"), verify=has_new_keys),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Place]]:
    """A stage, and a place that is as `template` at the begin of each case."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("traced")
    place = Place(folder)
    place.world.mkdir()
    with Stage(folder / "stage", place.environment) as made:
        for words in (("init", str(place.store)), ("push", str(place.first), "project/other")):
            assert made.run(*words).code == 0
        assert made.run("push", str(place.first / "0"), ARTIFACT).code == 0
        assert made.run("push", str(place.first), ARTIFACT).code == 0
        shutil.copytree(place.world, folder / "template")
        yield made, place


def begin(place: Place, scenario: Scenario) -> None:
    """Put everything back to where the scenario begins."""
    shutil.rmtree(place.world)
    shutil.copytree(place.folder / "template", place.world)
    scenario.prepare(place)


def cases(calls: list[tuple[str, int]], name: str, *, deep: bool) -> list[Fault]:
    """What is injected: all of it, or a fixed sample."""
    every = [Fault(call, when, error) for call, when in calls for error in (*NAMES, KILL)]
    return every if deep else random.Random(name).sample(every, min(SAMPLE_PER_SCENARIO, len(every)))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_no_system_call_loses_anything(
    stage: tuple[Stage, Place], scenario: Scenario, deep: bool, record_property: Callable[[str, object], None]
) -> None:
    """Whichever call fails or is the last: check is clean, what was acknowledged is there, a repetition succeeds."""
    runner, place = stage
    begin(place, scenario)
    before = place.shown()
    begin(place, scenario)
    words = (*scenario.words(place), "--json")
    clean = runner.trace(*words)
    assert clean.code == 0, clean.said
    scenario.verify(place)
    after = place.shown()
    done, failed = Counter[str](), []
    for fault in (*scenario.always, *cases(clean.calls, scenario.name, deep=deep)):
        begin(place, scenario)
        outcome = runner.trace(*words, fault=fault)
        try:
            survive(runner, place, scenario, fault, outcome, before, after)
        except (AssertionError, ArtifactStoreError):
            failed.append(
                f"{fault}: {outcome.hit}\nended {outcome.code}: {outcome.said}{format_exc(limit=-2)}"
            )
        done["kills" if outcome.code == KILLED else "failures" if outcome.hit else "missed"] += 1
    assert not failed, f"{len(failed)} of {done.total()} cases:\n" + "\n".join(failed[:FAILURES_SHOWN])
    assert done["kills"]
    assert done["failures"]
    for what, count in done.items():
        record_property(what, count)


def survive(
    runner: Stage, place: Place, scenario: Scenario, fault: Fault, outcome: Outcome, before: Any, after: Any
) -> None:
    """What must hold after a fault, and after the repetition of what it hit."""
    if outcome.code == 0:
        scenario.verify(place)
    elif fault.error == KILL:
        assert outcome.code == KILLED
    elif outcome.code in scenario.partial_codes:
        assert '"left_total":0' not in outcome.printed.replace(" ", "")
    else:
        expected = NAMES[fault.error]
        assert (outcome.kind, outcome.code) == (expected.kind, expected.exit_code)
    # What could not be deleted, or must say that it is not durable, goes after a day.
    undurable = fault.call.startswith(("unlink", "fsync")) or "O_DIRECTORY" in outcome.hit
    if outcome.code != KILLED and not undurable:
        assert list(place.world.rglob("tmp/*")) == []
        assert list(place.world.glob(".*.tmp")) == []
    allowed = [after] if outcome.code == 0 else [before, after]
    assert place.shown() in allowed
    again = runner.run(*scenario.words(place), "--json")
    assert again.code in scenario.repeated_codes, again.said
    scenario.verify(place)
    assert place.shown() == after
    with place.open() as store, place.open("witness") as witness:
        invariants.assert_packs_precede_records(store._parts)
        witness.projects()
        invariants.assert_same_index(store._parts, witness._parts)
