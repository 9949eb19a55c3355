"""A Store of the same interface in memory, small and obvious: for the tests of the command line alone.

It stands in for the real one where a test is about words, options and exit codes; `test_documentation.py`
runs every documented command on the real one.
"""

import fnmatch
import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple

from artifactstore.clock import SystemClock, SystemRandomness
from artifactstore.errors import (
    DestinationExists,
    NoSuchEntry,
    NoSuchPath,
    NoSuchStore,
    NoSuchVersion,
    StoreExists,
)
from artifactstore.ids import parse_artifact_name, parse_reference
from artifactstore.keyring.keyfile import create_key_file
from artifactstore.maintenance.findings import Names, Objects
from artifactstore.store import Garbage

NOW_NS = 1_767_621_802_123_456_000  # 2026-01-05T14:03:22.123456Z


class PushSummary(NamedTuple):
    created: bool
    files: int
    logical_bytes: int
    files_read: int
    bytes_read: int
    new_bytes: int
    stored_bytes: int
    packs: int = 1
    seconds: float = 0.5


class PushPlan(NamedTuple):
    files: int
    logical_bytes: int
    files_unchanged: int
    files_to_read: int
    bytes_to_read: int
    paths: tuple[str, ...]


class PullSummary(NamedTuple):
    version: "Version"
    destination: Path
    files: int
    logical_bytes: int
    files_written: int
    bytes_written: int
    bytes_kept: int = 0
    references_left: int = 0
    seconds: float = 0.5


class PullPlan(NamedTuple):
    version: "Version"
    files: int
    logical_bytes: int
    files_to_write: int
    bytes_to_fetch: int


class Entry(NamedTuple):
    path: str
    kind: str
    size_bytes: int
    digest: str
    executable: bool = False
    target: str | None = None
    reference: Any = None


class ProjectInfo(NamedTuple):
    name: str
    artifacts: int
    versions: int
    updated_ns: int = NOW_NS


class ArtifactInfo(NamedTuple):
    artifact: str
    type: str
    versions: int
    latest: int
    size_bytes: int
    updated_ns: int = NOW_NS
    collection: bool = False


class LogEntry(NamedTuple):
    slot: int
    kind: str
    operations: tuple[str, ...] = ()
    packs_added: int = 0
    bytes_added: int = 0
    time_ns: int = NOW_NS
    member: str = "ab" * 16


class Problem(NamedTuple):
    kind: str
    object: str
    message: str
    part: str = "pack"
    versions: Names = Names()
    paths: Names = Names()
    next_step: str = ""


class CheckReport(NamedTuple):
    problems: tuple[Problem, ...] = ()
    records: int = 2
    packs: int = 1
    versions: int = 1
    versions_hurt: int = 0
    chunks: int = 3
    bytes_read: int = 0
    packs_read_before: int = 0
    packs_out_of_use: int = 0
    orphans: Objects = Objects()
    foreign: Objects | None = Objects()

    @property
    def ok(self) -> bool:
        return not self.problems


class IndexInfo(NamedTuple):
    path: Path
    size_bytes: int = 32768
    packs: int = 1
    chunks: int = 3
    slot: int = 2
    stat_rows: int = 2


class KeySlot(NamedTuple):
    id: str = "ab" * 16
    kind: str = "key-file"
    read_only: bool = False
    name: str = ""
    added_ns: int = 0
    added_by: str = ""


class StoreInfo(NamedTuple):
    id: str
    url: str
    key_file: Path
    cache: Path
    slots: tuple[KeySlot, ...] = (KeySlot(),)
    created_ns: int = NOW_NS
    generation: int = 0
    records: int = 2
    packs: int = 1
    chunks: int = 3
    projects: int = 1
    artifacts: int = 1
    versions: int = 1
    logical_bytes: int = 2000
    unique_bytes: int = 1000
    stored_bytes: int = 500
    dedup_ratio: float = 2.0
    compression_ratio: float = 2.0
    single_writer: bool = False
    probed_ns: int = NOW_NS


