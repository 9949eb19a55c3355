"""MLflow's file store: laid out by hand as MLflow lays it out, and made by MLflow itself."""

import os
import subprocess
from pathlib import Path

import pytest

from artifactstore import Store, import_from
from artifactstore.errors import BrokenSource
from tests.exchange.tools import tool_environment
from tests.stores import make_store, write_tree


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return make_store(tmp_path / "s")


def run_folder(root: Path, number: int) -> Path:
    """A run, as MLflow 3 writes one."""
    name = f"{number:032x}"
    meta = f"run_id: {name}\nrun_name: run {number}\nexperiment_id: '7'\nstart_time: {1000 - number}\nstatus: 3\n"
    return write_tree(
        root / name,
        {
            "meta.yaml": meta.encode(),
            "params/lr": b"0.1",
            "metrics/loss": b"1 3.0 0\n2 0.5 1\n",
            "metrics/train/acc": b"1 0.9 0\n",
            "metrics/odd": b"1 nan 0\n",
            "tags/team": b"x",
            "artifacts/model/m.bin": b"weights" * number,
        },
    )


def test_a_run(store: Store, tmp_path: Path) -> None:
    """Artifacts are files; parameters, last metrics and tags are metadata that can be searched."""
    (made,) = import_from(store, run_folder(tmp_path, 1), "p/n", metadata={"mine": True})
    assert [entry.path for entry in made.files()] == ["model/m.bin"]
    said = made.metadata["mlflow"]
    assert (said["run_name"], said["status"], said["params"]) == ("run 1", "FINISHED", {"lr": "0.1"})
    assert said["metrics"] == {"loss": 0.5, "train/acc": 0.9, "odd": "nan"}
    assert (said["tags"], made.metadata["mine"]) == ({"team": "x"}, True)


def test_an_experiment(store: Store, tmp_path: Path) -> None:
    """A version for each run, by the time of its beginning."""
    root = write_tree(tmp_path / "7", {"meta.yaml": b"experiment_id: '7'\nname: x\n"})
    for number in (1, 2):
        run_folder(root, number)
    made = import_from(store, root, "p/n")
    assert [one.metadata["mlflow"]["run_name"] for one in made] == ["run 2", "run 1"]


@pytest.mark.parametrize("missing", ["meta.yaml", "artifacts/model/m.bin"])
def test_what_is_missing(store: Store, tmp_path: Path, missing: str) -> None:
    """No version is made of it."""
    folder = run_folder(tmp_path, 1)
    (folder / missing).unlink()
    if missing != "meta.yaml":
        (folder / "artifacts/model").rmdir()
        (folder / "artifacts").rmdir()
    with pytest.raises(BrokenSource):
        import_from(store, folder, "p/n", kind="mlflow")
    assert store.projects() == []


def test_a_broken_metric(store: Store, tmp_path: Path) -> None:
    """A line that is no time, value and step."""
    folder = run_folder(tmp_path, 1)
    (folder / "metrics/loss").write_text("1 3.0 0\nhalf a li")
    with pytest.raises(BrokenSource, match="loss"):
        import_from(store, folder, "p/n")


SCRIPT = """
import sys, pathlib, mlflow
mlflow.set_tracking_uri("file:" + sys.argv[1])
with mlflow.start_run(run_name="first") as run:
    mlflow.log_param("lr", 0.1)
    for step, loss in enumerate((3.0, 0.5)):
        mlflow.log_metric("loss", loss, step=step)
    mlflow.log_metric("odd", float("nan"))
    mlflow.set_tag("team", "x")
    pathlib.Path("m.bin").write_bytes(b"weights" * 1000)
    mlflow.log_artifact("m.bin", "model")
    print(run.info.run_id)
"""


@pytest.mark.deep
def test_a_run_that_mlflow_made(store: Store, tmp_path: Path) -> None:
    """By mlflow-skinny, whose store of files is MLflow's own."""
    python = tool_environment(tmp_path, "mlflow-skinny") / "python"
    done = subprocess.run(
        [str(python), "-c", SCRIPT, str(tmp_path / "mlruns")],
        env={**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    run = done.stdout.split()[-1]
    for source in (tmp_path / "mlruns/0" / run, tmp_path / "mlruns/0"):
        (made,) = import_from(store, source, f"p/{source.name}")
        said = made.metadata["mlflow"]
        assert (said["run_id"], said["status"], said["params"]) == (run, "FINISHED", {"lr": "0.1"})
        assert (said["metrics"], said["tags"]["team"]) == ({"loss": 0.5, "odd": "nan"}, "x")
        with made.open("model/m.bin") as stream:
            assert stream.read() == b"weights" * 1000
