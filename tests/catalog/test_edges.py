"""Edges of lineage: both directions, no circles, and what is left of a version that was purged."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.catalog.edges import (
    DOWN,
    UP,
    EdgeRow,
    closes_circle,
    edges,
    get_edge,
    hide_version,
    neighbours,
    node_purged,
    node_run,
    node_version,
    purged_node,
    put_edge,
    run_node,
    version_node,
)
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import Environment
from artifactstore.index.tables import EDGES, TABLES

NAME = ArtifactName("p", "n")
RUN = run_node(b"r" * 16)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    with Environment.open(tmp_path_factory.mktemp("index"), tables=TABLES) as opened:
        yield opened


def test_nodes_say_what_they_are() -> None:
    """Each kind of node is read back, and as no other kind."""
    nodes = [RUN, version_node(NAME, 7), purged_node(b"x" * 32, 7)]
    assert [node_run(node) for node in nodes] == [b"r" * 16, None, None]
    assert [node_version(node) for node in nodes] == [None, (NAME, 7), None]
    assert [node_purged(node) for node in nodes] == [None, None, (b"x" * 32, 7)]


def test_an_edge_is_found_from_both_ends(tmp_path: Path) -> None:
    """And what is known already stays as it is."""
    version = version_node(NAME, 0)
    with Environment.open(tmp_path, tables=TABLES) as opened, opened.write() as txn:
        assert put_edge(txn, version, RUN, EdgeRow(3, "training"))
        assert put_edge(txn, version, RUN, EdgeRow(4, "something else"))
        assert list(edges(txn, version, DOWN)) == [(RUN, EdgeRow(3, "training"))]
        assert list(edges(txn, RUN, UP)) == [(version, EdgeRow(3, "training"))]
        assert list(edges(txn, RUN, DOWN)) == list(edges(txn, version, UP)) == []
        assert get_edge(txn, RUN, version) is None


def test_neighbours_are_those_of_the_node_alone(tmp_path: Path) -> None:
    """Names and numbers that begin alike are not taken for each other."""
    names = [ArtifactName("p", "n"), ArtifactName("p", "n2"), ArtifactName("p2", "n")]
    nodes = [version_node(name, number) for name in names for number in (0, 1, 256, ord("<"), ord(">"))]
    with Environment.open(tmp_path, tables=TABLES) as opened, opened.write() as txn:
        for at, node in enumerate(nodes):
            assert put_edge(txn, node, run_node(at.to_bytes(16, "big")), EdgeRow(at, ""))
        for at, node in enumerate(nodes):
            assert neighbours(txn, node, DOWN) == [run_node(at.to_bytes(16, "big"))]


def test_what_is_purged_keeps_its_edges_and_loses_its_name(tmp_path: Path) -> None:
    """From both ends it is another node, which says no name."""
    producer, node = run_node(b"p" * 16), version_node(NAME, 5)
    hidden = purged_node(b"\xff" * 32, 5)
    with Environment.open(tmp_path, tables=TABLES) as opened, opened.write() as txn:
        put_edge(txn, producer, node, EdgeRow(1, ""))
        put_edge(txn, node, RUN, EdgeRow(2, "role"))
        put_edge(txn, version_node(NAME, 6), RUN, EdgeRow(3, ""))
        hide_version(txn, NAME, 5, b"\xff" * 32)
        assert neighbours(txn, RUN, UP) == [version_node(NAME, 6), hidden]
        assert list(edges(txn, hidden, UP)) == [(producer, EdgeRow(1, ""))]
        assert list(edges(txn, hidden, DOWN)) == [(RUN, EdgeRow(2, "role"))]
        assert neighbours(txn, producer, DOWN) == [hidden]
        assert not any(node in key for key, _ in txn.scan(EDGES))


@given(wanted=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=30))
def test_no_order_of_edges_makes_a_circle(environment: Environment, wanted: list[tuple[int, int]]) -> None:
    """An edge is made exactly where a plain search finds no way from its target to its source."""
    nodes = [run_node(bytes([at]) * 16) for at in range(8)]
    below: dict[int, set[int]] = {at: set() for at in range(8)}

    def reaches(start: int, end: int) -> bool:
        return start == end or any(reaches(other, end) for other in below[start])

    with environment.write() as txn:
        for source, target in wanted:
            refused = reaches(target, source)
            assert closes_circle(txn, nodes[source], nodes[target]) == refused
            made = put_edge(txn, nodes[source], nodes[target], EdgeRow(0, ""))
            assert made != refused
            if made:
                below[source].add(target)
        txn.give_up()
