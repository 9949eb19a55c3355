"""What all backends share: names, errors of the operating system in our words."""

import errno
import os

import pytest

from artifactstore.backend.base import byte_view, check_object_name, from_os_error
from artifactstore.errors import (
    ArtifactStoreError,
    BackendError,
    ConnectionLost,
    InvalidName,
    ObjectExists,
    ObjectMissing,
    PermissionRefused,
    StorageFull,
)
from artifactstore.testing.conformance import BAD_NAMES, GOOD_NAMES


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_good_names_pass(name: str) -> None:
    """The names that this project gives its objects are valid, and returned as they are."""
    assert check_object_name(name) == name


@pytest.mark.parametrize(
    "name", [*BAD_NAMES, "a" * 150 + "/" + "b" * 150 + "/" + "c" * 150 + "/" + "d" * 150]
)
def test_bad_names_are_refused(name: str) -> None:
    """Whatever could leave the store, hide, collide or be too long is refused, with the name as a fact."""
    with pytest.raises(InvalidName) as caught:
        check_object_name(name)
    assert caught.value.facts["name"] == name


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EACCES, PermissionRefused),
        (errno.EPERM, PermissionRefused),
        (errno.EROFS, PermissionRefused),
        (errno.ENOENT, ObjectMissing),
        (errno.ENOTDIR, ObjectMissing),
        (errno.EISDIR, ObjectMissing),
        (errno.EEXIST, ObjectExists),
        (errno.ECONNRESET, ConnectionLost),
        (errno.EPIPE, ConnectionLost),
        (errno.ETIMEDOUT, ConnectionLost),
        (errno.ENOTCONN, ConnectionLost),
        (errno.ESTALE, ConnectionLost),
        (errno.EIO, BackendError),
        (errno.EFBIG, BackendError),
    ],
)
def test_errors_of_the_system_are_put_into_our_words(number: int, expected: type[ArtifactStoreError]) -> None:
    """Each errno gets its class, with the object and the place in it."""
    error = from_os_error(OSError(number, os.strerror(number)), "/store", "log/0")
    assert type(error) is expected
    assert error.facts["object"] == "log/0"
    assert error.facts["url"] == "/store"
    assert "log/0" in error.message
    assert "/store" in error.message


def test_errors_without_a_number_are_put_into_our_words() -> None:
    """Libraries raise bare `FileNotFoundError("text")` and the like, without an errno."""
    cases: list[tuple[OSError, type[ArtifactStoreError]]] = [
        (FileNotFoundError("gone"), ObjectMissing),
        (FileExistsError("taken"), ObjectExists),
        (PermissionError("no"), PermissionRefused),
        (TimeoutError("late"), ConnectionLost),
        (ConnectionResetError(), ConnectionLost),
        (OSError("odd"), BackendError),
    ]
    assert [type(from_os_error(error, "u", "n")) for error, _ in cases] == [expected for _, expected in cases]
    assert "odd" in from_os_error(OSError("odd"), "u", "").message


def test_byte_views_are_flat() -> None:
    """A view of wider items is counted and written in bytes."""
    assert byte_view(memoryview(bytearray(16)).cast("Q")).nbytes == 16
    assert bytes(byte_view(b"ab")) == b"ab"
