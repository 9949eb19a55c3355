"""`docs/errors.md` has every error, as the code has it, and none is without a next step.

`PYTHONPATH=. python tests/test_errors_document.py` writes the table anew.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import artifactstore
from artifactstore import ArtifactStoreError, errors
from artifactstore.cli.failures import InternalError, Interrupted

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
CLASSES = {
    name: cls
    for name, cls in vars(errors).items()
    if isinstance(cls, type) and issubclass(cls, ArtifactStoreError)
}

# Commands that advice may name before they are there.
ANNOUNCED = {"link"}


def described(cls: type[ArtifactStoreError]) -> Iterator[tuple[str, ...]]:
    """The errors below `cls`, as rows of the table."""
    for sub in cls.__subclasses__():
        if sub.__module__ in {errors.__name__, InternalError.__module__}:
            name = f"`{sub.__name__}`"
            meaning = (sub.__doc__ or "").strip().splitlines()[0].removesuffix(".")
            yield (
                f"`{sub.kind}`",
                f"**{name}**" if sub.__subclasses__() else name,
                str(sub.exit_code),
                meaning,
                sub.advice,
            )
            yield from described(sub)


def table() -> str:
    """The rows as they stand in the document."""
    rows = ([cell.replace("|", r"\|") for cell in row] for row in described(ArtifactStoreError))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def test_the_table_is_that_of_the_code() -> None:
    """Kind, class, exit code, meaning and next step of every error, in the order of the tree."""
    written = "".join(f"{line}\n" for line in TEXT.splitlines() if line.startswith("| `"))
    assert written == table()


@pytest.mark.parametrize("cls", [*CLASSES.values(), Interrupted, InternalError], ids=lambda cls: cls.__name__)
def test_every_class_has_a_next_step(cls: type[ArtifactStoreError]) -> None:
    """Whoever raises it may know better, but nobody is left with nothing; facts and all cross a process pool."""
    if cls is ArtifactStoreError:  # never raised itself
        return
    assert cls.advice, cls
    assert cls.advice[0].islower() or cls.advice.startswith("`"), "it goes on behind `next:`"
    assert not cls.advice.endswith(".")
    assert cls("what").next_step == cls.advice
    assert (cls.__doc__ or "").strip()


def test_kinds_are_distinct() -> None:
    """A program that goes by `kind` never mistakes one for another."""
    kinds = [cls.kind for cls in (*CLASSES.values(), Interrupted, InternalError)]
    assert len(kinds) == len(set(kinds))


def raised() -> Iterator[tuple[str, ast.Call]]:
    """Every call in the package that makes an error of ours, with where it is."""
    for path in sorted((ROOT / "artifactstore").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES:
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.func.id}", node


def beginning(message: ast.expr) -> str:
    """The first literal text of a message; empty where it begins with a value."""
    if isinstance(message, ast.JoinedStr):
        return beginning(message.values[0]) if message.values else ""
    return message.value if isinstance(message, ast.Constant) and isinstance(message.value, str) else ""


def test_messages_and_next_steps_read_alike() -> None:
    """A sentence without a capital and without a full stop, as it stands behind the program's name."""
    calls = list(raised())
    assert len(calls) > 200
    odd = []
    for where, call in calls:
        texts = [*call.args[:1], *(word.value for word in call.keywords if word.arg == "next_step")]
        for text in texts:
            literal = beginning(text)
            whole = text.value if isinstance(text, ast.Constant) else ""
            proper = ("Python", "URL", "HEAD", "S3", "MLflow", "DVC", "Hugging", "I", "JSON", "Merkle")
            if (literal[:1].isupper() and not literal.startswith(proper)) or str(whole).endswith("."):
                odd.append(f"{where}: {literal or whole}")
    assert odd == []


def test_advice_names_commands_that_exist() -> None:
    """A next step that can't be taken is worse than none."""
    from artifactstore.cli.main import COMMANDS

    texts = [cls.advice for cls in CLASSES.values()]
    for _, call in raised():
        texts += [
            node.value
            for word in call.keywords
            if word.arg == "next_step"
            for node in ast.walk(word.value)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    named = {name for text in texts for name in re.findall(r"artifactstore ([a-z][a-z-]+)", text)}
    assert named - set(COMMANDS) - ANNOUNCED == set()
    assert len(named) > 10


def test_the_library_says_where_the_table_is() -> None:
    """Who reads about the library finds it."""
    assert "(errors.md)" in (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    assert artifactstore.ArtifactStoreError is ArtifactStoreError


if __name__ == "__main__":
    head, foot = TEXT.partition("| `")[0], TEXT.rpartition(" |\n")[2]
    (ROOT / "docs" / "errors.md").write_text(head + table() + foot, encoding="utf-8")
