"""Makes `docs/reference/` from the docstrings of what `artifactstore` exports: `python -m tests.reference`."""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import msgspec

import artifactstore
from artifactstore import errors

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
COMMAND = "python -m tests.reference"
LINE_MAX = 100
# Modules of this package that an annotation goes through.
MODULES = re.compile(r"\b(?:maintenance|exchange|tracking|checkout|store)\.(?:\w+\.)*(?=[A-Z])")
SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$")

# What modules of the package call on each other, and no user does.
INSIDE = {
    "Store": {
        "across", "apart", "before_writing", "getter_of", "name_key", "parts", "push_sources", "reader_of", "refresh",
        "push_artifact", "renew", "resweep", "save_changes", "save_draft", "unlock_with", "watched",
    },
    "Artifact": {"base", "content_from", "edits", "removed"},
    "Counters": {"renew"},
    "StorePool": {"renew"},
    "Workers": {"renew"},
    "Version": {"manifest"},
}  # fmt: skip

PAGES = {
    "store": ("Store", "A store: opening it, pushing and pulling, names, deletion, care."),
    "classes": ("Classes", "What a store hands out to be used further, what a program makes, and protocols."),
    "results": (
        "Results",
        "What is returned: frozen, sizes in bytes, times in nanoseconds since the Unix epoch.",
    ),
    "functions": ("Functions", "What needs no open store."),
    "errors": (
        "Errors",
        "Every error, below the class that stands for it; import them from `artifactstore.errors`.",
    ),
}


class Member(NamedTuple):
    """A method or property of a class."""

    name: str
    heading: str
    doc: str


def public_names() -> list[str]:
    """What the package exports, sorted."""
    return sorted(artifactstore.__all__, key=str.lower)


def handles() -> dict[str, type]:
    """Classes that are reached through properties of exported ones, such as `store.members`, and not exported."""
    found: dict[str, type] = {}
    for name in public_names():
        exported = getattr(artifactstore, name)
        for _, value in members_of(exported) if inspect.isclass(exported) else ():
            made = returned(value.fget) if isinstance(value, property) else None
            if (
                inspect.isclass(made)
                and made.__module__.startswith("artifactstore.")
                and made.__name__ != "Manifest"
            ):
                found[made.__name__] = made
    return {name: cls for name, cls in found.items() if name not in artifactstore.__all__}


def returned(function: Callable[..., Any]) -> Any:
    """The class that a function says it returns, where that can be told."""
    try:
        return get_type_hints(function).get("return")
    except (NameError, AttributeError, TypeError):
        return None


def everything() -> dict[str, Any]:
    """All that is documented, by name."""
    return {name: getattr(artifactstore, name) for name in public_names()} | handles()


def page_of(thing: Any) -> str:
    """The page that something stands on."""
    if thing is artifactstore.Store:
        return "store"
    if not inspect.isclass(thing):
        return "functions"
    if issubclass(thing, BaseException):
        return "errors"
    if issubclass(thing, msgspec.Struct | tuple):
        return "results"
    return "classes"


def members_of(cls: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties, those of bases in this package included, in the order of their classes."""
    seen = set(INSIDE.get(cls.__name__, ()))
    for base in cls.__mro__:
        if not base.__module__.startswith("artifactstore"):
            continue
        for name, value in vars(base).items():
            raw = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            if (
                name.startswith("_")
                or name in seen
                or not (inspect.isfunction(raw) or isinstance(raw, property))
            ):
                continue
            seen.add(name)
            yield name, value


def signature(function: Callable[..., Any], name: str) -> str:
    """A signature as its source has it, without `self`."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    parts = arguments(node.args)
    result = f" -> {unquoted(node.returns)}" if node.returns is not None else ""
    start = f"async {name}(" if isinstance(node, ast.AsyncFunctionDef) else f"{name}("
    line = f"{start}{', '.join(parts)}){result}"
    if len(line) <= LINE_MAX:
        return line
    inner = "".join(f"    {part},\n" for part in parts)
    return f"{start}\n{inner}){result}"


def arguments(args: ast.arguments) -> list[str]:
    """Arguments with annotations and defaults, without `self` and `cls`."""
    plain = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(args.defaults)) + list(args.defaults)
    found = [argument(one, default) for one, default in zip(plain, defaults, strict=True)]
    if plain and plain[0].arg in {"self", "cls"}:
        found = found[1:]
    if args.vararg:
        found.append(f"*{args.vararg.arg}")
    elif args.kwonlyargs:
        found.append("*")
    found += [argument(one, default) for one, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    return found


def argument(arg: ast.arg, default: ast.expr | None) -> str:
    """One argument."""
    text = arg.arg + (f": {unquoted(arg.annotation)}" if arg.annotation else "")
    return text if default is None else f"{text} = {ast.unparse(default)}"


def unquoted(annotation: ast.expr | None) -> str:
    """An annotation; one that is quoted for the interpreter's sake without quotes."""
    text = "" if annotation is None else ast.unparse(annotation).replace("'", "").replace('"', "")
    return MODULES.sub("", text)


def described(doc: str) -> str:
    """A docstring as Markdown: sections become lists."""
    lines, out, section, item = inspect.cleandoc(doc).splitlines(), [], "", ""

    def close() -> None:
        nonlocal item
        if item:
            out.append(item)
            item = ""

    for line in lines:
        heading = SECTION.match(line)
        if heading:
            close()
            section = heading[1]
            out += ["" if not out or out[-1] else None, f"**{section}**", ""]
        elif not section or (line and not line.startswith(" ")):
            close()
            if section:
                section = ""
            out.append(line)
        elif not line.strip():
            close()
            section = section if section in {"Args", "Attributes", "Raises"} else ""
            out.append("")
        elif section in {"Returns", "Yields"}:
            out.append(line.strip())
        elif line.startswith("     "):
            item = f"{item} {line.strip()}"
        else:
            close()
            name, _, text = line.strip().partition(": ")
            item = f"- `{name}`: {text}" if text else f"- {line.strip()}"
    close()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line for line in out if line is not None)).strip()


