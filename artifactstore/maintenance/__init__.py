"""Looking after a store: checking that everything it promises is there and whole.

Its modules are loaded when they are first used: who pushes or pulls needs none of them.
"""

from typing import TYPE_CHECKING

from artifactstore.deferred import modules_of

if TYPE_CHECKING:
    from artifactstore.maintenance import (
        adopt,
        audit,
        check,
        erase,
        find,
        findings,
        mark,
        pack_check,
        receipts,
        repair,
        repair_plan,
        survey,
        sweep,
        sweep_plan,
        takedown,
        usage,
        verifying,
    )

__all__ = [
    "adopt",
    "audit",
    "check",
    "erase",
    "find",
    "findings",
    "mark",
    "pack_check",
    "receipts",
    "repair",
    "repair_plan",
    "survey",
    "sweep",
    "sweep_plan",
    "takedown",
    "usage",
    "verifying",
]

__getattr__ = modules_of(__name__)
