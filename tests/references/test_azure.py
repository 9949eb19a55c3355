"""References to objects of Azure, on its emulator by hand, as the contract is in `tests/backend/test_azure.py`."""

import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from artifactstore import Artifact, ReferenceAccess, Store
from artifactstore.errors import ReferenceChanged, ReferenceGone, TooManyObjects
from artifactstore.references.referring import Sources
from tests.servers import program, served
from tests.stores import make_store, read_tree

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(program("azurite-blob") is None, reason="azurite is not installed"),
    pytest.mark.skipif(find_spec("adlfs") is None, reason="adlfs is not installed"),
    pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),
]
# The emulator's own account, which is the same for everybody.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture(scope="module")
def options(servers: Path) -> Iterator[dict[str, str]]:
    with served("azurite", servers) as server:
        place = f"BlobEndpoint={server.endpoint}/{_ACCOUNT}"
        account = f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};{place};"
        yield {"connection_string": account}


@pytest.fixture
def client(options: dict[str, str]) -> Any:
    from adlfs import AzureBlobFileSystem

    return AzureBlobFileSystem(**options, skip_instance_cache=True)


@pytest.fixture
def container(client: Any) -> str:
    name = f"refs-{uuid.uuid4().hex[:12]}"
    client.mkdir(name)
    return name


@pytest.fixture
def access(options: dict[str, str]) -> ReferenceAccess:
    return ReferenceAccess(options={"az": options})


def test_an_object(access: ReferenceAccess, client: Any, container: str) -> None:
    """Known by what the service says of it; changed and gone are each its own error."""
    sources = Sources(access)
    client.pipe_file(f"{container}/a.bin", b"content")
    ((path, reference),) = sources.refer(f"az://{container}/a.bin")
    assert (path, reference.size_bytes) == ("", 7)
    assert reference.checksum.partition(":")[0] in {"md5", "etag"}
    with sources.open(reference) as stream:
        assert stream.read() == b"content"
    sources.verify(reference)
    for data in (b"CONTENT", b"something longer"):
        client.pipe_file(f"{container}/a.bin", data, overwrite=True)
        with pytest.raises(ReferenceChanged):
            sources.verify(reference)
        with pytest.raises(ReferenceChanged), sources.open(reference) as stream:
            stream.read()
    client.rm_file(f"{container}/a.bin")
    with pytest.raises(ReferenceGone):
        sources.verify(reference)
    with pytest.raises(ReferenceGone):
        list(sources.refer(f"az://{container}/a.bin"))


def test_from_a_prefix_to_a_pull(
    access: ReferenceAccess, client: Any, container: str, tmp_path: Path
) -> None:
    """Every object below it, within the bound; pulled as they were, or nothing is."""
    for name in ("a", "sub/b", "sub/deep/c"):
        client.pipe_file(f"{container}/raw/{name}", name.encode() * 1000)
    client.pipe_file(f"{container}/rawer", b"beside")
    draft = Artifact("far", "dataset")
    with pytest.raises(TooManyObjects):
        draft.add_reference(f"az://{container}/raw/", max_objects=2, access=access)
    assert draft.file_count == 0
    draft.add_reference(f"az://{container}/raw/", access=access)
    with make_store(tmp_path) as store:
        _pulled(store, draft, access, tmp_path)
        assert store.verify_references("p/far", access=access).ok
        client.pipe_file(f"{container}/raw/sub/b", b"other", overwrite=True)
        report = store.verify_references("p/far", access=access)
        assert [(one.path, one.kind) for one in report.problems] == [("sub/b", "reference-changed")]
        with pytest.raises(ReferenceChanged):
            store.pull("p/far", tmp_path / "changed", access=access)
        assert not (tmp_path / "changed").exists()


def _pulled(store: Store, draft: Artifact, access: ReferenceAccess, tmp_path: Path) -> None:
    draft.save(store, "p")
    store.pull("p/far", tmp_path / "out", access=access)
    assert read_tree(tmp_path / "out") == {
        "a": b"a" * 1000,
        "sub/b": b"sub/b" * 1000,
        "sub/deep/c": b"sub/deep/c" * 1000,
    }
