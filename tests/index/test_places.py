"""Where the index lies: in the cache directory, unless the mount table says that it is on a network."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from artifactstore.index.places import MOUNT_TABLE, index_folder, is_network_type

STORE = bytes(range(32))


def mount_table(folder: Path, *mounts: tuple[str, str]) -> Path:
    """A table in the kernel's form: point and type of each mount."""
    lines = [
        f"{n} 1 0:{n} / {point} rw,relatime shared:1 - {kind} server:/export rw\n"
        for n, (point, kind) in enumerate(mounts)
    ]
    path = folder / "mountinfo"
    path.write_text("".join(lines))
    return path


def test_local_cache(tmp_path: Path) -> None:
    """On a local file system the index is in the cache directory, by store, without a word."""
    table = mount_table(tmp_path, ("/", "ext4"), ("/net", "nfs4"))
    found = index_folder(tmp_path / "cache", STORE, mount_table=table)
    assert found == (tmp_path.resolve() / "cache" / "index" / STORE.hex(), None)


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "lustre", "ceph", "fuse.sshfs", "fuse.rclone", "9p"]
)
def test_network_cache(tmp_path: Path, kind: str) -> None:
    """On a network file system the index is in local temporary space, for this user alone, with a word."""
    home, local = tmp_path / "home", tmp_path / "local"
    home.mkdir()
    local.mkdir()
    table = mount_table(tmp_path, ("/", "ext4"), (str(home), kind))
    path, notice = index_folder(home / "cache", STORE, mount_table=table, temporary=[local])
    own = local / f"artifactstore-{os.getuid()}"
    assert path == own / "index" / STORE.hex()
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert notice == f"the cache directory {home / 'cache'} is on {kind}; the index is kept in {path}"
    assert index_folder(home / "cache", STORE, mount_table=table, temporary=[local]).path == path


def test_longest_and_latest_mount_decides(tmp_path: Path) -> None:
    """A mount within a mount hides it, a later one at the same point the earlier; a like name is another."""
    home = tmp_path / "home"
    inner = home / "local"
    table = mount_table(tmp_path, ("/", "nfs"), (str(home), "nfs"), (str(home), "xfs"), (str(inner), "nfs4"))
    other = tmp_path / "homes"
    results = [
        index_folder(cache, STORE, mount_table=table, temporary=[]).notice is None
        for cache in (home / "cache", inner / "cache", other / "cache")
    ]
    assert results == [True, False, False]


def test_spaces_in_mount_points(tmp_path: Path) -> None:
    """The kernel writes a space in a mount point as \\040."""
    table = mount_table(tmp_path, ("/", "ext4"), (str(tmp_path / "my\\040share"), "cifs"))
    found = index_folder(tmp_path / "my share" / "cache", STORE, mount_table=table, temporary=[])
    assert found.notice is not None


def test_links_are_followed(tmp_path: Path) -> None:
    """A cache directory that is a link to the network is on the network."""
    (tmp_path / "net").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "net")
    table = mount_table(tmp_path, ("/", "ext4"), (str(tmp_path / "net"), "nfs"))
    assert index_folder(tmp_path / "cache", STORE, mount_table=table, temporary=[]).notice is not None


def test_temporary_space_on_the_network_is_passed_over(tmp_path: Path) -> None:
    """The first local temporary folder is taken; without one the cache directory is, with a warning."""
    for name in ("home", "net", "local"):
        (tmp_path / name).mkdir()
    table = mount_table(
        tmp_path, ("/", "ext4"), (str(tmp_path / "home"), "nfs"), (str(tmp_path / "net"), "nfs")
    )
    candidates = [tmp_path / "missing", tmp_path / "net", tmp_path / "local"]
    found = index_folder(tmp_path / "home", STORE, mount_table=table, temporary=candidates)
    assert found.path.is_relative_to(tmp_path / "local")
    found = index_folder(tmp_path / "home", STORE, mount_table=table, temporary=candidates[:2])
    assert found.path.is_relative_to(tmp_path / "home")
    assert found.notice is not None
    assert "one machine only" in found.notice


@pytest.mark.parametrize("kind", ["link", "open", "file"])
def test_a_folder_others_could_have_made_is_not_used(tmp_path: Path, kind: str) -> None:
    """Where the usual name in temporary space is a link, a file or open to others, a new folder is made."""
    home, local = tmp_path / "home", tmp_path / "local"
    home.mkdir()
    local.mkdir()
    usual = local / f"artifactstore-{os.getuid()}"
    if kind == "link":
        usual.symlink_to(home)
    elif kind == "open":
        usual.mkdir()
        usual.chmod(0o777)
    else:
        usual.touch()
    table = mount_table(tmp_path, ("/", "ext4"), (str(home), "nfs"))
    path = index_folder(home, STORE, mount_table=table, temporary=[local]).path
    own = path.parent.parent
    assert own.parent == local
    assert own.name.startswith(f"{usual.name}-")
    assert stat.S_IMODE(own.lstat().st_mode) == 0o700


def test_no_or_odd_mount_table(tmp_path: Path) -> None:
    """Without a mount table, or with lines of another form, everything counts as local."""
    odd = tmp_path / "odd"
    odd.write_bytes(b"nonsense\n - \n1 2 3 - nfs\n\xff\xfe - \xff x\n\n")
    for table in (tmp_path / "missing", odd):
        assert index_folder(tmp_path, STORE, mount_table=table).notice is None


def test_this_machines_table_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's own table parses, where there is one, and the default temporary space is used."""
    assert index_folder(tmp_path, STORE, mount_table=MOUNT_TABLE).path.name == STORE.hex()
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    table = mount_table(tmp_path, ("/", "ext4"), (str(tmp_path / "home"), "nfs"))
    assert index_folder(tmp_path / "home", STORE, mount_table=table).path.is_relative_to(
        tmp_path / "temporary"
    )


def test_types() -> None:
    """File systems in user space count as remote unless they are known to be local."""
    assert [
        is_network_type(kind) for kind in ("nfs4", "fuse.s3fs", "fuse.mergerfs", "fuseblk", "ext4", None)
    ] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
