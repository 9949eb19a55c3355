"""References to `https://` and `http://`, by the standard library: known again by size and entity tag, or by BLAKE3.

A connection is held against what may be fetched after its address is known and before anything is sent over it, after
each redirection too, so that no name can lead to a private address. Where an answer breaks off, it goes on with a
range as long as the server vouches that it is of the same bytes.
"""

import http.client
import io
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from artifactstore.errors import (
    ArtifactStoreError,
    ConnectionLost,
    PermissionRefused,
    ReferenceGone,
    ReferenceRefused,
    Throttled,
    UntrustedServer,
)
from artifactstore.format.reference import Reference
from artifactstore.references.access import ReferenceAccess, refuse_private, refuse_unasked
from artifactstore.references.checked import ETAG, CheckedStream, checksum_of, other_bytes

_TIMEOUT_S: Final = 30.0
_RESUMES_MAX: Final = 4
_REDIRECTS_MAX: Final = 5
_REDIRECTIONS: Final = range(300, 400)
_GONE: Final = frozenset({404, 410})
_FORBIDDEN: Final = frozenset({401, 403, 407})
_SLOW: Final = frozenset({429, 503})
_NO_HEAD: Final = frozenset({400, 403, 405, 501})
_CHANGED: Final = frozenset({412, 416})
_PARTIAL: Final = 206
_LOST: Final = (OSError, http.client.HTTPException)


class Web:
    """References over HTTP. Thread-safe.

    Args:
        access: What may be fetched.
        asked: Whether the user named the URLs, so that they may lead anywhere.
    """

    def __init__(self, access: ReferenceAccess, *, asked: bool) -> None:
        self._access = access
        self._asked = asked

    def look(self, url: str, *, checksum: bool) -> Reference:
        """What a reference to a URL says of it; where there is no entity tag or no size, it is read."""
        if not checksum:
            return Reference(url)
        with self._head(url) as answer:
            tag, size = answer.headers.get("ETag", "").strip(), _size(answer)
        if tag and size is not None:
            return Reference(url, size, f"{ETAG}:{tag}")
        with self._request("GET", url) as answer:
            read, found = checksum_of(io.BufferedReader(_Body(answer, size, url)))
        return Reference(url, read, found)

    def expand(self, url: str, *, checksum: bool) -> Iterator[tuple[str, Reference]] | None:  # noqa: ARG002 - as others
        """Nothing: HTTP lists no folders."""
        return None

    def open(self, reference: Reference) -> BinaryIO:
        """Its bytes, which are checked as they are read."""
        return CheckedStream(io.BufferedReader(_Resuming(self, reference)), reference)  # type: ignore[return-value]

    def verify(self, reference: Reference) -> None:
        """Ask for its entity tag and size; read it all where its checksum is one of the bytes."""
        if not reference.checksum.startswith(f"{ETAG}:"):
            with self.open(reference) as stream:
                while stream.read(1 << 20):
                    pass
            return
        with self._head(reference.url) as answer:
            refuse_other(reference, answer, 0)

    def answer(self, reference: Reference, start: int) -> Any:
        """An answer with the bytes from an offset on, which are those of the reference as far as its server says."""
        headers = {}
        tag = reference.checksum.removeprefix(f"{ETAG}:") if reference.checksum.startswith(f"{ETAG}:") else ""
        if start:
            headers["Range"] = f"bytes={start}-"
            if tag and not tag.startswith("W/"):
                headers["If-Range"] = tag
        answer = self._request("GET", reference.url, headers)
        try:
            refuse_other(reference, answer, start)
        except BaseException:
            answer.close()
            raise
        if start and answer.status != _PARTIAL:
            answer.close()
            raise _lost(reference.url, "the server does not go on where it broke off")
        return answer

    def _head(self, url: str) -> Any:
        try:
            return self._request("HEAD", url)
        except ArtifactStoreError as error:
            if error.facts.get("status") not in _NO_HEAD:
                raise
        return self._request("GET", url)

    def _request(self, method: str, url: str, headers: dict[str, str] | None = None) -> Any:
        if not self._asked:
            refuse_unasked(url, self._access)
        # No body that was packed on the way: sizes and tags are those of the bytes.
        sent = {"Accept-Encoding": "identity", "User-Agent": "artifactstore", **(headers or {})}
        request = urllib.request.Request(url, headers=sent, method=method)  # noqa: S310 - http and https alone
        try:
            return self._opener().open(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            error.close()
            raise _refused(url, error.code) from error
        except urllib.error.URLError as error:
            reason = error.reason
            if isinstance(reason, ArtifactStoreError):
                raise reason from error
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise UntrustedServer(
                    f"the certificate of {url} is not trusted: {reason.reason}", url=url
                ) from error
            raise _lost(url, str(reason)) from error
        except _LOST as error:
            raise _lost(url, str(error) or type(error).__name__) from error

    def _opener(self) -> urllib.request.OpenerDirector:
        checking = not self._asked
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            _Plain(self._access, checking=checking),
            _Secure(self._access, checking=checking),
            _Redirected(self._access, checking=checking),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            opener.add_handler(handler)
        return opener


class _Checked:
    """What the two kinds of connection have in common: who they are with is looked at before anything is sent."""

    sock: Any

    def refuse(self, url: str, access: ReferenceAccess | None) -> None:
        if access is not None:
            refuse_private(self.sock.getpeername()[0], url, access)


class _PlainConnection(_Checked, http.client.HTTPConnection):
    def __init__(self, host: str, *, url: str, access: ReferenceAccess | None, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._url, self._access = url, access

    def connect(self) -> None:
        super().connect()
        self.refuse(self._url, self._access)


class _SecureConnection(_Checked, http.client.HTTPSConnection):
    def __init__(self, host: str, *, url: str, access: ReferenceAccess | None, timeout: float) -> None:
        self._trust = ssl.create_default_context()
        super().__init__(host, timeout=timeout, context=self._trust)
        self._url, self._access = url, access

    def connect(self) -> None:
        # As its base does, with a look between: no server learns of a connection that is refused.
        http.client.HTTPConnection.connect(self)
        self.refuse(self._url, self._access)
        tunnel = getattr(self, "_tunnel_host", None)
        self.sock = self._trust.wrap_socket(self.sock, server_hostname=tunnel or self.host)


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, access: ReferenceAccess, *, checking: bool) -> None:
        super().__init__()
        self._access = access if checking else None

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_making(_PlainConnection, req, self._access), req)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, access: ReferenceAccess, *, checking: bool) -> None:
        super().__init__()
        self._access = access if checking else None

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_making(_SecureConnection, req, self._access), req)


