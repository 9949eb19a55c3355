"""A verifier of receipts in one file, written from docs/format/evidence.md and docs/format/v1.md.

It imports the standard library and `cryptography`, and nothing of the project: where both agree, the documents say what
the library does. `python verifier.py RECEIPT` says what a receipt shows, or why it shows nothing.
"""

import base64
import hashlib
import json
import re
import struct
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

RECEIPT_BYTES_MAX = 268435456
DEPTH_MAX = 14
COMMIT, SWEEP, ERASED = 1, 3, 5
TEXTS = {"project", "name", "number", "deleted", "reason", "requested-by"}
VERSION = ["project", "name", "digest", "page", "chunks"]
PURGE = ["number", "deleted", "reason", "requested-by"]
TOP = {
    "format", "store", "id", "certificates", "checkpoint", "records", "version", "purge", "evidence", "counts",
    "signature",
}  # fmt: skip
CLEAR = (  # noqa: SIM905 - as the document lists them
    "store_id slot root operation type generation certificate packs condemned committed purged keys state state_slot"
    " sweep_slot time_ms features handover erased"
).split()


class Refused(Exception):
    """The receipt shows nothing."""


def require(good: Any, why: str) -> None:
    if not good:
        raise Refused(why)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def canonical(document: Any) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def octets(text: Any, size: int | None = None) -> bytes:
    require(isinstance(text, str) and re.fullmatch(r"(?:[0-9a-f]{2})*", text), "not hexadecimal")
    data = bytes.fromhex(text)
    require(size is None or len(data) == size, "bytes of another length")
    return data


def from_base64(text: Any) -> bytes:
    require(isinstance(text, str) and text.isascii(), "not base64")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused("not base64") from error
    require(base64.b64encode(data).decode() == text, "base64 in another way")
    return data


def whole(value: Any) -> int:
    require(isinstance(value, int) and not isinstance(value, bool) and value >= 0, "not a number")
    return value


def keys_of(value: Any, names: set[str]) -> dict[str, Any]:
    require(isinstance(value, dict) and set(value) == names, f"other keys than {sorted(names)}")
    return value


