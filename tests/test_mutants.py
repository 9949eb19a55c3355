"""Faults that are put into the engine on purpose are caught by the tests that say so."""

from pathlib import Path

import pytest

from tests.mutants import (
    CAUGHT,
    ESCAPED,
    NOT_RUN,
    ROOT,
    Mutant,
    apply,
    attempt,
    copy_tree,
    mutants,
    run_tests,
    verdict,
)

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


@pytest.mark.parametrize(
    ("code", "output", "expected"),
    [
        (0, "3 passed in 1.00s", ESCAPED),
        (1, "E   assert 1 == 2\n1 failed, 2 passed in 1.00s", CAUGHT),
        (1, "E   Failed: Timeout (>60.0s) from pytest-timeout.\n1 failed in 60.00s", NOT_RUN),
        (1, "+++++ Timeout +++++", NOT_RUN),
        (1, "1 error in 1.00s", NOT_RUN),
        (2, "Interrupted: 1 error during collection", NOT_RUN),
        (4, "ERROR: not found", NOT_RUN),
        (5, "no tests ran in 0.01s", NOT_RUN),
        (-9, "...", NOT_RUN),
        (137, "1 failed", NOT_RUN),
    ],
)
def test_only_a_failed_test_catches(code: int, output: str, expected: str) -> None:
    """A run that was killed, out of time or not collected says nothing about the mutant."""
    assert verdict(code, output) == expected


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
    found, output = attempt(mutant)
    assert found == CAUGHT, f"{found}: {output}"
