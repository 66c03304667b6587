"""The graph base version -> adapter version -> client, with datasets and jobs: edges from foreign keys only.

Nodes are found level by level, with a fixed number of queries for each kind of node on a level, so
the cost grows with `depth`, not with the size of the registry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from django.db.models import Q
from django.utils import timezone

from registry.access import Act, Caller, visible
from registry.errors import Invalid
from registry.models import AdapterVersion, Assignment, BaseVersion, Client, DatasetVersion, Job
from registry.selectors import addresses, jobs, staleness
from registry.selectors.staleness import reasons_of

__all__ = ["Edge", "Graph", "Node", "graph", "neighbourhood", "reasons_of"]

Direction = Literal["up", "down", "both"]
LARGEST_DEPTH = 6
LARGEST_ID = 2**63 - 1
LARGEST_STEP = 2000  # versions: more can neither be drawn nor read


@dataclass(frozen=True)
class Node:
    """`id` is `kind:address`; `state` is what the node's badge says; `key` finds its row."""

    id: str
    kind: str
    label: str
    state: str
    url: str
    key: int


@dataclass(frozen=True)
class Edge:
    """Down: from what was used to what came of it."""

    source: str
    target: str
    kind: str


@dataclass
class Graph:
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: set[Edge] = field(default_factory=set)

    def add(self, nodes: Iterable[Node], edges: Iterable[Edge]) -> set[str]:
        """Take them in; returns the ids that were new."""
        fresh = {node.id: node for node in nodes if node.id not in self.nodes}
        self.nodes.update(fresh)
        self.edges.update(edges)
        return set(fresh)


def graph(by: Caller, *, team: str | None = None, only_stale: bool = False) -> Graph:
    """Everything that matters: versions that are reached or current, their bases, datasets and clients."""
    rows = visible(by, staleness.that_matter(), team="adapter__team")
    if team:
        rows = rows.filter(adapter__team__slug=team)
    if only_stale:
        rows = staleness.suspects(rows)
    return _around(list(rows.values_list("pk", flat=True)))


def neighbourhood(by: Caller, node: str, *, depth: int = 1, direction: Direction = "both") -> Graph:
    """What lies within `depth` steps of one node."""
    if not 1 <= depth <= LARGEST_DEPTH:
        raise Invalid(f"depth goes from 1 to {LARGEST_DEPTH}.", param="depth")
    found = Graph()
    start = _start(by, node)
    found.nodes[start.id] = start
    frontier = {start.id}
    for _ in range(depth):
        step = _around(_versions_at(by, [found.nodes[node] for node in frontier]), bases=frontier)
        edges = [e for e in step.edges if _follows(e, frontier, direction)]
        ends = {e.source for e in edges} | {e.target for e in edges}
        frontier = found.add((n for n in step.nodes.values() if n.id in ends), edges)
        if not frontier:
            break
    # The walk follows one direction from what it reached last; what is true between what it found is shown too.
    adapters = [node.key for node in found.nodes.values() if node.kind == "adapter"]
    whole = _around(adapters, bases=found.nodes)
    found.edges.update(e for e in whole.edges if e.source in found.nodes and e.target in found.nodes)
    return found


def _follows(edge: Edge, frontier: set[str], direction: Direction) -> bool:
    down = edge.source in frontier and direction in ("down", "both")
    return down or (edge.target in frontier and direction in ("up", "both"))


def _start(by: Caller, node: str) -> Node:
    """The node itself, if the caller may see it; raises `NotFound`."""
    kind, _, address = node.partition(":")
    if kind == "base":
        return _base_node(addresses.base_version(address, param="node"))
    if kind == "dataset":
        return _dataset_node(addresses.dataset_version(by, Act.READ, address, param="node"))
    if kind == "adapter":
        version = addresses.adapter_version(by, Act.READ, address, param="node")
        return _version_node(version, *_standing([version.pk]))
    if kind == "client":
        client = addresses.client(by, Act.READ, address, param="node")
        return _client_node(client, stale=client.pk in _hit([client.pk]))
    if kind == "job" and address.isascii() and address.isdigit():
        return _job_node(jobs.one(by, min(int(address[:19]), LARGEST_ID)))
    raise Invalid(
        "node is base:name@1, dataset:team/name@1, job:1, adapter:team/name@1 or client:team/name.", param="node"
    )


def _versions_at(by: Caller, nodes: Iterable[Node]) -> list[int]:
    """Adapter versions that touch any of the nodes."""
    keys: dict[str, list[int]] = defaultdict(list)
    for node in nodes:
        keys[node.kind].append(node.key)
    wanted = Q(pk__in=[*keys["adapter"], *{pk for _, pk in _assigned(keys["client"])}])
    for kind, field_name in (("base", "base_version"), ("dataset", "dataset_version"), ("job", "job")):
        if keys[kind]:
            wanted |= Q(**{f"{field_name}__in": keys[kind]})
    rows = visible(by, AdapterVersion.objects.all(), team="adapter__team")
    return list(rows.filter(wanted).order_by("pk").values_list("pk", flat=True)[:LARGEST_STEP])


