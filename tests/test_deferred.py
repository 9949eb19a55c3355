"""What is loaded when it is first used: found, refused by name, and not mistaken for a module that fails."""

import inspect
import sys
from pathlib import Path

import pytest

import artifactstore
from artifactstore import maintenance, store
from artifactstore.deferred import Grown, modules_of, names_of


def test_a_name_comes_from_its_home() -> None:
    """What the package offers is the very object of the module that makes it."""
    load = names_of("somewhere", {"Quiet": "artifactstore.progress"})
    assert load("Quiet").__module__ == "artifactstore.progress"


@pytest.mark.parametrize("package", [artifactstore, store, maintenance])
def test_every_name_that_a_package_lists_is_there(package: object) -> None:
    """`__all__` promises nothing that can't be loaded."""
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


@pytest.mark.parametrize("package", [artifactstore, store, maintenance])
def test_a_name_that_is_not_there_is_an_attribute_error(package: object) -> None:
    """As of any module, so that `hasattr` and tools that ask for `__path__`-like names work."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


def test_a_module_that_fails_to_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library of a module is not told as the module's own absence."""
    package = tmp_path / "broken_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "needs.py").write_text("import a_library_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_there"):
        modules_of("broken_package")("needs")
    for name in [name for name in sys.modules if name.startswith("broken_package")]:
        del sys.modules[name]


class Whole(Grown):
    """What `Lean` grows into."""

    def more(self) -> str:
        """Say so."""
        return "more"


def lean() -> type:
    """A class that has not grown yet."""

    class Base(Grown):
        pass

    class Lean(Base):
        _grows_into = f"{__name__}:Whole"

    return Lean


def test_a_class_grows_when_an_instance_lacks_something() -> None:
    """What only the whole class has is found, and then the class is one of its kind."""
    kind = lean()
    one = kind()
    assert not isinstance(one, Whole)
    assert one.more() == "more"
    assert isinstance(one, Whole)


def test_a_class_grows_when_it_is_asked_itself() -> None:
    """Documentation and tests look at classes: `dir`, `hasattr` and the attribute find all of it."""
    assert callable(lean().more)
    assert "more" in dir(lean())
    assert hasattr(lean(), "more")
    assert Whole in inspect.getmro(lean())


def test_a_subclass_grows_with_its_base() -> None:
    """Users derive from `Store` as from any class."""
    kind = lean()

    class Derived(kind):  # type: ignore[misc, valid-type]
        pass

    assert Derived().more() == "more"


def test_what_is_nowhere_is_an_attribute_error() -> None:
    """Before and after growing, and without growing for what Python itself asks for."""
    kind = lean()
    assert not hasattr(kind, "__nothing__")
    assert not hasattr(kind(), "__nothing__")
    assert not issubclass(kind, Whole)
    for _ in range(2):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = kind().nothing
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = kind.nothing
