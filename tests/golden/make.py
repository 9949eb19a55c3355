"""Make the golden store of format v1: the same bytes on every machine, from a seed and a fixed clock.

Run it after every change of the format, in the commit of that change, and only then::

    python -m tests.golden.make

It replaces `tests/golden/v1`: `store` (the objects), `key` (the key file) and `expected.json` (what is in it,
computed from the sources and not from the store); in `swept` a second store, of which a sweep has purged two versions,
and `receipt.json`, which shows one of them. `test_golden.py` makes it again and compares every byte;
`reader.py` extracts it without the library.
"""

import contextlib
import hashlib
import hmac
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from artifactstore import Store
from artifactstore.catalog.edges import DOWN, UP, edges, node_version, run_node
from artifactstore.catalog.rows import get_version
from artifactstore.catalog.runs import runs
from artifactstore.executors import Executors, inline
from artifactstore.format.operations import (
    Adopt,
    Alias,
    Begin,
    Damage,
    Delete,
    Describe,
    Ended,
    Expire,
    Operation,
    Part,
    PartDropped,
    Pending,
    PendingDone,
    Push,
    Rename,
    Retain,
    Retention,
    Source,
)
from artifactstore.format.pack import PackType
from artifactstore.format.record import SIGNING_CONTEXT, RecordType, encode_associated, slot_name
from artifactstore.format.reference import Reference
from artifactstore.format.run_operations import RunDeleted, RunFinished, RunStarted, RunUpdated, Used
from artifactstore.ids import ArtifactName
from artifactstore.index.tables import Position
from artifactstore.keyring.request import KeyRequest, request_line

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "v1"
SEED = b"artifactstore golden store, format v1"
BEGIN_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
RECORDS = 258
PASSPHRASE = "a golden passphr\u00e4se"
OPEN_DISTRIBUTED, ENDED_DISTRIBUTED = b"made by many ...", b"given up by all."
RUN, EARLIER_RUN = b"a golden run's id"[:16], b"an earlier run's"
REFERENCES: dict[str, tuple[str, int, str, str]] = {
    "README.md": ("https://example.org/read me.md".replace(" ", "%20"), 61, 'etag:W/"5-a"', ""),
    "far/a.csv": ("s3://bucket/raw/a.csv", 20, "etag:5d41402abc4b2a76b9719d911017c592", "3sL4kqtJ"),
    "far/unlooked-at": ("gs://bucket/d\u00e9p\u00f4t", 0, "", ""),
    "near.bin": ("file:///data/near.bin", 5, "blake3:" + 8 * "ea8f163d", ""),
}
FINISHED_PUSH, OPEN_PUSH = b"finished push id", b"a push still open"[:16]


class Seeded:
    """Randomness that is a function of the seed and of how much was asked before."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._calls = 0

    def token(self, size: int) -> bytes:
        """The next `size` bytes."""
        self._calls += 1
        return hashlib.shake_256(self._seed + self._calls.to_bytes(8, "big")).digest(size)


class Standing:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.ns = BEGIN_NS

    def now_ns(self) -> int:
        """Where it stands."""
        return self.ns

    def monotonic_s(self) -> float:
        """Where it stands."""
        return self.ns / 1e9

    def sleep(self, seconds: float) -> None:
        """Move."""
        self.ns += int(seconds * 1e9)


def seeded_seal(randomness: Seeded, public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """HPKE base mode as RFC 9180 says, with an ephemeral key from the seed: the library draws its own."""

    def extract(suite: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + secret, "sha256")

    def expand(suite: bytes, key: bytes, label: bytes, context: bytes, size: int) -> bytes:
        labelled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context
        return hmac.digest(key, labelled + b"\1", "sha256")[:size]

    ephemeral = X25519PrivateKey.from_private_bytes(randomness.token(32))
    encapsulated = ephemeral.public_key().public_bytes_raw()
    agreed = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    kem, suite = b"KEM\0\x20", b"HPKE\0\x20\0\1\0\2"
    shared = expand(kem, extract(kem, b"", b"eae_prk", agreed), b"shared_secret", encapsulated + public, 32)
    context = b"\0" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    secret = extract(suite, shared, b"secret", b"")
    key, nonce = expand(suite, secret, b"key", context, 32), expand(suite, secret, b"base_nonce", context, 12)
    return encapsulated + AESGCM(key).encrypt(nonce, plaintext, b"")


@contextlib.contextmanager
def one_thread() -> Iterator[Executors]:
    """Everything on the calling thread, in order."""
    yield inline()


# --- sources ------------------------------------------------------------------------------------------------


def noise(name: str, size: int) -> bytes:
    """Bytes that don't compress."""
    return hashlib.shake_256(SEED + name.encode()).digest(size)


