"""What the bare components reach on the same bytes: no store, no index, no manifest, no log.

Push is measured in two halves that a good pipeline overlaps, so that the slower of them is the mark:

- the pipeline without a disk: find the files, and on two threads read, FastCDC, BLAKE3 twice (file digest and chunk
  id), and, for chunks not seen before, zstd in frames of 256 KiB, AES-256-GCM and SHA-256;
- writing packs of 32 MiB of as many bytes, fsync on each, on two threads.

Pull is creating the same files with as many bytes out of memory, on two threads.

Run as `python -m benchmarks.bare push|pull VERSION --scratch FOLDER [--seen FILE]`; prints one line of JSON.
Its process times itself, so that starting Python does not count.
"""

import argparse
import hashlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import remove, walk_files

THREADS = 2
# zstd's level: on wheels, frames of 256 KiB take 1.06 of restic's bytes at level 1, 1.02 at 2 and 0.98 at 3.
LEVEL = 3
FRAME_BYTES = 256 << 10
PACK_BYTES = 32 << 20
_JOB_BYTES = 16 << 20
_AVERAGE_BYTES = 64 << 10
_AVERAGE_WEIGHTS_BYTES = 256 << 10

Span = tuple[str, int, int]  # path, offset, length


class PipelineCost(NamedTuple):
    """Time of the pipeline and what came out at its end."""

    pipeline_s: float
    pipeline_cpu_s: float
    new_bytes: int
    stored_bytes: int


def run_pipeline(folder: Path, seen: set[bytes]) -> PipelineCost:
    """Push every file below `folder` through the components; `seen` grows by the chunks that were new."""
    jobs: queue.SimpleQueue[list[Span] | None] = queue.SimpleQueue()
    workers = [_Worker(jobs, seen) for _ in range(THREADS)]
    started, cpu_started = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for job in _jobs(folder):
        jobs.put(job)
    for _ in workers:
        jobs.put(None)
    for worker in workers:
        worker.join()
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    new_bytes = sum(worker.new_bytes for worker in workers)
    return PipelineCost(wall_s, cpu_s, new_bytes, sum(worker.stored_bytes for worker in workers))


def _jobs(folder: Path) -> Iterator[list[Span]]:
    """Yield spans of files, about `_JOB_BYTES` together and never more."""
    job: list[Span] = []
    room = _JOB_BYTES
    for path in walk_files(folder):
        size = os.stat(path).st_size  # noqa: PTH116
        for offset in range(0, size, _JOB_BYTES):
            length = min(_JOB_BYTES, size - offset)
            if length > room:
                yield job
                job, room = [], _JOB_BYTES
            job.append((path, offset, length))
            room -= length
    yield job


