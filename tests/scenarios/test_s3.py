"""A store on a real S3 server: over TLS, with few permissions, on odd buckets."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import s3fs

from artifactstore import AuditReport, Store, audit
from artifactstore.backend.remote import FsspecBackend
from artifactstore.cli.main import main
from artifactstore.errors import NoSuchStore, ObjectLocked, PermissionRefused, UntrustedServer
from artifactstore.testing.proxy import Fault, FaultProxy, Rule
from tests.servers import BLIND, BUCKET, OWNER, READER, Server
from tests.stores import make_store, noise, read_tree, reopened, write_tree

TREE = {"a.bin": noise(300_000), "sub/b.txt": b"text", "link": "a.bin", "empty": None, "nothing": b""}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "in", TREE)


@pytest.fixture
def store(tmp_path: Path, s3_url: str, s3_options: dict[str, Any], source: Path) -> str:
    """A store with one version; its URL."""
    with make_store(tmp_path, s3_url, storage_options=s3_options) as made:
        made.push([source], "p/n")
    return s3_url


@pytest.fixture
def open_as(tmp_path: Path, s3_server: Server) -> Callable[..., Store]:
    """Open a store as a client of its own, with somebody's credentials."""

    def opened(url: str, who: tuple[str, str] = OWNER) -> Store:
        return Store.open(
            url,
            key_file=tmp_path / "key",
            cache_dir=tmp_path / who[0],
            storage_options=s3_server.options(who),
        )

    return opened


@pytest.fixture
def owner(s3_server: Server) -> s3fs.S3FileSystem:
    """The server's own client, to prepare buckets with."""
    return s3fs.S3FileSystem(
        key=OWNER[0], secret=OWNER[1], endpoint_url=s3_server.endpoint, skip_instance_cache=True
    )


# --- TLS ---


def test_a_private_ca_is_a_setting(s3_tls_server: Server, s3_url: str, tmp_path: Path, source: Path) -> None:
    """With the CA named, all works over TLS; without it, the error says so at once, and nothing is sent."""
    options = s3_tls_server.options()
    assert s3_tls_server.endpoint.startswith("https://")
    with make_store(tmp_path, s3_url, storage_options=options) as store:
        store.push([source], "p/n")
        store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == TREE
    del options["ca"]
    with pytest.raises(UntrustedServer, match="no trusted TLS connection") as caught:
        make_store(tmp_path, s3_url, storage_options=options)
    assert "ca=FILE" in caught.value.next_step


# --- permissions ---


def test_read_only_credentials_read_everything(
    store: str, open_as: Callable[..., Store], tmp_path: Path, source: Path
) -> None:
    """Pull, ls, show and check need no permission to write; a push says which one is missing."""
    with open_as(store, READER) as reading:
        assert [project.name for project in reading.projects()] == ["p"]
        assert reading.version("p/n").number == 0
        assert reading.check(read_data=True).ok
        reading.pull("p/n", tmp_path / "out")
        (source / "new").write_bytes(b"new")
        with pytest.raises(PermissionRefused) as caught:
            reading.push([source], "p/n")
    assert caught.value.facts["needs"] == "s3:PutObject"
    assert "s3:PutObject" in caught.value.next_step
    assert read_tree(tmp_path / "out") == TREE


def test_a_bucket_that_may_not_be_listed_is_used_all_the_same(
    store: str, open_as: Callable[..., Store], tmp_path: Path, source: Path
) -> None:
    """Push, pull, ls and check need no listing."""
    (source / "new").write_bytes(b"new")
    with open_as(store, BLIND) as blind:
        assert blind.push([source], "p/n").number == 1
        blind.pull("p/n", tmp_path / "out")
        assert [version.number for version in blind.versions("p/n")] == [0, 1]
        assert blind.check(read_data=True).ok
    assert read_tree(tmp_path / "out") == {**TREE, "new": b"new"}


def test_making_a_store_needs_to_list(tmp_path: Path, s3_url: str, s3_server: Server) -> None:
    """Whether a place is empty only a listing tells, and the error names the permission for it."""
    with pytest.raises(PermissionRefused) as caught:
        make_store(tmp_path, s3_url, storage_options=s3_server.options(BLIND))
    assert caught.value.facts["needs"] == "s3:ListBucket"


def test_wrong_secrets_are_refused(store: str, open_as: Callable[..., Store]) -> None:
    """A signature that doesn't match is a matter of credentials, not of the network."""
    with pytest.raises(PermissionRefused):
        open_as(store, (OWNER[0], "another-secret"))