def signed(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# --- MessagePack, as far as the clear part of a record uses it ------------------------------------------------


class Unpacker:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        taken = self.data[self.at : self.at + size]
        require(len(taken) == size, "a record's clear part was cut")
        self.at += size
        return taken

    def count(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def value(self, depth: int = 0) -> Any:  # noqa: PLR0911 - one for each type
        require(depth < 8, "a record's clear part is too deep")
        first = self.count(1)
        if first <= 0x7F:
            return first
        if 0x90 <= first <= 0x9F:
            return self.array(first & 15, depth)
        if 0xA0 <= first <= 0xBF:
            return self.text(first & 31)
        if first == 0xC0:
            return None
        if first in (0xC4, 0xC5, 0xC6):
            return self.take(self.count(1 << (first - 0xC4)))
        if first in (0xCC, 0xCD, 0xCE, 0xCF):
            return self.count(1 << (first - 0xCC))
        if first in (0xD9, 0xDA, 0xDB):
            return self.text(self.count(1 << (first - 0xD9)))
        if first in (0xDC, 0xDD):
            return self.array(self.count(2 << (first - 0xDC)), depth)
        raise Refused(f"a record's clear part has a value of type {first:02x}")

    def text(self, size: int) -> str:
        try:
            return self.take(size).decode()
        except UnicodeDecodeError as error:
            raise Refused("a record's clear part has a text that is none") from error

    def array(self, count: int, depth: int) -> list[Any]:
        require(count <= len(self.data), "a record's clear part declares too much")
        return [self.value(depth + 1) for _ in range(count)]


def clear_of(
    record: bytes, store: bytes, slot: int, certificates: list[tuple[bytes, int, bytes]]
) -> dict[str, Any]:
    """The clear part of a record that the store's key signed."""
    require(80 <= len(record) <= 16 << 20, "a record of an impossible length")
    magic, version, suite, zero, clear_length, sealed_length = struct.unpack_from(">4sHBBII", record)
    require((magic, version, suite, zero) == (b"ASTR", 1, 1, 0), "no record of format v1")
    require(16 + clear_length + sealed_length + 64 == len(record), "a record's lengths don't fit")
    unpacker = Unpacker(record[16 : 16 + clear_length])
    fields = unpacker.value()
    require(isinstance(fields, list) and len(fields) >= len(CLEAR), "a clear part with too few fields")
    require(unpacker.at == clear_length, "a clear part with something behind it")
    clear = dict(zip(CLEAR, fields, strict=False))
    require(clear["store_id"] == store and clear["slot"] == slot, "a record of another store or slot")
    signer = whole(clear["generation"]) - (clear["type"] == SWEEP)
    require(0 <= signer < len(certificates), "a record of a generation that is not there")
    require(clear["certificate"][:3] == list(certificates[signer]), "a record of another key")
    message = b"artifactstore record v1\0" + record[:-64]
    require(signed(certificates[signer][0], record[-64:], message), "a record's signature does not verify")
    return clear


# --- Merkle proofs --------------------------------------------------------------------------------------------


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right)


def check_inclusion(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> None:
    """RFC 9162, 2.1.3.2."""
    require(index < size, "a slot beyond the checkpoint")
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        require(sn, "a proof that is too long")
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    require(not sn and r == root, "a record is not in the checkpoint's log")


def check_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: list[bytes]
) -> None:
    """RFC 9162, 2.1.4.2."""
    why = "a record was signed over another log than the checkpoint's"
    require(first < second, why)
    if first == 0:
        require(not proof and first_root == sha256(b""), why)
        return
    require(proof, why)
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        require(sn, why)
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    require(not sn and fr == first_root and sr == second_root, why)


# --- the parts of a receipt -------------------------------------------------------------------------------------


def chain(given: Any, store: bytes) -> list[tuple[bytes, int, bytes]]:
    """The certificates of the generations, each handed over by the one before."""
    require(isinstance(given, list) and given, "no certificates")
    found: list[tuple[bytes, int, bytes]] = []
    for generation, one in enumerate(given):
        keys_of(one, {"public", "slot", "signature"})
        public, slot, signature = octets(one["public"], 32), whole(one["slot"]), octets(one["signature"])
        if generation == 0:
            good = sha256(public) == store and slot == 0 and signature == b""
        else:
            message = b"artifactstore handover v1\0" + store + struct.pack(">QQ", generation, slot) + public
            good = signed(found[-1][0], signature, message)
        require(good, f"the key of generation {generation} does not follow from the store's id")
        found.append((public, slot, signature))
    return found


def checkpoint(note: Any, store: bytes, public: bytes) -> tuple[int, bytes]:
    """Size and root of a signed note."""
    require(isinstance(note, str) and len(note) <= 65536, "no checkpoint")
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    origin = f"artifactstore/{store.hex()}"
    found = re.fullmatch(rf"{origin}\n(0|[1-9][0-9]{{0,16}})\n([A-Za-z0-9+/]{{43}}=)\n", text)
    require(found and lines.endswith("\n") and len(lines.splitlines()) <= 16, "no checkpoint of this store")
    key_id = sha256(origin.encode() + b"\n\1" + public)[:4]
    good = False
    for line in lines.splitlines():
        parts = re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})", line)
        require(parts, "a line of the checkpoint that is no signature")
        data = from_base64(parts[2])
        if parts[1] == origin and data[:4] == key_id:
            good = good or signed(public, data[4:], text.encode())
    require(good, "the checkpoint is not signed by the store's key")
    return int(found[1]), from_base64(found[2])


def field_hash(name: str, field: Any) -> tuple[bytes, bytes | None]:
    """What stands for a field, and its value where it is shown."""
    require(isinstance(field, dict), "no field")
    if set(field) == {"hash"}:
        return octets(field["hash"], 32), None
    keys_of(field, {"salt", "value"})
    require(isinstance(field["value"], str), "a value that is none")
    value = field["value"].encode() if name in TEXTS else octets(field["value"])
    return sha256(b"artifactstore commitment field\0" + octets(field["salt"], 32) + value), value


def hashes(fields: Any, names: list[str]) -> tuple[bytes, dict[str, bytes]]:
    keys_of(fields, set(names))
    found = {name: field_hash(name, fields[name]) for name in names}
    shown = {name: value for name, (_, value) in found.items() if value is not None}
    return b"".join(found[name][0] for name in names), shown


