"""Renames, edits, aliases moved from where they are expected, and links, as the library has them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from artifactstore import Store
from artifactstore.errors import (
    AliasMoved,
    AmbiguousDigest,
    Deleted,
    InvalidMetadata,
    InvalidName,
    InvalidReference,
    IsCollection,
    NameTaken,
    NoSuchArtifact,
    NoSuchDigest,
    NoSuchProject,
    NoSuchVersion,
    NotACollection,
    PreconditionFailed,
    StillLinked,
    TypeMismatch,
    UsageError,
)
from artifactstore.testing.invariants import assert_same_index
from tests.stores import make_store, read_tree, reopened, write_tree

pytestmark = pytest.mark.places("memory")


@pytest.fixture
def store(tmp_path: Path):
    """Three versions of `p/n`, one of `p/m`, one of `q/model`."""
    with make_store(tmp_path) as store:
        for name, text in (("p/n", "0"), ("p/n", "1"), ("p/n", "2"), ("p/m", "0")):
            put(store, tmp_path, name, text)
        put(store, tmp_path, "q/model", "m", type="model")
        yield store


def put(store: Store, folder: Path, name: str, text: str, **options: Any) -> str:
    source = write_tree(folder / f"{name}-{text}", {"file": text.encode() * 100})
    return store.push([source], name, **options).qualified_name


def log(store: Store) -> list[str]:
    return [words for entry in store.log() for words in entry.operations]


# --- aliases ----------------------------------------------------------------------------------------------------


def test_an_alias_moves_from_where_it_is_expected(store: Store) -> None:
    """From a version, from nowhere, and away; each is in the log with what was expected."""
    store.add_aliases("p/n:v0", ["prod"], expected=None)
    store.add_aliases("p/n:v1", ["prod"], expected="v0")
    assert store.version("p/n:prod").number == 1
    store.remove_aliases("p/n", ["prod"], expected="v1")
    assert log(store)[:3] == [
        "unalias p/n prod if at v1",
        "alias p/n:v1 prod if at v0",
        "alias p/n:v0 prod if new",
    ]


@pytest.mark.parametrize(
    ("names", "expected", "said"),
    [
        (["prod"], None, "'prod' of p/n is on v1, not nowhere"),
        (["prod"], "v0", "'prod' of p/n is on v1, not on v0"),
        (["new"], "v1", "'new' of p/n is nowhere, not on v1"),
        (["prod", "new"], "v1", "'new' of p/n is nowhere, not on v1"),
    ],
)
def test_an_alias_that_is_elsewhere_stays(
    store: Store, names: list[str], expected: str | None, said: str
) -> None:
    """The error says where it is; nothing is written, of several aliases none moves."""
    store.add_aliases("p/n:v1", ["prod"])
    slot = store.info().records
    with pytest.raises(AliasMoved) as caught:
        store.add_aliases("p/n:v2", names, expected=expected)
    assert said in caught.value.message
    assert caught.value.facts["expected"] == expected
    assert (store.info().records, store.version("p/n:prod").number) == (slot, 1)
    with pytest.raises((AliasMoved, NoSuchVersion)):
        store.remove_aliases("p/n", names, expected=expected)


def test_of_two_that_move_one_does(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was expected is looked at in the records before the very slot."""
    store.add_aliases("p/n:v0", ["prod"])
    commit = store._commit

    def late(*arguments: Any) -> str:
        with reopened(tmp_path, store, cache="another") as other:
            other.add_aliases("p/n:v2", ["prod"], expected="v0")
        return commit(*arguments)

    monkeypatch.setattr(store, "_commit", late)
    with pytest.raises(AliasMoved, match="is on v2, not on v0"):
        store.add_aliases("p/n:v1", ["prod"], expected="v0")
    monkeypatch.undo()
    assert store.version("p/n:prod").number == 2


def test_what_is_expected_is_the_number_of_a_version(store: Store) -> None:
    """Anything else is refused before anything happens."""
    for wrong in ("latest", "3", "", "p/n:v0"):
        with pytest.raises(InvalidReference, match="not the number of a version"):
            store.add_aliases("p/n:v0", ["prod"], expected=wrong)


# --- descriptions and metadata --------------------------------------------------------------------------------------


