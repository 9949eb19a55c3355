"""Looking into files of known formats: how two tables or two sets of tensors differ; a leaf that reads byte ranges.

Its modules are attributes that are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from artifactstore.deferred import modules_of

if TYPE_CHECKING:
    from artifactstore.comparison import formats, results

__all__ = ["formats", "results"]

__getattr__ = modules_of(__name__)
