"""What a drawing of the lineage says beside its nodes: second lines, what trains now, which edge is to blame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from registry.access import Caller, visible
from registry.choices import HELD_JOB_STATES, JobKind, JobState
from registry.models import AdapterVersion, BaseVersion, Client, DatasetVersion, Job
from registry.selectors import staleness
from registry.selectors.lineage import Edge, Graph, Node

MOST_JOBS = 30


@dataclass
class Facts:
    """`seconds`: node id -> its second line. `since`: base node id -> when it was superseded.

    `blamed` holds the (source, target) of edges from what made a version stale, `waived` the nodes whose staleness
    is accepted for now, `coming` the versions that are being trained, each with the edge from its base.
    """

    seconds: dict[str, str] = field(default_factory=dict)
    since: dict[str, datetime] = field(default_factory=dict)
    blamed: set[tuple[str, str]] = field(default_factory=set)
    waived: set[str] = field(default_factory=set)
    coming: list[tuple[Node, Edge]] = field(default_factory=list)


def facts(by: Caller, graph: Graph, *, everything: bool) -> Facts:
    """A query or two for each kind of node. `everything`: also first trainings, of adapters not in the graph."""
    found = Facts()
    ids = _adapters(by, graph, found)
    _bases(graph, found)
    _datasets(by, graph, found)
    _clients(by, graph, found)
    for stale in staleness.of_versions(ids):
        if stale.waived_until is not None:
            found.waived.add(f"adapter:{stale.version.address}")
            continue
        for reason in stale.reasons:
            kind = "dataset" if reason.reason.startswith("dataset") else "base"
            found.blamed.add((f"{kind}:{reason.left}", f"adapter:{stale.version.address}"))
    _waived_clients(graph, found)
    names = {node.id.partition(":")[2].partition("@")[0] for node in _of(graph, "adapter")}
    _coming(by, None if everything else names, found)
    return found


def _waived_clients(graph: Graph, found: Facts) -> None:
    """Clients that are on stale versions, all of which are waived."""
    stale = {node.id for node in _of(graph, "adapter") if node.state == "stale"}
    served: dict[str, set[str]] = {}
    for edge in graph.edges:
        if edge.source in stale and edge.target.startswith("client:"):
            served.setdefault(edge.target, set()).add(edge.source)
    found.waived |= {client for client, versions in served.items() if versions <= found.waived}


def _of(graph: Graph, kind: str) -> list[Node]:
    return [node for node in graph.nodes.values() if node.kind == kind]


def _parts(nodes: Iterable[Node]) -> tuple[set[str], set[str]]:
    """The teams and the names in the addresses of `nodes`."""
    pairs = [node.id.partition(":")[2].partition("@")[0].partition("/") for node in nodes]
    return {team for team, _, _ in pairs}, {name for _, _, name in pairs}


def _adapters(by: Caller, graph: Graph, found: Facts) -> list[int]:
    teams, names = _parts(_of(graph, "adapter"))
    rows = visible(by, AdapterVersion.objects.select_related("adapter__team"), team="adapter__team")
    ids = []
    for row in rows.filter(adapter__team__slug__in=teams, adapter__name__in=names):
        if (node := f"adapter:{row.address}") in graph.nodes:
            found.seconds[node] = f"{row.adapter.vertical} · rank {row.rank}"
            ids.append(row.pk)
    return ids


def _bases(graph: Graph, found: Facts) -> None:
    names = {node.id.partition(":")[2].partition("@")[0] for node in _of(graph, "base")}
    rows = BaseVersion.objects.filter(base_model__name__in=names).select_related("base_model")
    previous: BaseVersion | None = None
    for row in rows.defer("module_table").order_by("base_model", "number"):
        found.seconds[f"base:{row.address}"] = f"base version · {row.weights_sha256[:8] or 'no weights yet'}"
        if row.activated_at is None:
            continue
        if previous is not None and previous.base_model_id == row.base_model_id:
            found.since[f"base:{previous.address}"] = row.activated_at
        previous = row


def _datasets(by: Caller, graph: Graph, found: Facts) -> None:
    teams, names = _parts(_of(graph, "dataset"))
    rows = visible(by, DatasetVersion.objects.select_related("dataset__team"), team="dataset__team")
    for row in rows.filter(dataset__team__slug__in=teams, dataset__name__in=names):
        counted = "dataset" if row.row_count is None else f"dataset · {row.row_count:,} rows"
        found.seconds[f"dataset:{row.address}"] = counted


def _clients(by: Caller, graph: Graph, found: Facts) -> None:
    teams, names = _parts(_of(graph, "client"))
    now = timezone.now()
    still = Q(slots__assignments__valid_to__isnull=True) | Q(slots__assignments__valid_to__gt=now)
    running = Q(slots__assignments__valid_from__lte=now) & still
    count = Count("slots__assignments__adapter", filter=running, distinct=True)
    rows: QuerySet[Client] = visible(by, Client.objects.select_related("team")).filter(
        team__slug__in=teams, name__in=names
    )
    for row in rows.annotate(adapter_count=count):
        number = row.adapter_count
        found.seconds[f"client:{row.address}"] = f"{number} adapter{'' if number == 1 else 's'}"


def _coming(by: Caller, only: set[str] | None, found: Facts) -> None:
    rows = visible(by, Job.objects.filter(kind=JobKind.TRAIN, state__in=(JobState.QUEUED, *HELD_JOB_STATES)))
    related = ("training__adapter__team", "training__base_version__base_model")
    for job in (
        rows.select_related(*related).defer("training__base_version__module_table").order_by("pk")[:MOST_JOBS]
    ):
        spec = job.training
        if only is not None and spec.adapter.address not in only:
            continue
        state = "queued" if job.state == JobState.QUEUED else "training"
        node = Node(f"training:{job.pk}", "training", spec.adapter.address, state, f"/jobs/{job.pk}", job.pk)
        found.seconds[node.id] = f"{spec.adapter.vertical} · rank {spec.recipe.get('rank', '?')}"
        found.coming.append((node, Edge(f"base:{spec.base_version.address}", node.id, state)))
