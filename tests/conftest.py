"""What every test gets: a home of its own, the hypothesis profiles, and the switch for long versions."""

import itertools
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.servers import BUCKET, OWNER, Server, served

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
# One of so many tests that are marked to run on S3 too does so whenever the tests run, all of them with --deep.
_S3_SAMPLED = 6
# Where Linux keeps files in memory, and how much of that must be free for tests to use it.
_MEMORY_FOLDER = Path("/dev/shm")
_MEMORY_FREE_BYTES_MIN = 2 << 30
# Tests of these folders and files ask what a store does and not what a disk does: their indexes and keys are written,
# synced and thrown away, which took a third of their time on a disk. Those of backends, indexes, key files, transfers,
# crashes of processes and cuts of power are on a disk, and every store that `places` puts into a folder.
_OFF_DISK = {
    "catalog",
    "client",
    "content",
    "deletion",
    "distribution",
    "drafts",
    "maintenance",
    "properties",
    "receipts",
    "runs",
    "simulator",
    "store",
    "testing",
    "tracking",
}
_OFF_DISK_FILES = "test_every_"
_home_numbers = itertools.count()
_prefix_numbers = itertools.count()
_path_numbers = itertools.count()


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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that is marked with places at each of them."""
    marker = metafunc.definition.get_closest_marker("places")
    if marker:
        metafunc.parametrize("stores_in", marker.args, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Unless the long version was asked for, leave most tests on S3 out, and skip what is marked deep."""
    if config.getoption("--deep"):
        return
    sampled = [item for item in items if _is_sampled(item)]
    config.hook.pytest_deselected(items=[item for item in items if not _is_sampled(item)])
    items[:] = sampled
    skip = pytest.mark.skip(reason="the long version; run with --deep")
    for item in items:
        if item.get_closest_marker("deep"):
            item.add_marker(skip)


def _is_sampled(item: pytest.Item) -> bool:
    """Whether a test belongs to what always runs: of those on S3 some, chosen by their names."""
    on_s3 = isinstance(item, pytest.Function) and _param(item, "stores_in") == "s3"
    return not on_s3 or zlib.crc32(item.nodeid.encode()) % _S3_SAMPLED == 0


def _param(item: pytest.Function, name: str) -> object:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(name) if callspec else None


@pytest.fixture
def deep(request: pytest.FixtureRequest) -> bool:
    """Whether the long version was asked for, for tests that only differ in how much they try."""
    return bool(request.config.getoption("--deep"))


@pytest.fixture(scope="session")
def memory_folder() -> Iterator[Path | None]:
    """A folder in memory that goes with the run; None where there is no room for one."""
    try:
        found = os.statvfs(_MEMORY_FOLDER)
    except OSError:
        yield None
        return
    if found.f_bavail * found.f_frsize < _MEMORY_FREE_BYTES_MIN or not os.access(_MEMORY_FOLDER, os.W_OK):
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="artifactstore-tests-", dir=_MEMORY_FOLDER))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, memory_folder: Path | None) -> Iterator[Path]:
    """pytest's own, but in memory for tests to which a disk is nothing; then it is gone after the test."""
    place = request.node.path
    off_disk = place.parent.name in _OFF_DISK or place.name.startswith(_OFF_DISK_FILES)
    if memory_folder is None or not off_disk:
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        yield factory.mktemp(f"test-{next(_path_numbers)}")
        return
    folder = memory_folder / str(next(_path_numbers))
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


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


@pytest.fixture(autouse=True)
def stores_in(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `make_store` makes stores: in memory, or what the marker `places` names, one after the other."""
    kind: str = getattr(request, "param", "memory")
    # Of its own: a test may undo what it has patched itself.
    with pytest.MonkeyPatch.context() as patch:
        if kind == "folder":
            patch.setattr("tests.stores.new_url", lambda: str(tmp_path_factory.mktemp("store")))
        elif kind == "s3":
            server: Server = request.getfixturevalue("s3_server")
            patch.setattr("tests.stores.new_url", _s3_prefix)
            patch.setenv("AWS_ENDPOINT_URL", server.endpoint)
            patch.setenv("AWS_ACCESS_KEY_ID", OWNER[0])
            patch.setenv("AWS_SECRET_ACCESS_KEY", OWNER[1])
            # It passes there, in tests of its own; each store's would cost seconds.
            patch.setattr("artifactstore.client.opening.probe", lambda *_: None)
        yield kind


def _s3_prefix() -> str:
    return f"s3://{BUCKET}/{os.getpid()}-{next(_prefix_numbers)}"


@pytest.fixture
def s3_url() -> str:
    """A prefix of the servers' one bucket that nothing else uses."""
    return _s3_prefix()


@pytest.fixture
def s3_options(s3_server: Server) -> dict[str, Any]:
    """The `storage_options` of the owner of the bucket."""
    return s3_server.options()
