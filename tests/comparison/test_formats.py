"""Which files can be looked into."""

import pytest

from artifactstore.comparison.formats import compare_files, everything, format_of
from tests.comparison.sources import Bytes, tensors_file


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a/b.csv", "csv"), ("A.TSV", "csv"), ("x.parquet", "parquet"), ("m-00001.safetensors", "safetensors"),
     ("a.csv.gz", None), ("csv", None), ("a.bin", None)],
)  # fmt: skip
def test_the_end_of_the_name_says(path: str, expected: str | None) -> None:
    """In any case, and nothing else."""
    assert format_of(path) == expected


def test_each_format_is_compared_as_what_it_is() -> None:
    """A table or tensors."""
    assert compare_files("csv", Bytes(b"a\n"), Bytes(b"a\n"), everything).format == "csv"
    empty = Bytes(tensors_file({}))
    assert compare_files("safetensors", empty, empty, everything).format == "safetensors"
