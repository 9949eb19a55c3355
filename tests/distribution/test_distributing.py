"""Distributed pushes: parts by many clients, one commit, all or nothing; what is late, lost, doubled or given up."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifactstore import DistributedPush, Store
from artifactstore.client.token import make_token, parse_token
from artifactstore.errors import (
    Denied,
    InvalidPart,
    InvalidToken,
    NoSuchPush,
    NotFoundError,
    PartLost,
    PartsMissing,
    PathCollision,
    PushEnded,
)
from artifactstore.manifest.build import ManifestBuilder
from artifactstore.testing.invariants import assert_whole
from artifactstore.transfer import push as push_module
from tests.stores import FakeClock, Tree, make_store, noise, objects_of, read_tree, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")

DAY_S = 24 * 3600


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(time.time_ns())


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock):
    with make_store(tmp_path, clock=clock) as made:
        yield made


def trees(tmp_path: Path, *parts: Tree) -> list[Path]:
    """A folder for each part."""
    return [write_tree(tmp_path / f"part{number}", tree) for number, tree in enumerate(parts)]


def pushed_parts(push: DistributedPush, folders: list[Path]) -> None:
    for number, folder in enumerate(folders):
        push.part(number).push([folder])


def sweep(store: Store, *, expiry_s: int = 7 * DAY_S) -> None:
    store.gc(store.plan_gc(expiry_s=expiry_s), trust_clock=True)


# --- what it makes ----------------------------------------------------------------------------------------------


def test_parts_become_one_version(tmp_path: Path, store: Store) -> None:
    """It holds all files, says what the push was begun with, and its digest is that of one push of all."""
    parts: list[Tree] = [
        {"a/x": noise(5000, 1), "b": b"1"},
        {"a/y": noise(90_000, 2)},
        {"c/d/e": b"", "s": "a/x"},
    ]
    push = store.distributed(
        "p/n", shards=3, type="model", aliases=["best"], tags=["raw"], description="d", metadata={"k": [1]}
    )
    pushed_parts(push, trees(tmp_path, *parts))
    version = push.commit()
    assert (version.qualified_name, version.type, version.aliases) == ("p/n:v0", "model", ("best", "latest"))
    assert (version.tags, version.description, version.metadata) == (("raw",), "d", {"k": [1]})
    assert version.push is not None
    assert (version.push.created, version.push.files, version.push.files_read) == (True, 5, 0)
    store.pull("p/n", tmp_path / "out")
    whole = {path: data for part in parts for path, data in part.items()}
    assert read_tree(tmp_path / "out") == whole
    assert store.push([write_tree(tmp_path / "whole", whole)], "p/m").digest == version.digest
    assert store.version("p/n").new_bytes == 95_001
    assert_whole(store)


def test_nothing_is_seen_before_the_commit(tmp_path: Path, store: Store) -> None:
    """Parts alone make no version and no artifact."""
    push = store.distributed("p/n", shards=1)
    pushed_parts(push, trees(tmp_path, {"a": b"1"}))
    with pytest.raises(NotFoundError):
        store.version("p/n")
    assert [one.artifact for one in store.distributed_pushes()] == ["p/n"]


def test_equal_content_makes_no_new_version(tmp_path: Path, store: Store) -> None:
    """As of a push: the version that is there is found, and gets the aliases."""
    folders = trees(tmp_path, {"a": b"1"}, {"b": b"2"})
    store.push([*folders], "p/n")
    push = store.distributed("p/n", shards=2, aliases=["again"])
    pushed_parts(push, folders)
    version = push.commit()
    assert version.push is not None
    assert (version.qualified_name, version.push.created, version.aliases) == (
        "p/n:v0",
        False,
        ("again", "latest"),
    )
    assert push.status().version == "p/n:v0"


_NAMES = st.sampled_from(["a", "a-", "a.x", "b", "B1", "z", "ä"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)


class _Stored:
    """Puts chunks nowhere and names them by their order; pages can be read back."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}

    def put_one(self, kind: object, data: bytes) -> bytes:
        from blake3 import blake3

        cid = blake3(data).digest()
        self.data[cid] = data
        return cid

    def read(self, kind: object, cid: bytes) -> bytes:
        return self.data[cid]

    def read_many(self, kind: object, cids: list[bytes]) -> list[bytes]:
        return [self.data[cid] for cid in cids]


