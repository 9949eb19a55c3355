"""What a file system is made with: the names that users know, put into what each library takes, and bounds on waiting.

Invariants:

1. Certificates and hosts' keys are verified; `ca` adds a private authority, `known_hosts` names another file of hosts,
   and nothing here turns verification off.
2. A request ends in bounded time: connecting and each read have a limit, and no library repeats requests by itself:
   `retrying` alone does, so that patience doesn't multiply.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX
from artifactstore.errors import NoSuchPath, UsageError

CONNECT_TIMEOUT_S: Final = 10
READ_TIMEOUT_S: Final = 30
ADDRESSING: Final = ("auto", "path", "virtual")
_S3: Final = frozenset({"s3", "s3a"})
_SSH: Final = frozenset({"sftp", "ssh"})
_KNOWN_HOSTS: Final = "~/.ssh/known_hosts"
_ENDPOINT = re.compile(r"https?://[^/?#@\s]+/?", re.IGNORECASE)


def library_options(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the file system class of a scheme.

    Args:
        scheme: The URL's.
        options: `endpoint`, `region`, `addressing`, `ca` and `profile` for S3; `known_hosts` for SSH; what else is
            there goes to the library as it is, and what it says for itself is left alone.

    Raises:
        UsageError: An option makes no sense.
        NoSuchPath: The file of `ca` does not exist.
    """
    given = dict(options)
    if scheme in _SSH:
        return _ssh(given)
    if scheme in _S3:
        given = _s3(given)
    elif scheme in {"gs", "gcs"} and "endpoint" in given:
        given["endpoint_url"] = _endpoint(given.pop("endpoint"))
    # Listings that a library keeps hide what other writers do.
    return {**given, "use_listings_cache": False}


def _ssh(given: dict[str, Any]) -> dict[str, Any]:
    """What paramiko connects with; a host that nobody has vouched for is refused, which it is not by default."""
    hosts = Path(str(given.pop("known_hosts", _KNOWN_HOSTS))).expanduser()
    if "host_key_policy" not in given:
        from artifactstore.backend.known_hosts import KnownHosts  # noqa: PLC0415 - needs paramiko

        given["host_key_policy"] = KnownHosts(hosts)
    given.setdefault("timeout", CONNECT_TIMEOUT_S)
    return given


def _s3(given: dict[str, Any]) -> dict[str, Any]:
    client = dict(given.pop("client_kwargs", None) or {})
    config = dict(given.pop("config_kwargs", None) or {})
    if (endpoint := given.pop("endpoint", None)) is not None:
        given["endpoint_url"] = _endpoint(endpoint)
    if (region := given.pop("region", None)) is not None:
        client["region_name"] = region
    if (ca := given.pop("ca", None)) is not None:
        path = Path(str(ca)).expanduser()
        if not path.is_file():
            raise NoSuchPath(f"there is no file of certificates {path}", path=str(path), option="ca")
        client["verify"] = str(path)
    if (addressing := given.pop("addressing", None)) is not None:
        if addressing not in ADDRESSING:
            raise UsageError(
                f"the storage option addressing is one of {', '.join(ADDRESSING)}, not {addressing!r}",
                next_step="correct it where `artifactstore config show` says that it comes from",
                addressing=addressing,
            )
        config["s3"] = {**(config.get("s3") or {}), "addressing_style": addressing}
    # Ten, the default, would make 64 parallel requests wait for each other.
    config.setdefault("max_pool_connections", PARALLEL_REQUESTS_MAX)
    config.setdefault("connect_timeout", CONNECT_TIMEOUT_S)
    config.setdefault("read_timeout", READ_TIMEOUT_S)
    config.setdefault("retries", {"total_max_attempts": 1})
    # Every byte is verified by its hash above; rclone sends the checksum of the whole object with a part of it.
    config.setdefault("response_checksum_validation", "when_required")
    return {**given, "client_kwargs": client, "config_kwargs": config}


def _endpoint(text: object) -> str:
    if not isinstance(text, str) or not _ENDPOINT.fullmatch(text):
        raise UsageError(
            f"{text!r} is no endpoint", next_step="write https://HOST or https://HOST:PORT", option="endpoint"
        )
    return text
