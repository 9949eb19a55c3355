"""The contract on Azure's emulator, by hand: `pip install 'artifactstore[azure]'`, `npm install --global azurite`."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest

from artifactstore import executors
from artifactstore.backend.base import Backend
from artifactstore.backend.probe import probe
from artifactstore.backend.remote import FsspecBackend
from artifactstore.clock import SystemRandomness
from artifactstore.testing.conformance import BackendConformance
from tests.servers import program, served

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(program("azurite-blob") is None, reason="azurite is not installed"),
    pytest.mark.skipif(find_spec("adlfs") is None, reason="adlfs is not installed"),
    pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),
]
_numbers = count()
# The emulator's own account, which is the same for everybody.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture(scope="session")
def options(servers: Path) -> Iterator[dict[str, str]]:
    """How adlfs reaches the emulator, with the container made."""
    from adlfs import AzureBlobFileSystem

    with served("azurite", servers) as server:
        place = f"BlobEndpoint={server.endpoint}/{_ACCOUNT}"
        found = {
            "connection_string": (
                f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};{place};"
            )
        }
        file_system = AzureBlobFileSystem(**found)
        if not file_system.exists("store"):
            file_system.mkdir("store")
        yield found


class TestAzureConformance(BackendConformance):
    @pytest.fixture(autouse=True)
    def _server(self, options: dict[str, str]) -> None:
        self.options = options

    def make_backend(self) -> Backend:
        return FsspecBackend(f"az://store/conformance-{os.getpid()}-{next(_numbers)}", self.options)


def test_the_probe_passes(options: dict[str, str]) -> None:
    """adlfs creates exclusively, though its signature does not name the mode."""
    backend = FsspecBackend(f"az://store/probe-{os.getpid()}", options)
    with executors.threads(width=1, io_width=8) as pools:
        probe(backend, SystemRandomness(), pools)
    assert list(backend.list("")) == []
