"""Collecting: what is deleted is taken away by record, beside whatever others do, and nothing else is."""

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from artifactstore.backend.base import Backend, Buffer
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.content import put
from artifactstore.content.packs import INDEXED_TYPES
from artifactstore.crypto.hashing import blake3
from artifactstore.errors import (
    ClockSkewed,
    Deleted,
    InvalidSource,
    NoSuchVersion,
    PermissionRefused,
    PreconditionFailed,
)
from artifactstore.format.keys import decode_keys, keys_object_name
from artifactstore.format.pack import PackType, decode_trailer, trailer_length
from artifactstore.keyring.keyring import make_keys_object, member_of
from artifactstore.pack.names import pack_name
from artifactstore.store.store import Store
from artifactstore.testing.invariants import assert_numbered
from artifactstore.testing.simulation import World
from tests import stores
from tests.stores import noise, read_tree, settle, write_tree

pytestmark = pytest.mark.places("memory", "s3")

SHARED = noise(60_000, 1)
TREES = {
    "p/n:v0": {"a": noise(50_000, 2), "shared": SHARED},
    "p/n:v1": {"b": noise(40_000, 3), "shared": SHARED},
    "p/other:v0": {"c": noise(30_000, 4)},
}
MORE = {
    "fresh": {"new": noise(70_000, 9)},
    "large": {"new": noise(400_000, 11)},
    "stream": {"a": TREES["p/n:v0"]["a"]},
}


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path, seed=5, url=stores.new_url())
    with made.create() as store:
        for reference in TREES:
            push(store, tmp_path, reference)
    yield made
    made.end()


def push(store: Store, folder: Path, tree: str, to: str = "") -> None:
    source = settle(write_tree(folder / "in" / tree.replace("/", "-"), {**TREES, **MORE}[tree]))
    store.push([source], to or tree.partition(":")[0])


def sweep(store: Store, **options: object) -> object:
    """The clock of a world is not the backend's."""
    return store.gc(store.plan_gc(**options), trust_clock=True)


def whole(world: World, folder: Path, *gone: str, **more: str) -> None:
    """A newcomer finds every version as it was pushed, but for those that are gone, and nothing is wrong."""
    world.forget("newcomer")
    with world.client("newcomer") as store:
        for reference, tree in {**{name: name for name in TREES}, **more}.items():
            if reference in gone:
                with pytest.raises(Deleted):
                    store.version(reference)
            else:
                out = folder / "out" / f"{len(list(folder.glob('out/*')))}"
                store.pull(reference, out)
                assert read_tree(out) == {**TREES, **MORE}[tree]
        assert store.check(read_data=True).problems == ()
        assert_numbered(store)


def trailers(world: World) -> set[bytes]:
    """First 16 bytes of the cid of every chunk in any pack that lies on the backend."""
    found: set[bytes] = set()
    for info in world.objects.list("packs/"):
        data = world.objects.get(info.name, limit_bytes=info.size_bytes)
        length, _ = trailer_length(data[-12:], info.name)
        found.update(decode_trailer(data[-length:], info.name).prefixes)
    return found


class Hooked(WrapperBackend):
    """Calls something once, before the first request that fits."""

    def __init__(self, inner: Backend, method: str, prefix: str, act: Callable[[], object]) -> None:
        super().__init__(inner)
        self._when = (method, prefix)
        self._act: Callable[[], object] | None = act

    def _hook(self, method: str, name: str) -> None:
        act = self._act
        if act is not None and method == self._when[0] and name.startswith(self._when[1]):
            self._act = None
            act()

    def create(self, name: str, data: Buffer) -> None:
        self._hook("create", name)
        self.inner.create(name, data)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        self._hook("get_range", name)
        return self.inner.get_range(name, start, length)


def hooked(world: World, cache: str, method: str, prefix: str, act: Callable[[], object]) -> Store:
    return world.open(cache, wrap=lambda backend: Hooked(backend, method, prefix, act))


# --- what goes and what stays ---------------------------------------------------------------------------------


