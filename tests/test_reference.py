"""The reference pages are what the docstrings say, and every public name, method, argument and field has its words."""

import inspect
import re
from typing import Any

import msgspec
import pytest

from tests.reference import COMMAND, FOLDER, everything, members_of, pages


def documented() -> list[tuple[str, Any]]:
    """Everything public, and the methods and properties of what are classes."""
    found: list[tuple[str, Any]] = []
    for name, thing in everything().items():
        found.append((name, thing))
        if inspect.isclass(thing):
            for member, value in members_of(thing):
                raw = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                found.append(
                    (f"{name}.{member}", raw.fget if isinstance(raw, property) else inspect.unwrap(raw))
                )
    return found


DOCUMENTED = documented()


def section(doc: str, heading: str) -> set[str]:
    """The names that a section of a docstring speaks of."""
    match = re.search(rf"^ *{heading}:\n((?:(?: +.*)?\n)*)", inspect.cleandoc(doc) + "\n", re.MULTILINE)
    named = re.findall(r"^    (\w[\w, ]*):(?: |$)", match[1], re.MULTILINE) if match else []
    return {name for names in named for name in re.findall(r"\w+", names)}


def test_the_pages_are_current() -> None:
    """Whoever changes a public name or its docstring makes them anew, by one command."""
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    made = pages()
    stale = sorted(name for name in found.keys() | made.keys() if found.get(name) != made.get(name))
    assert stale == [], f"docs/reference is not current: run `{COMMAND}`"


@pytest.mark.parametrize(("name", "thing"), DOCUMENTED, ids=[name for name, _ in DOCUMENTED])
def test_every_public_name_has_a_docstring(name: str, thing: Any) -> None:
    """Its first paragraph is a sentence; generated docstrings of structs and tuples are none."""
    doc = inspect.cleandoc(thing.__doc__ or "")
    first = doc.split("\n\n")[0]
    assert first.endswith((".", ":")), f"{name} has no docstring that begins with a sentence"
    assert not first.startswith((f"{name}(", "Alias for field"))


def test_fields_of_results_are_described() -> None:
    """Each field of a struct or tuple stands in its class's `Attributes`."""
    missing = []
    for name, thing in everything().items():
        if not inspect.isclass(thing) or not issubclass(thing, msgspec.Struct | tuple):
            continue
        fields = getattr(thing, "__struct_fields__", None) or getattr(thing, "_fields", ())
        named = {one for cls in thing.__mro__ for one in section(cls.__doc__ or "", "Attributes")}
        missing += [f"{name}.{field}" for field in fields if field not in named]
    assert missing == []


def test_arguments_of_functions_are_described() -> None:
    """Where a docstring has `Args`, all arguments stand in it."""
    missing = []
    for name, thing in DOCUMENTED:
        if not inspect.isfunction(thing) or "Args:" not in (thing.__doc__ or ""):
            continue
        taken = set(inspect.signature(thing).parameters) - {"self", "cls"}
        missing += [
            f"{name}({argument})" for argument in sorted(taken - section(thing.__doc__ or "", "Args"))
        ]
    assert missing == []
