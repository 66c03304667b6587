"""Datasets: versions, their report, and a look into their rows, shown as text whatever they hold.

They are made here, get a version by a file, and versions end here, by those whose role allows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms as fields
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse

from registry.access import Act, Caller
from registry.choices import DatasetStatus, Listing
from registry.dashboard import charts, forms, jobs, lists
from registry.dashboard.callers import caller, page, paged
from registry.errors import Conflict, Invalid, NotFound, Unavailable
from registry.selectors import datasets as selectors
from registry.selectors import jobs as job_selectors
from registry.selectors import rights, row_differences, teams
from registry.services import datasets as services
from registry.services import reads, version_states
from registry.services.received import received

PREVIEWED = 10
USERS = 8


FILTERS = lists.Filters(
    Listing.DATASETS,
    "/api/v1/datasets",
    (
        lists.Filter("q", "Text"),
        lists.Filter("team", "Team"),
        lists.Filter("vertical", "Vertical"),
        lists.Filter("status", "A version is", DatasetStatus.values),
    ),
)


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    asked = lists.read(request, FILTERS, vertical=selectors.verticals(by))
    shown = paged(request, selectors.listing(by, **asked.values).order_by("team__slug", "name"))
    return render(
        request,
        "datasets/list.html",
        {"page": shown, "asked": asked, "may_train": rights.may_anywhere(by, Act.TRAIN)},
    )


class DatasetForm(forms.Form):
    icon, submit = "plus", "Create"
    team = fields.ChoiceField()
    name = forms.NameField(help_text="It stands in addresses, such as team/name@1.")
    vertical = forms.VerticalField()

    def prepare(self, by: Caller, where: Mapping[str, Any]) -> None:
        self.fields["team"].choices = [(team, team) for team in rights.where_may(by, Act.TRAIN)]  # type: ignore[attr-defined]


class RowsForm(forms.Form):
    icon, submit = "upload", "Upload"
    file = fields.FileField(
        label="Rows",
        widget=forms.Files(".jsonl,.ndjson,.json,.csv,.tsv,.txt,.gz"),
        help_text="A file with one row a line; a job checks it and says what is wrong by line.",
    )


class ArchiveForm(forms.Form):
    icon, submit, kind = "archive", "Archive", "plain"
    reason = forms.ReasonField(help_text="Out of lists and new jobs; its bytes stay.")


class WithdrawForm(forms.Form):
    icon, submit, kind = "file-x", "Destroy its bytes", "danger"
    reason = forms.ReasonField()
    confirm = fields.CharField(label="The dataset's name, typed", max_length=63)

    def prepare(self, by: Caller, where: Mapping[str, Any]) -> None:
        self.expected = str(where["name"])
        self.fields["confirm"].widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}

    def clean_confirm(self) -> str:
        if self.cleaned_data["confirm"] != self.expected:
            raise fields.ValidationError(f"Type {self.expected} to destroy the bytes of this version for good.")
        return self.expected


def _creates(request: HttpRequest) -> None:
    rights.require_anywhere(caller(request), Act.TRAIN)


@page
def new(request: HttpRequest) -> HttpResponse:
    _creates(request)
    return render(request, "datasets/new.html", {"form": forms.of(request, DatasetForm)})


@forms.form(DatasetForm, new, may=_creates)
def create(request: HttpRequest, data: dict[str, Any]) -> tuple[str, str]:
    by = caller(request)
    team = teams.team(by, Act.TRAIN, data["team"])
    dataset = services.create(by=by, team=team, name=data["name"], vertical=data["vertical"])
    said = f"{dataset.address} is there. Upload its first rows now."
    return said, reverse("dataset", args=[team.slug, dataset.name])


@page
def detail(request: HttpRequest, team: str, name: str) -> HttpResponse:
    by = caller(request)
    dataset = selectors.one(by, Act.READ, team, name)
    shown = paged(request, selectors.versions(by, dataset).order_by("-number"))
    wanted = request.GET.get("version", "")
    chosen = next((row for row in shown if str(row.number) == wanted), shown[0] if shown else None)
    other = request.GET.get("against", "")
    against = next((row for row in shown if str(row.number) == other), None)
    rows, problem = _preview(chosen)
    difference, undone = _difference(against, chosen)
    if rows and chosen is not None:
        reads.rows_shown(by=by, version=chosen, rows=len(rows), against=against if difference else None)
    report = chosen.report if chosen else {}
    context = {
        "dataset": dataset,
        **_acts(request, dataset, chosen),
        "page": shown,
        "chosen": chosen,
        "number": str(chosen.number) if chosen else "",
        "rows": rows,
        "problem": problem,
        "undone": undone,
        "against": against,
        "difference": difference,
        "users": selectors.used_by(by, chosen)[:USERS] if chosen else [],
        "used": selectors.used_by(by, chosen).count() if chosen else 0,
        "report": report,
        "bars": charts.bars(
            [(entry["up_to_characters"], entry["rows"]) for entry in report.get("length_histogram", [])]
        ),
    }
    return render(request, "datasets/detail.html", context)


def _acts(request: HttpRequest, dataset: Any, chosen: Any) -> dict[str, Any]:
    """What the caller may do here, and the check of the version that is shown, live while it runs."""
    by, where = caller(request), {"team": dataset.team.slug, "name": dataset.name}
    may_add = rights.may(by, Act.TRAIN, dataset.team)
    ending = chosen is not None and rights.may(by, Act.PUBLISH, dataset.team)
    states = (DatasetStatus.READY, DatasetStatus.ARCHIVED)
    checked = chosen is not None and chosen.status == DatasetStatus.VALIDATING and chosen.job_id
    return {
        "upload": forms.of(request, RowsForm, **where) if may_add else None,
        "uploaders": [] if may_add else rights.who_may(by, Act.TRAIN, dataset.team),
        "archive": forms.of(request, ArchiveForm, **where) if ending and chosen.status in states[:1] else None,
        "withdraw": forms.of(request, WithdrawForm, **where) if ending and chosen.status in states else None,
        **jobs.live(job_selectors.one(by, chosen.job_id) if checked else None),
    }


def _preview(chosen: Any) -> tuple[list[dict[str, Any]], str]:
    if chosen is None:
        return [], ""
    try:
        return selectors.preview(chosen, limit=PREVIEWED), ""
    except (Conflict, NotFound, Unavailable) as error:
        return [], error.message


def _difference(against: Any, chosen: Any) -> tuple[dict[str, Any] | None, str]:
    """From another version to the one that is shown, where one was asked for."""
    if against is None or chosen is None or against == chosen:
        return None, ""
    try:
        return row_differences.compare(against, chosen), ""
    except (Conflict, NotFound, Unavailable) as error:
        return None, error.message


def _addable(request: HttpRequest, team: str, name: str) -> Any:
    return selectors.one(caller(request), Act.TRAIN, team, name)


@forms.form(RowsForm, detail, may=_addable, files=True)
def upload(request: HttpRequest, data: dict[str, Any], team: str, name: str) -> tuple[str, str]:
    dataset = _addable(request, team, name)
    with received([data["file"]], "file") as files:
        ((filename, file),) = files.items()
        version = services.add_version(by=caller(request), dataset=dataset, file=file, filename=filename)
    said = f"Version {version.number} has arrived and is being checked."
    return said, _shown_at(team, name, version.number)


def _ending(request: HttpRequest, team: str, name: str) -> Any:
    """The version that the address says, which the page shows beside a refused form too."""
    number = request.GET.get("version", "")
    if not number.isdecimal():
        raise Invalid("Say which version: ?version=1.", param="version")
    return selectors.version(caller(request), Act.PUBLISH, team, name, int(number[:10]))


@forms.form(ArchiveForm, detail, may=_ending)
def archive(request: HttpRequest, data: dict[str, Any], team: str, name: str) -> tuple[str, str]:
    version = _ending(request, team, name)
    version_states.archive_dataset(by=caller(request), version=version, reason=data["reason"])
    return f"Version {version.number} is archived.", _shown_at(team, name, version.number)


@forms.form(WithdrawForm, detail, may=_ending)
def withdraw(request: HttpRequest, data: dict[str, Any], team: str, name: str) -> tuple[str, str]:
    version = _ending(request, team, name)
    version_states.withdraw_dataset(by=caller(request), version=version, reason=data["reason"])
    said = f"Version {version.number} is withdrawn: its bytes are gone, its digest stays."
    return said, _shown_at(team, name, version.number)


def _shown_at(team: str, name: str, number: int) -> str:
    return f"{reverse('dataset', args=[team, name])}?version={number}"


ONE = "datasets/<slug:team>/<slug:name>"
urlpatterns = [
    path("datasets", listing, name="datasets"),
    path("datasets/new", create, name="dataset-new"),
    path(ONE, detail, name="dataset"),
    path(f"{ONE}/versions", upload, name="dataset-upload"),
    path(f"{ONE}/archive", archive, name="dataset-archive"),
    path(f"{ONE}/withdraw", withdraw, name="dataset-withdraw"),
]
