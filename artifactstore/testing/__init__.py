"""Helpers for tests, shipped: backends that fail or count, and the suite that every backend passes.

`artifactstore.testing.conformance` needs pytest and is imported by name.
"""

from artifactstore.testing.delayed import DelayedBackend
from artifactstore.testing.faulty import FaultyBackend, Operation
from artifactstore.testing.metered import Asked, MeteredBackend

__all__ = ["Asked", "DelayedBackend", "FaultyBackend", "MeteredBackend", "Operation"]
