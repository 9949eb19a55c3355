"""Plans of copies: what is done once is not done again, whatever was copied before, and in which order."""

from itertools import product
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from artifactstore.exchange.copy_plan import CopyStep, plan_steps
from artifactstore.store import Version

contents = st.lists(st.sampled_from("abc"), max_size=8)


def versions_of(contents: str) -> list[Version]:
    """Versions with these contents, a letter each; those of a `-` were deleted."""
    return [
        cast(
            "Version",
            SimpleNamespace(
                number=number,
                digest=letter,
                aliases=(),
                tags=(),
                description="",
                metadata={},
                expires_ns=None,
            ),
        )
        for number, letter in enumerate(contents)
        if letter != "-"
    ]


def after(steps: list[CopyStep], there: str) -> str:
    """What a destination holds after a plan was done, which has to be as the plan says."""
    for step in steps:
        if step.action == "copy":
            assert there[-1:] != step.version.digest, "pushing it makes no version"
            there += step.version.digest
        else:
            found = there[-1] if step.target is None else there[step.target]
            assert found == step.version.digest
    return there


def pushed(contents: list[str]) -> str:
    """Versions that pushes of these contents made: the same content again makes none."""
    return "".join(letter for at, letter in enumerate(contents) if not at or contents[at - 1] != letter)


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        ("aba", "", "aba"),
        ("aba", "ab", "aba"),
        ("ab", "b", "ba"),
        ("abcb", "ab", "abcb"),
        ("a-a", "", "a"),
        ("abac", "ba", "bac"),  # what came back is one with the newest, and stays so
        ("abac", "b", "bac"),  # and is not pushed right behind itself
    ],
)
def test_contents_that_come_back(here: str, there: str, expected: str) -> None:
    """They stay several where they come in order, and are one where they don't."""
    done = after(plan_steps(versions_of(here), versions_of(there)), there)
    assert done == expected


@given(history=contents, copies=st.lists(st.sets(st.integers(0, 7)), max_size=3), own=contents)
@example(history=list("abac"), copies=[{1}, {0, 1, 2, 3}], own=[])
def test_what_was_copied_is_not_copied_again(
    history: list[str], copies: list[set[int]], own: list[str]
) -> None:
    """Some were copied before, in any order, some deleted since, and the destination has versions of its own."""
    here, there = versions_of(pushed(history)), pushed(own)
    for chosen in [*copies, {*range(8)}]:
        some = [version for version in here if version.number in chosen]
        there = after(plan_steps(some, versions_of(there)), there)
        again = plan_steps(some, versions_of(there))
        assert [step.action for step in again] == ["keep"] * len(some)


def test_an_empty_destination_becomes_as_the_source() -> None:
    """Version for version, in order."""
    for letters in product("abc", repeat=6):
        here = pushed(list(letters))
        assert after(plan_steps(versions_of(here), []), "") == here
