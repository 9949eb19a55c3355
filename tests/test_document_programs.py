"""Every page with Python on it is a program that runs, from top to bottom, in an empty folder."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# README and the library's page have tests of their own, which look at what is printed too.
ELSEWHERE = {"README.md", "docs/library.md"}


def blocks(page: Path) -> list[tuple[int, str]]:
    """The Python examples of a page, each with the line that it begins on."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


def shown(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if blocks(page) and shown(page) not in ELSEWHERE
]


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_the_examples_of_a_page_are_one_program(home: Path, page: Path) -> None:
    """What it asserts holds; a block that is headed by a file's name is a script of its own, and must compile."""
    names: dict[str, object] = {"__name__": page.stem}
    for line, block in blocks(page):
        program = compile("\n" * line + block, shown(page), "exec")
        if not re.match(r"# \w+\.py$", block, re.MULTILINE):
            exec(program, names)
