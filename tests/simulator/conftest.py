"""A stage for each worker: it is made once, and every schedule gets a copy."""

import pytest

from artifactstore.testing.stage import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"))
