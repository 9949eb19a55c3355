"""Every operation on the backend fails while a run begins, uses, produces and ends: lineage is as the log says."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from artifactstore.store.store import Store
from artifactstore.testing.model import ModelStore, Shown
from artifactstore.testing.simulation import World
from tests.faults.enumeration import (
    ARTIFACT,
    CONTENTS,
    FAULTS,
    Fault,
    Prepared,
    Scenario,
    named,
    survive_all,
)


class WholeRun(Scenario):
    """A run that uses the version which is there, and produces another one."""

    def act(self, store: Store, folder: Path) -> None:
        with store.run("p", "whole", git=False) as run:
            run.use(f"{ARTIFACT}:v0", "input")
            assert run.log_artifact([self.sources / "second"], ARTIFACT).number == 1

    def expect(self, model: ModelStore) -> None:
        model.push(ARTIFACT, CONTENTS["second"])

    def demand(self, store: Store, allowed: Sequence[Shown]) -> None:
        super().demand(store, allowed)
        for run in store.runs():
            assert run.state in {"running", "finished", "failed"}
            edges = {(edge.kind, edge.source, edge.target) for edge in store.lineage(run.id, depth=1).edges}
            produced = ("produced", run.id, f"{ARTIFACT}:v1")
            assert edges <= {("used", f"{ARTIFACT}:v0", run.id), produced}
            # One record says both: a run that finished has produced, and there is no version without its producer.
            assert run.state != "finished" or produced in edges
        if len(store.versions(ARTIFACT)) > 1:
            assert store.logged_by(f"{ARTIFACT}:v1") is not None

    def verify(self, world: World, store: Store) -> None:
        newest = store.runs(limit=1)[0]
        assert newest.state == "finished"
        assert len(store.lineage(newest.id, depth=1).edges) == 2


@pytest.mark.parametrize("fault", FAULTS, ids=named)
def test_no_failure_makes_a_run_other_than_the_log_says(
    prepared: Prepared, fault: Fault, sources: Path, tmp_path: Path
) -> None:
    """Whichever operation fails: check is clean, edges are those of records, a repetition succeeds."""
    survive_all(prepared, WholeRun(sources), fault, tmp_path)
