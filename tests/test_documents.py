"""Documents keep what they promise: links lead somewhere, examples run, CI finds the commands."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def fenced(text: str, language: str) -> list[str]:
    """The contents of the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as they are made on a web page of it."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_holds_exactly_two_commands() -> None:
    """A stranger has two things to type: one that tries it, one that tests it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    marked = re.findall(r"^<!-- command: (\w+) -->\n```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert [name for name, _command in marked] == ["try", "test"]
    assert [command for _name, command in marked] == fenced(text, "sh")
    assert len(re.findall(r"^```\w*$", text, re.MULTILINE)) == 2 * (2 + len(fenced(text, "python")))


@pytest.mark.parametrize("name", ["try", "test"])
def test_ci_reads_the_commands_out_of_readme(name: str) -> None:
    """`.ci/run` finds the very text of README's blocks, so that the two can't drift apart."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    function = re.search(r"^readme_command\(\) \{\n.*?^\}$", script, re.DOTALL | re.MULTILINE)
    assert function is not None
    found = subprocess.run(
        ["bash", "-euc", f'tree={ROOT}\n{function[0]}\nreadme_command "$1"', "bash", name],
        capture_output=True,
        text=True,
        check=True,
    )
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert found.stdout == fenced(text, "sh")[["try", "test"].index(name)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link names a file or folder of the repository, and a heading in it where it says one."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        known = target.exists() and target.is_relative_to(ROOT)
        if not known or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


def test_readmes_example_runs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The library example does what it shows, as it stands, in an empty folder with nothing configured."""
    (example,) = fenced((ROOT / "README.md").read_text(encoding="utf-8"), "python")
    exec(compile(example, "README.md", "exec"), {"__name__": "readme"})
    assert "labels.csv b'image,label\\n'" in capsys.readouterr().out
    copies = [path.read_text() for path in (home / "copy-of-data").rglob("labels.csv")]
    assert copies == ["image,label\n1,cat\n"]