def described_class(name: str, cls: type) -> str:
    """A class, its constructor where its arguments are described, its methods and properties."""
    doc = cls.__doc__ or ""
    parts = [f"## {name}\n"]
    init = vars(cls).get("__init__")
    if "Args:" in doc and inspect.isfunction(init):
        parts.append(f"```\n{signature(init, name).removesuffix(' -> None')}\n```\n")
    parts.append(described(doc) + "\n")
    for member, value in members_of(cls):
        raw = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if isinstance(raw, property):
            parts.append(f"### {name}.{member}\n\n{described(raw.fget.__doc__ or '')}\n")
            continue
        start = f"{name}.{member}" if isinstance(value, classmethod | staticmethod) else member
        text = described(inspect.unwrap(raw).__doc__ or "")
        parts.append(f"### {name}.{member}\n\n```\n{signature(raw, start)}\n```\n\n{text}\n")
    return "\n".join(parts)


def described_error(cls: type[errors.ArtifactStoreError], depth: int = 0) -> Iterator[str]:
    """An error and those below it."""
    advice = f" Next step: {cls.advice}." if cls.advice else ""
    text = " ".join(described(cls.__doc__ or "").split("\n\n")[0].split())
    yield f"{'  ' * depth}- `{cls.__name__}` (`{cls.kind}`, exit code {cls.exit_code}): {text}{advice}"
    for sub in sorted(cls.__subclasses__(), key=lambda one: one.__name__):
        if sub.__module__ == errors.__name__:
            yield from described_error(sub, depth + 1)


def body_of(page: str, things: dict[str, Any]) -> str:
    """What stands on a page below its heading."""
    parts = []
    for name, thing in sorted(things.items(), key=lambda item: item[0].lower()):
        if inspect.isclass(thing):
            parts.append(described_class(name, thing))
        else:
            parts.append(
                f"## {name}\n\n```\n{signature(thing, name)}\n```\n\n{described(thing.__doc__ or '')}\n"
            )
    if page == "errors":
        parts.append("## All of them\n\n" + "\n".join(described_error(errors.ArtifactStoreError)) + "\n")
    return "\n".join(parts)


def pages() -> dict[str, str]:
    """The text of every page, by file name."""
    by_page: dict[str, dict[str, Any]] = {page: {} for page in PAGES}
    for name, thing in everything().items():
        by_page[page_of(thing)][name] = thing
    made = f"Made from the docstrings by `{COMMAND}`; change those.\n"
    texts = {
        f"{page}.md": f"# {title}\n\n{about} {made}\n{body_of(page, by_page[page])}"
        for page, (title, about) in PAGES.items()
    }
    rows = "".join(
        f"| [`{name}`]({page_of(thing)}.md#{name.lower()}) | {first_sentence(thing)} |\n"
        for name, thing in sorted(everything().items(), key=lambda item: item[0].lower())
    )
    texts["README.md"] = (
        f"# Reference\n\nEvery public name of `artifactstore`, and what its classes can do. {made}\n"
        "[The Python library](../library.md) shows them at work.\n\n"
        f"| name | what it is |\n|---|---|\n{rows}"
    )
    return texts


def first_sentence(thing: Any) -> str:
    """The first line of a docstring."""
    return inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def write() -> None:
    """Write every page, and remove those that nothing makes any more."""
    importlib.invalidate_caches()
    FOLDER.mkdir(exist_ok=True)
    texts = pages()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    for left in set(FOLDER.glob("*.md")) - {FOLDER / name for name in texts}:
        left.unlink()


if __name__ == "__main__":
    write()
