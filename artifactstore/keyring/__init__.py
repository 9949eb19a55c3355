"""Slot keys, key files and what they unlock: the secrets of a store and its generations.

Its modules are attributes that are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from artifactstore.deferred import modules_of

if TYPE_CHECKING:
    from artifactstore.keyring import passphrase, phrase

__all__ = ["passphrase", "phrase"]

__getattr__ = modules_of(__name__)
