"""What every test gets: a home of its own, the hypothesis profiles, and the switch for long versions."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.servers import BUCKET, Server, served

# No test is timed, so neither are examples: a busy machine must not fail a property.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("dev", _UNTIMED, max_examples=50)
settings.register_profile("ci", _UNTIMED, max_examples=100, derandomize=True, database=None, print_blob=True)
# Whether a mutant is caught needs no smallest example.
settings.register_profile(
    "mutants", _UNTIMED, max_examples=50, database=None, phases=[Phase.explicit, Phase.generate]
)
settings.register_profile("deep", _UNTIMED, max_examples=3000, stateful_step_count=100, print_blob=True)

_XDG_FOLDERS = {
    "XDG_DATA_HOME": ".local/share",
    "XDG_CONFIG_HOME": ".config",
    "XDG_CACHE_HOME": ".cache",
    "XDG_STATE_HOME": ".local/state",
}
_home_numbers = itertools.count()
_prefix_numbers = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--deep", action="store_true", help="run the long version of everything")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the hypothesis profile: HYPOTHESIS_PROFILE, else --deep, else CI, else dev."""
    if config.getoption("--deep"):
        chosen = "deep"
    elif os.environ.get("CI", "").lower() not in {"", "0", "false"}:
        chosen = "ci"
    else:
        chosen = "dev"
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or chosen)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked deep unless it was asked for."""
    if config.getoption("--deep"):
        return
    skip = pytest.mark.skip(reason="the long version; run with --deep")
    for item in items:
        if item.get_closest_marker("deep"):
            item.add_marker(skip)


@pytest.fixture
def deep(request: pytest.FixtureRequest) -> bool:
    """Whether the long version was asked for, for tests that only differ in how much they try."""
    return bool(request.config.getoption("--deep"))


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, which is also the working directory, so that no test touches the user's store or key.

    It lies beside `tmp_path`, not in it: a test may count on an empty `tmp_path`. Working there matters
    because a project file is searched upwards from the working directory.
    """
    folder = tmp_path_factory.getbasetemp() / f"home-{next(_home_numbers)}"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("ARTIFACTSTORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    for name, place in _XDG_FOLDERS.items():
        monkeypatch.setenv(name, str(folder / place))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Where servers are shared by all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    return (base if worker_id == "master" else base.parent) / "servers"


@pytest.fixture(scope="session")
def s3_server(servers: Path) -> Iterator[Server]:
    """SeaweedFS, one for the whole run."""
    with served("seaweedfs", servers) as server:
        yield server


@pytest.fixture(scope="session")
def s3_tls_server(servers: Path) -> Iterator[Server]:
    """SeaweedFS behind TLS, with a certificate of a private CA."""
    with served("seaweedfs-tls", servers) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_server(servers: Path) -> Iterator[Server]:
    """rclone's `serve s3`, which ignores the condition of a create."""
    with served("rclone", servers) as server:
        yield server


@pytest.fixture
def s3_url() -> str:
    """A prefix of the servers' one bucket that nothing else uses."""
    return f"s3://{BUCKET}/{os.getpid()}-{next(_prefix_numbers)}"


@pytest.fixture
def s3_options(s3_server: Server) -> dict[str, Any]:
    """The `storage_options` of the owner of the bucket."""
    return s3_server.options()
