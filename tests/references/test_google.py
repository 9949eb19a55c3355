"""References to objects of Google Cloud Storage, on an emulator by hand: `pip install gcsfs gcp-storage-emulator`."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from artifactstore import ReferenceAccess
from artifactstore.errors import ReferenceChanged, ReferenceGone, TooManyObjects
from artifactstore.references.referring import Sources
from tests.servers import free_ports

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(find_spec("gcsfs") is None, reason="gcsfs is not installed"),
    pytest.mark.skipif(find_spec("gcp_storage_emulator") is None, reason="the emulator is not installed"),
]


@pytest.fixture
def options() -> Iterator[dict[str, str]]:
    """How gcsfs reaches the emulator, which has a bucket `refs` and goes with the test."""
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    (port,) = free_ports(1)
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="refs")
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        # Else gcsfs asks over gRPC, which the emulator does not speak, what kind of bucket it is.
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        yield {"token": "anon", "endpoint_url": f"http://127.0.0.1:{port}"}
    server.stop()


def test_from_an_object_to_one_that_is_gone(options: dict[str, str]) -> None:
    """Known by MD5 as the service gives it; a prefix is expanded within its bound; changed and gone are told apart."""
    sources = Sources(ReferenceAccess(options={"gs": options}))
    client: Any = pytest.importorskip("gcsfs").GCSFileSystem(**options, skip_instance_cache=True)
    client.pipe_file("refs/raw/a", b"content")
    client.pipe_file("refs/raw/sub/b", b"b" * 1000)
    client.pipe_file("refs/rawer", b"beside")
    found = dict(sources.refer("gs://refs/raw/"))
    assert {path: reference.size_bytes for path, reference in found.items()} == {"a": 7, "sub/b": 1000}
    assert found["a"].checksum == "md5:9a0364b9e99bb480dd25e1f0284c8555"
    with pytest.raises(TooManyObjects):
        list(sources.refer("gs://refs/raw/", objects_max=1))
    with sources.open(found["a"]) as stream:
        assert stream.read() == b"content"
    sources.verify(found["a"])
    for data in (b"CONTENT", b"something longer"):
        client.pipe_file("refs/raw/a", data)
        with pytest.raises(ReferenceChanged):
            sources.verify(found["a"])
        with pytest.raises(ReferenceChanged), sources.open(found["a"]) as stream:
            stream.read()
    client.rm_file("refs/raw/a")
    with pytest.raises(ReferenceGone):
        sources.verify(found["a"])
