"""A lineage as a tree, for Graphviz and for Mermaid: what is shown, in which order, and that no name is a command."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from tests.tracking.lineages import MODEL, lineage, run, version

TREE = """\
p/model:v1 (model)
├── came of
│   └── run 11111111 train (fit) finished
│       ├── p/data:v0 (dataset) deleted, as training
│       └── deleted-0123456789ab:v0 purged
└── led to
    └── run 22222222 running"""

DOT = """\
digraph lineage {
  rankdir=LR;
  n0 [label="p/model:v1 (model)", shape=ellipse];
  n1 [label="run 11111111 train (fit) finished", shape=box];
  n2 [label="p/data:v0 (dataset) deleted", shape=ellipse, style=dashed];
  n3 [label="deleted-0123456789ab:v0 purged", shape=ellipse, style=dashed];
  n4 [label="run 22222222 running", shape=box];
  n1 -> n0;
  n2 -> n1 [label="training"];
  n3 -> n1;
  n0 -> n4;
}"""

MERMAID = """\
flowchart LR
  n0(["p/model:v1 (model)"])
  n1["run 11111111 train (fit) finished"]
  n2(["p/data:v0 (dataset) deleted"]):::gone
  n3(["deleted-0123456789ab:v0 purged"]):::gone
  n4["run 22222222 running"]
  n1 --> n0
  n2 -->|"training"| n1
  n3 --> n1
  n0 --> n4
  classDef gone stroke-dasharray: 4"""


def test_each_notation() -> None:
    """Every node and edge once, and what is gone as gone."""
    assert MODEL.to_tree() == TREE
    assert MODEL.to_dot() == DOT
    assert MODEL.to_mermaid() == MERMAID


def test_what_is_met_again_is_not_drawn_again() -> None:
    """Two runs of one version: what that came of stands below the first."""
    found = lineage(
        version("p/c:v0", 0), run("1", -1), run("2", -1), version("p/a:v0", -2), run("3", -3),
        edges=[(1, 0, ""), (2, 0, ""), (3, 1, ""), (3, 2, ""), (4, 3, "")],
    )  # fmt: skip
    lines = found.to_tree().splitlines()
    assert lines[1] == "└── came of"
    assert [line.strip("│├└─ ") for line in lines[2:]] == [
        "run 11111111 finished",
        "p/a:v0 (dataset)",
        "run 33333333 finished",
        "run 22222222 finished",
        "p/a:v0 (dataset) (see above)",
    ]


def test_a_lineage_may_be_longer_than_the_stack_is_deep() -> None:
    """Three thousand steps, and a word that there are more."""
    chain = lineage(*(version(f"p/n:v{at}", at) for at in range(3000)), edges=[(at, at + 1, "") for at in range(2999)],
                    complete=False)  # fmt: skip
    lines = chain.to_tree().splitlines()
    assert len(lines) == 3002
    assert lines[-1] == "… and more, further away"
    assert lines[-2].strip() == "└── p/n:v2999 (dataset)"


def test_nothing_is_known() -> None:
    """The tree says so instead of being a single line."""
    assert lineage(version("p/n:v0", 0), edges=[]).to_tree().splitlines()[1] == (
        "└── no run is known that used or produced it"
    )


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_name_is_a_command(name: str, role: str) -> None:
    """Whatever a run is called, each notation has one line for each node and edge, and its text within marks."""
    found = lineage(version("p/n:v0", 0), run("1", 1, name=name), edges=[(0, 1, role)])
    assert len(found.to_tree().splitlines()) == 3
    dot, mermaid = found.to_dot().splitlines(), found.to_mermaid().splitlines()
    assert (len(dot), len(mermaid)) == (6, 5)
    label = re.fullmatch(r'  n1 \[label=(".*"), shape=box\];', dot[3])
    assert label is not None
    assert json.loads(label[1]).startswith("run 11111111")
    assert re.fullmatch(r'  n1\["[^"<>`]*"\]', mermaid[2]) is not None