def test_what_only_a_purged_version_held_is_gone(tmp_path: Path, world: World) -> None:
    """Its chunks are in no pack any more, its name in no state; what others need is there, and a newcomer reads it."""
    before = trailers(world)
    with world.client() as store:
        store.delete(["p/n:v0"], now=True)
        prepared = store.plan_gc()
        assert [one.name for one in prepared.plan.purge] == ["p/n:v0"]
        done = store.gc(prepared, trust_clock=True)
        assert (done.purged, done.generation, done.claims, done.left) == (("p/n:v0",), 1, 1, ())
        assert store.plan_gc().plan.is_empty
    after = trailers(world)
    assert len(before - after) > 2
    whole(world, tmp_path, "p/n:v0")


def test_the_plan_says_what_a_sweep_then_frees(world: World) -> None:
    """Within rounding of packs: bytes of the bucket before and after, but for keys, records and states."""

    def stored() -> int:
        return sum(info.size_bytes for info in world.objects.list("packs/"))

    with world.client() as store:
        sweep(store)
        store.delete(["p/n:v0"], now=True)
        plan = store.plan_gc()
        before = stored()
        store.gc(plan, trust_clock=True)
        assert abs(before - stored() - plan.plan.freed_bytes) < 10_000 < plan.plan.freed_bytes


def test_a_deleted_version_waits_for_its_grace(tmp_path: Path, world: World) -> None:
    """Until then it can be brought back; the store's setting holds for everybody."""
    with world.client() as store:
        store.delete(["p/n:v0"])
        plan = store.plan_gc().plan
        assert (plan.purge, [one.name for one in plan.waiting]) == ((), ["p/n:v0"])
        store.undelete(["p/n:v0"])
        store.set_grace(0)
        store.delete(["p/n:v0"])
    with world.client("other") as other:
        assert sweep(other).purged == ("p/n:v0",)
        with pytest.raises(NoSuchVersion):
            other.undelete(["p/n:v0"])
    whole(world, tmp_path, "p/n:v0")


def test_numbers_never_recur(tmp_path: Path, world: World) -> None:
    """Not even when an artifact was purged whole, and nobody knows its name any more."""
    with world.client() as store:
        store.delete(["p/other:*"], now=True)
        sweep(store)
        assert [item.artifact for item in store.artifacts("p")] == ["p/n"]
        with pytest.raises(Deleted, match="purged"):
            store.version("p/other")
        push(store, tmp_path, "p/other:v0")
        assert [version.number for version in store.versions("p/other")] == [1]
    whole(world, tmp_path, "p/other:v0", **{"p/other:v1": "p/other:v0"})


def test_the_rest_of_a_store_goes_through_many_generations(tmp_path: Path, world: World) -> None:
    """Clients that missed some go on where the store is: one that was open, one that was closed, and a newcomer."""
    with world.client("long") as long, world.client() as store:
        assert long.version("p/n").number == 1
        for number in range(4):
            push(store, tmp_path, "p/other:v0", f"p/turn{number}")
            store.delete([f"p/turn{number}:*"], now=True)
            assert sweep(store).generation == number + 1
        assert long.version("p/n").number == 1
        push(long, tmp_path, "p/n:v0", "p/late")
    whole(world, tmp_path, **{"p/late:v0": "p/n:v0"})


# --- beside others --------------------------------------------------------------------------------------------


def purge_first(world: World) -> None:
    """Another client deletes p/n:v0 and sweeps."""
    with world.client("sweeper") as store:
        store.delete(["p/n:v0"], now=True)
        # By the world's clock every object is old: what a push has just stored is not to be taken for a dead one's.
        sweep(store, expiry_s=10**11)


@pytest.mark.parametrize("stream", [False, True])
def test_a_push_that_meets_a_sweep_goes_on(tmp_path: Path, world: World, stream: bool) -> None:
    """It had found chunks in the store that the sweep took: files are read again, of a stream it says so."""
    store = hooked(world, "pusher", "create", "log/", lambda: purge_first(world))
    with store:
        if stream:
            import io

            with pytest.raises(PreconditionFailed, match="sweep took"):
                store.push([], "p/new", streams={"a": io.BytesIO(TREES["p/n:v0"]["a"])})
            store.push([], "p/new", streams={"a": io.BytesIO(TREES["p/n:v0"]["a"])})
        else:
            push(store, tmp_path, "p/n:v0", "p/new")
    whole(world, tmp_path, "p/n:v0", **{"p/new:v0": "stream" if stream else "p/n:v0"})


