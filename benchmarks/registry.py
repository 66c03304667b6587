"""The REST API against MLflow's server on the same machine, and how it bears growth.

    python -m benchmarks.registry [--home DIR] [--mlflow-python PYTHON] [--quick] [--without-mlflow] [--only ROW]

Ours (`manage.py web`) and MLflow (two workers) hold 2,000 adapters of five versions and two aliases, on SQLite
and on PostgreSQL; the bars are those of MLflow on SQLite. Every round asks each arm the same, one after the other,
so that a busy machine is unfair to all alike. Growth compares installations of 1,000 and of 100,000 versions.
What is seeded stays in `--home` for the next run. Exits with 1 where a bar is missed; a row counts as slower where
its median is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks import registry_peer as peer
from benchmarks import registry_sites as ours
from benchmarks.registry_load import Arm, Ask, Asking, Measured
from benchmarks.registry_sites import Size

PEER, PEER_POSTGRES = "MLflow", "MLflow on PostgreSQL"
RATIOS = ((PEER, "SQLite"), (PEER, "PostgreSQL"), (PEER_POSTGRES, "PostgreSQL"))
CROWD = 8
MOST_P95 = 50.0  # ms, under CROWD clients
MOST_RESOLVE = 3.0  # ms, median of one client
MOST_GROWTH = 3.0


@dataclass(frozen=True)
class Plan:
    """How much is seeded and asked."""

    size: Size
    small: Size
    large: Size
    rounds: int
    requests: int
    limit: int  # of the lists, so that there is a 21st page


WHOLE = Plan(Size(2000, 100), Size(200, 200), Size(20_000, 20_000, 200), rounds=4, requests=48, limit=50)
QUICK = Plan(Size(60, 10), Size(20, 10), Size(60, 30, 20), rounds=2, requests=8, limit=2)


@dataclass(frozen=True)
class Row:
    """A kind of request; `factor`: how many times faster than MLflow ours must be (None: MLflow has none)."""

    name: str
    ours: Asking
    peer: Asking | None = None
    factor: float | None = 1.0


Table = dict[tuple[str, str, int], Measured]  # (row, arm, clients)


def rows_of(plan: Plan, own: Arm, other: Arm | None) -> list[Row]:
    """The rows of the issue. A page far behind has an address of its own on every arm."""
    n, limit, before = plan.size.adapters, plan.limit, ours.held(own)
    fixed = partial(_always, ours.listed(limit=limit))
    return [
        Row("get by alias", lambda at: _get(ours.adapter(at, n), "@production"), lambda at: peer.alias(at, n)),
        Row("get version", lambda at: _get(ours.adapter(at, n), "3"), lambda at: peer.version(at, n)),
        Row("set alias", lambda at: ours.moved(at, n, before), lambda at: peer.moved(at, n)),
        Row("create version", lambda at: ours.imported(at, n), lambda at: peer.created(at, n)),
        Row(
            "search by label, 20 hits",
            partial(_always, ours.listed(label="hit:yes", limit=100)),
            partial(_always, peer.search("tags.hit = 'yes'", 100)),
            2.0,
        ),
        Row(
            "search by vertical, 100",
            partial(_always, ours.listed(vertical="legal", limit=100)),
            partial(_always, peer.search("tags.vertical = 'legal'", 100)),
            2.0,
        ),
        Row("list, first page", fixed, _peer_page(other, 1, limit), 2.0),
        Row(
            "list, 21st page",
            partial(_always, ours.page(own, 21, limit)),
            _peer_page(other, 21, limit),
            2.0,
        ),
        Row("resolve at a time", lambda at: resolve(at, plan.size), None, None),
    ]


def growth_rows(size: Size) -> list[Row]:
    """What must not grow with the registry."""
    most = "mistral" if size.first else "llama"
    node = {"node": "adapter:bench/a000000@5"}
    return [
        Row("staleness", partial(_always, Ask("GET", "/staleness"))),
        Row("impact on 200 adapters", partial(_always, _impact("llama"))),
        Row("impact on all adapters, no bar", partial(_always, _impact(most)), factor=None),
        Row("list", partial(_always, ours.listed())),
        Row("list of the stale", partial(_always, ours.listed(stale="true"))),
        Row("search by vertical", partial(_always, ours.listed(vertical="legal"))),
        Row("resolve", lambda at: resolve(at, size)),
        Row("lineage of a version", partial(_always, Ask("GET", "/lineage", {"params": node}))),
    ]


def _impact(base: str) -> Ask:
    return Ask("GET", f"/base-models/{base}/versions/3/impact")


def resolve(at: int, size: Size) -> Ask:
    client = f"bench/c{at * 7919 % size.clients:06}"
    return Ask("GET", "/resolve", {"params": {"client": client, "at": ours.BEFORE}})


def _peer_page(other: Arm | None, number: int, limit: int) -> Asking | None:
    return None if other is None else partial(_always, peer.page(other, number, limit))


def _always(ask: Ask, _: int) -> Ask:
    return ask


def _get(path: str, ref: str) -> Ask:
    return Ask("GET", f"{path}/versions/{ref}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", help="a folder for what is seeded (default: one that goes with the run)")
    parser.add_argument(
        "--mlflow-python", default="", help="a Python that has MLflow (default: a new environment)"
    )
    parser.add_argument("--without-mlflow", action="store_true", help="ours alone")
    parser.add_argument("--without-growth", action="store_true")
    parser.add_argument("--without-postgres", action="store_true")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument(
        "--quick", action="store_true", help="small numbers, to see that it runs; bars are not judged"
    )
    parser.add_argument("--without-compared", action="store_true", help="growth alone")
    parser.add_argument("--rounds", type=int, default=0, help="of each row, after one that warms up")
    parser.add_argument("--requests", type=int, default=0, help="of each arm in a round")
    options = parser.parse_args()
    plan = QUICK if options.quick else WHOLE
    plan = replace(plan, rounds=options.rounds or plan.rounds, requests=options.requests or plan.requests)
    with tempfile.TemporaryDirectory(prefix="registry-bench-") as folder:
        home = Path(options.home or folder).resolve()
        missed = [] if options.without_compared else compared(plan, home, options)
        missed += [] if options.without_growth else grown(plan, home, options)
    for line in missed:
        print(f"MISSED: {line}")
    print("bars: " + ("missed" if missed else "met"))
    sys.exit(1 if missed and not options.quick else 0)


def compared(plan: Plan, home: Path, options: argparse.Namespace) -> list[str]:
    """Measures and prints row by row, returns what missed its bar."""
    with ExitStack() as stack:
        arms, others = _arms(stack, plan.size, home, options)
        rows = [row for row in rows_of(plan, arms[0], others[0] if others else None) if options.only in row.name]
        for arm in arms:
            arm.send(ours.imported(0, plan.size.adapters))  # from now on its files are present
        table: Table = {}
        print_head([arm.name for arm in (*arms, *others)])
        for row in rows:
            asked = [(arm, row.ours) for arm in arms]
            asked += [(arm, row.peer) for arm in others if row.peer is not None]
            for clients in (1, CROWD):
                measure(row, asked, plan, clients, table)
                print_row(row, clients, table)
    return missed_bars(rows, table)


def _arms(stack: ExitStack, size: Size, home: Path, options: argparse.Namespace) -> tuple[list[Arm], list[Arm]]:
    """Ours and the peer's, each on SQLite and on PostgreSQL."""
    enter = stack.enter_context
    program = "" if options.without_mlflow else peer.python(home, options.mlflow_python)
    arms = [enter(ours.site("SQLite", home / "sqlite", size))]
    others = [enter(peer.server(PEER, home, program, size.adapters))] if program else []
    if not options.without_postgres:
        server, pid = enter(ours.postgres(home / "postgres"))
        url = ours.database(server, "compared")
        arms.append(enter(ours.site("PostgreSQL", home / "postgres-compared", size, url=url, pids=(pid,))))
        if program:
            url = ours.database(server, "mlflow").replace("://", "+psycopg://")
            others.append(enter(peer.server(PEER_POSTGRES, home, program, size.adapters, url=url, pids=(pid,))))
    return arms, others


