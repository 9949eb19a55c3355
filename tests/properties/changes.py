"""What a client asks of a store in one record, said to the store and to the model, so that any two can be let race."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from hypothesis import strategies as st

from artifactstore.errors import (
    AliasMoved,
    ArtifactStoreError,
    Denied,
    IsCollection,
    NameTaken,
    NoSuchPush,
    NotACollection,
    NotFoundError,
    PartsMissing,
    PathCollision,
    PreconditionFailed,
    PushEnded,
)
from artifactstore.store.store import Store
from artifactstore.testing.model import PushState
from tests.properties.ground import (
    ALIASES,
    ARTIFACTS,
    COLLECTIONS,
    WEEK_S,
    Ground,
    alias_sets,
    artifact_names,
    contents,
    tag_sets,
)

_GONE: Final = (NotFoundError, PreconditionFailed)
_SHARDS_MAX: Final = 2


class Refused(NamedTuple):
    """What is expected where a store is to refuse.

    Attributes:
        kinds: With one of these errors.
        perhaps: Whether it may as well do nothing, since what is wanted is so already.
    """

    kinds: Sequence[type[ArtifactStoreError]]
    perhaps: bool = False


class Change(NamedTuple):
    """One change.

    Attributes:
        act: Asks a client's store for it.
        expect: Makes it in the model; gives what `act` is to return, or how it is to be refused.
        after_sweeps: What it may fail with, and change nothing, where a sweep came between.
    """

    act: Callable[[Store], object]
    expect: Callable[[], object]
    after_sweeps: tuple[type[ArtifactStoreError], ...] = ()


def attempt(change: Change, store: Store) -> object:
    """Ask for a change; return what came of it, errors that a store has words for included."""
    try:
        return change.act(store)
    except ArtifactStoreError as error:
        return error


def judge(found: object, expected: object) -> None:
    """Hold what came of a change against what the model expects."""
    if isinstance(expected, Refused):
        refused = isinstance(found, tuple(expected.kinds))
        assert refused or (expected.perhaps and not isinstance(found, ArtifactStoreError)), (found, expected)
        return
    if isinstance(found, ArtifactStoreError):
        raise found
    assert found == expected


class Changes:
    """Draws changes that fit a store as it is; a race may have made it another by the time that they are made.

    Args:
        ground: The store, and its model.
        data: Decides.
    """

    def __init__(self, ground: Ground, data: st.DataObject) -> None:
        self._ground = ground
        self._model = ground.model
        self._draw = data.draw

    def any(self) -> Change:
        """One of all."""
        kinds = [self.push, self.push, self.upload, self.share]
        if self._ground.numbers():
            kinds += [self.alias, self.tag, self.describe, self.rename, self.link, self.delete]
        if self._links():
            kinds.append(self.unlink)
        if self._ground.numbers(deleted=True):
            kinds.append(self.undelete)
        if self._ground.aliases():
            kinds.append(self.remove_alias)
        return self._draw(st.sampled_from(kinds))()

    def share(self) -> Change:
        """Something of a push in parts."""
        if not self._model.pushes:
            return self.begin()
        return self._draw(st.sampled_from([self.part, self.part, self.commit, self.abandon]))()

    def push(self) -> Change:
        """A push makes a version, unless its content is that of the newest one."""
        artifact, held, aliases, tags = self._pushed()
        source = self._ground.source(held)

        def act(store: Store) -> object:
            made = store.push([source], artifact, aliases=aliases, tags=tags)
            assert made.push is not None
            return made.number, made.push.created

        return Change(act, lambda: self._land(artifact, held, aliases, tags))

    def upload(self) -> Change:
        """An upload makes the version that a push of the same files would, in whatever order they come."""
        artifact, held, aliases, tags = self._pushed()
        order = self._draw(st.permutations(sorted(held)))

        def act(store: Store) -> object:
            with store.upload(artifact, aliases=aliases, tags=tags) as upload:
                for path in order:
                    upload.write(path, [held[path][:7], held[path][7:]])
            assert upload.version is not None
            assert upload.version.push is not None
            return upload.version.number, upload.version.push.created

        # What has arrived can't be asked for again.
        return Change(act, lambda: self._land(artifact, held, aliases, tags), (PreconditionFailed,))

    def alias(self) -> Change:
        """An alias moves to a version, or does so only from where it was seen."""
        artifact, number = self._version()
        alias, careful = self._draw(st.sampled_from(ALIASES)), self._draw(st.booleans())
        at = self._model.artifacts[artifact].aliases.get(alias)
        seen = None if at is None else f"v{at}"

        def act(store: Store) -> None:
            if careful:
                store.add_aliases(f"{artifact}:v{number}", [alias], expected=seen)
            else:
                store.add_aliases(f"{artifact}:v{number}", [alias])

        def expect() -> object:
            if not self._is_shown(artifact, number):
                return Refused(_GONE)
            if careful and self._model.artifacts[artifact].aliases.get(alias) != at:
                return Refused([AliasMoved])
            self._model.add_aliases(artifact, number, [alias])
            return None

        return Change(act, expect)

    def remove_alias(self) -> Change:
        """An alias is gone."""
        artifact, alias = self._draw(st.sampled_from(self._ground.aliases()))

        def expect() -> object:
            if alias not in self._model.artifacts[artifact].aliases:
                return Refused(_GONE, perhaps=True)
            self._model.remove_aliases(artifact, [alias])
            return None

        return Change(lambda store: store.remove_aliases(artifact, [alias]), expect)

    def tag(self) -> Change:
        """Labels are put on a version, or taken off."""
        artifact, number = self._version()
        labels, add = self._draw(tag_sets), self._draw(st.booleans())

        def act(store: Store) -> None:
            (store.add_tags if add else store.remove_tags)(f"{artifact}:v{number}", labels)

        def expect() -> object:
            if not self._is_shown(artifact, number):
                return Refused(_GONE)
            (self._model.add_tags if add else self._model.remove_tags)(artifact, number, labels)
            return None

        return Change(act, expect)

    def describe(self) -> Change:
        """Something is said of a version under one key."""
        artifact, number = self._version()
        said: dict[str, object] = {self._draw(st.sampled_from("ab")): self._draw(st.integers(0, 9))}

        def act(store: Store) -> None:
            store.describe(f"{artifact}:v{number}", metadata=said)

        def expect() -> object:
            if not self._is_shown(artifact, number):
                return Refused(_GONE)
            self._model.describe(artifact, number, said)
            return None

        return Change(act, expect)

    def rename(self) -> Change:
        """An artifact gets a name that nothing has or had."""
        artifact, _ = self._version()
        new = self._draw(st.sampled_from((*ARTIFACTS, *COLLECTIONS, "r/new")))

        def expect() -> object:
            if self._model.artifacts[artifact].gone or not self._model.rename(artifact, new):
                return Refused([NameTaken, *_GONE])
            return new

        return Change(lambda store: store.rename(artifact, new), expect)

    def link(self) -> Change:
        """A version, or the one that a link is of, is linked into a collection."""
        artifact, number = self._version()
        collection, aliases = self._draw(st.sampled_from(COLLECTIONS)), self._draw(alias_sets)
        held = self._model.artifacts[artifact].versions[number].source or (artifact, number)

        def act(store: Store) -> object:
            made = store.link(f"{artifact}:v{number}", collection, aliases=aliases)
            assert made.push is not None
            return made.number, made.push.created

        def expect() -> object:
            if not self._is_shown(*held):
                return Refused(_GONE)
            there = self._model.artifacts.get(self._model.first(collection))
            if there is not None and not there.collection and not there.gone:
                return Refused([NotACollection])
            made = self._model.link(*held, collection, aliases)
            self._ground.edges.add((f"{held[0]}:v{held[1]}", f"{self._model.first(collection)}:v{made[0]}"))
            return made

        return Change(act, expect)

    def unlink(self) -> Change:
        """A link is taken out of its collection; the version stays."""
        artifact, number = self._draw(st.sampled_from(self._links()))
        return self._deletion(
            artifact,
            number,
            lambda store: store.unlink([f"{artifact}:v{number}"], force=True),
            now=False,
        )

    def delete(self) -> Change:
        """A version is hidden, or due at once; one that is linked or has an alias by force only."""
        artifact, number = self._version()
        now = self._draw(st.booleans())

        def act(store: Store) -> object:
            return store.delete([f"{artifact}:v{number}"], force=True, now=now)

        return self._deletion(artifact, number, act, now=now)

    def undelete(self) -> Change:
        """What is hidden is shown again."""
        artifact, number = self._draw(st.sampled_from(self._ground.numbers(deleted=True)))

        def act(store: Store) -> None:
            store.undelete([f"{artifact}:v{number}"])

        def expect() -> object:
            version = self._model.artifacts[artifact].versions[number]
            if version.purged or self._model.refuses(version.contents):
                return Refused([Denied, *_GONE], perhaps=not version.deleted)
            if not version.deleted:
                return Refused(_GONE, perhaps=True)
            self._model.undelete(artifact, number)
            return None

        return Change(act, expect)

    def begin(self) -> Change:
        """A push in parts is begun; nothing is seen of it."""
        artifact, aliases = self._draw(artifact_names), self._draw(alias_sets)
        shards = self._draw(st.integers(1, _SHARDS_MAX))
        name = f"push {len(self._ground.tokens)}"
        self._ground.tokens[name] = ""

        def act(store: Store) -> None:
            self._ground.tokens[name] = store.distributed(artifact, shards=shards, aliases=aliases).token

        return Change(act, lambda: self._model.begin(name, artifact, shards, aliases))

    def part(self) -> Change:
        """A part is finished, or done again with other files."""
        name = self._begun()
        part = self._draw(st.integers(0, self._model.pushes[name].shards - 1))
        # Mostly paths that no other part has.
        held = {
            f"{part}/{path}" if self._draw(st.booleans()) else path: data
            for path, data in self._draw(contents).items()
        }
        source = self._ground.source(held)

        def act(store: Store) -> object:
            return store.part(self._ground.tokens[name], part).push([source]).created

        def expect() -> object:
            if self._model.pushes[name].state is not PushState.OPEN:
                return Refused([PushEnded, NoSuchPush])
            if self._model.refuses(held):
                return Refused([Denied])
            return self._model.finish(name, part, held)

        return Change(act, expect)

    def commit(self) -> Change:
        """All parts become one version, or none does; whoever commits again is told the same."""
        name = self._begun()

        def act(store: Store) -> object:
            return store.join(self._ground.tokens[name]).commit().number

        def expect() -> object:
            push = self._model.pushes[name]
            if push.state is PushState.COMMITTED:
                assert push.made is not None
                return push.made[1] if self._is_shown(*push.made) else Refused([PushEnded])
            if push.state is not PushState.OPEN:
                return Refused([PushEnded, NoSuchPush])
            if push.missing:
                return Refused([PartsMissing])
            if push.collides:
                return Refused([PathCollision])
            if not self._model.takes_pushes(push.artifact):
                return Refused([IsCollection])
            return self._model.commit(name)

        return Change(act, expect)

    def abandon(self) -> Change:
        """A push in parts is given up, unless it has come to its end."""
        name = self._begun()

        def act(store: Store) -> None:
            store.join(self._ground.tokens[name]).abandon()

        def expect() -> object:
            push = self._model.pushes[name]
            if push.state is PushState.COMMITTED:
                return Refused([PushEnded])
            if push.state is PushState.FORGOTTEN:
                return Refused([NoSuchPush])
            push.state = PushState.ABANDONED
            return None

        return Change(act, expect)

    def sweep(self) -> Change:
        """What is due is purged; pushes in parts are given up where nobody waits for them."""
        impatient = self._draw(st.booleans())

        def act(store: Store) -> object:
            done = store.gc(store.plan_gc(expiry_s=0 if impatient else WEEK_S), trust_clock=True)
            return sorted(done.purged), done.left_total

        def expect() -> object:
            if impatient:
                self._ground.give_up(self._model.open_pushes())
            return sorted(self._model.sweep()), 0

        return Change(act, expect)

    def _pushed(self) -> tuple[str, dict[str, bytes], list[str], list[str]]:
        return self._draw(artifact_names), self._draw(contents), self._draw(alias_sets), self._draw(tag_sets)

    def _land(self, artifact: str, held: dict[str, bytes], aliases: list[str], tags: list[str]) -> object:
        if self._model.refuses(held) or not self._model.takes_pushes(artifact):
            return Refused([Denied, IsCollection])
        return self._model.push(artifact, held, aliases=aliases, tags=tags)

    def _deletion(self, artifact: str, number: int, act: Callable[[Store], object], *, now: bool) -> Change:
        def acted(store: Store) -> None:
            act(store)

        def expect() -> object:
            version = self._model.artifacts[artifact].versions[number]
            if version.deleted and now and not version.due:
                # What was hidden meanwhile may still be purged sooner.
                version.due = True
                return None
            if version.deleted:
                return Refused(_GONE)
            self._model.delete(artifact, number, now=now)
            return None

        return Change(acted, expect)

    def _version(self) -> tuple[str, int]:
        return self._draw(st.sampled_from(self._ground.numbers()))

    def _begun(self) -> str:
        """A push in parts, mostly one that is open."""
        is_open = [name for name, push in self._model.pushes.items() if push.state is PushState.OPEN]
        return self._draw(st.sampled_from([*is_open, *is_open, *self._model.pushes]))

    def _links(self) -> list[tuple[str, int]]:
        return [
            (name, number)
            for name, number in self._ground.numbers()
            if self._model.artifacts[name].versions[number].source is not None
        ]

    def _is_shown(self, artifact: str, number: int) -> bool:
        return not self._model.artifacts[artifact].versions[number].deleted
