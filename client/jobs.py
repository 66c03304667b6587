"""`plethora job`: submit, watch, gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from client.addresses import whole
from client.output import Exit, rows, stop
from client.session import Session, signed_in
from client.waiting import DAY, OUTCOMES, Seconds, followed

app = typer.Typer(no_args_is_help=True, help="Training jobs.")
PRESETS = "default, quick, small, thorough, qlora; healthcare, finance, legal, manufacturing or retail"
File = Annotated[
    Path | None, typer.Option("--file", "-f", help="the job as YAML or JSON", exists=True, dir_okay=False)
]


@app.command()
@signed_in
def submit(
    session: Session,
    adapter: Annotated[str | None, typer.Argument(metavar="TEAM/ADAPTER")] = None,
    dataset: Annotated[str | None, typer.Option(help="team/dataset@2")] = None,
    preset: Annotated[str | None, typer.Option(help=PRESETS)] = None,
    *,
    rank: Annotated[int | None, typer.Option()] = None,
    steps: Annotated[int | None, typer.Option()] = None,
    promote_to: Annotated[str | None, typer.Option(help="alias that moves when it is done")] = None,
    file: File = None,
    wait: Annotated[bool, typer.Option("--wait", help="watch it, and exit with its status")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what it would take")] = False,
) -> None:
    """Queue a training job: TEAM/ADAPTER with --dataset, or a file. What a flag says wins over the file."""
    recipe = {"preset": preset, "rank": rank, "steps": steps}
    asked = {"adapter": adapter and whole(adapter), "dataset": dataset, "promote_to": promote_to}
    body = _job(_read(file) if file is not None else {}, asked, recipe)
    server = session.server
    if dry_run:
        session.show(server.post("/training-jobs", body, params={"dry_run": "true"}))
        return
    job = server.post("/training-jobs", body)
    if not wait:
        session.show(job, brief={"id": job["id"], "state": job["state"]})
        return
    _watch(session, job["id"], DAY, exit_status=True)


@app.command()
@signed_in
def watch(
    session: Session,
    job: str,
    exit_status: Annotated[bool, typer.Option("--exit-status", help="exit 3, 5 or 7 unless it succeeded")] = False,
    timeout: Seconds = DAY,
) -> None:
    """Follow a job to its end. Ctrl-C detaches."""
    _watch(session, job, timeout, exit_status=exit_status)


@app.command()
@signed_in
def gate(session: Session, job: str) -> None:
    """The verdict of a job's gate, rule by rule; exit 7 where it is not met."""
    found = session.server.get(f"/training-jobs/{job}")
    verdict = found["gate_result"]
    if verdict is None:
        stop(_status(found) or Exit.ERROR, f"job {job} is {found['state']} and has no verdict")
    columns = ("metric", "op", "relative_to", "value", "left", "right", "passed", "reason")
    session.show(verdict, rows(verdict["rules"], *columns))
    if not verdict["passed"]:
        stop(Exit.GATE_NOT_MET)


@app.command("list")
@signed_in
def listing(session: Session) -> None:
    """The last training jobs."""
    found = session.server.get("/training-jobs")["results"]
    session.show(found, rows(found, "id", "state", "adapter", "dataset", "created_at"))


@app.command()
@signed_in
def cancel(session: Session, job: str) -> None:
    """Ask for the end of a job."""
    session.show(session.server.post(f"/training-jobs/{job}/cancel"))


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


def _watch(session: Session, job_id: str, timeout: float, *, exit_status: bool) -> None:
    job = followed(session.server, f"/training-jobs/{job_id}", f"Watching job {job_id}", timeout)
    shown = {name: job[name] for name in ("id", "state", "result", "gate_result", "error", "cost")}
    session.show(job, brief=shown)
    if exit_status and (code := _status(job)):
        stop(code)


def _status(job: dict[str, Any]) -> Exit | None:
    """The exit code of a job's end; None where it succeeded and passed."""
    if job["state"] in OUTCOMES:
        return OUTCOMES[job["state"]]
    verdict = job["gate_result"]
    return Exit.GATE_NOT_MET if verdict is not None and not verdict["passed"] else None
