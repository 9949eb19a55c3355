"""The append-only log: records, the Merkle tree over them, claiming a slot, replay into an applier.

Its modules are attributes that are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from artifactstore.deferred import modules_of

if TYPE_CHECKING:
    from artifactstore.log import consistency

__all__ = ["consistency"]

__getattr__ = modules_of(__name__)
