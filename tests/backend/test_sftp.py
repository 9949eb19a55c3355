"""The contract over SSH, on a real sshd of this machine: no exclusive create, so for a single writer."""

import getpass
import os
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from artifactstore import Store, executors
from artifactstore.backend.base import Backend
from artifactstore.backend.probe import probe
from artifactstore.backend.remote import FsspecBackend
from artifactstore.clock import SystemRandomness
from artifactstore.errors import UntrustedBackend, UntrustedServer
from artifactstore.testing.conformance import BackendConformance
from tests.servers import free_ports, program
from tests.stores import write_tree

_SSHD = program("sshd") or next((path for path in ("/usr/sbin/sshd",) if Path(path).exists()), None)

pytestmark = [
    pytest.mark.skipif(_SSHD is None, reason="sshd is not installed"),
    pytest.mark.skipif(find_spec("paramiko") is None, reason="paramiko is not installed"),
]
_numbers = count()
_READY_S = 30.0


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """How paramiko reaches a server that lets this user in with a key made for it."""
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)],
            check=True,
            stdin=subprocess.DEVNULL,
        )
    (port,) = free_ports(1)
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nPidFile none\n"
        f"AuthorizedKeysFile {folder / 'user.pub'}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
        "PasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    assert _SSHD is not None
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([_SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=log)
    public = (folder / "host.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
    options = {
        "known_hosts": str(folder / "known_hosts"),
        "host": "127.0.0.1",
        "port": port,
        "username": getpass.getuser(),
        "key_filename": str(folder / "user"),
        "look_for_keys": False,
        "allow_agent": False,
    }
    try:
        _await(options, server, folder / "log")
        yield options
    finally:
        server.terminate()
        server.wait()


def _await(options: dict[str, Any], server: "subprocess.Popen[bytes]", log: Path) -> None:
    import socket

    deadline = time.monotonic() + _READY_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((options["host"], options["port"]), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"sshd did not start:\n{log.read_text(errors='replace')}")


class TestSftpConformance(BackendConformance):
    @pytest.fixture(autouse=True)
    def _server(self, sshd: dict[str, Any], tmp_path: Path) -> None:
        self.options, self.folder = sshd, tmp_path

    def make_backend(self) -> Backend:
        place = self.folder / str(next(_numbers))
        place.mkdir()
        return FsspecBackend(f"sftp://{self.options['host']}{place}", self.options)

    @pytest.mark.skip(reason="no exclusive create: the probe refuses it")
    def test_create_has_one_winner_of_twenty_threads(self) -> None:
        """What a backend for many writers promises."""

    @pytest.mark.skip(reason="files grow under their names; one writer alone reads what it has written")
    def test_readers_never_see_half_an_object(self) -> None:
        """What a backend for readers beside a writer promises."""


def test_a_host_that_is_not_listed_is_refused(sshd: dict[str, Any], tmp_path: Path) -> None:
    """As by `ssh`: a server in between would get every request, if not what is in it."""
    (tmp_path / "empty").touch()
    for hosts in ("empty", "missing"):
        with pytest.raises(UntrustedServer, match="does not list") as caught:
            FsspecBackend(f"sftp://{sshd['host']}{tmp_path}", sshd | {"known_hosts": str(tmp_path / hosts)})
        assert caught.value.facts["host"] == f"[127.0.0.1]:{sshd['port']}"


def test_a_host_with_another_key_is_refused(sshd: dict[str, Any], tmp_path: Path) -> None:
    """A listed host that shows another key is not the one that was listed."""
    other = Path(sshd["key_filename"] + ".pub").read_text().split()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{sshd['port']} {other[0]} {other[1]}\n")
    with pytest.raises(UntrustedServer, match="does not list"):
        FsspecBackend(f"sftp://{sshd['host']}{tmp_path}", sshd | {"known_hosts": str(tmp_path / "known")})


def test_the_probe_refuses_it(sshd: dict[str, Any], tmp_path: Path) -> None:
    """Two writers who create the same file over SFTP can't be told apart."""
    backend = FsspecBackend(f"sftp://{sshd['host']}{tmp_path}", sshd)
    with (
        executors.threads(width=1, io_width=8) as pools,
        pytest.raises(UntrustedBackend, match="exclusive"),
    ):
        probe(backend, SystemRandomness(), pools)


def test_a_single_writer_pushes_pulls_and_checks(sshd: dict[str, Any], tmp_path: Path) -> None:
    """Who vouches for being alone has a whole store over SSH, with deletions and sweeps."""
    source = write_tree(tmp_path / "in", {"a": b"one" * 50_000, "b/c": b"two"})
    (tmp_path / "store").mkdir()
    url = f"sftp://{sshd['host']}{tmp_path / 'store'}"
    with Store.create(
        url,
        key_file=tmp_path / "key",
        cache_dir=tmp_path / "cache",
        storage_options=sshd,
        single_writer=True,
    ) as store:
        store.push([source], "p/n")
        (source / "a").write_bytes(b"three" * 40_000)
        store.push([source], "p/n")
        store.pull("p/n:v0", tmp_path / "out")
        assert (tmp_path / "out" / "a").read_bytes() == b"one" * 50_000
        store.delete(["p/n:v0"], now=True)
        assert store.gc().purged == ("p/n:v0",)
        assert store.check(read_data=True).problems == ()
