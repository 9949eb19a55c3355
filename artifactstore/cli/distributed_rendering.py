"""What commands on distributed pushes print: lines for people, and the documented shapes for programs."""

from collections.abc import Iterator, Sequence

from artifactstore.cli.rendering import (
    count_text,
    duration_text,
    fields,
    iso_time,
    size_text,
    table,
    time_text,
)
from artifactstore.cli.shapes import Shape
from artifactstore.clock import SystemClock
from artifactstore.store import DistributedInfo, PartInfo, PartSummary, PushSummary

_NS_PER_S = 1_000_000_000
_PARTS_SHOWN = 16


def distributed_shape(info: DistributedInfo) -> Shape:
    """How far a push is; `heard` is when somebody was last seen at it, or when it ended."""
    return {
        "token": info.token,
        "artifact": info.artifact,
        "type": info.type,
        "shards": info.shards,
        "state": info.state,
        "version": info.version,
        "begun": iso_time(info.begun_ns),
        "heard": iso_time(info.heard_ns),
        "finished": [_part_shape(part) for part in info.finished],
        "running": list(info.running),
        "missing": list(info.missing),
    }


def _part_shape(part: PartInfo) -> Shape:
    return {
        "part": part.part,
        "digest": part.digest,
        "files": part.files,
        "size_bytes": part.size_bytes,
        "finished": iso_time(part.finished_ns),
        "slot": part.slot,
        "member": part.member,
    }


def part_shape(done: PartSummary) -> Shape:
    """What pushing a part did; `created` is false when it was finished with the same files before."""
    return {
        "part": done.part,
        "created": done.created,
        "files": done.files,
        "logical_bytes": done.logical_bytes,
        "files_read": done.files_read,
        "bytes_read": done.bytes_read,
        "new_bytes": done.new_bytes,
        "stored_bytes": done.stored_bytes,
        "packs": done.packs,
        "seconds": done.seconds,
    }


def part_lines(done: PartSummary, shards: int) -> Iterator[str]:
    """What pushing a part did."""
    how = "is finished" if done.created else "has the same files already"
    yield (
        f"part {done.part} of {shards} {how}: {count_text(done.files, 'file')}, {size_text(done.logical_bytes)},"
        f" new {size_text(done.new_bytes)}, stored {size_text(done.stored_bytes)} in {duration_text(done.seconds)}"
    )


def gathered_lines(name: str, done: PushSummary) -> Iterator[str]:
    """What a commit made of the parts."""
    holds = f"{count_text(done.files, 'file')} ({size_text(done.logical_bytes)})"
    yield f"{name} is new: {holds}" if done.created else f"{name} has the same files already: {holds}"
    yield f"gathered in {duration_text(done.seconds)}"


def pushes_lines(pushes: Sequence[DistributedInfo]) -> Iterator[str]:
    """The pushes that are open."""
    if not pushes:
        yield "no distributed push is open"
        return
    yield from table(
        ("token", "artifact", "begun", "idle", "finished", "missing"),
        [
            (
                one.token,
                one.artifact,
                time_text(one.begun_ns),
                _ago(one.heard_ns),
                f"{len(one.finished)}/{one.shards}",
                _numbers(one.missing),
            )
            for one in pushes
        ],
    )


def distributed_lines(info: DistributedInfo) -> Iterator[str]:
    """How far one push is."""
    state = info.state if info.version is None else f"{info.state} as {info.version}"
    rows = [
        ("artifact", info.artifact),
        ("state", state),
        ("begun", time_text(info.begun_ns)),
        ("last heard" if info.state == "open" else "ended", f"{_ago(info.heard_ns)} ago"),
    ]
    if info.state == "open":
        size = sum(part.size_bytes for part in info.finished)
        rows.append(("finished", f"{len(info.finished)} of {info.shards} parts, {size_text(size)}"))
        rows += [("running", _numbers(info.running))] if info.running else []
        rows += [("missing", _numbers(info.missing))] if info.missing else []
    yield from fields(rows)


def _ago(time_ns: int) -> str:
    return duration_text(max(0.0, (SystemClock().now_ns() - time_ns) / _NS_PER_S))


def _numbers(parts: Sequence[int]) -> str:
    if not parts:
        return "-"
    more = f" and {len(parts) - _PARTS_SHOWN} more" if len(parts) > _PARTS_SHOWN else ""
    return " ".join(map(str, parts[:_PARTS_SHOWN])) + more
