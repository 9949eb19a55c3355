"""Whether an SSH server is the one it was: its key is looked up where `ssh` itself looks it up."""

from pathlib import Path

from paramiko import HostKeys, MissingHostKeyPolicy, PKey, SSHClient

from artifactstore.errors import UntrustedServer


class KnownHosts(MissingHostKeyPolicy):  # type: ignore[misc]  # paramiko has no types
    """Takes the keys that a file of known hosts lists, and no other.

    Args:
        path: The file; none that lists nothing where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def missing_host_key(self, _: SSHClient, hostname: str, key: PKey) -> None:
        """Accept a server's key or raise.

        Args:
            hostname: The host, or `[host]:port` where the port is not 22.
            key: What it showed.

        Raises:
            UntrustedServer: The host is not listed, or with another key.
        """
        keys = HostKeys(str(self._path)) if self._path.exists() else HostKeys()
        listed = keys.lookup(hostname)
        if listed is not None and listed.get(key.get_name()) == key:
            return
        raise UntrustedServer(
            f"{hostname} has a {key.get_name()} key that {self._path} does not list",
            next_step="connect with ssh once and compare its key with what its owner says, "
            "or name another file: --storage-option known_hosts=FILE",
            host=hostname,
            fingerprint=key.fingerprint,
        )
