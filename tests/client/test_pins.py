"""Pins: which store this client saw at a URL, kept whole through crashes."""

from pathlib import Path

import pytest

from artifactstore.client import pins
from artifactstore.errors import RolledBack
from tests.stores import make_store, reopened

ONE, OTHER = b"\x01" * 32, b"\x02" * 32


def test_a_pin_is_found_again_and_replaced(tmp_path: Path) -> None:
    """By URL; the newest counts, and nothing lies beside it."""
    assert pins.pinned(tmp_path, "memory://a") is None
    pins.pin(tmp_path, "memory://a", ONE)
    assert (pins.pinned(tmp_path, "memory://a"), pins.pinned(tmp_path, "memory://b")) == (ONE, None)
    pins.pin(tmp_path, "memory://a", OTHER)
    assert pins.pinned(tmp_path, "memory://a") == OTHER
    assert len(list((tmp_path / "pins").iterdir())) == 1
    assert (tmp_path / "pins").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("left", [b"", b"00ff", b"\xff" * 64, b"g" * 64])
def test_what_a_crash_left_of_a_pin_is_none(tmp_path: Path, left: bytes) -> None:
    """A cut or altered pin shuts nobody out; the next opening writes it anew."""
    with make_store(tmp_path, tmp_path / "store") as store:
        pin = next((tmp_path / "cache" / "pins").iterdir())
        pin.write_bytes(left)
        with reopened(tmp_path, store) as again:
            assert again.id == store.id
        assert pin.read_text() == store.id


def test_another_store_in_its_place_is_refused(tmp_path: Path) -> None:
    """By its pin alone, until it is named."""
    with make_store(tmp_path, tmp_path / "store"):
        pass
    (tmp_path / "store").rename(tmp_path / "moved")
    with make_store(
        tmp_path,
        tmp_path / "store",
    ) as second:
        pin = next(path for path in (tmp_path / "cache" / "pins").iterdir())
        assert pin.read_text() == second.id
        pin.write_text(ONE.hex())
        with pytest.raises(RolledBack):
            reopened(tmp_path, second)
        with reopened(tmp_path, second, store_id=second.id):
            assert pin.read_text() == second.id


def test_a_cache_that_can_not_be_written_remembers_nothing(tmp_path: Path) -> None:
    """And nothing fails for it."""
    (tmp_path / "pins").write_bytes(b"")
    pins.pin(tmp_path, "memory://a", ONE)
    assert pins.pinned(tmp_path, "memory://a") is None
