"""`ttl` and `retention`: shown before anything is deleted, and asked twice where nothing would be left."""

import io
import sys

import pytest

from tests.cli.conftest import Run

pytestmark = pytest.mark.places("folder", "s3")


@pytest.fixture(autouse=True)
def pushed(run: Run, place: str, data) -> None:
    """Three versions of `team/x`."""
    assert run("init").code == 0
    for number in range(3):
        (data / "b.csv").write_text(f"{number}\n")
        assert run("push", "data", "team/x", "-q").code == 0


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        return True


def numbers(run: Run) -> list[int]:
    return [version["number"] for version in run("ls", "team/x", "--json").document["versions"]]


def test_ttl(run: Run) -> None:
    """It is shown by `show` and `ls`, and what has expired goes when retention is applied."""
    assert "team/x:v0 expires 2" in run("ttl", "team/x:v0", "30d").out
    assert run("show", "team/x:v0", "--json").document["version"]["expires"] is not None
    assert "expires" in run("show", "team/x:v0").out
    assert "expires" in run("ls", "team/x").out
    assert run("ttl", "team/x:v0", "never").out == "team/x:v0 never expires\n"
    assert "expires" not in run("ls", "team/x").out
    run("ttl", "team/x:v1", "0")
    assert run("retention", "apply", "--all", "--yes").out == "deleted 1 version\n"
    assert numbers(run) == [0, 2]
    assert run("ttl", "team/x:v0", "soon").code == 2


def test_retention(run: Run) -> None:
    """Set, shown, planned, applied, removed."""
    told = run(
        "retention", "set", "team/x", "--keep-last", "1", "--keep-tagged", "paper", "--min-age", "0"
    ).out
    assert told == "team/x keeps the newest 1; what an alias points at; what is tagged paper\n"
    shown = run("retention", "show", "team/x").out.splitlines()
    assert [line.split()[0] for line in shown[2:]] == ["v2", "v1", "v0"]
    dry = run("retention", "apply", "team/x", "--dry-run").out
    assert "would delete 2 versions" in dry
    assert "team/x: 2 versions, 1 stay" in dry
    assert numbers(run) == [0, 1, 2]
    refused = run("retention", "apply", "team/x", stdin=b"y\n")
    assert (refused.code, "--yes" in refused.err, "would delete 2" in refused.err) == (1, True, True)
    done = run("retention", "apply", "team/*", "--yes", "--json").document
    assert done["deleted"] == ["team/x:v1", "team/x:v0"]
    assert run("retention", "apply", "team/x").out == "there is nothing to delete\n"
    assert "has no policy" in run("retention", "set", "team/x", "--none").out
    assert run("retention", "show", "team/x", "--json").document["policy"] is None


def test_what_would_delete_everything_is_asked_twice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """--yes is not enough, and neither is one yes on a terminal."""
    run("retention", "set", "team/x", "--min-age", "1s", "--no-keep-aliased")
    run("alias", "team/x:v0", "old")
    for version in ("v0", "v1", "v2"):
        run("ttl", f"team/x:{version}", "0")
    refused = run("retention", "apply", "team/x", "--yes", "--json")
    assert (refused.code, refused.error["kind"], "--force" in refused.error["next_step"]) == (
        4,
        "precondition-failed",
        True,
    )
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", Terminal("y\nn\n"))
    assert run("retention", "apply", "team/x").code == 1
    assert numbers(run) == [0, 1, 2]
    monkeypatch.setattr(sys, "stdin", Terminal("y\ny\n"))
    assert run("retention", "apply", "team/x").out == "deleted 3 versions\n"


def test_what_is_not_said(run: Run) -> None:
    """There is no default, and a policy needs a rule."""
    assert run("retention", "apply").code == 2
    assert run("retention", "apply", "--all", "team/x").code == 2
    assert run("retention", "set", "team/x").code == 2
    assert run("retention", "set", "team/y", "--keep-last", "1").code == 3