# --- buckets ---


@pytest.mark.parametrize("bucket", ["no-such-bucket", BUCKET])
def test_what_is_not_there_is_said(bucket: str, open_as: Callable[..., Store], store: str) -> None:
    """No bucket and no store in the bucket are both no store, with what to do."""
    with pytest.raises(NoSuchStore) as caught:
        open_as(f"s3://{bucket}/nothing-here")
    assert caught.value.next_step


def test_a_store_is_not_made_in_a_bucket_that_is_missing(tmp_path: Path, s3_options: dict[str, Any]) -> None:
    """`init` makes no buckets: how one is set up is its owner's to say."""
    with pytest.raises(NoSuchStore, match="bucket"):
        make_store(tmp_path, "s3://no-such-bucket/x", storage_options=s3_options)


@pytest.mark.parametrize("locked", [False, True])
def test_versioned_and_locked_buckets_hold_stores(
    locked: bool, owner: s3fs.S3FileSystem, s3_options: dict[str, Any], tmp_path: Path, source: Path
) -> None:
    """Where old versions stay, creates still exclude each other, and push, pull and check work as elsewhere."""
    bucket = f"versioned-{'locked' if locked else 'plain'}"
    owner.call_s3("create_bucket", Bucket=bucket, ObjectLockEnabledForBucket=locked)
    if locked:
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
        owner.call_s3(
            "put_object_lock_configuration",
            Bucket=bucket,
            ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},
        )
    else:
        owner.call_s3("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    with make_store(tmp_path, f"s3://{bucket}/store", storage_options=s3_options) as store:
        store.push([source], "p/n")
        assert store.check(read_data=True).ok
        store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == TREE
    versions = owner.call_s3("list_object_versions", Bucket=bucket, Prefix="store/log/")["Versions"]
    assert len({found["Key"] for found in versions}) == len(versions), "no record was written twice"


@pytest.fixture
def versioned(owner: s3fs.S3FileSystem) -> Callable[..., str]:
    """Makes a bucket that keeps old versions; with a time, each is locked for it."""

    def made(name: str, locked_days: int = 0) -> str:
        bucket = f"{name}-{os.getpid()}"
        owner.call_s3("create_bucket", Bucket=bucket, ObjectLockEnabledForBucket=bool(locked_days))
        if locked_days:
            rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": locked_days}}
            owner.call_s3(
                "put_object_lock_configuration",
                Bucket=bucket,
                ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},
            )
        else:
            owner.call_s3(
                "put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        return bucket

    return made


def kept(owner: s3fs.S3FileSystem, bucket: str, prefix: str) -> list[str]:
    """Keys of all versions, markers and unfinished uploads."""
    page = owner.call_s3("list_object_versions", Bucket=bucket, Prefix=prefix)
    found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
    found += owner.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix).get("Uploads") or []
    return [one["Key"] for one in found]


def test_erasing_leaves_no_version_marker_or_upload(
    versioned: Callable[..., str], owner: s3fs.S3FileSystem, s3_options: dict[str, Any]
) -> None:
    """And touches nothing of an object whose name begins alike."""
    bucket = versioned("erased")
    backend = FsspecBackend(f"s3://{bucket}/x", s3_options)
    for _ in range(3):
        backend.put("a", b"data")
    backend.put("ab", b"other")
    backend.delete("a")
    backend.put("a", b"again")
    backend.delete("a")
    owner.call_s3("create_multipart_upload", Bucket=bucket, Key="x/a")
    assert sorted(kept(owner, bucket, "x/")) == [*["x/a"] * 7, "x/ab"]
    assert (backend.exists("a"), backend.traces("a")) == (False, True)
    backend.erase("a")
    assert kept(owner, bucket, "x/") == ["x/ab"]
    assert (backend.traces("a"), backend.get("ab", limit_bytes=5)) == (False, b"other")
    backend.erase("a")


def test_what_a_lock_keeps_is_said_with_its_end(
    versioned: Callable[..., str], owner: s3fs.S3FileSystem, s3_options: dict[str, Any]
) -> None:
    """It stays, its marker too, and the error tells until when."""
    bucket = versioned("locked", locked_days=3)
    backend = FsspecBackend(f"s3://{bucket}/x", s3_options)
    backend.put("a", b"data")
    backend.delete("a")
    with pytest.raises(ObjectLocked) as caught:
        backend.erase("a")
    until = datetime.now(tz=UTC) + timedelta(days=3)
    assert caught.value.facts["until"].startswith(
        (f"{until:%Y-%m-%d}", f"{until - timedelta(hours=1):%Y-%m-%d}")
    )
    assert backend.traces("a")


