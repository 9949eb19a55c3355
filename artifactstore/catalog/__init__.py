"""Projects, artifacts, versions and aliases: what records do to them, and what can be asked of them.

Its modules are attributes that are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from artifactstore.deferred import modules_of

if TYPE_CHECKING:
    from artifactstore.catalog import (
        begun,
        deletion,
        describing,
        pending,
        renaming,
        retention,
        succession,
        swept,
    )

__all__ = ["begun", "deletion", "describing", "pending", "renaming", "retention", "succession", "swept"]

__getattr__ = modules_of(__name__)
