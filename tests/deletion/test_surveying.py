"""A survey reads pages of many versions together, and finds the same as one that reads them one after the other."""

from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.backend.base import Backend
from artifactstore.client import opening
from artifactstore.content.get import ChunkReader
from artifactstore.errors import Damaged
from artifactstore.format.pack import PackType
from artifactstore.maintenance import survey
from artifactstore.maintenance.mark import Mark
from artifactstore.testing import MeteredBackend
from tests.stores import make_store, memory_url, reopened, write_tree

VERSIONS = 70


@pytest.fixture
def store(tmp_path: Path):
    """Versions that grow by a file each; the even ones are deleted, by two records."""
    with make_store(tmp_path) as made:
        for number in range(8):
            write_tree(tmp_path / "in" / f"d{number}", {"a": b"%d" % number, "b": b"same"})
            made.push([tmp_path / "in"], "p/n")
        made.delete(["p/n:v0", "p/n:v2"], now=True)
        made.delete(["p/n:v4"], now=True)
        yield made


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> Mark:
        raise Damaged("for this test")

    monkeypatch.setattr(survey, "_mark_together", refused)


def test_the_survey_is_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way the versions are read."""
    together = store.plan_gc()
    one_by_one(monkeypatch)
    alone = store.plan_gc()
    assert together.plan == alone.plan
    assert together.mark.live == alone.mark.live
    assert together.mark.dead == alone.mark.dead
    assert set(together.mark.dead.values()) == {0, 1}


def test_a_version_that_can_t_be_read_is_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the plan is the one of a survey that never read anything together."""
    damaged = store.version("p/n:v3").manifest.cid
    real = ChunkReader.read_many

    def read_many(reader: ChunkReader, kind: PackType, cids) -> list[bytes]:
        if damaged in cids:
            raise Damaged("a page is hurt")
        return real(reader, kind, cids)

    monkeypatch.setattr(ChunkReader, "read_many", read_many)
    together = store.plan_gc()
    one_by_one(monkeypatch)
    assert together.plan == store.plan_gc().plan
    found = survey._marked(survey.SurveyParts(*_parts(store), store._progress), (), ())
    assert found[1] == ("p/n:v3",)


def _parts(store: Store) -> tuple:
    parts = store._parts
    return parts.backend, parts.environment, parts.packs, parts.log, parts.reader


def test_round_trips_don_t_grow_with_each_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each version has pages of its own in a pack of its own; 64 of them are asked for at once."""
    made: list[MeteredBackend] = []
    real = opening.open_backend

    def metered(url: str, **options) -> Backend:
        made.append(MeteredBackend(real(url, **options)))
        return made[-1]

    monkeypatch.setattr(opening, "open_backend", metered)
    with make_store(tmp_path, memory_url()) as store:
        for number in range(VERSIONS):
            write_tree(tmp_path / "in", {f"{number}": b"%d" % number})
            store.push([tmp_path / "in"], "p/n")
        store.delete([f"p/n:v{number}" for number in range(0, VERSIONS, 2)], now=True)
    for act in (lambda opened: opened.plan_gc(), lambda opened: opened.du(["p/n:*"])):
        with reopened(tmp_path, store) as opened:
            opened.versions("p/n")
            made[-1].reset()
            act(opened)
            assert made[-1].requests["get_range"] >= VERSIONS
            assert made[-1].round_trips < 15