@settings(max_examples=60)
@given(st.dictionaries(_PATHS, st.integers(0, 7), min_size=0, max_size=200), st.integers(1, 8))
def test_any_division_merges_to_the_manifest_of_the_whole(files: dict[str, int], shards: int) -> None:
    """Page for page: the root of the merged parts is that of one push of all entries, whoever has which."""
    from blake3 import blake3

    from artifactstore.format.page import EMPTY, Kind, path_order
    from artifactstore.manifest.merge import merged
    from artifactstore.manifest.paths import fold

    taken: set[str] = set()
    chosen: dict[str, int] = {}
    for path in sorted(files):
        above = path.split("/")
        if any("/".join(above[:depth]) in chosen for depth in range(1, len(above))) or fold(path) in taken:
            continue
        taken.add(fold(path))
        chosen[path] = files[path]
    chosen = {
        path: owner
        for path, owner in chosen.items()
        if not any(other.startswith(path + "/") for other in chosen)
    }
    stored = _Stored()

    def built(paths: list[str]):
        builder = ManifestBuilder(stored)
        for path in sorted(paths, key=path_order):
            builder.add((path, int(Kind.FILE), 0, blake3(b"").digest(), 0), EMPTY)
        return builder.finish()

    parts = {
        part: built([path for path, owner in chosen.items() if owner % shards == part])
        for part in range(shards)
    }
    builder = ManifestBuilder(stored)
    for _, entry in merged(stored, parts):
        builder.add(entry.identity, entry.content)
    assert builder.finish() == built(list(chosen))


def test_folders_that_are_empty_in_one_part_only_are_none(tmp_path: Path, store: Store) -> None:
    """As in one push of all files: an empty folder gives way to what another part has in it, and equal ones are one."""
    push = store.distributed("p/n", shards=3)
    pushed_parts(push, trees(tmp_path, {"d": None, "e": None}, {"d/x": b"1", "e": None}, {"f/g": None}))
    version = push.commit()
    assert [(entry.path, entry.kind) for entry in version.files()] == [
        ("d/x", "file"),
        ("e", "folder"),
        ("f/g", "folder"),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("readme", "README"), ("d/x", "D/y"), ("d/é", "d/É")],
)
def test_collisions_name_both_parts(tmp_path: Path, store: Store, one: str, other: str) -> None:
    """One path in two parts, as file and folder, or by case: nothing is committed until one gives way."""
    push = store.distributed("p/n", shards=2)
    pushed_parts(push, trees(tmp_path, {one: b"1", "z": b""}, {other: b"2"}))
    with pytest.raises(PathCollision) as caught:
        push.commit()
    assert sorted(caught.value.facts["parts"]) == [0, 1]
    assert "part 0" in caught.value.message or "parts 0 and 1" in caught.value.message
    assert push.status().state == "open"
    push.part(1).push([write_tree(tmp_path / "mended", {"other": b"2"})])
    assert push.commit().file_count == 3


# --- all or nothing -----------------------------------------------------------------------------------------------


def test_missing_parts_are_named(tmp_path: Path, store: Store) -> None:
    """Until all are there, a commit does nothing."""
    push = store.distributed("p/n", shards=4)
    folders = trees(tmp_path, {"a": b"1"}, {"b": b"2"}, {"c": b"3"}, {"d": b"4"})
    push.part(1).push([folders[1]])
    with pytest.raises(PartsMissing, match="parts 0, 2 and 3 of 4 are not finished") as caught:
        push.commit()
    assert caught.value.facts == {"parts": [0, 2, 3]}
    assert push.status().missing == (0, 2, 3)
    for number in (0, 3):
        push.part(number).push([folders[number]])
    with pytest.raises(PartsMissing, match="part 2 of 4 is not finished"):
        push.commit()
    push.part(2).push([folders[2]])
    assert push.commit().file_count == 4


def test_a_part_done_again_is_recognised_or_replaced(tmp_path: Path, store: Store) -> None:
    """The same files again write no record; others take the place of those before."""
    push = store.distributed("p/n", shards=1)
    (folder,) = trees(tmp_path, {"a": noise(3000), "b": b"2"})
    first = push.part(0).push([folder])
    records = len(list(store.log()))
    again = push.part(0).push([folder])
    assert (first.created, again.created, again.new_bytes, len(list(store.log()))) == (
        True,
        False,
        0,
        records,
    )
    (folder / "b").unlink()
    changed = push.part(0).push([folder])
    assert (changed.created, changed.files, changed.new_bytes) == (True, 1, 0)
    assert [entry.path for entry in push.commit().files()] == ["a"]


