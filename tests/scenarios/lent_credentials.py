"""Credentials that are lent for a while: the S3 server's own token service, and what hands them to programs.

What is lent is real: the server makes it, knows it by its token, and refuses it once its time is over. AWS lends for a
quarter of an hour at least; a test can't wait that long, so the end that a token names is set anew, and signed with the
server's key.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import botocore.session

from tests.servers import OWNER, ROLE, TOKEN_KEY, Server

_LENT_S = 900


class Lent(NamedTuple):
    """Credentials of a role, and when they end, in seconds since the epoch."""

    key: str
    secret: str
    token: str
    ends_s: float

    def environment(self) -> dict[str, str]:
        """The variables that AWS's tools read."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_SESSION_TOKEN": self.token,
        }

    def document(self) -> dict[str, Any]:
        """What a service of machines answers with."""
        return {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": self.key,
            "SecretAccessKey": self.secret,
            "Token": self.token,
            "Expiration": datetime.fromtimestamp(self.ends_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


class Lender:
    """Assumes the server's role as its owner."""

    def __init__(self, server: Server) -> None:
        self._client = botocore.session.get_session().create_client(
            "sts",
            endpoint_url=server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=OWNER[0],
            aws_secret_access_key=OWNER[1],
        )

    def lend(self, seconds: int = _LENT_S) -> Lent:
        """Credentials that end so soon."""
        made = self._client.assume_role(RoleArn=ROLE, RoleSessionName="tests", DurationSeconds=_LENT_S)
        found = made["Credentials"]
        ends_s = int(time.time()) + seconds
        token = _ending(found["SessionToken"], ends_s)
        return Lent(found["AccessKeyId"], found["SecretAccessKey"], token, ends_s)


def _ending(token: str, ends_s: int) -> str:
    """A token (RFC 7519) that says another end."""
    head, claims, _ = token.split(".")
    said = {**json.loads(base64.urlsafe_b64decode(claims + "==")), "exp": ends_s}
    signed = f"{head}.{_url_safe(json.dumps(said).encode())}"
    return f"{signed}.{_url_safe(hmac.digest(TOKEN_KEY, signed.encode(), hashlib.sha256))}"


def _url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Machine:
    """What a cloud gives programs on its machines and in its containers: a service that lends them credentials.

    Attributes:
        url: Where it is.
        lent: All that it has handed out, each once.
    """

    SECRET = "the container's"
    _SESSION = "a session with the service of the instance"
    _OF_INSTANCES = "/latest/meta-data/iam/security-credentials/"

    def __init__(self, lender: Lender, seconds: int) -> None:
        self.url = ""
        self.lent: list[Lent] = []
        self._lender = lender
        self._seconds = seconds
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, headers: Any) -> str | None:
        """The text of an answer; None refuses."""
        in_session = headers.get("X-aws-ec2-metadata-token") == self._SESSION
        allowed = {
            ("PUT", "/latest/api/token"): headers.get("X-aws-ec2-metadata-token-ttl-seconds"),
            ("GET", self._OF_INSTANCES): in_session,
            ("GET", self._OF_INSTANCES + "pusher"): in_session,
            ("GET", "/container"): headers.get("Authorization") == self.SECRET,
        }
        if not allowed.get((method, path)):
            return None
        if method == "PUT":
            return self._SESSION
        return "pusher" if path.endswith("/") else json.dumps(self._current().document())

    def _current(self) -> Lent:
        """The same to all until half of their time is over."""
        with self._lock:
            if not self.lent or self.lent[-1].ends_s - time.time() < self._seconds / 2:
                self.lent.append(self._lender.lend(self._seconds))
            return self.lent[-1]


class _Handler(BaseHTTPRequestHandler):
    machine: Machine

    def do_GET(self) -> None:
        body = (self.machine.answer(self.command, self.path, self.headers) or "").encode()
        self.send_response(200 if body else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.do_GET()

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def machine(lender: Lender, seconds: int = _LENT_S) -> Iterator[Machine]:
    """A machine whose credentials end so soon."""
    made = Machine(lender, seconds)

    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"machine": made}))
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
