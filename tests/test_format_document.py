"""`docs/format/v1.md` says what the code does: its tables are compared, its examples decoded."""

import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from blake3 import blake3

from artifactstore.catalog.begun import BegunRow, PartRow
from artifactstore.catalog.denied import DeniedRow
from artifactstore.catalog.edges import EdgeRow
from artifactstore.catalog.receipts import DraftPlace, ReceiptRow
from artifactstore.catalog.rows import ArtifactRow, Deletion, SlotRow, VersionRow
from artifactstore.catalog.runs import RunRow
from artifactstore.chunking.chunker import GENERAL, WEIGHTS
from artifactstore.crypto.aead import Aead, counter_nonce
from artifactstore.crypto.derive import hkdf_sha256
from artifactstore.crypto.hashing import keyed_blake3, sha256
from artifactstore.format import (
    keys,
    limits,
    operations,
    pack,
    page,
    receipt,
    record,
    segment,
    state,
)
from artifactstore.keyring.keyfile import KeyPair, load_key_file
from artifactstore.keyring.keyring import Keyring, Secrets, open_under_kek, unlock
from artifactstore.keyring.passphrase import pair_by_passphrase
from artifactstore.keyring.phrase import pair_of_phrase
from artifactstore.keyring.request import KeyRequest, parse_request
from artifactstore.log.merkle import EMPTY_ROOT, append, leaf_of, root_of, void_leaf
from artifactstore.log.records import examine, open_slot
from artifactstore.log.signers import Signers
from artifactstore.pack.names import pack_name
from artifactstore.pack.reader import BlobOpener, PackRef, open_contents

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "format" / "v1.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
STRUCTS: list[type[msgspec.Struct]] = [
    keys.KeysObject,
    keys.SlotKey,
    Secrets,
    record.Clear,
    record.Certificate,
    record.PackAdded,
    record.StateNamed,
    record.Handover,
    operations.Sealed,
    operations.Parameters,
    *get_args(operations.Operation),
    operations.Manifest,
    operations.Source,
    operations.Retention,
    pack.Footer,
    page.Page,
    page.Content,
    page.ListNode,
    segment.Segment,
    state.StateHead,
    state.StateRows,
    state.StatePack,
    ArtifactRow,
    VersionRow,
    Deletion,
    BegunRow,
    PartRow,
    DeniedRow,
    SlotRow,
    RunRow,
    EdgeRow,
    ReceiptRow,
    DraftPlace,
    receipt.Draft,
]
PACK_KEY = bytes(range(0x80, 0xA0))
HELLO, WORLD, DIGITS = b"hello ", b"world", b"0123456789" * 20


def example(name: str) -> str:
    """The text of one example."""
    found = re.search(rf"^<!-- example: {name} -->\n```\w+\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    assert found is not None, name
    return found[1]


def lines(name: str) -> list[bytes]:
    """The bytes of an example, by the comments that begin a part."""
    parts: list[bytes] = []
    for line in example(name).splitlines():
        digits, comment, _ = line.partition(";")
        if comment or not parts:
            parts.append(b"")
        parts[-1] += bytes.fromhex(digits)
    return parts


def octets(name: str) -> bytes:
    """The bytes of an example."""
    return b"".join(lines(name))


def named(name: str) -> dict[str, str]:
    """An example of lines of a name and a value."""
    return dict(line.split() for line in example(name).splitlines())


def tables_after(heading: str) -> list[list[str]]:
    """The cells of the rows of the first table after some text."""
    _, found, rest = TEXT.partition(heading)
    assert found, heading
    table = re.search(r"^\|.*?\n\|[-|]+\|\n((?:\|.*\n)+)", rest, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1].splitlines()]


@pytest.fixture
def pair(tmp_path: Path) -> KeyPair:
    """The key of the examples, from the key file as it is printed."""
    path = tmp_path / "key"
    path.write_text(example("key-file"))
    path.chmod(0o600)
    return load_key_file(path)


@pytest.fixture
def keyring(pair: KeyPair) -> Keyring:
    """The store of the examples, unlocked."""
    store_id = bytes.fromhex(named("kek-key")["store-id"])
    return unlock(octets("keys-object"), store_id, pair, name=example("keys-name").strip())


# --- tables -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_fields(struct: type[msgspec.Struct]) -> None:
    """Each struct has its fields in the order of its table, and is closed where the table says so."""
    config = struct.__struct_config__
    heading = f"**`{struct.__name__}`**, "
    rows = tables_after(heading)
    first = 0 if config.tag is None else 1
    assert [row[0] for row in rows] == [str(first + at) for at in range(len(rows))]
    assert [row[1] for row in rows] == [f"`{field}`" for field in struct.__struct_fields__]
    said = TEXT.partition(heading)[2]
    if config.tag is None:
        assert said.startswith("closed" if config.forbid_unknown_fields else "open")
    else:
        assert said.startswith(f"tag `{config.tag}`")
        assert not config.forbid_unknown_fields
    assert config.array_like