def test_a_commit_done_again_says_the_same(tmp_path: Path, store: Store) -> None:
    """Whoever does not know whether the commit came through asks again and gets the version that it made."""
    push = store.distributed("p/n", shards=1)
    pushed_parts(push, trees(tmp_path, {"a": b"1"}))
    made = push.commit()
    store.push([write_tree(tmp_path / "later", {"a": b"2"})], "p/n")
    assert store.join(push.token).commit().qualified_name == made.qualified_name == "p/n:v0"
    store.delete(["p/n:v0"])
    with pytest.raises(PushEnded, match="committed"):
        push.commit()


@pytest.mark.parametrize("committed", [True, False])
def test_what_ended_takes_no_part(tmp_path: Path, store: Store, committed: bool) -> None:
    """A worker that comes too late is told what became of the push."""
    push = store.distributed("p/n", shards=1)
    (folder,) = trees(tmp_path, {"a": b"1"})
    push.part(0).push([folder])
    if committed:
        push.commit()
    else:
        push.abandon()
        push.abandon()  # done again it is done
    with pytest.raises(PushEnded, match="was committed" if committed else "was given up"):
        push.part(0).push([folder])
    if committed:
        with pytest.raises(PushEnded):
            push.abandon()
    else:
        with pytest.raises(PushEnded):
            push.commit()
    status = push.status()
    assert (status.state, status.finished, status.missing) == (
        "committed" if committed else "abandoned",
        (),
        (),
    )
    assert store.distributed_pushes() == []


def test_the_end_counts_as_of_the_slot(tmp_path: Path, store: Store) -> None:
    """A part that was read while the push ended is refused, and what it registered is given up."""
    push = store.distributed("p/n", shards=1)
    (folder,) = trees(tmp_path, {"a": noise(3000)})
    with reopened(tmp_path, store, cache="other") as other:
        late = other.part(push.token, 0)
        before = other._parts.committer.commit

        def overtaken(*arguments, **options):
            push_ended.append(push.abandon())
            other._parts.committer.commit = before
            return before(*arguments, **options)

        push_ended: list[None] = []
        other._parts.committer.commit = overtaken  # type: ignore[method-assign]
        with pytest.raises(PushEnded):
            late.push([folder])
        assert push_ended == [None]
    assert [entry for entry in store.log() if "part 0" in " ".join(entry.operations)] == []


@pytest.mark.parametrize("taken_down", [False, True])
def test_what_comes_while_parts_are_gathered_counts(tmp_path: Path, store: Store, taken_down: bool) -> None:
    """A part that is pushed again, or dropped by a takedown, between the merge and the record is looked at again."""
    push = store.distributed("p/n", shards=2)
    folders = trees(tmp_path, {"a": noise(3000, 1), "z": b""}, {"b": noise(3000, 2)})
    pushed_parts(push, folders)
    with reopened(tmp_path, store, cache="other") as other:
        committer = store._parts.committer
        before = committer.commit

        def overtaken(*arguments, **options):
            committer.commit = before
            if taken_down:
                other.takedown([folders[0] / "a"])
            else:
                (folders[0] / "a").unlink()
                other.part(push.token, 0).push([folders[0]])
            return before(*arguments, **options)

        committer.commit = overtaken  # type: ignore[method-assign]
        if taken_down:
            with pytest.raises(PartsMissing, match="part 0 of 2"):
                push.commit()
            assert push.status().state == "open"
        else:
            assert [entry.path for entry in push.commit().files()] == ["b", "z"]
    assert_whole(store)


# --- tokens -------------------------------------------------------------------------------------------------------


def test_a_token_joins_from_another_client(tmp_path: Path, store: Store) -> None:
    """It is one word that names neither artifact nor place."""
    push = store.distributed("p/n", shards=2)
    folders = trees(tmp_path, {"a": b"1"}, {"b": b"2"})
    assert push.token.isascii()
    assert not set(push.token) & set(" /:'\"\\$")
    with reopened(tmp_path, store, cache="other") as other:
        other.join(push.token).part(0).push([folders[0]])
        other.part(f" {push.token.upper()}\n", 1).push([folders[1]])
    assert push.commit().file_count == 2


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16), st.integers(1, 1024))
def test_tokens_round_trip(store_id: bytes, push: bytes, parts: int) -> None:
    """What was made is read; what was cut or mistyped is not taken for another."""
    token = make_token(store_id, push, parts)
    assert parse_token(token, store_id) == (store_id[:8], push, parts)
    swapped = token[:-1] + ("a" if token[-1] != "a" else "b")
    for bad in (token[:-1], token + "a", swapped, "push-", "", token.removeprefix("push-"), "push-\u0660"):
        with pytest.raises(InvalidToken):
            parse_token(bad, store_id)