def table(rows: int) -> bytes:
    """Text that compresses well and still differs enough in every line to be cut by content."""
    marks = noise("table", rows * 4)
    lines = (
        f"{row:08d},station-{row % 7},measured twice and found to be,{marks[4 * row : 4 * row + 4].hex()}\n"
        for row in range(rows)
    )
    return "".join(lines).encode()


def weights(count: int) -> bytes:
    """A NumPy file of float32, most of them zero."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count},), }}".ljust(117) + "\n"
    body = bytearray(count * 4)
    for at, byte in enumerate(noise("weights", count // 16)):
        body[at * 64] = byte
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + bytes(body)


def write_sources(folder: Path) -> None:
    """A folder with one of each kind of entry that a version can hold."""
    files = {
        "README.md": b"# A golden store\n\nIt must be readable for as long as there is format v1.\n",
        "empty.bin": b"",
        "bin/run.sh": b"#!/bin/sh\necho golden\n",
        "bin-and-more.txt": b"sorts after bin/run.sh, though '-' sorts before '/'\n",
        "data/noise.bin": noise("noise", 90_000),
        "data/table.csv": table(90_000),
        "models/weights.npy": weights(150_000),
        "names/na\u00efve \u30c7\u30fc\u30bf.txt": "Gr\u00fc\u00dfe\n".encode(),
        "copies/README.md": b"# A golden store\n\nIt must be readable for as long as there is format v1.\n",
    }
    files |= {
        f"many/{number % 10}/{number:04d}.json": f'{{"number": {number}}}\n'.encode() for number in range(400)
    }
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / "bin/run.sh").chmod(0o755)
    (folder / "empty folder").mkdir()
    (folder / "links").mkdir()
    (folder / "links/readme").symlink_to("../README.md")
    (folder / "links/nowhere").symlink_to("/does/not/exist")


def edit_sources(folder: Path) -> None:
    """The second version: an insertion near the front of the large file, other small changes."""
    data = (folder / "data/table.csv").read_bytes()
    (folder / "data/table.csv").write_bytes(data[:300_000] + b"a line that was not there\n" + data[300_000:])
    (folder / "bin/run.sh").chmod(0o644)
    (folder / "many/3/0003.json").unlink()
    (folder / "links/readme").unlink()
    (folder / "links/readme").symlink_to("../copies/README.md")


def described(folder: Path) -> dict[str, str]:
    """What a folder holds, a line for each path: kind, size, BLAKE3, and what else there is to say.

    The expectations are made from it, and what a reader extracted is compared through it.
    """
    entries = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            kind, data, more = "symlink", str(path.readlink()).encode(), f" to {path.readlink()}"
        elif path.is_dir():
            if any(path.iterdir()):
                continue
            kind, data, more = "folder", b"", ""
        else:
            kind, data = "file", path.read_bytes()
            more = " executable" if path.stat().st_mode & 0o100 else ""
        name = path.relative_to(folder).as_posix()
        entries[name] = f"{kind} {len(data)} {blake3(data).hexdigest()}{more}"
    return entries


# --- the store ------------------------------------------------------------------------------------------------


class Maker:
    """Makes the golden store in a folder. Used once."""

    def __init__(self, folder: Path, work: Path) -> None:
        self.folder = folder
        self.sources = work / "sources"
        self.clock = Standing()
        self.randomness = Seeded(SEED)
        self.store = Store.create(
            folder / "store",
            key_file=folder / "key",
            cache_dir=work / "cache",
            single_writer=True,
            clock=self.clock,
            randomness=self.randomness,
            make_executors=one_thread,
        )
        self.versions: dict[str, Any] = {}

    def run(self) -> None:
        """Push, name, and put in the way what a reader must get past."""
        write_sources(self.sources)
        self.push("demo/tables", tags=["raw"], metadata={"origin": "made", "rows": 90_000, "ratio": 0.5})
        self.push("demo/tables")  # equal to the newest, and nothing to say: no record
        edit_sources(self.sources)
        self.push("demo/tables", aliases=["prod"], description="What changed. " * 2500)
        self.push("demo/tables", tags=["checked"])  # equal to the newest: an edit of it
        self.put_rubbish()
        self.commit(Pending(FINISHED_PUSH), kind=RecordType.PENDING)
        self.commit(Pending(OPEN_PUSH), kind=RecordType.PENDING)
        self.put_unreadable()
        self.distribute()
        self.add_members()
        self.take_down()
        self.trace()
        pages, lists = self.packs(PackType.PAGE)[0], self.packs(PackType.LIST)[0]
        self.commit(Damage([pages, lists, bytes(32)], []))  # what they hold is stored again by the next push
        (self.sources / "empty folder").rmdir()
        self.push("demo/tables", description="Enough for a state. " * 1000)
        self.commit(PendingDone(FINISHED_PUSH))  # its record names a state of everything before
        self.commit(Alias("demo", "nothing", 7, ["lost"]))  # names no version: skipped by all
        self.store.add_aliases("demo/tables:v0", ["first", "second"])
        self.store.remove_aliases("demo/tables", ["second"])
        self.store.remove_tags("demo/tables:v1", ["checked"])
        self.store.add_tags("demo/tables:v1", ["published", "approved"])
        self.commit(Damage([], [lists]))
        self.commit(RunDeleted(EARLIER_RUN))
        self.refer()
        self.commit(Adopt(99, bytes(32)), kind=RecordType.ADOPT)
        self.store.delete(["demo/tables:v2"], reason="made by mistake", requested_by="its maker")
        self.store.delete(["demo/tables:v0"], force=True)
        self.store.undelete(["demo/tables:v0"])
        self.name_anew()
        shutil.rmtree(self.sources)
        self.sources.mkdir()
        self.push("other/empty", type="model", metadata={"nested": {"list": [1, None, True, "text"]}})
        while self.store._parts.catalog.position().next_slot < RECORDS:  # enough for tiles
            self.store.add_tags("other/empty:v0", ["tiled"])

    def name_anew(self) -> None:
        """Link, rename, edit and move aliases, with and without effect."""
        for number in (0, 1, 0):
            self.link(number, "production")
        self.commit(Rename("demo", "tables", "demo", "sheets"))
        self.commit(Rename("demo", None, "shop", None))
        self.commit(Rename("shop", "sheets", "shop", "leak"))  # is taken: skipped
        self.commit(
            Describe("demo", "sheets", 1, "Edited.", {"rows": 90_001, "new": [None]}, [], replace=False)
        )
        self.commit(Describe("shop", "tables", 0, None, {"rows": 1}, ["ratio"], replace=False))
        self.commit(Alias("shop", "sheets", 0, ["prod"], [0]))  # it stands elsewhere: skipped
        self.commit(Alias("shop", "sheets", 0, ["prod"], [1]))
        self.commit(Alias("registry", "tables", 1, ["fresh"], []))
        self.commit(
            Delete("shop", "sheets", [1], force=False, now=False, reason="", requested_by="")
        )  # is linked

    def link(self, number: int, alias: str) -> None:
        """Link a version of the tables into a collection."""
        source = self.store.version(f"demo/tables:v{number}")
        salt = self.randomness.token(32)
        operation = Push(
            "registry", "tables", source.type, source.manifest, None, None, [alias], [], 0, 0, [], salt, None,
            Source("demo", "tables", number),
        )  # fmt: skip
        self.commit(operation)
        made = self.store.version(f"registry/tables:{alias}")
        known = self.versions[f"demo/tables:v{number}"]
        self.versions[made.qualified_name] = known

    def distribute(self) -> None:
        """Begin a push in three parts, of which one is finished and another was; give one up."""
        with self.store._parts.environment.read() as txn:
            row = get_version(txn, ArtifactName("demo", "tables"), 1)
        assert row is not None
        for push in (OPEN_DISTRIBUTED, ENDED_DISTRIBUTED):
            self.commit(Begin(push, "demo", "many", "dataset", 3, "by many", {"part": 1}, ["whole"], ["big"]))
            for part in (2, 0):
                self.commit(Part(push, part, row.manifest, 7, 5, row.packs))
        self.commit(PartDropped(OPEN_DISTRIBUTED, [2, 1]))
        self.commit(Ended(ENDED_DISTRIBUTED, committed=False))
        self.commit(Part(ENDED_DISTRIBUTED, 1, row.manifest, 7, 5, []))  # too late: skipped by all

    def refer(self) -> None:
        """Push a version with references, of which nothing is kept but what they say."""
        (self.sources / "README.md").rename(self.sources.parent / "aside.md")
        self.push("demo/referring", references={path: Reference(*said) for path, said in REFERENCES.items()})
        (self.sources.parent / "aside.md").rename(self.sources / "README.md")

    def add_members(self) -> None:
        """Add one slot of each kind, the passphrase at the least memory that the format allows."""
        asked = KeyRequest(
            "reader", X25519PrivateKey.from_private_bytes(noise("reader", 32)).public_key().public_bytes_raw()
        )
        self.clock.sleep(60)
        self.store.members.add(request_line(asked), read_only=True)
        self.store.members.add_passphrase(PASSPHRASE, "typist", memory_kib=64 << 10)
        self.store.members.add_recovery()

    def take_down(self) -> None:
        """Push a file that has to go again, and replace the version by a successor; lift another ban."""
        secret = self.sources / "secret.csv"
        secret.write_text("name,mail\nada,a@b.c\n")
        self.push("demo/leak", aliases=["leaked"], tags=["hot"])
        self.clock.sleep(60)
        self.store.takedown([secret], rewrite=True, reason="consent withdrawn", requested_by="ada")
        secret.unlink()
        successor = self.store.version("demo/leak:leaked")
        self.versions[successor.qualified_name] = {
            "digest": successor.digest,
            "entries": described(self.sources),
        }
        self.commit(Expire("demo", "leak", successor.number, BEGIN_NS // 1_000_000 + 86_400_000))
        self.commit(Retain("demo", "leak", Retention(3, 7, 4, 12, True, ["hot"], 3_600_000)))
        unknown = blake3(b"somewhere else").hexdigest()
        self.clock.sleep(60)
        self.store.takedown([unknown])
        self.store.allow([unknown])

    def trace(self) -> None:
        """Runs that use and produce versions, one of them twice, and one that would close a circle."""
        commit = "0123456789abcdef" * 2 + "01234567"
        host = {"system": "Linux", "processors": 2}
        self.commit(RunStarted(EARLIER_RUN, "demo", "", "", "", [], {}, None, None, beats=False))
        self.commit(
            RunStarted(
                RUN, "demo", "train", "fit", "night", ["b", "a"], {"rate": 0.5}, commit, host, beats=True
            )
        )
        self.commit(Used(RUN, "demo", "tables", 0, "training"))
        self.commit(Used(RUN, "demo", "tables", 0, "again: it stays as it is"))
        self.push("demo/tables", run=EARLIER_RUN.hex())
        self.commit(Used(RUN, "demo", "tables", 1, ""))
        self.commit(Used(EARLIER_RUN, "demo", "leak", 1, ""))
        (self.sources / "model").write_text("weights")
        self.push("demo/model", type="model", run=RUN.hex())
        self.commit(Used(EARLIER_RUN, "demo", "model", 0, ""))  # would close a circle: skipped by all
        self.commit(RunUpdated(RUN, None, ["late"], {"rate": 0.25}))
        self.commit(RunFinished(RUN, "finished"))
        self.commit(RunFinished(RUN, "failed"))  # it has ended: skipped by all
        (self.sources / "model").unlink()

    def push(self, artifact: str, **options: Any) -> None:
        """Push the sources as they are, a minute after whatever came before."""
        self.clock.sleep(60)
        version = self.store.push([self.sources], artifact, **options)
        entries = described(self.sources)
        self.versions[version.qualified_name] = {"digest": version.digest, "entries": entries}
        if "references" in options:
            self.versions[version.qualified_name]["references"] = REFERENCES

    def commit(self, operation: Operation, *, kind: RecordType = RecordType.COMMIT) -> None:
        """Commit an operation that no public method makes on its own."""
        self.clock.sleep(60)
        self.store._parts.committer.commit([operation], kind=kind)

    def packs(self, kind: PackType) -> list[bytes]:
        """Names of the packs of one type, oldest first."""
        parts = self.store._parts
        with parts.environment.read() as txn:
            return [pack.added.name for pack in parts.packs.all(txn) if pack.added.type == kind]

    def put_rubbish(self) -> None:
        """Fill the next slot as a stranger with write access could: it is void, and the log goes on."""
        slot = self.store._parts.catalog.position().next_slot
        (self.folder / "store" / slot_name(slot)).write_bytes(b"not a record")

    def put_unreadable(self) -> None:
        """Write a record with a good signature whose sealed part does not open: it applies nothing."""
        parts = self.store._parts

        def make(position: Position) -> bytes:
            clear = parts.committer._clear(position, self.randomness.token(16), RecordType.COMMIT, [], None)
            sealed = self.randomness.token(100)
            signed = encode_associated(clear, len(sealed)) + sealed
            return signed + parts.keyring.sign(SIGNING_CONTEXT + signed)

        self.clock.sleep(60)
        parts.log.claim(parts.catalog, make)

    def lineage(self) -> dict[str, Any]:
        """Runs by id: their state, and what they used and produced."""

        def named(node: bytes) -> str:
            version = node_version(node)
            assert version is not None
            return f"{version[0]}:v{version[1]}"

        found: dict[str, Any] = {}
        with self.store._parts.environment.read() as txn:
            for run, row in runs(txn):
                node = run_node(run)
                used = {named(other): edge.role for other, edge in edges(txn, node, UP)}
                made = [named(other) for other, _ in edges(txn, node, DOWN)]
                found[run.hex()] = {"name": row.name, "state": row.state, "used": used, "produced": made}
        return found

    def expected(self) -> dict[str, Any]:
        """What a reader must find."""
        versions = {}
        deleted = [
            f"{version.first_name}:{version.name}"
            for artifact in ("demo/leak", "demo/tables")
            for version in self.store.deleted_versions(artifact)
        ]
        for name, known in self.versions.items():
            if name in deleted:
                continue
            version = self.store.version(name)
            versions[name] = {
                "type": version.type,
                "digest": known["digest"],
                "description": version.description,
                "metadata": version.metadata,
                "aliases": sorted(version.aliases),
                "tags": sorted(version.tags),
                "created_ms": version.created_ns // 1_000_000,
                "entries": known["entries"],
                "references": known.get("references", {}),
            }
        kinds = [entry.kind for entry in self.store.log()][::-1]
        return {
            "zstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
            "store_id": self.store.id,
            "members": [[slot.name, slot.kind, slot.read_only] for slot in self.store.members.slots()],
            "records": kinds,
            "open_pushes": [OPEN_PUSH.hex()],
            "distributed": {OPEN_DISTRIBUTED.hex(): [0], ENDED_DISTRIBUTED.hex(): None},
            "damaged": [self.packs(PackType.PAGE)[0].hex()],
            "deleted": deleted,
            "denied": [file.id for file in self.store.denied_files()],
            "runs": self.lineage(),
            "names": {"shop/sheets": "demo/tables", "demo/sheets": "demo/tables", "shop/leak": "demo/leak"},
            "versions": versions,
        }


def make_swept(folder: Path, work: Path) -> None:
    """Make a store in its second generation, and export a receipt of what its first sweep purged."""
    clock, randomness, sources = Standing(), Seeded(SEED + b" swept"), work / "sources"
    sources.mkdir()
    with Store.create(
        folder / "store",
        key_file=folder / "key",
        cache_dir=work / "cache",
        single_writer=True,
        clock=clock,
        randomness=randomness,
        make_executors=one_thread,
    ) as store:
        started = RunStarted(RUN, "demo", "sweeping", "", "", [], {}, None, None, beats=False)
        store._parts.committer.commit([started])
        for number in range(3):
            clock.sleep(60)
            (sources / "kept.csv").write_bytes(table(2000))
            (sources / "changing.bin").write_bytes(noise(f"swept {number}", 150_000 + number))
            store.push([sources], "demo/swept", run=RUN.hex())
        clock.sleep(60)
        store.delete(["demo/swept:v0"], reason="on request \u2013 by letter", requested_by="Ana", now=True)
        store.delete(["demo/swept:v1"], now=True)
        store.gc(store.plan_gc(), trust_clock=True)
        clock.sleep(60)
        store.add_tags("demo/swept:v2", ["after"])
        (one,) = [one for one in store.receipts.list() if one.reference == "demo/swept:v0"]
        receipt = store.receipts.export(one.id, disclose=["name", "reason", "digest"])
        (folder / "receipt.json").write_bytes(receipt)


def make(folder: Path) -> None:
    """Make store, key file and expectations in an empty folder."""
    randomness = Seeded(SEED + b" hpke")

    def seal_to(public: bytes, plaintext: bytes, info: bytes) -> bytes:
        return seeded_seal(randomness, public, plaintext, info)

    with (
        tempfile.TemporaryDirectory() as work,
        mock.patch("artifactstore.keyring.keyring.seal_to", seal_to),
    ):
        maker = Maker(folder, Path(work))
        maker.run()
        text = json.dumps(maker.expected(), indent=1, ensure_ascii=False) + "\n"
        (folder / "expected.json").write_text(text, encoding="utf-8")
        maker.store.close()
        (folder / "swept").mkdir()
        (Path(work) / "swept").mkdir()
        make_swept(folder / "swept", Path(work) / "swept")
    for store in ("store", "swept/store"):
        for leftover in ("tmp", "probe"):
            shutil.rmtree(folder / store / leftover, ignore_errors=True)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    make(target)
    total = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {total:,} bytes")
