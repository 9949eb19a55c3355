"""Soak: writers and a sweeper that are killed and restarted, on S3 behind a proxy that does what networks do.

At the end every record is verified and every pack read back, of what was swept nothing is left, and the log, opened
with the keys of every generation, must explain all that each writer was told.
Exit code 0 says that all of that held.
"""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from artifactstore import Store, audit
from artifactstore.testing import workload
from artifactstore.testing.history import Noted, read_journal, read_log
from artifactstore.testing.linearizability import Undecided, assert_follows_log, linearization
from artifactstore.testing.proxy import Fault, FaultProxy, Rule
from artifactstore.testing.workload import Workload
from benchmarks.options import describe_machine, parse, parser
from benchmarks.report import print_table
from tests.servers import BUCKET, Server, served

ARTIFACTS = ["soak/one", "soak/two", "soak/three"]
# New artifacts so often keep each history short enough to be searched without the log's help.
EPOCH_S = 20.0
SIZE_BYTES_MAX = 256 << 10
# One of two hundred requests meets each of these, or about one of thirty meets any.
WEATHER = tuple(Rule(fault, probability=0.005, delay_s=0.5) for fault in Fault if fault is not Fault.EXPIRED)
STORM = (Rule(Fault.SLOW_DOWN, probability=0.9), *WEATHER)
STORM_EVERY_S, STORM_S = 60.0, 5.0
KILL_EVERY_S = 3.0
TELL_EVERY_S = 60.0
PAUSE_S = 0.1
# Writers see the end of the run and finish what they are at.
GRACE_S = 300.0


class Outcome(NamedTuple):
    """What is left when the writers have ended."""

    noted: list[Noted]
    kills: int
    processes: int
    storms: int
    proxy: FaultProxy
    seconds: float


class Supervisor:
    """Starts writers, kills them at random, and starts others in their place."""

    def __init__(self, url: str, options: dict[str, Any], folder: Path, writers: int, seed: int) -> None:
        self.kills = self.processes = 0
        self.works: list[Workload] = []
        self._chances = random.Random(seed)
        self._url, self._options, self._folder = url, options, folder
        self._running: dict[int, tuple[Workload, subprocess.Popen[bytes]]] = {}
        self._writers = writers

    @contextmanager
    def running(self, until_s: float) -> Iterator[None]:
        """Writers for the length of a block."""
        try:
            # The last one sweeps.
            for number in range(self._writers + 1):
                self._start(number, until_s)
            yield
        finally:
            for _, process in self._running.values():
                process.kill()
                process.wait()

    def kill_one(self, until_s: float) -> None:
        """Kill a writer, whatever it is at, and start another over its cache."""
        number = self._chances.randrange(self._writers + 1)
        _, process = self._running[number]
        process.send_signal(signal.SIGKILL)
        self._demand(number, process.wait())
        self.kills += 1
        self._start(number, until_s)

    def watch(self) -> None:
        """Demand that no writer has ended by itself with an error."""
        for number, (_, process) in self._running.items():
            if process.poll() is not None:
                self._demand(number, process.returncode)

    def finish(self) -> None:
        """Wait until every writer has ended, without an error."""
        for number, (_, process) in self._running.items():
            self._demand(number, process.wait(GRACE_S))

    def wait_s(self, mean_s: float) -> float:
        """A time to wait, some of it chance."""
        return self._chances.uniform(0.2, 1.8) * mean_s

    def _start(self, number: int, until_s: float) -> None:
        work = Workload(
            url=self._url,
            storage_options=self._options,
            folder=str(self._folder),
            client=f"w{number}-{self.processes}",
            cache=f"w{number}",
            seed=self._chances.getrandbits(60),
            artifacts=ARTIFACTS,
            operations=1 << 60,
            until_s=until_s,
            epoch_s=EPOCH_S,
            size_bytes_max=SIZE_BYTES_MAX,
            # Two clocks are a day off.
            skew_s={0: 86400, 1: -86400}.get(number, 0) if number < self._writers else 0,
            sweeps=number == self._writers,
        )
        self.processes += 1
        self.works.append(work)
        self._running[number] = work, workload.start(work)

    def _demand(self, number: int, code: int) -> None:
        if code not in {0, -signal.SIGKILL}:
            work, _ = self._running[number]
            sys.exit(f"{work.client} ended with {code}:\n{work.journal.with_suffix('.log').read_text()}")


