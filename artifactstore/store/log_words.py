"""The log in words that a user would say: its records, and what each of their operations did."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX
from artifactstore.client.results import LogEntry
from artifactstore.format.operations import (
    Adopt,
    Alias,
    Allow,
    Begin,
    Configure,
    Damage,
    Delete,
    Deny,
    Describe,
    Ended,
    Expire,
    Operation,
    Part,
    PartDropped,
    Pending,
    PendingDone,
    Push,
    Rename,
    Replace,
    Retain,
    SlotAdded,
    Tag,
    Undelete,
)
from artifactstore.format.record import RecordType
from artifactstore.format.run_operations import (
    RunDeleted,
    RunFinished,
    RunOperation,
    RunStarted,
    RunUpdated,
    Used,
)
from artifactstore.log.log import Log
from artifactstore.log.records import Opened

_NS_PER_MS: Final = 1_000_000
_NUMBERS_SHOWN: Final = 8


def operation_words(operation: Operation) -> str:
    """One operation in words."""
    match operation:
        case Push():
            named = f" as {', '.join(operation.aliases)}" if operation.aliases else ""
            source = operation.source
            linked = "push" if source is None else f"link {source.project}/{source.name}:v{source.number} to"
            return f"{linked} {operation.project}/{operation.name}{named}"
        case Alias() | Tag() | Describe():
            return _of_a_version(operation)
        case Delete() | Undelete():
            return f"{type(operation).__name__.lower()} {_numbered(operation)}"
        case Rename(name=None):
            return f"rename {operation.project} to {operation.to_project}"
        case Rename():
            old, new = f"{operation.project}/{operation.name}", f"{operation.to_project}/{operation.to_name}"
            return f"rename {old} to {new}"
        case _:
            return _of_the_store(operation)


def _of_a_version(operation: Alias | Tag | Describe) -> str:
    """One that concerns what stands outside a version's digest."""
    artifact = f"{operation.project}/{operation.name}"
    match operation:
        case Alias(number=None):
            return f"unalias {artifact} {' '.join(operation.aliases)}{_expected(operation)}"
        case Alias():
            return f"alias {artifact}:v{operation.number} {' '.join(operation.aliases)}{_expected(operation)}"
        case Tag():
            changes = [f"+{tag}" for tag in operation.add] + [f"-{tag}" for tag in operation.remove]
            return f"tag {artifact}:v{operation.number} {' '.join(changes)}"
        case Describe():
            return f"edit {artifact}:v{operation.number} {_edited(operation)}"


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
        case Damage():
            words = f"damage: {len(operation.damaged)} packs damaged, {len(operation.whole)} whole again"
        case SlotAdded():
            words = f"add slot {operation.id.hex()[:8]} of {operation.name}"
        case Adopt():
            words = f"adopt a log set back, of which {operation.slots} slots were known"
        case _:
            words = _of_what_goes_on(operation)
    return words


def _of_what_goes_on(operation: Operation) -> str:
    """One of something that takes its time."""
    match operation:
        case Begin() | Part() | PartDropped() | Ended():
            return _of_a_distributed_push(operation)
        case RunStarted() | RunUpdated() | RunFinished() | RunDeleted() | Used():
            return _of_a_run(operation)
        case _:
            return ""


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


def _of_a_run(operation: RunOperation) -> str:
    """What a run has done or said; its name and what it was configured with are not repeated."""
    run = operation.run.hex()[:8]
    match operation:
        case RunStarted():
            return f"start run {run} of {operation.project}"
        case RunFinished():
            return f"end run {run} {operation.state}"
        case Used():
            return f"run {run} uses {operation.project}/{operation.name}:v{operation.number}"
        case _:
            return f"{type(operation).__name__.removeprefix('Run').lower().removesuffix('d')} run {run}"


def _expected(operation: Alias) -> str:
    if operation.expected is None:
        return ""
    return f" if at v{operation.expected[0]}" if operation.expected else " if new"


def _edited(operation: Describe) -> str:
    """What an edit changes; of metadata the keys."""
    keys = [*(f"+{key}" for key in operation.metadata), *(f"-{key}" for key in operation.remove)]
    shown = keys[:_NUMBERS_SHOWN]
    more = [f"and {len(keys) - len(shown)} more"] if len(keys) > len(shown) else []
    said = ["description"] if operation.description is not None else []
    other = ["-*"] if operation.replace else []
    return " ".join([*said, *other, *shown, *more])


def _numbered(operation: Delete | Undelete) -> str:
    """An artifact and some of its versions; a record may name thousands."""
    numbers = operation.numbers
    shown = " ".join(f"v{number}" for number in numbers[:_NUMBERS_SHOWN])
    more = f" and {len(numbers) - _NUMBERS_SHOWN} more" if len(numbers) > _NUMBERS_SHOWN else ""
    return f"{operation.project}/{operation.name} {shown}{more}"


def log_entries(log: Log, slots: int, limit: int | None) -> Iterator[LogEntry]:
    """The log's slots, newest first."""
    last = 0 if limit is None else max(0, slots - limit)
    for stop in range(slots, last, -PARALLEL_REQUESTS_MAX):
        start = max(last, stop - PARALLEL_REQUESTS_MAX)
        records = {record.slot: record for record in log.reread(start, stop)}
        for slot in range(stop - 1, start - 1, -1):
            record = records.get(slot)
            yield LogEntry(slot, 0, "void", (), "", 0, 0) if record is None else _log_entry(record)


def _log_entry(record: Opened) -> LogEntry:
    clear, sealed = record.clear, record.sealed
    assert clear is not None
    words = () if sealed is None else tuple(operation_words(operation) for operation in sealed.operations)
    if clear.handover is not None:
        words = (
            *words,
            f"sweep: {len(clear.condemned)} objects given up, generation {clear.generation} begins",
        )
    if clear.erased is not None:
        words = (*words, f"gone: all that record {clear.erased} gave up")
    if clear.state is not None:
        words = (*words, "state")
    return LogEntry(
        slot=record.slot,
        time_ns=clear.time_ms * _NS_PER_MS,
        kind=RecordType(clear.type).name.lower(),
        operations=words,
        member="" if sealed is None else sealed.member.hex(),
        packs_added=len(clear.packs),
        bytes_added=sum(pack.size for pack in clear.packs),
    )
