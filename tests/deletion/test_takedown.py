"""Taking a file down: out of every version as of the record's slot, and refused from then on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from artifactstore import Store
from artifactstore.backend.base import Backend
from artifactstore.catalog.pending import pending
from artifactstore.catalog.rows import get_version
from artifactstore.errors import (
    Damaged,
    Deleted,
    Denied,
    InvalidMetadata,
    NoSuchEntry,
    PermissionRefused,
)
from artifactstore.ids import parse_artifact_name
from artifactstore.index.tables import known_chunks
from artifactstore.maintenance import takedown as taking
from artifactstore.progress import Quiet
from artifactstore.testing.simulation import World
from tests.faults.interrupted import Interrupted
from tests.stores import make_store, noise, read_tree, reopened, state_of, write_tree

pytestmark = pytest.mark.places("memory", "folder", "s3")

BAD = b"name,mail\nada,a@b.c\n" * 20
DIGEST = blake3(BAD).hexdigest()
LARGE = noise(3_000_000, 3)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The file is in `p/n` v0, v1 (deleted) and v3, of which `latest` is on v3, and alone in `q/only`."""
    with make_store(tmp_path) as store:
        for number in range(4):
            tree = {"keep": b"%d" % number} | ({"bad": BAD} if number != 2 else {})
            store.push([write_tree(tmp_path / f"n{number}", tree)], "p/n", aliases=[f"a{number}"], tags=["t"])
        store.push([write_tree(tmp_path / "only", {"renamed": BAD})], "q/only", aliases=["prod"])
        store.delete(["p/n:v1"], force=True)
        yield store


def shown(store: Store, artifact: str = "p/n") -> dict[int, tuple[list[str], tuple[str, ...]]]:
    """Number to paths and aliases."""
    return {
        one.number: ([entry.path for entry in one.files()], one.aliases) for one in store.versions(artifact)
    }


def is_given_up(store: Store, artifact: str, number: int) -> bool:
    """Whether the next sweep purges a version."""
    with store._parts.environment.read() as txn:
        row = get_version(txn, parse_artifact_name(artifact), number)
    return row is not None and row.deleted is not None and row.deleted.now


def test_versions_are_deleted(tmp_path: Path, store: Store) -> None:
    """All that hold it, deleted ones too, in one record; the others are as they were."""
    before = state_of(store)
    plan = store.plan_takedown([tmp_path / "n0" / "bad"])
    assert state_of(store) == before
    assert [one.qualified_name for one in plan.delete] == ["p/n:v0", "p/n:v3", "q/only:v0"]
    assert [one.qualified_name for one in plan.hasten] == ["p/n:v1"]
    assert (plan.aliases, plan.replace, plan.denied) == (("p/n:a0", "p/n:a3", "q/only:prod"), (), False)
    done = store.takedown([tmp_path / "n0" / "bad"], reason="a request", requested_by="ada")
    assert done.deleted == ("p/n:v0", "p/n:v3", "q/only:v0")
    assert (done.replaced, done.hastened, len(done.slots)) == ((), ("p/n:v1",), 1)
    assert shown(store) == {2: (["keep"], ("a2", "latest"))}
    assert all(is_given_up(store, "p/n", number) for number in (0, 1, 3))
    with pytest.raises(Deleted):
        store.pull("q/only:v0", tmp_path / "out")
    (listed,) = store.denied_files()
    assert (listed.slot, listed.reason, listed.requested_by) == (done.slots[0], "a request", "ada")
    assert DIGEST not in repr(listed)
    assert store.check(read_data=True).ok


def test_versions_are_replaced(tmp_path: Path, store: Store) -> None:
    """A successor has the aliases, tags and place of the one before; one that held nothing else has none."""
    plan = store.plan_takedown([DIGEST], rewrite=True)
    assert [one.qualified_name for one in plan.replace] == ["p/n:v0", "p/n:v3"]
    assert ([one.qualified_name for one in plan.delete], plan.aliases) == (["q/only:v0"], ("q/only:prod",))
    done = store.takedown([DIGEST], rewrite=True)
    assert done.replaced == (("p/n:v0", "p/n:v4"), ("p/n:v3", "p/n:v5"))
    assert (done.deleted, done.hastened, len(done.slots)) == (("q/only:v0",), ("p/n:v1",), 1)
    assert shown(store) == {
        2: (["keep"], ("a2",)),
        4: (["keep"], ("a0",)),
        5: (["keep"], ("a3", "latest")),
    }
    assert [one.stands_for for one in store.versions("p/n")] == [None, 0, 3]
    assert store.version("p/n:v5").tags == ("t",)
    store.pull("p/n:a0", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"keep": b"0"}
    assert store.check(read_data=True).ok
    with store._parts.environment.read() as txn:
        assert list(pending(txn)) == []


