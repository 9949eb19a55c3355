"""An index to apply operations to, and pushes to apply."""

from artifactstore.catalog import rows
from artifactstore.catalog.apply import apply_operation
from artifactstore.catalog.outcome import Cause, Outcome
from artifactstore.format.operations import Manifest, Operation, Push
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import Environment

NAME = ArtifactName("p", "n")
NAME_KEY = bytes(32)


class Replay:
    """An index that operations are applied to, one record each."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.slot = 0

    def __call__(self, operation: Operation) -> Outcome:
        with self.environment.write() as txn:
            outcome = apply_operation(txn, operation, Cause(self.slot, 1000 + self.slot, bytes(16), NAME_KEY))
        self.slot += 1
        return outcome

    def aliases(self, name: ArtifactName = NAME) -> dict[str, int]:
        with self.environment.read() as txn:
            return dict(rows.aliases(txn, name))

    def version(self, number: int, name: ArtifactName = NAME) -> rows.VersionRow:
        with self.environment.read() as txn:
            found = rows.get_version(txn, name, number)
        assert found is not None
        return found

    def artifact(self, name: ArtifactName = NAME) -> rows.ArtifactRow:
        with self.environment.read() as txn:
            found = rows.get_artifact(txn, name)
        assert found is not None
        return found


def push(content: int, **changes: object) -> Push:
    fields: dict = {
        "project": "p",
        "name": "n",
        "type": "dataset",
        "manifest": Manifest(bytes(32), 0, bytes([content]) * 32, 10, 1, bytes(32)),
        "description": None,
        "metadata": None,
        "aliases": [],
        "tags": [],
        "new_bytes": 1,
        "stored_bytes": 2,
        "packs": [],
        "salt": bytes(32),
        "run": None,
    }
    return Push(**(fields | changes))
