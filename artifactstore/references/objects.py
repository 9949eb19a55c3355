"""Objects of S3, Google Cloud Storage, Azure and the like as references, through fsspec and the user's own keys.

On S3 an object is known again by its entity tag, and by its version where the bucket keeps versions: then the very
bytes can be read although the object was overwritten. Elsewhere by MD5 or entity tag as the service gives it, and where
it gives none, by BLAKE3.
"""

import base64
import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from artifactstore.backend.classifying import classified
from artifactstore.backend.remote import make_file_system
from artifactstore.errors import (
    ArtifactStoreError,
    InvalidSource,
    ObjectMissing,
    ReferenceGone,
    TruncatedRead,
)
from artifactstore.format.reference import Reference
from artifactstore.references.access import ReferenceAccess
from artifactstore.references.checked import ETAG, MD5, CheckedStream, checksum_of, other_bytes

_RANGE_BYTES: Final = 8 << 20
_LISTED_TOGETHER: Final = 1000
_S3: Final = frozenset({"s3", "s3a"})


class Objects:
    """References to objects. Thread-safe.

    Args:
        access: With what options file systems are made.
    """

    def __init__(self, access: ReferenceAccess) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}

    def look(self, url: str, *, checksum: bool) -> Reference:
        """What a reference to an object says of it."""
        if not checksum:
            return Reference(url)
        info = self._info(url)
        if info is None:
            raise ReferenceGone(
                f"there is no object {url}",
                next_step="check its name, and end that of a prefix with '/'",
                url=url,
            )
        return self._known(url, info)

    def _known(self, url: str, info: Mapping[str, Any]) -> Reference:
        size, version = int(info.get("size") or 0), _version(info)
        checksum = _checksum(info)
        if not checksum:
            with io.BufferedReader(_Ranges(self, url, size, "")) as stream:
                size, checksum = checksum_of(stream)
        return Reference(url, size, checksum, version)

    def expand(self, url: str, *, checksum: bool) -> Iterator[tuple[str, Reference]] | None:
        """The objects below a prefix, by what follows it, in the order of the service; None when it names an object."""
        if not url.endswith("/") and self._info(url) is not None:
            return None
        start = url.rstrip("/") + "/"
        return self._expanded(start, checksum=checksum)

    def _expanded(self, start: str, *, checksum: bool) -> Iterator[tuple[str, Reference]]:
        for path, info in self._listed(start):
            url = start + path
            yield path, self._known(url, info) if checksum else Reference(url)

    def open(self, reference: Reference) -> BinaryIO:
        """Its bytes, which are checked as they are read; the object is looked at before and behind."""
        self.verify(reference)
        size = reference.size_bytes
        if not reference.checksum:
            info = self._info(reference.url)
            size = int((info or {}).get("size") or 0)
        raw = io.BufferedReader(_Ranges(self, reference.url, size, reference.version), _RANGE_BYTES)
        at_end = None if reference.version else lambda: self.verify(reference)
        return CheckedStream(raw, reference, at_end)  # type: ignore[return-value]

    def verify(self, reference: Reference) -> None:
        """Ask what the service knows the object by, and read it all where that does not tell."""
        info = self._info(reference.url, reference.version)
        if info is None:
            raise ReferenceGone(f"there is no object {reference.url} any more", url=reference.url)
        if not reference.checksum:
            return
        size = int(info.get("size") or 0)
        if size != reference.size_bytes:
            raise other_bytes(reference, f"{size} bytes instead of {reference.size_bytes}")
        found = _checksum(info)
        if found.partition(":")[0] == reference.checksum.partition(":")[0]:
            if found != reference.checksum:
                raise other_bytes(reference, f"bytes that the service knows by {found}")
        elif reference.checksum.startswith(f"{ETAG}:"):
            raise other_bytes(reference, "bytes that the service gives no entity tag for")

    def read_range(self, url: str, start: int, length: int, version: str) -> bytes:
        """Some bytes of an object."""
        file_system, path = self._file_system(url)
        kept = {"version_id": version} if version and _is_s3(url) else {}
        with _classifying(url):
            return bytes(file_system.cat_file(path, start=start, end=start + length, **kept))

    def _info(self, url: str, version: str = "") -> dict[str, Any] | None:
        file_system, path = self._file_system(url)
        try:
            with _classifying(url):
                if _is_s3(url):
                    return _head(file_system, path, version)
                info = dict(file_system.info(path))
        except (ObjectMissing, ReferenceGone):
            return None
        return info if info.get("type") == "file" else None

    def _listed(self, start: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is below a prefix: on S3 page by page, so that a bound holds; elsewhere at once."""
        file_system, path = self._file_system(start)
        if not _is_s3(start):
            with _classifying(start, "list"):
                found = file_system.find(path, detail=True)
            skip = len(path.strip("/")) + 1
            for name, info in sorted(found.items()):
                if info.get("type") == "file":
                    yield name.lstrip("/")[skip:], info
            return
        bucket, _, prefix = path.strip("/").partition("/")
        prefix = prefix.rstrip("/") + "/" if prefix else ""
        token: dict[str, str] = {}
        while True:
            with _classifying(start, "list"):
                answer = file_system.call_s3(
                    "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=_LISTED_TOGETHER, **token
                )
            for one in answer.get("Contents") or ():
                name = str(one["Key"])[len(prefix) :]
                if name and not name.endswith("/"):
                    yield name, {"size": one["Size"], "ETag": one.get("ETag", "")}
            if not answer.get("IsTruncated"):
                return
            token = {"ContinuationToken": answer["NextContinuationToken"]}

    def _file_system(self, url: str) -> tuple[Any, str]:
        scheme = url.partition("://")[0]
        bucket = url.partition("://")[2].partition("/")[0]
        with self._lock:
            made = self._made.get(f"{scheme}://{bucket}")
            if made is None:
                options = self._access.options.get(scheme, {})
                made = make_file_system(f"{scheme}://{bucket}", url, options)[0]
                self._made[f"{scheme}://{bucket}"] = made
        path = str(made._strip_protocol(url))  # noqa: SLF001 - what fsspec has for it
        return made, path


class _Ranges(io.RawIOBase):
    """An object as a stream, range by range."""

    def __init__(self, objects: Objects, url: str, size: int, version: str) -> None:
        self._objects, self._url, self._size, self._version = objects, url, size, version
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        length = min(len(view), self._size - self._at)
        if length <= 0:
            return 0
        data = self._objects.read_range(self._url, self._at, length, self._version)
        if not data:
            raise TruncatedRead(f"{self._url} ended after {self._at} bytes", url=self._url)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def _is_s3(url: str) -> bool:
    return url.partition("://")[0] in _S3


def _head(file_system: Any, path: str, version: str) -> dict[str, Any]:
    """One object, by one request: `info` of s3fs lists where there is none."""
    bucket, _, key = path.strip("/").partition("/")
    if not key:
        raise ReferenceGone(f"{path} is a bucket")
    kept = {"VersionId": version} if version else {}
    answer = file_system.call_s3("head_object", Bucket=bucket, Key=key, **kept)
    return {
        "size": answer["ContentLength"],
        "ETag": answer.get("ETag", ""),
        "VersionId": answer.get("VersionId"),
    }


def _checksum(info: Mapping[str, Any]) -> str:
    """What the service knows an object by, as a reference keeps it; empty for nothing."""
    if isinstance(info.get("md5Hash"), str):
        return f"{MD5}:{base64.b64decode(info['md5Hash']).hex()}"
    content = info.get("content_settings")
    if isinstance(content, Mapping) and isinstance(content.get("content_md5"), bytes | bytearray):
        return f"{MD5}:{bytes(content['content_md5']).hex()}"
    tag = info.get("ETag") or info.get("etag") or ""
    return f"{ETAG}:{str(tag).strip(chr(34))}" if tag else ""


def _version(info: Mapping[str, Any]) -> str:
    version = info.get("VersionId") or info.get("version_id") or info.get("generation") or ""
    return "" if version == "null" else str(version)


@contextmanager
def _classifying(url: str, doing: str = "read") -> Iterator[None]:
    try:
        yield
    except ArtifactStoreError:
        raise
    except IsADirectoryError as error:
        raise InvalidSource(
            f"{url} is no object", next_step="end the name of a prefix with '/'", url=url
        ) from error
    except Exception as error:
        raise classified(error, url, "", doing) from error
