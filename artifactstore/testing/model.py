"""The reference model: what a store promises, said with dictionaries.

It knows nothing of chunks, packs or records. A version is the mapping of paths to bytes that was pushed; two versions
have equal digests exactly when their mappings are equal.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import TypeAlias

import msgspec

from artifactstore.ids import LATEST
from artifactstore.store.store import Store

Contents: TypeAlias = Mapping[str, bytes]


class ModelVersion(msgspec.Struct):
    """One version.

    Attributes:
        contents: By path.
        tags: The labels on it.
        deleted: Whether it is deleted.
        place: Of a successor, where it stands.
        due: Whether the next sweep purges it.
        purged: Whether one did.
        metadata: What is said of it.
        source: Of a link: the artifact, by its first name, and the version that it is of.
    """

    contents: dict[str, bytes]
    tags: set[str]
    deleted: bool = False
    place: int | None = None
    due: bool = False
    purged: bool = False
    metadata: dict[str, object] = {}
    source: tuple[str, int] | None = None


class ModelArtifact(msgspec.Struct):
    """One artifact.

    Attributes:
        versions: By number.
        aliases: Where they point.
        called: What it is called now, where that is not what it was called first.
        collection: Whether its versions are links.
    """

    versions: list[ModelVersion]
    aliases: dict[str, int]
    called: str = ""
    collection: bool = False

    @property
    def gone(self) -> bool:
        """Whether all its versions are purged."""
        return all(version.purged for version in self.versions)

    def shown(self) -> list[int]:
        """Numbers of the versions that are not deleted."""
        return [number for number, version in enumerate(self.versions) if not version.deleted]

    def place(self, number: int) -> int:
        """Where a version stands among the others."""
        place = self.versions[number].place
        return number if place is None else place

    def newest(self) -> int | None:
        """The newest version that is shown; a successor comes right after the version in whose place it stands."""
        return max(self.shown(), key=lambda number: (self.place(number), number), default=None)

    def point_latest(self) -> None:
        """`latest` is on the newest version that is shown, and nowhere if there is none."""
        self.aliases.pop(LATEST, None)
        newest = self.newest()
        if newest is not None:
            self.aliases[LATEST] = newest


class PushState(Enum):
    """What has become of a push in parts."""

    OPEN = "open"
    COMMITTED = "committed"
    ABANDONED = "abandoned"
    FORGOTTEN = "forgotten"


class ModelPush(msgspec.Struct):
    """A push in parts.

    Attributes:
        artifact: What it makes a version of, by the name that it was begun with.
        shards: How many parts it has.
        aliases: For its version.
        parts: Those that are finished, by number.
        state: What has become of it.
        made: The version that it made, or found.
    """

    artifact: str
    shards: int
    aliases: list[str]
    parts: dict[int, dict[str, bytes]] = {}
    state: PushState = PushState.OPEN
    made: tuple[str, int] | None = None

    @property
    def missing(self) -> list[int]:
        """Numbers of the parts that are not finished."""
        return [part for part in range(self.shards) if part not in self.parts]

    @property
    def collides(self) -> bool:
        """Whether two parts hold one path."""
        return len(self.contents) < sum(map(len, self.parts.values()))

    @property
    def contents(self) -> dict[str, bytes]:
        """What all its parts hold."""
        return {path: data for part in self.parts.values() for path, data in part.items()}


class ModelStore:
    """A store as a user thinks of it.

    Attributes:
        artifacts: By the `project/name` that each was called first.
        denied: Contents that were taken down.
        names: By each other name that an artifact was given, the first one.
        pushes: Those in parts, by whatever their maker calls them.
    """

    def __init__(self) -> None:
        self.artifacts: dict[str, ModelArtifact] = {}
        self.denied: set[bytes] = set()
        self.names: dict[str, str] = {}
        self.pushes: dict[str, ModelPush] = {}

    def copy(self) -> "ModelStore":
        """A model that goes on by itself from here."""
        other = ModelStore()
        for name, artifact in self.artifacts.items():
            versions = [
                ModelVersion(
                    dict(one.contents),
                    set(one.tags),
                    one.deleted,
                    one.place,
                    one.due,
                    one.purged,
                    dict(one.metadata),
                    one.source,
                )
                for one in artifact.versions
            ]
            aliases = dict(artifact.aliases)
            other.artifacts[name] = ModelArtifact(versions, aliases, artifact.called, artifact.collection)
        other.denied, other.names = set(self.denied), dict(self.names)
        for token, push in self.pushes.items():
            other.pushes[token] = msgspec.structs.replace(push, parts=dict(push.parts))
        return other

    def push(
        self,
        name: str,
        contents: Contents,
        *,
        aliases: Iterable[str] = (),
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
    ) -> tuple[int, bool]:
        """Push; return the version's number and whether it was made: equal content makes none."""
        artifact = self.artifacts.setdefault(self.first(name), ModelArtifact([], {}))
        artifact.collection = False
        newest = artifact.newest()
        created = newest is None or artifact.versions[newest].contents != contents
        if newest is None or created:
            artifact.versions.append(ModelVersion(dict(contents), set()))
            newest = len(artifact.versions) - 1
        number = newest
        artifact.versions[number].tags.update(tags)
        if metadata is not None:
            artifact.versions[number].metadata = dict(metadata)
        artifact.point_latest()
        for alias in aliases:
            artifact.aliases[alias] = number
        return number, created

    def begin(self, token: str, artifact: str, shards: int, aliases: Iterable[str] = ()) -> None:
        """Begin a push in parts."""
        self.pushes[token] = ModelPush(artifact, shards, list(aliases))

    def finish(self, token: str, part: int, contents: Contents) -> bool:
        """Finish a part of an open push; return whether it is another than before."""
        push = self.pushes[token]
        before = push.parts.get(part)
        push.parts[part] = dict(contents)
        return before != contents

    def commit(self, token: str) -> int:
        """Make the version of an open push all of whose parts are finished; return its number."""
        push = self.pushes[token]
        number, _ = self.push(push.artifact, push.contents, aliases=push.aliases)
        push.state, push.made = PushState.COMMITTED, (self.first(push.artifact), number)
        return number

    def open_pushes(self) -> set[str]:
        """Pushes in parts that have come to no end."""
        return {token for token, push in self.pushes.items() if push.state is PushState.OPEN}

    def first(self, name: str) -> str:
        """What the artifact was called first that a name leads to."""
        return self.names.get(name, name)

    def takes_pushes(self, name: str) -> bool:
        """Whether versions may be pushed under a name: not into a collection."""
        artifact = self.artifacts.get(self.first(name))
        return artifact is None or artifact.gone or not artifact.collection

    def rename(self, old: str, new: str) -> bool:
        """Call an artifact by another name; return whether that is to be had."""
        first, taken = self.first(old), self.first(new)
        if taken in self.artifacts and taken != first:
            return False
        artifact = self.artifacts[first]
        artifact.called = "" if new == first else new
        if new != first:
            self.names[new] = first
        return True

    def describe(self, name: str, number: int, metadata: Mapping[str, object]) -> None:
        """Say something of a version under some keys."""
        self.artifacts[name].versions[number].metadata.update(metadata)

    def links(self, name: str, number: int) -> list[tuple[str, int]]:
        """The links of a version that are shown."""
        return [
            (collection, at)
            for collection, artifact in sorted(self.artifacts.items())
            for at in artifact.shown()
            if artifact.versions[at].source == (name, number)
        ]

    def link(self, name: str, number: int, collection: str, aliases: Iterable[str]) -> tuple[int, bool]:
        """Link a version into a collection; return the link's number and whether it was made."""
        source = self.artifacts[name].versions[number]
        artifact = self.artifacts.setdefault(self.first(collection), ModelArtifact([], {}))
        artifact.collection = True
        found = [at for at in artifact.shown() if artifact.versions[at].source == (name, number)]
        if not found:
            made = ModelVersion(
                dict(source.contents), set(), metadata=dict(source.metadata), source=(name, number)
            )
            artifact.versions.append(made)
            artifact.point_latest()
        at = found[0] if found else len(artifact.versions) - 1
        artifact.aliases.update(dict.fromkeys(aliases, at))
        return at, not found

    def add_aliases(self, name: str, number: int, aliases: Iterable[str]) -> None:
        """Point aliases at a version, away from those they are on."""
        self.artifacts[name].aliases.update(dict.fromkeys(aliases, number))

    def remove_aliases(self, name: str, aliases: Iterable[str]) -> None:
        """Remove aliases of an artifact."""
        for alias in aliases:
            del self.artifacts[name].aliases[alias]

    def add_tags(self, name: str, number: int, labels: Iterable[str]) -> None:
        """Put labels on a version."""
        self.artifacts[name].versions[number].tags.update(labels)

    def remove_tags(self, name: str, number: int, labels: Iterable[str]) -> None:
        """Take labels off a version."""
        self.artifacts[name].versions[number].tags.difference_update(labels)

    def delete(self, name: str, number: int, *, now: bool = False) -> None:
        """Delete a version, and the aliases on it with it."""
        artifact = self.artifacts[name]
        artifact.versions[number].deleted = True
        artifact.versions[number].due = now
        artifact.aliases = {alias: at for alias, at in artifact.aliases.items() if at != number}
        artifact.point_latest()

    def undelete(self, name: str, number: int) -> None:
        """Bring a deleted version back, without the aliases that it had."""
        self.artifacts[name].versions[number].deleted = False
        self.artifacts[name].point_latest()

    def purge(self, name: str, number: int) -> None:
        """Make a deleted version one that can't be brought back."""
        self.artifacts[name].versions[number].purged = True

    def due(self) -> set[tuple[str, int]]:
        """What the next sweep purges."""
        return {
            (name, number)
            for name, artifact in self.artifacts.items()
            for number, version in enumerate(artifact.versions)
            if version.deleted and version.due and not version.purged
        }

    def sweep(self, planned: Collection[tuple[str, int]] | None = None) -> list[str]:
        """Purge what is due; return it as `project/name:vN`.

        Args:
            planned: What was due when the sweep was planned; what came to be due since is left to the next one.
        """
        due = self.due() if planned is None else self.due() & set(planned)
        purged: list[str] = []
        for name, number in sorted(due):
            self.purge(name, number)
            purged.append(f"{self.artifacts[name].called or name}:v{number}")
        for name in [name for name, artifact in self.artifacts.items() if artifact.gone]:
            self._free_names(name)
        return purged

    def _free_names(self, first: str) -> None:
        """Let all names of an artifact that is gone be artifacts of their own, whose numbers go on."""
        for name in [name for name, to in self.names.items() if to == first]:
            del self.names[name]
            self.artifacts[name] = self.copy().artifacts[first]
            self.artifacts[name].called = ""
        self.artifacts[first].called = ""

    def refuses(self, contents: Contents) -> bool:
        """Whether something in these contents was taken down."""
        return not self.denied.isdisjoint(contents.values())

    def takedown(self, content: bytes, *, rewrite: bool) -> None:
        """Take a content out of every version, and refuse it; with `rewrite` those that hold more get a successor.

        A part that holds it is to be made again.
        """
        self.denied.add(content)
        for push in self.pushes.values():
            if push.state is PushState.OPEN:
                push.parts = {at: held for at, held in push.parts.items() if content not in held.values()}
        for name, artifact in sorted(self.artifacts.items()):
            for number, version in enumerate(list(artifact.versions)):
                if content not in version.contents.values():
                    continue
                if version.deleted:
                    version.due = True
                    continue
                rest = {path: data for path, data in version.contents.items() if data != content}
                if rewrite and rest:
                    self.replace(name, number, rest)
                else:
                    self.delete(name, number, now=True)

    def replace(self, name: str, number: int, contents: Contents) -> int:
        """Put a successor in the place of a version, which the next sweep purges; return the successor's number."""
        artifact = self.artifacts[name]
        version = artifact.versions[number]
        successor = ModelVersion(
            dict(contents),
            set(version.tags),
            place=artifact.place(number),
            metadata=dict(version.metadata),
            source=version.source,
        )
        artifact.versions.append(successor)
        at = len(artifact.versions) - 1
        artifact.aliases = {alias: at if to == number else to for alias, to in artifact.aliases.items()}
        version.deleted = version.due = True
        return at

    def shown(self) -> "Shown":
        """What the model holds, in the form that `shown_by` gives of a store."""
        return {
            name: [
                ShownVersion(
                    number,
                    dict(version.contents),
                    sorted(alias for alias, at in artifact.aliases.items() if at == number),
                    sorted(version.tags),
                    dict(version.metadata),
                    version.source is not None,
                )
                for number, version in enumerate(artifact.versions)
                if not version.deleted
            ]
            for name, artifact in sorted((one.called or name, one) for name, one in self.artifacts.items())
            if artifact.shown()
        }


class ShownVersion(msgspec.Struct, frozen=True):
    """A version as its users see it."""

    number: int
    contents: dict[str, bytes]
    aliases: list[str]
    tags: list[str]
    metadata: dict[str, object]
    is_link: bool


Shown: TypeAlias = dict[str, list[ShownVersion]]


def shown_by(store: Store) -> Shown:
    """Everything that a store shows of its versions, every byte read back."""
    shown: Shown = {}
    for project in store.projects():
        for artifact in store.artifacts(project.name):
            name = str(artifact.artifact)
            shown[name] = []
            for version in store.versions(name):
                contents = {}
                for entry in version.files():
                    with version.open(entry.path) as file:
                        contents[entry.path] = file.read()
                shown[name].append(
                    ShownVersion(
                        version.number,
                        contents,
                        sorted(version.aliases),
                        sorted(version.tags),
                        version.metadata,
                        version.link is not None,
                    )
                )
    return dict(sorted(shown.items()))
