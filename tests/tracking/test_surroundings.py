"""What surrounds a run: a commit where there is one, facts of the host."""

import os
import subprocess
from pathlib import Path

import pytest

from artifactstore.tracking.surroundings import git_commit, host_facts


def test_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither outside a repository, nor before its first commit, nor without Git."""
    assert git_commit(tmp_path) is None
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    assert git_commit(tmp_path) is None
    assert git_commit(tmp_path / "nowhere") is None
    monkeypatch.setenv("PATH", "")
    assert git_commit(tmp_path) is None


def test_host_facts_are_json() -> None:
    """Text and numbers, the process among them."""
    facts = host_facts()
    assert all(isinstance(value, str | int) for value in facts.values())
    assert facts["pid"] == os.getpid()
