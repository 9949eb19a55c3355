"""Why an operation is applied, and what came of it."""

from typing import NamedTuple


class Cause(NamedTuple):
    """Who wrote a record, when, and where."""

    slot: int
    time_ms: int
    member: bytes


class Outcome(NamedTuple):
    """What one operation did.

    Attributes:
        number: The version it made or found; None when it applied to none.
        created: Whether it made a version.
        skipped: Why it did not apply; empty when it did.
    """

    number: int | None
    created: bool = False
    skipped: str = ""
