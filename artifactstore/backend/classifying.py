"""What fsspec and the libraries below it raise, put into this project's few words.

Their exceptions are recognised by what they carry (a status, a code, the module of their class), so that none of these
libraries is imported. A code says more than a status where both are there: expired credentials are 400 on S3.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from artifactstore.backend.base import from_os_error, object_exists, object_missing
from artifactstore.errors import (
    ArtifactStoreError,
    BackendError,
    ConnectionLost,
    NoSuchStore,
    ObjectMissing,
    PermissionRefused,
    StorageFull,
    Throttled,
    TruncatedRead,
    UntrustedServer,
)

# Libraries whose exceptions, when they carry no HTTP status, are about the connection.
_TRANSPORTS = ("aiobotocore", "aiohttp", "botocore", "httpcore", "httpx", "requests", "ssl", "urllib3")
# Of botocore's own only these, and what is derived from them, are: most of the others say that a setting is wrong, and
# asking again would not help.
_LOST: Final = frozenset(
    {
        "ConnectionError",
        "ConnectionClosedError",
        "EndpointConnectionError",
        "HTTPClientError",
        "IncompleteReadError",
        "ChecksumError",
        "FlexibleChecksumError",
    }
)
_NOBODY: Final = ("Credential", "Profile", "Token", "Login", "SSO", "Metadata", "MFA")
_STATUS_MIN, _STATUS_MAX = 400, 599
# What some proxies say of a server that they can't reach.
_BY_PROXIES: Final = range(520, 528)
_CAUSES_MAX = 8
# What a refused operation needs, in the words of the services' own settings.
_NEEDS: Final = {
    "s3": {
        "read": "s3:GetObject",
        "write": "s3:PutObject",
        "list": "s3:ListBucket",
        "delete": "s3:DeleteObject",
        "erase": (
            "s3:ListBucketVersions, s3:ListBucketMultipartUploads, s3:DeleteObject, s3:DeleteObjectVersion and"
            " s3:AbortMultipartUpload"
        ),
    },
    "gs": {
        "read": "storage.objects.get",
        "write": "storage.objects.create",
        "list": "storage.objects.list",
        "delete": "storage.objects.delete",
    },
}
_DOING: Final = {
    "read": "reading",
    "write": "writing",
    "list": "listing",
    "delete": "deleting",
    "erase": "erasing",
}
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_SLOW: Final = frozenset(
    {
        "SlowDown",
        "ServiceUnavailable",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "ServerBusy",
    }
)
# What was sent did not arrive whole.
_ALTERED: Final = frozenset({"RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"})
# Somebody else is at the same object: wait, and ask again.
_BUSY: Final = frozenset({"ConditionalRequestConflict", "OperationAborted"})
_NO_BUCKET: Final = frozenset({"NoSuchBucket", "ContainerNotFound"})


def classified(error: BaseException, url: str, name: str, doing: str = "read") -> ArtifactStoreError:
    """Put what fsspec or a library below it raised into this project's words.

    Args:
        error: What was raised.
        url: The backend's URL, without credentials.
        name: The object it was about.
        doing: `read`, `write`, `list`, `delete` or `erase`: which permission a refusal is about.
    """
    found = _from_code(code_of(error), error, url, name)
    status = status_of(error)
    if found is None and status is not None:
        found = _from_status(status, error, url, name, doing)
    if found is not None:
        return found
    # The first cause that says something: an OSError around a botocore exception often says only EIO.
    for cause in _causes(error):
        found = _from_cause(cause, url, name)
        if found is not None:
            return found
    if isinstance(error, PermissionError):
        return refused(error, url, name, doing)
    if isinstance(error, OSError):
        return from_os_error(error, url, name)
    return BackendError(f"{name} in {url}: {type(error).__name__}: {error}", object=name, url=url)


def written(error: BaseException, url: str, name: str) -> ArtifactStoreError:
    """As `classified`, but a write that finds nothing misses the bucket, never the object."""
    found = classified(error, url, name, "write")
    return no_bucket(url) if isinstance(found, ObjectMissing) else found


def no_bucket(url: str) -> NoSuchStore:
    """The error for a bucket or container that does not exist."""
    return NoSuchStore(
        f"the bucket or container of {url} does not exist", next_step="make it, or check the URL", url=url
    )


def refused(error: BaseException, url: str, name: str, doing: str) -> PermissionRefused:
    """The error for an operation that these credentials may not do; it says which permission is missing."""
    scheme = url.partition("://")[0].lower().replace("s3a", "s3").replace("gcs", "gs")
    needs = _NEEDS.get(scheme, {}).get(doing, f"permission for {_DOING[doing]}")
    step = f"these credentials need {needs}; give them that, or use others"
    if doing in {"delete", "erase"}:
        step += ", unless an object lock keeps it: then it can't be deleted before its time is over"
    return PermissionRefused(
        f"{_DOING[doing]} {name or 'anything'} in {url} was refused: {error}",
        next_step=step,
        object=name,
        url=url,
        needs=needs,
    )


def code_of(error: BaseException) -> str:
    """The code that S3, Azure and their kind give an error; empty where there is none."""
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        said = response.get("Error") if isinstance(response, dict) else None
        code = said.get("Code") if isinstance(said, dict) else getattr(cause, "error_code", None)
        if code:
            return str(getattr(code, "value", code))
    return ""


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error or one of its causes carries."""
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            metadata = response.get("ResponseMetadata")
            status = metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None
        else:
            status = getattr(response, "status_code", None)
        for found in (status, *(getattr(cause, key, None) for key in ("status", "status_code", "code"))):
            number = int(found) if isinstance(found, str) and found.isdecimal() else found
            if isinstance(number, int) and _STATUS_MIN <= number <= _STATUS_MAX:
                return number
    return None


