"""References: the text that a version keeps, its digest, and the document's example."""

import re
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.format.limits import PATH_BYTES_MAX
from artifactstore.format.reference import (
    Reference,
    parse_reference,
    reference_digest,
    reference_problem,
    reference_text,
    url_problem,
)

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "format" / "v1.md"


def example(name: str) -> str:
    found = re.search(
        rf"^<!-- example: {name} -->\n```text\n(.*?)\n```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    return found[1]


def test_the_document() -> None:
    """The text of a reference is what the document prints, and so is its digest."""
    text = example("reference")
    said = Reference(
        "s3://bucket/raw/a.csv", 20, "etag:5d41402abc4b2a76b9719d911017c592", text.split("\n")[2]
    )
    assert parse_reference(text, 20) == said
    assert reference_text(said) == text
    digest = blake3(b"artifactstore reference v1\0" + text.encode()).digest()
    assert example("reference-digest").split() == ["digest", digest.hex()]
    assert reference_digest(text) == digest


@given(
    st.builds(
        Reference,
        st.text("abc/%é?=&.", max_size=20).map(lambda path: f"s3://bucket/{path}"),
        st.integers(0, 2**60),
        st.text("abc:", min_size=1, max_size=8).map(lambda value: f"etag:{value}"),
        st.text("abc0", max_size=8),
    )
)
def test_round_trip(reference: Reference) -> None:
    """What may be kept comes back as it was."""
    assert reference_problem(reference) == ""
    assert parse_reference(reference_text(reference), reference.size_bytes) == reference


@given(st.text(), st.integers(0, 9))
def test_any_text_is_read_or_refused(text: str, size: int) -> None:
    """A hostile member can put any text there; what is read can be written again."""
    found = parse_reference(text, size)
    assert found is None or (reference_text(found), found.size_bytes) == (text, size)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("s3://bucket/a@b", ""),
        ("https://host?q=1@2", "form"),
        ("https://host/?q=1@2", ""),
        ("https://user@host/a", "user"),
        ("https://user:secret@host/a", "user"),
        ("https://user:secret@host", "user"),
        ("host/a", "form"),
        ("S3://bucket/a", "form"),
        ("https://host/a b", "form"),
        ("https://host/a#b", "form"),
        ("https://host/a\u0085", "form"),
        ("https://host/" + "a" * PATH_BYTES_MAX, "longer"),
    ],
)
def test_urls(url: str, problem: str) -> None:
    """A URL that could hold a secret, or that two readers could understand differently, is none."""
    found = url_problem(url)
    assert bool(found) == bool(problem)
    assert problem in found
