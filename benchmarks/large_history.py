"""The large history that deletion is measured on: versions with a base in common, and as many files of their own."""

import random
from collections.abc import Iterator

FILE_BYTES = 2048


def files_of(number: int, chunks: int) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of each file of a version, in order of the paths.

    Args:
        number: The version's.
        chunks: Files of the base, and files of its own; each is one chunk of bytes that nothing compresses.
    """
    for folder, seed in ("base", -1), ("own", number):
        dice = random.Random(seed)
        for at in range(chunks):
            yield f"{folder}/{at:06}", dice.randbytes(FILE_BYTES)
