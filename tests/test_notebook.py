"""What notebooks show: escaped, bounded, and small."""

from html.parser import HTMLParser
from pathlib import Path

from artifactstore import Artifact
from artifactstore.notebook import bytes_text, facts, listing
from tests.stores import make_store, noise, write_tree

EVIL = "<script>alert('x')</script>&\"\x1b[31m"


class Tags(HTMLParser):
    """Collects the tags of a page, and that each is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def parsed(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    assert tags.opened == []
    assert tags.seen <= {"div", "b", "table", "tr", "th", "td"}
    assert "\x1b" not in html
    return tags


def test_whatever_is_shown_is_escaped() -> None:
    """Titles, headings, names and values."""
    for html in (facts(EVIL, [(EVIL, EVIL), ("none", None)]), listing(EVIL, [EVIL], [[EVIL]], more=3)):
        tags = parsed(html)
        assert "alert('x')" in tags.text
        assert "none" not in tags.text


def test_a_version_is_shown(tmp_path: Path) -> None:
    """With what one asks first, a long description cut short."""
    source = write_tree(tmp_path / "in", {"a": noise(2000), "b": b"1"})
    with make_store(tmp_path) as store:
        version = store.push(
            [source],
            "p/n",
            aliases=["best"],
            tags=["t"],
            description=EVIL + "long " * 500,
            metadata={"rows": 3, EVIL: [1]},
        )
        html = version._repr_html_()
    tags = parsed(html)
    for text in ("p/n:v0", "dataset", version.digest[:12], "2, 2.0 kB", "best, latest", '"rows": 3'):
        assert text in tags.text
    assert len(html) < 3000


def test_a_comparison_is_shown(tmp_path: Path) -> None:
    """The first changes, and how many more there are."""
    with make_store(tmp_path) as store:
        before = {f"old{number}": noise(100, number) for number in range(30)} | {
            "same": b"1",
            "moved": noise(5000),
        }
        store.push([write_tree(tmp_path / "one", before)], "p/n")
        after = {"same": b"1", "elsewhere": noise(5000), "x<b>": b"12"}
        store.push([write_tree(tmp_path / "two", after)], "p/n")
        html = store.diff("p/n:v0", "p/n:v1")._repr_html_()
    tags = parsed(html)
    assert "moved → elsewhere" in tags.text
    assert "and 12 more" in tags.text
    assert len(html) < 6000


def test_a_lineage_is_shown(tmp_path: Path) -> None:
    """The nearest nodes, with names escaped."""
    with make_store(tmp_path) as store:
        store.push_stream(b"1", "p/base", path="x")
        with store.run("p", "<i>train</i>", git=False, heartbeat=False) as run:
            run.use("p/base")
            for number in range(25):
                run.log_artifact(write_tree(tmp_path / str(number), {"y": b"%d" % number}), f"out{number}")
        tags = parsed(store.lineage("p/base", "down")._repr_html_())
    assert "lineage of p/base:v0" in tags.text
    assert "<i>train</i>" in tags.text
    assert "and 7 more" in tags.text


def test_a_draft_is_shown(tmp_path: Path) -> None:
    """Before it is saved by what it is called, then as its version."""
    draft = Artifact("n", type="plan", description="<b>")
    assert "draft of n" in parsed(draft._repr_html_()).text
    with draft.new_file("x") as file:
        file.write("1")
    with make_store(tmp_path) as store:
        draft.save(store, project="p")
        assert draft._repr_html_() == store.version("p/n")._repr_html_()


def test_sizes_are_such_as_people_read() -> None:
    """One digit behind the point, in steps of a thousand."""
    assert [bytes_text(size) for size in (0, 999, 1000, 1_250_000, 3 * 10**18)] == [
        *("0 B", "999 B", "1.0 kB", "1.2 MB"),
        "3000.0 PB",
    ]
