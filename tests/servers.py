"""Servers for tests: SeaweedFS speaking S3, with and without TLS, rclone, whose creates exclude nobody, and moto.

Invariants:

1. One server of each kind for a whole run, whatever number of workers asks for it, started when first asked for.
2. A server ends when the last process that asked for it has: by a lock that the kernel releases, killed or not.
3. Loopback and free ports only.

Run as a program, this is the keeper: it starts a server, says where it is, and waits for that moment.
"""

import base64
import contextlib
import ctypes
import datetime as dt
import fcntl
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

BUCKET = "store"
OWNER = ("owner", "owner-secret")
# May get and list, and nothing else.
READER = ("reader", "reader-secret")
# May get and put, and not list.
BLIND = ("blind", "blind-secret")
_IDENTITIES = (
    (OWNER, ["Admin", "Read", "Write", "List", "Tagging"]),
    (READER, ["Read", "List"]),
    (BLIND, ["Read", "Write"]),
)
# What the owner may assume for a while, and what the tokens of that while are signed with.
ROLE = "arn:aws:iam::role/pusher"
TOKEN_KEY = b"the server's key for its tokens."
_ROLES = {
    "sts": {
        "tokenDuration": "1h",
        "maxSessionLength": "12h",
        "issuer": "tests",
        "signingKey": base64.b64encode(TOKEN_KEY).decode(),
    },
    "policy": {"defaultEffect": "Deny", "storeType": "memory"},
    "policies": [
        {
            "name": "everything",
            "document": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"]}],
            },
        }
    ],
    "roles": [
        {
            "roleName": ROLE.rpartition("/")[2],
            "roleArn": ROLE,
            "attachedPolicies": ["everything"],
            "trustPolicy": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole"]}],
            },
        }
    ],
}
_READY_S = 60.0
_PAUSE_S = 0.05
# SeaweedFS listens for gRPC at each port + 10000 where it is not told another one.
_OFFSET = 10_000
_PR_SET_PDEATHSIG = 1


class Server(NamedTuple):
    """A server that runs.

    Attributes:
        endpoint: Its URL.
        certificate: The private CA that its certificate is of, as a file; empty without TLS.
    """

    endpoint: str
    certificate: str = ""

    def options(self, who: tuple[str, str] = OWNER) -> dict[str, Any]:
        """What the store takes as `storage_options` to use it as somebody."""
        options: dict[str, Any] = {"key": who[0], "secret": who[1], "endpoint": self.endpoint}
        if self.certificate:
            options["ca"] = self.certificate
        return options


class Kind(NamedTuple):
    """How a kind of server is started.

    Attributes:
        program: What is run; found beside Python, where pip put it, or on the path.
        ports: How many it listens at; the first is its endpoint's.
        healthy: The path that answers when it is ready; any answer will do.
    """

    program: str
    ports: int
    healthy: str
    tls: bool = False


KINDS = {
    "seaweedfs": Kind("weed", 10, "/healthz"),
    "seaweedfs-tls": Kind("weed", 11, "/healthz", tls=True),
    "rclone": Kind("rclone", 1, "/"),
    # Checks no signature, and races were lost there: for what its errors look like.
    "moto": Kind("moto_server", 1, "/moto-api/"),
    # Of npm; the project's own files don't install it.
    "azurite": Kind("azurite-blob", 1, "/"),
}


@contextlib.contextmanager
def served(kind: str, folder: Path) -> Iterator[Server]:
    """The server of a kind for the length of a block, shared with every process that names the same folder.

    Args:
        kind: One of `KINDS`.
        folder: Where its data and its lock lie.
    """
    folder = folder / kind
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "users").open("w") as users, (folder / "start").open("w") as start:
        fcntl.flock(start, fcntl.LOCK_EX)
        # Waits for a keeper that is just ending its server; a new one is started then.
        fcntl.flock(users, fcntl.LOCK_SH)
        address = folder / "address"
        if not address.exists():
            _start_keeper(kind, folder, address)
        fcntl.flock(start, fcntl.LOCK_UN)
        yield Server(*json.loads(address.read_text()))


def free_ports(count: int) -> list[int]:
    """Ports of loopback that are free, as is each one's companion 10,000 above."""
    found: list[int] = []
    held: list[socket.socket] = []
    try:
        while len(found) < count:
            probe = socket.create_server(("127.0.0.1", 0))
            held.append(probe)
            port = probe.getsockname()[1]
            # Below the ephemeral range of most systems, so that no connection takes it meanwhile.
            port = 12_000 + port % 10_000
            if port in found or not (_is_free(port) and _is_free(port + _OFFSET)):
                continue
            found.append(port)
    finally:
        for probe in held:
            probe.close()
    return found


