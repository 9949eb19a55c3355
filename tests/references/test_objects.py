"""References to objects, on a real S3 server and in memory: versions, prefixes, what changed and what is gone."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs
from blake3 import blake3

from artifactstore.errors import (
    InvalidURL,
    PermissionRefused,
    ReferenceChanged,
    ReferenceGone,
    TooManyObjects,
)
from artifactstore.format.reference import Reference
from artifactstore.references import objects
from artifactstore.references.access import ReferenceAccess
from artifactstore.references.referring import Sources
from tests.servers import OWNER, Server


@pytest.fixture
def client(s3_server: Server) -> s3fs.S3FileSystem:
    return s3fs.S3FileSystem(
        key=OWNER[0], secret=OWNER[1], endpoint_url=s3_server.endpoint, skip_instance_cache=True
    )


@pytest.fixture
def bucket(client: s3fs.S3FileSystem) -> str:
    name = f"refs-{uuid.uuid4().hex[:12]}"
    client.call_s3("create_bucket", Bucket=name)
    return name


@pytest.fixture
def sources(s3_options: dict[str, Any]) -> Sources:
    return Sources(ReferenceAccess(options={"s3": s3_options}))


def read(sources: Sources, reference: Reference) -> bytes:
    with sources.open(reference) as stream:
        return b"".join(iter(lambda: stream.read(1 << 16), b""))


def one(sources: Sources, url: str) -> Reference:
    ((path, reference),) = sources.refer(url)
    assert path == ""
    return reference


def test_an_object(sources: Sources, client: s3fs.S3FileSystem, bucket: str) -> None:
    """Known by size and entity tag, without quotes; changed and gone are each its own error."""
    client.pipe_file(f"{bucket}/a.bin", b"content")
    reference = one(sources, f"s3://{bucket}/a.bin")
    assert (reference.size_bytes, reference.version) == (7, "")
    assert reference.checksum == "etag:9a0364b9e99bb480dd25e1f0284c8555"
    assert read(sources, reference) == b"content"
    sources.verify(reference)
    for data in (b"CONTENT", b"something longer"):
        client.pipe_file(f"{bucket}/a.bin", data)
        with pytest.raises(ReferenceChanged):
            sources.verify(reference)
        with pytest.raises(ReferenceChanged):
            read(sources, reference)
    client.rm_file(f"{bucket}/a.bin")
    with pytest.raises(ReferenceGone):
        sources.verify(reference)
    with pytest.raises(ReferenceGone):
        read(sources, reference)
    ((_, unlooked),) = sources.refer(f"s3://{bucket}/a.bin", checksum=False)
    assert unlooked == Reference(f"s3://{bucket}/a.bin")
    with pytest.raises(ReferenceGone):
        list(sources.refer(f"s3://{bucket}"))


def test_an_object_of_several_ranges(
    sources: Sources, client: s3fs.S3FileSystem, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comes range by range; one that changes meanwhile is seen at the end."""
    monkeypatch.setattr(objects, "_RANGE_BYTES", 1000)
    data = bytes(range(250)) * 10
    client.pipe_file(f"{bucket}/a.bin", data)
    reference = one(sources, f"s3://{bucket}/a.bin")
    assert read(sources, reference) == data
    with sources.open(reference) as stream:
        assert stream.read(500) == data[:500]
        client.pipe_file(f"{bucket}/a.bin", data[::-1])
        with pytest.raises(ReferenceChanged):
            while stream.read(1000):
                pass


def test_a_bucket_that_keeps_versions(sources: Sources, client: s3fs.S3FileSystem, bucket: str) -> None:
    """What was overwritten is still read, as the version that the reference names."""
    client.call_s3("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client.pipe_file(f"{bucket}/a.bin", b"content")
    reference = one(sources, f"s3://{bucket}/a.bin")
    assert reference.version
    client.pipe_file(f"{bucket}/a.bin", b"CONTENT")
    assert one(sources, f"s3://{bucket}/a.bin").version != reference.version
    assert read(sources, reference) == b"content"
    sources.verify(reference)


def test_a_prefix(
    sources: Sources, client: s3fs.S3FileSystem, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its objects by what follows it, page by page; a bound stops the listing early."""
    monkeypatch.setattr(objects, "_LISTED_TOGETHER", 2)
    names = ["a.bin", "b/c.bin", "b/d.bin", "e.bin", "f.bin"]
    for name in names:
        client.pipe_file(f"{bucket}/in/{name}", name.encode())
    client.pipe_file(f"{bucket}/in-not", b"beside it")
    found = dict(sources.refer(f"s3://{bucket}/in/"))
    assert sorted(found) == names
    assert found == dict(sources.refer(f"s3://{bucket}/in"))
    assert found["b/c.bin"] == one(sources, f"s3://{bucket}/in/b/c.bin")
    assert len(dict(sources.refer(f"s3://{bucket}", objects_max=6))) == 6
    asked: list[str] = []
    call = s3fs.S3FileSystem.call_s3

    def counted(inner: Any, method: str, *args: Any, **options: Any) -> Any:
        asked.append(method)
        return call(inner, method, *args, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", counted)
    with pytest.raises(TooManyObjects):
        list(sources.refer(f"s3://{bucket}/in/", objects_max=2))
    assert asked.count("list_objects_v2") == 2


def test_keys_are_needed_and_never_kept(s3_server: Server, bucket: str, client: s3fs.S3FileSystem) -> None:
    """Wrong ones are refused; a URL may not hold any."""
    client.pipe_file(f"{bucket}/a.bin", b"content")
    stranger = Sources(ReferenceAccess(options={"s3": s3_server.options(("owner", "wrong"))}))
    with pytest.raises(PermissionRefused):
        one(stranger, f"s3://{bucket}/a.bin")
    with pytest.raises(InvalidURL):
        one(stranger, f"s3://owner:secret@{bucket}/a.bin")


@pytest.fixture
def memory() -> Iterator[Any]:
    import fsspec

    made = fsspec.filesystem("memory")
    yield made
    made.store.clear()
    made.pseudo_dirs[:] = [""]


def test_a_service_that_gives_no_tag(memory: Any) -> None:
    """Is read, and known by BLAKE3; a pull fetches from the process's memory for nobody."""
    asked = Sources(ReferenceAccess(), asked=True)
    memory.pipe("/bucket/d/a.bin", b"content")
    memory.pipe("/bucket/d/e/b.bin", b"more")
    reference = one(asked, "memory://bucket/d/a.bin")
    assert reference == Reference("memory://bucket/d/a.bin", 7, "blake3:" + blake3(b"content").hexdigest())
    assert list(dict(asked.refer("memory://bucket/d"))) == ["a.bin", "e/b.bin"]
    assert read(asked, reference) == b"content"
    memory.pipe("/bucket/d/a.bin", b"CONTENT")
    with pytest.raises(ReferenceChanged):
        read(asked, reference)


def test_what_services_know_objects_by() -> None:
    """MD5 where it is given, as Google and Azure do; else the tag, without quotes."""
    assert (
        objects._checksum({"md5Hash": "mgNkuembtIDdJeHwKEyFVQ=="}) == "md5:9a0364b9e99bb480dd25e1f0284c8555"
    )
    azure = {"content_settings": {"content_md5": bytearray(b"\1\2")}, "etag": "0x8D"}
    assert objects._checksum(azure) == "md5:0102"
    assert objects._checksum({"ETag": '"abc-2"'}) == "etag:abc-2"
    assert objects._checksum({}) == ""
    assert objects._version({"generation": 17}) == "17"
    assert objects._version({"VersionId": "null"}) == ""
    assert Path(objects.__file__).exists()
