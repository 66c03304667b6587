"""An installation whose database file is shared by the test and by real worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from django.db import connections, transaction

from registry.access import SYSTEM, Caller
from registry.choices import JobKind
from registry.models import AdapterVersion, BaseVersion, DatasetVersion, Job, Team, User
from registry.services import jobs, training
from tests.config.waiting import ROOT, eventually
from tests.make import make_adapter, make_base_version, make_dataset_version, make_manifest

LEASE = 4.0  # seconds; long enough for a machine that is busy with other things
PATIENCE = 240.0  # seconds
RECIPE = {"rank": 2, "steps": 6, "batch_size": 2, "max_length": 48, "warmup_steps": 0, "validate_every": 3}


@contextmanager
def database(path: Path) -> Iterator[None]:
    """Every query of this process goes to the SQLite file at `path`, committed like a worker's."""
    values = connections.settings["default"]
    before = values["NAME"]
    connections["default"].close()
    del connections["default"]
    values["NAME"] = str(path)
    try:
        yield
    finally:
        connections["default"].close()
        del connections["default"]
        values["NAME"] = before


class Site:
    """A home with a team, a base version of real (tiny) weights, a dataset and an adapter."""

    def __init__(self, home: Path, base: Path, facts: dict[str, Any]) -> None:
        self.home = home
        self.team = Team.objects.create(slug="health", name="Health")
        self.user = User.objects.create_user("alice@example.org", None)
        self.team.memberships.create(user=self.user, role="owner")
        self.by = Caller(user=self.user)
        files = {path.name: path.read_bytes() for path in base.iterdir() if path.is_file()}
        self.base: BaseVersion = make_base_version("tiny", manifest=make_manifest(files), **facts)
        self.dataset: DatasetVersion = make_dataset_version(self.team, rows=20)
        self.adapter = make_adapter(self.team, base=self.base)

    def env(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "PLETHORA_HOME": str(self.home),
            "PLETHORA_LEASE_SECONDS": str(LEASE),
            "PLETHORA_LIFELINE": "stdin",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
            "OMP_NUM_THREADS": "1",
            **more,
        }

    @contextmanager
    def worker(self, *, concurrency: int = 2) -> Iterator[subprocess.Popen[bytes]]:
        """A Celery worker with its feeder; it ends when its stdin closes, as under the supervisor."""
        command = [sys.executable, "-m", "celery", "-A", "config", "worker", "--pool=threads", "--loglevel=INFO"]
        command += [f"--concurrency={concurrency}", "--without-mingle", "--without-gossip"]
        with (self.home / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self.env(),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"the worker outlived its stdin\n{self.log()}") from None

    def submit(self, *, recipe: dict[str, Any] | None = None, **fields: Any) -> Job:
        values = {"adapter": self.adapter, "dataset": self.dataset, "recipe": {**RECIPE, **(recipe or {})}}
        return training.submit(by=self.by, request=training.Request(**{**values, **fields}))

    def queue(self, kind: str, **payload: Any) -> Job:
        """A job of any kind, with nothing behind it."""
        with transaction.atomic():
            return jobs.create(by=SYSTEM, kind=JobKind(kind), team=self.team, payload=payload)

    def wait(self, job: Job, *states: str, seconds: float = PATIENCE) -> Job:
        """The job once it is in one of the states."""

        def there() -> bool:
            job.refresh_from_db()
            return job.state in states

        assert eventually(there, seconds), f"job {job.pk} is {job.state}: {job.error}\n{self.log()}"
        return job

    def step(self, job: Job, at_least: int = 1) -> None:
        """Wait until training has come so far."""
        assert eventually(lambda: self.job(job).progress.get("step", 0) >= at_least, PATIENCE), self.log()

    def job(self, job: Job) -> Job:
        job.refresh_from_db()
        return job

    def versions(self, job: Job) -> list[AdapterVersion]:
        return list(AdapterVersion.objects.filter(job=job))

    def log(self) -> str:
        path = self.home / "worker.log"
        return path.read_text()[-6000:] if path.exists() else ""


def child_of(process: subprocess.Popen[bytes], patience: float = PATIENCE) -> psutil.Process:
    """The training child of a worker: its nursery forked it."""
    found: list[psutil.Process] = []

    def look() -> bool:
        nurseries = [one for one in psutil.Process(process.pid).children() if is_nursery(one)]
        found[:] = [child for nursery in nurseries for child in nursery.children()]
        return bool(found)

    assert eventually(look, patience), "the worker has no training child"
    return found[0]


def is_nursery(process: psutil.Process) -> bool:
    return "training.trainer.nursery" in process.cmdline()


class Silent:
    """A channel that nobody listens to."""

    def emit(self, event: str, **fields: Any) -> None:
        return None

    def check_cancelled(self) -> None:
        return None


def facts_of(base: Path) -> dict[str, Any]:
    """What ingesting records of a base's folder."""
    from training.trainer.inspection import inspect

    seen = inspect({"base": str(base)}, Silent())
    names = ("module_table", "parameter_count", "dtype", "context_length", "tokenizer_sha256", "shape_fingerprint")
    return {name: seen[name] for name in names}
