"""The lines in which people read results; `shapes` has the same for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from artifactstore import store
from artifactstore.cli.rendering import (
    count_text,
    duration_text,
    fields,
    json_line,
    printable,
    rate_text,
    ratio_text,
    short_digest,
    size_text,
    table,
    time_text,
)
from artifactstore.ids import LATEST

_MEMBER_DIGITS = 8


def push_lines(name: str, done: store.PushSummary) -> Iterator[str]:
    """What a push did."""
    holds = _files(done.files, done.logical_bytes)
    yield f"{name} is new: {holds}" if done.created else f"{name} has the same files already: {holds}"
    yield (
        f"read {_files(done.files_read, done.bytes_read)}, new {size_text(done.new_bytes)},"
        f" stored {size_text(done.stored_bytes)} in {_time_and_rate(done.bytes_read, done.seconds)}"
    )


def push_plan_lines(plan: store.PushPlan) -> Iterator[str]:
    """What a push would do."""
    unchanged = f", {plan.files_unchanged:,} of them unchanged" if plan.files_unchanged else ""
    yield f"would push {_files(plan.files, plan.logical_bytes)}{unchanged}"
    yield f"would read {_files(plan.files_to_read, plan.bytes_to_read)}"
    for path in plan.paths:
        yield f"  {printable(str(path))}"
    if plan.files_to_read > len(plan.paths):
        yield f"  and {plan.files_to_read - len(plan.paths):,} more"


def pull_lines(done: store.PullSummary) -> Iterator[str]:
    """What a pull did."""
    kept = f", {size_text(done.bytes_kept)} were there" if done.bytes_kept else ""
    where = printable(str(done.destination))
    yield f"{done.version.qualified_name} is in {where}: {_files(done.files, done.logical_bytes)}"
    yield (
        f"wrote {_files(done.files_written, done.bytes_written)}{kept}"
        f" in {_time_and_rate(done.bytes_written, done.seconds)}"
    )
    if done.references_left:
        yield f"left out {count_text(done.references_left, 'reference')} to what lies elsewhere"


def pull_plan_lines(plan: store.PullPlan, destination: Path) -> Iterator[str]:
    """What a pull would do."""
    yield f"{plan.version.qualified_name} has {_files(plan.files, plan.logical_bytes)}"
    yield (
        f"would write {count_text(plan.files_to_write, 'file')} to {printable(str(destination))},"
        f" fetching {size_text(plan.bytes_to_fetch)}"
    )


def deletion_plan_lines(plan: store.DeletionPlan, verb: str) -> Iterator[str]:
    """What a deletion hides; the first word says whether it has."""
    yield f"{verb} {count_text(len(plan.versions), 'version')}, {size_text(plan.logical_bytes)}"
    for version in plan.versions:
        names = [alias for alias in version.aliases if alias != LATEST]
        with_names = f", and the alias {', '.join(names)}" if names else ""
        yield f"  {version.qualified_name}: {_files(version.file_count, version.size_bytes)}{with_names}"
    for link in plan.links:
        yield f"  {link}, a link of one of them, stays with what it holds"


def project_lines(projects: Sequence[store.ProjectInfo]) -> Iterator[str]:
    """A table of projects."""
    return table(
        ("project", "artifacts", "versions", "updated"),
        [
            (item.name, f"{item.artifacts:,}", f"{item.versions:,}", time_text(item.updated_ns))
            for item in projects
        ],
        right=(1, 2),
    )


def artifact_lines(artifacts: Sequence[store.ArtifactInfo]) -> Iterator[str]:
    """A table of artifacts."""
    return table(
        ("artifact", "type", "versions", "latest", "size", "updated"),
        [
            (
                item.artifact,
                item.type,
                f"{item.versions:,}",
                f"v{item.latest}",
                size_text(item.size_bytes),
                time_text(item.updated_ns),
            )
            for item in artifacts
        ],
        right=(2, 3, 4),
    )


def versions_lines(
    versions: Sequence[store.Version], *, full_digest: bool, in_full: bool = False
) -> Iterator[str]:
    """A table of versions, each by its number or, of several artifacts, by its name in full."""
    linking = any(item.link is not None for item in versions)
    # Most versions are kept for ever.
    expiring = any(item.expires_ns is not None for item in versions)
    return table(
        (
            "version",
            "files",
            "size",
            "new",
            "created",
            *(("expires",) * expiring),
            "digest",
            *(("link of",) * linking),
            "aliases",
            "tags",
        ),
        [
            (
                item.qualified_name if in_full else item.name,
                f"{item.file_count:,}",
                size_text(item.size_bytes),
                size_text(item.new_bytes),
                time_text(item.created_ns),
                *(("" if item.expires_ns is None else time_text(item.expires_ns),) * expiring),
                item.digest if full_digest else short_digest(item.digest),
                *((_link_text(item),) * linking),
                " ".join(item.aliases),
                " ".join(item.tags),
            )
            for item in versions
        ],
        right=(1, 2, 3) if in_full else (0, 1, 2, 3),
    )


def _link_text(version: store.Version) -> str:
    """Of which version a link is, and what became of that."""
    if version.link is None:
        return ""
    state = "" if version.link.state == "shown" else f" ({version.link.state})"
    return f"{version.link.version}{state}"


def version_lines(version: store.Version, references: tuple[int, int] | None = None) -> Iterator[str]:
    """Everything about one version but its files; of its `references` how many, and how many bytes, where counted."""
    yield version.qualified_name
    yield from fields(
        (
            ("type", version.type),
            ("created", time_text(version.created_ns)),
            ("expires", "" if version.expires_ns is None else time_text(version.expires_ns)),
            (
                "stands for",
                "" if version.stands_for is None else f"v{version.stands_for}, without what was taken down",
            ),
            ("link of", _link_text(version)),
            ("linked by", "" if version.link is None else version.link.linked_by[:_MEMBER_DIGITS]),
            ("linked in", " ".join(version.linked)),
            ("digest", version.digest),
            ("files", f"{version.file_count:,}"),
            ("size", f"{size_text(version.size_bytes)} ({version.size_bytes:,} bytes)"),
            (
                "references",
                f"{references[0]:,}, {size_text(references[1])} of the size lie elsewhere"
                if references is not None
                else "",
            ),
            ("new", f"{size_text(version.new_bytes)} when it was pushed"),
            ("stored", f"{size_text(version.stored_bytes)} in the packs that its push added"),
            ("aliases", " ".join(version.aliases)),
            ("tags", " ".join(version.tags)),
            ("description", version.description),
        )
    )
    if version.metadata:
        yield "metadata"
        for name, value in version.metadata.items():
            yield f"  {printable(name)} = {printable(json_line(value).rstrip())}"


def entry_line(entry: store.Entry, *, full_digest: bool) -> str:
    """One path of a version, marked as `ls -F` does."""
    mark = "/" if entry.kind == "folder" else "*" if entry.executable else ""
    leads = entry.target if entry.reference is None else entry.reference.url
    target = "" if leads is None else f" -> {printable(leads)}"
    digest = entry.digest if full_digest else short_digest(entry.digest)
    return f"{size_text(entry.size_bytes):>8}  {digest:12}  {printable(entry.path)}{mark}{target}"


def record_line(record: store.LogEntry) -> str:
    """One record of the log."""
    what = printable("; ".join(record.operations) or record.kind)
    member = record.member[:_MEMBER_DIGITS]
    line = f"{record.slot:>8}  {time_text(record.time_ns)}  {member:{_MEMBER_DIGITS}}  {what}"
    if record.packs_added:
        line += f"  +{count_text(record.packs_added, 'pack')}, {size_text(record.bytes_added)}"
    return line


def check_lines(report: store.CheckReport) -> Iterator[str]:
    """What a check found and what it looked at."""
    for problem in report.problems:
        yield from problem_lines(problem)
    yield from _apart_lines(report)
    looked_at = ", ".join(
        (
            count_text(report.records, "record"),
            count_text(report.packs, "pack"),
            count_text(report.versions, "version"),
            count_text(report.chunks, "chunk"),
            f"{size_text(report.bytes_read)} read",
        )
    )
    if report.packs_read_before:
        looked_at += f", {count_text(report.packs_read_before, 'pack')} read before this run was cut"
    found = "no damage" if report.ok else count_text(len(report.problems), "problem")
    yield f"found {found} ({looked_at})"


def audit_lines(report: store.AuditReport) -> Iterator[str]:
    """What an audit found and what it looked at."""
    for problem in report.problems:
        yield from problem_lines(problem)
    if report.unerased.names.total:
        names = report.unerased.names
        yield f"condemned, and still there since nobody has erased them yet: {_names(names)}"
    if report.unnamed is not None and report.unnamed.names.total:
        yield f"named by no record: {_names(report.unnamed.names)}"
    if not report.all_forms:
        yield "other versions of condemned objects may not be listed here, and were not looked for"
    receipt = report.receipt
    if receipt is not None:
        yield (
            f"receipt {receipt.id}: of {count_text(receipt.gone, 'chunk')} that it calls gone,"
            f" {receipt.present:,} are in live packs"
        )
    yield f"store {report.store_id}"
    yield f"generation {report.generation}, last record {time_text(report.time_ns)}, root {report.root}"
    looked_at = ", ".join(
        (
            count_text(report.records, "record"),
            count_text(report.packs, "pack"),
            count_text(report.chunks, "chunk"),
            f"{count_text(report.condemned, 'name')} condemned",
            f"{size_text(report.bytes_read)} read",
        )
    )
    found = "nothing wrong" if report.ok else count_text(len(report.problems), "problem")
    yield f"found {found} ({looked_at})"


def problem_lines(problem: store.Problem) -> Iterator[str]:
    """What is wrong, whom it concerns, and what to do."""
    yield f"{problem.kind}: {printable(problem.object)}: {printable(problem.message)}"
    if problem.versions.total:
        yield f"  missing in {_names(problem.versions)}"
    for path in problem.paths.shown:
        yield f"    {printable(path)}"
    if problem.paths.total > len(problem.paths.shown):
        yield f"    and {problem.paths.total - len(problem.paths.shown):,} more paths"
    if problem.next_step:
        yield f"  next: {problem.next_step}"


def repair_plan_lines(plan: store.RepairPlan) -> Iterator[str]:
    """What a repair would do, and what is left after it."""
    if plan.refused:
        yield f"nothing can be done: {plan.refused}"
    elif plan.is_empty:
        yield "there is nothing to repair"
    for pack in plan.take_out:
        yield f"would take out of use: {pack.object} ({printable(pack.reason)})"
    if plan.save:
        chunks = count_text(sum(pack.survivors for pack in plan.save), "chunk")
        yield f"would store anew: {chunks} that can still be read from {count_text(len(plan.save), 'broken pack')}"
    if plan.take_back:
        yield f"would take back into use: {count_text(len(plan.take_back), 'pack')} found whole again"
    if plan.new_state:
        yield "would write a new state and new index packs, since newcomers can't start from those that are there"
    if plan.tiles:
        yield f"would write: {count_text(len(plan.tiles), 'tile')} of the tree over the log"
    if plan.beyond:
        yield "what is left after it:"
    for problem in plan.beyond:
        yield from problem_lines(problem)


def repair_lines(done: store.RepairSummary) -> Iterator[str]:
    """What a repair did."""
    yield (
        f"took {count_text(done.taken_out, 'pack')} out of use and {done.taken_back:,} back,"
        f" stored {size_text(done.saved_bytes)} anew"
    )
    if done.new_state or done.tiles:
        state = ["a new state"] if done.new_state else []
        yield f"wrote {' and '.join(state + ([count_text(done.tiles, 'tile')] if done.tiles else []))}"
    if done.problems_left:
        yield f"{count_text(done.problems_left, 'problem')} left, as told above"


def adopt_lines(plan: store.AdoptPlan) -> Iterator[str]:
    """What a client has seen and the bucket does not have."""
    if not plan.needed:
        yield "the log is the one that this client has seen: there is nothing to adopt"
        return
    yield f"this client has seen {count_text(plan.slots_known, 'record')}, the bucket has {plan.slots_found:,}"
    for words, names in (
        ("lost", plan.lost),
        ("there with other content", plan.replaced),
        ("deleted once, and back: to be deleted again", plan.come_back),
        ("purged once, and back: to be deleted again", plan.purged),
    ):
        if names.total:
            yield f"{words}: {_names(names)}"
    if plan.lost_packs:
        packs, size = count_text(plan.lost_packs, "pack"), size_text(plan.lost_bytes)
        yield f"{packs} ({size}) are no longer of the store: push what they held again"


def _apart_lines(report: store.CheckReport) -> Iterator[str]:
    """What is told and is no damage."""
    if report.packs_out_of_use:
        yield f"{count_text(report.packs_out_of_use, 'pack')} out of use, as a record says"
    if report.orphans.names.total:
        count = count_text(report.orphans.names.total, "pack")
        size = size_text(report.orphans.size_bytes)
        yield f"{count} ({size}) that no record names: of a push that was cut, or that is still running"
    if report.foreign is None:
        yield "objects that no record names were not looked for: listing is forbidden"
    elif report.foreign.names.total:
        count = count_text(report.foreign.names.total, "object")
        yield f"{count} that no record names, and that count for nothing: {_names(report.foreign.names)}"


def _names(names: store.Names) -> str:
    more = names.total - len(names.shown)
    return printable(", ".join(names.shown) + (f" and {more:,} more" if more else ""))


def index_lines(index: store.IndexInfo) -> Iterator[str]:
    """The client's index."""
    return fields(
        (
            ("index", str(index.path)),
            ("size", size_text(index.size_bytes)),
            ("packs", f"{index.packs:,}"),
            ("chunks", f"{index.chunks:,}"),
            ("files seen", f"{index.stat_rows:,}"),
            ("last record", f"{index.slot:,}"),
        )
    )