def main() -> None:
    """Run, verify and print."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=60.0, help="how long writers write [60]")
    options.add_argument("--writers", type=int, default=8, help="processes [8]")
    options.add_argument("--seed", type=int, default=0, help="of faults, kills and what is done [0]")
    arguments = parse(options)
    folder = arguments.work / "soak"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with served("seaweedfs", arguments.work / "servers") as server:
        url = f"s3://{BUCKET}/soak-{time.time_ns()}"
        places = {
            "key_file": folder / "key",
            "cache_dir": folder / "witness",
            "storage_options": server.options(),
        }
        Store.create(url, **places).close()
        outcome = soak(url, server, folder, arguments)
        figures = verified(url, places, outcome, folder)
    print_figures(figures, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe_machine(), **figures}, indent=1))
    shutil.rmtree(folder)


def soak(url: str, server: Server, folder: Path, arguments: Any) -> Outcome:
    """Let writers write for the time given."""
    port = urlsplit(server.endpoint).port
    assert port is not None
    storms = 0
    with FaultProxy(port, WEATHER, seed=arguments.seed) as proxy:
        behind = server._replace(endpoint=proxy.url).options()
        supervisor = Supervisor(url, behind, folder, arguments.writers, arguments.seed)
        began_s = time.monotonic()
        until_s = began_s + arguments.seconds
        kill_s, storm_s, calm_s = began_s + KILL_EVERY_S, began_s + STORM_EVERY_S / 2, None
        told_s = began_s + TELL_EVERY_S
        with supervisor.running(until_s):
            while (now_s := time.monotonic()) < until_s:
                if now_s >= kill_s:
                    supervisor.kill_one(until_s)
                    kill_s = now_s + supervisor.wait_s(KILL_EVERY_S)
                if calm_s is not None and now_s >= calm_s:
                    proxy.inject(*WEATHER)
                    calm_s = None
                elif now_s >= storm_s:
                    proxy.inject(*STORM)
                    storms += 1
                    calm_s, storm_s = now_s + STORM_S, now_s + STORM_EVERY_S
                if now_s >= told_s:
                    print(
                        f"{now_s - began_s:.0f} s: {supervisor.kills} kills, {proxy.requests} requests",
                        file=sys.stderr,
                    )
                    told_s = now_s + TELL_EVERY_S
                supervisor.watch()
                time.sleep(PAUSE_S)
            proxy.inject(*WEATHER)
            supervisor.finish()
        seconds = time.monotonic() - began_s
    noted = [one for work in supervisor.works if work.journal.exists() for one in read_journal(work.journal)]
    return Outcome(noted, supervisor.kills, supervisor.processes, storms, proxy, seconds)


def verified(url: str, places: dict[str, Any], outcome: Outcome, folder: Path) -> dict[str, Any]:
    """Check the store and the history; return the figures.

    Raises:
        AssertionError: Something does not hold.
    """
    events = [one.event for one in outcome.noted]
    with Store.open(url, **places) as store:
        # What the last sweeper was killed at is ended, and its keys with it.
        while not (prepared := store.plan_gc()).plan.is_empty:
            workload.keep_keys(folder, store)
            store.gc(prepared)
        former = workload.former_keyrings(folder, places["key_file"])
        report = store.check(read_data=True)
        assert report.ok, report.problems[:20]
        log = [write for write in read_log(store, former) if write.artifact != workload.SWEPT]
        assert former.keys() == set(range(len(former))), "the keys of a generation were not kept"
        info = store.info()
    keyless = audit(url, storage_options=places["storage_options"], store_id=info.id, read_data=True)
    assert (keyless.problems, keyless.unerased.names.total) == ((), 0)
    swept = [line.split() for path in folder.glob("*.swept") for line in path.read_text().splitlines()]
    assert_follows_log(events, log)
    # A killed writer's operation that the log does not hold never happened: the search need not consider it.
    undecided = 0
    histories: dict[str, list[Any]] = {}
    held = Counter((write.artifact, msgspec.json.encode(write.action)) for write in log)
    for event in events:
        if event.end_s is not None or held[event.artifact, msgspec.json.encode(event.action)]:
            histories.setdefault(event.artifact, []).append(event)
    for artifact, history in histories.items():
        try:
            assert linearization(history) is not None, f"no order explains what was told of {artifact}"
        except Undecided:
            undecided += 1
    return {
        "seconds": round(outcome.seconds),
        "writer processes": outcome.processes,
        "kills": outcome.kills,
        "operations told": sum(1 for event in events if event.end_s is not None),
        "operations failed": sum(1 for one in outcome.noted if one.error),
        "operations cut by a kill": sum(
            1 for one in outcome.noted if one.event.end_s is None and not one.error
        ),
        "kinds of failure": dict(Counter(one.error for one in outcome.noted if one.error)),
        "requests through the proxy": outcome.proxy.requests,
        "faults injected": sum(outcome.proxy.injected.values()),
        "storms": outcome.storms,
        "by kind": {str(kind): count for kind, count in sorted(outcome.proxy.injected.items())},
        "records": info.records,
        "generations": len(former) + 1,
        "sweeps whose end their process lived to note": len(swept),
        "versions that those purged": sum(int(purged) for _, purged in swept),
        "slots lost to another writer": sum(one.tries - 1 for one in outcome.noted if one.tries),
        "versions": info.versions,
        "artifacts": info.artifacts,
        "logical bytes": info.logical_bytes,
        "stored bytes": info.stored_bytes,
        "bytes read back by check": report.bytes_read,
        "histories searched": len(histories),
        "searches given up": undecided,
    }


def print_figures(figures: dict[str, Any], arguments: Any) -> None:
    """Print the figures as a table."""
    print(f"machine: {describe_machine()}")
    print(
        f"python -m benchmarks.soak --seconds {arguments.seconds:g} --writers {arguments.writers}"
        f" --seed {arguments.seed}\n"
    )
    rows = []
    for name, figure in figures.items():
        shown = (
            ", ".join(f"{key} {count:,}" for key, count in figure.items())
            if isinstance(figure, dict)
            else f"{figure:,}"
        )
        rows.append([name, shown])
    print_table(["what", "figure"], rows)
    print("\ncheck --read-data is clean, and the log explains everything that was told")


if __name__ == "__main__":
    main()
