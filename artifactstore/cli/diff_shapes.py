"""The JSON shapes of how versions differ, and changes counted by folder; as `shapes`, which has those of the others."""

import msgspec

from artifactstore.cli.shapes import Shape, entry_shape, version_shape
from artifactstore.store import Change, TableDiff, TensorsDiff, VersionDiff

# Of more folders, the changes are counted together.
_FOLDERS_MAX = 10_000
OTHERS = "…"


class FolderCount(msgspec.Struct):
    """What changed in one folder of the root."""

    counts: dict[str, int]
    new_bytes: int = 0


def folder_counts(diff: VersionDiff) -> dict[str, FolderCount]:
    """Changes by the first folder of their paths, empty for files in the root; a renamed file where it is now."""
    found: dict[str, FolderCount] = {}
    for change in diff:
        folder = change.path.partition("/")[0] if "/" in change.path else ""
        if folder not in found and len(found) >= _FOLDERS_MAX:
            folder = OTHERS
        counted = found.get(folder)
        if counted is None:
            counted = found[folder] = FolderCount(
                dict.fromkeys(("added", "removed", "changed", "renamed"), 0)
            )
        counted.counts[change.status] += 1
        counted.new_bytes += change.new_bytes
    return dict(sorted(found.items()))


def diff_shape(diff: VersionDiff) -> Shape:
    """A comparison without its changes; `after` is null where it is a local folder."""
    return {
        "before": version_shape(diff.before),
        "after": None if diff.after is None else version_shape(diff.after),
        "folder": diff.name_after if diff.after is None else None,
        "equal": diff.equal,
        "totals": msgspec.to_builtins(diff.totals),
        "facts": [msgspec.to_builtins(fact) for fact in diff.facts],
        "renamed_folders": [msgspec.to_builtins(folder) for folder in diff.renamed_folders],
        "all_renames": diff.all_renames,
    }


def change_shape(change: Change, inside: TableDiff | TensorsDiff | str | None) -> Shape:
    """One change, with what is inside the file or why that can't be said."""
    return {
        "status": change.status,
        "path": change.path,
        "before": None if change.before is None else entry_shape(change.before),
        "after": None if change.after is None else entry_shape(change.after),
        "new_bytes": change.new_bytes,
        "estimated": change.estimated,
        "inside": {"problem": inside} if isinstance(inside, str) else _inside(inside),
    }


def _inside(inside: TableDiff | TensorsDiff | None) -> object:
    """What is inside, with null in place of a number that JSON doesn't have."""
    return None if inside is None else msgspec.json.decode(msgspec.json.encode(inside))


def stat_shape(diff: VersionDiff) -> list[Shape]:
    """Changes by folder."""
    return [
        {"folder": name, **counted.counts, "new_bytes": counted.new_bytes}
        for name, counted in folder_counts(diff).items()
    ]