def measure(row: Row, asked: Sequence[tuple[Arm, Asking]], plan: Plan, clients: int, table: Table) -> None:
    """The arms in turn, in every round; the first round only warms up."""
    for at in range(plan.rounds + 1):
        for arm, asking in asked:
            found = arm.measure(asking, count=plan.requests, clients=clients)
            if at:
                table.setdefault((row.name, arm.name, clients), Measured()).add(found)


def grown(plan: Plan, home: Path, options: argparse.Namespace) -> list[str]:
    """Measures small against large, prints, returns what grew too much."""
    sizes = {"small": plan.small, "large": plan.large}
    missed: list[str] = []
    with ExitStack() as stack:
        kinds = {"SQLite": [stack.enter_context(ours.site(k, home / f"sqlite-{k}", s)) for k, s in sizes.items()]}
        if not options.without_postgres:
            wanted = {name: (name, size) for name, size in sizes.items()}
            kinds["PostgreSQL"] = stack.enter_context(_on_postgres(home, wanted))
        few, many = (f"{5 * size.adapters:,} versions" for size in sizes.values())
        print(f"\n| growth, one client: median ms | | {few} | {many} | ratio |\n|---|---|---|---|---|")
        for kind, arms in kinds.items():
            for rows in zip(*(growth_rows(size) for size in sizes.values()), strict=True):
                if options.only not in rows[0].name:
                    continue
                table: Table = {}
                asked = [(arm, row.ours) for arm, row in zip(arms, rows, strict=True)]
                measure(rows[0], asked, plan, 1, table)
                small, large = (table[rows[0].name, arm.name, 1].median for arm in arms)
                print(f"| {rows[0].name} | {kind} | {small:.1f} | {large:.1f} | {large / small:.2f} |", flush=True)
                if rows[0].factor and large > MOST_GROWTH * small:
                    missed.append(f"growth of {rows[0].name} on {kind}: {large / small:.1f} > {MOST_GROWTH:g}")
    return missed


