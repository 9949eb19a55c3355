"""Marking the methods of a store that are operations: who watches the store is told when they begin and end."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Watched(Protocol):
    """What tells of its operations."""

    def watched(self, operation: str) -> AbstractContextManager[None]:
        """Tell that an operation begins and ends, for a `with` block."""
        ...


W = TypeVar("W", bound=Watched)


def operation(method: Callable[Concatenate[W, P], T]) -> Callable[Concatenate[W, P], T]:
    """A method of a store that is told of by its name."""

    @wraps(method)
    def told(self: W, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.watched(method.__name__):
            return method(self, *args, **kwargs)

    return told