def test_a_push_that_needs_nothing_of_what_went_is_not_run_again(tmp_path: Path, world: World) -> None:
    """What it stored before the sweep is registered after it, and stored once."""
    store = hooked(world, "pusher", "create", "log/", lambda: purge_first(world))
    with store:
        push(store, tmp_path, "fresh", "p/fresh")
        assert store.version("p/fresh").new_bytes == 70_000
    whole(world, tmp_path, "p/n:v0", **{"p/fresh:v0": "fresh"})


def test_a_pull_that_meets_a_sweep_gets_right_bytes_or_is_told(tmp_path: Path, world: World) -> None:
    """Invariant 16: of a version that stays every byte, from wherever it lies now; of a purged one `Deleted`."""
    with hooked(world, "kept", "get_range", "packs/", lambda: purge_first(world)) as store:
        store.pull("p/n:v1", tmp_path / "pulled")
    assert read_tree(tmp_path / "pulled") == TREES["p/n:v1"]


def test_a_pull_of_what_is_purged_is_told(tmp_path: Path, world: World) -> None:
    """It does not say that the store is damaged."""
    with hooked(world, "gone", "get_range", "packs/", lambda: purge_first(world)) as store:
        with pytest.raises(Deleted, match="purged"):
            store.pull("p/n:v0", tmp_path / "pulled")
        assert store.check().ok


def test_an_open_file_is_read_on_through_a_sweep(tmp_path: Path, world: World) -> None:
    """The handle finds the chunks where they lie now."""
    with world.client() as store:
        version = store.version("p/n:v1")
        purge_first(world)
        with version.open("shared") as file:
            assert file.read() == SHARED
        assert [entry.path for entry in version.files()] == ["b", "shared"]


def test_what_is_undeleted_meanwhile_stays(tmp_path: Path, world: World) -> None:
    """Between the plan and the record's own slot another client brings it back."""
    with world.client() as store, world.client("other") as other:
        store.delete(["p/n:v0", "p/other:v0"], now=True)
        plan = store.plan_gc()
        other.undelete(["p/n:v0"])
        assert store.gc(plan, trust_clock=True).purged == ("p/other:v0",)
    whole(world, tmp_path, "p/other:v0")


def test_what_is_pushed_meanwhile_keeps_what_it_relies_on(tmp_path: Path, world: World) -> None:
    """Between the plan and the record another client's push finds chunks in packs that the plan gives up."""
    with world.client() as store, world.client("other") as other:
        store.delete(["p/n:v0"], now=True)
        plan = store.plan_gc()
        push(other, tmp_path, "p/n:v0", "p/again")
        assert other.version("p/again").new_bytes < 1000
        assert store.gc(plan, trust_clock=True).purged == ("p/n:v0",)
    whole(world, tmp_path, "p/n:v0", **{"p/again:v0": "p/n:v0"})


