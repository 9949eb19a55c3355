"""Fifty thousand small source files: new modules built from the definitions of real packages.

Each folder draws its modules from one stretch of one package's definitions, so that neighbouring files are as
alike as neighbours in a real package and no file is a copy of another. Version 1 edits 400 files, deletes 50
and adds 100.
"""

import math
import random
import re
import shutil
import zipfile
from pathlib import Path

from benchmarks.corpora.wheels import fetch

SEED = 20_08
FILES = 50_000
FILES_PER_FOLDER = 25
MEAN_BYTES = 6_400
PACKAGES = ["sympy==1.13.3", "django==5.1.4", "sqlalchemy==2.0.36", "networkx==3.4.2", "scipy==1.15.3"]
# Where a module may be cut: before a definition at the top level or in a class.
_DEFINITION = re.compile(r"^(?=(?:    )?(?:def |class |@))", re.MULTILINE)


def make(folder: Path, work: Path, scale: float) -> None:
    """Write v0 and v1."""
    rng = random.Random(SEED)
    blocks, heads = _blocks(work)
    count = max(200, int(FILES * scale))
    first = folder / "v0"
    paths: list[Path] = []
    for number in range(math.ceil(count / FILES_PER_FOLDER)):
        place = first / f"project_{number // 100:02d}" / f"part_{number % 100:02d}"
        place.mkdir(parents=True)
        modules = _modules(blocks, heads, rng, FILES_PER_FOLDER)
        for index, text in enumerate(modules[: count - len(paths)]):
            paths.append(place / f"module_{index:02d}.py")
            paths[-1].write_bytes(text)
    _write_edited(first, folder / "v1", paths, blocks, rng)


def _blocks(work: Path) -> tuple[list[bytes], list[bytes]]:
    """Return the definitions of all packages in path order, and the heads (licence, imports) of modules."""
    blocks, heads = [], []
    for requirement in PACKAGES:
        with zipfile.ZipFile(fetch(requirement, work)) as archive:
            for name in sorted(name for name in archive.namelist() if name.endswith(".py")):
                head, *rest = _DEFINITION.split(archive.read(name).decode("utf-8", "replace"))
                if head.strip():
                    heads.append(head[:3000].encode())
                blocks += [text.encode() for text in rest if 40 <= len(text) <= 20_000]
    return blocks, heads


def _modules(blocks: list[bytes], heads: list[bytes], rng: random.Random, count: int) -> list[bytes]:
    """Return `count` module texts made of one stretch of definitions, each used once."""
    position = rng.randrange(len(blocks))
    head_position = rng.randrange(len(heads))
    modules = []
    for index in range(count):
        # Log-normal as real trees are: half the files below 4 KB, a few of tens of KB.
        size_bytes = min(60_000, rng.lognormvariate(math.log(MEAN_BYTES) - 0.5, 1.0))
        text = bytearray(heads[(head_position + index) % len(heads)][: int(size_bytes)])
        while len(text) < size_bytes:
            text += blocks[position % len(blocks)]
            position += 1
        modules.append(bytes(text[: int(size_bytes * 1.1)]))
    return modules


def _write_edited(
    source: Path, target: Path, paths: list[Path], blocks: list[bytes], rng: random.Random
) -> None:
    shutil.copytree(source, target)
    share = len(paths) / FILES
    chosen = rng.sample(paths, int(450 * share))
    edited = chosen[: int(400 * share)]
    for path in edited:
        text = path.read_bytes()
        cut = rng.randrange(len(text) + 1)
        copy = target / path.relative_to(source)
        copy.write_bytes(text[:cut] + rng.choice(blocks)[:400] + text[cut + rng.randrange(200) :])
    for path in chosen[len(edited) :]:
        (target / path.relative_to(source)).unlink()
    for number in range(int(100 * share)):
        text = b"".join(rng.choice(blocks) for _ in range(4))
        (target / rng.choice(paths).parent.relative_to(source) / f"added_{number:03d}.py").write_bytes(text)
