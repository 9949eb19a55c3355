"""Runs: their signs of life, where they run, and what they and versions came of, shown in several notations.

Its modules are loaded when they are first used: who pushes or pulls without a run needs none of them.
"""

from typing import TYPE_CHECKING

from artifactstore.deferred import modules_of

if TYPE_CHECKING:
    from artifactstore.tracking import drawing, graph, heart, openlineage, surroundings

__all__ = ["drawing", "graph", "heart", "openlineage", "surroundings"]

__getattr__ = modules_of(__name__)
