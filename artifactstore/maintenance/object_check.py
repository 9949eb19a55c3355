"""Checking what else lies on the backend: objects that no record names.

They harm nobody, and none of them counts: packs may be of a push that was cut or is still running, others were put
there by a stranger. They are told, and not called damage.
"""

import re
from typing import Final

from artifactstore.backend.base import Backend
from artifactstore.errors import PermissionRefused
from artifactstore.format.alive import run_of_name
from artifactstore.format.record import slot_name
from artifactstore.format.tile import DATA_TILE_WIDTH, TILE_WIDTH, data_tile_name, tile_name
from artifactstore.index.environment import Environment
from artifactstore.index.tables import PACK_NAMES, Position
from artifactstore.maintenance.findings import Objects, Pile
from artifactstore.pack.names import pack_name

# Left by writers and by tests of the backend.
_PASSED_OVER: Final = ("tmp/", "probe/")
_PACK: Final = re.compile(r"packs/[0-9a-f]{2}/([0-9a-f]{64})")
# More levels would cover more slots than there can be.
_LEVELS_MAX: Final = 8


def unnamed_objects(
    backend: Backend, environment: Environment, position: Position
) -> tuple[Objects, Objects | None]:
    """Orphaned packs, and other objects that no record names; None for these where listing is forbidden."""
    known = {f"keys/{digest.hex()}" for digest in position.keys}
    orphans, foreign = Pile(), Pile()
    try:
        for info in backend.list(""):
            name = info.name
            pack = _PACK.fullmatch(name)
            if pack is not None and pack_name(bytes.fromhex(pack[1])) == name:
                if not _is_registered(environment, bytes.fromhex(pack[1])):
                    orphans.add(name, info.size_bytes)
            elif not (_is_expected(name) or name in known or _is_of_log(name, position.next_slot)):
                foreign.add(name, info.size_bytes)
    except PermissionRefused:
        return Objects(), None
    return orphans.objects(), foreign.objects()


def _is_expected(name: str) -> bool:
    """Whether an object may lie there without being named: what is left over, and signs of life of runs."""
    return name.startswith(_PASSED_OVER) or run_of_name(name) is not None


def _is_registered(environment: Environment, sha256: bytes) -> bool:
    with environment.read() as txn:
        return txn.get(PACK_NAMES, sha256) is not None


def _is_of_log(name: str, slots: int) -> bool:
    """Whether an object is a slot below the head, or a full tile over such."""
    folder, *parts = name.split("/")
    if folder == "log" and len(parts) == 1 and parts[0].isdecimal():
        return int(parts[0]) < slots and slot_name(int(parts[0])) == name
    if folder == "tree" and len(parts) == 2 and parts[0] == "data" and parts[1].isdecimal():  # noqa: PLR2004 - data, number
        number = int(parts[1])
        return (number + 1) * DATA_TILE_WIDTH <= slots and data_tile_name(number) == name
    if folder == "tree" and len(parts) == 2 and all(part.isdecimal() for part in parts):  # noqa: PLR2004 - level, number
        level, number = int(parts[0]), int(parts[1])
        return (
            level < _LEVELS_MAX
            and (number + 1) * TILE_WIDTH ** (level + 1) <= slots
            and tile_name(level, number) == name
        )
    return False