def _from_code(code: str, error: BaseException, url: str, name: str) -> ArtifactStoreError | None:
    facts: dict[str, Any] = {"object": name, "url": url, "code": code}
    if code in _EXPIRED:
        return PermissionRefused(
            f"the credentials for {url} have expired, at {name}",
            next_step="renew them and repeat; what was uploaded is not uploaded twice",
            **facts,
        )
    if code == "RequestTimeTooSkewed":
        return PermissionRefused(
            f"{url} refuses requests of this machine, whose clock is wrong",
            next_step="set the clock and repeat",
            **facts,
        )
    if code in _SLOW or code in _BUSY:
        return _throttled(error, url, facts)
    if code in _NO_BUCKET:
        return no_bucket(url)
    if code in _ALTERED:
        return ConnectionLost(f"{url} lost the connection at {name}: {error}", **facts)
    return None


def _from_cause(cause: BaseException, url: str, name: str) -> ArtifactStoreError | None:
    kind = type(cause).__name__
    module = type(cause).__module__.partition(".")[0]
    transport = module in _TRANSPORTS
    if transport and ("SSL" in kind or "Certificate" in kind):
        return UntrustedServer(f"no trusted TLS connection to {url}: {cause}", object=name, url=url)
    lost = not {base.__name__ for base in type(cause).__mro__}.isdisjoint(_LOST)
    if module == "botocore" and not lost:
        return _from_settings(cause, url, name)
    if transport or isinstance(cause, ConnectionError | TimeoutError):
        where = name or "its root"
        return ConnectionLost(f"the connection to {url} failed at {where}: {cause}", object=name, url=url)
    return None


def _from_settings(cause: BaseException, url: str, name: str) -> ArtifactStoreError:
    """What botocore finds wrong before it sends anything, or a server with the request: nobody, or an odd setting."""
    kind = type(cause).__name__
    if any(word in kind for word in _NOBODY):
        return PermissionRefused(
            f"{url} takes no credentials from here: {cause}",
            next_step="give some in a usual place: environment, shared configuration, instance role",
            object=name,
            url=url,
        )
    return BackendError(
        f"{url} can't be asked for {name or 'anything'}: {kind}: {cause}",
        next_step="check its settings: endpoint, region, addressing, profile, and what AWS's own configuration says",
        object=name,
        url=url,
    )


def _from_status(
    status: int, error: BaseException, url: str, name: str, doing: str
) -> ArtifactStoreError | None:
    facts: dict[str, Any] = {"object": name, "url": url, "status": status}
    made: dict[int, Callable[[], ArtifactStoreError]] = {
        404: lambda: object_missing(url, name),
        412: lambda: object_exists(url, name),
        416: lambda: TruncatedRead(f"{name} in {url} ends before the range asked for", **facts),
        507: lambda: StorageFull(f"no space left for {name} in {url}", **facts),
        **dict.fromkeys((401, 403), lambda: refused(error, url, name, doing)),
        **dict.fromkeys((429, 503), lambda: _throttled(error, url, facts)),
        **dict.fromkeys(
            (408, 500, 502, 504, *_BY_PROXIES),
            lambda: ConnectionLost(f"{url} failed at {name}: {error}", **facts),
        ),
    }
    return made[status]() if status in made else None


def _throttled(error: BaseException, url: str, facts: dict[str, Any]) -> Throttled:
    return Throttled(
        f"{url} asks for fewer requests: {error}", next_step="wait a while, then try again", **facts
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, as far as it is of the same request.

    What is in our words already is of an earlier one, in whose handling this one was made: Python chains the two, and
    what that was answered says nothing of this.
    """
    cause: BaseException | None = error
    for _ in range(_CAUSES_MAX):
        if cause is None or isinstance(cause, ArtifactStoreError):
            return
        yield cause
        cause = cause.__cause__ or cause.__context__