def test_a_token_of_another_store_is_refused(tmp_path: Path, store: Store) -> None:
    """Its error says so, and a push that never was is none."""
    push = store.distributed("p/n", shards=2)
    with make_store(tmp_path / "b") as other, pytest.raises(InvalidToken, match="another store"):
        other.join(push.token)
    with pytest.raises(NoSuchPush):
        store.join(make_token(bytes.fromhex(store.id), bytes(16), 2))


def test_parts_have_numbers_from_zero(store: Store) -> None:
    """Numbers and counts out of bounds are refused."""
    push = store.distributed("p/n", shards=8)
    for part in (-1, 8):
        with pytest.raises(InvalidPart, match="0 to 7"):
            push.part(part)
    for shards in (0, 1025):
        with pytest.raises(InvalidPart):
            store.distributed("p/n", shards=shards)


# --- beside sweeps and other work ------------------------------------------------------------------------------


def test_finished_parts_are_roots(tmp_path: Path, store: Store, clock: FakeClock) -> None:
    """Sweeps beside it take nothing that a finished part holds, though no version and no pending record needs it."""
    push = store.distributed("p/n", shards=2)
    folders = trees(tmp_path, {"a": noise(60_000, 1)}, {"b": noise(60_000, 2)})
    push.part(0).push([folders[0]])
    with reopened(tmp_path, store, clock=clock, cache="other") as other:
        for _ in range(2):
            other.push([write_tree(tmp_path / "gone", {"x": noise(9000, 3)})], "p/gone")
            other.delete(["p/gone:*"], now=True)
            sweep(other)
    clock.time_ns += 6 * DAY_S * 10**9
    push.part(1).push([folders[1]])
    sweep(store)
    version = push.commit()
    sweep(store)
    store.pull(version.qualified_name, tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"a": noise(60_000, 1), "b": noise(60_000, 2)}
    assert_whole(store)


def test_what_nobody_goes_on_with_expires(tmp_path: Path, store: Store, clock: FakeClock) -> None:
    """After seven days without a sign a sweep gives it up, with all its bytes; a part in between is a sign."""
    push = store.distributed("p/n", shards=2)
    folders = trees(tmp_path, {"a": noise(60_000, 1)}, {"b": noise(60_000, 2)})
    push.part(0).push([folders[0]])
    clock.time_ns += 6 * DAY_S * 10**9
    push.part(0).push([write_tree(tmp_path / "part0", {"more": b"1"})])
    clock.time_ns += 6 * DAY_S * 10**9
    assert store.plan_gc().plan.expired == ()
    sweep(store)
    assert push.status().state == "open"
    clock.time_ns += 2 * DAY_S * 10**9
    assert len(store.plan_gc().plan.expired) == 1
    sweep(store)
    with pytest.raises(NoSuchPush):
        push.status()
    with pytest.raises(PushEnded, match="not there any more"):
        push.part(1).push([folders[1]])
    assert sum(len(data) for name, data in objects_of(store).items() if name.startswith("packs/")) < 30_000


def test_a_part_that_comes_while_a_sweep_is_planned_keeps_the_push(
    tmp_path: Path, store: Store, clock: FakeClock
) -> None:
    """Expiry is judged again at the very slot: the part that came, and those before it, stay."""
    push = store.distributed("p/n", shards=2)
    folders = trees(tmp_path, {"a": noise(60_000, 1)}, {"b": noise(60_000, 2)})
    push.part(0).push([folders[0]])
    clock.time_ns += 8 * DAY_S * 10**9
    plan = store.plan_gc()
    assert len(plan.plan.expired) == 1
    with reopened(tmp_path, store, clock=clock, cache="other") as other:
        other.part(push.token, 1).push([folders[1]])
    store.gc(plan, trust_clock=True)
    assert push.commit().file_count == 2
    assert_whole(store)


def test_what_a_part_holds_no_deletion_frees(tmp_path: Path, store: Store) -> None:
    """`du` says what the next sweep then frees, beside a part that shares the bytes and without it."""
    (folder,) = trees(tmp_path, {"a": noise(60_000, 1)})
    version = store.push([folder], "p/other")
    push = store.distributed("p/n", shards=1)
    push.part(0).push([folder])
    (beside,) = store.du([version.qualified_name])
    push.abandon()
    (alone,) = store.du([version.qualified_name])
    assert beside.frees_bytes == 0
    assert alone.frees_bytes > 60_000


