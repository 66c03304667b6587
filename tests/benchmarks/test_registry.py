from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest

from benchmarks import registry as benchmark
from benchmarks.registry_load import Ask, Measured
from benchmarks.registry_sites import ROOT, files
from registry.weights import read_header

ROW = benchmark.Row("list", partial(benchmark._always, Ask("GET", "/adapters")), factor=2.0)


def measured(milliseconds: float) -> Measured:
    return Measured([milliseconds / 1000] * 20, [0.001])


def missed(ours: float, peer: float, clients: int = 1, name: str = "list") -> list[str]:
    row = benchmark.Row(name, ROW.ours, factor=2.0)
    table = {(name, "SQLite", clients): measured(ours), (name, "MLflow", clients): measured(peer)}
    return benchmark.missed_bars([row], table)


def test_it_takes_the_share_below_which_requests_stayed():
    found = Measured([at / 1000 for at in range(1, 101)], [0.002])
    assert (found.percentile(0.95), found.percentile(0.99), found.cpu_median) == (96, 100, 2)


def test_it_asks_for_twice_the_speed_where_a_row_says_so():
    assert missed(10, 20) == []
    assert missed(10, 19) == ["list on SQLite, 1 client: 1.90x MLflow, not 2x"]


def test_it_bounds_the_slow_end_under_a_crowd():
    assert missed(51, 200, clients=1) == []
    assert missed(51, 200, clients=8) == ["list on SQLite, 8 clients: p95 51.0 ms > 50 ms"]


def test_it_bounds_a_resolve():
    assert missed(3.5, 20, name="resolve at a time") == [
        "resolve at a time on SQLite, 1 client: median 3.5 ms > 3 ms"
    ]


def test_it_imports_what_reads_as_an_adapter(tmp_path):
    path = tmp_path / "adapter_model.safetensors"
    path.write_bytes(files(1)[path.name])
    assert len(read_header(path).tensors) == 2


@pytest.mark.soak
def test_it_runs_on_both_databases():
    command = [sys.executable, "-m", "benchmarks.registry", "--quick", "--without-mlflow"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "| create version | 8 |" in ran.stdout
    assert "| lineage of a version | PostgreSQL |" in ran.stdout
