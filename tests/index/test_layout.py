"""The layout of the index has a number that changes with its rows: one of another layout is made anew, not misread."""

import importlib
import pkgutil
from hashlib import sha256

import msgspec

import artifactstore.catalog
import artifactstore.index
from artifactstore.index.tables import LAYOUT

KNOWN = (9, "95efafe29f4f22e4")


def rows() -> list[str]:
    """Every struct that rows of the index are made of: its name, and its fields in order with their types."""
    found = []
    for package in (artifactstore.catalog, artifactstore.index):
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for kind in vars(importlib.import_module(info.name)).values():
                if (
                    isinstance(kind, type)
                    and issubclass(kind, msgspec.Struct)
                    and kind.__module__ == info.name
                ):
                    fields = [f"{field.name}: {field.type}" for field in msgspec.structs.fields(kind)]
                    found.append(f"{kind.__name__}({', '.join(fields)})")
    return sorted(found)


def test_rows_change_with_the_number_of_the_layout() -> None:
    """Whoever changes a row takes the next number, and notes here what the rows are now."""
    digest = sha256("\n".join(rows()).encode()).hexdigest()[:16]
    assert (LAYOUT, digest) == KNOWN