def test_no_struct_is_missing() -> None:
    """Every struct that the document describes is compared."""
    described = re.findall(r"\*\*`(\w+)`\*\*, (?:open|closed|tag)", TEXT)
    assert sorted(described) == sorted(struct.__name__ for struct in STRUCTS)


def test_bounds() -> None:
    """Each bound has the value that the code has."""
    rows = tables_after("Names are those of the code.")
    places = (limits, keys, record)
    for name, value in rows:
        (constant,) = {getattr(place, name[1:-1]) for place in places if hasattr(place, name[1:-1])}
        assert constant == int(value), name


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("| type | record |", record.RecordType),
        ("| type | chunks |", pack.PackType),
        ("| kind | entry |", page.Kind),
        ("| kind | slot key |", keys.SlotKind),
    ],
)
def test_enumerations(header: str, known: Any) -> None:
    """Each number stands for what the code takes it for."""
    before, found, _ = TEXT.partition(header)
    assert found
    rows = tables_after(before[-40:] + header[:0])
    found_words = {int(row[0]): re.split(r"[^a-z ]", row[1])[0].replace(" ", "_") for row in rows}
    for member in known:
        assert found_words[member.value].startswith(member.name.lower()), member
    assert len(found_words) == len(known)


def test_profiles() -> None:
    """Sizes and masks of both profiles are those of the chunker."""
    rows = {row[0]: row[1:] for row in tables_after("Without a cut the chunk ends")}
    for profile in (GENERAL, WEIGHTS):
        sizes = [str(size) for size in (profile.minimum, profile.average, profile.maximum)]
        assert rows[f"`{profile.name}`"][:3] == sizes


# --- keys ---------------------------------------------------------------------------------------------------


def test_key_file(pair: KeyPair) -> None:
    """The key file holds the key `01 02 … 20`."""
    assert pair.private == bytes(range(1, 33))
    assert pair.slot_id == sha256(pair.public)[:16]


def test_keys_object(keyring: Keyring, pair: KeyPair) -> None:
    """The key opens the object, and the secrets are those that the text names."""
    assert keyring.secrets == Secrets(
        bytes(range(0x20, 0x40)), bytes(range(0x40, 0x60)), bytes(range(0x60, 0x80))
    )
    assert keyring.slot_id == pair.slot_id
    assert keyring.signing_key is not None
    assert sha256(keyring.signing_key.public_bytes) == keyring.store_id
    info = b"artifactstore slot\1" + keyring.store_id + bytes(8) + pair.slot_id + b"\0\0"
    assert octets("slot-info") == info


def test_passphrase(keyring: Keyring, pair: KeyPair) -> None:
    """The slot that the example describes gives the private key of the key file, and no other passphrase does."""
    values = {name: bytes.fromhex(value) for name, value in named("passphrase").items()}
    parameters = (bytes(range(16)), 3, 4, 65536, values["commitment"])
    wrapped = values["wrapped-private"]
    slot = keys.SlotKey(pair.slot_id, keys.SlotKind.PASSPHRASE, pair.public, parameters, wrapped, False, b"x")
    words = "correct horse battery staple"
    assert pair_by_passphrase(slot, keyring.store_id, words) == pair
    assert pair_by_passphrase(slot, keyring.store_id, words + " ") is None
    context = b"artifactstore passphrase slot\1" + keyring.store_id + pair.public
    assert Aead(values["wrapping-key"]).open(bytes(12), wrapped, context) == pair.private


def test_recovery_phrase_and_request(pair: KeyPair) -> None:
    """A phrase gives the key that is printed with it; the line holds the public key of the key file."""
    printed = named("recovery")
    found = pair_of_phrase(printed["phrase"])
    assert found is not None
    assert found.private.hex() == printed["private"]
    assert parse_request(example("request")) == KeyRequest("ana", pair.public)


def test_subkeys(keyring: Keyring) -> None:
    """Each subkey is derived with the info string of the table."""
    subkeys = named("subkeys")
    secret = keyring.secrets.store_secret
    for kind in ("data", "page", "list", "index", "state"):
        derived = hkdf_sha256(secret, salt=b"", info=b"artifactstore cid " + kind.encode())
        assert subkeys[kind] == derived.hex() == keyring.cid_key(kind).hex()
    assert subkeys["seed"] == f"{keyring.chunker_seed():016x}"
    info = b"\1" + keyring.store_id + bytes(8) + b"record"
    assert named("kek-key")["key"] == hkdf_sha256(keyring.kek, salt=bytes(range(32)), info=info).hex()