def test_a_version_is_described_anew(store: Store) -> None:
    """Keys come and go; the digest and the number stay, and the log says which keys."""
    before = store.version("p/n:v0")
    store.describe("p/n:v0", metadata={"rows": 3, "source": {"url": "x"}})
    after = store.describe(
        "p/n:v0", description="checked", metadata={"rows": 4}, remove_metadata=["source", "z"]
    )
    assert (after.description, after.metadata) == ("checked", {"rows": 4})
    assert (after.digest, after.number, after.tags) == (before.digest, before.number, before.tags)
    assert store.describe("p/n:v0", metadata={"only": 1}, replace=True).metadata == {"only": 1}
    assert store.describe("p/n:v0", description="").description == ""
    assert log(store)[:3] == [
        "edit p/n:v0 description",
        "edit p/n:v0 -* +only",
        "edit p/n:v0 description +rows -source -z",
    ]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"a": float("nan")}, "holds nan"),
        ({"a": {1, 2}}, "which JSON or MessagePack can't say"),
        ({1: "a"}, "has a key that is not text"),
        ({"a": 2**64}, "which JSON or MessagePack can't say"),
        ({"a": json.loads("[" * 70 + "]" * 70)}, "is nested more than 64 deep"),
        ({"a": "x" * (1 << 20)}, "exceeds 1048576"),
        ({"a": "\ud800"}, "holds text that is no Unicode"),
        ([1], "is not a JSON object"),
    ],
)
def test_metadata_that_no_version_can_carry(tmp_path: Path, store: Store, metadata: Any, said: str) -> None:
    """Not JSON, too large, too deep: each is said, for an edit as for a push, and nothing is written."""
    slot = store.info().records
    with pytest.raises(InvalidMetadata, match=said):
        store.describe("p/n:v0", metadata=metadata)
    with pytest.raises(InvalidMetadata, match=said):
        put(store, tmp_path, "p/x", "0", metadata=metadata)
    assert store.info().records == slot


def test_metadata_does_not_grow_beyond_its_bound(store: Store) -> None:
    """Many edits make no more than one push may."""
    store.describe("p/n:v0", metadata={"a": "x" * 600_000})
    with pytest.raises(InvalidMetadata, match=r"p/n:v0 would have \d+ bytes, more than 1048576"):
        store.describe("p/n:v0", metadata={"b": "x" * 600_000})
    assert list(store.describe("p/n:v0", metadata={"b": "x" * 600_000}, remove_metadata=["a"]).metadata) == [
        "b"
    ]


def test_an_edit_of_nothing(store: Store) -> None:
    """It is refused, as are edits of what is not there."""
    with pytest.raises(UsageError, match="nothing to change"):
        store.describe("p/n:v0")
    store.delete(["p/n:v0"])
    with pytest.raises(Deleted):
        store.describe("p/n:v0", description="x")
    with pytest.raises(NoSuchVersion):
        store.describe("p/n:v9", description="x")


# --- names ----------------------------------------------------------------------------------------------------------


def test_old_names_answer_with_the_new_one(tmp_path: Path, store: Store) -> None:
    """For pull, push, aliases, tags, ttl, retention, deletion and usage; lists show the new name only."""
    assert store.rename("p/n", "p/table") == "p/table"
    assert store.rename("p", "data") == "data"
    assert [project.name for project in store.projects()] == ["data", "q"]
    assert [one.artifact for one in store.artifacts("p")] == ["data/m", "data/table"]
    for old in ("p/n", "data/n", "p/table", "data/table"):
        assert store.version(f"{old}:v1").qualified_name == "data/table:v1"
    store.pull("p/n:v0", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"file": b"0" * 100}
    assert put(store, tmp_path, "p/n", "3") == "data/table:v3"
    assert put(store, tmp_path, "data/new", "0") == "data/new:v0"
    assert put(store, tmp_path, "p/new", "0") == "data/new:v0"
    store.add_aliases("p/table:v3", ["prod"])
    store.add_tags("data/n:v3", ["t"])
    assert store.set_ttl("p/n:v2", 10).expires_ns is not None
    store.set_retention("p/n", None)
    usage = {row.name: (row.versions, row.logical_bytes) for row in store.du(["p/n:*"])}
    assert usage["p/n:*"] == (4, 400)
    assert {row.name for row in store.du([])} >= {"data/m", "data/new", "data/table", "q/model"}
    assert [one.qualified_name for one in store.delete(["p/n:v1"])] == ["data/table:v1"]
    with pytest.raises(Deleted, match="p/n:v1 was deleted"):
        store.version("p/n:v1")
    assert [one.qualified_name for one in store.undelete(["data/n:v1"])] == ["data/table:v1"]
    with reopened(tmp_path, store, cache="new") as new:
        assert new.version("p/n:prod").qualified_name == "data/table:v3"
        assert_same_index(new.parts, store.parts)


