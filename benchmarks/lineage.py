"""What a lineage of many nodes takes: processor seconds of the walk, and of all that is shown of it.

    python -m benchmarks.lineage [NODES]

An index is filled directly: runs that each use two versions and produce one, in layers, so that a walk from the first
version down meets every node.
"""

import sys
import tempfile
import time
from pathlib import Path

from artifactstore import Store
from artifactstore.catalog.edges import EdgeRow, put_edge, run_node, version_node
from artifactstore.catalog.lineage import walk
from artifactstore.catalog.rows import ArtifactRow, VersionRow, put_artifact, put_version
from artifactstore.catalog.runs import RunRow, put_run
from artifactstore.format.operations import Manifest
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import WriteTransaction

NODES = 100_000
NAME = ArtifactName("bench", "chain")


def fill(txn: WriteTransaction, nodes: int) -> None:
    """Versions and runs by turns; each run also uses the version before its own input."""
    manifest = Manifest(bytes(32), 0, bytes(32), 0, 0, bytes(32))
    version = VersionRow(
        manifest,
        "",
        {"rows": 1},
        [],
        1,
        1,
        bytes(16),
        0,
        0,
        [],
        None,
        bytes(32),
        None,
        None,
        None,
        None,
        None,
    )
    pairs = nodes // 2
    for at in range(pairs):
        run = at.to_bytes(16, "big")
        row = RunRow("bench", f"step {at}", "fit", "", [], {"rate": 0.5}, "a" * 40, None, True, "finished", 1, 1,
                     bytes(16), 2, 2, None)  # fmt: skip
        put_version(txn, NAME, at, version)
        put_run(txn, run, row)
        put_edge(txn, version_node(NAME, at), run_node(run), EdgeRow(1, "training"))
        if at:
            put_edge(txn, version_node(NAME, at - 1), run_node(run), EdgeRow(1, ""))
        if at + 1 < pairs:
            put_edge(txn, run_node(run), version_node(NAME, at + 1), EdgeRow(1, ""))
    put_artifact(txn, NAME, ArtifactRow("dataset", pairs, pairs - 1, pairs, 1, 1, None, collection=False))


def main() -> None:
    """Fill an index, and walk it from end to end."""
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else NODES
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with Store.create(place / "store", key_file=place / "key", cache_dir=place / "cache") as store:
            with store.parts.environment.write() as txn:
                fill(txn, nodes)
            for direction, start in (
                ("down", version_node(NAME, 0)),
                ("up", version_node(NAME, nodes // 2 - 1)),
            ):
                began = time.process_time()
                with store.parts.environment.read() as txn:
                    found = walk(
                        txn, [start], up=direction == "up", down=direction == "down", depth=None, most=10**6
                    )
                walked = time.process_time()
                number = 0 if direction == "down" else nodes // 2 - 1
                shown = store.lineage(f"{NAME}:v{number}", direction)
                ended = time.process_time()
                assert len(shown.nodes) == len(found.depths)
                print(
                    f"{direction}: {len(shown.nodes):,} nodes, {len(shown.edges):,} edges; walked in"
                    f" {walked - began:.2f} s, walked and shown in {ended - walked:.2f} s of processor time"
                )


if __name__ == "__main__":
    main()