def _making(kind: Any, request: urllib.request.Request, access: ReferenceAccess | None) -> Any:
    """What makes a connection for a request; a proxy decides itself whom it reaches, so it is not looked at."""
    through_proxy = request.has_proxy() or getattr(request, "_tunnel_host", None)

    def make(host: str, *, timeout: float, **_: Any) -> Any:
        return kind(host, url=request.full_url, access=None if through_proxy else access, timeout=timeout)

    return make


class _Redirected(urllib.request.HTTPRedirectHandler):
    max_redirections = _REDIRECTS_MAX

    def __init__(self, access: ReferenceAccess, *, checking: bool) -> None:
        self._access = access
        self._checking = checking

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        lowered = self._checking or req.full_url.startswith("https://")
        if newurl.startswith("http://") and lowered and not self._access.allows(newurl):
            raise ReferenceRefused(f"{req.full_url} leads to plain HTTP", url=req.full_url)
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None and req.get_method() == "HEAD":
            made.method = "HEAD"
        return made


class _Body(io.RawIOBase):
    """The body of one answer; one that ends early is a connection that was lost."""

    def __init__(self, answer: Any, size: int | None, url: str) -> None:
        self._answer, self._left, self._url = answer, size, url

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        try:
            data = self._answer.read(len(view))
        except _LOST as error:
            raise _lost(self._url, str(error)) from error
        if self._left is not None:
            self._left -= len(data)
            if not data and self._left > 0:
                raise _lost(self._url, "the answer broke off")
        view[: len(data)] = data
        return len(data)


class _Resuming(io.RawIOBase):
    """The bytes of a reference, over as many answers as it takes."""

    def __init__(self, web: Web, reference: Reference) -> None:
        self._web, self._reference = web, reference
        self._answer = web.answer(reference, 0)
        self._size = reference.size_bytes if reference.checksum else _size(self._answer)
        self._at = 0
        self._resumes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while True:
            lost: Exception | None = None
            try:
                data = self._answer.read(len(view))
            except _LOST as error:
                data, lost = b"", error
            if data:
                view[: len(data)] = data
                self._at += len(data)
                return len(data)
            if lost is None and (self._size is None or self._at >= self._size):
                return 0
            self._resume(lost)

    def _resume(self, lost: Exception | None) -> None:
        self._answer.close()
        self._resumes += 1
        if self._resumes > _RESUMES_MAX or not self._reference.checksum:
            raise _lost(self._reference.url, "the answer broke off") from lost
        self._answer = self._web.answer(self._reference, self._at)

    def close(self) -> None:
        if not self.closed:
            self._answer.close()
        super().close()


def refuse_other(reference: Reference, answer: Any, start: int) -> None:
    """Refuse an answer that says it is of other bytes than the reference.

    Raises:
        ReferenceChanged: Its entity tag or size differs, or there is none to compare.
    """
    if reference.checksum.startswith(f"{ETAG}:"):
        tag = answer.headers.get("ETag", "").strip()
        if f"{ETAG}:{tag}" != reference.checksum:
            raise other_bytes(reference, f"bytes that the server calls {tag or 'nothing'}")
    size = _size(answer)
    if (
        reference.checksum
        and size is not None
        and size + start * (answer.status == _PARTIAL) != reference.size_bytes
    ):
        raise other_bytes(reference, f"{size} bytes instead of {reference.size_bytes}")


def _size(answer: Any) -> int | None:
    text = answer.headers.get("Content-Length", "")
    packed = answer.headers.get("Content-Encoding", "identity").lower() != "identity"
    return int(text) if text.isascii() and text.isdigit() and not packed else None


def _refused(url: str, status: int) -> ArtifactStoreError:
    facts: dict[str, Any] = {"url": url, "status": status}
    if status in _REDIRECTIONS:
        return ReferenceRefused(
            f"{url} leads on too often, or to what is no web page (HTTP {status})",
            next_step="refer to where it leads",
            **facts,
        )
    if status in _GONE:
        return ReferenceGone(f"there is nothing at {url} (HTTP {status})", **facts)
    if status in _FORBIDDEN:
        return PermissionRefused(
            f"{url} is not for everybody (HTTP {status})",
            next_step="references over HTTP are fetched without keys; leave it out, or refer to where it may be read",
            **facts,
        )
    if status in _SLOW:
        return Throttled(f"the server of {url} asks for fewer requests (HTTP {status})", **facts)
    return ConnectionLost(f"{url} can't be read (HTTP {status})", **facts)


def _lost(url: str, why: str) -> ConnectionLost:
    return ConnectionLost(f"{url} can't be read: {why}", url=url)
