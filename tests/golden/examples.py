"""Makes those examples of the format's document anew that follow from the fields of a push and of its rows.

A field that was added is nil in them. To be run after such a change, and after a rebase over somebody else's:

    python -m tests.golden.examples
"""

import re
import struct
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from artifactstore.catalog.rows import ArtifactRow, VersionRow
from artifactstore.format.operations import Push
from tests.golden.reader import Frontier
from tests.golden.unlocking import SUITE, derive, sha256, unseal

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "format" / "v1.md"
KEK, SIGNING = bytes(range(0x40, 0x60)), bytes(range(0x60, 0x80))
_HEX_COLUMNS = 24
_COMMENT_COLUMN = 73


class Examples:
    """The document's text, of which examples are replaced."""

    def __init__(self, text: str) -> None:
        self.text = text

    def get(self, name: str) -> str:
        """The text of an example."""
        return self._find(name)[2]

    def put(self, name: str, text: str) -> None:
        """Replace the text of an example."""
        found = self._find(name)
        self.text = self.text[: found.start(2)] + text + self.text[found.end(2) :]

    def parts(self, name: str) -> list[tuple[bytes, str]]:
        """Bytes and comment of each part of an example."""
        parts: list[tuple[bytes, str]] = []
        for line in self.get(name).splitlines():
            digits, _, comment = line.partition(";")
            if comment or not parts:
                parts.append((b"", comment.strip()))
            parts[-1] = (parts[-1][0] + bytes.fromhex(digits), parts[-1][1])
        return parts

    def put_parts(self, name: str, parts: list[tuple[bytes, str]]) -> None:
        """Replace an example by these parts."""
        lines: list[str] = []
        for data, comment in parts:
            rows = [data[at : at + _HEX_COLUMNS].hex(" ") for at in range(0, len(data), _HEX_COLUMNS)]
            lines += [f"{rows[0]:<{_COMMENT_COLUMN}}; {comment}", *rows[1:]]
        self.put(name, "".join(f"{line}\n" for line in lines))

    def _find(self, name: str) -> re.Match[str]:
        found = re.search(
            rf"(<!-- example: {name} -->\n```\w+\n)(.*?)(?=^```$)", self.text, re.DOTALL | re.MULTILINE
        )
        assert found is not None, name
        return found


def padded(row: list[Any], struct_type: type[msgspec.Struct]) -> list[Any]:
    """A row with nil for each field that it lacks."""
    tag = struct_type.__struct_config__.tag is not None
    return row + [None] * (len(struct_type.__struct_fields__) + tag - len(row))


def record_1(examples: Examples) -> bytes:
    """Seal and sign record 1 anew, with the salt that it has."""
    head, clear, salt, sealed = (
        b"".join(data for data, _ in examples.parts("record-1")[at])
        for at in (slice(4), slice(6, 7), slice(7, 8), slice(8, 9))
    )
    lengths = b"".join(data for data, _ in examples.parts("record-1")[4:6])
    store_id = msgpack.unpackb(clear)[0]
    key = derive(KEK, salt, SUITE + store_id + bytes(8) + b"record")
    plain = msgpack.unpackb(unseal(key, bytes(12), sealed, head + lengths + clear))
    plain[3] = [padded(said, Push) if said[0] == "push" else said for said in plain[3]]
    body = msgpack.packb(plain)
    lengths = struct.pack(">II", len(clear), len(salt) + len(body) + 16)
    sealed = AESGCM(key).encrypt(bytes(12), body, head + lengths + clear)
    signed = head + lengths + clear + salt + sealed
    signature = Ed25519PrivateKey.from_private_bytes(SIGNING).sign(b"artifactstore record v1\0" + signed)
    parts = examples.parts("record-1")
    parts[5] = (lengths[4:], f"sealed part of {len(salt) + len(sealed)} bytes")
    parts[8], parts[9] = (sealed, parts[8][1]), (signature, parts[9][1])
    examples.put_parts("record-1", parts)
    return signed + signature


def main() -> None:
    """Make the examples anew."""
    examples = Examples(DOCUMENT.read_text(encoding="utf-8"))
    record = record_1(examples)
    first = b"".join(data for data, _ in examples.parts("record-0"))
    leaves = [sha256(b"\0" + first), sha256(b"\0" + record), sha256(b"\2" + (2).to_bytes(8, "big"))]
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    printed = dict(line.split() for line in examples.get("merkle").splitlines())
    before = bytes.fromhex(printed["root-3"])
    printed |= {"leaf-1": leaves[1].hex(), "root-3": frontier.root().hex()}
    examples.put("merkle", "".join(f"{name:<8} {value}\n" for name, value in printed.items()))
    operations = [
        (data.replace(before, frontier.root()), comment) for data, comment in examples.parts("operations")
    ]
    examples.put_parts("operations", operations)
    ((head, comment),) = examples.parts("state-head")
    fields = msgpack.unpackb(head)
    fields[2] = frontier.roots
    examples.put_parts("state-head", [(msgpack.packb(fields), comment)])
    tables = []
    for data, comment in examples.parts("state-rows"):
        table, rows, packs = msgpack.unpackb(data)
        kind = {"artifacts": ArtifactRow, "versions": VersionRow}.get(table)
        if kind is not None:
            rows = [[key, msgpack.packb(padded(msgpack.unpackb(value), kind))] for key, value in rows]
        tables.append((msgpack.packb([table, rows, packs]), comment))
    examples.put_parts("state-rows", tables)
    DOCUMENT.write_text(examples.text, encoding="utf-8")


if __name__ == "__main__":
    main()