def test_renamed_versions_are_purged_with_receipts(tmp_path: Path, store: Store) -> None:
    """A sweep purges by whatever name; receipts say what the push said, and no number is given again."""
    store.rename("p/m", "p/notes")
    put(store, tmp_path, "p/notes", "1")
    store.delete(["p/m:*"], now=True)
    done = store.gc(store.plan_gc(), trust_clock=True)
    assert done.purged == ("p/notes:v0", "p/notes:v1")
    listed = sorted(store.receipts.list(), key=lambda one: one.reference)
    assert [one.reference for one in listed] == ["p/m:v0", "p/notes:v1"]
    for one in listed:
        store.receipts.export(one.id, disclose=["project", "name", "digest"])
    with reopened(tmp_path, store, cache="new") as new:
        for name in ("p/m", "p/notes"):
            with pytest.raises(Deleted, match="purged"):
                new.version(f"{name}:v0")
            assert put(new, tmp_path, name, "0") == f"{name}:v2"
        new.delete(["p/m:*"], now=True)
        new.gc(new.plan_gc(), trust_clock=True)
        with pytest.raises(NameTaken, match="never given again"):
            new.rename("p/n", "p/m")


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ("p/x", "p/y", NoSuchArtifact, "has no artifact 'x'"),
        ("x", "y", NoSuchProject, "no project 'x'"),
        ("p/n", "p/m", NameTaken, "there is an artifact p/m"),
        ("p/n", "q/old", NameTaken, "there is an artifact q/model, which was called q/old"),
        ("p", "q", NameTaken, "there is a project 'q'"),
        ("p/n", "q", InvalidReference, "write both as project/name"),
        ("p", "q/n", InvalidReference, "write both as project"),
        ("p/n", "p/ n", InvalidName, "not a valid name"),
        ("p/n:v0", "p/k", InvalidName, "not a valid name"),
    ],
)
def test_renames_that_are_refused(
    store: Store, old: str, new: str, error: type[Exception], said: str
) -> None:
    """Nothing is written, and the error says what has the name."""
    store.rename("q/model", "q/old")
    store.rename("q/old", "q/model")
    slot = store.info().records
    with pytest.raises(error) as caught:
        store.rename(old, new)
    assert said in f"{caught.value} {caught.value.next_step}"  # type: ignore[attr-defined]
    assert store.info().records == slot


def test_a_rename_to_the_name_that_it_has(store: Store) -> None:
    """Nothing is to be done."""
    slot = store.info().records
    assert (store.rename("p/n", "p/n"), store.rename("p", "p")) == ("p/n", "p")
    assert store.info().records == slot


# --- links ----------------------------------------------------------------------------------------------------------


def test_a_link_is_pulled_like_any_version(tmp_path: Path, store: Store) -> None:
    """It has a number and aliases of its own, says of what it is a link, and costs nothing."""
    link = store.link("p/n:v1", "registry/table", aliases=["production"], tags=["approved"])
    assert link.push is not None
    assert (link.qualified_name, link.push.created, link.new_bytes) == ("registry/table:v0", True, 0)
    assert (link.digest, link.tags) == (store.version("p/n:v1").digest, ("approved",))
    assert link.link is not None
    assert (link.link.version, link.link.state) == ("p/n:v1", "shown")
    assert store.version("p/n:v1").linked == ("registry/table:v0",)
    assert [one.collection for one in store.artifacts("registry")] == [True]
    again = store.link("registry/table:production", "registry/table", aliases=["staging"])
    assert again.push is not None
    assert (again.number, again.push.created, again.aliases) == (
        0,
        False,
        ("latest", "production", "staging"),
    )
    assert log(store)[:2] == [
        "link p/n:v1 to registry/table as staging",
        "link p/n:v1 to registry/table as production",
    ]
    with reopened(tmp_path, store, cache="cold") as cold:
        cold.pull("registry/table:production", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"file": b"1" * 100}


def test_what_is_linked_outlives_its_source(tmp_path: Path, store: Store) -> None:
    """Deleting takes force; what the link holds stays through a sweep, and it says what became of the source."""
    store.link("p/n:v1", "registry/table", aliases=["production"])
    with pytest.raises(StillLinked, match="registry/table:v0 is a link"):
        store.delete(["p/n:v1"])
    assert store.plan_delete(["p/n:v1"]).links == ("registry/table:v0",)
    store.delete(["p/n:v1"], force=True, now=True)
    assert state(store) == "deleted"
    store.gc(store.plan_gc(), trust_clock=True)
    assert state(store) == "purged"
    store.pull("registry/table:production", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"file": b"1" * 100}
    assert store.check(read_data=True).problems == ()
    with pytest.raises(Deleted):
        store.link("registry/table:production", "registry/other")


def state(store: Store) -> str:
    link = store.version("registry/table:v0").link
    assert link is not None
    return link.state


def test_links_and_their_sources_go_together(store: Store) -> None:
    """Who deletes both needs no force, whatever comes first by name."""
    store.link("p/n:v1", "p/all")
    store.link("p/n:v1", "z/late")
    with pytest.raises(StillLinked, match="z/late:v0"):
        store.delete(["p/*"])
    assert len(store.delete(["p/*", "z/*"])) == 6


