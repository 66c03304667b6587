"""What the steps know of each other: the caller, the verticals and what became of each."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from client.api import Client
from client.chat import Chat
from examples.demo.checks import check
from examples.demo.options import VERTICALS, Options
from examples.demo.screen import bars, say

TEAM = "consulting"
BASE = "house-model"
CLIENTS = {  # invented
    "healthcare": "st-brigid-clinic",
    "finance": "north-bank",
    "legal": "quill-partners",
    "manufacturing": "ironside-works",
    "retail": "corner-shop",
}
JOB_SECONDS = 1500.0
POLL_SECONDS = 1.0  # the trainer needs the cores more than the screen does
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Moment:
    """A question asked at a time, and who answered."""

    name: str
    at: datetime
    digests: dict[str, str]  # by vertical


@dataclass
class Vertical:
    name: str
    question: str
    job: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    versions: dict[int, dict[str, Any]] = field(default_factory=dict)  # by number, as the API tells them

    @property
    def adapter(self) -> str:
        return f"{TEAM}/{self.name}"

    @property
    def client(self) -> str:
        return f"{TEAM}/{CLIENTS[self.name]}"

    def digest(self, number: int) -> str:
        return str(self.versions[number]["manifest_sha256"])


@dataclass
class Story:
    options: Options
    api: Client
    token: str
    verticals: list[Vertical]
    moments: list[Moment] = field(default_factory=list)

    def chat(self, key: str) -> Chat:
        return Chat(self.options.serving_url, key, patience=self.options.patience)

    def remember(self, name: str) -> Moment:
        """Ask each client's question now, and keep who answered."""
        at = datetime.now(UTC)
        answers = {v.name: self.chat(v.key).ask(v.question, max_tokens=8) for v in self.verticals}
        moment = Moment(name, at, {name: answer.digest for name, answer in answers.items()})
        self.moments.append(moment)
        return moment

    def version(self, vertical: Vertical, number: int) -> dict[str, Any]:
        """Ask for a version and keep it."""
        found = dict(self.api.get(f"/adapters/{vertical.adapter}/versions/{number}"))
        vertical.versions[number] = found
        return found

    def serving(self, base: str) -> list[dict[str, Any]]:
        return [one for one in self.api.get("/serving")["results"] if one["base"] == base]


def load_verticals(data: Path) -> list[Vertical]:
    """The five; another folder is named and ignored."""
    others = sorted(p.name for p in data.iterdir() if p.is_dir() and p.name not in VERTICALS)
    if others:
        say(f"Ignored in {data.name}: {', '.join(others)} (not one of the five verticals)")
    missing = [name for name in VERTICALS if not (data / name / "train.jsonl").is_file()]
    check(not missing, "each vertical has a train.jsonl", f"none for {', '.join(missing)} in {data}")
    return [Vertical(name, _question(data / name / "train.jsonl")) for name in VERTICALS]


def _question(path: Path) -> str:
    """A short one of the data's own: a small model's window is small."""
    asked: list[str] = []
    for line in path.read_text().splitlines():
        messages = json.loads(line)["messages"]
        asked += [m["content"] for m in messages if m["role"] == "user"][:1]
    return min((text for text in asked if len(text) >= 20), key=len)


def follow(api: Client, jobs: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Bars for jobs (label -> id) until each has ended; every one must succeed."""
    ended: dict[str, dict[str, Any]] = {}
    with bars() as shown:
        tasks = {label: shown.add_task(f"{label:<14}", total=None, note="queued") for label in jobs}
        while len(ended) < len(jobs):
            for label, job_id in jobs.items():
                if label in ended:
                    continue
                job = api.get(f"/jobs/{job_id}")
                done, whole, note = _progress(job)
                shown.update(tasks[label], completed=done, total=whole, note=note)
                if job["state"] in ENDED:
                    check(
                        job["state"] == "succeeded",
                        f"job {job_id} ({label}) succeeds",
                        job["error"] or job["state"],
                    )
                    shown.update(tasks[label], completed=1, total=1)
                    ended[label] = job
            shown.refresh()
            time.sleep(POLL_SECONDS)
    return ended


def _progress(job: dict[str, Any]) -> tuple[float, float | None, str]:
    progress = job["progress"] or {}
    done, whole = progress.get("step") or 0, progress.get("steps")
    loss = progress.get("loss")
    note = f"{job['state']}{f' loss {loss:.3f}' if isinstance(loss, float) else ''}"
    return done, whole, note
