"""What a draft is made of: adding files and folders, writing new ones, removing, and looking at what there is."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from artifactstore.client.referring import referred
from artifactstore.client.requests import Describing
from artifactstore.client.version import Version
from artifactstore.drafts.artifact_entry import ArtifactEntry
from artifactstore.drafts.keeper import Keeper
from artifactstore.errors import DraftSaved, InvalidSource, NoSuchEntry, NoSuchPath, UsageError
from artifactstore.format.pack import PackType
from artifactstore.format.reference import Reference
from artifactstore.ids import normalized, parse_artifact_name
from artifactstore.manifest.paths import path_problem
from artifactstore.manifest.splice import Pages
from artifactstore.references.access import ReferenceAccess
from artifactstore.transfer.digesting import Digester
from artifactstore.transfer.drafting import Additions, Content, refuse_unknown
from artifactstore.transfer.scan import Apart, Found, found_at, found_in


class Draft(Describing):
    """Changes to a version, or to nothing, that nobody has read yet; `Artifact` adds what it is called and saving it.

    Args:
        incremental: Whether it starts from what the newest version holds when it is saved.
    """

    def __init__(self, *, incremental: bool) -> None:
        self._incremental = incremental
        self._store: Keeper | None = None
        self._base: Version | None = None
        self._version: Version | None = None
        self._additions = Additions()
        self._removed: list[str] = []
        # Removes the folder of files that were written for the draft, at its end at the latest.
        self._written: tuple[str, weakref.finalize[..., Draft]] | None = None
        self._digester = Digester()

    @property
    def incremental(self) -> bool:
        """Whether it starts from what the newest version holds."""
        return self._incremental

    @property
    def base(self) -> Version | None:
        """The version that a draft was made from; None for none, and for the newest."""
        return self._base

    @property
    def removed(self) -> tuple[str, ...]:
        """What a draft removes of its base."""
        return tuple(self._removed)

    def content_from(self, store: Keeper, base: Version | None, *, changed: bool = True) -> Content:
        """What a draft makes of a version.

        Args:
            store: Where the version is.
            base: The version; None for none.
            changed: Whether the draft's changes are made; else the version is as it was.
        """
        if not changed:
            return _content(store, base, (), ())
        return _content(store, base, self._additions, self._removed)

    # --- adding ---------------------------------------------------------------------------------------------------

    def add_file(
        self,
        local_path: str | os.PathLike[str],
        name: str | None = None,
        *,
        overwrite: bool = False,
        skip_cache: bool | None = None,  # noqa: ARG002 - as W&B has it
        policy: str | None = None,  # noqa: ARG002 - as W&B has it
    ) -> ArtifactEntry:
        """Add a file; it is read when the draft is saved, and must be what it is now.

        Args:
            local_path: The file; a symlink is followed.
            name: Its path in the artifact; the file's own name when None.
            overwrite: Whether it takes the place of other bytes that were added there.
            skip_cache: Taken for W&B's sake, and without effect: nothing is copied on the way to the store.
            policy: Likewise.

        Returns:
            Its entry, without a digest.

        Raises:
            NoSuchPath: There is no such file.
            InvalidSource: It is no file, or can't be an entry.
            PathCollision: Other bytes were added at that path, or something is in its way.
            DraftSaved: The artifact is saved.
        """
        self._refuse_saved()
        source = os.path.realpath(local_path)
        path = os.path.basename(os.path.abspath(local_path)) if name is None else name  # noqa: PTH100, PTH119 - text
        found = found_at(source, path_in(path))
        self._additions.put(found, overwrite=overwrite)
        return self._entry(found)

    def add_dir(
        self,
        local_path: str | os.PathLike[str],
        name: str | None = None,
        *,
        merge: bool = False,
        exclude: Iterable[str] = (),
        skip_cache: bool | None = None,  # noqa: ARG002 - as W&B has it
        policy: str | None = None,  # noqa: ARG002 - as W&B has it
    ) -> None:
        """Add what a folder holds, as a push does: symlinks stay symlinks, `.artifactignore` leaves out.

        Args:
            local_path: The folder.
            name: Where to put it in the artifact; at the root when None.
            merge: Whether its files take the place of others that were added.
            exclude: What to leave out, in gitignore's language.
            skip_cache: As for `add_file`.
            policy: As for `add_file`.

        Raises:
            NoSuchPath: There is no such folder.
            InvalidSource: It is no folder, or holds what can't be an entry.
            PathCollision: As for `add_file`; then nothing of the folder was added.
            DraftSaved: The artifact is saved.
        """
        self._refuse_saved()
        folder = os.fspath(local_path)
        if not Path(folder).is_dir():
            if not os.path.lexists(folder):
                raise NoSuchPath(f"{folder!r} does not exist", path=folder)
            raise InvalidSource(f"{folder!r} is not a folder", next_step="add it with add_file", path=folder)
        prefix = "" if not name else path_in(name) + "/"
        self._put_all(found_in(folder, prefix, list(exclude), Apart()), overwrite=merge)

    def add_reference(
        self,
        uri: str | ArtifactEntry,
        name: str | None = None,
        checksum: bool = True,
        max_objects: int | None = None,
        *,
        overwrite: bool = False,
        materialize: bool = False,
        access: ReferenceAccess | None = None,
    ) -> list[ArtifactEntry]:
        """Add what lies elsewhere by its URL: nothing of it is copied, and it is known again by what is seen now.

        Args:
            uri: `s3://`, `gs://`, `https://`, `file://` and the like: an object, or a folder or prefix, of which
                everything is added; or an entry of another artifact that is a reference.
            name: Its path in the artifact, for a folder or prefix the folder to put it in; the last part of the URL
                when None, for a folder or prefix the root.
            checksum: Whether to look at it: size, and entity tag or checksum, and version. Without that the URL alone
                is kept, and is not looked into.
            max_objects: How many objects a folder or prefix may hold; 10,000 when None.
            overwrite: Whether it takes the place of what was added at its path.
            materialize: Take the bytes into the store when the draft is saved, instead of a reference.
            access: How it is reached; keys come from there or from the environment, and are not kept.

        Returns:
            The entries that were added.

        Raises:
            InvalidURL: It holds a secret, or is of a kind that nothing here reads.
            TooManyObjects: It holds more objects than it may; nothing was added.
            ReferenceGone, NoSuchPath: There is nothing.
            PathCollision: As for `add_file`.
            DraftSaved: The artifact is saved.
        """
        self._refuse_saved()
        if isinstance(uri, ArtifactEntry):
            if uri.reference is None:
                raise UsageError(f"{uri.path!r} is no reference, but a {uri.kind}", next_step="add its file")
            given: dict[str, str | Reference] = {name or uri.path: uri.reference}
        else:
            given = {name or "": uri}
        found = referred(
            given, access=access, checksum=checksum, objects_max=max_objects, materialize=materialize
        )
        for one in found:
            path_in(one.path)
        self._put_all(found, overwrite=overwrite)
        return [self._entry(one) for one in found]

    @contextmanager
    def new_file(
        self,
        name: str,
        mode: str = "x",
        encoding: str | None = None,
        policy: str | None = None,  # noqa: ARG002 - as W&B has it
    ) -> Iterator[IO[Any]]:
        """Open a new file for writing; when it is closed, it is added.

        Args:
            name: Its path in the artifact.
            mode: As for the built-in `open`: `x` or `w`, with `b` for bytes; `w` overwrites what was added there.
            encoding: Of text.
            policy: As for `add_file`.

        Raises:
            PathCollision: With `x`, something was added at that path.
            DraftSaved: The artifact is saved.
        """
        self._refuse_saved()
        if not set(mode) <= set("xwbt+") or not set(mode) & set("xw"):
            raise UsageError(f"a new file is opened with mode 'x' or 'w', not {mode!r}")
        path = path_in(name)
        if "x" in mode and self._additions.get(path) is not None:
            raise UsageError(f"{path!r} was added already", next_step="open it with mode 'w' to overwrite it")
        if self._written is None:
            place = tempfile.mkdtemp(prefix="artifactstore-")
            self._written = place, weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        handle, place = tempfile.mkstemp(dir=self._written[0])
        os.close(handle)
        with Path(place).open(mode.replace("x", "w"), encoding=encoding) as file:
            yield file
        Path(place).chmod(0o644)
        self._additions.put(found_at(place, path), overwrite="w" in mode)

    def remove(self, item: str | os.PathLike[str] | ArtifactEntry) -> None:
        """Remove a path, or a folder with everything in it: what was added, and what the base holds.

        Raises:
            NoSuchEntry: There is nothing of that path. Of an `incremental` draft that shows when it is saved.
            DraftSaved: The artifact is saved.
        """
        self._refuse_saved()
        path = path_in(item.path if isinstance(item, ArtifactEntry) else os.fspath(item))
        taken_back = self._additions.remove(path)
        if self._base is not None and not self._content_of_base().holds(path):
            if not taken_back:
                refuse_unknown(self._content_of_base(), path)
            return
        if self._base is not None or (self._incremental and not taken_back):
            self._removed.append(path)
        elif not taken_back:
            raise NoSuchEntry(f"there is nothing at {path!r} to remove", path=path)

    def _put_all(self, found: Iterable[Found], *, overwrite: bool) -> None:
        """Add several, or none of them."""
        before: list[tuple[str, Found | None]] = []
        try:
            for one in found:
                before.append((one.path, self._additions.get(one.path)))
                self._additions.put(one, overwrite=overwrite)
        except BaseException:
            for path, old in reversed(before):
                self._additions.remove(path)
                if old is not None:
                    self._additions.put(old)
            raise

    def get_added_local_path_name(self, local_path: str | os.PathLike[str]) -> str | None:
        """The path in the artifact of a file that was added from here; None where none was.

        Args:
            local_path: The file. Of one that was added several times, the first.
        """
        source = os.path.realpath(local_path)
        return next(
            (one.path for one in self._additions if one.stat is not None and one.source == source), None
        )

    # --- inside ---------------------------------------------------------------------------------------------------

    def _digest_of_draft(self) -> str:
        return self._digester.digest(self._content().found()).hex()

    def _refuse_saved(self) -> None:
        if self._version is not None:
            raise self._frozen()

    def _frozen(self) -> DraftSaved:
        assert self._version is not None
        name = self._version.qualified_name
        return DraftSaved(f"{name} is saved", version=name)

    @abstractmethod
    def _entry(self, found: Found) -> ArtifactEntry:
        """The entry for something that it adds or keeps."""

    def _drop(self) -> None:
        """Forget what was added: it is saved."""
        self._additions, self._removed, self._base = Additions(), [], None
        self._digester = Digester()
        if self._written is not None:
            self._written[1]()
            self._written = None

    def _content(self) -> Content:
        """What a draft holds now."""
        return _content(self._store, self._base, self._additions, self._removed)

    def _content_of_base(self) -> Content:
        return _content(self._store, self._base, (), self._removed)


def _content(
    store: Keeper | None, base: Version | None, additions: Iterable[Found], removed: Sequence[str]
) -> Content:
    if base is None or store is None:
        return Content(Pages(_Nothing()), None, additions, removed)
    getter = store.getter_of(parse_artifact_name(base.artifact), base.number)
    return Content(Pages(getter), base.manifest, additions, removed)


class _Nothing:
    """Reads pages where there are none."""

    def read(self, kind: PackType, cid: bytes) -> bytes:
        raise AssertionError(f"a draft without a base reads no {kind} {cid!r}")

    def read_many(self, kind: PackType, cids: Sequence[bytes]) -> list[bytes]:
        raise AssertionError(f"a draft without a base reads no {kind} {cids!r}")


def path_in(name: str) -> str:
    """A path as a version may hold it.

    Raises:
        InvalidSource: It may not.
    """
    path = normalized(name).rstrip("/")
    problem = path_problem(path)
    if problem:
        raise InvalidSource(
            f"{name!r} can't be a path in an artifact: {problem}", next_step="name it otherwise", path=name
        )
    return path
