"""The contract on a real S3 server."""

import os
from itertools import count
from typing import Any

import pytest

from artifactstore import executors
from artifactstore.backend.base import Backend
from artifactstore.backend.probe import probe
from artifactstore.backend.remote import FsspecBackend
from artifactstore.clock import SystemRandomness
from artifactstore.testing.conformance import BackendConformance
from tests.servers import BUCKET

_numbers = count()


class TestS3Conformance(BackendConformance):
    @pytest.fixture(autouse=True)
    def _server(self, s3_options: dict[str, Any], deep: bool) -> None:
        self.options = s3_options

        # SeaweedFS stalls losers for seconds.
        self.race_keys = 30 if deep else 2

    def make_backend(self) -> Backend:
        return FsspecBackend(f"s3://{BUCKET}/conformance-{os.getpid()}-{next(_numbers)}", self.options)


def test_the_probe_passes(s3_url: str, s3_options: dict[str, Any]) -> None:
    """SeaweedFS keeps the promise of exclusive create, and the probe leaves nothing behind."""
    backend = FsspecBackend(s3_url, s3_options)
    with executors.threads(width=1, io_width=8) as pools:
        probe(backend, SystemRandomness(), pools)
    assert list(backend.list("")) == []
