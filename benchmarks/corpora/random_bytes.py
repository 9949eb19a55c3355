"""Two gibibytes of random bytes in one file, and the same file after a few small edits."""

import mmap
from pathlib import Path
from typing import BinaryIO

import numpy as np

SIZE_BYTES = 2 << 30
SEED = 20_05
EDITS = 24  # a third each overwrites, inserts and deletes bytes
_STEP_BYTES = 16 << 20


def make(folder: Path, work: Path, scale: float) -> None:
    """Write v0/random.bin and v1/random.bin."""
    del work
    size_bytes = max(_STEP_BYTES, int(SIZE_BYTES * scale))
    rng = np.random.Generator(np.random.PCG64(SEED))
    first, second = folder / "v0" / "random.bin", folder / "v1" / "random.bin"
    first.parent.mkdir()
    second.parent.mkdir()
    with first.open("wb") as out:
        for start in range(0, size_bytes, _STEP_BYTES):
            out.write(rng.bytes(min(_STEP_BYTES, size_bytes - start)))
    _write_edited(first, second, rng)


def _write_edited(source: Path, target: Path, rng: np.random.Generator) -> None:
    with (
        source.open("rb") as file,
        target.open("wb") as out,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        position = 0
        for number, offset in enumerate(sorted(rng.integers(0, len(data) - 4096, EDITS).tolist())):
            length = int(rng.integers(1, 1000))
            position = _copy(data, position, max(offset, position), out)
            if number % 3 < 2:
                out.write(rng.bytes(length))
            if number % 3 != 1:
                position += length
        _copy(data, position, len(data), out)


def _copy(data: mmap.mmap, start: int, end: int, out: BinaryIO) -> int:
    out.writelines(data[at : min(at + _STEP_BYTES, end)] for at in range(start, end, _STEP_BYTES))
    return end
