"""`docs/library.md` keeps its word: its program runs, and its arguments are those of the code."""

import inspect
import re
from pathlib import Path

import pytest

import artifactstore
from artifactstore import Store

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "library.md").read_text(encoding="utf-8")


def blocks() -> list[tuple[int, str]]:
    """The Python examples, each with the line that it begins on."""
    found = re.finditer(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    return [(TEXT.count("\n", 0, match.start(1)), match[1]) for match in found]


def test_the_examples_are_one_program_that_runs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From top to bottom, in an empty folder with nothing configured; what it asserts holds."""
    names: dict[str, object] = {"__name__": "library"}
    for line, block in blocks():
        exec(compile("\n" * line + block, "docs/library.md", "exec"), names)
    assert "labels.csv file 24 " in capsys.readouterr().out


def test_every_argument_of_create_and_open_is_described() -> None:
    """The table says which of the two takes it."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (both|`open`) \|", TEXT, re.MULTILINE)
    documented = {name: of for names, of in rows for name in re.findall(r"\w+", names)}
    create, opening = (set(inspect.signature(function).parameters) for function in (Store.create, Store.open))
    assert documented == {name: "both" if name in create else "`open`" for name in create | opening}


def test_every_method_of_a_store_is_shown() -> None:
    """What a store can do is used in an example or named in the text."""
    code = " ".join(re.findall(r"```.*?```|`[^`\n]+`", TEXT, re.DOTALL))
    public = [name for name in vars(Store) if not name.startswith("_")]
    internal = {"getter_of", "open_entry"}  # what a version reads through
    assert [name for name in public if name not in internal and not re.search(rf"\b{name}\b", code)] == []


def test_public_names_are_lazy_and_all_there() -> None:
    """Each exported name is loaded on first use from its home, and no other name is."""
    assert dir(artifactstore) == sorted(artifactstore.__all__)
    for name in artifactstore.__all__:
        assert getattr(artifactstore, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        artifactstore.nothing  # noqa: B018 - the look is the test
