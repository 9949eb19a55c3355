"""The contract on a real S3 server."""

import asyncio
import gc
import os
from itertools import count
from typing import Any

import pytest

from artifactstore import executors
from artifactstore.backend.base import Backend
from artifactstore.backend.probe import probe
from artifactstore.backend.remote import FsspecBackend
from artifactstore.clock import SystemRandomness
from artifactstore.errors import ConnectionLost, NoSuchStore, UntrustedBackend
from artifactstore.testing.conformance import BackendConformance
from tests.servers import BUCKET, Server, free_ports

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


def test_a_server_that_is_not_there_is_named(s3_options: dict[str, Any]) -> None:
    """The error says which endpoint did not answer; who repeats it, and how long, is `retrying`'s."""
    (port,) = free_ports(1)
    backend = FsspecBackend(f"s3://{BUCKET}/x", {**s3_options, "endpoint": f"http://127.0.0.1:{port}"})
    with pytest.raises(ConnectionLost, match=f"127.0.0.1:{port}"):
        backend.get("a", limit_bytes=1)


def test_a_missing_bucket_is_said_of_reads_too(s3_options: dict[str, Any]) -> None:
    """Nothing is in a bucket that does not exist, and that is no missing object."""
    backend = FsspecBackend("s3://no-such-bucket/x", s3_options)
    for call in (
        lambda: backend.get("a", limit_bytes=1),
        lambda: backend.create("a", b""),
        lambda: backend.put("a", b""),
    ):
        with pytest.raises(NoSuchStore, match="bucket"):
            call()


def test_a_forked_child_makes_connections_of_its_own(s3_url: str, s3_options: dict[str, Any]) -> None:
    """Sessions, threads and sockets of a parent are not used by its child, nor hurt by it."""
    backend = FsspecBackend(s3_url, s3_options)
    backend.put("parent", b"data")
    child = os.fork()
    if not child:
        status = 1
        try:
            backend.create("child", backend.get("parent", limit_bytes=4))
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert backend.get_many(["parent", "child"], limit_bytes=4) == [b"data", b"data"]


def test_a_backend_may_be_forgotten_where_another_loop_runs(s3_url: str, s3_options: dict[str, Any]) -> None:
    """In a notebook or a server the garbage is collected beside a loop of theirs, which is not that of the session."""
    complaints: list[dict[str, Any]] = []

    async def forget() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        backend = FsspecBackend(s3_url, s3_options)
        backend.put("a", b"data")
        backend.close()
        del backend
        gc.collect()
        # What was started in this loop has a turn to fail, and nobody is left to hear of it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(forget())
    assert complaints == []


def test_rclone_is_refused_for_what_it_does(rclone_server: Server, s3_url: str) -> None:
    """It takes every create of one name; the error says so, and what helps."""
    backend = FsspecBackend(s3_url, rclone_server.options())
    with executors.threads(width=1, io_width=8) as pools, pytest.raises(UntrustedBackend) as caught:
        probe(backend, SystemRandomness(), pools)
    assert "a second create of one name succeeded" in caught.value.message
    assert "single_writer" in caught.value.next_step
