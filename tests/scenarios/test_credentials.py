"""Credentials from where every AWS tool looks: the environment, shared configuration, the role of a machine."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from artifactstore import Store
from artifactstore.cli.main import main
from artifactstore.config import PROJECT_FILE
from artifactstore.errors import PermissionRefused
from artifactstore.testing.proxy import Fault, FaultProxy, Rule
from tests.scenarios.lent_credentials import Lender, Machine, machine
from tests.servers import OWNER, Server
from tests.stores import make_store, noise, read_tree, write_tree

# Whatever is lent has half of it left, which is enough for a request on a busy machine.
SHORT_S = 4


@pytest.fixture(scope="module")
def lender(s3_server: Server) -> Lender:
    """The token service of the S3 server."""
    return Lender(s3_server)


@pytest.fixture
def lent_by_machine(lender: Lender) -> Iterator[Machine]:
    """A machine whose credentials stay good for longer than a test."""
    with machine(lender) as made:
        yield made


@pytest.fixture
def nobody(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests has credentials nowhere, and no machine lends any."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    # The probe passes there, in tests of its own; each client's would cost seconds.
    monkeypatch.setattr("artifactstore.client.opening.probe", lambda *_: None)
    # Nobody listens at the port of tcpmux.
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    (home / ".aws").mkdir()


@pytest.fixture(scope="module")
def shared(s3_server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a key, and the URL of a store that it opens; with one version."""
    folder, url = tmp_path_factory.mktemp("shared"), f"s3://store/credentials-{os.getpid()}"
    with make_store(folder, url, storage_options=s3_server.options()) as store:
        store.push([write_tree(folder / "in", {"a": b"alpha"})], "p/n")
    return folder, url


@pytest.fixture
def run(
    shared: tuple[Path, str],
    s3_server: Server,
    home: Path,
    nobody: None,
    capfd: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[int, str]]:
    """Run a command on the store, which the project file names; its exit status and what it said."""
    (home / PROJECT_FILE).write_text(
        f'store = "{shared[1]}"\n[storage]\nendpoint = "{s3_server.endpoint}"\naddressing = "path"\n'
    )

    monkeypatch.setenv("ARTIFACTSTORE_KEY_FILE", str(shared[0] / "key"))

    def ran(*words: str) -> tuple[int, str]:
        code = main(list(words))
        return code, capfd.readouterr().err

    return ran


# --- where they come from ---

Setting = Callable[[Path, pytest.MonkeyPatch, Lender, Machine], list[str]]


def by_environment(_: Path, patch: pytest.MonkeyPatch, lender: Lender, __: Machine) -> list[str]:
    """With the token of a session, as single sign-on leaves them."""
    for name, value in lender.lend().environment().items():
        patch.setenv(name, value)
    return []


def by_default_profile(home: Path, _: pytest.MonkeyPatch, __: Lender, ___: Machine) -> list[str]:
    (home / ".aws/credentials").write_text(_section("default", *OWNER))
    return []


def by_profile_option(home: Path, _: pytest.MonkeyPatch, __: Lender, ___: Machine) -> list[str]:
    """Named where the store's other options are; the default one would be refused."""
    (home / ".aws/credentials").write_text(_section("default", "nobody", "x") + _section("work", *OWNER))
    return ["--storage-option", "profile=work"]


def by_profile_variable(home: Path, patch: pytest.MonkeyPatch, _: Lender, __: Machine) -> list[str]:
    """In another file than the usual one."""
    (home / "elsewhere").write_text(_section("work", *OWNER))
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "elsewhere"))
    patch.setenv("AWS_PROFILE", "work")
    return []


def by_process(home: Path, _: pytest.MonkeyPatch, __: Lender, ___: Machine) -> list[str]:
    """What a program prints that the shared configuration names."""
    said = f'{{"Version": 1, "AccessKeyId": "{OWNER[0]}", "SecretAccessKey": "{OWNER[1]}"}}'
    (home / "said.json").write_text(said)
    (home / ".aws/config").write_text(f"[default]\ncredential_process = cat {home / 'said.json'}\n")
    return []


def by_instance(_: Path, patch: pytest.MonkeyPatch, __: Lender, lends: Machine) -> list[str]:
    """The second version of the metadata service, which wants a session; the first is refused there."""
    patch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", lends.url)
    return []


