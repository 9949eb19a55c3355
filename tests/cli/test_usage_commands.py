"""`du` and what `info` says of garbage."""

import pytest

from artifactstore.cli.usage_rendering import garbage_lines
from artifactstore.errors import PermissionRefused
from artifactstore.store import Garbage, Store
from tests.cli.conftest import Run

pytestmark = pytest.mark.places("folder", "s3")


@pytest.fixture(autouse=True)
def pushed(run: Run, place: str, data) -> None:
    """Two versions of `team/x`, one of `team/y`."""
    assert run("init").code == 0
    assert run("push", "data", "team/x", "-q").code == 0
    (data / "b.csv").write_text("5,6\n")
    assert run("push", "data", "team/x", "-q").code == 0
    assert run("push", "data", "team/y", "-q").code == 0


def test_du(run: Run) -> None:
    """A row for each artifact and one for all, or for what is named."""
    lines = [line.split() for line in run("du").out.splitlines()]
    assert [line[0] for line in lines] == ["of", "team/x", "team/y", "total"]
    assert lines[3][1] == "3"
    (row,) = run("du", "team/x:*", "--json").document["usage"]
    assert (row["name"], row["versions"], row["logical_bytes"]) == ("team/x:*", 2, 24)
    assert row["unique_bytes"] + row["shared_bytes"] == row["stored_bytes"]
    assert run("du", "team").code == 2
    assert run("du", "team/z").code == 3


def test_info_says_what_holds_garbage(run: Run) -> None:
    """A deleted version holds its own until its grace is over; `--quick` does not look."""
    assert "freed by `artifactstore gc`" in run("info").out
    run("delete", "team/x:v0", "--yes")
    assert "in 1 deleted version, to be brought back until 2" in run("info").out
    garbage = run("info", "--json").document["garbage"]
    assert (garbage["deleted_versions"], garbage["deleted_bytes"] > 0, garbage["refused"]) == (1, True, "")
    assert run("info", "--quick", "--json").document["garbage"] is None
    assert "garbage" not in run("info", "--quick").out


def test_info_where_listing_is_forbidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is shown all the same, with a word."""

    def refused(*_: object, **__: object) -> Garbage:
        raise PermissionRefused("listing is not allowed")

    monkeypatch.setattr(Store, "garbage", refused)
    shown = run("info")
    assert (shown.code, "listing is not allowed" in shown.err, "stored" in shown.out) == (0, True, True)


def test_everything_that_can_hold_garbage_has_a_line() -> None:
    """Running pushes, packs that are not worth rewriting, objects that were left, and why nothing may be purged."""
    lines = "\n".join(garbage_lines(Garbage(0, 0, 0, None, 2, 3_000_000, 5_000, 1, "")))
    assert "3.00 MB of 2 pushes not over yet" in lines
    assert "5.00 kB in packs that are not worth rewriting" in lines
    assert "1 object: `artifactstore gc --resume`" in lines
    assert "it is not known" in next(garbage_lines(Garbage(0, 0, 0, None, 0, 0, 0, 0, "it is not known")))
