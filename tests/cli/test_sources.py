"""What a push is given: lists of files, standard input, metadata, and what does not fit together."""

import io
import os
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.cli.sources import (
    LISTED_PATH_BYTES_MAX,
    METADATA_FILE_BYTES_MAX,
    gather,
    listed_files,
    parse_metadata,
)
from artifactstore.errors import InvalidMetadata, InvalidSource, NoSuchPath, PermissionRefused

PATHS = st.lists(
    st.binary(min_size=1, max_size=40).filter(lambda path: b"\n" not in path and b"\0" not in path)
)


@given(PATHS)
def test_a_list_by_lines(paths: list[bytes]) -> None:
    """Every line is a path as it stands, with or without a last newline; empty lines are none."""
    expected = [os.fsdecode(path) for path in paths]
    assert list(listed_files(io.BytesIO(b"\n".join(paths)))) == expected
    assert list(listed_files(io.BytesIO(b"\n\n".join(paths) + b"\n"))) == expected


@given(st.lists(st.binary(min_size=1, max_size=40).filter(lambda path: b"\0" not in path), min_size=1))
def test_a_list_by_nul(paths: list[bytes]) -> None:
    """What `find -print0` prints may hold newlines."""
    assert list(listed_files(io.BytesIO(b"".join(path + b"\0" for path in paths)))) == [
        os.fsdecode(path) for path in paths
    ]


def test_a_long_list_is_not_held_in_memory() -> None:
    """The list is read as it is consumed."""
    stream = io.BytesIO(b"a/path\n" * 100_000)
    paths = listed_files(stream)
    assert next(paths) == "a/path"
    assert stream.tell() < 100_000
    assert sum(1 for _ in paths) == 99_999


def test_a_list_that_is_none() -> None:
    """Something that is no list of paths is refused before it fills the memory."""
    with pytest.raises(InvalidSource, match="longer than"):
        list(listed_files(io.BytesIO(b"x" * (LISTED_PATH_BYTES_MAX + 1 + (1 << 20)))))


def test_sources_are_told_apart(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths stay, standard input becomes a stream, a list becomes files."""
    stdin = io.TextIOWrapper(io.BytesIO(b"from stdin"))
    monkeypatch.setattr(sys, "stdin", stdin)
    (home / "list").write_text("x\ny\n")
    sources = gather(("a", "-"), as_path="b/c", files_from=str(home / "list"))
    assert (sources.paths, sources.streams) == (("a",), {"b/c": stdin.buffer})
    assert list(sources.files or ()) == ["x", "y"]
    sources.close()
    assert sources.listing is not None
    assert sources.listing.closed
    assert gather(("a",), as_path=None, files_from=None) == (("a",), None, {}, None)
    from_stdin = gather((), as_path=None, files_from="-")
    assert list(from_stdin.files or ()) == ["from stdin"]
    from_stdin.close()
    assert not stdin.closed


@pytest.mark.parametrize(
    ("paths", "as_path", "files_from", "why"),
    [
        ((), None, None, "nothing to push"),
        (("-",), None, None, "needs --as"),
        (("-", "-"), "x", None, "once only"),
        (("a",), "x", None, "no - is pushed"),
        (("-",), "x", "-", "both a file and the list"),
    ],
)
def test_sources_that_do_not_fit(
    paths: tuple[str, ...], as_path: str | None, files_from: str | None, why: str
) -> None:
    """What can't be meant is a usage error."""
    with pytest.raises(click.UsageError, match=why):
        gather(paths, as_path=as_path, files_from=files_from)


def test_a_list_that_is_missing_or_closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that can't be opened is named."""
    with pytest.raises(NoSuchPath, match="the list of files"):
        gather((), as_path=None, files_from=str(home / "no"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionRefused, match="the list of files"):
        gather((), as_path=None, files_from="list")


def test_metadata_values() -> None:
    """A value is JSON where it parses, else the text; a later one wins; only the first = divides."""
    texts = [
        "n=3",
        "x=1e-4",
        "t=true",
        "z=null",
        'l=[1, "a"]',
        "s=hello",
        "e=",
        "q=a=b",
        "nan=NaN",
        "n=4",
        "k=01",
    ]
    assert parse_metadata(texts) == {
        "n": 4, "x": 1e-4, "t": True, "z": None, "l": [1, "a"], "s": "hello", "e": "", "q": "a=b",
        "nan": "NaN", "k": "01",
    }  # fmt: skip


def test_metadata_files(home: Path) -> None:
    """`@FILE` and `FILE.json` hold objects, and mix with single values."""
    (home / "m.json").write_text('{"a": {"b": [1]}, "c": 1}')
    (home / "odd=name").write_text('{"d": 2}')
    assert parse_metadata([str(home / "m.json"), "c=2", f"@{home / 'odd=name'}"]) == {
        "a": {"b": [1]},
        "c": 2,
        "d": 2,
    }


@pytest.mark.parametrize("text", ["novalue", "=x", "", "file.txt"])
def test_what_is_no_metadata(text: str) -> None:
    """Neither a value nor a file."""
    with pytest.raises(InvalidMetadata, match="neither KEY=VALUE"):
        parse_metadata([text])


@pytest.mark.parametrize("content", ["[1]", "{", "3", '{"a": NaN}', "[" * 100_000, "\udcff"])
def test_metadata_files_that_are_no_object(home: Path, content: str) -> None:
    """A file must hold one JSON object."""
    (home / "m.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InvalidMetadata, match="not a JSON object"):
        parse_metadata([f"@{home / 'm.json'}"])


def test_a_metadata_file_has_a_bound(home: Path) -> None:
    """A file that is taken for metadata by mistake is not read whole."""
    with (home / "m.json").open("wb") as stream:
        stream.truncate(METADATA_FILE_BYTES_MAX + 1)
    with pytest.raises(InvalidMetadata, match="longer than"):
        parse_metadata([f"@{home / 'm.json'}"])


def test_a_metadata_file_that_is_missing() -> None:
    """A missing file is told as one."""
    with pytest.raises(NoSuchPath, match="the metadata file"):
        parse_metadata(["@no.json"])
