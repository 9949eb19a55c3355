"""References from the command line: adding, listing, pulling, leaving out, verifying, and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.references.web_server import Site, serving

pytestmark = [pytest.mark.places("folder", "s3"), pytest.mark.usefixtures("ready")]


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as served:
        served.files["/far.csv"] = (b"1,2\n", '"v1"')
        yield served


def test_from_a_push_to_a_pull(run: Run, site: Site, data: Path) -> None:
    """What is shown of a reference, what a pull needs to be told, and what it leaves out."""
    url = f"{site.url}/far.csv"
    folder = f"file://{data}"
    done = run("push", "--reference", f"{url}=in/far.csv", "--reference", f"{folder}/=near", "p/n", "--json")
    assert done.document["push"]["files"] == 3
    listed = run("files", "p/n", "--json").document["files"]
    assert [(one["path"], one["kind"], one["reference"]["url"]) for one in listed] == [
        ("in/far.csv", "reference", url),
        ("near/a.txt", "reference", f"{folder}/a.txt"),
        ("near/b.csv", "reference", f"{folder}/b.csv"),
    ]
    assert listed[0]["reference"]["checksum"] == 'etag:"v1"'
    assert f"in/far.csv -> {url}" in run("files", "p/n").out
    assert run("show", "p/n", "--json").document["version"]["references"] is None
    shown = run("show", "p/n", "--references", "--json").document["version"]
    assert (shown["references"], shown["reference_bytes"]) == (3, shown["size_bytes"])
    assert "references  3, " in run("show", "p/n", "--references").out
    refused = run("pull", "p/n", "out", "--json")
    assert (refused.code, refused.error["kind"]) == (4, "reference-refused")
    assert "--no-references" in refused.error["next_step"]
    assert not Path("out").exists()
    left = run("pull", "p/n", "left", "--no-references")
    assert left.code == 0
    assert "left out 3 references" in left.out
    some = run("pull", "p/n", "some", "--allow-missing", "--allow-references", folder, "--json")
    assert some.document["pull"]["references_left"] == 1
    assert sorted(path.name for path in Path("some/near").iterdir()) == ["a.txt", "b.csv"]
    allowed = ("--allow-references", f"{site.url}/", "--allow-references", folder)
    assert run("pull", "p/n", "out", *allowed).code == 0
    assert Path("out/in/far.csv").read_bytes() == b"1,2\n"


def test_verify(run: Run, site: Site) -> None:
    """Exit code 0 and 1, and what is told of each problem, also with --quiet."""
    run("push", "--reference", f"{site.url}/far.csv", "p/n")
    allowed = ("--allow-references", f"{site.url}/")
    good = run("verify", "p/n", *allowed)
    assert (good.code, good.out) == (0, "p/n:v0: 1 reference, 1 as they were, 0 problems\n")
    site.files["/far.csv"] = (b"1,2\n", '"v2"')
    bad = run("verify", "p/n", *allowed, "-q")
    assert bad.code == 1
    assert bad.out.startswith("reference-changed: far.csv: ")
    told = run("verify", "p/n", *allowed, "--json").document
    assert (told["ok"], told["good"], [one["kind"] for one in told["problems"]]) == (
        False,
        0,
        ["reference-changed"],
    )
    assert run("verify", "p/n").code == 1
    assert run("verify", "p/missing").code == 3


def test_taken_in(run: Run, site: Site) -> None:
    """With --materialize the version holds files."""
    run("push", "--reference", f"{site.url}/far.csv", "--materialize", "p/n")
    site.files.clear()
    assert run("cat", "p/n", "far.csv").out == "1,2\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--reference", "https://user:secret@host/a", "p/n"], 2),
        (["--reference", "ftp://host/a", "p/n"], 2),
        (["--reference", "file:///a", "--reference", "file:///b/a", "p/n"], 2),
        (["--reference", "file:///a", "--dry-run", "p/n"], 2),
        (["data", "--materialize", "p/n"], 2),
        (["--max-objects", "1", "--reference", "file://DATA/=x", "p/n"], 4),
        (["--reference", "file:///no/such/file", "p/n"], 3),
        (["p/n"], 2),
    ],
)
def test_what_is_refused(run: Run, data: Path, words: list[str], code: int) -> None:
    """Each has its exit code, and nothing secret is repeated."""
    done = run("push", *(word.replace("DATA", str(data)) for word in words))
    assert done.code == code
    assert "secret" not in done.err


def test_a_query_is_part_of_the_url(run: Run, site: Site) -> None:
    """A URL with a question mark takes no path, and its name from what stands before it."""
    site.files["/table?rows=3"] = (b"3", '"v"')
    run("push", "--reference", f"{site.url}/table?rows=3", "p/n")
    (entry,) = run("files", "p/n", "--json").document["files"]
    assert (entry["path"], entry["reference"]["url"]) == ("table", f"{site.url}/table?rows=3")
