"""Waiting for what a job makes: a line of progress for people, an exit code for scripts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from client.api import Client
from client.output import Exit, interactive, stop, talk

Seconds = Annotated[float, typer.Option("--timeout", help="give up waiting after so many seconds")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="don't wait for the job that checks it")]
FINAL = ("succeeded", "failed", "cancelled")
OUTCOMES = {"failed": Exit.JOB_FAILED, "cancelled": Exit.CANCELLED}
EVERY = 1.0  # seconds between two looks
DAY = 24 * 3600.0


def made(server: Client, path: str, job_id: str | None, words: str, timeout: float) -> Any:
    """The object at `path` once its job has succeeded; exits 3, 5 or 6 where it has not."""
    if job_id is not None:
        job = followed(server, f"/jobs/{job_id}", words, timeout)
        if job["state"] in OUTCOMES:
            stop(OUTCOMES[job["state"]], refused(job, server.get(path)))
    return server.get(path)


def followed(server: Client, path: str, words: str, timeout: float) -> dict[str, Any]:
    """The job at `path` once it has ended."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    talk.print(f"{words}; Ctrl-C detaches.", markup=False)
    with Progress(*columns, console=talk, disable=not interactive()) as bar:
        task = bar.add_task(words, total=None)

        def seen(job: dict[str, Any]) -> None:
            progress = job["progress"]
            said = f"{words}: {job['state']}"
            bar.update(task, completed=progress.get("step") or 0, total=progress.get("steps"), description=said)

        return _ended(server, path, timeout, seen)


def refused(job: dict[str, Any], made: dict[str, Any]) -> str:
    """Why a job ended so, with the first lines of a dataset's report."""
    error = job.get("error") or {}
    lines = [f"job {job['id']} {job['state']}: {error.get('message') or 'it gave no reason'}"]
    wrong = (made.get("report") or {}).get("errors", [])[:10]
    return "\n".join([*lines, *(f"  line {one.get('line')}: {one.get('message')}" for one in wrong)])


def _ended(server: Client, path: str, timeout: float, seen: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Ask until the job has ended."""
    until = time.monotonic() + timeout
    while True:
        job: dict[str, Any] = server.get(path)
        seen(job)
        if job["state"] in FINAL:
            return job
        if time.monotonic() > until:
            stop(Exit.TIMED_OUT, f"job {job['id']} is still {job['state']} after {timeout:g} s; it goes on")
        time.sleep(EVERY)
