"""What copying versions to another store would do: computed, shown, and only then done.

Versions are the same where their digests are: which number a version has at the other end is the other store's own
affair. Each version there stands for one here at most, so that a content that comes back (A, B, A) stays three.
"""

from collections.abc import Sequence
from operator import lt
from typing import Literal

import msgspec

from artifactstore.ids import LATEST
from artifactstore.store import Version


class CopyStep(msgspec.Struct, frozen=True):
    """What becomes of one version.

    Attributes:
        version: The version in the source store.
        action: `copy`, `update` (only what stands outside the digest is changed there) or `keep` (nothing is done).
        target: The number that it has in the destination; None before it is copied, or the one before it whose content
            it has.
        aliases: Aliases that the destination's version lacks.
        tags: Labels that it lacks.
        said: Whether its description or metadata are others, and become those of the source.
        expires: Whether it expires at another time there, or never, and gets the time of the source.
        stored_bytes: Bytes of the packs that copying it added; None before.
    """

    version: Version
    action: Literal["copy", "update", "keep"]
    target: int | None
    aliases: tuple[str, ...]
    tags: tuple[str, ...]
    said: bool = False
    stored_bytes: int | None = None
    expires: bool = False


class CopyPlan(msgspec.Struct, frozen=True):
    """What copying does.

    Attributes:
        source: Where the source store lies, without credentials.
        destination: Where the other store lies.
        steps: What becomes of each version, in the order of the work.
        deletes: `project/name:vN` of versions in the destination that a mirror deletes.
        everything: Whether it is a mirror's, which takes runs over that produced nothing, too.
    """

    source: str
    destination: str
    steps: tuple[CopyStep, ...]
    deletes: tuple[str, ...] = ()
    everything: bool = False

    @property
    def copied(self) -> tuple[CopyStep, ...]:
        """The steps that move content."""
        return tuple(step for step in self.steps if step.action == "copy")

    @property
    def logical_bytes(self) -> int:
        """Bytes of the files of the versions that are copied."""
        return sum(step.version.size_bytes for step in self.copied)


def plan_steps(here: Sequence[Version], there: Sequence[Version]) -> list[CopyStep]:
    """Decide what becomes of each version of one artifact; after it was done, nothing is copied a second time.

    Args:
        here: Those to copy, oldest first.
        there: Those that the destination has, oldest first.
    """
    matches = _matches(here, there)
    steps: list[CopyStep] = []
    newest: CopyStep | None = None
    for version, match, joined in zip(here, matches, _joined(here, there, matches), strict=True):
        if match is None and joined is None:
            steps.append(_copied(version, newest))
            if steps[-1].action == "copy":
                newest = steps[-1]
        else:
            steps.append(_kept(version, match, joined))
    return steps


def _matches(here: Sequence[Version], there: Sequence[Version]) -> list[Version | None]:
    """The version of the destination that stands for each one here; each of them for one at most."""
    left = list(there)
    after = -1
    matches: list[Version | None] = []
    for version in here:
        same = [one for one in left if one.digest == version.digest]
        # The next one in order, so that order is kept; else one that was copied on its own before.
        match = next((one for one in same if one.number > after), same[0] if same else None)
        matches.append(match)
        if match is not None:
            left.remove(match)
            after = max(after, match.number)
    return matches


def _joined(
    here: Sequence[Version], there: Sequence[Version], matches: Sequence[Version | None]
) -> list[Version | None]:
    """The version that one here shares with another, of the same content, that it stands for.

    Pushing the content of the newest version again makes none, so that two become one there. Where versions came in
    another order than here, one of a content stands for all that have it.
    """
    numbers = [match.number for match in matches if match is not None]
    in_order = all(map(lt, numbers, numbers[1:]))
    joined: list[Version | None] = []
    last: Version | None = None
    for version, match in zip(here, matches, strict=True):
        candidates = ([] if last is None else [last]) if in_order else there
        same = (one for one in candidates if one.digest == version.digest)
        joined.append(next(same, None) if match is None else None)
        if match is not None:
            last = match
        elif joined[-1] is None:
            last = None  # it is copied, and is the newest then
    return joined


def _kept(version: Version, match: Version | None, joined: Version | None) -> CopyStep:
    """What becomes of a version that the destination has. Of two that became one there, the first says what it is."""
    there = match or joined
    assert there is not None
    aliases = tuple(name for name in _own(version) if name not in there.aliases)
    tags = tuple(tag for tag in version.tags if tag not in there.tags)
    said = match is not None and (version.description, version.metadata) != (
        there.description,
        there.metadata,
    )
    expires = match is not None and version.expires_ns not in {None, there.expires_ns}
    action: Literal["update", "keep"] = "update" if aliases or tags or said or expires else "keep"
    return CopyStep(version, action, there.number, aliases, tags, said, expires=expires)


def _copied(version: Version, newest: CopyStep | None) -> CopyStep:
    """What becomes of a version that the destination lacks.

    Where the last one copied has its content, it becomes one with that, which says what it is.
    """
    if newest is None or newest.version.digest != version.digest:
        expires = version.expires_ns is not None
        return CopyStep(version, "copy", None, _own(version), version.tags, expires=expires)
    tags = tuple(tag for tag in version.tags if tag not in newest.version.tags)
    return CopyStep(version, "update" if _own(version) or tags else "keep", None, _own(version), tags)


def _own(version: Version) -> tuple[str, ...]:
    """The aliases that somebody gave it."""
    return tuple(name for name in version.aliases if name != LATEST)


def only_there(here: Sequence[Version], there: Sequence[Version]) -> list[Version]:
    """The versions of the destination that stand for none here."""
    kept = {step.target for step in plan_steps(here, there)}
    return [version for version in there if version.number not in kept]
