"""Checking a listing of the backend: packs of another size than their record says, and objects that no record names.

The latter harm nobody, and none of them counts: packs may be of a push that was cut or is still running, others were
put there by a stranger. They are told, and not called damage.
"""

import re
from typing import Final, NamedTuple

from artifactstore.backend.base import Backend
from artifactstore.errors import PermissionRefused
from artifactstore.format.alive import run_of_name
from artifactstore.format.record import slot_name
from artifactstore.format.tile import DATA_TILE_WIDTH, TILE_WIDTH, data_tile_name, tile_name
from artifactstore.index.environment import Environment
from artifactstore.index.tables import PackTable, Position
from artifactstore.maintenance.findings import Objects, Pile
from artifactstore.pack.names import pack_name

# Left by writers and by tests of the backend.
_PASSED_OVER: Final = ("tmp/", "probe/")
_PACK: Final = re.compile(r"packs/[0-9a-f]{2}/([0-9a-f]{64})")
# More levels would cover more slots than there can be.
_LEVELS_MAX: Final = 8


class Listed(NamedTuple):
    """What a listing tells; nothing where listing is forbidden.

    Attributes:
        orphans: Packs that no record names.
        foreign: Other objects that no record names; None where listing is forbidden.
        misfits: Numbers of packs that are longer or shorter than their record says.
    """

    orphans: Objects
    foreign: Objects | None
    misfits: tuple[int, ...] = ()


def listed_objects(
    backend: Backend, environment: Environment, packs: PackTable, position: Position
) -> Listed:
    """List the backend once, and hold every name, and a pack's size, against what records say."""
    known = {f"keys/{digest.hex()}" for digest in position.keys}
    orphans, foreign = Pile(), Pile()
    misfits: list[int] = []
    try:
        for info in backend.list(""):
            name = info.name
            pack = _PACK.fullmatch(name)
            if pack is not None and pack_name(bytes.fromhex(pack[1])) == name:
                with environment.read() as txn:
                    registered = packs.named(txn, bytes.fromhex(pack[1]))
                if registered is None:
                    orphans.add(name, info.size_bytes)
                elif registered.added.size != info.size_bytes:
                    misfits.append(registered.number)
            elif not (_is_expected(name) or name in known or _is_of_log(name, position.next_slot)):
                foreign.add(name, info.size_bytes)
    except PermissionRefused:
        return Listed(Objects(), None)
    return Listed(orphans.objects(), foreign.objects(), tuple(misfits))


def _is_expected(name: str) -> bool:
    """Whether an object may lie there without being named: what is left over, and signs of life of runs."""
    return name.startswith(_PASSED_OVER) or run_of_name(name) is not None


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