def test_a_successor_of_an_older_version_is_not_the_newest(tmp_path: Path, store: Store) -> None:
    """`latest`, and what a push is compared with, go by the place; deleting the newest moves `latest` back in order."""
    store.push([write_tree(tmp_path / "good", {"keep": b"good"})], "p/n")
    store.takedown([DIGEST], rewrite=True)
    assert store.version("p/n").number == 4
    again = store.push([tmp_path / "good"], "p/n")
    assert (again.number, again.push is not None and again.push.created) == (4, False)
    store.delete(["p/n:v4"])
    assert store.version("p/n").stands_for == 3
    store.delete([store.version("p/n").qualified_name], force=True)
    assert store.version("p/n").number == 2
    store.undelete(["p/n:v4"])
    assert store.version("p/n").number == 4


def test_a_successor_can_be_replaced_in_turn(store: Store) -> None:
    """It stands where the first one stood."""
    store.takedown([DIGEST], rewrite=True)
    keep = blake3(b"3").hexdigest()
    done = store.takedown([keep], rewrite=True)
    assert done.deleted == ("p/n:v5",)
    assert store.version("p/n").number == 2


@pytest.mark.parametrize("how", ["same", "renamed", "large", "unchanged"])
def test_a_push_is_refused(tmp_path: Path, store: Store, how: str) -> None:
    """Whatever the file is called, small or large, read or known from the stat cache; nothing is committed."""
    content = LARGE if how == "large" else BAD
    tree = write_tree(tmp_path / "again", {"x" if how != "same" else "bad": content, "other": b"fine"})
    if how == "unchanged":
        store.push([tree], "p/before")
    store.takedown([blake3(content).hexdigest()])
    before = state_of(store)
    with pytest.raises(Denied) as caught:
        store.push([tree], "p/again")
    assert caught.value.facts["path"] == ("bad" if how == "same" else "x")
    assert state_of(store) == before
    assert store.push([write_tree(tmp_path / "fine", {"other": b"fine"})], "p/again").number == 0


def test_undeleting_is_refused(store: Store) -> None:
    """What it holds is looked at again; what holds nothing of it comes back."""
    store.delete(["p/n:v2"], force=True)
    store.takedown([DIGEST])
    for ref in ("p/n:v1", "p/n:*"):
        with pytest.raises(Denied, match=r"p/n:v\d holds 'bad'"):
            store.undelete([ref])
    assert [one.number for one in store.undelete(["p/n:v2"])] == [2]


def test_it_can_be_allowed_again(tmp_path: Path, store: Store) -> None:
    """By the file, its digest, or what the list calls it; what was taken down stays down."""
    store.takedown([DIGEST])
    store.takedown([tmp_path / "n0" / "keep"])
    listed = store.denied_files()
    with pytest.raises(NoSuchEntry):
        store.allow([blake3(b"unknown").hexdigest()])
    assert store.allow([DIGEST]) == listed[:1]
    assert store.allow([listed[1].id]) == listed[1:]
    assert store.denied_files() == []
    assert store.push([tmp_path / "n0"], "p/again").number == 0
    assert set(shown(store)) == {2}


def test_twice_does_nothing(store: Store) -> None:
    """The second time there is nothing left to do, and no record."""
    store.takedown([DIGEST])
    assert store.plan_takedown([DIGEST]).denied
    before = state_of(store)
    assert store.takedown([DIGEST]).slots == ()
    assert state_of(store) == before


def test_a_file_that_is_nowhere_is_denied_all_the_same(store: Store) -> None:
    """Somebody may still have it."""
    done = store.takedown([blake3(b"elsewhere").hexdigest()])
    assert (done.deleted, len(done.slots), len(store.denied_files())) == ((), 1, 1)


def test_parts_of_it_elsewhere_are_told_and_left(tmp_path: Path, store: Store) -> None:
    """A file that shares chunks is another file."""
    store.push([write_tree(tmp_path / "l", {"large": LARGE})], "p/large")
    store.push([write_tree(tmp_path / "e", {"edited": LARGE[:1_500_000] + b"x"})], "p/edited")
    plan = store.plan_takedown([tmp_path / "l" / "large"])
    assert [(place.path, place.whole) for place in plan.files[0].places] == [
        ("large", True),
        ("edited", False),
    ]
    assert [one.artifact for one in plan.delete] == ["p/large"]
    store.takedown([tmp_path / "l" / "large"])
    assert store.version("p/edited").number == 0


