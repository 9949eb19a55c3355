"""Commitments and chunks roots: what the document prints, and that each field counts and can be shown by itself."""

import hashlib
import hmac

import msgspec
import pytest

from artifactstore.format import page
from artifactstore.format.commitment import (
    VERSION_FIELDS,
    commitment_of,
    committed_by,
    field_hash,
    field_salt,
    hashes_of,
    version_commitment,
    version_values,
)
from artifactstore.format.operations import Manifest, PendingDone, Push
from tests.test_format_document import named, octets, tables_after

MANIFEST = Manifest(bytes([1]) * 32, 0, bytes([2]) * 32, 7, 1, bytes([3]) * 32)
SALT = bytes(range(32))


def test_the_example_of_the_document() -> None:
    """Salts, what stands for the fields, and the commitment, by section 7 to the letter."""
    printed = named("commitment")
    manifest = named("page-names")
    cid = bytes.fromhex(manifest["cid"])
    values = {
        "project": b"demo",
        "name": b"docs",
        "digest": bytes.fromhex(manifest["digest"]),
        "page": cid,
        "chunks": cid[:16] + bytes.fromhex(manifest["chunks"]),
    }
    assert [row[0] for row in tables_after("order of this table.")] == [f"`{name}`" for name in values]
    hashes = {}
    for name, value in values.items():
        key = bytes(range(0xA0, 0xC0))
        salt = hmac.digest(key, b"artifactstore commitment salt\0" + name.encode(), "sha256")
        hashes[name] = hashlib.sha256(b"artifactstore commitment field\0" + salt + value).digest()
        if name == "name":
            assert printed.pop("name-salt") == salt.hex()
    whole = hashlib.sha256(b"artifactstore commitment v1\0" + b"".join(hashes.values())).hexdigest()
    assert printed == {name: value.hex() for name, value in hashes.items()} | {"commitment": whole}


def test_the_chunks_root_of_the_document() -> None:
    """The three chunks of the page's files, and two nodes below, by section 10 to the letter."""
    found = page.decode_page(octets("page"), "example")
    cids = found.contents[0].cids + found.contents[3].cids
    prefixes = cids[:16] + cids[32:48] + cids[64:80]
    said = b"artifactstore chunks v1\0" + bytes([0, 0, 0, 3]) + prefixes
    assert named("page-names")["chunks"] == hashlib.sha256(said).hexdigest()
    nodes = [(bytes([1]) * 32, bytes([2]) * 32), (bytes([3]) * 32, bytes([4]) * 32)]
    said += bytes([1]) * 16 + bytes([2]) * 32 + bytes([3]) * 16 + bytes([4]) * 32
    assert page.chunks_root(cids, nodes) == hashlib.sha256(said).digest()


def test_a_field_is_shown_without_the_others() -> None:
    """Its salt and value give what stands for it, and with what stands for the others the commitment."""
    values = version_values("p", "n", MANIFEST)
    assert tuple(values) == VERSION_FIELDS
    hashes = hashes_of(values, SALT)
    for at, field in enumerate(VERSION_FIELDS):
        shown = field_hash(field_salt(SALT, field), values[field])
        assert version_commitment([*hashes[:at], shown, *hashes[at + 1 :]]) == commitment_of(
            "p", "n", MANIFEST, SALT
        )


@pytest.mark.parametrize("field", ["project", "name", "digest", "cid", "chunks", "salt"])
def test_every_field_counts(field: str) -> None:
    """Another value of any is another commitment; two fields don't run into each other."""
    given = {"project": "p", "name": "n", "salt": SALT}
    changed = {field: "x" if isinstance(given.get(field), str) else bytes(32)}
    manifest = msgspec.structs.replace(MANIFEST, **(changed if field not in given else {}))
    other = commitment_of(manifest=manifest, **(given | {k: v for k, v in changed.items() if k in given}))
    assert other != commitment_of("p", "n", MANIFEST, SALT)
    assert commitment_of("pn", "n", MANIFEST, SALT) != commitment_of("p", "nn", MANIFEST, SALT)


def test_a_record_commits_to_each_of_its_pushes() -> None:
    """In order, and to nothing else."""
    pushes = [
        Push("p", name, "dataset", MANIFEST, None, None, [], [], 0, 0, [], SALT, None) for name in ("a", "b")
    ]
    expected = [commitment_of("p", name, MANIFEST, SALT) for name in ("a", "b")]
    assert committed_by([pushes[0], PendingDone(bytes(16)), pushes[1]]) == expected
