"""`cache info` and `cache clean`: what a person and a program read of the cache directory."""

from pathlib import Path

from tests.cli.conftest import Run


def test_the_cache_is_shown_and_cleaned(run: Run, home: Path) -> None:
    """Sizes and times; a dry run keeps all; afterwards the store is used as before."""
    assert "0 indexes" in run("cache", "info").out
    run("push", "data", "team/x", "-q")
    shown = run("cache", "info", "--json").document["cache"]
    assert shown["path"] == str(home / ".cache" / "artifactstore")
    (index,) = shown["indexes"]
    assert (index["size_bytes"], index["in_use"]) == (shown["index_bytes"], False)
    assert index["used"].endswith("Z")
    assert index["store"][:12] in run("cache", "info").out
    assert "would remove" in run("cache", "clean", "--dry-run").out
    assert run("cache", "clean", "--max", "1GB", "--json").document["removed"] == []
    done = run("cache", "clean", "--json").document
    assert [each["store"] for each in done["removed"]] == [index["store"]]
    assert done["freed_bytes"] == index["size_bytes"]
    assert not Path(index["path"]).exists()
    assert run("show", "team/x").code == 0


def test_a_size_that_is_none(run: Run) -> None:
    """`0` is everything; a word is a usage error."""
    assert run("cache", "clean", "--max", "0").code == 0
    done = run("cache", "clean", "--max", "much")
    assert done.code == 2
    assert "'much' is not a size" in done.err
