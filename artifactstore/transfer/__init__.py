"""Push, pull and read: the pipelines, each readable top to bottom.

Its modules are attributes that are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from artifactstore.deferred import modules_of

if TYPE_CHECKING:
    from artifactstore.transfer import local, ranges, sorting

__all__ = ["local", "ranges", "sorting"]

__getattr__ = modules_of(__name__)
