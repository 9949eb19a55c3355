"""A disk that forgets what was not synced: a FUSE file system in a process of its own, whose power can be cut.

Bytes survive if their file was fsynced after they were written, a name if its folder was fsynced after it was made,
moved or removed. Of the rest either nothing survives, or what a seed chooses: single names, single blocks of files.
Changes and syncs are counted. At one of them the disk can hold its breath, until whoever works on it was killed; then
it goes on, or the power was cut at that moment. Modes, owners and times are kept as they are: no content hangs on them.
"""

import errno
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BLOCK_BYTES = 4096
SIZE_BYTES = 1 << 30
# A local file system by its name, so that the client's index may lie here too.
_TYPE = "ext4"


class Disk:
    """The disk as its user sees it.

    Args:
        path: Where it is mounted.
        process: The one that serves it.
    """

    def __init__(self, path: Path, process: "subprocess.Popen[bytes]") -> None:
        self.path = path
        self._process = process

    @property
    def answers(self) -> int:
        """The descriptor on which "held" is said."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def count(self) -> int:
        """How many changes and syncs there were."""
        return int(self._ask("count"))

    def hold(self, after: int) -> None:
        """Hold the breath at the change or sync that comes after so many."""
        assert self._ask(f"hold {after}") == "ok"

    def held(self) -> None:
        """Wait until it does."""
        assert self._answer() == "held"

    def go_on(self) -> None:
        """Let the change take place that is held, and hold no other."""
        assert self._ask("go") == "ok"

    def cut(self, seed: int | None) -> None:
        """Cut the power, and let it return.

        Args:
            seed: Chooses what survives beside what was synced; None: nothing.
        """
        assert self._ask(f"cut {'' if seed is None else seed}") == "ok"

    def _ask(self, what: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(what.encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        said = b""
        while not said.endswith(b"\n"):
            # Unbuffered, so that who waits on the descriptor misses nothing.
            part = os.read(self.answers, 1)
            assert part, "the disk is gone"
            said += part
        return said.decode().strip()


def why_not() -> str:
    """Why there can be no such disk here; empty where there can."""
    if find_spec("mfusepy") is None or shutil.which("fusermount3") is None:
        return "mfusepy or fuse3 is not installed"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "file systems in user space are not permitted here"
    return ""


@contextmanager
def forgetful_disk(path: Path) -> Iterator[Disk]:
    """Mount an empty disk at `path`, which is made."""
    path.mkdir()
    process = subprocess.Popen(
        [sys.executable, __file__, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        bufsize=0,
    )
    disk = Disk(path, process)
    try:
        assert disk._answer() == "ready"
        yield disk
    finally:
        subprocess.run(["fusermount3", "-u", "-z", path], check=False, capture_output=True)
        process.kill()
        process.communicate()


class _Node:
    """A file, symlink or folder: as it is, and as it would be after a cut."""

    def __init__(self, mode: int, number: int) -> None:
        self.mode = mode
        self.number = number
        self.links = 1
        self.owner = (os.getuid(), os.getgid())
        self.times_ns = (time.time_ns(), time.time_ns())
        self.target = ""
        self.data = bytearray()
        self.kept = b""
        self.names: dict[str, _Node] = {}
        self.kept_names: dict[str, _Node] = {}

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    def sync(self) -> None:
        """Keep what it is now."""
        self.kept = bytes(self.data)
        self.kept_names = dict(self.names)


def _survivor(node: _Node, choice: random.Random | None, files: dict[int, _Node]) -> _Node:
    """What is left of a node and all below it. A file that had two names has them still."""
    if not node.is_folder and node.number in files:
        files[node.number].links += 1
        return files[node.number]
    left = _Node(node.mode, node.number)
    left.owner, left.times_ns, left.target = node.owner, node.times_ns, node.target
    for name in sorted({*node.names, *node.kept_names}):
        now, kept = node.names.get(name), node.kept_names.get(name)
        chosen = kept if choice is None else choice.choice((kept, now))
        if chosen is not None:
            left.names[name] = _survivor(chosen, choice, files)
    left.data = bytearray(node.kept if choice is None else _torn(node.kept, bytes(node.data), choice))
    left.sync()
    if not node.is_folder:
        files[node.number] = left
    return left


def _torn(kept: bytes, now: bytes, choice: random.Random) -> bytes:
    """A file with some of its blocks written, of either length."""
    size = len(choice.choice((kept, now)))
    blocks = []
    for start in range(0, size, BLOCK_BYTES):
        block = choice.choice((kept, now))[start : min(size, start + BLOCK_BYTES)]
        blocks.append(block.ljust(min(BLOCK_BYTES, size - start), b"\0"))
    return b"".join(blocks)


class Platter:
    """What the disk holds, and how its power is cut; its operations are those of `mfusepy`, one at a time."""

    use_ns = True

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last = 1
        self.root = _Node(stat.S_IFDIR | 0o755, 1)
        self._open: dict[int, _Node] = {}
        self.changes = 0
        self.hold_at = -1
        self.released = threading.Event()
        self._was_cut = False

    def cut(self, seed: str) -> None:
        """Forget; what is open now belongs to nobody any more."""
        self.root = _survivor(self.root, random.Random(int(seed)) if seed else None, {})
        self._was_cut = True

    def _change(self) -> None:
        """Before each change and each sync."""
        self.changes += 1
        if self.changes == self.hold_at:
            self._was_cut = False
            self.released.clear()
            self._say("held")
            self.released.wait()
            if self._was_cut:
                raise OSError(errno.EIO, "the power is gone")

    def _node(self, path: str, fh: int | None = None) -> _Node:
        if fh is not None and fh in self._open:
            return self._open[fh]
        node = self.root
        for name in filter(None, path.split("/")):
            if not node.is_folder:
                raise OSError(errno.ENOTDIR, path)
            if name not in node.names:
                raise OSError(errno.ENOENT, path)
            node = node.names[name]
        return node

    def _parent(self, path: str) -> tuple[_Node, str]:
        above, _, name = path.rpartition("/")
        return self._node(above), name

    def _add(self, path: str, mode: int) -> _Node:
        self._change()
        parent, name = self._parent(path)
        if name in parent.names:
            raise OSError(errno.EEXIST, path)
        self._last += 1
        parent.names[name] = node = _Node(mode, self._last)
        return node

    def _opened(self, node: _Node) -> int:
        self._last += 1
        self._open[self._last] = node
        return self._last

    # --- reading --------------------------------------------------------------------------------------------

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        node = self._node(path, fh)
        size = len(node.target.encode()) if node.target else len(node.data)
        accessed, modified = node.times_ns
        return {
            "st_ino": node.number,
            "st_mode": node.mode,
            "st_nlink": node.links,
            "st_uid": node.owner[0],
            "st_gid": node.owner[1],
            "st_size": size,
            "st_blocks": -(-size // 512),
            "st_atime": accessed,
            "st_mtime": modified,
            "st_ctime": modified,
        }

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        here = self._node(path)
        named = {".": here, "..": here, **here.names}
        return [(name, {"st_ino": node.number, "st_mode": node.mode}, 0) for name, node in named.items()]

    def readlink(self, path: str) -> str:
        return self._node(path).target

    def open(self, path: str, flags: int) -> int:
        return self._opened(self._node(path))

    def opendir(self, path: str) -> int:
        return self._opened(self._node(path))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._node(path, fh).data[offset : offset + size])

    def release(self, path: str, fh: int) -> int:
        self._open.pop(fh, None)
        return 0

    releasedir = release

    def statfs(self, path: str) -> dict[str, int]:
        blocks = SIZE_BYTES // BLOCK_BYTES
        return {
            "f_bsize": BLOCK_BYTES,
            "f_frsize": BLOCK_BYTES,
            "f_blocks": blocks,
            "f_bfree": blocks,
            "f_bavail": blocks,
            "f_namemax": 255,
        }

    # --- changing -------------------------------------------------------------------------------------------

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return self._opened(self._add(path, stat.S_IFREG | stat.S_IMODE(mode)))

    def mkdir(self, path: str, mode: int) -> int:
        self._add(path, stat.S_IFDIR | stat.S_IMODE(mode))
        return 0

    def symlink(self, target: str, source: str) -> int:
        self._add(target, stat.S_IFLNK | 0o777).target = source
        return 0

    def link(self, target: str, source: str) -> int:
        self._change()
        parent, name = self._parent(target)
        if name in parent.names:
            raise OSError(errno.EEXIST, target)
        parent.names[name] = node = self._node(source)
        node.links += 1
        return 0

    def unlink(self, path: str) -> int:
        self._change()
        parent, name = self._parent(path)
        parent.names.pop(name).links -= 1
        return 0

    def rmdir(self, path: str) -> int:
        self._change()
        parent, name = self._parent(path)
        if parent.names[name].names:
            raise OSError(errno.ENOTEMPTY, path)
        del parent.names[name]
        return 0

    def rename(self, old: str, new: str) -> int:
        self._change()
        source, name = self._parent(old)
        target, new_name = self._parent(new)
        if new_name in target.names:
            if target.names[new_name].names:
                raise OSError(errno.ENOTEMPTY, new)
            target.names[new_name].links -= 1
        target.names[new_name] = source.names.pop(name)
        return 0

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._change()
        node = self._node(path, fh)
        node.data.extend(bytes(max(0, offset - len(node.data))))
        node.data[offset : offset + len(data)] = data
        node.times_ns = (node.times_ns[0], time.time_ns())
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._change()
        node = self._node(path, fh)
        del node.data[length:]
        node.data.extend(bytes(length - len(node.data)))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._change()
        self._node(path, fh).sync()
        return 0

    fsyncdir = fsync

    def chmod(self, path: str, mode: int) -> int:
        node = self._node(path)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        self._node(path).owner = (uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        self._node(path).times_ns = times or (time.time_ns(), time.time_ns())
        return 0


def _obey(platter: Platter, say: Callable[[str], None]) -> None:
    """Do what standard input asks for."""
    for line in sys.stdin:
        what, _, argument = line.strip("\n").partition(" ")
        if what == "count":
            say(str(platter.changes))
            continue
        if what == "hold":
            platter.hold_at = platter.changes + 1 + int(argument)
        elif what == "cut":
            platter.cut(argument)
        if what != "hold":
            platter.hold_at = -1
            platter.released.set()
        say("ok")


def _serve(folder: str) -> None:
    import mfusepy

    def say(what: str) -> None:
        os.write(1, what.encode() + b"\n")

    class Served(Platter, mfusepy.Operations):  # type: ignore[misc]
        def init(self, path: str) -> None:
            threading.Thread(target=_obey, args=(self, say), daemon=True).start()
            say("ready")

    mfusepy.FUSE(
        Served(say),
        folder,
        foreground=True,
        nothreads=True,
        use_ino=True,
        hard_remove=True,
        # The kernel remembers nothing that a cut would have to take away from it.
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        default_permissions=True,
        subtype=_TYPE,
        fsname="forgetful",
    )


if __name__ == "__main__":
    _serve(sys.argv[1])
