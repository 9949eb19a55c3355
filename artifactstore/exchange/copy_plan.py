"""What copying versions to another store would do: computed, shown, and only then done.

Versions are the same where their digests are: which number a version has at the other end is the other store's own
affair. Each version there stands for one here at most, so that a content that comes back (A, B, A) stays three.
"""

from collections.abc import Sequence
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
    """Decide what becomes of each version of one artifact.

    Args:
        here: Those to copy, oldest first.
        there: Those that the destination has, oldest first.
    """
    left = list(there)
    after = -1
    steps: list[CopyStep] = []
    for version in here:
        same = [one for one in left if one.digest == version.digest]
        # The next one in order, so that order is kept; else one that was copied on its own before.
        match = next((one for one in same if one.number > after), same[0] if same else None)
        if match is None and there and there[-1].digest == version.digest and not _copies(steps):
            # The newest there has the same content, and pushing that again makes no version.
            match = there[-1]
        names = tuple(name for name in version.aliases if name != LATEST)
        if match is None:
            steps.append(_copied(version, names, steps[-1] if steps else None))
            continue
        shared = match not in left
        if not shared:
            left.remove(match)
        after = max(after, match.number)
        aliases = tuple(name for name in names if name not in match.aliases)
        tags = tuple(tag for tag in version.tags if tag not in match.tags)
        # Of two that became one there, the first says what it is.
        said = not shared and (version.description, version.metadata) != (match.description, match.metadata)
        expires = not shared and version.expires_ns not in {None, match.expires_ns}
        action: Literal["update", "keep"] = "update" if aliases or tags or said or expires else "keep"
        steps.append(CopyStep(version, action, match.number, aliases, tags, said, expires=expires))
    return steps


def _copied(version: Version, names: tuple[str, ...], before: CopyStep | None) -> CopyStep:
    """What becomes of a version that the destination lacks.

    After one of the same content that is copied it becomes one with that, which says what it is.
    """
    if before is None or before.target is not None or before.version.digest != version.digest:
        expires = version.expires_ns is not None
        return CopyStep(version, "copy", None, names, version.tags, expires=expires)
    tags = tuple(tag for tag in version.tags if tag not in before.version.tags)
    return CopyStep(version, "update" if names or tags else "keep", None, names, tags)


def _copies(steps: Sequence[CopyStep]) -> bool:
    return any(step.action == "copy" for step in steps)


def only_there(here: Sequence[Version], there: Sequence[Version]) -> list[Version]:
    """The versions of the destination that stand for none here."""
    kept = {step.target for step in plan_steps(here, there)}
    return [version for version in there if version.number not in kept]
