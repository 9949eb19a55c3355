"""Faults that are put into the engine on purpose are caught by the tests that say so."""

from pathlib import Path

import pytest

from tests.mutants import ROOT, Mutant, apply, copy_tree, is_caught, mutants, run_tests

ALL = mutants()
# What must be on the list whatever else is.
REQUIRED = {
    "nonce-reused",
    "cid-not-checked-in-ranges",
    "cid-not-checked-in-reads",
    "record-before-its-packs",
    "fsync-left-out",
    "bound-on-objects-not-checked",
    "bound-on-frames-not-checked",
    "aad-without-type",
    "head-search-stops-early",
}


def test_the_list_is_read() -> None:
    """Names are distinct, what is required is there, and every mutant has an edit and a test."""
    names = [mutant.name for mutant in ALL]
    assert len(set(names)) == len(names)
    assert set(names) >= REQUIRED
    assert [mutant.name for mutant in ALL if not mutant.edits or not mutant.tests] == []


def test_every_edit_fits_the_source(tmp_path: Path) -> None:
    """Each place is there exactly once; a list that falls behind the source would test nothing."""
    wrong = []
    for mutant in ALL:
        for edit in mutant.edits:
            (tmp_path / edit.path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / edit.path).write_bytes((ROOT / edit.path).read_bytes())
        try:
            apply(mutant, tmp_path)
        except ValueError as error:
            wrong.append(str(error))
        wrong += [
            f"{mutant.name}: no {test}"
            for test in mutant.tests
            if not (ROOT / test.partition("::")[0]).exists()
        ]
    assert wrong == []


@pytest.mark.deep
def test_the_tests_pass_on_what_is_not_mutated(tmp_path: Path) -> None:
    """A test that fails anyway catches nothing."""
    copy_tree(tmp_path)
    done = run_tests(tmp_path, sorted({test for mutant in ALL for test in mutant.tests}))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.deep
@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_every_mutant_is_caught(mutant: Mutant) -> None:
    """The tests named beside a mutant fail on it."""
    caught, output = is_caught(mutant)
    assert caught, output
