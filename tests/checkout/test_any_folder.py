"""Any folder beside any two versions: made exactly so or refused untouched, and nobody's work is lost unasked."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifactstore import Lock, Store
from artifactstore.checkout.lockfile import LOCK_FILE
from artifactstore.errors import LocalChanges
from tests.stores import Tree, make_store, read_tree, write_tree

NAMES = st.sampled_from(["a", "b", "a-", "é"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
CONTENTS = st.sampled_from([b"", b"1", b"2", "a", "../out", None])


def fits(tree: dict[str, bytes | str | None]) -> bool:
    """Whether no path stands for a file and a folder at once."""
    return not any(other.startswith(path + "/") for path in tree for other in tree)


TREES = st.dictionaries(PATHS, CONTENTS, max_size=6).filter(fits)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all examples."""
    with make_store(tmp_path_factory.mktemp("store")) as made:
        yield made


def pushed(store: Store, folder: Path, tree: Tree) -> str:
    """A version of this tree, by reference."""
    source = write_tree(Path(tempfile.mkdtemp(dir=folder)), tree)
    return store.push([source], "team/x").qualified_name


def at(tree: Tree, path: str) -> object:
    """What a tree has at a path; the empty tuple for nothing."""
    return tree.get(path, ())


@settings(max_examples=25)
@given(before=TREES, wanted=TREES, local=st.none() | TREES, overwrite=st.booleans(), clean=st.booleans())
def test_a_folder_is_made_so_or_stays(
    store: Store, before: Tree, wanted: Tree, local: Tree | None, overwrite: bool, clean: bool
) -> None:
    """`local` is what somebody made of the folder after `before` was restored; None leaves it as it was."""
    base = Path(tempfile.mkdtemp())
    try:
        lock, target = Lock(base / LOCK_FILE), base / "target"
        lock.add(store, pushed(store, base, before), target)
        lock.restore(store)
        assert read_tree(target) == before
        if local is not None:
            shutil.rmtree(target)
            write_tree(target, local)
        found = read_tree(target)
        lock.add(store, pushed(store, base, wanted), target)
        (status,) = lock.status(store)
        assert (status.state == "clean") == (found == wanted)
        lost = {path for path in found if found[path] not in (at(before, path), at(wanted, path))}
        changed, extra = (
            {path for path in lost if path in wanted},
            {path for path in lost if path not in wanted},
        )
        (plan,) = lock.plan_restore(store)
        # Empty folders that the version fills are nobody's work.
        filled = {
            path for path in extra if found[path] is None and any(p.startswith(path + "/") for p in wanted)
        }
        assert set(plan.changed.shown) == changed
        assert extra - filled <= set(plan.extra.shown) <= extra
        try:
            lock.restore(store, overwrite=overwrite, clean=clean)
        except LocalChanges:
            assert (plan.changed.total and not overwrite) or (plan.extra.total and not clean)
            assert read_tree(target) == found
            lock.restore(store, overwrite=True, clean=True)
        assert read_tree(target) == wanted
        assert lock.status(store)[0].state == "clean"
    finally:
        shutil.rmtree(base)