@pytest.mark.parametrize("rewrite", [False, True])
def test_the_next_sweep_takes_it_away(tmp_path: Path, store: Store, rewrite: bool) -> None:
    """No grace: its chunks lie nowhere after it, what is left restores, and who comes then is refused all the same."""
    store.push([write_tree(tmp_path / "large", {"large": LARGE, "keep": b"large"})], "q/large")
    paths = [tmp_path / "n0" / "bad", tmp_path / "large" / "large"]
    wanted = store._known(paths, None, Quiet())
    cids = [cid for one in wanted if one.fingerprint is not None for cid in one.fingerprint.chunks]
    assert all(known_chunks(store._parts.environment, cids))
    done = store.takedown(paths, rewrite=rewrite)
    gone = {*done.deleted, *done.hastened, *(old for old, _ in done.replaced)}
    assert set(store.gc().purged) == gone
    assert not any(known_chunks(store._parts.environment, cids))
    assert store.check(read_data=True).ok
    with reopened(tmp_path, store, cache="another") as other:
        assert [file.places for file in other.find(paths).files] == [(), ()]
        with pytest.raises(Denied):
            other.push([tmp_path / "large"], "q/again")
        assert other.denied_files() == store.denied_files()
        assert set(shown(other)) == ({2, 4, 5} if rewrite else {2})
    if rewrite:
        store.pull("q/large", tmp_path / "out")
        assert read_tree(tmp_path / "out") == {"keep": b"large"}


