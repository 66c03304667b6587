"""Jobs of every kind, and one job as it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.choices import FINAL_JOB_STATES, JobKind, JobState, Listing
from registry.dashboard import charts, lists, recipes
from registry.dashboard.callers import act, caller, page, paged
from registry.selectors import evaluations, rights
from registry.selectors import jobs as selectors
from registry.services import jobs as services
from registry.services import training

if TYPE_CHECKING:
    from registry.models import Job

SHOWN_EVENTS = 30
COUNTED = ("stage", "rows")  # the progress of work that has no steps


def live(job: Job | None) -> dict[str, Any]:
    """What the card and the page of a job show, now."""
    if job is None:
        return {"job": None}
    points = selectors.curves(job)
    step, steps = job.progress.get("step") or 0, job.progress.get("steps") or 0
    final = job.state in FINAL_JOB_STATES
    percent = 100 if job.state == JobState.SUCCEEDED else round(100 * step / steps) if steps else 0
    name = job.object.partition(":")[2] or job.kind
    train = [(float(x), y) for x, y in points.get("loss", [])]
    validation = [(float(x), y) for x, y in points.get("validation_loss", [])]
    return {
        "job": job,
        "name": name,
        "title": f"{name} {job.state}" if final else f"{percent} % · {name}",
        "percent": percent,
        "final": final,
        "trains": job.kind == JobKind.TRAIN,
        "counted": [(name, job.progress[name]) for name in COUNTED if job.progress.get(name) is not None],
        "curve": charts.curve(train, validation, steps=steps),
        "events": [event for event in selectors.events(job) if event.kind != "log"][-SHOWN_EVENTS:][::-1],
        "position": selectors.queue_position(job),
    }


FILTERS = lists.Filters(
    Listing.JOBS,
    "/api/v1/jobs",
    (
        lists.Filter("state", "State", JobState.values),
        lists.Filter("kind", "Kind", JobKind.values),
        lists.Filter("team", "Team"),
        lists.Filter("adapter", "Adapter", hint="team/adapter"),
    ),
)


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    asked = lists.read(request, FILTERS)
    shown = paged(request, selectors.listing(caller(request), asked.values).order_by("-pk"))
    return render(request, "jobs/list.html", {"page": shown, "asked": asked})


@page
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    by = caller(request)
    job = selectors.one(by, pk)
    trains = job.kind == JobKind.TRAIN
    may = rights.may_end(by, job)
    context = {
        **live(job),
        "trains": trains,
        "may": may,
        "retryable": may and trains and job.state in (JobState.FAILED, JobState.CANCELLED),
        "made": selectors.made(job),
        "recipe": recipes.of(job.training) if trains else None,
        "gate": job.training.gate_result if trains else None,
        "results": _results(job),
        "measured": evaluations.listing(by, job=job.pk).order_by("pk") if not trains else [],
        "log": selectors.logs(job)[-200:],
    }
    return render(request, "jobs/detail.html", context)


LOSSES = {
    "test_loss": "Test loss, new version",
    "production_test_loss": "Test loss, production",
    "base_test_loss": "Test loss, bare base",
    "test_token_accuracy": "Token accuracy, new version",
    "validation_loss": "Best validation loss",
    "best_step": "Best step",
    "steps": "Steps",
    "tokens": "Tokens seen",
    "ended": "Ended by",
}


def _results(job: Job) -> list[tuple[str, Any]]:
    """What came of the job, in words; digests and addresses stand elsewhere on the page."""
    result = job.result or {}
    trained = result.get("training") or {}
    found = [(words, trained[name]) for name, words in LOSSES.items() if trained.get(name) is not None]
    others = [(name, value) for name, value in result.items() if name not in ("training", "digest")]
    return [*found, *others]


@page
def card(request: HttpRequest, pk: int) -> HttpResponse:
    """The island of the overview."""
    return render(request, "jobs/_card.html", live(selectors.one(caller(request), pk)))


@page
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The island of a job's own page; after the end, a full reload shows what came of it."""
    context = live(selectors.one(caller(request), pk))
    answer = render(request, "jobs/_live.html", context)
    if context["final"]:
        answer["HX-Refresh"] = "true"
    return answer


@act
def cancel(request: HttpRequest, pk: int) -> str:
    job = services.cancel(by=caller(request), job_id=pk)
    return "The job is cancelled." if job.state == JobState.CANCELLED else "The job ends at its next step."


@act
def retry(request: HttpRequest, pk: int) -> str:
    job = training.again(by=caller(request), job_id=pk, retry=True)
    return f"Queued again as job {job.pk}."


urlpatterns = [
    path("jobs", listing, name="jobs"),
    path("jobs/<int:pk>", detail, name="job"),
    path("jobs/<int:pk>/card", card, name="job-card"),
    path("jobs/<int:pk>/live", progress, name="job-live"),
    path("jobs/<int:pk>/cancel", cancel, name="job-cancel"),
    path("jobs/<int:pk>/retry", retry, name="job-retry"),
]
