"""An independent reader of format v1, written from `docs/format/v1.md` alone.

It imports nothing of the library: where both agree on a golden store, the document says what the library does.
It is meant to be read beside the document, favours plainness over speed, and holds whole files in memory.
It reads the current generation, from the state of its sweep on where there was one. What does not verify raises
`Refused`.

    python -m tests.golden.reader STORE KEY_FILE                         list the versions
    python -m tests.golden.reader STORE KEY_FILE PROJECT/NAME:vN FOLDER  extract one
"""

import hmac
import re
import struct
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgpack  # type: ignore[import-untyped]
import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.golden.lineage import Lineage
from tests.golden.naming import Names
from tests.golden.unlocking import (
    SUITE,
    Refused,
    derive,
    private_key,
    require,
    sha256,
    unlock,
    unpack,
    unseal,
)

DATA, PAGE, LIST, INDEX, STATE = 1, 2, 3, 4, 5
RECORD_TYPES = {0: "create", 1: "commit", 2: "pending", 3: "sweep", 4: "intent", 5: "erased", 6: "adopt"}
TYPE_NAMES = {DATA: "data", PAGE: "page", LIST: "list", INDEX: "index", STATE: "state", 6: "receipt"}
FILE, SYMLINK, FOLDER, REFERENCE, PAGE_ENTRY = 1, 2, 3, 4, 5
REFERENCE_URL = re.compile(r"[a-z][a-z0-9+.-]{0,31}://[^/?#\s@]*(/[^\s#]*)?")
BLOB_RAW_MAX, PACK_MAX, RECORD_MAX = 4 << 20, 64 << 20, 16 << 20
AAD = struct.Struct(">B32sBIBI")
ROW = struct.Struct(">16sIIIIIBII")


class Frontier:
    """RFC 6962 over the slots so far: the roots of the whole subtrees, largest first."""

    def __init__(self, size: int = 0, roots: tuple[bytes, ...] = ()) -> None:
        require(len(roots) == size.bit_count(), "the frontier has another number of subtrees")
        self.size = size
        self.roots = list(roots)

    def append(self, leaf: bytes) -> None:
        size = self.size
        while size & 1:
            leaf = sha256(b"\1" + self.roots.pop() + leaf)
            size >>= 1
        self.roots.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.roots:
            return sha256(b"")
        root = self.roots[-1]
        for subtree in self.roots[-2::-1]:
            root = sha256(b"\1" + subtree + root)
        return root


CLEAR_FIELDS = re.findall(
    r"\w+",
    "store_id slot root operation type generation certificate packs condemned committed purged keys state "
    "state_slot sweep_slot time_ms features handover erased",
)
SEALED_FIELDS = ["member", "pack_keys", "rows", "operations", "parameters", "index_packs"]
Fields = dict[str, Any]


def split_record(data: bytes) -> tuple[bytes, bytes, bytes]:
    """(header and clear part, sealed part, signature); refuses what is no record."""
    require(80 <= len(data) <= RECORD_MAX, "a record of an impossible length")
    magic, version, suite, zero, clear, sealed = struct.unpack(">4sHBBII", data[:16])
    require((magic, version, suite, zero) == (b"ASTR", 1, 1, 0), "not a record of format 1, suite 1")
    require(16 + clear + sealed + 64 == len(data), "the lengths of a record contradict its size")
    return data[: 16 + clear], data[16 + clear : -64], data[-64:]


def handed_over(before: bytes, store_id: bytes, generation: int, certificate: list[Any]) -> bool:
    """Whether the key before handed over to that of a generation."""
    public, slot, signature = certificate
    numbers = generation.to_bytes(8, "big") + slot.to_bytes(8, "big")
    message = b"artifactstore handover v1\0" + store_id + numbers + public
    try:
        Ed25519PublicKey.from_public_bytes(before).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def verified_clear(
    data: bytes, slot: int, store_id: bytes, known: dict[int, list[Any]] | None = None
) -> Fields | None:
    """The clear part, or None where the slot is void; without certificates that are known, later ones count too."""
    try:
        head, _, signature = split_record(data)
        clear = dict(zip(CLEAR_FIELDS, unpack(head[16:]), strict=False))
        require(len(clear) == len(CLEAR_FIELDS), "fields are missing")
        require((clear["store_id"], clear["slot"]) == (store_id, slot), "of another store or slot")
        require((clear["type"] == 0) == (slot == 0), "record 0 makes the store, and no other")
        require(
            (clear["type"] == 3) == (clear["handover"] is not None), "a sweep hands over, and nothing else"
        )
        public, certified_at, handover = clear["certificate"]
        signer = clear["generation"] - (clear["type"] == 3)
        if signer == 0:
            require(sha256(public) == store_id, "signed by another key")
            require((certified_at, handover) == (0, b""), "of another generation")
        elif known:
            require(known.get(signer) == clear["certificate"], "signed by another key")
        if clear["handover"] is not None:
            certificate = [clear["handover"][0], slot, clear["handover"][1]]
            good = handed_over(public, store_id, clear["generation"], certificate)
            require(good, "a handover that does not verify")
        message = b"artifactstore record v1\0" + data[:-64]
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (Refused, InvalidSignature, ValueError, TypeError):
        return None
    require(not clear["features"], f"needs {clear['features']}")
    require(clear["type"] in RECORD_TYPES, "a record of an unknown type")
    require(all(pack[1] in TYPE_NAMES for pack in clear["packs"]), "a pack of an unknown type")
    return clear