def test_a_link_made_meanwhile_keeps_its_source(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion looks at the records before its very slot."""
    commit = store._commit

    def late(*arguments: Any) -> str:
        with reopened(tmp_path, store, cache="another") as other:
            other.link("p/n:v1", "registry/table")
        return commit(*arguments)

    monkeypatch.setattr(store, "_commit", late)
    with pytest.raises(StillLinked):
        store.delete(["p/n:v1"])
    monkeypatch.undo()
    assert store.version("p/n:v1").linked == ("registry/table:v0",)


def test_unlinking(store: Store) -> None:
    """The link goes, can be brought back, and the version stays; what is no link is not unlinked."""
    store.link("p/n:v1", "registry/table", aliases=["production"])
    with pytest.raises(PreconditionFailed, match="production"):
        store.unlink(["registry/table:v0"])
    assert [one.qualified_name for one in store.unlink(["registry/table:v0"], force=True)] == [
        "registry/table:v0"
    ]
    assert store.version("p/n:v1").linked == ()
    assert store.undelete(["registry/table:v0"])[0].link is not None
    with pytest.raises(NotACollection, match="p/n:v1 is no link"):
        store.unlink(["p/n:v1"])


@pytest.mark.parametrize(
    ("ref", "collection", "error", "said"),
    [
        ("p/n:v9", "registry/table", NoSuchVersion, "no p/n:v9"),
        ("p/n:v0", "p/m", NotACollection, "p/m holds versions of its own"),
        (
            "q/model",
            "registry/table",
            TypeMismatch,
            "q/model:v0 is a model, and the collection registry/table",
        ),
        ("p/n:v0", "registry", InvalidReference, "project/name"),
        ("p/n:v0", "registry/table:v0", InvalidName, "not a valid name"),
    ],
)
def test_links_that_are_refused(
    store: Store, ref: str, collection: str, error: type[Exception], said: str
) -> None:
    """Each says what is in the way, and nothing is written."""
    store.link("p/n:v1", "registry/table")
    slot = store.info().records
    with pytest.raises(error) as caught:
        store.link(ref, collection)
    assert said in f"{caught.value} {caught.value.next_step}"  # type: ignore[attr-defined]
    assert store.info().records == slot


def test_nothing_is_pushed_into_a_collection(tmp_path: Path, store: Store) -> None:
    """Neither seen beforehand nor at the very slot."""
    store.link("p/n:v1", "registry/table")
    with pytest.raises(IsCollection, match="registry/table is a collection"):
        put(store, tmp_path, "registry/table", "9")


def test_an_expired_version_that_is_linked_stays(store: Store) -> None:
    """A link keeps a version from retention as an alias does."""
    store.link("p/n:v1", "registry/table")
    for number in (0, 1):
        store.set_ttl(f"p/n:v{number}", 0)
    plan = store.plan_retention(["p/n"])
    assert [one.qualified_name for one in plan.deletes] == ["p/n:v0"]
    kept = {one.version.number: one.kept_by for one in plan.artifacts[0].versions}
    assert kept[1] == ("link registry/table:v0",)


def test_taking_down_finds_links(tmp_path: Path, store: Store) -> None:
    """A file goes from the version and from its link alike, which have successors."""
    source = write_tree(tmp_path / "two", {"bad": b"bad" * 50, "good": b"good" * 50})
    version = store.push([source], "p/n")
    store.link(version.qualified_name, "registry/table", aliases=["production"])
    (found,) = store.find([source / "bad"]).files
    assert [(place.artifact, place.versions) for place in found.places] == [
        ("p/n", (3,)),
        ("registry/table", (0,)),
    ]
    done = store.takedown([source / "bad"], rewrite=True)
    assert done.replaced == (("p/n:v3", "p/n:v4"), ("registry/table:v0", "registry/table:v1"))
    store.gc(store.plan_gc(), trust_clock=True)
    store.pull("registry/table:production", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"good": b"good" * 50}


# --- digests --------------------------------------------------------------------------------------------------------


def test_prefixes_of_digests_that_fit_none_or_several(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown and ambiguous are two errors, and the second says which versions fit."""
    digest = store.version("p/n:v1").digest
    assert store.version(f"p/n@{digest[:8]}").number == 1
    with pytest.raises(NoSuchDigest, match="begins with ffffffff"):
        store.version("p/n@ffffffff")
    monkeypatch.setattr("artifactstore.ids._DIGEST", re.compile("[0-9a-f]{0,64}"))
    with pytest.raises(AmbiguousDigest) as caught:
        store.version("p/n@")
    assert caught.value.facts["versions"] == ["v0", "v1", "v2"]
