"""Sizes and ranges on the command line are parsed strictly."""

from pathlib import Path
from typing import Any, NoReturn

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.cli.options import parse_range, parse_size
from artifactstore.config import PROJECT_FILE
from artifactstore.errors import NoSuchStore
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500", 500), ("500B", 500), ("10MB", 10_000_000), ("10mb", 10_000_000), ("10M", 10_000_000),
        ("10MB/s", 10_000_000), ("2MiB", 2 << 20), ("2Mi", 2 << 20), ("1.5 GB", 1_500_000_000), ("1k", 1000),
        ("3TiB", 3 << 40),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    """Decimal and binary units, with or without the B, a blank or `/s`."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "MB", "-1", "0", "0.1", "10 elephants", "1iB", "1e6", "\u0661\u0660MB", "nan", "1.MB"]
)
def test_what_is_no_size(text: str) -> None:
    """Anything else is refused, and so is nothing at all."""
    with pytest.raises(click.BadParameter):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("0:1000", (0, 1000)),
        ("5:", (5, None)),
        (":7", (None, 7)),
        ("-100:", (-100, None)),
        (":", (None, None)),
    ],
)
def test_ranges(text: str, ends: tuple[int | None, int | None]) -> None:
    """Both ends are optional and may count from the end."""
    assert parse_range(text) == ends


@given(st.text(max_size=30))
def test_ranges_are_parsed_or_refused(text: str) -> None:
    """No text raises anything else, and no number is too long to be one."""
    try:
        ends = parse_range(text)
    except click.BadParameter:
        return
    assert all(end is None or abs(end) < 10**19 for end in ends)


def test_storage_options_reach_the_store(run: Run, fake: Any) -> None:
    """Text is text; JSON objects and truth values are taken as such."""
    run("push", "data", "team/x")
    words = ("endpoint=https://h", "key=007", "anon=true", 'config_kwargs={"read_timeout": 5}')
    done = run("ls", *(word for option in words for word in ("--storage-option", option)))
    assert done.code == 0
    assert fake.opened_with["storage_options"] == {
        "endpoint": "https://h",
        "key": "007",
        "anon": True,
        "config_kwargs": {"read_timeout": 5},
    }


@pytest.mark.parametrize("words", [["init"], ["audit"], ["ls", "--store"]], ids=" ".join)
def test_a_server_that_a_file_names_is_that_of_its_store(
    words: list[str], run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another store, however it is named, is not looked for there."""
    (home / PROJECT_FILE).write_text('store = "s3://ours/x"\n[storage]\nendpoint = "https://ours"\n')
    asked: list[dict[str, Any]] = []

    def refuse(url: Any, *_: Any, storage_options: dict[str, Any], **__: Any) -> NoReturn:
        asked.append(storage_options)
        raise NoSuchStore("none")

    for name in ("create", "open"):
        monkeypatch.setattr(f"artifactstore.Store.{name}", refuse)
    monkeypatch.setattr("artifactstore.store.audit", refuse)
    for url in ("s3://ours/x", "s3://theirs/x"):
        assert run(*words, url).code == 3
    assert asked == [{"endpoint": "https://ours"}, {}]


@pytest.mark.parametrize("text", ["endpoint", "=x", "secret=abc", "token=abc", "client_kwargs={"])
def test_storage_options_that_are_none_are_refused(run: Run, fake: Any, text: str) -> None:
    """Secrets too: a command line can be read by others."""
    done = run("ls", "--storage-option", text)
    assert done.code == 2
    assert "abc" not in done.err