# --- the store --------------------------------------------------------------------------------------------------


class Pack(NamedTuple):
    """A registered pack."""

    name: bytes
    type: int
    size: int
    key: bytes


class Place(NamedTuple):
    """Where a chunk lies."""

    pack: bytes
    ordinal: int
    offset: int
    length: int
    raw_length: int
    codec: int
    start: int
    span: int


class Entry(NamedTuple):
    """One path of a version."""

    path: str
    kind: int
    size: int
    digest: bytes
    flags: int
    depth: int
    cids: list[bytes]
    sizes: list[int]
    target: str
    held: bytes


def split_cids(joined: bytes) -> list[bytes]:
    """Concatenated cids, apart."""
    return [joined[at : at + 32] for at in range(0, len(joined), 32)]


def chunks_root(joined: bytes, below: list[tuple[bytes, bytes]]) -> bytes:
    """What stands for the chunks of a node: its data chunks, and cid and root of each node below."""
    prefixes = [cid[:16] for cid in split_cids(joined)]
    said = b"artifactstore chunks v1\0" + len(prefixes).to_bytes(4, "big") + b"".join(prefixes)
    return sha256(said + b"".join(cid[:16] + root for cid, root in below))


def commitment(push: list[Any]) -> bytes:
    """What a record says in clear of a push or a successor."""
    tag, project, name, _kind_or_number, manifest, *rest = push
    cid, _level, digest, _size, _entries, chunks = manifest[:6]
    values = [project.encode(), name.encode(), digest, cid, cid[:16] + chunks]
    hashes = b""
    for field, value in zip(("project", "name", "digest", "page", "chunks"), values, strict=True):
        salt = hmac.digest(
            rest[7 if tag == "push" else 3], b"artifactstore commitment salt\0" + field.encode(), "sha256"
        )
        hashes += sha256(b"artifactstore commitment field\0" + salt + value)
    return sha256(b"artifactstore commitment v1\0" + hashes)


