"""A new training job: filled in, estimated as it changes, tried by a dry run, and submitted.

The estimate asks the service that the API's dry run asks, and keeps nothing. A script asks it for the panel and
for what is told beside each field (`HX-Request`); without scripts the dry run is a button that answers with the
page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from registry import recipes
from registry.access import Act, Caller
from registry.choices import JobKind
from registry.dashboard import forms, job_fields, job_forms, job_snippets
from registry.dashboard.callers import caller, page
from registry.errors import Forbidden, NotFound, RegistryError
from registry.selectors import addresses, jobs, rights, trainable
from registry.services import training


@dataclass
class Answer:
    """What the form comes to: an estimate, or what is wrong with it, and what it lacks."""

    told: dict[str, Any] = field(default_factory=dict)
    snippets: list[job_snippets.Snippet] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)
    lacks: list[job_fields.Field] = field(default_factory=list)
    status: int = 200


@dataclass(frozen=True)
class Row:
    """A field as the page shows it; `usual`: what it comes to where it is left empty."""

    field: job_fields.Field
    value: str
    faults: list[str]
    usual: Any


@dataclass(frozen=True)
class Part:
    title: str
    rows: list[Row]

    @property
    def open(self) -> bool:
        return any(row.value or row.faults for row in self.rows)


@page
def new(request: HttpRequest) -> HttpResponse:
    """The address may fill in any field, and `from` names the job to begin like."""
    by = caller(request)
    if request.method == "POST":
        return _submitted(request, by)
    if not rights.may_anywhere(by, Act.TRAIN):
        return render(request, "jobs/new_refused.html", {"standings": trainable.standings(by)})
    asked = _prefilled(by, request)
    return _whole(request, asked, _answer(request, asked, patient=True))


@page
@require_POST
def estimate(request: HttpRequest) -> HttpResponse:
    asked, live = job_forms.values(request.POST), bool(request.headers.get("HX-Request"))
    found = _answer(request, asked, patient=live and not request.POST.get("strict"))
    if not live:
        return _whole(request, asked, found)
    return render(request, "jobs/_estimate.html", {**_shown(asked, found), "live": True})


def _prefilled(by: Caller, request: HttpRequest) -> dict[str, str]:
    asked, source = job_forms.values(request.GET), request.GET.get("from", "")
    if not source:
        return asked
    if not (source.isascii() and source.isdigit() and int(source[:12]) <= addresses.LARGEST):
        raise NotFound(f"No such job: {source[:40]}.")
    like = job_forms.of_job(jobs.one(by, int(source[:12]), kind=JobKind.TRAIN).training)
    return like | {name: text for name, text in asked.items() if text}


def _submitted(request: HttpRequest, by: Caller) -> HttpResponse:
    asked = job_forms.values(request.POST)

    def queue() -> tuple[str, str]:
        job = training.submit(by=by, request=job_forms.read(by, asked))
        return f"Queued as job {job.pk}.", reverse("job", args=[job.pk])

    try:
        said, made = forms.once(request, queue)
    except RegistryError as error:
        return _whole(request, asked, _refused(error, patient=False))
    messages.success(request, said)
    return redirect(made)


def _answer(request: HttpRequest, asked: Mapping[str, str], *, patient: bool) -> Answer:
    """`patient`: somebody is at it still, so what isn't filled in yet is no fault."""
    by = caller(request)
    try:
        wanted = job_forms.read(by, asked)
        told = training.dry_run(by=by, request=wanted)
    except RegistryError as error:
        return _refused(error, patient=patient)
    return Answer(told, job_snippets.snippets(wanted, f"{request.scheme}://{request.get_host()}"))


def _refused(error: RegistryError, *, patient: bool) -> Answer:
    lacks = {str(one["param"]) for one in error.errors if one["code"] == "required"} if patient else set()
    faults = {name: said for name, said in job_forms.faults(error).items() if name not in lacks}
    return Answer(
        faults=faults,
        lacks=[one for name, one in job_fields.FIELDS.items() if name in lacks],
        status=error.status if faults else 200,
    )


def _whole(request: HttpRequest, asked: Mapping[str, str], found: Answer) -> HttpResponse:
    by = caller(request)
    if not rights.may_anywhere(by, Act.TRAIN):
        raise Forbidden("Training needs the role editor in a team; ask one of its owners.")
    offered = {"adapters": trainable.adapters(by), "datasets": trainable.datasets(by)}
    lists = {name: [trainable.Offered(text, "") for text in texts] for name, texts in job_fields.LISTS.items()}
    context = {
        **_shown(asked, found),
        "once": uuid4().hex,
        "lists": {**offered, **lists},
        "bases": _with(trainable.bases(), asked["base_version"]),
        "verticals": recipes.verticals.PRESETS,
        "presets": {k: v for k, v in recipes.PRESETS.items() if k not in recipes.verticals.PRESETS},
    }
    return render(request, "jobs/new.html", context, status=found.status)


def _with(offered: list[trainable.Offered], chosen: str) -> list[trainable.Offered]:
    """A base that can't be trained on any more stays chosen, with the reason beside it."""
    known = not chosen or any(one.address == chosen for one in offered)
    return offered if known else [*offered, trainable.Offered(chosen, "not offered")]


def _shown(asked: Mapping[str, str], found: Answer) -> dict[str, Any]:
    recipe = found.told.get("recipe", {})
    usual = {name: value for name, value in recipe.items() if value not in (None, {}, [])}

    def row(one: job_fields.Field) -> Row:
        return Row(one, asked[one.name], found.faults.get(one.name, []), usual.get(one.name))

    main, *more = [Part(group.title, [row(one) for one in group.fields]) for group in job_fields.GROUPS]
    return {
        "main": main,
        "more": more,
        "rows": [row for part in (main, *more) for row in part.rows],
        "told": found.told,
        "estimate": found.told.get("estimate"),
        "faults": [(job_fields.FIELDS.get(name), said) for name, said in found.faults.items()],
        "lacks": found.lacks,
        "snippets": found.snippets or [job_snippets.Snippet(*one, "") for one in job_snippets.LABELS],
    }


urlpatterns = [
    path("jobs/new", new, name="job-new"),
    path("jobs/new/estimate", estimate, name="job-estimate"),
]