def test_abandoning_frees_what_the_parts_held(tmp_path: Path, store: Store) -> None:
    """The next sweep takes it, whatever its age."""
    push = store.distributed("p/n", shards=1)
    pushed_parts(push, trees(tmp_path, {"a": noise(60_000, 1)}))
    push.abandon()
    sweep(store)
    assert sum(len(data) for name, data in objects_of(store).items() if name.startswith("packs/")) < 30_000


def test_a_dead_worker_is_done_again(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had registered is not stored twice, and is no root of its own once the part is finished."""
    monkeypatch.setattr(push_module, "PENDING_BYTES", 40_000)
    monkeypatch.setattr("artifactstore.content.put.PACK_BYTES_TARGET", 10_000)
    push = store.distributed("p/n", shards=1)
    (folder,) = trees(tmp_path, {f"f{number:02}": noise(200_000, number) for number in range(12)})
    with reopened(tmp_path, store, cache="dying") as dying:
        monkeypatch.setattr(ManifestBuilder, "finish", _killed)
        with pytest.raises(_Killed):
            dying.part(push.token, 0).push([folder])
        monkeypatch.undo()
    assert push.status().running == (0,)
    assert push.status().missing == (0,)
    done = push.part(0).push([folder])
    assert 0 < done.new_bytes < 2_400_000
    assert push.status().running == ()
    with store._parts.environment.read() as txn:
        from artifactstore.catalog.pending import pending

        assert list(pending(txn)) == []
    assert push.commit().file_count == 12


class _Killed(BaseException):
    pass


def _killed(*_: object) -> None:
    raise _Killed


def test_parts_with_a_file_that_is_taken_down_are_dropped(tmp_path: Path, store: Store) -> None:
    """They have to be made again without it; the others stay, and the file never comes into a version."""
    push = store.distributed("p/n", shards=3)
    folders = trees(tmp_path, {"a": b"1"}, {"b/secret": noise(3000, 7), "b/c": b"2"}, {"d": b"3"})
    pushed_parts(push, folders)
    store.takedown([folders[1] / "b/secret"])
    assert push.status().missing == (1,)
    with pytest.raises(PartsMissing, match="part 1 of 3"):
        push.commit()
    with pytest.raises(Denied):
        push.part(1).push([folders[1]])
    (folders[1] / "b/secret").unlink()
    push.part(1).push([folders[1]])
    assert [entry.path for entry in push.commit().files()] == ["a", "b/c", "d"]


def test_lost_parts_are_named_and_heal(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what a part holds is damaged, the commit says which parts, and pushing those again heals it."""
    push = store.distributed("p/n", shards=2)
    folders = trees(tmp_path, {"a": noise(60_000, 1)}, {"b": noise(60_000, 2)})
    push.part(0).push([folders[0]])
    before = set(objects_of(store))
    push.part(1).push([folders[1]])
    backend = store._parts.backend
    for name in set(objects_of(store)) - before:
        if name.startswith("packs/"):
            backend.delete(name)
    store.repair(store.plan_repair())
    with pytest.raises(PartLost, match="part 1") as caught:
        push.commit()
    assert caught.value.facts == {"parts": [1]}
    assert push.part(1).push([folders[1]]).new_bytes == 60_000
    assert push.commit().file_count == 2
    assert_whole(store)


def test_a_check_sees_what_parts_have_lost(tmp_path: Path, store: Store) -> None:
    """A finished part is held against the backend like a version."""
    push = store.distributed("p/n", shards=1)
    pushed_parts(push, trees(tmp_path, {"a": noise(60_000, 1)}))
    assert_whole(store)
    for name in objects_of(store):
        if name.startswith("packs/"):
            store._parts.backend.delete(name)
    report = store.check()
    assert not report.ok
    assert any("part 0 of a push to p/n" in str(problem) for problem in report.problems)


def test_a_fresh_client_reads_what_was_gathered(tmp_path: Path, store: Store) -> None:
    """The version names packs of each part, so that a client without an index finds its chunks."""
    push = store.distributed("p/n", shards=3)
    pushed_parts(push, trees(tmp_path, *({f"f{part}": noise(40_000, part)} for part in range(3))))
    push.commit()
    with reopened(tmp_path, store, cache="fresh") as other:
        other.pull("p/n", tmp_path / "out")
    assert sorted(read_tree(tmp_path / "out")) == ["f0", "f1", "f2"]