def test_gc_takes_every_version_from_a_versioned_bucket(
    versioned: Callable[..., str],
    owner: s3fs.S3FileSystem,
    s3_options: dict[str, Any],
    tmp_path: Path,
    source: Path,
) -> None:
    """Nothing is left of what was condemned, and what was not deleted restores."""
    bucket = versioned("swept")
    with make_store(tmp_path, f"s3://{bucket}/store", storage_options=s3_options) as store:
        store.push([write_tree(tmp_path / "old", {"a": noise(200_000, 77)})], "p/old")
        store.push([source], "p/n")
        before = set(kept(owner, bucket, "store/packs/"))
        store.delete(["p/old:v0"], now=True)
        done = store.gc(store.plan_gc())
        assert (done.purged, done.left) == (("p/old:v0",), ())
        gone = before - {f"store/{info.name}" for info in store._parts.backend.list("packs/")}
        assert gone
        assert not gone & set(kept(owner, bucket, "store/packs/"))
        assert store.check(read_data=True).ok
        store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == TREE


def test_an_audit_sees_every_version_of_what_was_condemned(
    versioned: Callable[..., str],
    owner: s3fs.S3FileSystem,
    s3_options: dict[str, Any],
    tmp_path: Path,
    source: Path,
) -> None:
    """A receipt holds on S3; what was put back and deleted by its name alone is still there, in an old version."""
    bucket = versioned("audited")
    url = f"s3://{bucket}/store"
    with make_store(tmp_path, url, storage_options=s3_options) as store:
        store.push([write_tree(tmp_path / "old", {"a": noise(200_000, 79)})], "p/old")
        store.push([source], "p/n")
        before = {info.name for info in store._parts.backend.list("packs/")}
        store.delete(["p/old:v0"], now=True)
        store.gc(store.plan_gc())
        gone = min(before - {info.name for info in store._parts.backend.list("packs/")})
        receipt = store.receipts.export(store.receipts.list()[0].id)

    def audited() -> AuditReport:
        return audit(url, receipt=receipt, storage_options=s3_options, cache_dir=tmp_path / "auditor")

    report = audited()
    assert (report.problems, report.all_forms) == ((), True)
    assert report.receipt is not None
    assert report.receipt.present == 0
    owner.pipe_file(f"{bucket}/store/{gone}", b"back")
    owner.call_s3("delete_object", Bucket=bucket, Key=f"store/{gone}")
    assert not owner.exists(f"{bucket}/store/{gone}")
    assert [(one.kind, one.object) for one in audited().problems] == [("still-there", gone)]


def test_gc_in_a_locked_bucket_says_until_when(
    versioned: Callable[..., str], s3_options: dict[str, Any], tmp_path: Path, source: Path
) -> None:
    """The record stands, the store is whole, and what is left to delete is told with the end of its lock."""
    bucket = versioned("kept", locked_days=1)
    with make_store(tmp_path, f"s3://{bucket}/store", storage_options=s3_options) as store:
        store.push([write_tree(tmp_path / "old", {"a": noise(200_000, 78)})], "p/old")
        store.push([source], "p/n")
        store.delete(["p/old:v0"], now=True)
        done = store.gc(store.plan_gc())
        assert done.purged == ("p/old:v0",)
        assert done.left
        assert all("is locked until 20" in left.reason for left in done.left)
        assert store.check(read_data=True).ok


def test_erasing_needs_permissions_that_the_error_names(
    store: str, s3_server: Server, s3_options: dict[str, Any]
) -> None:
    """Whoever may not see versions can't say that none is left."""
    FsspecBackend(store, s3_options).put("packs/x", b"x")
    reader = FsspecBackend(store, s3_server.options(READER))
    with pytest.raises(PermissionRefused) as caught:
        reader.erase("packs/x")
    assert "s3:DeleteObjectVersion" in caught.value.facts["needs"]


