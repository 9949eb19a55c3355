"""What S3's own errors look like, from botocore's classes, and from moto as a server."""

import inspect
import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artifactstore.backend.classifying import classified
from artifactstore.backend.remote import FsspecBackend
from artifactstore.errors import (
    ArtifactStoreError,
    BackendError,
    ConnectionLost,
    NoSuchStore,
    ObjectExists,
    ObjectMissing,
    PermissionRefused,
    Throttled,
    TruncatedRead,
    UntrustedServer,
)
from tests.servers import BUCKET, Server, program, served

botocore = pytest.importorskip("botocore.exceptions")
NEEDS_MOTO = pytest.mark.skipif(program("moto_server") is None, reason="moto is not installed")

# Asking again may help; of all others of botocore's classes it would not.
LOST = {
    *("ConnectionError", "EndpointConnectionError", "ConnectTimeoutError", "ConnectionClosedError"),
    *("HTTPClientError", "ProxyConnectionError", "ReadTimeoutError", "ResponseStreamingError"),
    *("IncompleteReadError", "ChecksumError", "FlexibleChecksumError"),
}
NOBODY = {
    *("CredentialRetrievalError", "NoCredentialsError", "PartialCredentialsError", "UnknownCredentialError"),
    *("ProfileNotFound", "TokenRetrievalError", "NoAuthTokenError", "UnknownTokenProviderError"),
    *("MetadataRetrievalError", "RefreshWithMFAUnsupportedError"),
    *("SSOError", "SSOTokenLoadError", "UnauthorizedSSOTokenError"),
    *("LoginError", "LoginAuthorizationCodeError", "LoginInsufficientPermissions", "LoginRefreshRequired"),
    "LoginTokenLoadError",
}


def classes() -> list[type[Exception]]:
    return [
        each
        for each in vars(botocore).values()
        if inspect.isclass(each) and issubclass(each, botocore.BotoCoreError)
    ]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_every_class_of_botocore_is_known(kind: type[Exception]) -> None:
    """A lost connection, nobody to sign for, no trust, or a wrong setting, which nobody repeats for a minute."""
    error = kind.__new__(kind)
    Exception.__init__(error, "its words")
    expected: type[ArtifactStoreError] = BackendError
    if kind.__name__ == "SSLError":
        expected = UntrustedServer
    elif kind.__name__ in LOST:
        expected = ConnectionLost
    elif kind.__name__ in NOBODY:
        expected = PermissionRefused
    found = classified(error, "s3://bucket", "log/0")
    assert type(found) is expected
    assert found.next_step


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("AuthorizationHeaderMalformed", 400, BackendError),  # another region's bucket
        ("PermanentRedirect", 301, BackendError),
        ("IllegalLocationConstraintException", 400, BackendError),
        ("InvalidBucketName", 400, BackendError),
        ("MethodNotAllowed", 405, BackendError),
        ("InvalidAccessKeyId", 403, PermissionRefused),
        ("SignatureDoesNotMatch", 403, PermissionRefused),
        ("InternalError", 500, ConnectionLost),
        ("NotImplemented", 501, BackendError),
        ("BadDigest", 400, ConnectionLost),
        ("OperationAborted", 409, Throttled),
        ("ConditionalRequestConflict", 409, Throttled),
        ("", 522, ConnectionLost),
        # The rest of what moto answers to requests like ours.
        ("AccessDenied", 403, PermissionRefused),
        ("InvalidObjectState", 403, PermissionRefused),
        ("InvalidToken", 400, BackendError),
        ("InvalidRequest", 400, BackendError),
        ("InvalidArgument", 400, BackendError),
        ("EntityTooSmall", 400, BackendError),
        ("NoSuchBucket", 404, NoSuchStore),
        ("NoSuchKey", 404, ObjectMissing),
        ("NoSuchVersion", 404, ObjectMissing),
        ("NoSuchUpload", 404, ObjectMissing),
        ("PreconditionFailed", 412, ObjectExists),
        ("InvalidRange", 416, TruncatedRead),
    ],
)
def test_what_a_server_finds_wrong_is_no_lost_connection(
    code: str, status: int, expected: type[ArtifactStoreError]
) -> None:
    """An answer is an answer: only what may be otherwise the next time is asked for again."""
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    found = classified(botocore.ClientError(answer, "GetObject"), "s3://bucket", "log/0")
    assert type(found) is expected
    assert found.facts["url"] == "s3://bucket"


# --- the server --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto(servers: Path) -> Iterator[Server]:
    """Moto, which answers in AWS's words."""
    with served("moto", servers) as server:
        yield server


@pytest.fixture
def backend(moto: Server) -> FsspecBackend:
    """A prefix of its own, with one object of four bytes."""
    made = FsspecBackend(f"s3://{BUCKET}/shapes-{os.getpid()}", moto.options())
    made.put("a", b"data")
    return made


@NEEDS_MOTO
@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda backend: backend.get("b", limit_bytes=9), ObjectMissing),
        (lambda backend: backend.get_range("b", 0, 1), ObjectMissing),
        (lambda backend: backend.get_range("a", 9, 1), TruncatedRead),
        (lambda backend: backend.get_range("a", 2, 9), TruncatedRead),
        (lambda backend: backend.create("a", b"other"), ObjectExists),
        (lambda backend: backend.size("b"), ObjectMissing),
    ],
)
def test_objects(
    backend: FsspecBackend, call: Callable[[FsspecBackend], object], expected: type[ArtifactStoreError]
) -> None:
    """Missing, taken, and shorter than a range, as AWS says it; nothing has changed."""
    with pytest.raises(expected) as caught:
        call(backend)
    assert type(caught.value) is expected
    assert backend.get("a", limit_bytes=4) == b"data"


@NEEDS_MOTO
def test_a_bucket_that_is_missing(moto: Server) -> None:
    """Said of reads, creates and puts."""
    backend = FsspecBackend("s3://no-such-bucket/x", moto.options())
    calls: tuple[Callable[[], object], ...] = (
        lambda: backend.get("a", limit_bytes=1),
        lambda: backend.create("a", b""),
        lambda: backend.put("a", b""),
    )
    for call in calls:
        with pytest.raises(NoSuchStore, match="bucket"):
            call()


@NEEDS_MOTO
def test_credentials_that_nobody_knows(moto: Server, backend: FsspecBackend) -> None:
    """With its authentication on: `InvalidAccessKeyId`, for every operation."""
    _allow(moto, b"0")
    try:
        for call in (
            lambda: backend.get("a", limit_bytes=4),
            lambda: backend.create("b", b""),
            lambda: list(backend.list("")),
        ):
            with pytest.raises(PermissionRefused) as caught:
                call()
            assert caught.value.facts["url"] == backend.url
    finally:
        _allow(moto, b"1000000000")


def _allow(moto: Server, count: bytes) -> None:
    """After how many more requests it looks at who asks."""
    request = urllib.request.Request(f"{moto.endpoint}/moto-api/reset-auth", data=count, method="POST")
    request.add_header("Content-Type", "text/plain")
    with urllib.request.urlopen(request) as answer:
        answer.read()
