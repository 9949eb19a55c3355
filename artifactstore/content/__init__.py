"""Chunks by cid: put with dedup into packs, get from wherever they lie.

Its modules are attributes that are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from artifactstore.deferred import modules_of

if TYPE_CHECKING:
    from artifactstore.content import ahead

__all__ = ["ahead"]

__getattr__ = modules_of(__name__)