@contextmanager
def _on_postgres(home: Path, wanted: dict[str, tuple[str, Size]]) -> Iterator[list[Arm]]:
    """Installations by the names of their arms, each on a database of its own of one server."""
    with ExitStack() as stack:
        server, pid = stack.enter_context(ours.postgres(home / "postgres"))
        yield [
            stack.enter_context(
                ours.site(arm, home / f"postgres-{name}", size, url=ours.database(server, name), pids=(pid,))
            )
            for arm, (name, size) in wanted.items()
        ]


def print_head(arms: Sequence[str]) -> None:
    heads = [f"{arm}: median / p95 / p99 (CPU) ms" for arm in arms]
    heads += [f"{peer} / {arm}" for peer, arm in RATIOS if {peer, arm} <= set(arms)]
    print("| row | clients | " + " | ".join(heads) + " |\n|" + "---|" * (2 + len(heads)), flush=True)


def print_row(row: Row, clients: int, table: Table) -> None:
    """A cell is median / p95 / p99 and a request's CPU."""
    arms = list(dict.fromkeys(arm for _, arm, _ in table))
    cells = [cell(table.get((row.name, arm, clients))) for arm in arms]
    ratios = [ratio(table, row, arm, clients, peer) for peer, arm in RATIOS if {peer, arm} <= set(arms)]
    words = [f"{found:.1f}" if found else "" for found in ratios]
    print(f"| {row.name} | {clients} | " + " | ".join(cells + words) + " |", flush=True)


def cell(found: Measured | None) -> str:
    if found is None:
        return ""
    tail = " / ".join(f"{found.percentile(share):.1f}" for share in (0.95, 0.99))
    return f"{found.median:.1f} / {tail} ({found.cpu_median:.1f})"


def ratio(table: Table, row: Row, arm: str, clients: int, peer: str = PEER) -> float | None:
    """How many times faster than MLflow, by medians."""
    other = table.get((row.name, peer, clients))
    return other.median / table[row.name, arm, clients].median if other else None


def missed_bars(rows: Sequence[Row], table: Table) -> list[str]:
    missed = []
    for row in rows:
        for (name, arm, clients), found in table.items():
            if name != row.name or arm in (PEER, PEER_POSTGRES):
                continue
            where = f"{name} on {arm}, {clients} client{'s' if clients > 1 else ''}"
            faster = ratio(table, row, arm, clients)
            if faster is not None and row.factor is not None and faster < row.factor:
                missed.append(f"{where}: {faster:.2f}x MLflow, not {row.factor:g}x")
            if clients == CROWD and (p95 := found.percentile(0.95)) > MOST_P95:
                missed.append(f"{where}: p95 {p95:.1f} ms > {MOST_P95:g} ms")
            if name.startswith("resolve") and clients == 1 and found.median > MOST_RESOLVE:
                missed.append(f"{where}: median {found.median:.1f} ms > {MOST_RESOLVE:g} ms")
    return missed


if __name__ == "__main__":
    main()
