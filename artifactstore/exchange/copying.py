"""Copying versions to another store: decrypted here, cut and sealed anew there, with keys of their own.

Content goes over as streams, chunk by chunk; no file lies whole in memory or on disk. A file that the version before it
has there already is not read here, and a chunk that the destination has is not stored again: so a copy that was cut,
and one that is repeated, moves only what is missing.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

import msgspec

from artifactstore.client.requests import push_request
from artifactstore.drafts.keeper import Edits
from artifactstore.errors import Denied, NotFoundError, UsageError
from artifactstore.exchange.copy_plan import CopyPlan, CopyStep, only_there, plan_steps
from artifactstore.exchange.lineage_copy import Producers, record
from artifactstore.exchange.selecting import EVERYTHING, selected_versions, versions_there
from artifactstore.executors import Executors
from artifactstore.format.cids import split_cids
from artifactstore.format.operations import Expire
from artifactstore.format.page import Content, Kind, path_order
from artifactstore.ids import parse_artifact_name
from artifactstore.index.environment import Environment
from artifactstore.index.tables import known_chunks
from artifactstore.manifest.read import Getter, StoredEntry, entries, spans
from artifactstore.progress import Progress
from artifactstore.store import Store, Version
from artifactstore.transfer.scan import Found, Given, Program, Sources
from artifactstore.transfer.streams import ReadAhead

_NS_PER_MS: Final = 1_000_000


def plan_copy(source: Store, destination: Store, refs: Iterable[str]) -> CopyPlan:
    """Say what `copy_versions` would do; nothing is written.

    Raises:
        UsageError: Both are one store.
        InvalidReference, InvalidName: A reference is of no form that copying knows.
        NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: It names nothing.
    """
    _refuse_one(source, destination)
    steps: list[CopyStep] = []
    for name, versions in selected_versions(source, refs).items():
        steps += plan_steps(versions, versions_there(destination, name))
    return CopyPlan(source.url, destination.url, tuple(steps))


def copy_versions(
    source: Store, destination: Store, refs: Iterable[str], *, progress: Progress | None = None
) -> CopyPlan:
    """Copy versions to another store: files, type, aliases, labels, description and metadata; the same digests there.

    Versions of an artifact are made there in the order of their numbers here. What the destination has already, by its
    digest, is not copied; it gets the aliases, labels, description, metadata and time of expiry of the source. The runs
    that produced a version go over with what they used. What belongs to a store itself stays: members and keys,
    retention policies, what is denied, receipts.

    Args:
        source: The store to read.
        destination: The store to write, opened with a key of its own.
        refs: `project/name[:vN | :alias | @digest]`, `project/name:*`, `project/*` or `*`.
        progress: Told what happens; the source store's own when None.

    Returns:
        What was done: the plan with the numbers that the versions have there.

    Raises:
        UsageError: Both are one store.
        NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: A reference names nothing.
        Denied: The destination takes one of the files no more. What was copied before stays.
        Damaged: A chunk of the source can't be read back whole; the version is not made.
    """
    plan = plan_copy(source, destination, refs)
    return _act(source, destination, plan, progress, Producers(source, destination))


def plan_mirror(source: Store, destination: Store, *, delete: bool = False) -> CopyPlan:
    """Say what `mirror` would do; nothing is written.

    Raises:
        UsageError: Both are one store.
    """
    _refuse_one(source, destination)
    plan = msgspec.structs.replace(plan_copy(source, destination, [EVERYTHING]), everything=True)
    if not delete:
        return plan
    extra: list[str] = []
    for name, there in selected_versions(destination, [EVERYTHING]).items():
        extra += [version.qualified_name for version in only_there(versions_there(source, name), there)]
    return msgspec.structs.replace(plan, deletes=tuple(extra))


def mirror(
    source: Store, destination: Store, *, delete: bool = False, progress: Progress | None = None
) -> CopyPlan:
    """Copy everything that a store shows, as `copy_versions` does, and all its runs; repeat it to follow the store.

    Args:
        source: The store to read.
        destination: The store to write.
        delete: Hide there what is not here, with the aliases that point at it; it can be undeleted until a sweep.
        progress: As for `copy_versions`.

    Raises:
        UsageError, Denied, Damaged: As for `copy_versions`.
    """
    return run_plan(source, destination, plan_mirror(source, destination, delete=delete), progress=progress)


def run_plan(
    source: Store, destination: Store, plan: CopyPlan, *, progress: Progress | None = None
) -> CopyPlan:
    """Do what a plan of `plan_copy` or `plan_mirror` says; return it with the numbers that versions have there."""
    producers = Producers(source, destination)
    if plan.everything:
        producers.begin_all()
    done = _act(source, destination, plan, progress, producers)
    if plan.deletes:
        destination.delete(plan.deletes, force=True, reason="mirrored: not in the source")
    return done


def _act(
    source: Store, destination: Store, plan: CopyPlan, progress: Progress | None, producers: Producers
) -> CopyPlan:
    done: list[CopyStep] = []
    newest: CopyStep | None = None
    for at, step in enumerate(plan.steps):
        artifact = step.version.artifact
        # The version before it in the plan is what its files are looked for in.
        last = done[-1] if done and done[-1].version.artifact == artifact else None
        newest = None if last is None else newest
        # One with the content of the last one that was copied has become one with that.
        joins = step.action != "copy" and step.target is None
        planned = msgspec.structs.replace(step, target=newest.target) if joins and newest else step
        is_last = at + 1 == len(plan.steps) or plan.steps[at + 1].version.artifact != artifact
        # Only of what is, or becomes, the newest there can a run be told that produced it too.
        runs = producers.producers_of(step.version) if is_last or joins or step.action == "copy" else []
        run = bytes.fromhex(runs[0]) if runs and step.action == "copy" else None
        base = None if last is None else last.target
        done.append(_do(source, destination, planned, base, run, progress or source.watcher))
        newest = done[-1] if step.action == "copy" else newest
        producers.note(runs, f"{artifact}:v{done[-1].target}")
    if done or plan.everything:
        producers.finish()
    return msgspec.structs.replace(plan, steps=tuple(done))


def _do(
    source: Store,
    destination: Store,
    step: CopyStep,
    base: int | None,
    run: bytes | None,
    progress: Progress,
) -> CopyStep:
    version = step.version
    if step.action == "copy":
        made = _copy(source, destination, version, base, run, progress)
        push = made.push
        assert push is not None
        step = msgspec.structs.replace(step, target=made.number, stored_bytes=push.stored_bytes)
    there = f"{version.artifact}:v{step.target}"
    if step.action != "copy":
        if step.aliases:
            destination.add_aliases(there, step.aliases)
        if step.tags:
            destination.add_tags(there, step.tags)
        if step.said:
            _describe(destination, there, version)
    if step.expires:
        _let_expire(destination, there, version)
    return step


def _let_expire(destination: Store, ref: str, version: Version) -> None:
    """Let a version there expire when it does here: at a time, whenever it was made."""
    there = destination.version(ref)
    name = parse_artifact_name(there.artifact)
    assert version.expires_ns is not None
    record(destination, Expire(name.project, name.name, there.number, version.expires_ns // _NS_PER_MS))


def _describe(destination: Store, ref: str, version: Version) -> None:
    """Say of a version there what is said of it here."""
    there = destination.version(ref)
    edits = Edits(there)
    edits.description, edits.metadata = version.description, version.metadata
    destination.save_changes(there, edits)


def _copy(
    source: Store,
    destination: Store,
    version: Version,
    base: int | None,
    run: bytes | None,
    progress: Progress,
) -> Version:
    name = parse_artifact_name(version.artifact)
    request = push_request(
        name,
        version.type,
        version.aliases,
        version.tags,
        version.description or None,
        version.metadata or None,
    )._replace(run=run)
    with source.make_executors() as executors:
        program = Program(partial(_found, source, destination, version, base, executors))
        watcher = _Totalled(progress, version)
        try:
            return destination.push_sources(Sources(program=program), request, watcher, "copy")
        except Denied as error:
            words = f"{version.qualified_name} can't be copied to {destination.url}: {error.message}"
            raise Denied(words, next_step=None, **error.facts) from error


def _found(
    source: Store, destination: Store, version: Version, base: int | None, executors: Executors
) -> Iterator[Found]:
    """The entries of a version as a push takes them."""
    name = parse_artifact_name(version.artifact)
    getter = source.getter_of(name, version.number)
    ahead = ReadAhead(getter, executors.io)
    there = _There(destination, version, base)
    for entry in entries(getter, version.manifest):
        known = there.content_of(entry)
        if known is not None:
            given = Given(known=(entry.identity, known))
        elif entry.kind != Kind.FILE or not entry.size:
            given = Given(known=(entry.identity, entry.content))
        else:
            given = Given(entry.size, entry.executable, ahead.expect(entry), entry.digest)
        where = f"{entry.path!r} of {version.qualified_name}"
        yield Found(entry.path, Kind(entry.kind), where, None, given=given)


class _There:
    """What the destination's version before this one has of its files; asked in path order."""

    def __init__(self, destination: Store, version: Version, base: int | None) -> None:
        self._environment: Environment = destination.parts.environment
        self._entries: Iterator[StoredEntry] = iter(())
        self._next: StoredEntry | None = None
        name = parse_artifact_name(version.artifact)
        try:
            before = None if base is None else destination.version(f"{name}:v{base}")
        except NotFoundError:
            before = None
        if before is not None:
            self._getter: Getter = destination.getter_of(name, before.number)
            self._entries = entries(self._getter, before.manifest)
            self._next = next(self._entries, None)

    def content_of(self, entry: StoredEntry) -> Content | None:
        """Where the destination has the bytes of this entry; None where it has not, or not whole."""
        order = path_order(entry.path)
        while self._next is not None and path_order(self._next.path) < order:
            self._next = next(self._entries, None)
        found = self._next
        if found is None or found.identity != entry.identity or not self._is_whole(found.content):
            return None
        return found.content

    def _is_whole(self, content: Content) -> bool:
        """Invariant 1: what is left out because it is known must lie in packs that are not damaged."""
        cids = split_cids(content.cids)
        if content.depth:
            lists: list[bytes] = []
            below = [span.cid for span in spans(self._getter, content, on_list=lists.append)]
            cids = [*cids, *lists, *below]
        return all(known_chunks(self._environment, cids))


class _Totalled:
    """Progress of one version, whose totals are known from the start."""

    def __init__(self, inner: Progress, version: Version) -> None:
        self._inner = inner
        self._version = version

    def start(self, label: str, *, bytes_total: int | None = None, files_total: int | None = None) -> None:
        """Begin with the totals of the version."""
        del bytes_total, files_total
        version = self._version
        self._inner.start(label, bytes_total=version.size_bytes, files_total=version.file_count)

    def total(self, *, bytes_total: int | None = None, files_total: int | None = None) -> None:
        """Hand on."""
        self._inner.total(bytes_total=bytes_total, files_total=files_total)

    def advance(self, *, bytes: int = 0, files: int = 0, new_bytes: int = 0) -> None:  # noqa: A002 - as in Progress
        """Hand on."""
        self._inner.advance(bytes=bytes, files=files, new_bytes=new_bytes)

    def notice(self, text: str) -> None:
        """Hand on."""
        self._inner.notice(text)

    def finish(self) -> None:
        """Hand on."""
        self._inner.finish()


def _refuse_one(source: Store, destination: Store) -> None:
    if source.id == destination.id:
        raise UsageError(
            f"{source.url} and {destination.url} are one store", next_step="name another store to copy to"
        )