def _open() -> Q:
    now = timezone.now()
    return Q(valid_from__lte=now) & (Q(valid_to__isnull=True) | Q(valid_to__gt=now))


def _assigned(clients: Iterable[int]) -> Iterator[tuple[int, int]]:
    """(client, version) of each version that a client is assigned to now, in whichever slot."""
    ids = list(clients)
    for start in range(0, len(ids), staleness.CHUNK):
        rows = Assignment.objects.filter(_open(), slot__client__in=ids[start : start + staleness.CHUNK])
        for client, *versions in rows.values_list("slot__client", "version", "alias__version", "canary_version"):
            yield from ((client, pk) for pk in versions if pk is not None)


def _standing(ids: Iterable[int]) -> tuple[set[int], set[int]]:
    """Those of the versions that are stale, and those that would be if anything reached them."""
    suspects = staleness.suspects(AdapterVersion.objects.filter(pk__in=ids))
    stale = {one.version.pk for one in staleness.of_versions(ids)}
    return stale, set(suspects.values_list("pk", flat=True)) - stale


def _hit(clients: Iterable[int]) -> set[int]:
    """Those of the clients that any stale version answers, in whichever slot."""
    reached = list(_assigned(clients))
    stale, _ = _standing({pk for _, pk in reached})
    return {client for client, pk in reached if pk in stale}


def _around(ids: list[int], *, bases: Iterable[str] = ()) -> Graph:
    """The versions `ids` with everything that touches them directly, and the line of the base nodes `bases`."""
    found = Graph()
    versions = list(
        AdapterVersion.objects.filter(pk__in=ids).select_related(
            "adapter__team", "base_version__base_model__current", "dataset_version__dataset__team", "job"
        )
    )
    stale, idle = _standing(ids)
    clients = staleness.clients_of(versions)
    hit = _hit({client.pk for known in clients.values() for client in known})
    for version in versions:
        _add_version(found, version, stale, idle)
        for client in clients.get(version.pk, []):
            node = _client_node(client, stale=client.pk in hit)
            found.add([node], [Edge(f"adapter:{version.address}", node.id, "serves")])
    names = [node.removeprefix("base:").partition("@")[0] for node in bases if node.startswith("base:")]
    _add_successors(
        found, Q(base_model__in={v.base_version.base_model_id for v in versions}) | Q(base_model__name__in=names)
    )
    return found


def _add_version(found: Graph, version: AdapterVersion, stale: set[int], idle: set[int]) -> None:
    node, base = _version_node(version, stale, idle), _base_node(version.base_version)
    found.add([node, base], [Edge(base.id, node.id, "base_of")])
    if version.dataset_version is not None:
        dataset = _dataset_node(version.dataset_version)
        found.add([dataset], [Edge(dataset.id, node.id, "trained_on")])
    if version.job is not None:
        job = _job_node(version.job)
        found.add([job], [Edge(job.id, node.id, "made")])


def _add_successors(found: Graph, models: Q) -> None:
    rows = BaseVersion.objects.filter(models, activated_at__isnull=False)
    previous: BaseVersion | None = None
    for row in rows.select_related("base_model__current").defer("module_table").order_by("base_model", "number"):
        node = _base_node(row)
        found.add([node], [])
        if previous is not None and previous.base_model_id == row.base_model_id:
            found.edges.add(Edge(f"base:{previous.address}", node.id, "superseded_by"))
        previous = row


def _base_node(row: BaseVersion) -> Node:
    current = row.base_model.current_id == row.pk
    superseded = row.status == "active" and not current
    state = "current" if current else "superseded" if superseded else row.status
    url = f"/base-models/{row.base_model.name}"
    return Node(f"base:{row.address}", "base", row.address, state, url, row.pk)


def _dataset_node(row: DatasetVersion) -> Node:
    url = f"/datasets/{row.dataset.address}"
    return Node(f"dataset:{row.address}", "dataset", row.address, row.status, url, row.pk)


def _job_node(row: Job) -> Node:
    return Node(f"job:{row.pk}", "job", f"job {row.pk}", row.state, f"/jobs/{row.pk}", row.pk)


def _version_node(row: AdapterVersion, stale: set[int], idle: set[int]) -> Node:
    """`unused`: nothing reaches it, and what does should not: its base or dataset has moved on."""
    state = "stale" if row.pk in stale else "unused" if row.pk in idle else "fresh"
    state = row.status if row.status != "ready" else state
    url = f"/adapters/{row.adapter.address}/{row.number}"
    return Node(f"adapter:{row.address}", "adapter", row.address, state, url, row.pk)


def _client_node(row: Client, *, stale: bool) -> Node:
    state, url = "stale" if stale else "fresh", f"/clients/{row.address}"
    return Node(f"client:{row.address}", "client", row.address, state, url, row.pk)
