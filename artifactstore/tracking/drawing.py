"""Drawing a lineage: as a tree of text, for Graphviz, and as a Mermaid flowchart.

What users named is text within quotation marks in each notation: no name can be taken for a command of it.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from artifactstore.tracking.graph import RUN, Lineage, LineageEdge, LineageNode

_RUN_DIGITS: Final = 8
_BRANCH, _LAST, _LINE, _BLANK = "├── ", "└── ", "│   ", "    "


def label_of(node: LineageNode) -> str:
    """A node in words: what it is called, what it is, and its state where that is not the usual one."""
    if node.kind == RUN:
        words = [f"run {node.id[:_RUN_DIGITS]}", node.name, node.type and f"({node.type})", node.state]
    else:
        state = "" if node.state == "live" else node.state
        words = [node.name or node.id, node.type and f"({node.type})", state]
    return _plain(" ".join(words))


def tree(lineage: Lineage) -> str:
    """What it came of above what came of it; a node that was shown already is not shown with all below it again."""
    nodes = {node.id: node for node in lineage.nodes}
    above, below = defaultdict(list), defaultdict(list)
    for edge in lineage.edges:
        below[edge.source].append(edge)
        above[edge.target].append(edge)
    lines = [label_of(nodes[lineage.start])]
    parts = [
        (title, edges, up)
        for title, edges, up in (("came of", above, True), ("led to", below, False))
        if edges[lineage.start]
    ]
    for at, (title, edges, up) in enumerate(parts):
        last = at == len(parts) - 1
        lines.append(f"{_LAST if last else _BRANCH}{title}")
        lines += _branches(nodes, edges, lineage.start, up=up, indent=_BLANK if last else _LINE)
    if not parts:
        lines.append(f"{_LAST}no run is known that used or produced it")
    if not lineage.complete:
        lines.append("… and more, further away")
    return "\n".join(lines)


def _branches(
    nodes: dict[str, LineageNode], edges: dict[str, list[LineageEdge]], start: str, *, up: bool, indent: str
) -> Iterable[str]:
    """The lines below a node, without recursion: a lineage may be longer than Python's stack is deep."""
    seen: set[str] = set()
    # (edge to the node, what stands before its line, whether it is the last of its neighbours)
    waiting = _level(edges[start], indent)
    while waiting:
        edge, before, last = waiting.pop()
        other = edge.source if up else edge.target
        role = f", as {_plain(edge.role)}" if edge.role else ""
        known = other in seen and bool(edges[other])
        yield f"{before}{_LAST if last else _BRANCH}{label_of(nodes[other])}{role}{' (see above)' if known else ''}"
        if other not in seen:
            seen.add(other)
            waiting += _level(edges[other], before + (_BLANK if last else _LINE))


def _level(edges: list[LineageEdge], before: str) -> list[tuple[LineageEdge, str, bool]]:
    """Edges of one node in the order in which a stack gives them back."""
    return [(edge, before, at == len(edges) - 1) for at, edge in enumerate(edges)][::-1]


def dot(lineage: Lineage) -> str:
    """A digraph: runs are boxes, versions ellipses, what is gone is dashed."""
    names = {node.id: f"n{at}" for at, node in enumerate(lineage.nodes)}
    lines = ["digraph lineage {", "  rankdir=LR;"]
    for node in lineage.nodes:
        shape = "box" if node.kind == RUN else "ellipse"
        style = ", style=dashed" if node.state in {"deleted", "purged"} else ""
        lines.append(f"  {names[node.id]} [label={_quoted(label_of(node))}, shape={shape}{style}];")
    for edge in lineage.edges:
        label = f" [label={_quoted(edge.role)}]" if edge.role else ""
        lines.append(f"  {names[edge.source]} -> {names[edge.target]}{label};")
    return "\n".join([*lines, "}"])


def mermaid(lineage: Lineage) -> str:
    """A flowchart from left to right: runs are boxes, versions have round ends, what is gone is dashed."""
    names = {node.id: f"n{at}" for at, node in enumerate(lineage.nodes)}
    lines = ["flowchart LR"]
    for node in lineage.nodes:
        opening, closing = ("[", "]") if node.kind == RUN else ("([", "])")
        gone = ":::gone" if node.state in {"deleted", "purged"} else ""
        lines.append(f"  {names[node.id]}{opening}{_mermaid_text(label_of(node))}{closing}{gone}")
    for edge in lineage.edges:
        arrow = f"-->|{_mermaid_text(edge.role)}|" if edge.role else "-->"
        lines.append(f"  {names[edge.source]} {arrow} {names[edge.target]}")
    return "\n".join([*lines, "  classDef gone stroke-dasharray: 4"])


def _quoted(text: str) -> str:
    """A string of Graphviz: JSON's escapes are understood by it, a backslash alone would begin one of its own."""
    return json.dumps(_plain(text), ensure_ascii=False)


def _mermaid_text(text: str) -> str:
    """Text in Mermaid's quotation marks, in which entities stand for what ends them or begins markup."""
    escaped = _plain(text).replace("#", "#35;").replace("&", "#amp;").replace('"', "#quot;")
    return f'"{escaped.replace("<", "#lt;").replace(">", "#gt;").replace("`", "#96;")}"'


def _plain(text: str) -> str:
    """Text on one line, without what a terminal would act on."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