def store_lines(info: store.StoreInfo, garbage: Iterable[str] = ()) -> Iterator[str]:
    """The store as a whole, with lines about garbage in it."""
    yield from fields(
        (
            ("store", info.url),
            ("id", info.id),
            ("created", time_text(info.created_ns)),
            ("generation", str(info.generation)),
            ("key file", str(info.key_file)),
            ("index", str(info.cache)),
            ("writers", _writers(info)),
            ("projects", f"{info.projects:,}"),
            ("artifacts", f"{info.artifacts:,}"),
            ("versions", f"{info.versions:,}"),
            ("records", f"{info.records:,}"),
            ("packs", f"{info.packs:,}"),
            ("chunks", f"{info.chunks:,}"),
            ("all versions", size_text(info.logical_bytes)),
            ("distinct", f"{size_text(info.unique_bytes)} (dedup {ratio_text(info.dedup_ratio)})"),
            ("stored", f"{size_text(info.stored_bytes)} (compression {ratio_text(info.compression_ratio)})"),
        )
    )
    if about_garbage := list(garbage):
        yield ""
        yield from about_garbage
    yield ""
    yield from slot_lines(info.slots)


def slot_lines(slots: Sequence[store.KeySlot]) -> Iterator[str]:
    """The slots of a store, oldest first."""
    yield from table(
        ("SLOT", "KIND", "NAME", "MAY", "ADDED", "BY"),
        [
            (
                slot.id,
                slot.kind,
                slot.name or "(made the store)",
                "read" if slot.read_only else "read, write",
                time_text(slot.added_ns) if slot.added_ns else "",
                slot.added_by[:_MEMBER_DIGITS],
            )
            for slot in slots
        ],
    )


def _writers(info: store.StoreInfo) -> str:
    if info.single_writer:
        return "one at a time"
    tested = f"exclusive create tested {time_text(info.probed_ns)}" if info.probed_ns else "not tested yet"
    return f"any number ({tested})"


def _files(count: int, size_bytes: int) -> str:
    return f"{count_text(count, 'file')} ({size_text(size_bytes)})"


def _time_and_rate(size_bytes: int, seconds: float) -> str:
    rate = f" ({rate_text(size_bytes / seconds)})" if seconds > 0 and size_bytes else ""
    return f"{duration_text(seconds)}{rate}"
