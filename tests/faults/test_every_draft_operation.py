"""Every operation of saving a draft, of a draft of a version and of changing a saved one fails in its turn."""

from pathlib import Path

import pytest

from artifactstore import Artifact
from artifactstore.store.store import Store
from artifactstore.testing.model import ModelStore
from tests.faults.enumeration import ARTIFACT, CONTENTS, FAULTS, Fault, Prepared, Scenario, named, survive_all

PROJECT, NAME = ARTIFACT.split("/")


class Save(Scenario):
    """An incremental draft: what the newest version holds, and a file more."""

    def act(self, store: Store, folder: Path) -> None:
        draft = Artifact(NAME, "dataset", incremental=True)
        draft.add_file(self.sources / "second" / "folder" / "b", "more/b")
        draft.save(store, PROJECT)

    def expect(self, model: ModelStore) -> None:
        model.push(ARTIFACT, {**CONTENTS["first"], "more/b": CONTENTS["second"]["folder/b"]})


class Redraft(Scenario):
    """A draft of a version that removes a folder."""

    def act(self, store: Store, folder: Path) -> None:
        draft = store.artifact(f"{ARTIFACT}:v0").new_draft()
        draft.remove("folder")
        draft.save()

    def expect(self, model: ModelStore) -> None:
        model.push(ARTIFACT, {"a": CONTENTS["first"]["a"]})


@pytest.mark.parametrize("fault", FAULTS, ids=named)
@pytest.mark.parametrize("kind", [Save, Redraft], ids=lambda kind: kind.__name__)
def test_no_failure_loses_anything(
    prepared: Prepared, kind: type[Scenario], fault: Fault, sources: Path, tmp_path: Path
) -> None:
    """Whatever fails, the draft is saved whole or not at all, and saving it again brings it about."""
    survive_all(prepared, kind(sources), fault, tmp_path)
