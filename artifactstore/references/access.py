"""What may be fetched on behalf of a reference, and with what.

Whoever can write to a store decides which URLs its references name. So a pull fetches by itself only what anybody on
the internet could fetch, and what the user's own keys of an object store open: not local files, not plain HTTP, not
addresses that are private. A user who trusts a source says how its URLs begin.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from artifactstore.errors import InvalidURL, ReferenceRefused
from artifactstore.format.reference import url_problem

LOCAL: Final = "file"
WEB: Final = frozenset({"http", "https"})
# What fsspec has as file systems of others: archives, caches and the like are no places to refer to.
OBJECTS: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})
_SECRETS: Final = frozenset(
    {
        "x-amz-signature",
        "x-amz-credential",
        "x-amz-security-token",
        "x-goog-signature",
        "x-goog-credential",
        "awsaccesskeyid",
        "signature",
        "sig",
        "token",
        "access_token",
        "api_key",
        "apikey",
        "password",
    }
)
# NAT64: the last four bytes are an address of IPv4.
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class ReferenceAccess(msgspec.Struct, frozen=True):
    """How references are reached.

    Attributes:
        options: For each scheme, what its file system takes, as `storage_options` of a store: endpoints, keys and the
            like. They are never kept.
        allow: How URLs begin that may be fetched although they name local files, plain HTTP or private addresses, such
            as `file:///data/`.
    """

    options: Mapping[str, Mapping[str, Any]] = {}
    allow: tuple[str, ...] = ()

    def allows(self, url: str) -> bool:
        """Whether the user said that this may be fetched, wherever it leads."""
        return any(_begins(url, start) for start in self.allow)


def _begins(url: str, start: str) -> bool:
    # 'https://host' must not allow 'https://host.of.another'; nor may '..' lead out of a folder.
    if (
        not start
        or not url.startswith(start)
        or "/.." in urlsplit(url).path.replace("%2e", ".").replace("%2E", ".")
    ):
        return False
    return start.endswith("/") or url[len(start) :][:1] in {"", "/", "?"}


def scheme_of(url: str) -> str:
    """The scheme of a URL that may be kept as a reference.

    Raises:
        InvalidURL: It may not: it holds a user, a password or a signature, or nothing here reads its kind.
    """
    found = _SCHEME.match(url)
    problem = url_problem(url) if found else "it has no scheme"
    if found and not problem:
        scheme = found[1]
        if scheme not in {LOCAL, *WEB, *OBJECTS}:
            problem = f"nothing here reads {scheme}://"
        elif scheme == LOCAL and not url.startswith("file:///"):
            problem = "a file is named as file:///absolute/path"
        elif any(
            name.lower() in _SECRETS for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)
        ):
            problem = "it holds a signature or another secret"
        else:
            return scheme
    raise InvalidURL(
        f"{_without_secrets(url)!r} can't be kept as a reference: {problem}", url=_without_secrets(url)
    )


def _without_secrets(url: str) -> str:
    # What is printed must not hold what was refused for being a secret.
    return re.sub(r"(?<=://)[^/@]*@|\?.*", "", url)


def refuse_unasked(url: str, access: ReferenceAccess) -> None:
    """Refuse to fetch local files and plain HTTP that nobody allowed.

    Raises:
        ReferenceRefused: It is such a URL.
    """
    scheme = scheme_of(url)
    if access.allows(url) or scheme not in {LOCAL, "http", "memory"}:
        return
    what = {"file": "a file of this machine", "http": "plain HTTP"}.get(scheme, "memory of this process")
    raise ReferenceRefused(f"{url} is {what}, and whoever pushed the version chose it", url=url)


def _inside(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The address that is reached: where one of IPv6 carries one of IPv4, that one, else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _TRANSLATED:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    carried = [address.sixtofour, *(address.teredo or ())]
    return [address, *(one for one in carried if one is not None)]


def refuse_private(address: str, url: str, access: ReferenceAccess) -> None:
    """Refuse an address that is not of the public internet, unless the user allowed the URL.

    Args:
        address: The address that a connection was made to.
        url: The URL on whose behalf.
        access: What is allowed.

    Raises:
        ReferenceRefused: It is loopback, private, link-local or the like.
    """
    if access.allows(url):
        return
    found = ipaddress.ip_address(address.partition("%")[0])
    if not all(one.is_global and not one.is_multicast for one in _inside(found)):
        raise ReferenceRefused(
            f"{url} leads to {address}, which is no public address", url=url, address=address
        )
