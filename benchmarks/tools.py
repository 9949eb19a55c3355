"""The tools that are compared: how each makes a repository, stores a version and restores it.

All encrypt, all store on the local disk, all run with their defaults. Each runs in the version's folder, so
that the paths it keeps are the same for every version; every version's files are new to its stat cache.
"""

import os
import shlex
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

from benchmarks.corpora import PROJECT_ROOT

_PASSPHRASE = "benchmark"
_DEBIAN_PACKAGES = {"restic": "restic", "borg": "borgbackup"}


class Step(NamedTuple):
    """A command to be measured."""

    command: list[str]
    cwd: Path


class Tool(ABC):
    """One tool with one repository below `folder`."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = folder / "repository"
        self.environment: dict[str, str] = {}

    def prepare(self) -> None:
        """Make an empty repository; not measured."""
        self.folder.mkdir(parents=True)
        environment = {**os.environ, **self.environment}
        result = subprocess.run(
            self._init_command(), env=environment, check=False, capture_output=True, text=True
        )
        if result.returncode != 0:
            raise RuntimeError(f"{self.name} could not make a repository: {result.stdout}{result.stderr}")

    @abstractmethod
    def version(self) -> str:
        """Say which release of the tool this is."""

    @abstractmethod
    def push(self, source: Path, label: str) -> Step:
        """Store the files below `source` as version `label`."""

    @abstractmethod
    def pull(self, label: str, destination: Path) -> Step:
        """Restore version `label`; `destination` does not exist yet, its parent does."""

    @abstractmethod
    def _init_command(self) -> list[str]: ...


class Restic(Tool):
    """restic, encrypted as it always is, compression `auto`."""

    name = "restic"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.environment = {
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_PASSWORD": _PASSPHRASE,
            "RESTIC_CACHE_DIR": str(folder / "cache"),
        }

    def version(self) -> str:
        return _first_line(["restic", "version"])

    def push(self, source: Path, label: str) -> Step:
        return Step(["restic", "backup", "-q", "--tag", label, "."], source)

    def pull(self, label: str, destination: Path) -> Step:
        command = ["restic", "restore", "-q", "latest", "--tag", label, "--target", str(destination)]
        return Step(command, destination.parent)

    def _init_command(self) -> list[str]:
        return ["restic", "init", "-q"]


class Borg(Tool):
    """borg, encrypted with the key in the repository, compression lz4.

    `repokey` (HMAC-SHA256) rather than `repokey-blake2`: where the processor has SHA instructions it is the
    faster, by 15 % on wheels and 40 % on random bytes.
    """

    name = "borg"
    encryption = "repokey"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.environment = {
            "BORG_REPO": str(self.repository),
            "BORG_PASSPHRASE": _PASSPHRASE,
            "BORG_BASE_DIR": str(folder),
        }

    def version(self) -> str:
        return f"{_first_line(['borg', '--version'])} {self.encryption}"

    def push(self, source: Path, label: str) -> Step:
        return Step(["borg", "create", f"::{label}", "."], source)

    def pull(self, label: str, destination: Path) -> Step:
        destination.mkdir()
        return Step(["borg", "extract", f"::{label}"], destination)

    def _init_command(self) -> list[str]:
        return ["borg", "init", "-e", self.encryption]


class ArtifactStore(Tool):
    """This project's command line, durable as it always is."""

    name = "artifactstore"
    command = (sys.executable, "-m", "artifactstore.cli.main")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.environment = {
            # As installed, with its bytecode beside it.
            "PYTHONDONTWRITEBYTECODE": "",
            "ARTIFACTSTORE_STORE": str(self.repository),
            "ARTIFACTSTORE_KEY_FILE": str(folder / "key"),
            "ARTIFACTSTORE_CACHE_DIR": str(folder / "cache"),
            "PYTHONPATH": str(PROJECT_ROOT),
        }

    def version(self) -> str:
        return _first_line([*self.command, "--version"], self.environment)

    def push(self, source: Path, label: str) -> Step:
        del label  # numbered in order by the store: v0, v1 …
        return Step([*self.command, "push", str(source), "bench/data", "-q"], source)

    def pull(self, label: str, destination: Path) -> Step:
        command = [*self.command, "pull", f"bench/data:{label}", str(destination), "-q"]
        return Step(command, destination.parent)

    def _init_command(self) -> list[str]:
        return [*self.command, "init", str(self.repository)]


PEERS: dict[str, type[Tool]] = {"restic": Restic, "borg": Borg}


def use_artifactstore_command(command: str) -> None:
    """Measure this command line in place of the one in the project's folder."""
    ArtifactStore.command = tuple(shlex.split(command))


def artifactstore_works() -> bool:
    """Whether this project's command line starts at all."""
    result = subprocess.run(
        [*ArtifactStore.command, "--help"], check=False, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
    )  # fmt: skip
    return result.returncode == 0


def install_missing(names: list[str]) -> None:
    """Install the peers that are not there from Debian's packages."""
    packages = [_DEBIAN_PACKAGES[name] for name in names if shutil.which(name) is None]
    if not packages:
        return
    privilege = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*privilege, "apt-get", "update", "-q"], check=True)
    subprocess.run(
        [*privilege, "apt-get", "install", "-q", "-y", "--no-install-recommends", *packages], check=True
    )


def _first_line(command: list[str], environment: dict[str, str] | None = None) -> str:
    result = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, **(environment or {})}
    )
    return (result.stdout.strip().splitlines() or ["unknown"])[0]
