"""What users say of a server is put into what each library takes, with bounds on waiting."""

from pathlib import Path

import pytest

from artifactstore.backend.options import library_options
from artifactstore.errors import NoSuchPath, UsageError


def test_the_names_of_users_become_those_of_s3fs(tmp_path: Path) -> None:
    """Endpoint, region, addressing and CA go where s3fs and botocore look for them."""
    ca = tmp_path / "ca.pem"
    ca.write_text("x")
    options = {"endpoint": "https://h:1", "region": "r", "addressing": "path", "ca": str(ca), "profile": "p"}
    made = library_options("s3", options)
    assert made["endpoint_url"] == "https://h:1"
    assert made["profile"] == "p"
    assert made["client_kwargs"] == {"region_name": "r", "verify": str(ca)}
    assert made["config_kwargs"]["s3"] == {"addressing_style": "path"}


def test_waiting_is_bounded_and_repeats_are_ours() -> None:
    """Sixty-four requests go at once; none waits for ever; botocore repeats none."""
    config = library_options("s3", {})["config_kwargs"]
    assert config["max_pool_connections"] == 64
    assert 0 < config["connect_timeout"] <= 10
    assert 0 < config["read_timeout"] <= 30
    assert config["retries"] == {"total_max_attempts": 1}


def test_what_the_library_is_told_outright_stays() -> None:
    """Options of botocore's own are kept beside ours, and the caller's mapping is left alone."""
    given = {
        "config_kwargs": {"read_timeout": 5, "s3": {"payload_signing_enabled": True}},
        "addressing": "path",
    }
    config = library_options("s3", given)["config_kwargs"]
    assert config["read_timeout"] == 5
    assert config["s3"] == {"payload_signing_enabled": True, "addressing_style": "path"}
    assert given["config_kwargs"] == {"read_timeout": 5, "s3": {"payload_signing_enabled": True}}


def test_verification_is_never_turned_off_by_itself() -> None:
    """Without a CA of one's own, the library's default is left in force."""
    assert "verify" not in library_options("s3", {"endpoint": "https://h"})["client_kwargs"]


def test_other_libraries_get_what_was_given() -> None:
    """Only the names that a library doesn't know are put into its own, and no listing is kept."""
    fresh = {"use_listings_cache": False}
    assert library_options("az", {"account_name": "a"}) == {"account_name": "a", **fresh}
    assert library_options("gs", {"endpoint": "http://h:1"}) == {"endpoint_url": "http://h:1", **fresh}


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("endpoint", "minio.example", UsageError),
        ("endpoint", "https://h/path", UsageError),
        ("endpoint", "https://user:secret@h", UsageError),
        ("addressing", "sideways", UsageError),
        ("ca", "/nowhere/ca.pem", NoSuchPath),
    ],
)
def test_options_that_make_no_sense_are_refused(option: str, value: str, error: type[Exception]) -> None:
    """Before any request."""
    with pytest.raises(error):
        library_options("s3", {option: value})
