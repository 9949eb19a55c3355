"""Walking lineage: against a plain search, with depths and bounds."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.catalog.edges import EdgeRow, put_edge, run_node
from artifactstore.catalog.lineage import walk
from artifactstore.index.environment import Environment
from artifactstore.index.tables import TABLES

NODES = [run_node(bytes([at]) * 16) for at in range(10)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    with Environment.open(tmp_path_factory.mktemp("index"), tables=TABLES) as opened:
        yield opened


@given(
    pairs=st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda pair: pair[0] < pair[1])),
    start=st.integers(0, 9),
    depth=st.none() | st.integers(0, 4),
)
def test_a_walk_finds_what_a_plain_search_does(
    environment: Environment, pairs: set[tuple[int, int]], start: int, depth: int | None
) -> None:
    """Each node at its least distance, each edge within reach once, and whether there is more."""
    expected: dict[int, int] = {start: 0}
    found: set[tuple[int, int]] = set()
    complete = True
    for step in (-1, 1):
        level, at = {start}, 0
        while level:
            edges = {(a, b) for a, b in pairs if (a if step > 0 else b) in level}
            if at == depth:
                complete = complete and not edges
                break
            at += 1
            found |= edges
            level = {(b if step > 0 else a) for a, b in edges} - expected.keys()
            expected |= dict.fromkeys(level, at * step)
    with environment.write() as txn:
        for a, b in sorted(pairs):
            assert put_edge(txn, NODES[a], NODES[b], EdgeRow(a * 10 + b, ""))
        walked = walk(txn, [NODES[start]], up=True, down=True, depth=depth, most=100)
        several = walk(txn, [NODES[start], *NODES[8:]], up=False, down=True, depth=None, most=100).depths
        below = [walk(txn, [node], up=False, down=True, depth=None, most=100).depths for node in NODES]
        txn.give_up()
    assert walked.depths == {NODES[node]: distance for node, distance in expected.items()}
    assert sorted(edge.row.slot for edge in walked.edges) == sorted(a * 10 + b for a, b in found)
    assert walked.complete == complete
    assert several.keys() == {*below[start], *below[8], *below[9]}


def test_a_walk_has_a_bound(environment: Environment) -> None:
    """So many nodes, and a word that there are more."""
    with environment.write() as txn:
        for node in NODES[1:]:
            put_edge(txn, NODES[0], node, EdgeRow(0, ""))
        walked = walk(txn, [NODES[0]], up=True, down=True, depth=None, most=4)
        txn.give_up()
    assert (len(walked.depths), walked.complete) == (4, False)
