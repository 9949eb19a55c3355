"""Many processes push, pull and delete while two sweep without a pause and some are killed: on a folder and on S3."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs

from artifactstore import Store, audit
from artifactstore.content.packs import ref_of
from artifactstore.crypto.hashing import blake3
from artifactstore.errors import Deleted
from artifactstore.format.pack import PackType
from artifactstore.pack.reader import BlobOpener, read_whole
from artifactstore.testing.invariants import assert_numbered, assert_receipts_hold
from tests.faults.sweeping import Client, content, start
from tests.servers import Server

DIGEST_BYTES = 32


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any] | None]:
    """A folder, and a bucket that keeps old versions."""
    if request.param == "folder":
        return str(tmp_path / "store"), None
    server: Server = request.getfixturevalue("s3_server")
    owner, bucket = owner_of(server.options()), f"swept-{os.getpid()}-{time.monotonic_ns()}"
    owner.call_s3("create_bucket", Bucket=bucket)
    owner.call_s3("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return f"s3://{bucket}/store", server.options()


def test_sweeps_run_beside_everything(
    place: tuple[str, dict[str, Any] | None], tmp_path: Path, deep: bool
) -> None:
    """In the end all is clean, what was not deleted restores, and of what was nothing is left."""
    url, options = place
    seconds, writers = (600.0, 8) if deep else (20.0, 3)
    Store.create(
        url, key_file=tmp_path / "key", cache_dir=tmp_path / "maker", storage_options=options
    ).close()
    lives = [
        Client(url, options, str(tmp_path), f"{'s' if at < 2 else 'w'}{at}", at, seconds, sweeps=at < 2)
        for at in range(writers + 2)
    ]
    killed = run(lives, seconds)
    assert killed
    journal = [json.loads(line) for one in lives for line in noted(one)]
    assert any("purged" in line for line in journal), logs(lives)
    with Store.open(
        url, key_file=tmp_path / "key", cache_dir=tmp_path / "witness", storage_options=options
    ) as store:
        while not (prepared := store.plan_gc(expiry_s=0)).plan.is_empty:
            store.gc(prepared)
        assert store.check(read_data=True).problems == ()
        report = audit(url, storage_options=options, store_id=store.id, read_data=True)
        assert (report.problems, report.unerased.names.total, report.unnamed.names.total) == ((), 0, 0)
        assert_numbered(store, undeleted=True)
        assert assert_receipts_hold(store, most=5, storage_options=options, cache_dir=tmp_path / "auditor")
        restored = assert_all_restores(store, journal, tmp_path / "restored")
        gone = assert_all_gone(store, journal)
        slots = sum(1 for _ in store.parts.backend.list("log/"))
        tell(killed, journal, slots=slots, restored=restored, gone=gone)
    if options is not None:
        assert_no_old_versions(url, options)


def run(lives: list[Client], seconds: float) -> int:
    """Let clients run, one of them killed and started again now and then; return how many were killed."""
    chance, killed = random.Random(7), 0
    processes = [(one, start(one)) for one in lives]
    try:
        ends_s = time.monotonic() + seconds * 0.8
        while time.monotonic() < ends_s:
            time.sleep(2)
            at = chance.randrange(len(processes))
            one, process = processes[at]
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
            left = seconds - (time.monotonic() - (ends_s - seconds * 0.8))
            again = one._replace(name=f"{one.name}x", seed=one.seed + 1000, seconds=max(1.0, left))
            lives.append(again)
            processes[at] = again, start(again)
        for one, process in processes:
            assert process.wait() == 0, (Path(one.folder) / f"{one.name}.log").read_text()
    finally:
        for _, process in processes:
            process.kill()
            process.wait()
    return killed


def noted(one: Client) -> list[str]:
    """The whole lines of a journal; the last one of who was killed may be cut."""
    text = one.journal.read_text() if one.journal.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def assert_all_restores(store: Store, journal: list[dict[str, str]], out: Path) -> int:
    """Everything that was pushed and that nobody began to delete; return how many versions that are."""
    given_up = {line["deleting"] for line in journal if "deleting" in line}
    kept = {line["pushed"]: line["key"] for line in journal if "pushed" in line}
    assert kept.keys() - given_up
    for reference, key in kept.items():
        if reference in given_up:
            continue
        store.pull(reference, out / reference.replace("/", "-"))
        found = {path.name: path.read_bytes() for path in (out / reference.replace("/", "-")).iterdir()}
        assert found == content(key)
    for line in journal:
        if "deleted" in line:
            with pytest.raises(Deleted):
                store.version(line["deleted"])
    return len(kept.keys() - given_up)


def assert_all_gone(store: Store, journal: list[dict[str, str]]) -> int:
    """No pack holds bytes that only deleted versions held, nor a page that names them; return how many are gone.

    Every pack is opened with the store's keys. A file of these versions is one chunk.
    """
    kept = {
        entry.digest
        for artifact in store.artifacts("p")
        for version in store.versions(artifact.artifact)
        for entry in version.files()
    }
    pushed = {blake3(data) for line in journal if "pushed" in line for data in content(line["key"]).values()}
    gone = pushed - {bytes.fromhex(digest) for digest in kept}
    assert gone
    for kind, chunk in opened(store):
        if kind is PackType.DATA:
            assert blake3(chunk) not in gone
        elif kind in {PackType.PAGE, PackType.LIST}:
            named = {chunk[at : at + DIGEST_BYTES] for at in range(len(chunk) - DIGEST_BYTES + 1)}
            assert named.isdisjoint(gone)
    return len(gone)


def opened(store: Store) -> Iterator[tuple[PackType, bytes]]:
    """Every chunk in the bucket, as its pack's key opens it; of a store that has no pack without a record."""
    parts = store.parts
    with parts.environment.read() as txn:
        known = {ref.name: ref for ref in map(ref_of, parts.packs.all(txn))}
    assert {info.name for info in parts.backend.list("packs/")} == set(known)
    for ref in known.values():
        data, chunks = read_whole(parts.backend, parts.keyring.store_id, ref)
        opener = BlobOpener(parts.keyring.store_id, ref)
        for chunk in chunks:
            blob = chunk.blob
            sealed = data[blob.offset : blob.offset + blob.length]
            raw = opener.open(sealed, chunk.ordinal, blob.codec, blob.raw_length)
            yield ref.type, raw[chunk.start : chunk.start + chunk.length]


