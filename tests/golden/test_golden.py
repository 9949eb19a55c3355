"""The golden store: made again it has the same bytes, and a reader that knows only the document extracts it."""

import ast
import hmac
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import zstandard

from artifactstore import Store, audit, verify_receipt
from tests.golden import lineage, make, naming, reader, unlocking
from tests.receipts import verifier

EXPECTED: dict[str, Any] = json.loads((make.GOLDEN / "expected.json").read_text(encoding="utf-8"))


def opened(folder: Path = make.GOLDEN / "store", *, from_state: bool = False) -> reader.Reader:
    private = reader.private_key((make.GOLDEN / "key").read_bytes())
    return reader.Reader(folder, private, from_state=from_state)


def read_everything(folder: Path) -> None:
    found = opened(folder)
    for pack in found.packs.values():
        found.read_pack(pack)


def objects(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_made_again_it_has_the_same_bytes(tmp_path: Path) -> None:
    """A change of the format shows here; it is then made again by `make.py`, in the commit that changes it."""
    if EXPECTED["zstd"] != ".".join(map(str, zstandard.ZSTD_VERSION)):
        pytest.skip("another release of zstd compresses to other bytes")
    make.make(tmp_path)
    made, golden = objects(tmp_path), objects(make.GOLDEN)
    assert sorted(made) == sorted(golden)
    assert [name for name in golden if made[name] != golden[name]] == []


def test_the_reader_knows_nothing_of_the_library() -> None:
    """It imports the standard library and four packages, so that it is evidence for the document."""
    trees = [
        ast.parse(Path(part.__file__).read_text(encoding="utf-8"))
        for part in (reader, unlocking, lineage, naming)
    ]
    imported = {
        name if name.startswith("tests") else name.split(".")[0]
        for tree in trees
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    foreign = {"blake3", "cryptography", "msgpack", "zstandard"}
    standard = {
        "base64",
        "collections",
        "hashlib",
        "hmac",
        "itertools",
        "pathlib",
        "re",
        "struct",
        "sys",
        "typing",
    }
    standard |= {"unicodedata", "tests.golden.unlocking", "tests.golden.lineage", "tests.golden.naming"}
    assert imported == foreign | standard


@pytest.mark.parametrize("from_state", [False, True])
def test_the_reader_finds_the_catalog(from_state: bool) -> None:
    """Versions, aliases, tags and metadata are what was pushed, from record 0 and from the state alike."""
    found = opened(from_state=from_state)
    expected: dict[str, Any] = EXPECTED["versions"]
    rows = found.references()
    assert sorted(rows) == sorted(expected)
    for name, known in expected.items():
        manifest, description, metadata, tags, created_ms = rows[name][:5]
        project, _, rest = name.partition("/")
        artifact, _, number = rest.partition(":v")
        prefix = f"{project}\0{artifact}".encode()
        aliases = [
            key[len(prefix) + 1 :].decode()
            for key, at in found.aliases.items()
            if key.startswith(prefix + b"\0") and at == int(number)
        ]
        actual = {
            "type": found.artifacts[prefix][0],
            "digest": manifest[2].hex(),
            "description": description,
            "metadata": metadata,
            "aliases": sorted(aliases),
            "tags": tags,
            "created_ms": created_ms,
        }
        assert actual == {key: known[key] for key in actual}
    assert sorted({push[:16].hex() for push in found.pending}) == EXPECTED["open_pushes"]
    distributed = {
        push.hex(): None
        if row[11] is not None
        else [int.from_bytes(key[16:], "big") for key in found.parts if key[:16] == push]
        for push, row in found.begun.items()
    }
    assert distributed == EXPECTED["distributed"]
    assert [name.hex() for name in found.damaged] == EXPECTED["damaged"]
    assert sorted(found.references(deleted=True)) == EXPECTED["deleted"]
    assert sorted(file.hex() for file in found.denied) == EXPECTED["denied"]
    assert {name: found.names.first(*name.split("/")).decode() for name in EXPECTED["names"]} == {
        name: first.replace("/", "\0") for name, first in EXPECTED["names"].items()
    }
    assert found.store_id.hex() == EXPECTED["store_id"]
    assert found.kinds == EXPECTED["records"][len(EXPECTED["records"]) - len(found.kinds) :]


def test_state_and_replay_agree() -> None:
    """Last state plus tail equals step by step, as an independent reader sees it."""
    whole, short = opened(), opened(from_state=True)
    assert 0 < len(short.kinds) < len(whole.kinds)
    for name in (
        "packs",
        "places",
        "artifacts",
        "versions",
        "aliases",
        "pending",
        "begun",
        "parts",
        "damaged",
        "slots",
        "denied",
        "links",
        "parameters",
        "index_packs",
    ):
        assert getattr(short, name) == getattr(whole, name), name
    assert short.frontier.root() == whole.frontier.root()
    assert vars(short.lineage) == vars(whole.lineage)
    assert short.names.rows == whole.names.rows


def test_the_reader_finds_runs() -> None:
    """What each used and produced, a circle left out; from record 0, since the state is compared with that."""
    found = opened().lineage
    known: dict[str, Any] = {
        run.hex(): {"name": row[1], "state": row[9], "used": {}, "produced": []}
        for run, row in found.runs.items()
    }

    def version(node: bytes) -> str:
        return f"{node[1:-9].decode().replace(chr(0), '/')}:v{int.from_bytes(node[-8:], 'big')}"

    for key, (_slot, role) in sorted(found.edges.items()):
        if key[:1] == b"r":
            run, direction, other = known[key[1:17].hex()], key[17:18], version(key[18:])
            if direction == b"<":
                run["used"][other] = role
            else:
                run["produced"].append(other)
    assert known == EXPECTED["runs"]
    assert [sum(len(run[what]) for run in known.values()) for what in ("used", "produced")] == [3, 2]


def test_purged_versions_stay_in_the_lineage_without_their_names() -> None:
    """Two of three were purged; the reader finds what is left of them by the hash of their artifact's name."""
    found = swept()
    key = reader.derive(found.store_secret, b"", b"artifactstore name")
    hidden = hmac.digest(key, b"demo\0swept", "sha256")
    nodes = {b"x" + hidden + number.to_bytes(8, "big") for number in (0, 1)}
    nodes.add(b"vdemo\0swept\0" + bytes(7) + b"\2")
    run = b"r" + make.RUN
    assert set(found.lineage.edges) == {run + b">" + node for node in nodes} | {
        node + b"<" + run for node in nodes
    }


def test_tiles_hold_what_the_slots_do() -> None:
    """Merkle and data tiles are as the document says, a void slot among theirs."""
    store = make.GOLDEN / "store"
    records = [
        None if kind == "void" else (store / f"log/{slot:016d}").read_bytes()
        for slot, kind in enumerate(opened().kinds)
    ]
    leaves = [
        reader.sha256(b"\2" + slot.to_bytes(8, "big") if data is None else b"\0" + data)
        for slot, data in enumerate(records[:256])
    ]
    tiles = {"tree/0/0": b"".join(leaves)}
    for number in range(4):
        held = records[64 * number : 64 * (number + 1)]
        lengths = (2**32 - 1 if data is None else len(data) for data in held)
        tiles[f"tree/data/{number}"] = struct.pack(">64I", *lengths) + b"".join(data or b"" for data in held)
    assert None in records
    assert {name: data for name, data in objects(store).items() if name.startswith("tree/")} == tiles


@pytest.mark.parametrize("name", sorted(EXPECTED["versions"]))
def test_the_reader_extracts_every_version(tmp_path: Path, name: str) -> None:
    """Every byte, executable bit, link and empty folder comes back, and the version's digest with it."""
    opened(from_state=True).extract(name, tmp_path / "out")
    assert make.described(tmp_path / "out") == EXPECTED["versions"][name]["entries"]


@pytest.mark.parametrize("name", sorted(EXPECTED["versions"]))
def test_the_reader_finds_every_reference(name: str) -> None:
    """Where it points, how large it is and how to know it again."""
    found = opened(from_state=True)
    entries = found.entries(found.references()[name][0])
    said = {one.path: found.reference(one) for one in entries if one.kind == reader.REFERENCE}
    assert said == EXPECTED["versions"][name]["references"]


def test_it_holds_one_of_each() -> None:
    """The golden store exercises the whole format: all pack types, both codecs, levels above the leaves, lists."""
    found = opened()
    assert {pack.type for pack in found.packs.values()} == {1, 2, 3, 4, 5}
    codecs = {place.codec for places in found.places.values() for place in places}
    assert codecs == {0, 1}
    manifests = [row[0] for row in found.references().values()]
    assert {manifest[1] for manifest in manifests} == {0, 1}
    entries = [entry for manifest in manifests for entry in found.entries(manifest)]
    assert {entry.kind for entry in entries} == {
        reader.FILE,
        reader.SYMLINK,
        reader.FOLDER,
        reader.REFERENCE,
    }
    assert {entry.flags for entry in entries} == {0, 1}
    assert {entry.depth for entry in entries} == {0, 1}
    assert max(len(entry.cids) for entry in entries if entry.depth == 0) > 1


def test_the_reader_opens_it_by_passphrase() -> None:
    """What the document says of passphrases is enough to unlock by one; another opens nothing."""
    by_key = opened(from_state=True)
    private = unlocking.private_by_passphrase(by_key.keys_object(), by_key.store_id, make.PASSPHRASE)
    by_passphrase = reader.Reader(make.GOLDEN / "store", private, from_state=True)
    assert by_passphrase.versions == by_key.versions
    named = [row[0] for row in by_passphrase.slots.values()]
    assert sorted(named) == sorted(name for name, *_ in EXPECTED["members"] if name)
    with pytest.raises(reader.Refused):
        unlocking.private_by_passphrase(by_key.keys_object(), by_key.store_id, make.PASSPHRASE + "x")


def test_the_library_opens_it_by_passphrase(tmp_path: Path) -> None:
    """This release unlocks the golden store by its passphrase and finds the members that were added."""
    shutil.copytree(make.GOLDEN / "store", tmp_path / "store")
    with Store.open(tmp_path / "store", passphrase=make.PASSPHRASE, cache_dir=tmp_path / "cache") as store:
        found = [[slot.name, slot.kind, slot.read_only] for slot in store.members.slots()]
        assert found == EXPECTED["members"]
        assert store.version("demo/tables:v0").digest == EXPECTED["versions"]["demo/tables:v0"]["digest"]


@pytest.mark.parametrize("kind", ["keys", "log", "packs"])
def test_the_reader_refuses_altered_objects(tmp_path: Path, kind: str) -> None:
    """A flipped bit in any object but the last record is refused; the independent reader verifies for real."""
    shutil.copytree(make.GOLDEN / "store", tmp_path / "store")
    targets = sorted(path for path in (tmp_path / "store" / kind).rglob("*") if path.is_file())
    # A void slot and what nothing after it vouches for have no bytes that count.
    passed = {"log/0000000000000004", f"log/{len(EXPECTED['records']) - 1:016d}"}
    # Beyond the first records all are alike.
    for path in targets[:20] + targets[20::20]:
        if path.relative_to(tmp_path / "store").as_posix() in passed:
            continue
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(reader.Refused):
            read_everything(tmp_path / "store")
        path.write_bytes(data)


def test_the_library_reads_it(tmp_path: Path) -> None:
    """This release opens the golden store, finds nothing wrong with it, and pulls what was pushed."""
    shutil.copytree(make.GOLDEN / "store", tmp_path / "store")
    shutil.copy(make.GOLDEN / "key", tmp_path / "key")
    (tmp_path / "key").chmod(0o600)
    with Store.open(tmp_path / "store", key_file=tmp_path / "key", cache_dir=tmp_path / "cache") as store:
        # The one record that was made not to open.
        assert [one.object for one in store.check(read_data=True).problems] == ["log/0000000000000007"]
        assert [entry.kind for entry in store.log()][::-1] == EXPECTED["records"]
        for number, (name, known) in enumerate(EXPECTED["versions"].items()):
            version = store.version(name)
            assert version.digest == known["digest"]
            assert sorted(version.tags) == known["tags"]
            pulled = store.pull(name, tmp_path / f"out{number}", references=False)
            assert pulled.references_left == len(known["references"])
            said = {
                one.path: [
                    one.reference.url,
                    one.reference.size_bytes,
                    one.reference.checksum,
                    one.reference.version,
                ]
                for one in version.files()
                if one.reference is not None
            }
            assert said == known["references"]
            assert make.described(tmp_path / f"out{number}") == known["entries"]
        hidden = [*store.deleted_versions("demo/leak"), *store.deleted_versions("demo/tables")]
        assert [f"{one.first_name}:{one.name}" for one in hidden] == EXPECTED["deleted"]
        assert [file.id for file in store.denied_files()] == EXPECTED["denied"]


# --- the store in its second generation -----------------------------------------------------------------------------


def swept() -> reader.Reader:
    private = reader.private_key((make.GOLDEN / "swept" / "key").read_bytes())
    return reader.Reader(make.GOLDEN / "swept" / "store", private, from_state=True)


def test_the_reader_opens_a_store_that_was_swept(tmp_path: Path) -> None:
    """From the state of the sweep on: what was purged is not there, what was kept comes back whole."""
    found = swept()
    assert list(found.references()) == ["demo/swept:v2"]
    assert found.references(deleted=True) == {}
    assert found.kinds[:2] == ["sweep", "erased"]
    assert sorted(found.certificates) == [0, 1]
    found.extract("demo/swept:v2", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["changing.bin", "kept.csv"]
    # All objects of the first generation are gone, but for the packs that live on in the second.
    named = {f"packs/{pack.name.hex()[:2]}/{pack.name.hex()}" for pack in found.packs.values()}
    there = {name for name in objects(make.GOLDEN / "swept" / "store") if name.startswith("packs/")}
    assert there == named


def test_the_reader_finds_the_receipts() -> None:
    """Their drafts are what the sweep has committed to."""
    drafts = list(swept().drafts())
    assert sorted((draft[2], draft[3]) for draft, _ in drafts) == [("swept", 0), ("swept", 1)]
    reasons = {draft[3]: tuple(draft[9:11]) for draft, _ in drafts}
    assert reasons == {0: ("on request \u2013 by letter", "Ana"), 1: ("", "")}


def test_the_golden_receipt_is_good() -> None:
    """For the library, and for the verifier that knows only the document; a receipt once handed out must stay so."""
    data = (make.GOLDEN / "swept" / "receipt.json").read_bytes()
    ours, theirs = verify_receipt(data), verifier.verify(data)
    assert ours.shown == theirs["shown"]
    assert ours.shown["reason"] == "on request \u2013 by letter"
    assert (ours.gone, ours.shared, ours.unread) == tuple(theirs["counts"].values())
    assert ours.shared > 0 < ours.gone


def test_the_library_audits_the_golden_receipt(tmp_path: Path) -> None:
    """Against the bucket as it lies here."""
    shutil.copytree(make.GOLDEN / "swept" / "store", tmp_path / "store")
    data = (make.GOLDEN / "swept" / "receipt.json").read_bytes()
    report = audit(tmp_path / "store", cache_dir=tmp_path / "cache", receipt=data, read_data=True)
    assert (report.problems, report.generation) == ((), 1)