# --- records ------------------------------------------------------------------------------------------------


def test_records(keyring: Keyring) -> None:
    """Both records verify and open; the first makes the store, the second the version of the examples."""
    first = open_slot(octets("record-0"), 0, EMPTY_ROOT, 0, keyring, Signers(keyring.store_id))
    assert first.clear is not None
    assert first.sealed is not None
    assert first.sealed.parameters == operations.Parameters(65536, 262144, 1, 32 << 20, 256 << 10)
    assert [f"keys/{name.hex()}" for name in first.clear.keys] == [example("keys-name").strip()]
    second = open_slot(octets("record-1"), 1, root_of([first.leaf]), 0, keyring, Signers(keyring.store_id))
    assert second.clear is not None
    assert second.sealed is not None
    assert pack_name(second.clear.packs[0].name) == example("pack-name").strip()
    assert second.sealed.pack_keys == [PACK_KEY]
    assert second.sealed.rows == [octets("segment")]
    (push,) = second.sealed.operations
    assert isinstance(push, operations.Push)
    assert (push.project, push.name, push.aliases) == ("demo", "docs", ["prod"])
    assert push.manifest.cid.hex() == named("page-names")["cid"]
    assert push.manifest.digest.hex() == named("page-names")["digest"]
    assert push.manifest.chunks.hex() == named("page-names")["chunks"]
    assert [commitment.hex() for commitment in second.clear.committed] == [named("commitment")["commitment"]]


def test_a_record_of_the_examples_is_void_elsewhere(keyring: Keyring) -> None:
    """In another slot, another store or with a bit changed, it is void."""
    data = octets("record-1")
    assert examine(data, 1, Signers(keyring.store_id)) is not None
    assert examine(data, 2, Signers(keyring.store_id)) is None
    assert examine(data, 1, Signers(bytes(32))) is None
    assert examine(data[:-1] + bytes([data[-1] ^ 1]), 1, Signers(keyring.store_id)) is None


def test_sealed_parts_by_their_lines(keyring: Keyring) -> None:
    """The annotated parts of a record are what their comments say, and the printed sealed part is inside."""
    head, salt, ciphertext, signature = lines("record-0")[:6], *lines("record-0")[-3:]
    associated = b"".join(head) + lines("record-0")[6]
    sealed = salt + ciphertext
    assert len(signature) == 64
    opened = open_under_kek(keyring.kek, keyring.store_id, 0, "record", sealed, associated)
    assert opened == octets("sealed")
    assert operations.decode_sealed(opened, "example").member == keyring.slot_id


def test_merkle(keyring: Keyring) -> None:
    """Leaves and roots follow from the records."""
    leaves = [leaf_of(octets("record-0")), leaf_of(octets("record-1")), void_leaf(2)]
    frontier: list[bytes] = []
    for size, leaf in enumerate(leaves):
        frontier = append(frontier, size, leaf)
    assert named("merkle") == {
        "empty": EMPTY_ROOT.hex(),
        "leaf-0": leaves[0].hex(),
        "leaf-1": leaves[1].hex(),
        "void-2": leaves[2].hex(),
        "root-3": root_of(frontier).hex(),
    }
    head = state.decode_head(octets("state-head"), "example")
    assert (head.store_id, head.prefix, head.frontier) == (keyring.store_id, 3, frontier)


def test_operations() -> None:
    """Each small operation decodes to what its comment says."""
    decoded = [msgspec.msgpack.decode(part, type=operations.Operation) for part in lines("operations")]
    push_id = bytes(range(16))
    assert decoded == [
        operations.Alias("demo", "docs", 0, ["prod"]),
        operations.Alias("demo", "docs", None, ["prod"]),
        operations.Alias("demo", "docs", 1, ["prod"], [0]),
        operations.Describe("demo", "docs", 0, None, {"rows": 3}, ["raw"], False),
        operations.Rename("demo", "docs", "demo", "texts"),
        operations.Rename("demo", None, "shop", None),
        operations.Tag("demo", "docs", 0, ["raw"], []),
        operations.Delete("demo", "docs", [0], False, False, "asked", "me"),
        operations.Undelete("demo", "docs", [0]),
        operations.Pending(push_id),
        operations.PendingDone(push_id),
        operations.Begin(push_id, "demo", "docs", "dataset", 8, None, None, ["prod"], []),
        operations.PartDropped(push_id, [3]),
        operations.Ended(push_id, True),
        operations.Damage([bytes.fromhex(example("pack-name").strip().rpartition("/")[2])], []),
        operations.Adopt(3, bytes.fromhex(named("merkle")["root-3"])),
        operations.SlotAdded(bytes.fromhex("aaa8fff703b50b2297f4f6e13508f724"), "ana"),
    ]


