"""Why an operation is applied, and what came of it."""

from typing import NamedTuple


class Cause(NamedTuple):
    """Who wrote a record, when, and where.

    Attributes:
        slot: Its slot.
        time_ms: Its advisory time.
        member: The slot key id that its writer claims.
        name_key: Under which names of purged artifacts are hashed.
    """

    slot: int
    time_ms: int
    member: bytes
    name_key: bytes


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
