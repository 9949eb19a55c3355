"""Names of a package that are loaded when they are first used: what doesn't need them starts sooner (PEP 562)."""

from collections.abc import Callable, Iterable, Mapping
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


class Growing(type):
    """The type of a class that gets its other bases when something is first asked of it that it has not got.

    Such a class derives from `Grown` and names the class with all of its bases as `_grows_into`, "module:name".
    """

    _grows_into: str

    def __getattr__(cls, name: str) -> object:
        if name.startswith("__") or not cls.grow():
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
        return getattr(cls, name)

    def __getattribute__(cls, name: str) -> object:
        # Documentation and `help` go from base to base; the interpreter itself looks elsewhere.
        if name == "__mro__":
            cls.grow()
        return super().__getattribute__(name)

    def __dir__(cls) -> Iterable[str]:
        cls.grow()
        return super().__dir__()

    def grow(cls) -> bool:
        """Load the other bases; return whether there were any to load."""
        owner = next((one for one in type.mro(cls) if "_grows_into" in vars(one)), None)
        if owner is None:
            return False
        module, _, name = cls._grows_into.partition(":")
        whole = getattr(import_module(module), name)
        if owner.__bases__ == (whole,):
            return False
        owner.__bases__ = (whole,)
        return True


class Grown(metaclass=Growing):
    """An instance of a class that grows."""

    def __getattr__(self, name: str) -> object:
        # Asked for only what is found nowhere.
        if name.startswith("__") or not type(self).grow():
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self, name)