# --- packs and what lies in them ------------------------------------------------------------------------------


def test_pack(keyring: Keyring) -> None:
    """Header, blobs, footer and trailer open with the pack's key and hold the three chunks."""
    data = octets("pack")
    parts = lines("pack")
    assert pack_name(sha256(data)) == example("pack-name").strip()
    pack.check_header(data, keyring.store_id, pack.PackType.DATA, "example")
    ref = PackRef(sha256(data), pack.PackType.DATA, len(data), PACK_KEY)
    footer, trailer = parts[8], b"".join(parts[9:])
    assert pack.trailer_length(data[-12:], "example") == (len(trailer), len(footer))
    chunks = open_contents(footer, trailer, keyring.store_id, ref)
    opener = BlobOpener(keyring.store_id, ref)
    found = []
    for chunk in chunks:
        blob = chunk.blob
        sealed = data[blob.offset : blob.offset + blob.length]
        raw = opener.open(sealed, chunk.ordinal, blob.codec, blob.raw_length)
        found.append(raw[chunk.start : chunk.start + chunk.length])
    assert found == [HELLO, WORLD, DIGITS]
    key = keyring.cid_key("data")
    assert [chunk.cid for chunk in chunks] == [keyed_blake3(key, part) for part in found]
    assert [chunk.blob.codec for chunk in chunks] == [0, 0, 1]


def test_associated_data(keyring: Keyring) -> None:
    """The 47 bytes that bind blob 1 open it, and the footer's plaintext is the one printed."""
    assert octets("aad") == pack.blob_aad(keyring.store_id, pack.PackType.DATA, 1, 1, 200)
    parts = lines("pack")
    aead = Aead(PACK_KEY)
    assert aead.open(counter_nonce(1), parts[7], octets("aad"))[:4] == b"\x28\xb5\x2f\xfd"
    footer = octets("footer")
    aad = pack.blob_aad(keyring.store_id, pack.PackType.DATA, 0xFFFFFFFF, 0, len(footer))
    assert aead.open(b"\xff" * 12, parts[8], aad) == footer


def test_page(keyring: Keyring) -> None:
    """The page holds the four entries that the text names, under the digest and cid that it prints."""
    data = octets("page")
    found = page.decode_page(data, "example")
    assert named("page-names") == {
        "digest": page.page_digest(found.identities).hex(),
        "cid": keyed_blake3(keyring.cid_key("page"), data).hex(),
        "chunks": page.page_chunks(found.contents).hex(),
    }
    assert found.identities == [
        ("docs/a.txt", page.Kind.FILE, 11, blake3(HELLO + WORLD).digest(), 0),
        ("docs/b", page.Kind.SYMLINK, 5, blake3(b"a.txt").digest(), 0),
        ("empty", page.Kind.FOLDER, 0, blake3(b"").digest(), 0),
        ("run", page.Kind.FILE, 200, blake3(DIGITS).digest(), page.EXECUTABLE),
    ]
    node = page.decode_list(octets("list"), 1, 11, "example")
    assert (node.cids, node.sizes) == (found.contents[0].cids, found.contents[0].sizes)


def test_segment() -> None:
    """The rows say where the three chunks of the pack lie."""
    found = segment.decode_segment(octets("segment"), "example")
    assert [pack_name(name) for name in found.packs] == [example("pack-name").strip()]
    rows = list(segment.ROW.iter_unpack(found.rows))
    places = sorted(segment.Location(*row[1:]) for row in rows)
    assert places == [
        (0, 0, 48, 27, 11, 0, 0, 6),
        (0, 0, 48, 27, 11, 0, 6, 5),
        (0, 1, 75, 42, 200, 1, 0, 200),
    ]
    assert segment.decode_fan_out(octets("fan-out"), "example") == [found.rows[:16]]


def test_state_rows() -> None:
    """Each line is rows of the table in its comment, and they are what applying record 1 makes."""
    comments = re.findall(r"; (\w+)$", example("state-rows"), re.MULTILINE)
    parts = [state.decode_rows(part, "example") for part in lines("state-rows")]
    assert [part.table for part in parts] == comments
    assert [part.key for part in parts[0].packs] == [PACK_KEY]
    artifact = msgspec.msgpack.decode(parts[1].rows[0][1], type=ArtifactRow)
    assert (parts[1].rows[0][0], artifact.next_number, artifact.newest) == (b"demo\0docs", 1, 0)
    version = msgspec.msgpack.decode(parts[2].rows[0][1], type=VersionRow)
    assert parts[2].rows[0][0] == b"demo\0docs\0" + bytes(8)
    assert version.manifest.digest.hex() == named("page-names")["digest"]
    assert parts[3].rows == [(b"demo\0docs\0latest", bytes(8)), (b"demo\0docs\0prod", bytes(8))]
