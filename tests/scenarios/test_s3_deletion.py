"""Deletion on a real S3 server: buckets that keep versions, buckets that lock them, uploads that never ended."""

from pathlib import Path
from typing import Any

import pytest
import s3fs

from artifactstore import Store
from artifactstore.errors import Deleted
from artifactstore.pack.names import pack_name
from tests.servers import OWNER, Server
from tests.stores import make_store, noise, read_tree, write_tree

KEPT = {"kept": noise(50_000, 2)}


@pytest.fixture
def owner(s3_server: Server) -> s3fs.S3FileSystem:
    """The server's own client."""
    return s3fs.S3FileSystem(
        key=OWNER[0], secret=OWNER[1], endpoint_url=s3_server.endpoint, skip_instance_cache=True
    )


def filled(tmp_path: Path, url: str, s3_options: dict[str, Any]) -> Store:
    """A store with two versions, of which the first is deleted."""
    store = make_store(tmp_path, url, storage_options=s3_options)
    store.push([write_tree(tmp_path / "a", {"a": noise(80_000, 1), **KEPT})], "p/n")
    store.push([write_tree(tmp_path / "b", KEPT)], "p/n")
    store.delete(["p/n:v0"], now=True)
    return store


def keys(owner: s3fs.S3FileSystem, bucket: str) -> set[str]:
    """The keys of a small bucket that have a version, a delete marker or an unfinished upload."""
    page = owner.call_s3("list_object_versions", Bucket=bucket)
    uploads = owner.call_s3("list_multipart_uploads", Bucket=bucket)
    assert not page.get("IsTruncated")
    found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ()), *uploads.get("Uploads", ())]
    return {each["Key"] for each in found}


@pytest.mark.parametrize("versioned", [False, True])
def test_of_what_is_condemned_no_form_is_left(
    versioned: bool, owner: s3fs.S3FileSystem, s3_options: dict[str, Any], tmp_path: Path
) -> None:
    """Invariant 9: no version, no delete marker, no upload; a name that only begins alike is another's."""
    bucket = f"purged-{'versioned' if versioned else 'plain'}"
    owner.call_s3("create_bucket", Bucket=bucket)
    if versioned:
        owner.call_s3("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    with filled(tmp_path, f"s3://{bucket}/store", s3_options) as store:
        plan = store.plan_gc()
        doomed = [f"store/{pack_name(name)}" for name in plan.plan.condemn]
        assert set(doomed) <= keys(owner, bucket)
        again = owner.cat_file(f"{bucket}/{doomed[0]}")
        owner.call_s3("put_object", Bucket=bucket, Key=doomed[0], Body=again)
        owner.call_s3("create_multipart_upload", Bucket=bucket, Key=doomed[0])
        owner.call_s3("put_object", Bucket=bucket, Key=doomed[0] + "x", Body=b"another's")
        assert store.gc(plan).left == ()
        left = keys(owner, bucket)
        assert not left & set(doomed)
        assert doomed[0] + "x" in left
        store.pull("p/n:v1", tmp_path / "out")
    assert read_tree(tmp_path / "out") == KEPT


def test_a_lock_says_until_when(owner: s3fs.S3FileSystem, s3_options: dict[str, Any], tmp_path: Path) -> None:
    """The record stands, and what is left is shown with the time; readers are not concerned."""
    bucket = "purged-locked"
    owner.call_s3("create_bucket", Bucket=bucket, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    owner.call_s3(
        "put_object_lock_configuration",
        Bucket=bucket,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},
    )
    with filled(tmp_path, f"s3://{bucket}/store", s3_options) as store:
        done = store.gc()
        assert done.purged == ("p/n:v0",)
        assert done.left_total
        assert all("locked until 20" in one.reason for one in done.left), done.left
        assert "erased" not in {entry.kind for entry in store.log()}
        with pytest.raises(Deleted):
            store.version("p/n:v0")
        store.pull("p/n:v1", tmp_path / "out")
        assert store.resume_gc().left_total == done.left_total
    assert read_tree(tmp_path / "out") == KEPT