def test_very_many_versions_take_several_records(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first denies, so that none comes after it; in the end none is left, and the last ends what is pending."""
    monkeypatch.setattr(taking, "VERSIONS_PER_RECORD_MAX", 1)
    done = store.takedown([DIGEST], rewrite=True)
    assert len(done.slots) == 5
    assert (len(done.replaced), len(done.deleted), len(done.hastened)) == (2, 1, 1)
    with store._parts.environment.read() as txn:
        assert list(pending(txn)) == []
    assert store.takedown([DIGEST]).slots == ()


def test_what_is_refused_before_anything_is_done(tmp_path: Path, store: Store) -> None:
    """A reason that is too long; a member who may only read."""
    with pytest.raises(InvalidMetadata):
        store.takedown([DIGEST], reason="x" * 5000)
    assert len(shown(store)) == 3


def test_a_version_that_cannot_be_searched_is_in_the_way(store: Store) -> None:
    """Nobody can say that it does not hold the file; given up for the next sweep, it is in nobody's way."""
    with store._parts.environment.read() as txn:
        row = get_version(txn, parse_artifact_name("p/n"), 2)
        assert row is not None
        (at,) = store._parts.locator.locations([row.manifest.cid])[0]
        pack = store._parts.packs.get(txn, at.pack)
    assert pack is not None
    store._parts.backend.delete(f"packs/{pack.added.name.hex()[:2]}/{pack.added.name.hex()}")
    with pytest.raises(Damaged, match="p/n:v2 can't be searched"):
        store.takedown([DIGEST])
    store.delete(["p/n:v2"], force=True, now=True)
    assert len(store.takedown([DIGEST]).deleted) == 3


class Two:
    """Two clients of one store, and what happens around the next record of the first."""

    def __init__(self, folder: Path) -> None:
        (folder / "world").mkdir()
        self.world = World(folder / "world")
        self.world.create("second").close()
        self.second = self.world.open("second")
        self.first = self.world.open("first", wrap=self._wrap)

    def _wrap(self, inner: Backend) -> Backend:
        self.backend = Interrupted(inner)
        return self.backend


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    two = Two(tmp_path)
    with two.first, two.second:
        yield two


@pytest.mark.parametrize("rewrite", [False, True])
def test_a_version_committed_meanwhile_is_caught(tmp_path: Path, two: Two, rewrite: bool) -> None:
    """Another client pushes the file in the moment before the record: it is evaluated anew for the slot it gets."""
    two.first.push([write_tree(tmp_path / "a", {"bad": BAD, "keep": b"1"})], "p/n")
    theirs = write_tree(tmp_path / "b", {"mine": BAD, "keep": b"2"})
    two.backend.arm(lambda: two.second.push([theirs], "q/late") and None, effect=False)
    done = two.first.takedown([DIGEST], rewrite=rewrite)
    assert not two.backend.disarm()
    expected = {"p/n:v0", "q/late:v0"}
    assert {old for old, _ in done.replaced} | set(done.deleted) == expected
    for client in (two.first, two.second):
        assert client.find([DIGEST]).files[0].places[0].versions == ()


def test_an_undeletion_meanwhile_is_caught(tmp_path: Path, two: Two) -> None:
    """The version that comes back in the last moment is deleted all the same."""
    two.first.push([write_tree(tmp_path / "a", {"bad": BAD})], "p/n")
    two.first.delete(["p/n:v0"])
    two.backend.arm(lambda: two.second.undelete(["p/n:v0"]) and None, effect=False)
    assert two.first.takedown([DIGEST]).deleted == ("p/n:v0",)


@pytest.mark.parametrize("pending_first", [False, True])
def test_a_push_that_a_takedown_gets_in_front_of(
    tmp_path: Path, two: Two, monkeypatch: pytest.MonkeyPatch, pending_first: bool
) -> None:
    """It looks at the list as of its own slot, and gives up what it had registered."""
    if pending_first:
        monkeypatch.setattr("artifactstore.transfer.push.PENDING_BYTES", 1)
        monkeypatch.setattr("artifactstore.content.put.PACK_BYTES_TARGET", 1 << 20)
    folder = write_tree(tmp_path / "a", {"bad": LARGE, "more": noise(2_000_000, 8)})
    digest = blake3(LARGE).hexdigest()

    def during() -> None:
        two.second.takedown([digest])

    if pending_first:
        finish = taking.ManifestBuilder.finish
        monkeypatch.setattr(
            "artifactstore.transfer.push.ManifestBuilder.finish",
            lambda builder: (two.backend.arm(during, effect=False), finish(builder))[1],
        )
    else:
        two.backend.arm(during, effect=False)
    with pytest.raises(Denied, match="the push holds 'bad'"):
        two.first.push([folder], "p/n")
    assert not two.backend.disarm()
    assert two.first.projects() == []
    with two.first._parts.environment.read() as txn:
        assert list(pending(txn)) == []


def test_a_push_of_other_files_goes_on_after_a_takedown(tmp_path: Path, two: Two) -> None:
    """It is searched for what was taken down, holds none of it, and commits."""
    folder = write_tree(tmp_path / "a", {"fine": BAD + b"!", "more": b"1"})
    two.backend.arm(lambda: two.second.takedown([DIGEST]) and None, effect=False)
    assert two.first.push([folder], "p/n").number == 0
    assert not two.backend.disarm()
    with two.first._parts.environment.read() as txn:
        assert list(pending(txn)) == []


def test_an_undeletion_that_a_takedown_gets_in_front_of(tmp_path: Path, two: Two) -> None:
    """The list counts as of the slot of its record."""
    two.first.push([write_tree(tmp_path / "a", {"bad": BAD})], "p/n")
    two.first.delete(["p/n:v0"])
    two.backend.arm(lambda: two.second.takedown([DIGEST]) and None, effect=False)
    with pytest.raises(Denied):
        two.first.undelete(["p/n:v0"])


def test_what_a_push_left_behind_is_given_up(
    tmp_path: Path, two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packs with chunks of the file, registered by a push that was cut, are roots no more; those of others stay."""
    monkeypatch.setattr("artifactstore.transfer.push.PENDING_BYTES", 1)
    monkeypatch.setattr("artifactstore.content.put.PACK_BYTES_TARGET", 1 << 20)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    for name, data in (("bad", LARGE), ("other", noise(3_000_000, 8))):
        folder = write_tree(tmp_path / name, {name: data})
        with monkeypatch.context() as patch:
            patch.setattr("artifactstore.transfer.push.ManifestBuilder.finish", cut)
            with pytest.raises(KeyboardInterrupt):
                two.second.push([folder], "p/n")
    with two.second._parts.environment.read() as txn:
        pushes = list(dict.fromkeys(row.push for row in pending(txn)))
    two.first.takedown([tmp_path / "bad" / "bad"])
    with two.first._parts.environment.read() as txn:
        left = {row.push for row in pending(txn)}
    assert len(pushes) == 2
    assert len(left) == 1
    assert left < set(pushes)


def test_a_read_only_member_takes_nothing_down(tmp_path: Path, store: Store) -> None:
    """It is refused before anything is read."""
    with make_store(tmp_path / "x") as other:
        other._parts = other._parts._replace(keyring=_without_signing(other))
        with pytest.raises(PermissionRefused):
            other.takedown([DIGEST])


def _without_signing(store: Store):
    import copy

    keyring = copy.copy(store._parts.keyring)
    keyring.signing_key = None
    return keyring
