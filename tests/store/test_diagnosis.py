"""The doctor: everything in order, and each thing that may be out of order by itself."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from artifactstore import Finding, diagnose
from artifactstore.backend.local import LocalBackend
from artifactstore.errors import ConnectionLost, PermissionRefused, UntrustedBackend
from artifactstore.executors import inline
from artifactstore.store import diagnosis
from tests.stores import A_DAY_AGO_NS, FakeClock, make_store, objects_of


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a store, its key and its cache."""
    make_store(tmp_path, tmp_path / "store").close()
    return tmp_path


def examined(place: Path, **options: Any) -> dict[str, list[Finding]]:
    """What the doctor says, by subject."""
    settings = {"key_file": place / "key", "cache_dir": place / "cache", **options}
    found: dict[str, list[Finding]] = {}
    for each in diagnose(settings.pop("url", place / "store"), **settings):
        found.setdefault(each.subject, []).append(each)
    return found


def verdicts(found: dict[str, list[Finding]]) -> dict[str, str]:
    """The worst verdict of each subject."""
    order = [diagnosis.OK, diagnosis.WARNING, diagnosis.PROBLEM]
    return {
        subject: max((each.verdict for each in those), key=order.index) for subject, those in found.items()
    }


def test_a_store_in_order(place: Path) -> None:
    """Every subject is looked at and nothing is wrong, but that one key alone opens the store."""
    found = examined(place)
    assert verdicts(found) == {
        "python": "ok", "libraries": "ok", "extras": "ok", "key-file": "ok", "backend": "ok", "permissions": "ok",
        "clock": "ok", "unlocking": "ok", "backup": "warning", "index": "ok", "space": "ok",
    }  # fmt: skip
    assert found["unlocking"][0].facts == {"records": 1}
    for each in (each for those in found.values() for each in those):
        assert bool(each.next_step) == (each.verdict != "ok"), each


def test_a_second_key_is_a_backup(place: Path) -> None:
    """A recovery phrase counts; a member who may only read does not."""
    with make_store(place, place / "other") as store:
        line = "artifactstore-key:1:ben:B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9_AsrhtHHw:bb895026"
        store.members.add(line, read_only=True)
        assert verdicts(examined(place, url=place / "other"))["backup"] == "warning"
        store.members.add_recovery("safe")
    assert verdicts(examined(place, url=place / "other"))["backup"] == "ok"


def test_looking_changes_nothing_and_probing_leaves_nothing(place: Path) -> None:
    """Objects are the same before and after."""
    with make_store(place, place / "other") as store:
        before = objects_of(store)
        examined(place, url=place / "other")
        found = examined(place, url=place / "other", probe_backend=True)
        assert objects_of(store) == before
    assert verdicts(found)["promise"] == verdicts(found)["clock"] == "ok"


def test_key_files(place: Path) -> None:
    """Missing, open to others, altered: each with its own sentence, and the store can't be unlocked."""
    key = place / "key"
    key.chmod(0o644)
    found = examined(place)
    assert (found["key-file"][0].verdict, found["key-file"][0].facts["kind"]) == ("problem", "key-exposed")
    assert found["unlocking"][0].verdict == "problem"
    key.chmod(0o600)
    text = key.read_text()
    key.write_text(text.replace("key: ", "key: x"))
    assert examined(place)["key-file"][0].facts["kind"] == "key-damaged"
    key.unlink()
    found = examined(place)
    assert found["key-file"][0].facts["kind"] == "key-missing"
    assert "key restore" in found["key-file"][0].next_step
    assert verdicts(examined(place, key_file=None))["key-file"] == "warning"
    assert verdicts(examined(place, key_file=None, password_command="true"))["key-file"] == "ok"


def test_a_store_that_is_not_there(place: Path) -> None:
    """What lies behind it is not asked about; the machine is."""
    found = examined(place, url=place / "nowhere")
    assert verdicts(found)["backend"] == "problem"
    assert "artifactstore init" in found["backend"][0].next_step
    assert set(found) == {"python", "libraries", "extras", "key-file", "backend", "space"}
    (place / "empty").mkdir()
    assert examined(place, url=place / "empty")["backend"][0].facts["kind"] == "no-such-store"


