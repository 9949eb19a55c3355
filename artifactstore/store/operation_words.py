"""What an operation of a record did, in words that a user would say."""

from datetime import UTC, datetime
from typing import Final

from artifactstore.format.operations import (
    Adopt,
    Alias,
    Allow,
    Begin,
    Configure,
    Damage,
    Delete,
    Deny,
    Ended,
    Expire,
    Operation,
    Part,
    PartDropped,
    Pending,
    PendingDone,
    Push,
    Replace,
    Retain,
    SlotAdded,
    Tag,
    Undelete,
)

_NUMBERS_SHOWN: Final = 8


def operation_words(operation: Operation) -> str:
    """One operation in words."""
    match operation:
        case Push():
            named = f" as {', '.join(operation.aliases)}" if operation.aliases else ""
            return f"push {operation.project}/{operation.name}{named}"
        case Alias(number=None):
            return f"unalias {operation.project}/{operation.name} {' '.join(operation.aliases)}"
        case Alias():
            return f"alias {operation.project}/{operation.name}:v{operation.number} {' '.join(operation.aliases)}"
        case Tag():
            changes = [f"+{tag}" for tag in operation.add] + [f"-{tag}" for tag in operation.remove]
            return f"tag {operation.project}/{operation.name}:v{operation.number} {' '.join(changes)}"
        case Delete() | Undelete():
            return f"{type(operation).__name__.lower()} {_numbered(operation)}"
        case _:
            return _of_the_store(operation)


def _of_the_store(operation: Operation) -> str:
    """One that concerns more than the names of versions."""
    words = ""
    match operation:
        case Replace():
            words = f"replace {operation.project}/{operation.name} v{operation.number}"
        case Expire():
            until = (
                "never"
                if operation.expires_ms is None
                else f"{datetime.fromtimestamp(operation.expires_ms / 1000, tz=UTC):%Y-%m-%d %H:%M} UTC"
            )
            words = f"expire {operation.project}/{operation.name}:v{operation.number} {until}"
        case Retain():
            words = f"retention {operation.project}/{operation.name}" + ("" if operation.policy else " none")
        case Deny() | Allow():
            count = len(operation.files)
            words = f"{type(operation).__name__.lower()} {count} file{'' if count == 1 else 's'}"
        case Configure():
            words = f"grace {operation.grace_ms // 1000} s"
        case Pending():
            words = f"pending {operation.push.hex()[:8]}"
        case PendingDone():
            words = f"end pending {operation.push.hex()[:8]}"
        case Begin() | Part() | PartDropped() | Ended():
            words = _of_a_distributed_push(operation)
        case Damage():
            words = f"damage: {len(operation.damaged)} packs damaged, {len(operation.whole)} whole again"
        case SlotAdded():
            words = f"add slot {operation.id.hex()[:8]} of {operation.name}"
        case Adopt():
            words = f"adopt a log set back, of which {operation.slots} slots were known"
    return words


def _of_a_distributed_push(operation: Begin | Part | PartDropped | Ended) -> str:
    push = operation.push.hex()[:8]
    match operation:
        case Begin():
            return f"begin {push} in {operation.parts} parts, for {operation.project}/{operation.name}"
        case Part():
            return f"part {operation.part} of {push}"
        case PartDropped():
            return f"drop parts {' '.join(map(str, operation.parts[:_NUMBERS_SHOWN]))} of {push}"
        case Ended():
            return f"{'commit' if operation.committed else 'give up'} {push}"


def _numbered(operation: Delete | Undelete) -> str:
    """An artifact and some of its versions; a record may name thousands."""
    numbers = operation.numbers
    shown = " ".join(f"v{number}" for number in numbers[:_NUMBERS_SHOWN])
    more = f" and {len(numbers) - _NUMBERS_SHOWN} more" if len(numbers) > _NUMBERS_SHOWN else ""
    return f"{operation.project}/{operation.name} {shown}{more}"