def test_no_receipt_calls_gone_what_another_push_has_stored_meanwhile(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 13: two pushes store the same at once; one is deleted and planned for, then the other breaks off."""
    prefixes: list[set[bytes]] = []
    plans: list[object] = []

    class Meanwhile(io.BytesIO):
        def readinto(self, into: memoryview) -> int:
            if not plans:
                before = trailers(world)
                push(other, tmp_path, "large", "p/large")
                prefixes.append(trailers(world) - before)
                other.delete(["p/large:v0"], now=True)
                plans.append(other.plan_gc())
            return super().readinto(into)

    class BrokenOff(io.BytesIO):
        def readinto(self, into: memoryview) -> int:
            raise OSError("broken off")

    with world.client("other") as other, world.client("broken off") as store:
        streams = {"a": Meanwhile(MORE["large"]["new"]), "b": BrokenOff()}
        monkeypatch.setattr(put, "PACK_BYTES_TARGET", 1 << 14)  # so that a pack is full and stored at once
        with pytest.raises(InvalidSource):
            store.push([], "p/broken", streams=streams)
        assert other.gc(plans[0], trust_clock=True).purged == ("p/large:v0",)
        [receipt] = other.receipts.list()
        left = prefixes[0] & trailers(world)
        assert left
        assert receipt.gone == len(prefixes[0]) - len(left)
    whole(world, tmp_path)


def test_a_sweep_gets_through_beside_writers_that_never_pause(tmp_path: Path, world: World) -> None:
    """It loses three claims, says what it intends, and is let through."""
    lost: list[int] = []

    class Busy(WrapperBackend):
        def create(self, name: str, data: Buffer) -> None:
            if len(lost) < 3 and name.startswith("log/"):
                lost.append(1)
                with world.client("busy") as busy:
                    busy.add_tags("p/n:v1", [f"t{len(lost)}"])
            self.inner.create(name, data)

    with world.client() as store:
        store.delete(["p/n:v0"], now=True)
    with world.open("sweeper", wrap=Busy) as store:
        assert sweep(store).claims == 4
        assert "intent" in [entry.kind for entry in store.log()]
    whole(world, tmp_path, "p/n:v0")


def test_what_replaced_states_take_is_garbage_and_freed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`garbage` counts replaced states and index packs, a collection frees so much, and nothing is left to be freed."""
    with world.client() as store:
        assert store.garbage().freed_bytes == 0
        monkeypatch.setattr("artifactstore.catalog.state._TAIL_BYTES_MIN", 1)
        for turn in range(10):
            store.add_tags("p/n:v1", [f"t{turn}"])
        monkeypatch.undo()
        plan = store.plan_gc().plan
        assert plan.stale
        assert not plan.is_empty
        assert store.garbage().freed_bytes == plan.freed_bytes > 0
        done = sweep(store)
        assert done.slot is not None
        assert store.garbage().freed_bytes == 0
        assert store.plan_gc().plan.is_empty
        for name in plan.stale:
            assert not world.objects.exists(name)


def test_undeleting_passes_over_what_a_sweep_purges_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where something is denied, what comes back is searched for it: but not what is gone by then."""
    with world.client() as store, world.client("other") as other:
        other.takedown([blake3(TREES["p/other:v0"]["c"]).hex()])
        store.delete(["p/n:v0"], now=True)
        store.delete(["p/n:v1"])
        selected = store._selected

        def select(*args: object, **options: object) -> object:
            found = selected(*args, **options)
            assert "p/n:v0" in sweep(other).purged
            return found

        monkeypatch.setattr(store, "_selected", select)
        with suppress(Deleted):
            store.undelete(["p/n:*"])
        assert [version.number for version in store.versions("p/n")] == [1]


def test_of_two_sweeps_the_slower_plans_anew(tmp_path: Path, world: World) -> None:
    """It has given up nothing, and what it stored is taken by a later one."""
    with world.client() as store, world.client("other") as other:
        store.delete(["p/n:v0"], now=True)
        plan = store.plan_gc()
        assert sweep(other).purged == ("p/n:v0",)
        with pytest.raises(PreconditionFailed, match="another sweep"):
            store.gc(plan, trust_clock=True)
        done = sweep(store, expiry_s=0)
        assert done.purged == ()
        assert store.plan_gc(expiry_s=0).plan.is_empty
    whole(world, tmp_path, "p/n:v0")


# --- deleting what was condemned --------------------------------------------------------------------------------


class Locked(WrapperBackend):
    """Gives up no pack."""

    def erase(self, name: str) -> None:
        if name.startswith("packs/"):
            raise PermissionRefused(f"{name} may not be deleted", object=name)
        self.inner.erase(name)


def test_what_may_not_be_deleted_is_left_to_somebody_who_may(tmp_path: Path, world: World) -> None:
    """The record stands; what is left is shown, and ended by any client later."""
    with world.client() as store:
        store.delete(["p/n:v0"], now=True)
    with world.open("weak", wrap=Locked) as weak:
        done = sweep(weak)
        assert done.left
        assert done.left_total == len(done.left)
        assert "erased" not in [entry.kind for entry in weak.log()]
        with pytest.raises(Deleted):
            weak.version("p/n:v0")
    with world.client() as store:
        assert store.plan_gc().plan.left
        assert store.resume_gc().left == ()
        assert "erased" in [entry.kind for entry in store.log()]
    whole(world, tmp_path, "p/n:v0")


def test_what_a_late_upload_brings_back_is_deleted_again(tmp_path: Path, world: World) -> None:
    """However long ago it was seen gone."""
    packs = {
        info.name: world.objects.get(info.name, limit_bytes=1 << 20) for info in world.objects.list("packs/")
    }
    with world.client() as store:
        purge_first(world)
        late = next(name for name in packs if not world.objects.exists(name))
        world.objects.put(late, packs[late])
        assert store.plan_gc().plan.returned == (late,)
        assert sweep(store).returned == (late,)
        assert not world.objects.exists(late)
    whole(world, tmp_path, "p/n:v0")


def test_uploads_of_dead_pushes_are_given_up(tmp_path: Path, world: World) -> None:
    """Objects that no record names, once they are old enough; younger ones may be somebody's who is about to commit."""
    name = f"packs/ab/{'ab' * 32}"
    world.objects.put(name, b"half a push")
    with world.client() as store:
        assert store.plan_gc(expiry_s=10**11).plan.orphans == ()
        assert store.plan_gc().plan.orphans == (name,)  # by the world's clock it is the year 2100
        sweep(store)
        assert not world.objects.exists(name)
    whole(world, tmp_path)


def test_secrets_of_an_earlier_generation_are_given_up_at_any_age(tmp_path: Path, world: World) -> None:
    """A keys object that a writer stored and never got to name seals what a later sweep took away."""
    with world.client() as store:
        (name,) = [info.name for info in world.objects.list("keys/")]
        keys = decode_keys(world.objects.get(name, limit_bytes=1 << 20), name)
        store.members.rotate()
        again = make_keys_object(keys.store_id, 0, store.parts.keyring.secrets, [member_of(keys.slots[0])])
        world.objects.put(keys_object_name(again), again)
        assert store.plan_gc(expiry_s=10**11).plan.orphans == (keys_object_name(again),)
        sweep(store, expiry_s=10**11)
        assert not world.objects.exists(keys_object_name(again))
    whole(world, tmp_path)


def test_a_clock_that_is_off_is_refused(world: World) -> None:
    """Ages can't be told then; both times are shown."""
    with world.client() as store:
        store.delete(["p/n:v0"], now=True)
        with pytest.raises(ClockSkewed, match="2100"):
            store.gc()


# --- keys -------------------------------------------------------------------------------------------------------


def test_what_was_condemned_opens_with_none_of_todays_secrets(world: World) -> None:
    """Invariant 11: a newcomer's keys are those of packs that are there, and the old keys objects are gone."""
    with world.client() as store:
        old = {pack_name(pack.added.name): pack.key for pack in all_packs(store)}
        kek = store.parts.keyring.kek
        store.delete(["p/n:v0"], now=True)
        sweep(store)
        assert store.parts.keyring.kek != kek
    with world.client("newcomer") as store:
        known = {pack_name(pack.added.name): pack.key for pack in all_packs(store)}
        there = {info.name for info in world.objects.list("packs/")}
        gone = set(old) - there
        assert gone
        assert set(known) <= there
        secrets = {old[name] for name in gone}
        everything = b"".join(
            world.objects.get(info.name, limit_bytes=info.size_bytes) for info in world.objects.list("")
        )
        assert not any(key in everything for key in secrets)


def all_packs(store: Store) -> list:
    store.refresh()
    with store.parts.environment.read() as txn:
        return [
            pack for pack in store.parts.packs.all(txn) if pack.added.type in (*INDEXED_TYPES, PackType.STATE)
        ]
