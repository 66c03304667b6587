"""`plethora job`: submit, watch, gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from client.addresses import whole
from client.api import Client
from client.output import Exit, data, explained, rows, stop
from client.session import Json, Token, Url, connect
from client.waiting import DAY, OUTCOMES, Seconds, followed

app = typer.Typer(no_args_is_help=True, help="Training jobs.")
File = Annotated[
    Path | None, typer.Option("--file", "-f", help="the job as YAML or JSON", exists=True, dir_okay=False)
]


@app.command()
def submit(
    adapter: Annotated[str | None, typer.Argument(metavar="TEAM/ADAPTER")] = None,
    dataset: Annotated[str | None, typer.Option(help="team/dataset@2")] = None,
    preset: Annotated[str | None, typer.Option(help="default, quick, small, thorough or qlora")] = None,
    rank: Annotated[int | None, typer.Option()] = None,
    steps: Annotated[int | None, typer.Option()] = None,
    *,
    promote_to: Annotated[str | None, typer.Option(help="alias that moves when it is done")] = None,
    file: File = None,
    wait: Annotated[bool, typer.Option("--wait", help="watch it, and exit with its status")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what it would take")] = False,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Queue a training job: TEAM/ADAPTER with --dataset, or a file. What a flag says wins over the file."""
    with explained():
        recipe = {"preset": preset, "rank": rank, "steps": steps}
        asked = {"adapter": adapter and whole(adapter), "dataset": dataset, "promote_to": promote_to}
        body = _job(_read(file) if file is not None else {}, asked, recipe)
        server = connect(url, token)
        if dry_run:
            data(server.post("/training-jobs", body, params={"dry_run": "true"}), as_json=as_json)
            return
        job = server.post("/training-jobs", body)
        if not wait:
            data(job if as_json else {"id": job["id"], "state": job["state"]}, as_json=as_json)
            return
        _watch(server, job["id"], DAY, as_json=as_json, exit_status=True)


@app.command()
def watch(
    job: str,
    exit_status: Annotated[bool, typer.Option("--exit-status", help="exit 3, 5 or 7 unless it succeeded")] = False,
    timeout: Seconds = DAY,
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
        columns = ("metric", "op", "relative_to", "value", "left", "right", "passed", "reason")
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


def _job(body: dict[str, Any], asked: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """The body of a file with what the flags say put over it."""
    body = {**body, **_said(asked)}
    if said := _said(recipe):
        kept = body.get("recipe") or {}
        if not isinstance(kept, dict):
            stop(Exit.USAGE, "recipe must be a mapping")
        body["recipe"] = {**kept, **said}
    missing = [
        word for word, name in (("TEAM/ADAPTER", "adapter"), ("--dataset", "dataset")) if not body.get(name)
    ]
    if missing:
        stop(Exit.USAGE, f"The job lacks {' and '.join(missing)}; name it here or in a file (-f job.yaml).")
    return body


def _said(words: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in words.items() if value is not None}


def _watch(server: Client, job_id: str, timeout: float, *, as_json: bool, exit_status: bool) -> None:
    job = followed(server, f"/training-jobs/{job_id}", f"Watching job {job_id}", timeout)
    shown = {name: job[name] for name in ("id", "state", "result", "gate_result", "error", "cost")}
    data(job if as_json else shown, as_json=as_json)
    if exit_status and (code := _status(job)):
        stop(code)


def _status(job: dict[str, Any]) -> Exit | None:
    """The exit code of a job's end; None where it succeeded and passed."""
    if job["state"] in OUTCOMES:
        return OUTCOMES[job["state"]]
    verdict = job["gate_result"]
    return Exit.GATE_NOT_MET if verdict is not None and not verdict["passed"] else None