def owner_of(options: dict[str, Any]) -> s3fs.S3FileSystem:
    """The server's own client."""
    return s3fs.S3FileSystem(
        key=options["key"],
        secret=options["secret"],
        endpoint_url=options["endpoint"],
        skip_instance_cache=True,
    )


def assert_no_old_versions(url: str, options: dict[str, Any]) -> None:
    """Of each pack and keys object there is one version, which is there, and no marker."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    for folder in ("packs/", "keys/"):
        found: list[str] = []
        after: dict[str, str] = {}
        while True:
            page = owner_of(options).call_s3(
                "list_object_versions", Bucket=bucket, Prefix=f"{key}/{folder}", **after
            )
            assert not page.get("DeleteMarkers")
            found += [one["Key"] for one in page["Versions"]]
            if not page.get("IsTruncated"):
                break
            after = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
        assert sorted(set(found)) == sorted(found)


def tell(killed: int, journal: list[dict[str, Any]], **counts: int) -> None:
    """Print what a run did."""
    did = Counter(next(iter(line)) for line in journal)
    size = sum(
        map(len, (data for line in journal if "pushed" in line for data in content(line["key"]).values()))
    )
    print(json.dumps({"killed": killed, **did, "bytes pushed": size, **counts}))


def logs(lives: list[Client]) -> str:
    """What clients had to say, for a test that failed."""
    return "\n".join(f"{one.name}: {(Path(one.folder) / f'{one.name}.log').read_text()}" for one in lives)
