"""A team, its work and its workers on one place; the test is the one who kills."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import psutil
import redis

from registry.access import SYSTEM
from registry.choices import FINAL_JOB_STATES, JobState
from registry.models import AuditEvent, BaseVersion, DatasetVersion, Job, JobEvent, Team
from registry.services import base_models, datasets, teams
from tests.config.waiting import ROOT, eventually
from tests.stack.fixtures import Place, Running
from tests.training.site import child_of

LEASE = 2.0
ENDS = ("succeeded", "failed", "cancelled")


class Worker:
    """`celery worker` with its feeder, in a process of its own; its log tells what it did."""

    def __init__(self, site: Site, name: str, concurrency: int) -> None:
        self.log_file = site.place.home / f"{name}.log"
        command = [sys.executable, "-m", "celery", "-A", "config", "worker", "--pool=threads", "--loglevel=INFO"]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, f"--concurrency={concurrency}", f"--hostname={name}@%h"],
                env=site.env(name),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def child(self) -> psutil.Process:
        """Its training child, once there is one."""
        return child_of(self.process)


class Site:
    def __init__(self, place: Place, running: Running, broker: redis.Redis) -> None:
        self.place, self.running, self.broker = place, running, broker
        self.workers: list[Worker] = []
        self.team: Team = teams.create(by=SYSTEM, slug="health", name="Health")

    def env(self, name: str) -> dict[str, str]:
        """Each worker is a machine of its own: it shares nothing but the stack."""
        ours = {"PLETHORA_HOME": str(self.place.home / name), "PLETHORA_LEASE_SECONDS": str(LEASE)}
        roots = {"PLETHORA_BASE_ROOTS": str(self.place.home), "PLETHORA_LIFELINE": "stdin", "OMP_NUM_THREADS": "1"}
        return {**os.environ, **self.place.env, **ours, **roots, "PYTHONPATH": str(ROOT)}

    def worker(self, name: str, *, concurrency: int = 2) -> Worker:
        self.workers.append(Worker(self, name, concurrency))
        return self.workers[-1]

    def end(self) -> None:
        for worker in self.workers:
            worker.kill()

    def dataset(self, name: str, *, rows: int = 10) -> DatasetVersion:
        """An upload whose validation is queued."""
        file = self.place.home / f"{name}.jsonl"
        file.write_text("".join(json.dumps(_row(name, index)) + "\n" for index in range(rows)))
        dataset = datasets.create(by=SYSTEM, team=self.team, name=name, vertical="healthcare")
        return datasets.add_version(by=SYSTEM, dataset=dataset, file=file, filename=file.name)

    def base(self, settings: Any) -> BaseVersion:
        """A tiny base model with random weights whose ingestion is queued."""
        from tests.serving.engine.make import save_base

        settings.BASE_ROOTS = [self.place.home.resolve()]
        folder = save_base(self.place.home / "tiny")
        base = base_models.create(by=SYSTEM, name="tiny")
        return base_models.add_version(by=SYSTEM, base=base, source=folder.as_uri())

    def wait(self, job: Job | None, *states: str, seconds: float = 120) -> Job:
        assert job

        def there() -> bool:
            job.refresh_from_db()
            return job.state in states

        assert eventually(there, seconds), f"job {job.pk} is {job.state}: {job.error}\n{self.logs()}"
        return job

    def all_final(self, seconds: float) -> bool:
        return eventually(lambda: not Job.objects.exclude(state__in=FINAL_JOB_STATES).exists(), seconds)

    def logs(self) -> str:
        return "\n".join(worker.log[-3000:] for worker in self.workers)


def counts() -> dict[str, Any]:
    """What became of all jobs: lost ones never ended; each other one must have ended, and said so, once."""
    ends = list(JobEvent.objects.filter(kind__in=ENDS).values_list("job_id", flat=True))
    told = list(
        AuditEvent.objects.filter(action__in=[f"job.{end}" for end in ENDS]).values_list("object", flat=True)
    )
    return {
        "jobs": Job.objects.count(),
        "succeeded": Job.objects.filter(state=JobState.SUCCEEDED).count(),
        "lost": Job.objects.exclude(state__in=FINAL_JOB_STATES).count(),
        "twice": len(ends) - len(set(ends)) + len(told) - len(set(told)),
        "attempts": sum(Job.objects.values_list("attempt", flat=True)),
    }


def _row(name: str, index: int) -> dict[str, Any]:
    words = ((f"Question {index} of {name}?", "user"), (f"Answer {index}.", "assistant"))
    return {"messages": [{"role": role, "content": content} for content, role in words]}


def redis_server(running: Running) -> psutil.Process:
    """The server itself, below its wrapper."""
    wrapper = psutil.Process(running.supervisor.facts("redis")["pid"])
    return wrapper.children()[0]
