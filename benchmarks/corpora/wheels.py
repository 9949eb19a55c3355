"""Successive releases of two large wheels, unpacked side by side: mostly shared objects and source texts.

Also the one place that fetches wheels: pinned releases for one platform tag, so that the bytes are the same
on every machine that runs the benchmark.
"""

import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

# About 265 MB a version; neighbouring releases share many files, though rarely the large libraries.
RELEASES = [
    ("scipy==1.14.0", "pyarrow==18.0.0"),
    ("scipy==1.14.1", "pyarrow==18.1.0"),
    ("scipy==1.15.0", "pyarrow==19.0.0"),
    ("scipy==1.15.1", "pyarrow==19.0.1"),
    ("scipy==1.15.2", "pyarrow==20.0.0"),
    ("scipy==1.15.3", "pyarrow==21.0.0"),
]
_TARGET = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
_PLATFORMS = ["--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64"]


def make(folder: Path, work: Path, scale: float) -> None:
    """Unpack the releases as v0, v1 …; a scale below 1 keeps fewer releases and a sample of their files."""
    count = len(RELEASES) if scale >= 1 else max(2, round(len(RELEASES) * scale))
    for number, requirements in enumerate(RELEASES[:count]):
        for requirement in requirements:
            _unpack(fetch(requirement, work), folder / f"v{number}", scale)


def fetch(requirement: str, work: Path) -> Path:
    """Return the wheel of a pinned requirement, downloaded once into the work folder."""
    folder = work / "wheels" / requirement.replace("==", "-")
    if not list(folder.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*command, *_TARGET, *_PLATFORMS, "-d", str(folder), requirement], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _unpack(wheel: Path, folder: Path, scale: float) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            # By the name's checksum, so that the same files are kept of every release.
            if zlib.crc32(name.encode()) < scale * 2**32:
                archive.extract(name, folder)
