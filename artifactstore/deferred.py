"""Names of a package that are loaded when they are first used: what doesn't need them starts sooner (PEP 562)."""

from collections.abc import Callable, Mapping
from importlib import import_module


def names_of(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package whose public names live in other modules.

    Args:
        package: Its dotted name.
        homes: The dotted name of the module of each.
    """

    def load(name: str) -> object:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home), name)

    return load


def modules_of(package: str) -> Callable[[str], object]:
    """The `__getattr__` of a package whose modules are its attributes without being imported by name.

    Args:
        package: Its dotted name.
    """

    def load(name: str) -> object:
        if not name.startswith("_"):
            try:
                return import_module(f"{package}.{name}")
            except ModuleNotFoundError as error:
                if error.name != f"{package}.{name}":
                    raise
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load