def failing(monkeypatch: pytest.MonkeyPatch, method: str, error: Exception) -> None:
    """Let a method of the backend fail."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(LocalBackend, method, fail)


def test_a_backend_that_fails(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unreachable is a problem, one that may not be listed a warning; what may not be written shows on --probe."""
    with monkeypatch.context() as patch:
        failing(patch, "get_range", ConnectionLost("no route", next_step="look at the cable"))
        (finding,) = examined(place)["backend"]
        assert (finding.verdict, finding.message, finding.next_step) == (
            "problem",
            "no route",
            "look at the cable",
        )
    with monkeypatch.context() as patch:
        failing(patch, "list", PermissionRefused("may not list"))
        assert verdicts(examined(place))["permissions"] == "warning"
    with monkeypatch.context() as patch:
        failing(patch, "create", PermissionRefused("may not write"))
        found = examined(place, probe_backend=True)
        assert (found["promise"][0].verdict, found["promise"][0].message) == ("problem", "may not write")
    with monkeypatch.context() as patch:
        patch.setattr(LocalBackend, "create_doubt", "it lets everybody win")
        found = examined(place, probe_backend=True)
        assert found["promise"][0].facts["kind"] == UntrustedBackend.kind
    assert verdicts(examined(place, single_writer=True))["promise"] == "warning"


def test_a_slow_backend(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a second for a byte is worth a word."""
    clock = FakeClock()
    real = LocalBackend.get_range

    def slow(self: LocalBackend, *words: Any) -> bytes:
        clock.sleep(2)
        return real(self, *words)

    monkeypatch.setattr(LocalBackend, "get_range", slow)
    (finding,) = examined(place, clock=clock)["backend"]
    assert (finding.verdict, finding.facts["latency_ms"]) == ("warning", 2000)


def test_clocks(place: Path) -> None:
    """A clock that is behind the newest record shows by itself, one that is ahead when it is compared."""
    now_ns = (place / "store" / "log" / f"{0:016}").stat().st_mtime_ns
    behind, ahead = FakeClock(now_ns - A_DAY_AGO_NS), FakeClock(now_ns + A_DAY_AGO_NS)
    assert verdicts(examined(place, clock=behind))["clock"] == "problem"
    assert verdicts(examined(place, clock=ahead))["clock"] == "ok"
    found = examined(place, clock=ahead, probe_backend=True, make_executors=threads_or_inline)
    assert (found["clock"][0].verdict, "ahead of" in found["clock"][0].message) == ("problem", True)
    some = FakeClock(now_ns - 300 * 10**9)
    assert verdicts(examined(place, clock=some))["clock"] == "warning"


def threads_or_inline() -> Any:
    """Executors of one thread."""
    from contextlib import nullcontext

    return nullcontext(inline())


def test_an_index_that_was_damaged(place: Path) -> None:
    """It is made anew, as by every command, and said."""
    (data,) = (place / "cache" / "index").glob("*/data.mdb")
    data.write_bytes(b"garbage" * 1000)
    found = examined(place)
    assert found["index"][0].verdict == "warning"
    assert "built anew" in found["index"][0].message
    assert verdicts(examined(place))["index"] == "ok"


def test_space_on_disks(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is a warning, hardly any a problem, for each of the folders that are written."""
    usage = shutil.disk_usage(place)
    for free, verdict in ((500 << 20, "warning"), (1 << 20, "problem")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        found = examined(place)["space"]
        assert [each.verdict for each in found] == [verdict] * 3
        assert found[0].next_step.endswith("artifactstore cache clean")


def test_what_is_not_installed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is missing is a problem; an extra is not."""
    real = diagnosis._release
    monkeypatch.setattr(
        diagnosis,
        "_release",
        lambda name: None if name in {"lmdb", "s3fs", "fsspec", "gcsfs"} else real(name),
    )
    found = examined(place)
    assert (found["libraries"][0].verdict, "lmdb" in found["libraries"][0].message) == ("problem", True)
    assert found["extras"][0].verdict == "ok"
