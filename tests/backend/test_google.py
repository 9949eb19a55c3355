"""gcsfs on an emulator of Google Cloud Storage, by hand: `pip install gcsfs gcp-storage-emulator`.

The emulator takes no notice of the condition of a create, and shows objects that are being written: what needs more
than that is shown by what gcsfs sends, and no store is put there.
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from artifactstore.backend.base import Backend
from artifactstore.backend.remote import FsspecBackend
from artifactstore.errors import UntrustedBackend
from artifactstore.testing.conformance import BackendConformance
from artifactstore.testing.proxy import Fault, FaultProxy, Rule
from tests.servers import free_ports
from tests.stores import make_store

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(find_spec("gcsfs") is None, reason="gcsfs is not installed"),
    pytest.mark.skipif(find_spec("gcp_storage_emulator") is None, reason="the emulator is not installed"),
    pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),
]
_TOO_MUCH = {
    "test_create_refuses_a_name_that_is_taken",
    "test_create_has_one_winner_of_twenty_threads",
    "test_readers_never_see_half_an_object",
}
_numbers = count()


@pytest.fixture(scope="module")
def options() -> Iterator[dict[str, str]]:
    """How gcsfs reaches the emulator, which has a bucket `store`."""
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    (port,) = free_ports(1)
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="store")
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        # Else gcsfs asks over gRPC, which the emulator does not speak, what kind of bucket it is.
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        yield {"token": "anon", "endpoint_url": f"http://127.0.0.1:{port}"}
    server.stop()


class TestGoogleConformance(BackendConformance):
    @pytest.fixture(autouse=True)
    def _server(self, options: dict[str, str]) -> None:
        self.options = options

    @pytest.fixture(autouse=True)
    def _believed(self, request: pytest.FixtureRequest) -> None:
        if request.function.__name__ in _TOO_MUCH:
            pytest.skip("the emulator does not keep this")

    def make_backend(self) -> Backend:
        return FsspecBackend(f"gs://store/conformance-{os.getpid()}-{next(_numbers)}", self.options)


def test_a_create_is_sent_with_its_condition(options: dict[str, str]) -> None:
    """Of each create, and of no put."""
    port = urlsplit(options["endpoint_url"]).port or 0
    with FaultProxy(port, [Rule(Fault.LATE, path=r"[?&]ifGenerationMatch=0\b")]) as proxy:
        backend = FsspecBackend(f"gs://store/sent-{os.getpid()}", {**options, "endpoint_url": proxy.url})
        backend.put("a", b"data")
        assert proxy.injected[Fault.LATE] == 0
        backend.create("b", b"data")
        assert proxy.injected[Fault.LATE] == 1


def test_a_server_that_ignores_it_is_refused(options: dict[str, str], tmp_path: Path) -> None:
    """As rclone's on S3."""
    with pytest.raises(UntrustedBackend, match="a second create of one name succeeded"):
        make_store(tmp_path, f"gs://store/refused-{os.getpid()}", storage_options=options)