class Version:
    """One version; its names change in place."""

    def __init__(self, artifact: str, number: int, contents: dict[str, bytes], **about: Any) -> None:
        self.artifact = artifact
        self.number = number
        self.name = f"v{number}"
        self.qualified_name = f"{artifact}:v{number}"
        self.contents = contents
        self.type = about["type"]
        self.description = about["description"] or ""
        self.metadata = about["metadata"]
        self.aliases: tuple[str, ...] = about["aliases"]
        self.tags: tuple[str, ...] = about["tags"]
        self.created_ns = NOW_NS
        self.expires_ns: int | None = None
        self.stands_for: int | None = None
        self.link = None
        self.linked: tuple[str, ...] = ()
        self.size_bytes = self.new_bytes = sum(map(len, contents.values()))
        self.stored_bytes = self.size_bytes // 2
        self.file_count = len(contents)
        self.digest = hashlib.sha256(repr(sorted(contents.items())).encode()).hexdigest()
        self.push = PushSummary(
            True,
            self.file_count,
            self.size_bytes,
            self.file_count,
            self.size_bytes,
            self.size_bytes,
            self.stored_bytes,
        )

    def counted_references(self) -> tuple[int, int]:
        return 0, 0

    def files(self, path_glob: str | None = None) -> Iterator[Entry]:
        for path, data in sorted(self.contents.items()):
            if path_glob is None or fnmatch.fnmatch(path, path_glob):
                yield Entry(path, "file", len(data), hashlib.sha256(data).hexdigest())

    def open(self, path: str) -> BinaryIO:
        if path not in self.contents:
            raise NoSuchEntry(f"{self.qualified_name} holds no {path!r}", path=path)
        return io.BytesIO(self.contents[path])


