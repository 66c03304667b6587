"""The client loop of `benchmarks.registry`: the same for every server that is measured.

Connections are kept, one for each client. Wall time is that of a whole answered request; CPU time is that of the
server's processes, which a busy machine stretches less.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil


@dataclass(frozen=True)
class Ask:
    """One request; `more` is what httpx takes: json, params, data, files."""

    method: str
    path: str
    more: dict[str, Any] = field(default_factory=dict)


Asking = Callable[[int], Ask]


@dataclass
class Measured:
    """Seconds of every request, and CPU seconds of the server for one."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, other: Measured) -> None:
        self.seconds += other.seconds
        self.cpu += other.cpu

    @property
    def median(self) -> float:
        return 1000 * statistics.median(self.seconds)

    @property
    def cpu_median(self) -> float:
        return 1000 * statistics.median(self.cpu)

    def percentile(self, share: float) -> float:
        """Milliseconds below which that share of the requests stayed."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Arm:
    """A server under measurement. `pids` are the roots of its processes."""

    def __init__(self, name: str, url: str, *, pids: Sequence[int], headers: dict[str, str] | None = None) -> None:
        self.name = name
        self._url, self._headers = url, headers or {}
        self._roots = [psutil.Process(pid) for pid in pids]
        self._clients: list[httpx.Client] = []
        self._counter = itertools.count()

    def send(self, ask: Ask, client: httpx.Client | None = None) -> httpx.Response:
        """The answer. Raises RuntimeError where it is a refusal: a benchmark of refusals would look fast."""
        link = client or self._client(0)
        try:
            answer = link.request(ask.method, ask.path, **ask.more)
        except httpx.RemoteProtocolError:  # the server closed a connection that was idle for long
            answer = link.request(ask.method, ask.path, **ask.more)
        if not answer.is_success:
            raise RuntimeError(f"{self.name}: {ask.method} {ask.path}: {answer.status_code} {answer.text[:300]}")
        return answer

    def measure(self, asking: Asking, *, count: int, clients: int) -> Measured:
        """`count` requests, shared by `clients` at once, each over its own connection, which one request warms."""
        links = [self._client(at) for at in range(clients)]
        for link in links:
            self.send(asking(next(self._counter)), link)
        before = self._cpu_seconds()
        with ThreadPoolExecutor(clients) as pool:
            share = max(1, count // clients)
            seconds = list(pool.map(lambda link: [self._timed(asking, link) for _ in range(share)], links))
        flat = [one for part in seconds for one in part]
        return Measured(flat, [(self._cpu_seconds() - before) / len(flat)])

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def _timed(self, asking: Asking, client: httpx.Client) -> float:
        ask = asking(next(self._counter))
        begun = time.perf_counter()
        self.send(ask, client)
        return time.perf_counter() - begun

    def _client(self, at: int) -> httpx.Client:
        while len(self._clients) <= at:
            link = httpx.Client(base_url=self._url, headers=self._headers, timeout=120, trust_env=False)
            self._clients.append(link)
        return self._clients[at]

    def _cpu_seconds(self) -> float:
        """User and system time of the server, its children and those that ended, so far."""
        total = 0.0
        for root in self._roots:
            for process in (root, *root.children(recursive=True)):
                try:
                    times = process.cpu_times()
                except psutil.NoSuchProcess:
                    continue
                total += times.user + times.system
        return total