def test_json_errors_name_the_endpoint_and_no_secret(
    store: str, s3_server: Server, tmp_path: Path, monkeypatch: Any, capfd: Any
) -> None:
    """What went wrong where is said; with which secret is not."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", OWNER[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    words = ["ls", "--store", store, "--key-file", str(tmp_path / "key"), "--json"]
    code = main([*words, "--storage-option", f"endpoint={s3_server.endpoint}"])
    error = capfd.readouterr().err
    assert code == 5
    assert json.loads(error)["error"]["facts"]["url"] == store
    assert "another-secret" not in error


# --- a store that lies ---


def test_a_store_that_lies_is_for_one_writer_who_is_told(
    rclone_server: Server, s3_url: str, tmp_path: Path, source: Path, monkeypatch: Any, capfd: Any
) -> None:
    """Refused with the reason; with --single-writer each command works and says so; without it, refused again."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", OWNER[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OWNER[1])
    monkeypatch.setenv("ARTIFACTSTORE_ENDPOINT", rclone_server.endpoint)
    monkeypatch.setenv("ARTIFACTSTORE_STORE", s3_url)
    assert main(["init"]) == 4
    refusal = capfd.readouterr().err
    assert "a second create of one name succeeded" in refusal
    assert "single_writer" in refusal
    for line in (["init"], ["push", str(source), "p/n"], ["ls"], ["info"], ["check"], ["pull", "p/n", "out"]):
        assert main([*line, "--single-writer"]) == 0, (line, capfd.readouterr().err)
        assert "single-writer mode" in capfd.readouterr().err
    assert read_tree(Path("out")) == TREE
    (source / "new").write_bytes(b"new")
    assert main(["push", str(source), "p/n"]) == 4


def test_the_probe_is_remembered_with_its_date(s3_url: str, s3_server: Server, tmp_path: Path) -> None:
    """By each client: the maker's is done, another one's comes before its first write."""
    options = s3_server.options()
    with make_store(tmp_path, s3_url, storage_options=options) as store:
        assert store.info().probed_ns > 0
    with reopened(tmp_path, s3_url, cache="other", storage_options=options) as store:
        assert store.info().probed_ns == 0
        store.push([write_tree(tmp_path / "in", TREE)], "p/n")
        assert store.info().probed_ns > 0
    with reopened(tmp_path, s3_url, cache="other", storage_options=options) as store:
        assert store.info().probed_ns > 0


# --- on the wire ---


@pytest.fixture
def proxy(s3_server: Server) -> Iterator[FaultProxy]:
    """What lies between the store and its server."""
    with FaultProxy(urlsplit(s3_server.endpoint).port or 0) as running:
        yield running


@pytest.fixture
def through(proxy: FaultProxy, s3_options: dict[str, Any]) -> dict[str, Any]:
    """The options of a client behind the proxy."""
    return {**s3_options, "endpoint": proxy.url}


def test_credentials_that_expire_in_a_push_are_named_and_the_push_resumes(
    store: str, proxy: FaultProxy, through: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    """From the ninth pack on all is refused as expired; with new ones a push sends the rest, and little twice."""
    unit = 1 << 20
    monkeypatch.setattr("artifactstore.content.put.PACK_BYTES_TARGET", unit)
    monkeypatch.setattr("artifactstore.transfer.push.PENDING_BYTES", 2 * unit)
    source = write_tree(tmp_path / "long", {f"{number}": noise(4 * unit, number) for number in range(4)})
    with reopened(tmp_path, store, storage_options=through) as client:
        proxy.inject(
            Rule(Fault.EXPIRED, frozenset({"PUT"}), "/packs/", skip=8), Rule(Fault.EXPIRED, skip=400)
        )
        with pytest.raises(PermissionRefused, match="expired") as caught:
            client.push([source], "p/long")
    assert "not uploaded twice" in caught.value.next_step
    proxy.inject()
    with reopened(tmp_path, store, storage_options=through) as client:
        pushed = client.push([source], "p/long").push
        assert pushed is not None
        assert pushed.stored_bytes < 16 * unit, "what a pending record had registered is not sent again"
        client.pull("p/long", tmp_path / "out")
        assert client.check(read_data=True).ok
    assert read_tree(tmp_path / "out") == read_tree(source)


@pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.TRUNCATE])
def test_faults_of_the_wire_are_ridden_out(
    fault: Fault, store: str, proxy: FaultProxy, through: dict[str, Any], tmp_path: Path, source: Path
) -> None:
    """Every third request is throttled, cut off or answered by half: a push and a pull notice nothing."""
    (source / "new").write_bytes(b"new")
    with reopened(tmp_path, store, cache=fault, storage_options=through) as client:
        proxy.inject(Rule(fault, probability=0.3))
        assert client.push([source], "p/n").number == 1
        client.pull("p/n", tmp_path / "out")
    assert proxy.injected[fault] > 0
    assert read_tree(tmp_path / "out") == {**TREE, "new": b"new"}
