"""Every operation of an upload, and of a copy at either of its two stores, fails in its turn; nothing is half done."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from artifactstore import copy_versions
from artifactstore.catalog.pending import pending
from artifactstore.store.store import Store
from artifactstore.testing import invariants
from artifactstore.testing.model import ModelStore, Shown, shown_by
from artifactstore.testing.simulation import World
from tests.faults.enumeration import ARTIFACT, CONTENTS, FAULTS, Fault, Prepared, Scenario, named, survive_all

PIECE_BYTES = 700
# What the store that fails has already, and one that comes after it.
COPIED = ("first", "second")


class Uploading(Scenario):
    """Takes files that arrive in pieces, and registers their packs meanwhile; one that ended early leaves nothing."""

    name = "long"

    def act(self, store: Store, folder: Path) -> None:
        with store.upload(ARTIFACT, aliases=["new"]) as upload:
            for path, data in CONTENTS[self.name].items():
                upload.write(path, [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)])
        assert upload.version is not None
        assert upload.version.number == 1

    def expect(self, model: ModelStore) -> None:
        model.push(ARTIFACT, CONTENTS[self.name], aliases=["new"])

    def verify(self, world: World, store: Store) -> None:
        """What was registered by the one that failed is given up by its age; this one left nothing open."""
        store.refresh()
        with store.parts.environment.read() as txn:
            assert len({row.push for row in pending(txn)}) <= 1


class HangingUp(Uploading):
    """A client that hangs up before its last file: there is no version, and nothing stays registered."""

    def act(self, store: Store, folder: Path) -> None:
        with pytest.raises(ConnectionResetError), store.upload(ARTIFACT) as upload:
            for path, data in CONTENTS[self.name].items():
                upload.write(path, data)
            raise ConnectionResetError

    def expect(self, model: ModelStore) -> None:
        """Nothing comes of it."""


class Copying(Scenario):
    """What both ways of copying have in common: another store, made once."""

    def __init__(self, sources: Path) -> None:
        super().__init__(sources)
        self.other = World(sources / "other", seed=11)
        self.other.folder.mkdir()
        with closing(self.other.create()) as store:
            self.fill(store)

    def fill(self, store: Store) -> None:
        """What the other store holds."""
        for name in COPIED:
            store.push(
                [self.sources / name],
                ARTIFACT,
                aliases=[f"as-{name}"],
                tags=["copied"],
                metadata={"of": name},
            )


class CopyingIn(Copying):
    """Copies versions of another store to the one that fails; repeated it goes on where it ended."""

    def act(self, store: Store, folder: Path) -> None:
        with self.other.client() as other:
            done = copy_versions(other, store, ["*"])
        assert [step.target for step in done.steps] == [0, 1]

    def expect(self, model: ModelStore) -> None:
        for name in COPIED:
            model.push(
                ARTIFACT, CONTENTS[name], aliases=[f"as-{name}"], tags=["copied"], metadata={"of": name}
            )

    def demand(self, store: Store, allowed: Sequence[Shown]) -> None:
        """One version at a time is there, and what was there before stays."""
        invariants.assert_whole(store)
        before, after = allowed[0], allowed[-1]
        shown = shown_by(store)
        for name, versions in shown.items():
            wanted = [version.contents for version in after[name]]
            assert [version.contents for version in versions] == wanted[: len(versions)]
        assert len(shown[ARTIFACT]) >= len(before[ARTIFACT])


class CopyingOut(Copying):
    """Copies what the store that fails holds to another one, which gets it whole or not at all."""

    def fill(self, store: Store) -> None:
        """Nothing: each case begins with an empty one."""

    def prepare(self, world: World) -> None:
        with world.client() as store:
            store.push([self.sources / "second"], ARTIFACT, tags=["newer"])
        self.there = self.other.copy(world.folder / "there")

    def act(self, store: Store, folder: Path) -> None:
        with self.there.client() as there:
            copy_versions(store, there, [f"{ARTIFACT}:*"])
            assert len(there.versions(ARTIFACT)) == 2

    def expect(self, model: ModelStore) -> None:
        model.push(ARTIFACT, CONTENTS["second"], tags=["newer"])

    def demand(self, store: Store, allowed: Sequence[Shown]) -> None:
        with self.there.client() as there:
            invariants.assert_whole(there)
            shown, here = shown_by(there), shown_by(store)
            for one, other in zip(shown.get(ARTIFACT, []), here[ARTIFACT], strict=False):
                assert one.contents == other.contents

    def verify(self, world: World, store: Store) -> None:
        with self.there.client() as there:
            assert shown_by(there) == shown_by(store)
            invariants.assert_whole(there)
        self.there.end()


# The same records and packs as every push: what is tried always is how each way of failing is met in each way to push.
ALWAYS = [
    (Uploading, FAULTS[0]),
    (Uploading, FAULTS[2]),
    (HangingUp, FAULTS[1]),
    (CopyingIn, FAULTS[1]),
    (CopyingOut, FAULTS[0]),
]
CASES = [
    pytest.param(kind, fault, marks=[] if (kind, fault) in ALWAYS else pytest.mark.deep)
    for kind in (Uploading, HangingUp, CopyingIn, CopyingOut)
    for fault in (one if isinstance(one, Fault) else one.values[0] for one in FAULTS)
]


@pytest.mark.parametrize(
    ("kind", "fault"), CASES, ids=lambda one: named(one) if isinstance(one, Fault) else one.__name__
)
def test_no_failure_loses_anything(
    prepared: Prepared, kind: type[Scenario], fault: Fault, sources: Path, tmp_path: Path
) -> None:
    """Whichever operation fails: check is clean, nothing is half done, a repetition succeeds."""
    survive_all(prepared, kind(sources), fault, tmp_path)