class Evidence:
    """Which chunks a version held."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.counts = {"gone": 0, "shared": 0, "unread": 0}
        self.gone: set[bytes] = set()
        prefix, root = self.node(0)
        require(self.at == len(data), "evidence with something behind it")
        self.chunks = prefix + root

    def take(self, size: int) -> bytes:
        taken = self.data[self.at : self.at + size]
        require(len(taken) == size, "evidence that was cut")
        self.at += size
        return taken

    def node(self, depth: int) -> tuple[bytes, bytes]:
        require(depth <= DEPTH_MAX, "evidence that is too deep")
        prefix, mark = self.take(16), self.take(1)[0]
        if mark in (0, 2):
            self.counts["unread" if mark else "shared"] += 1
            return prefix, self.take(32)
        require(mark == 1, "evidence with an unknown mark")
        self.found(prefix)
        count = self.take(4)
        chunks = self.take(16 * int.from_bytes(count, "big"))
        marks = self.take(-(-len(chunks) // 128))
        for at in range(len(marks) * 8):
            if marks[at // 8] >> at % 8 & 1:
                require(at * 16 < len(chunks), "evidence that marks what it does not list")
                self.found(chunks[16 * at : 16 * at + 16])
            elif at * 16 < len(chunks):
                self.counts["shared"] += 1
        below = [self.node(depth + 1) for _ in range(int.from_bytes(self.take(4), "big"))]
        said = b"artifactstore chunks v1\0" + count + chunks + b"".join(one + root for one, root in below)
        return prefix, sha256(said)

    def found(self, prefix: bytes) -> None:
        self.counts["gone"] += 1
        self.gone.add(prefix)


def verify(data: bytes) -> dict[str, Any]:
    """Verify a receipt, by the steps of the document; return what it shows."""
    require(len(data) <= RECEIPT_BYTES_MAX, "a receipt that is too long")
    try:
        receipt = json.loads(data)
        again = canonical(receipt)
    except (ValueError, RecursionError) as error:
        raise Refused("no JSON") from error
    require(again == data, "a receipt that is not written in the one way")
    keys_of(receipt, TOP)
    require(receipt["format"] == "artifactstore receipt v1", "another format")
    store, receipt_id = octets(receipt["store"], 32), octets(receipt["id"], 16)
    certificates = chain(receipt["certificates"], store)  # 1
    public = certificates[-1][0]
    unsigned = canonical({name: value for name, value in receipt.items() if name != "signature"})
    message = b"artifactstore receipt v1\0" + unsigned
    require(signed(public, octets(receipt["signature"], 64), message), "the signature does not verify")  # 2
    size, root = checkpoint(receipt["checkpoint"], store, public)  # 3
    records = {}
    for name, given in keys_of(receipt["records"], {"push", "sweep", "erased"}).items():  # 4
        keys_of(given, {"slot", "record", "inclusion", "consistency"})
        slot, record = whole(given["slot"]), from_base64(given["record"])
        records[name] = clear = clear_of(record, store, slot, certificates)
        proofs = [[octets(one, 32) for one in given[kind]] for kind in ("inclusion", "consistency")]
        check_inclusion(sha256(b"\0" + record), slot, size, proofs[0], root)
        check_consistency(slot, size, clear["root"], root, proofs[1])
    push, sweep, erased = records["push"], records["sweep"], records["erased"]
    require([push["type"], sweep["type"], erased["type"]] == [COMMIT, SWEEP, ERASED], "other records")  # 5
    require(
        push["slot"] < sweep["slot"] < erased["slot"] and erased["erased"] == sweep["slot"], "another order"
    )
    require(sweep["generation"] < len(certificates), "a sweep without the key that it hands over to")
    handed = (sweep["handover"][0], sweep["slot"], sweep["handover"][1])
    require(handed == certificates[sweep["generation"]], "a sweep that hands over to another key")
    fields, shown = hashes(receipt["version"], VERSION)  # 6
    version = sha256(b"artifactstore commitment v1\0" + fields)
    require(version in push["committed"], "the push has committed to another version")
    raw = from_base64(receipt["evidence"])
    fields, more = hashes(receipt["purge"], PURGE)
    purge = sha256(b"artifactstore purge v1\0" + version + receipt_id + sha256(raw) + fields)
    require(purge in sweep["purged"], "the sweep has purged something else")
    evidence = Evidence(raw)  # 7
    require(evidence.chunks == shown.get("chunks"), "the evidence lists other chunks")
    counts = keys_of(receipt["counts"], {"gone", "shared", "unread"})
    require({name: whole(count) for name, count in counts.items()} == evidence.counts, "other counts")
    return {
        "store": store.hex(),
        "id": receipt_id.hex(),
        "shown": {
            name: value.decode() if name in TEXTS else value.hex() for name, value in (shown | more).items()
        },
        "slots": [push["slot"], sweep["slot"], erased["slot"]],
        "times_ms": [push["time_ms"], sweep["time_ms"], erased["time_ms"]],
        "condemned": len(sweep["condemned"]),
        "counts": evidence.counts,
        "gone": evidence.gone,
        "checkpoint": [size, root.hex()],
    }


def main(arguments: list[str]) -> int:
    try:
        found = verify(Path(arguments[0]).read_bytes())
    except Refused as error:
        print(f"refused: {error}")
        return 1
    print(json.dumps({name: value for name, value in found.items() if name != "gone"}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