class _Worker(threading.Thread):
    def __init__(self, jobs: queue.SimpleQueue[list[Span] | None], seen: set[bytes]) -> None:
        super().__init__()
        import blake3
        import zstandard
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from pyfastcdc import FastCDC

        self._jobs = jobs
        self._seen = seen
        self._buffer = memoryview(bytearray(_JOB_BYTES))
        self._blake3 = blake3.blake3
        self._compress = zstandard.ZstdCompressor(level=LEVEL).compress
        self._seal = AESGCM(bytes(32)).encrypt
        self._chunkers = {
            average: FastCDC(avg_size=average, min_size=average // 4, max_size=average * 4, seed=1)
            for average in (_AVERAGE_BYTES, _AVERAGE_WEIGHTS_BYTES)
        }
        self._pack = hashlib.sha256()
        self._frame: list[memoryview] = []
        self._frame_bytes = 0
        self.new_bytes = 0
        self.stored_bytes = 0

    def run(self) -> None:
        while (job := self._jobs.get()) is not None:
            at = 0
            for path, offset, length in job:
                self._take_span(path, offset, self._buffer[at : at + length])
                at += length
            self._close_frame()

    def _take_span(self, path: str, offset: int, view: memoryview) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.preadv(descriptor, [view], offset)
        finally:
            os.close(descriptor)
        self._blake3(view).digest()
        average = _AVERAGE_WEIGHTS_BYTES if path.endswith(".safetensors") else _AVERAGE_BYTES
        if len(view) <= average // 4:
            self._take_chunk(view)
            return
        for chunk in self._chunkers[average].cut_buf(view):
            self._take_chunk(view[chunk.offset : chunk.offset + chunk.length])

    def _take_chunk(self, chunk: memoryview) -> None:
        cid = self._blake3(chunk, key=bytes(32)).digest()
        if cid in self._seen:
            return
        self._seen.add(cid)
        self._frame.append(chunk)
        self._frame_bytes += len(chunk)
        self.new_bytes += len(chunk)
        if self._frame_bytes >= FRAME_BYTES:
            self._close_frame()

    def _close_frame(self) -> None:
        if not self._frame:
            return
        raw = self._frame[0] if len(self._frame) == 1 else b"".join(self._frame)
        sealed = self._seal(bytes(12), self._compress(raw), None)
        self._pack.update(sealed)
        self.stored_bytes += len(sealed)
        self._frame.clear()
        self._frame_bytes = 0


def write_packs(total_bytes: int, folder: Path) -> float:
    """Return the seconds that writing and fsyncing `total_bytes` in packs takes, then delete them."""
    folder.mkdir(parents=True)
    content = os.urandom(min(PACK_BYTES, max(1, total_bytes)))
    sizes = [min(PACK_BYTES, total_bytes - at) for at in range(0, total_bytes, PACK_BYTES)]

    def write(number: int) -> None:
        with (folder / f"{number:06d}").open("wb", buffering=0) as out:
            out.write(memoryview(content)[: sizes[number]])
            os.fsync(out.fileno())

    seconds = _on_threads(write, len(sizes))
    remove(folder)
    return seconds


def write_files(source: Path, folder: Path) -> float:
    """Return the seconds that creating files of the same names and lengths takes; the files stay."""
    content = memoryview(os.urandom(_JOB_BYTES))
    prefix = len(os.fspath(source))
    files = [(os.fspath(folder) + path[prefix:], os.stat(path).st_size) for path in walk_files(source)]  # noqa: PTH116
    by_folder: dict[str, list[tuple[str, int]]] = {}
    for path, size in files:
        by_folder.setdefault(os.path.dirname(path), []).append((path, size))  # noqa: PTH120
    groups = sorted(by_folder.items())

    def write(number: int) -> None:
        parent, members = groups[number]
        os.makedirs(parent, exist_ok=True)  # noqa: PTH103
        for path, size in members:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            for at in range(0, size, len(content)):
                os.write(descriptor, content[: min(len(content), size - at)])
            os.close(descriptor)

    return _on_threads(write, len(groups))


def _on_threads(task: Callable[[int], None], count: int) -> float:
    """Run `task(0)` … `task(count - 1)` on the threads and return the seconds it took."""
    numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(count):
        numbers.put(number)

    def work() -> None:
        while True:
            try:
                number = numbers.get_nowait()
            except queue.Empty:
                return
            task(number)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def _push(version: Path, seen_file: Path | None, scratch: Path) -> dict[str, float]:
    known = seen_file.read_bytes() if seen_file and seen_file.exists() else b""
    seen = {known[at : at + 32] for at in range(0, len(known), 32)}
    cost = run_pipeline(version, seen)
    if seen_file:
        seen_file.write_bytes(b"".join(seen))
    os.sync()
    write_s = write_packs(cost.stored_bytes, scratch)
    return {**cost._asdict(), "write_s": write_s, "wall_s": max(cost.pipeline_s, write_s)}


def main() -> None:
    """Measure one version and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["push", "pull"])
    parser.add_argument("version", type=Path)
    parser.add_argument(
        "--scratch", type=Path, required=True, help="a folder to make; a pull leaves its files in it"
    )
    parser.add_argument("--seen", type=Path, help="chunk ids of the versions before, updated")
    arguments = parser.parse_args()
    if arguments.action == "push":
        print(json.dumps(_push(arguments.version, arguments.seen, arguments.scratch)))
    else:
        os.sync()
        print(json.dumps({"wall_s": write_files(arguments.version, arguments.scratch)}))


if __name__ == "__main__":
    main()
