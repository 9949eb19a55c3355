"""Which files can be looked into, by the ends of their names, and looking into two of them."""

from typing import Final

from artifactstore.comparison.results import FileDiff
from artifactstore.comparison.source import Apart, Source, everything

__all__ = ["Apart", "compare_files", "everything", "format_of"]

_FORMATS: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".safetensors": "safetensors",
}


def format_of(path: str) -> str | None:
    """The format of a file: `csv`, `parquet`, `safetensors`, or None for any other."""
    lowered = path.lower()
    return next((name for end, name in _FORMATS.items() if lowered.endswith(end)), None)


def compare_files(format_name: str, before: Source, after: Source, apart: Apart) -> FileDiff:
    """Look into two files of one format.

    Args:
        format_name: From `format_of`.
        before: The first.
        after: The second.
        apart: Says what may differ.

    Raises:
        InvalidContent: One of them is not of that format.
        MissingExtra: A library that the format needs is not installed.
    """
    if format_name == "csv":
        from artifactstore.comparison.csv_tables import compare_csv

        return compare_csv(before, after)
    if format_name == "parquet":
        from artifactstore.comparison.parquet_tables import compare_parquet

        return compare_parquet(before, after)
    from artifactstore.comparison.tensors import compare_tensors

    return compare_tensors(before, after, apart)
