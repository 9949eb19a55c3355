"""What tests of the catalog share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from artifactstore.index.environment import Environment
from artifactstore.index.tables import TABLES
from tests.catalog.replaying import Replay


@pytest.fixture
def replay(tmp_path: Path) -> Iterator[Replay]:
    with Environment.open(tmp_path / "index", tables=TABLES) as environment:
        yield Replay(environment)
