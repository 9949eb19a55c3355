"""Manifests: the tree of pages over a version's entries, and the trees of chunk lists under large files.

Its modules are attributes that are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from artifactstore.deferred import modules_of

if TYPE_CHECKING:
    from artifactstore.manifest import changes, diff, overlap

__all__ = ["changes", "diff", "overlap"]

__getattr__ = modules_of(__name__)