class Reader:
    """One store, unlocked with a key and replayed to its head.

    Args:
        folder: The store's objects.
        private: The slot key's private half.
        from_state: Start from the newest state instead of record 0.
    """

    def __init__(self, folder: Path, private: bytes, *, from_state: bool = False) -> None:
        self.folder = folder
        self.packs: dict[bytes, Pack] = {}
        self.places: dict[bytes, dict[Place, None]] = {}
        self.artifacts: dict[bytes, list[Any]] = {}
        self.versions: dict[bytes, list[Any]] = {}
        self.aliases: dict[bytes, int] = {}
        self.pending: dict[bytes, int] = {}
        self.begun: dict[bytes, list[Any]] = {}
        self.parts: dict[bytes, list[Any]] = {}
        self.damaged: dict[bytes, int] = {}
        self.slots: dict[bytes, list[Any]] = {}
        self.denied: dict[bytes, list[Any]] = {}
        self.names = Names()
        self.links: dict[bytes, bytes] = {}
        self.receipts: dict[bytes, list[Any]] = {}
        self.lineage = Lineage()
        self.certificates: dict[int, list[Any]] = {}
        self.kinds: list[str] = []
        self.index_packs: list[bytes] = []
        self.parameters: list[int] | None = None
        self._opened: dict[bytes, bytes] = {}
        first = self.object("log/" + "0" * 16)
        head, _, _ = split_record(first)
        self.store_id = sha256(unpack(head[16:])[CLEAR_FIELDS.index("certificate")][0])
        clear = verified_clear(first, 0, self.store_id)
        if clear is None:
            raise Refused("record 0 does not verify")
        last = self._last()
        keys = self.named_keys(last["keys"][0])
        self.store_secret, self.kek, _ = unlock(keys, self.store_id, private, last["generation"])
        self.frontier = Frontier()
        if from_state:
            self._load_state()
        self._replay()

    def keys_object(self) -> bytes:
        """The current keys object."""
        return self.named_keys(self._last()["keys"][0])

    def _last(self) -> Fields:
        """The clear part of the last valid record."""
        for path in sorted(self.folder.glob("log/*"), reverse=True):
            clear = verified_clear(path.read_bytes(), int(path.name), self.store_id)
            if clear is not None:
                return clear
        raise Refused("no record is valid")

    def named_keys(self, name: bytes) -> bytes:
        """The keys object of that name."""
        data = self.object(f"keys/{name.hex()}")
        require(sha256(data) == name, "a keys object that is not what its name says")
        return data

    def object(self, name: str) -> bytes:
        """The bytes of an object."""
        return (self.folder / name).read_bytes()

    def pack_bytes(self, pack: Pack) -> bytes:
        """The bytes of a pack's object."""
        return self.object(f"packs/{pack.name.hex()[:2]}/{pack.name.hex()}")

    # --- the log ------------------------------------------------------------------------------------------------

    def _replay(self) -> None:
        while (self.folder / f"log/{self.frontier.size:016d}").exists():
            slot = self.frontier.size
            data = self.object(f"log/{slot:016d}")
            record = self._open(slot, data)
            if record is not None and slot == 0:
                self._take_certificate(0, record[0]["certificate"])
            if record is None:
                self.frontier.append(sha256(b"\2" + slot.to_bytes(8, "big")))
                self.kinds.append("void")
                continue
            clear, sealed = record
            require(clear["root"] == self.frontier.root(), f"slot {slot} was signed over other records")
            self.frontier.append(sha256(b"\0" + data))
            self.kinds.append(RECORD_TYPES[clear["type"]])
            if clear["type"] == 3:
                self._take_certificate(
                    clear["generation"], [clear["handover"][0], slot, clear["handover"][1]]
                )
            for name in clear["keys"]:
                self.named_keys(name)
            if sealed is not None:
                self._apply(slot, clear, sealed)

    def _open(self, slot: int, data: bytes) -> tuple[Fields, Fields | None] | None:
        """The clear and the sealed part; None for a void slot, no sealed part where it applies nothing."""
        clear = verified_clear(data, slot, self.store_id, self.certificates)
        if clear is None:
            return None
        head, sealed, _ = split_record(data)
        context = SUITE + self.store_id + clear["generation"].to_bytes(8, "big") + b"record"
        try:
            plain = unseal(derive(self.kek, sealed[:32], context), bytes(12), sealed[32:], head)
            fields = dict(zip(SEALED_FIELDS, unpack(plain), strict=False))
            require(len(fields) == len(SEALED_FIELDS), "fields are missing")
            require(len(fields["pack_keys"]) == len(clear["packs"]), "not one key a pack")
            made = [commitment(said) for said in fields["operations"] if said[0] in {"push", "replace"}]
            require(clear["committed"] == made, "other commitments")
        except Refused:
            return clear, None
        return clear, fields

    def _apply(self, slot: int, clear: Fields, sealed: Fields) -> None:
        if slot == 0:
            self.parameters = sealed["parameters"]
        for (name, kind, size, _count, _trailer), key in zip(
            clear["packs"], sealed["pack_keys"], strict=True
        ):
            self.packs.setdefault(name, Pack(name, kind, size, key))
        for rows in sealed["rows"]:
            self._add_rows(rows)
        for name, kind, *_ in clear["packs"]:
            if kind == INDEX:
                self._add_index_pack(name)
        if sealed["index_packs"] is not None:
            self.index_packs = sealed["index_packs"]
        for operation in sealed["operations"]:
            self._operate(slot, clear["time_ms"], sealed["member"], operation)

    # --- where chunks lie ---------------------------------------------------------------------------------------

    def _add_rows(self, segment: bytes) -> None:
        names, rows = unpack(segment)
        require(rows and len(rows) % ROW.size == 0, "an index segment of an impossible length")
        last = b""
        for prefix, pack, *place in ROW.iter_unpack(rows):
            require(prefix >= last, "index rows out of order")
            last = prefix
            self.places.setdefault(prefix, {})[Place(names[pack], *place)] = None

    def _add_index_pack(self, name: bytes) -> None:
        *segments, fan_out = self.read_pack(self.packs[name])
        firsts = []
        for segment in segments:
            self._add_rows(segment)
            firsts.append(unpack(segment)[1][:16])
        require(unpack(fan_out) == firsts, "a fan-out that does not fit its segments")
        if name not in self.index_packs:
            self.index_packs.append(name)

    def read_pack(self, pack: Pack) -> list[bytes]:
        """Every chunk of a pack in order, with all that the format lets a reader verify."""
        data = self.pack_bytes(pack)
        require(len(data) == pack.size <= PACK_MAX and sha256(data) == pack.name, "a pack was altered")
        expected = struct.pack(">4sHBB32s8x", b"ASTP", 1, 1, pack.type, self.store_id)
        require(data[:48] == expected, "not a pack of this store and type")
        count, footer_length, magic = struct.unpack(">II4s", data[-12:])
        trailer_at = len(data) - 12 - 16 * count
        footer_at = trailer_at - footer_length
        require(magic == b"PTSA" and footer_at >= 48, "a trailer that contradicts the pack's size")
        associated = AAD.pack(1, self.store_id, pack.type, 0xFFFFFFFF, 0, footer_length - 16)
        footer = unpack(unseal(pack.key, b"\xff" * 12, data[footer_at:trailer_at], associated))
        blobs, cids, lengths = footer
        names = split_cids(cids)
        require(len(names) == len(lengths) == count, "the footer's tables differ in length")
        prefixes = b"".join(sorted(name[:16] for name in names))
        require(data[trailer_at:-12] == prefixes, "trailer and footer disagree")
        chunks: list[bytes] = []
        offset = 48
        for ordinal, (length, raw_length, codec, inside) in enumerate(blobs):
            raw = self._open_blob(pack, data[offset : offset + length], ordinal, codec, raw_length)
            start = 0
            for _ in range(inside):
                end = start + lengths[len(chunks)]
                self._check_cid(pack.type, names[len(chunks)], raw[start:end])
                chunks.append(raw[start:end])
                start = end
            require(start == raw_length, "the chunks of a blob do not make it up")
            offset += length
        require(offset == footer_at and len(chunks) == count, "the footer does not account for the pack")
        return chunks

    def _open_blob(self, pack: Pack, sealed: bytes, ordinal: int, codec: int, raw_length: int) -> bytes:
        require(0 < raw_length <= BLOB_RAW_MAX, "a blob of an impossible length")
        associated = AAD.pack(1, self.store_id, pack.type, ordinal, codec, raw_length)
        payload = unseal(pack.key, ordinal.to_bytes(12, "big"), sealed, associated)
        if codec == 0:
            require(len(payload) == raw_length, "a raw blob of another length")
            return payload
        require(codec == 1, f"codec {codec} is not one of this version")
        require(zstandard.frame_content_size(payload) == raw_length, "a frame of another length")
        return zstandard.ZstdDecompressor().decompress(payload, allow_extra_data=False)

    def _check_cid(self, kind: int, cid: bytes, data: bytes) -> None:
        key = derive(self.store_secret, b"", b"artifactstore cid " + TYPE_NAMES[kind].encode())
        require(blake3(data, key=key).digest() == cid, "a chunk is not the one its cid names")

    def chunk(self, kind: int, cid: bytes) -> bytes:
        """One chunk, by the first of its places, those in damaged packs last."""
        places = [one for one in self.places.get(cid[:16], ()) if self.packs[one.pack].type == kind]
        if not places:
            raise Refused(f"chunk {cid.hex()} lies nowhere")
        place = min(places, key=lambda one: one.pack in self.damaged)
        pack = self.packs[place.pack]
        if pack.name not in self._opened:
            self._opened[pack.name] = self.pack_bytes(pack)
        sealed = self._opened[pack.name][place.offset : place.offset + place.length]
        raw = self._open_blob(pack, sealed, place.ordinal, place.codec, place.raw_length)
        found = raw[place.start : place.start + place.span]
        self._check_cid(kind, cid, found)
        return found

    # --- the catalog --------------------------------------------------------------------------------------------

    def _distribute(self, cause: list[Any], tag: str, fields: list[Any]) -> None:
        push, *rest = fields
        row = self.begun.get(push)
        if tag == "begin":
            self.begun.setdefault(push, [*rest[:8], *cause, None, 0, False])
        elif row is None or row[11] is not None:
            return
        elif tag == "part":
            if rest[0] < row[3]:
                self.parts[push + rest[0].to_bytes(4, "big")] = [*rest[1:5], *cause]
        elif tag == "part-dropped":
            for part in rest[0]:
                self.parts.pop(push + part.to_bytes(4, "big"), None)
        else:
            self.parts = {key: part for key, part in self.parts.items() if key[:16] != push}
            self.begun[push] = [*row[:4], None, None, [], [], *row[8:11], *cause[:2], rest[0]]

    def _operate(self, slot: int, time_ms: int, member: bytes, operation: list[Any]) -> None:
        tag, *fields = operation
        if tag == "pending":
            self.pending[fields[0] + slot.to_bytes(8, "big")] = time_ms
        elif tag == "pending-done":
            for key in [key for key in self.pending if key.startswith(fields[0])]:
                del self.pending[key]
        elif tag in {"begin", "part", "part-dropped", "ended"}:
            self._distribute([slot, time_ms, member], tag, fields)
        elif tag == "damage":
            said = self.damaged | {name: slot for name in fields[0] if name in self.packs}
            self.damaged = {name: at for name, at in said.items() if name not in fields[1]}
        elif tag == "slot-added":
            self.slots.setdefault(fields[0], [fields[1], time_ms, slot, member])
        elif tag == "push":
            self._push(slot, time_ms, member, fields)
        elif tag == "alias":
            self._alias(time_ms, fields)
        elif tag == "tag":
            self._tag(time_ms, fields)
        elif tag == "delete":
            self._delete(slot, time_ms, member, fields)
        elif tag == "undelete":
            self._undelete(time_ms, fields)
        else:
            self._operate_rarely(slot, time_ms, member, operation)

    def _operate_rarely(self, slot: int, time_ms: int, member: bytes, operation: list[Any]) -> None:
        tag, *fields = operation
        if tag == "replace":
            self._replace(slot, time_ms, member, fields)
        elif tag == "deny":
            self.denied |= {file: [slot, time_ms, member, *fields[1:3]] for file in fields[0]}
        elif tag == "allow":
            self.denied = {file: row for file, row in self.denied.items() if file not in fields[0]}
        elif tag == "describe":
            self._describe(time_ms, fields)
        elif tag == "rename":
            renamed = self.names.rename(fields, self.artifacts)
            if renamed is not None:
                self.artifacts[renamed][5] = time_ms
        elif tag in {"expire", "retain"}:
            self._keep(tag, time_ms, fields)
        elif tag == "used":
            project, name, number = fields[1:4]
            key = self.names.first(project, name)
            if self._shown(key, number):
                first = key.decode().split("\0")
                self.lineage.use(slot, [fields[0], *first, *fields[3:]])
        elif tag.startswith("run-"):
            self.lineage.operate(tag, slot, time_ms, member, fields)
        else:
            require(tag == "adopt", f"operation {tag!r} is not one of this version")  # which changes nothing

    def _push(self, slot: int, time_ms: int, member: bytes, fields: list[Any]) -> None:
        project, name, kind, manifest, description, metadata, aliases, tags, *rest = fields
        new_bytes, stored_bytes, packs, salt, run, source = rest[:6]
        key = self.names.first(project, name)
        artifact = self.artifacts.get(key)
        found = b""
        if source is not None:
            found = self.names.first(*source[:2])
            linked = self._shown(found, source[2])
            if linked is None or linked[14] is not None or linked[0] != manifest:
                return
            if self.artifacts[found][0] != kind or (artifact is not None and not artifact[7]):
                return
            source = [*found.decode().split("\0"), source[2]]
            description = linked[1] if description is None else description
            metadata = linked[2] if metadata is None else metadata
        elif artifact is not None and artifact[7]:
            return
        if artifact is not None and artifact[0] != kind and source is not None:
            return
        if artifact is None:
            collection = source is not None
            artifact = self.artifacts[key] = [kind, 0, None, 0, time_ms, time_ms, None, collection]
        number = self._equal(key, manifest, source)
        if number is not None:
            row = self.versions[key + b"\0" + number.to_bytes(8, "big")]
            row[1] = row[1] if fields[4] is None else description
            row[2] = row[2] if fields[5] is None else metadata
            row[3], row[16] = sorted({*row[3], *tags}), time_ms
        else:
            number = artifact[1]
            said = None if key == f"{project}\0{name}".encode() else [project, name]
            self.versions[key + b"\0" + number.to_bytes(8, "big")] = [
                *[manifest, description or "", metadata or {}, sorted(set(tags)), time_ms, slot, member],
                *[new_bytes, stored_bytes, packs, None, salt, None, None, source, said, None],
            ]
            artifact[1:4] = [number + 1, number, artifact[3] + 1]
            if source is not None:
                self._note_link(source, key, number)
                held = found + b"\0" + source[2].to_bytes(8, "big")
                self.lineage.link(slot, held, key + b"\0" + number.to_bytes(8, "big"))
        artifact[5] = time_ms
        self.aliases[key + b"\0latest"] = artifact[2]
        for alias in aliases:
            self.aliases[key + b"\0" + alias.encode()] = number
        self.lineage.produce(slot, run, key + b"\0" + number.to_bytes(8, "big"))

    def _equal(self, key: bytes, manifest: list[Any], source: list[Any] | None) -> int | None:
        """The version that a push or a link finds instead of making one."""
        if source is not None:
            of_source = [
                number
                for number in range(self.artifacts[key][1])
                if (row := self._shown(key, number)) is not None and row[14] == source
            ]
            return of_source[0] if of_source else None
        newest: int | None = self.artifacts[key][2]
        row = None if newest is None else self._shown(key, newest)
        return newest if row is not None and row[0][2] == manifest[2] else None

    def _note_link(self, source: list[Any], key: bytes, number: int) -> None:
        hashed = sha256(f"{source[0]}\0{source[1]}".encode()) + source[2].to_bytes(8, "big")
        self.links[hashed + key + b"\0" + number.to_bytes(8, "big")] = b"\1"

    def _describe(self, time_ms: int, fields: list[Any]) -> None:
        project, name, number, description, metadata, remove, replace = fields[:7]
        key = self.names.first(project, name)
        row = self._shown(key, number)
        if row is None:
            return
        row[1] = row[1] if description is None else description
        row[2] = {field: value for field, value in row[2].items() if field not in remove and not replace}
        row[2], row[16] = row[2] | metadata, time_ms
        self.artifacts[key][5] = time_ms

    def _alias(self, time_ms: int, fields: list[Any]) -> None:
        project, name, number, aliases, expected = fields[:5]
        key = self.names.first(project, name)
        row = None if number is None else self._shown(key, number)
        if key not in self.artifacts or (number is not None and row is None):
            return
        at = [self.aliases.get(key + b"\0" + alias.encode()) for alias in aliases]
        if expected is not None and any(one != (expected[0] if expected else None) for one in at):
            return
        for alias in aliases:
            if number is None:
                self.aliases.pop(key + b"\0" + alias.encode(), None)
            else:
                self.aliases[key + b"\0" + alias.encode()] = number
        if row is not None:
            row[16] = time_ms
        self.artifacts[key][5] = time_ms

    def _tag(self, time_ms: int, fields: list[Any]) -> None:
        project, name, number, add, remove = fields[:5]
        key = self.names.first(project, name)
        row = self._shown(key, number)
        if row is None:
            return
        row[3], row[16] = sorted((set(row[3]) | set(add)) - set(remove)), time_ms
        self.artifacts[key][5] = time_ms

    def _shown(self, key: bytes, number: int) -> list[Any] | None:
        row = self.versions.get(key + b"\0" + number.to_bytes(8, "big"))
        return row if row is not None and row[10] is None else None

    def _delete(self, slot: int, time_ms: int, member: bytes, fields: list[Any]) -> None:
        project, name, numbers, force, now, reason, requested_by = fields[:7]
        key = self.names.first(project, name)
        found = {number: self.versions.get(key + b"\0" + number.to_bytes(8, "big")) for number in numbers}
        rows = {
            number: row
            for number, row in found.items()
            if row is not None and (row[10] is None or (now and not row[10][5]))
        }
        held = [alias for alias, at in self.aliases.items() if alias.startswith(key + b"\0") and at in rows]
        linked = [
            self.versions[link[40:]]
            for link in self.links
            for number in rows
            if link[:40] == sha256(key) + number.to_bytes(8, "big")
        ]
        in_the_way = set(held) - {key + b"\0latest"} or any(row[10] is None for row in linked)
        if not rows or (not force and in_the_way):
            return
        for row in rows.values():
            row[10] = [slot, time_ms, member, reason, requested_by, now]
        for alias in held:
            del self.aliases[alias]
        self._recount(key, time_ms)

    def _undelete(self, time_ms: int, fields: list[Any]) -> None:
        project, name, numbers = fields[:3]
        key = self.names.first(project, name)
        rows = [self.versions.get(key + b"\0" + number.to_bytes(8, "big")) for number in numbers]
        hidden = [row for row in rows if row is not None and row[10] is not None]
        for row in hidden:
            row[10] = None
        if hidden:
            self._recount(key, time_ms)

    def _recount(self, key: bytes, time_ms: int) -> None:
        artifact = self.artifacts[key]
        shown = [number for number in range(artifact[1]) if self._shown(key, number) is not None]
        shown.sort(key=lambda number: self._place(key, number))
        artifact[2], artifact[3], artifact[5] = shown[-1] if shown else None, len(shown), time_ms
        self.aliases.pop(key + b"\0latest", None)
        if shown:
            self.aliases[key + b"\0latest"] = shown[-1]

    def _place(self, key: bytes, number: int) -> int:
        place = self.versions[key + b"\0" + number.to_bytes(8, "big")][12]
        return number if place is None else place

    def _replace(self, slot: int, time_ms: int, member: bytes, fields: list[Any]) -> None:
        project, name, number, manifest, new_bytes, stored_bytes, packs, salt, *said = fields[:10]
        key = self.names.first(project, name)
        row = self._shown(key, number)
        if row is None:
            return
        artifact = self.artifacts[key]
        successor = artifact[1]
        about = [manifest, *row[1:5], slot, member, new_bytes, stored_bytes, packs, None, salt]
        self.versions[key + b"\0" + successor.to_bytes(8, "big")] = [
            *about,
            self._place(key, number),
            row[13],
            row[14],
            None if key == f"{project}\0{name}".encode() else [project, name],
            time_ms,
        ]
        names = (key + b"\0" + at.to_bytes(8, "big") for at in (number, successor))
        self.lineage.succeed(*names)
        if row[14] is not None:
            self._note_link(row[14], key, successor)
        row[10] = [slot, time_ms, member, *said, True]
        for alias, at in self.aliases.items():
            if alias.startswith(key + b"\0") and at == number:
                self.aliases[alias] = successor
        artifact[1], artifact[5] = successor + 1, time_ms
        if artifact[2] == number:
            artifact[2] = successor

    def _keep(self, tag: str, time_ms: int, fields: list[Any]) -> None:
        project, name, *rest = fields
        key = self.names.first(project, name)
        row = self._shown(key, rest[0]) if tag == "expire" else None
        if key not in self.artifacts or (tag == "expire" and row is None):
            return
        if row is None:
            self.artifacts[key][6] = rest[0]
        else:
            row[13], row[16] = rest[1], time_ms
        self.artifacts[key][5] = time_ms

    # --- states -------------------------------------------------------------------------------------------------

    def _load_state(self) -> None:
        """Take the newest state that a record names; the log is followed from its prefix on."""
        slot, clear = self.frontier.size, None
        for path in sorted(self.folder.glob("log/*"), reverse=True):
            slot = int(path.name)
            clear = verified_clear(path.read_bytes(), slot, self.store_id)
            if clear is not None:
                break
        at = slot if clear and clear["state"] else (clear or {}).get("state_slot")
        if at is not None:
            named, sealed = self._open(at, self.object(f"log/{at:016d}")) or ({}, None)
            if sealed is None:
                raise Refused("the record that names the state does not open")
            self._take_state(named, sealed)

    def _take_state(self, clear: Fields, sealed: Fields) -> None:
        prefix, names, _copy = clear["state"]
        keys = {pack[0]: (pack, key) for pack, key in zip(clear["packs"], sealed["pack_keys"], strict=True)}
        chunks: list[bytes] = []
        for name in names:
            (_, kind, size, *_), key = keys[name]
            require(kind == STATE, "a state in a pack of another type")
            chunks += self.read_pack(Pack(name, kind, size, key))
        head = unpack(chunks[0])
        store_id, found, frontier, generation, _keys, _sweep, features, index_packs, count = head[:9]
        signer = clear["generation"] - (clear["type"] == 3)
        require((store_id, found, generation) == (self.store_id, prefix, signer), "a state of something else")
        require(not features, f"needs {features}")
        self.frontier = Frontier(prefix, tuple(frontier))
        self.parameters = head[9]
        for chunk in chunks[1:]:
            table, rows, packs = unpack(chunk)[:3]
            for key, value in rows:
                if table in {"artifacts", "versions", "slots", "denied", "receipts", "begun", "parts"}:
                    getattr(self, table)[key] = unpack(value)
                elif table in {"runs", "edges"}:
                    getattr(self.lineage, table)[key] = unpack(value)
                elif table in {"names", "links"}:
                    (self.names.rows if table == "names" else self.links)[key] = value
                elif table in {"aliases", "pending", "damaged"}:
                    getattr(self, table)[key] = int.from_bytes(value, "big")
                elif table == "handovers":
                    self._take_certificate(int.from_bytes(key, "big"), unpack(value))
            for _number, (name, kind, size, *_), _slot, key in packs:
                self.packs[name] = Pack(name, kind, size, key)
        require(len(self.packs) <= count, "a state with more packs than were ever registered")
        require(self.certificates.get(signer) == clear["certificate"], "a state that another key signed")
        registered = dict(self.packs)
        for name in index_packs:
            if name not in self.packs:
                # Made together with the state, so registered by the record that names it.
                (_, kind, size, *_), key = keys[name]
                self.packs[name] = Pack(name, kind, size, key)
            self._add_index_pack(name)
        self.packs = registered

    def _take_certificate(self, generation: int, certificate: list[Any]) -> None:
        if generation == 0:
            require(sha256(certificate[0]) == self.store_id, "a first key that is not the store's")
        else:
            before = self.certificates[generation - 1][0]
            good = handed_over(before, self.store_id, generation, certificate)
            require(good, "a chain of handovers that does not verify")
        self.certificates[generation] = certificate

    # --- receipts -----------------------------------------------------------------------------------------------

    def drafts(self) -> Iterator[tuple[list[Any], bytes]]:
        """The draft of each receipt and its evidence, held against what its sweep says in clear."""
        for receipt, row in self.receipts.items():
            slot, project, name, number, _gone, _shared, _unread, places = row[:8]
            chunks: list[bytes] = []
            for pack, start, count in places:
                chunks += self.read_pack(self.packs[pack])[start : start + count]
            draft, evidence = unpack(chunks[0]), b"".join(chunks[1:])
            require(draft[:4] == [receipt, project, name, number], "a draft of another receipt")
            push = ["push", project, name, "", draft[5], None, None, [], [], 0, 0, [], draft[6]]
            values = [str(number), str(draft[8]), draft[9], draft[10]]
            hashes = b""
            for field, value in zip(("number", "deleted", "reason", "requested-by"), values, strict=True):
                salt = hmac.digest(draft[7], b"artifactstore commitment salt\0" + field.encode(), "sha256")
                hashes += sha256(b"artifactstore commitment field\0" + salt + value.encode())
            said = commitment(push) + receipt + sha256(evidence) + hashes
            clear = verified_clear(self.object(f"log/{slot:016d}"), slot, self.store_id, self.certificates)
            require(
                clear is not None and sha256(b"artifactstore purge v1\0" + said) in clear["purged"], "purged"
            )
            yield draft, evidence

    # --- versions -----------------------------------------------------------------------------------------------

    def references(self, *, deleted: bool = False) -> dict[str, list[Any]]:
        """Every version that is shown, or every one that is deleted, by PROJECT/NAME:vN."""
        return {
            f"{key[:-9].decode().replace(chr(0), '/')}:v{int.from_bytes(key[-8:], 'big')}": row
            for key, row in self.versions.items()
            if (row[10] is not None) == deleted
        }

    def entries(self, manifest: list[Any]) -> Iterator[Entry]:
        """A version's entries in path order, every page held against what stands above it."""
        cid, level, digest, size, count, chunks = manifest[:6]
        yield from self._page(cid, level, digest, size, count, chunks, None)

    def _page(
        self, cid: bytes, level: int, digest: bytes, size: int, count: int, chunks: bytes, first: str | None
    ) -> Iterator[Entry]:
        found_level, identities, contents = unpack(self.chunk(PAGE, cid))
        # Five-element arrays of text, integers and binaries, each in its shortest form: that is what is hashed.
        packed = msgpack.packb(identities, use_bin_type=True)
        require(blake3(packed).digest() == digest, "a page's digest is not the one above it")
        require(found_level == level and len(identities) == len(contents), "a page contradicts itself")
        require(sum(identity[2] for identity in identities) == size, "a page holds other sizes than it says")
        paths = [identity[0].replace("/", "\0") for identity in identities]
        require(all(a < b for a, b in pairwise(paths)), "a page out of order")
        require(first is None or identities[0][0] == first, "a page begins elsewhere than it says")
        entries = len(identities) if level == 0 else sum(content[2][0] for content in contents)
        require(entries == count, "a page holds another number of entries than it says")
        plain = b"".join(content[1] for content in contents if not content[4])
        below = [(content[1], content[4]) for content in contents if content[4]]
        require(chunks_root(plain, below) == chunks, "a page holds other chunks than it says")
        for (path, kind, length, known, flags), (depth, cids, sizes, target, held) in zip(
            identities, contents, strict=True
        ):
            if level:
                require(kind == PAGE_ENTRY, "a page above the leaves holds an entry")
                yield from self._page(cids, level - 1, known, length, sizes[0], held, path)
                continue
            require(kind in {FILE, SYMLINK, FOLDER, REFERENCE}, "an entry of an unknown kind")
            parts = path.split("/")
            require(not {"", ".", ".."} & set(parts) and "\0" not in path, "a path that leads elsewhere")
            yield Entry(path, kind, length, known, flags, depth, split_cids(cids), sizes, target, held)

    def content(self, entry: Entry) -> bytes:
        """A file's bytes, verified."""
        data = b"".join(self._chunks(entry.depth, entry.cids, entry.sizes))
        if entry.depth:
            require(
                self._list_root(entry.depth, entry.cids[0]) == entry.held, f"{entry.path} has other chunks"
            )
        require(len(data) == entry.size and blake3(data).digest() == entry.digest, f"{entry.path} differs")
        return data

    def reference(self, entry: Entry) -> list[Any]:
        """What a reference says: URL, size, checksum, object version."""
        digest = blake3(b"artifactstore reference v1\0" + entry.target.encode()).digest()
        require(digest == entry.digest and not entry.cids, f"{entry.path} differs")
        url, checksum, version = entry.target.split("\n")
        require(REFERENCE_URL.fullmatch(url) is not None, f"{entry.path} refers to no URL")
        require(not checksum or re.fullmatch("[a-z0-9]{1,16}:[!-~]{1,256}", checksum) is not None, "checksum")
        require(re.fullmatch("[!-~]{0,1024}", version) is not None, "an object version that is none")
        require(bool(checksum) or entry.size == 0, "a size without a checksum")
        return [url, entry.size, checksum, version]

    def _chunks(self, depth: int, cids: list[bytes], sizes: list[int]) -> Iterator[bytes]:
        for cid, size in zip(cids, sizes, strict=True):
            if depth == 0:
                data = self.chunk(DATA, cid)
                require(len(data) == size, "a chunk of another length than the manifest says")
                yield data
                continue
            level, joined, inner = unpack(self.chunk(LIST, cid))
            require(level == depth and sum(inner) == size, "a chunk list contradicts what stands above it")
            yield from self._chunks(depth - 1, split_cids(joined), inner)

    def _list_root(self, depth: int, cid: bytes) -> bytes:
        _, joined, _ = unpack(self.chunk(LIST, cid))
        if depth == 1:
            return chunks_root(joined, [])
        return chunks_root(b"", [(one, self._list_root(depth - 1, one)) for one in split_cids(joined)])

    def extract(self, reference: str, folder: Path) -> None:
        """Write a version into a folder that does not exist."""
        folder.mkdir(parents=True)
        links = []
        versions = self.references()
        require(reference in versions, f"there is no {reference}")
        for entry in self.entries(versions[reference][0]):
            path = folder / entry.path
            if entry.kind == REFERENCE:
                self.reference(entry)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if entry.kind == FOLDER:
                path.mkdir()
            elif entry.kind == SYMLINK:
                require(blake3(entry.target.encode()).digest() == entry.digest, f"{entry.path} differs")
                links.append((path, entry.target))
            else:
                path.write_bytes(self.content(entry))
                path.chmod(0o755 if entry.flags & 1 else 0o644)
        # Last, so that nothing is written through one.
        for path, target in links:
            path.symlink_to(target)


def main(arguments: list[str]) -> None:
    """List or extract."""
    store, key_file, *wanted = arguments
    reader = Reader(Path(store), private_key(Path(key_file).read_bytes()))
    if wanted:
        reader.extract(wanted[0], Path(wanted[1]))
        return
    for reference, row in reader.references().items():
        print(reference, row[0][2].hex())


if __name__ == "__main__":
    main(sys.argv[1:])
