"""`plethora job`: submit, watch, gate."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from client.api import Client
from client.output import Exit, data, explained, interactive, rows, stop, talk
from client.session import Json, Token, Url, connect

app = typer.Typer(no_args_is_help=True, help="Training jobs.")
Seconds = Annotated[float, typer.Option("--timeout", help="give up waiting after so many seconds")]
FINAL = ("succeeded", "failed", "cancelled")
EVERY = 1.0  # seconds between two looks
OUTCOMES = {"failed": Exit.JOB_FAILED, "cancelled": Exit.CANCELLED}


@app.command()
def submit(
    file: Annotated[
        Path, typer.Option("--file", "-f", help="the job as YAML or JSON", exists=True, dir_okay=False)
    ],
    wait: Annotated[bool, typer.Option("--wait", help="watch it, and exit with its status")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what it would take")] = False,
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Queue a training job."""
    with explained():
        body = _read(file)
        server = connect(url, token)
        if dry_run:
            data(server.post("/training-jobs", body, params={"dry_run": "true"}), as_json=as_json)
            return
        job = server.post("/training-jobs", body)
        if not wait:
            data(job if as_json else {"id": job["id"], "state": job["state"]}, as_json=as_json)
            return
        _watch(server, job["id"], 24 * 3600.0, as_json=as_json, exit_status=True)


@app.command()
def watch(
    job: str,
    exit_status: Annotated[bool, typer.Option("--exit-status", help="exit 3, 5 or 7 unless it succeeded")] = False,
    timeout: Seconds = 24 * 3600.0,
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Follow a job to its end. Ctrl-C detaches."""
    with explained():
        _watch(connect(url, token), job, timeout, as_json=as_json, exit_status=exit_status)


@app.command()
def gate(job: str, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """The verdict of a job's gate, rule by rule; exit 7 where it is not met."""
    with explained():
        found = connect(url, token).get(f"/training-jobs/{job}")
        verdict = found["gate_result"]
        if verdict is None:
            stop(_status(found) or Exit.ERROR, f"job {job} is {found['state']} and has no verdict")
        columns = ("metric", "op", "relative_to", "value", "left", "right", "passed")
        data(verdict, as_json=as_json, table=rows(verdict["rules"], *columns))
        if not verdict["passed"]:
            stop(Exit.GATE_NOT_MET)


@app.command("list")
def listing(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """The last training jobs."""
    with explained():
        found = connect(url, token).get("/training-jobs")["results"]
        data(found, as_json=as_json, table=rows(found, "id", "state", "adapter", "dataset", "created_at"))


@app.command()
def cancel(job: str, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Ask for the end of a job."""
    with explained():
        data(connect(url, token).post(f"/training-jobs/{job}/cancel"), as_json=as_json)


def _read(file: Path) -> dict[str, Any]:
    try:
        body = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        stop(Exit.USAGE, f"{file} is no YAML: {error}")
    if not isinstance(body, dict):
        stop(Exit.USAGE, f"{file} must hold one job as a mapping: adapter, dataset, recipe, ...")
    return body


def _watch(server: Client, job_id: str, timeout: float, *, as_json: bool, exit_status: bool) -> None:
    words = TextColumn("{task.description}")
    bar = Progress(words, BarColumn(), TimeRemainingColumn(), console=talk, disable=not interactive())
    talk.print(f"Watching job {job_id}; Ctrl-C detaches.", markup=False)
    with bar:
        task = bar.add_task(f"job {job_id}", total=None)

        def seen(job: dict[str, Any]) -> None:
            progress = job["progress"]
            said = f"job {job_id} {job['state']}"
            bar.update(task, completed=progress.get("step") or 0, total=progress.get("steps"), description=said)

        job = _ended(server, job_id, timeout, seen)
    shown = {name: job[name] for name in ("id", "state", "result", "gate_result", "error", "cost")}
    data(job if as_json else shown, as_json=as_json)
    if exit_status and (code := _status(job)):
        stop(code)


def _ended(server: Client, job_id: str, timeout: float, seen: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Ask until the job has ended."""
    until = time.monotonic() + timeout
    while True:
        job: dict[str, Any] = server.get(f"/training-jobs/{job_id}")
        seen(job)
        if job["state"] in FINAL:
            return job
        if time.monotonic() > until:
            stop(Exit.TIMED_OUT, f"job {job_id} is still {job['state']} after {timeout:g} s; it goes on")
        time.sleep(EVERY)


def _status(job: dict[str, Any]) -> Exit | None:
    """The exit code of a job's end; None where it succeeded and passed."""
    if job["state"] in OUTCOMES:
        return OUTCOMES[job["state"]]
    verdict = job["gate_result"]
    return Exit.GATE_NOT_MET if verdict is not None and not verdict["passed"] else None
