"""The front of this package: from a URL to references, from a reference to its bytes."""

from collections.abc import Iterator
from importlib import import_module
from typing import BinaryIO, Final, Protocol
from urllib.parse import unquote, urlsplit

from artifactstore.errors import InvalidURL, MissingExtra, ReferenceGone, TooManyObjects
from artifactstore.format.reference import Reference
from artifactstore.references.access import LOCAL, WEB, ReferenceAccess, refuse_unasked, scheme_of
from artifactstore.references.checked import BLAKE3, ETAG, MD5
from artifactstore.references.local import LocalFiles

OBJECTS_MAX: Final = 10_000
_KNOWN: Final = (f"{BLAKE3}:", f"{MD5}:", f"{ETAG}:")


class Source(Protocol):
    """One kind of place outside the store."""

    def look(self, url: str, *, checksum: bool) -> Reference:
        """What a reference to one object says of it."""
        ...

    def expand(self, url: str, *, checksum: bool) -> Iterator[tuple[str, Reference]] | None:
        """What is below a folder or prefix; None when it is one object."""
        ...

    def open(self, reference: Reference) -> BinaryIO:
        """Its bytes, checked as they are read."""
        ...

    def verify(self, reference: Reference) -> None:
        """Whether it is there and the same, with as little reading as that takes."""
        ...


class Sources:
    """Everything that a reference may point at. Thread-safe.

    Args:
        access: What may be fetched, and with what.
        asked: Whether the user named the URLs, rather than a version: then they may lead anywhere.
    """

    def __init__(self, access: ReferenceAccess, *, asked: bool = False) -> None:
        self._access = access
        self._asked = asked
        self._made: dict[str, Source] = {}

    def refer(
        self, url: str, *, checksum: bool = True, objects_max: int = OBJECTS_MAX
    ) -> Iterator[tuple[str, Reference]]:
        """Yield references to what a URL names: (path, reference), the path empty for a single object.

        Args:
            url: An object, or a folder or prefix.
            checksum: Whether to look at it; without that there is one reference, whatever the URL names.
            objects_max: How many objects a folder or prefix may hold.

        Raises:
            InvalidURL: It can't be kept.
            TooManyObjects: There are more; none of them was yielded past the bound.
            ReferenceGone, NoSuchPath: There is nothing.
        """
        source = self._source(url)
        found = source.expand(url, checksum=checksum) if checksum else None
        if found is None:
            yield "", source.look(url, checksum=checksum)
            return
        count = 0
        for count, (path, reference) in enumerate(found, 1):
            if count > objects_max:
                raise TooManyObjects(
                    f"{url} holds more than {objects_max} objects", url=url, objects_max=objects_max
                )
            yield path, reference
        if not count:
            raise ReferenceGone(f"there is nothing at {url}", next_step="check the URL", url=url)

    def open(self, reference: Reference) -> BinaryIO:
        """The bytes of a reference; reading raises when they are not what it says.

        Raises:
            ReferenceRefused: It leads where nobody allowed.
            ReferenceGone: There is nothing any more.
            ReferenceChanged: It is something else.
        """
        return self._checked(reference).open(reference)

    def verify(self, reference: Reference) -> None:
        """Ask the source whether it is there and the same; a file is read for that.

        Raises:
            ReferenceRefused, ReferenceGone, ReferenceChanged: As `open`.
        """
        self._checked(reference).verify(reference)

    def _checked(self, reference: Reference) -> Source:
        if reference.checksum and not reference.checksum.startswith(_KNOWN):
            raise InvalidURL(
                f"{reference.url} is known by {reference.checksum.partition(':')[0]!r}, which this release can't check",
                next_step="upgrade artifactstore, or leave it out",
                url=reference.url,
            )
        if not self._asked:
            refuse_unasked(reference.url, self._access)
        return self._source(reference.url)

    def _source(self, url: str) -> Source:
        scheme = scheme_of(url)
        kind = "web" if scheme in WEB else LOCAL if scheme == LOCAL else "objects"
        made = self._made.get(kind)
        if made is None:
            made = self._made[kind] = self._make(kind)
        return made

    def _make(self, kind: str) -> Source:
        if kind == LOCAL:
            return LocalFiles()
        # Loaded when they are needed: HTTP takes a while, and fsspec is an extra.
        if kind == "web":
            found: Source = import_module("artifactstore.references.web").Web(self._access, asked=self._asked)
            return found
        try:
            made: Source = import_module("artifactstore.references.objects").Objects(self._access)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "fsspec":
                raise
            raise MissingExtra(
                "references to objects need fsspec",
                next_step="pip install 'artifactstore[s3]', or [gcs], [azure]",
            ) from error
        return made


def name_of(url: str) -> str:
    """What a reference is called in a version where nobody says: the last part of its URL."""
    path = urlsplit(url).path.rstrip("/")
    name = unquote(path.rpartition("/")[2])
    if not name:
        raise InvalidURL(f"{url!r} ends without a name", next_step="say which path it is to have", url=url)
    return name
