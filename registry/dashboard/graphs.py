"""The lineage graph as SVG drawn by the server: its nodes are links, its colours the page's own.

Three columns, sources | adapter versions | clients. Geometry only: `partials/_graph.html` writes the elements.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from registry.selectors.lineage import Edge, Graph, Node
from registry.selectors.lineage_facts import Facts

COLUMNS = {"dataset": 0, "base": 0, "training": 1, "adapter": 1, "client": 2}
GRAPH_WIDTH, NODE_HEIGHT, GAP, ARROW = 1180.0, 38.0, 12.0, 44.0
BOXES = ((14.0, 250.0), (450.0, 290.0), (930.0, 236.0))
STATES = {"unused": "not in use"}
KINDS = {
    "base": "Base versions",
    "dataset": "Dataset versions",
    "training": "In training",
    "adapter": "Adapter versions",
    "client": "Clients",
    "job": "Jobs that made them",
}


@dataclass(frozen=True)
class Box:
    node: Node
    x: float
    y: float
    width: float
    second: str

    @property
    def middle(self) -> float:
        return self.y + NODE_HEIGHT / 2

    @property
    def right(self) -> float:
        return self.x + self.width - 10

    @property
    def state(self) -> str:
        if self.node.kind == "client" and self.node.state == "stale":
            return "on stale"
        return STATES.get(self.node.state, self.node.state)


@dataclass(frozen=True)
class Line:
    """`since` stands at (x, y) beside an arrow from a base version to its successor."""

    path: str
    kind: str
    edge: Edge
    since: datetime | None = None
    x: float = 0
    y: float = 0


@dataclass
class Drawing:
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    height: float = 0
    width: float = GRAPH_WIDTH


@dataclass(frozen=True)
class Row:
    node: Node
    second: str


@dataclass(frozen=True)
class Group:
    """The rows of one kind in the table of nodes."""

    words: str
    rows: list[Row]


def drawing(graph: Graph, facts: Facts) -> Drawing:
    nodes = [n for n in _nodes(graph, facts) if n.kind in COLUMNS]
    edges = [*graph.edges, *(edge for _, edge in facts.coming)]
    boxes: dict[str, Box] = {}
    bottom = 0.0
    for column, (x, width) in enumerate(BOXES):
        members = [n for n in nodes if COLUMNS[n.kind] == column]
        members.sort(key=lambda n: (_height(n, edges, boxes), _order(n)))
        y = 34.0
        for node in members:
            boxes[node.id] = Box(node, x, y, width, facts.seconds.get(node.id, node.kind))
            bottom = max(bottom, y + NODE_HEIGHT)
            y += NODE_HEIGHT + (ARROW if node.id in facts.since and node.kind == "base" else GAP)
    lines = [_line(edge, boxes, facts) for edge in sorted(edges, key=lambda e: (e.source, e.target))]
    return Drawing(list(boxes.values()), [line for line in lines if line], bottom + 16)


def groups(graph: Graph, facts: Facts) -> list[Group]:
    """The same nodes as a table, kind by kind."""
    nodes = sorted(_nodes(graph, facts), key=_order)
    found = []
    for kind, words in KINDS.items():
        rows = [Row(node, facts.seconds.get(node.id, "")) for node in nodes if node.kind == kind]
        if rows:
            found.append(Group(words, rows))
    return found


def _nodes(graph: Graph, facts: Facts) -> list[Node]:
    found = [replace(n, state="waived") if n.id in facts.waived else n for n in graph.nodes.values()]
    return [*found, *(node for node, _ in facts.coming)]


def _order(node: Node) -> tuple[str, str, int]:
    """By kind, name and number: @10 comes after @2."""
    name, _, number = node.label.partition("@")
    return ("0" if node.kind == "base" else node.kind), name, int(number) if number.isdigit() else 0


def _height(node: Node, edges: list[Edge], boxes: dict[str, Box]) -> float:
    """The mean height of what leads to the node, so that edges cross little."""
    above = [boxes[e.source].y for e in edges if e.target == node.id and e.source in boxes]
    return sum(above) / len(above) if above else 0.0


def _line(edge: Edge, boxes: dict[str, Box], facts: Facts) -> Line | None:
    left, right = boxes.get(edge.source), boxes.get(edge.target)
    if left is None or right is None:
        return None
    if left.x == right.x:
        x, top = left.x + 40, left.y + NODE_HEIGHT
        path = f"M{x} {top} L{x} {right.y - 1}"
        return Line(path, "successor", edge, facts.since.get(edge.source), x + 10, (top + right.y) / 2 + 4)
    x1, x2 = left.x + left.width, right.x
    middle = (x1 + x2) / 2
    path = f"M{x1} {left.middle} C{middle} {left.middle} {middle} {right.middle} {x2} {right.middle}"
    return Line(path, _kind(edge, left, right, facts), edge)


def _kind(edge: Edge, left: Box, right: Box, facts: Facts) -> str:
    """Training is dotted; dashed is what made a version stale, and what a stale version serves."""
    if right.node.kind == "training":
        return right.node.state
    if (edge.source, edge.target) in facts.blamed:
        return "stale"
    return "stale" if right.node.kind == "client" and left.node.state == "stale" else ""