def by_container(_: Path, patch: pytest.MonkeyPatch, __: Lender, lends: Machine) -> list[str]:
    patch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{lends.url}/container")
    patch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", lends.SECRET)
    return []


def _section(name: str, key: str, secret: str) -> str:
    return f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"


@pytest.mark.parametrize(
    "setting",
    [
        by_environment,
        pytest.param(by_default_profile, marks=pytest.mark.deep),
        by_profile_option,
        pytest.param(by_profile_variable, marks=pytest.mark.deep),
        pytest.param(by_process, marks=pytest.mark.deep),
        by_instance,
        by_container,
    ],
)
def test_push_and_pull_with_credentials_from(
    setting: Setting,
    run: Callable[..., tuple[int, str]],
    home: Path,
    lender: Lender,
    lent_by_machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command line finds them in each usual place."""
    options = setting(home, monkeypatch, lender, lent_by_machine)
    tree = {"a": setting.__name__.encode()}
    write_tree(home / "data", tree)
    for line in (["push", "data", "p/n"], ["pull", "p/n", "out"]):
        code, said = run(*line, *options)
        assert code == 0, said
    assert read_tree(home / "out") == tree
    lends = setting in (by_instance, by_container)
    assert bool(lent_by_machine.lent) == lends, "a machine is asked where nothing else says who one is"


def test_nobody_is_told_where_to_say_who_one_is(run: Callable[..., tuple[int, str]]) -> None:
    """No credentials anywhere: at once, with the places that were looked into."""
    code, said = run("ls")
    assert code == 5
    assert "environment, shared configuration, instance role" in said


# --- that end ---


@pytest.fixture
def slow(s3_server: Server) -> Iterator[FaultProxy]:
    """The server, whose answer to the first pack comes when credentials that are lent for a moment are over."""
    port = urlsplit(s3_server.endpoint).port or 0
    late = Rule(Fault.LATE, frozenset({"PUT"}), "/packs/", count=1, delay_s=SHORT_S)
    with FaultProxy(port, [late]) as proxy:
        yield proxy


def opened(shared: tuple[Path, str], tmp_path: Path, endpoint: str) -> Store:
    """The store with whatever credentials are found, as a client of its own."""
    folder, url = shared
    options = {"endpoint": endpoint}
    return Store.open(url, key_file=folder / "key", cache_dir=tmp_path / "cache", storage_options=options)


def test_what_a_machine_lends_is_renewed_in_the_middle_of_a_push(
    shared: tuple[Path, str],
    slow: FaultProxy,
    lender: Lender,
    nobody: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first pack is sent with credentials that are over when the record is, and the push needs no help.

    Of a container: botocore takes those of an instance for good for some minutes more, by chance how many.
    """
    tree = {"b": noise(300_000, 98)}
    with machine(lender, SHORT_S) as lends:
        by_container(tmp_path, monkeypatch, lender, lends)
        with opened(shared, tmp_path, slow.url) as store:
            pushed = store.push([write_tree(tmp_path / "in", tree)], "p/long")
            assert slow.injected[Fault.LATE] == 1
            assert time.time() > lends.lent[0].ends_s, "the first are over"
            assert len({one.token for one in lends.lent}) > 1
            store.pull(f"p/long:v{pushed.number}", tmp_path / "out")
    assert read_tree(tmp_path / "out") == tree


@pytest.mark.deep
def test_what_is_not_renewed_ends_the_push_and_the_next_goes_on(
    shared: tuple[Path, str],
    slow: FaultProxy,
    s3_server: Server,
    lender: Lender,
    nobody: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the environment they are as they are: the server refuses them, and with new ones nothing is lost."""
    source = write_tree(tmp_path / "in", {"c": noise(300_000, 99)})
    for name, value in lender.lend(SHORT_S).environment().items():
        monkeypatch.setenv(name, value)
    with opened(shared, tmp_path, slow.url) as store, pytest.raises(PermissionRefused):
        store.push([source], "p/ended")
    for name, value in lender.lend().environment().items():
        monkeypatch.setenv(name, value)
    with opened(shared, tmp_path, s3_server.endpoint) as store:
        assert store.push([source], "p/ended").number == 0
        store.pull("p/ended", tmp_path / "out")
        assert store.check(read_data=True).ok
    assert read_tree(tmp_path / "out") == read_tree(source)
