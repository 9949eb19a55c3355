"""The check of a data file before LMDB maps it: whole files pass, cut and foreign ones never reach LMDB."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifactstore.index.environment import Environment
from artifactstore.index.header import IndexBroken, check_data_file

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The data file of a small index with two tables."""
    folder = tmp_path_factory.mktemp("good") / "index"
    with Environment.open(folder, tables=["a", "b"]) as environment:
        for round_ in range(3):
            with environment.write() as txn:
                txn.put_many("a", ((b"%6d" % n, b"v" * 50) for n in range(round_ * 500)))
                txn.put("b", b"key", b"value")
    return (folder / "data.mdb").read_bytes()


def check(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(data)
    check_data_file(tmp_path)


def newest_meta(data: bytes) -> int:
    """The offset of the meta page of the last transaction."""
    return max(0, PAGE, key=lambda at: struct.unpack_from("=Q", data, at + 144)[0])


def test_sound_files_pass(tmp_path: Path, good: bytes) -> None:
    """No file, an empty one, a whole one and a longer one are fine."""
    check_data_file(tmp_path)
    for data in (b"", good, good + bytes(PAGE)):
        check(tmp_path, data)


def test_every_cut_is_found(tmp_path: Path, good: bytes) -> None:
    """A file cut at any page, and at odd bytes, is broken."""
    for size in [1, 15, 151, PAGE - 1, PAGE + 100, *range(PAGE, len(good), PAGE), len(good) - 1]:
        with pytest.raises(IndexBroken, match="cut"):
            check(tmp_path, good[:size])


@given(st.binary(min_size=1, max_size=20_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_is_refused(tmp_path: Path, data: bytes) -> None:
    """Bytes that are not LMDB's never reach it."""
    with pytest.raises(IndexBroken):
        check(tmp_path, data)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_altered_meta_pages(tmp_path: Path, good: bytes, drawn: st.DataObject) -> None:
    """Whatever stands in the meta pages, the check raises its own error or nothing."""
    noise = drawn.draw(st.binary(min_size=1, max_size=16))
    at = drawn.draw(st.sampled_from([0, PAGE])) + drawn.draw(st.integers(0, 160))
    try:
        check(tmp_path, good[:at] + noise + good[at + len(noise) :])
    except IndexBroken as error:
        assert error.path == tmp_path  # noqa: PT017 - most alterations are refused, not all need be


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ((10, "=H"), 0, "not an LMDB data file"),
        ((16, "=I"), 0xDEADBEEF, "not an LMDB data file"),
        ((20, "=I"), 3, "data format 3"),
        ((40, "=I"), 0, "pages of 0 bytes"),
        ((40, "=I"), 5000, "pages of 5000 bytes"),
        ((40, "=I"), 1 << 20, "pages of 1048576 bytes"),
        ((128, "=Q"), 1 << 40, "root lies outside"),
        ((128, "=Q"), 0, "root lies outside"),
        ((94, "=H"), 99, "root lies outside"),
        ((136, "=Q"), 1 << 40, "cut"),
    ],
)
def test_each_field(tmp_path: Path, good: bytes, field: tuple[int, str], value: int, reason: str) -> None:
    """Each field that LMDB would follow blindly is checked, and the reason names it."""
    data = bytearray(good)
    offset, form = field
    struct.pack_into(form, data, newest_meta(good) + offset, value)
    with pytest.raises(IndexBroken, match=reason):
        check(tmp_path, bytes(data))


def test_root_page_of_zeros(tmp_path: Path, good: bytes) -> None:
    """A root page that a crash left unwritten is found."""
    root = struct.unpack_from("=Q", good, newest_meta(good) + 128)[0] * PAGE
    with pytest.raises(IndexBroken, match="root page"):
        check(tmp_path, good[:root] + bytes(PAGE) + good[root + PAGE :])


def test_not_a_file(tmp_path: Path) -> None:
    """A folder in place of the data file is broken, too."""
    (tmp_path / "data.mdb").mkdir()
    with pytest.raises(IndexBroken, match="folder"):
        check_data_file(tmp_path)