class Store:
    """The stores of one test, by URL, are in `Store.made`; operations raise `Store.failure` if it is set."""

    made: ClassVar[dict[str, "Store"]] = {}
    failure: BaseException | None = None
    problems: tuple[Problem, ...] = ()
    opened_with: ClassVar[dict[str, Any]] = {}
    notices_of_all: ClassVar[list[str]] = []

    def __init__(self, url: str, key_file: Path, cache_dir: Path) -> None:
        self.id = hashlib.sha256(url.encode()).hexdigest()
        self.url = url
        self.key_file = key_file
        self.cache_dir = cache_dir
        self.kept: dict[str, list[Version]] = {}
        self.records = [LogEntry(0, "create")]
        self.closed = 0

    @classmethod
    def create(
        cls, url: str, *, key_file: Path, cache_dir: Path, single_writer: bool = False, **_: Any
    ) -> "Store":
        if url in cls.made:
            raise StoreExists(f"there is a store at {url}", url=url)
        if not key_file.exists():
            create_key_file(key_file, randomness=SystemRandomness(), clock=SystemClock())
        cls.made[url] = cls(url, key_file, cache_dir)
        return cls.made[url]

    @classmethod
    def open(cls, url: str, **options: Any) -> "Store":
        cls.opened_with = options
        if url not in cls.made:
            raise NoSuchStore(f"there is no store at {url}", url=url)
        return cls.made[url]

    @property
    def notices(self) -> list[str]:
        return self.notices_of_all

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed += 1

    def _operate(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _read(
        self,
        sources: Iterable[Any],
        exclude: Iterable[str],
        files: Iterable[str] | None,
        streams: Mapping[str, Any],
    ) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        patterns = list(exclude)
        for source in map(Path, sources):
            if not source.exists():
                raise NoSuchPath(f"{source} does not exist", path=str(source))
            for each in [source] if source.is_file() else sorted(source.rglob("*")):
                if each.is_file() and not any(fnmatch.fnmatch(each.name, pattern) for pattern in patterns):
                    found[each.name if each == source else each.relative_to(source).as_posix()] = (
                        each.read_bytes()
                    )
        for name in files or ():
            found[name] = Path(name).read_bytes()
        return found | {path: stream.read() for path, stream in (streams or {}).items()}

    def push(self, sources: Any, artifact: str, *, progress: Any, **options: Any) -> Version:
        self._operate()
        parse_artifact_name(artifact)
        contents = self._read(sources, options["exclude"], options["files"], options["streams"])
        progress.start("pushing", bytes_total=sum(map(len, contents.values())))
        progress.advance(bytes=sum(map(len, contents.values())), files=len(contents))
        versions = self.kept.setdefault(artifact, [])
        if versions and versions[-1].contents == contents:
            same = versions[-1]
            same.push = PushSummary(False, len(contents), same.size_bytes, 0, 0, 0, 0, 0)
            same.aliases = (*same.aliases, *options["aliases"])
            same.tags = (*same.tags, *options["tags"])
            same.metadata |= dict(options["metadata"] or {})
            return same
        for version in versions:
            version.aliases = tuple(alias for alias in version.aliases if alias != "latest")
        about = {
            "type": options["type"],
            "description": options["description"],
            "metadata": dict(options["metadata"] or {}),
            "aliases": ("latest", *options["aliases"]),
            "tags": tuple(options["tags"]),
        }
        versions.append(Version(artifact, len(versions), contents, **about))
        self._record(f"push {artifact} {versions[-1].name}", packs=1)
        return versions[-1]

    def plan_push(
        self, sources: Any, artifact: str, *, exclude: Any, files: Any, streams: Any = None
    ) -> PushPlan:
        self._operate()
        contents = self._read(sources, exclude, files, {})
        size = sum(map(len, contents.values()))
        return PushPlan(len(contents), size, 0, len(contents), size, tuple(sorted(contents)[:1]))

    def plan_pull(self, ref: str, destination: Any, *, paths: Any, overwrite: bool, **_: Any) -> PullPlan:
        version = self.version(ref)
        return PullPlan(
            version, version.file_count, version.size_bytes, version.file_count, version.size_bytes
        )

    def pull(
        self, ref: str, destination: Path, *, paths: Any, overwrite: bool, progress: Any, **_: Any
    ) -> PullSummary:
        self._operate()
        version = self.version(ref)
        target = Path(destination)
        if target.exists() and not overwrite:
            raise DestinationExists(f"{target} exists", path=str(target))
        shutil.rmtree(target, ignore_errors=True)
        globs = list(paths)
        size = 0
        count = 0
        for path, data in version.contents.items():
            if not globs or any(fnmatch.fnmatch(path, glob) for glob in globs):
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                size += (target / path).write_bytes(data)
                count += 1
        return PullSummary(version, target, version.file_count, version.size_bytes, count, size)

    def version(self, ref: str) -> Version:
        self._operate()
        wanted = parse_reference(ref)
        for version in self.kept.get(str(wanted.artifact), ()):
            if (
                version.number == wanted.number
                or wanted.alias in version.aliases
                or (wanted.digest_prefix and version.digest.startswith(wanted.digest_prefix))
            ):
                return version
        raise NoSuchVersion(f"there is no version {wanted}", reference=str(wanted))

    def projects(self) -> list[ProjectInfo]:
        names = sorted({artifact.partition("/")[0] for artifact in self.kept})
        return [
            ProjectInfo(
                name,
                sum(artifact.startswith(f"{name}/") for artifact in self.kept),
                sum(len(kept) for artifact, kept in self.kept.items() if artifact.startswith(f"{name}/")),
            )
            for name in names
        ]

    def artifacts(self, project: str) -> list[ArtifactInfo]:
        return [
            ArtifactInfo(artifact, kept[-1].type, len(kept), kept[-1].number, kept[-1].size_bytes)
            for artifact, kept in sorted(self.kept.items())
            if artifact.startswith(f"{project}/")
        ]

    def versions(self, artifact: str) -> list[Version]:
        return self.kept[artifact]

    def add_aliases(self, ref: str, names: Iterable[str], *, expected: str | None = "*") -> Version:
        version = self.version(ref)
        version.aliases = (*version.aliases, *names)
        self._record(f"alias {ref}")
        return version

    def remove_aliases(self, artifact: str, names: Iterable[str], *, expected: str | None = "*") -> None:
        gone = set(names)
        for version in self.kept[str(parse_reference(artifact).artifact)]:
            version.aliases = tuple(alias for alias in version.aliases if alias not in gone)

    def add_tags(self, ref: str, labels: Iterable[str]) -> Version:
        version = self.version(ref)
        version.tags = (*version.tags, *labels)
        return version

    def remove_tags(self, ref: str, labels: Iterable[str]) -> Version:
        gone = set(labels)
        version = self.version(ref)
        version.tags = tuple(tag for tag in version.tags if tag not in gone)
        return version

    def log(self, *, limit: int | None = None) -> Iterator[LogEntry]:
        self._operate()
        yield from self.records[::-1][:limit]

    def check(self, *, read_data: bool, sample_percent: float, restart: bool, progress: Any) -> CheckReport:
        return CheckReport(self.problems, bytes_read=int(sample_percent) if read_data else 0)

    def rebuild_index(self, progress: Any = None) -> None:
        progress.start("rebuilding the index")

    def index_info(self) -> IndexInfo:
        return IndexInfo(self.cache_dir / "index")

    def info(self) -> StoreInfo:
        return StoreInfo(self.id, self.url, self.key_file, self.cache_dir)

    def garbage(self, *, progress: Any = None) -> Garbage:
        return Garbage(0, 0, 0, None, 0, 0, 0, 0, "")

    def _record(self, operation: str, packs: int = 0) -> None:
        self.records.append(LogEntry(len(self.records), "commit", (operation,), packs, packs * 1000))


def forget_everything() -> None:
    """Between tests."""
    Store.made = {}
    Store.failure = None
    Store.problems = ()
    Store.notices_of_all = []
    os.environ.pop("_ARTIFACTSTORE_COMPLETE", None)
