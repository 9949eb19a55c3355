"""What `import` prints, for people and for programs."""

from collections.abc import Iterator, Sequence

from artifactstore.cli.lines import push_lines
from artifactstore.cli.session import CreatedStore
from artifactstore.cli.shapes import created_shape, push_shape, version_shape
from artifactstore.store import Version


def import_shape(source: str, versions: Sequence[Version], created: CreatedStore | None) -> dict[str, object]:
    """The versions, in the order of the source."""
    return {
        "source": source,
        "versions": [
            {"version": version_shape(one), "push": None if one.push is None else push_shape(one.push)}
            for one in versions
        ],
        "store_created": None if created is None else created_shape(created),
    }


def import_lines(versions: Sequence[Version]) -> Iterator[str]:
    """What became of each version."""
    for one in versions:
        if one.push is not None:
            yield from push_lines(one.qualified_name, one.push)