def program(name: str) -> str | None:
    """The path of a program that pip installed, or that the system has; None where there is none."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def _start_keeper(kind: str, folder: Path, address: Path) -> None:
    with (folder / "log").open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, __file__, kind, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for pytest: the keeper ends its server by itself.
            start_new_session=True,
        )
    while not address.exists():
        if keeper.poll() is not None:
            raise RuntimeError(
                f"{kind} did not start:\n{(folder / 'log').read_text(errors='replace')[-4000:]}"
            )
        time.sleep(_PAUSE_S)
    # It outlives this process, which must not warn of it.
    keeper.returncode = 0


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _keep(kind: str, folder: Path) -> None:
    """Start a server, publish its address, and end it when nobody is left who uses it."""
    chosen = KINDS[kind]
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    ports = free_ports(chosen.ports)
    certificate = make_certificate(folder) if chosen.tls else None
    make = {"weed": _weed, "rclone": _rclone, "azurite-blob": _azurite, "moto_server": _moto}[chosen.program]
    command = make(folder, data, ports, certificate)
    server = subprocess.Popen(
        command,
        cwd=data,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - the keeper has no other thread
    )
    try:
        _await_ready(server, f"http://127.0.0.1:{ports[0]}{chosen.healthy}")
        endpoint = f"http://127.0.0.1:{ports[0]}"
        if chosen.program != "azurite-blob":
            _make_bucket(server, endpoint)
        if certificate:
            endpoint = f"https://127.0.0.1:{ports[-1]}"
        written = folder / "address.new"
        written.write_text(json.dumps([endpoint, str(certificate or "")]))
        written.rename(folder / "address")
        with (folder / "users").open("w") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            (folder / "address").unlink()
            server.kill()
            server.wait()
            shutil.rmtree(data, ignore_errors=True)
    finally:
        server.kill()
        server.wait()


def _die_with_parent() -> None:
    """A server whose keeper was killed ends too, where the system can arrange it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _await_ready(server: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + _READY_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(_PAUSE_S)
        else:
            return
    raise RuntimeError(f"no answer from {url}; exit status {server.poll()}")


def _make_bucket(server: "subprocess.Popen[bytes]", endpoint: str) -> None:
    """Make the bucket, and wait until it takes an object: a health check answers a little earlier."""
    import s3fs

    owner = s3fs.S3FileSystem(key=OWNER[0], secret=OWNER[1], endpoint_url=endpoint)
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            if not owner.exists(BUCKET):
                owner.mkdir(BUCKET)
            owner.pipe_file(f"{BUCKET}/ready", b"")
            owner.rm_file(f"{BUCKET}/ready")
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _weed(folder: Path, data: Path, ports: list[int], certificate: Path | None) -> list[str]:
    identities = [
        {"name": key, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        for (key, secret), actions in _IDENTITIES
    ]
    (folder / "identities.json").write_text(json.dumps({"identities": identities}))
    (folder / "roles.json").write_text(json.dumps(_ROLES))
    named = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
    named += ("filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc", "s3.port.https")
    tls = (f"-s3.cert.file={certificate}", f"-s3.key.file={folder / 'key.pem'}") if certificate else ()
    return [
        *(program("weed") or "weed", "-logtostderr=true", "mini", f"-dir={data}"),
        *(
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-admin.ui=false",
            "-webdav=false",
        ),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"),
        f"-s3.config={folder / 'identities.json'}",
        f"-s3.iam.config={folder / 'roles.json'}",
        *(f"-{name}={port}" for name, port in zip(named, ports, strict=False)),
        *tls,
    ]


def _rclone(__: Path, data: Path, ports: list[int], ___: Path | None) -> list[str]:
    key = ",".join(OWNER)
    return [
        *(program("rclone") or "rclone", "serve", "s3", "--auth-key", key),
        *("--addr", f"127.0.0.1:{ports[0]}", "--config", str(data / "none"), str(data)),
    ]


def _moto(_: Path, __: Path, ports: list[int], ___: Path | None) -> list[str]:
    return [program("moto_server") or "moto_server", "-H", "127.0.0.1", "-p", str(ports[0])]


def _azurite(_: Path, data: Path, ports: list[int], __: Path | None) -> list[str]:
    return [
        *(
            program("azurite-blob") or "azurite-blob",
            "--silent",
            "--disableTelemetry",
            "--skipApiVersionCheck",
        ),
        *("--location", str(data), "--blobHost", "127.0.0.1", "--blobPort", str(ports[0])),
    ]


def make_certificate(folder: Path) -> Path:
    """A certificate for loopback, signed by itself, and its key beside it as `key.pem`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a private CA")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=2))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    (folder / "ca.pem").write_bytes(made.public_bytes(pem))
    return folder / "ca.pem"


if __name__ == "__main__":
    os.umask(0o077)
    _keep(sys.argv[1], Path(sys.argv[2]))
