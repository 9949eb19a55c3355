"""What an S3 bucket keeps of an object besides itself: earlier versions, delete markers, uploads that never ended.

In a bucket with versions, deleting an object by name puts a marker over it and its bytes stay. Here each version and
marker is deleted by its id, and what is still locked is said with the time until which it is.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final, TypeAlias

from artifactstore.backend.classifying import code_of
from artifactstore.errors import ObjectLocked

# A request to S3 by its name in the protocol, as s3fs makes it.
CallS3: TypeAlias = Callable[..., dict[str, Any]]

_PAGES_MAX: Final = 1000


class Remains:
    """What a bucket keeps of objects.

    Args:
        call: Makes a request.
        url: The backend's URL, for what is said.
    """

    def __init__(self, call: CallS3, url: str) -> None:
        self._call = call
        self._url = url

    def erase(self, name: str, path: str) -> bool:
        """Delete every version and marker of an object, and every unfinished upload of it.

        Args:
            name: The object's name, for what is said.
            path: Bucket and key.

        Returns:
            False where the server knows no versions: then deleting the object by its name is all there is to do.

        Raises:
            ObjectLocked: A version may not be deleted yet; all others are.
        """
        bucket, _, key = path.partition("/")
        for upload in self._uploads(bucket, key):
            self._call("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload)
        versions = self._versions(bucket, key)
        locked: list[tuple[str, BaseException]] = []
        for version in versions or ():
            try:
                self._call("delete_object", Bucket=bucket, Key=key, VersionId=version)
            except PermissionError as error:
                until = self._locked_until(bucket, key, version)
                if until is None:
                    raise
                locked.append((until, error))
        if locked:
            until, reason = max(locked, key=lambda one: one[0])
            facts = {"object": name, "url": self._url, "until": until}
            raise ObjectLocked(f"{name} in {self._url} is locked until {until}", **facts) from reason
        return versions is not None

    def any(self, path: str) -> bool | None:
        """Say whether a version, a marker or an unfinished upload is left; None where the server knows no versions."""
        bucket, _, key = path.partition("/")
        versions = self._versions(bucket, key)
        return None if versions is None else bool(versions or self._uploads(bucket, key))

    def _versions(self, bucket: str, key: str) -> list[str] | None:
        """Ids of an object's versions and markers; None where the server has no such thing."""
        pages = self._pages("list_object_versions", "NextVersionIdMarker", bucket, key)
        try:
            return [
                one["VersionId"]
                for page in pages
                for kind in ("Versions", "DeleteMarkers")
                for one in page.get(kind) or ()
                if one["Key"] == key
            ]
        except OSError as error:
            if code_of(error) == "NotImplemented":
                return None
            raise

    def _uploads(self, bucket: str, key: str) -> list[str]:
        """Ids of an object's unfinished uploads."""
        pages = self._pages("list_multipart_uploads", "NextUploadIdMarker", bucket, key)
        try:
            return [
                one["UploadId"] for page in pages for one in page.get("Uploads") or () if one["Key"] == key
            ]
        except OSError as error:
            # rclone says the former where there are none.
            if code_of(error) in {"NoSuchUpload", "NotImplemented"}:
                return []
            raise

    def _pages(self, request: str, marker: str, bucket: str, key: str) -> Iterator[dict[str, Any]]:
        after: dict[str, str] = {}
        for _ in range(_PAGES_MAX):
            page = self._call(request, Bucket=bucket, Prefix=key, **after)
            yield page
            # Keys are listed in order: what follows another key is none of this one.
            if not page.get("IsTruncated") or page.get("NextKeyMarker") != key:
                return
            after = {"KeyMarker": key, marker.removeprefix("Next"): page[marker]}

    def _locked_until(self, bucket: str, key: str, version: str) -> str | None:
        """Until when a version is locked, for people; None when it is not, or nobody may know."""
        where = {"Bucket": bucket, "Key": key, "VersionId": version}
        try:
            until = (self._call("get_object_retention", **where).get("Retention") or {}).get(
                "RetainUntilDate"
            )
        except OSError:
            until = None
        if isinstance(until, datetime):
            return f"{until:%Y-%m-%d %H:%M %Z}".strip()
        try:
            hold = (self._call("get_object_legal_hold", **where).get("LegalHold") or {}).get("Status")
        except OSError:
            return None
        return "its legal hold is lifted" if hold == "ON" else None
