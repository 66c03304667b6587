"""Base models, their versions as a timeline, and what a draft would touch before it is activated.

Administrators make them, register versions and end them here; the others see the same without forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django import forms as fields
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse

from registry.access import Caller, administers, require_administrator
from registry.choices import BaseStatus, Listing
from registry.dashboard import forms, jobs, lists
from registry.dashboard.callers import act, caller, page, paged
from registry.selectors import base_models as selectors
from registry.selectors import impacts, standing
from registry.selectors import jobs as job_selectors
from registry.services import base_models as services

FILTERS = lists.Filters(Listing.BASE_MODELS, "/api/v1/base-models", (lists.Filter("q", "Text"),))


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    asked = lists.read(request, FILTERS)
    shown = paged(request, selectors.table(caller(request), **asked.values))
    return render(
        request,
        "base_models/list.html",
        {"page": shown, "asked": asked, "administrator": administers(caller(request))},
    )


class BaseModelForm(forms.Form):
    icon, submit = "plus", "Create"
    name = forms.NameField(help_text="It stands in addresses, such as llama-3-8b@1.")
    family = fields.CharField(max_length=100, required=False)
    licence = fields.CharField(max_length=200, required=False)


class RegisterForm(forms.Form):
    icon, submit = "download", "Register"
    source = fields.CharField(max_length=1000)
    reference = fields.BooleanField(required=False, label="leave the files where they are")
    note = fields.CharField(max_length=2000, required=False, widget=fields.Textarea({"rows": 2}))

    def prepare(self, by: Caller, where: Mapping[str, Any]) -> None:
        roots = ", ".join([*map(str, settings.BASE_ROOTS), *settings.REMOTE_BASE_ROOTS])
        forms_of_it = "A folder of the server, s3://bucket/prefix, hf://org/repo@revision or upload:ID."
        self.fields["source"].help_text = f"{forms_of_it} Allowed is: {roots}."
        self.fields["source"].widget.attrs |= {
            "autocomplete": "off",
            "placeholder": "/folder",
            "spellcheck": "false",
        }
        self.fields["reference"].help_text = "Of a folder only: they are verified at each load."

    def clean_source(self) -> str:
        """A folder may be written as a path."""
        source = str(self.cleaned_data["source"])
        return Path(source).as_uri() if source.startswith("/") else source


ACTS = {"activate": "Make it current", "deprecate": "Deprecate", "retire": "Retire"}


class StateForm(forms.Form):
    icon, submit = "check", "Change"
    version = fields.TypedChoiceField(coerce=int)
    act = fields.ChoiceField(
        label="What",
        choices=[("", "choose"), *ACTS.items()],
        help_text="Deprecated, it is served, and what stands on it is stale. Retired, it is never served again.",
    )
    reason = forms.ReasonField()

    def prepare(self, by: Caller, where: Mapping[str, Any]) -> None:
        rows = selectors.unended(by, selectors.one(by, where["name"]))
        self.fields["version"].choices = [(row.number, f"{row.address} ({row.status})") for row in rows]  # type: ignore[attr-defined]


def _administers(request: HttpRequest, **_where: Any) -> None:
    require_administrator(caller(request))


@page
def new(request: HttpRequest) -> HttpResponse:
    _administers(request)
    return render(request, "base_models/new.html", {"form": forms.of(request, BaseModelForm)})


@forms.form(BaseModelForm, new, may=_administers)
def create(request: HttpRequest, data: dict[str, Any]) -> tuple[str, str]:
    wishes = {name: data[name] for name in ("name", "family", "licence")}
    base = services.create(by=caller(request), **wishes)
    return f"{base.name} is there. Register its first version now.", reverse("base-model", args=[base.name])


@page
def detail(request: HttpRequest, name: str) -> HttpResponse:
    by = caller(request)
    base = selectors.one(by, name)
    versions = standing.timeline(by, base)
    may = administers(by)
    context = {
        "base": base,
        "versions": versions,
        "drafts": [(draft, impacts.of(by, draft)) for draft in selectors.drafts(by, base)],
        "administrator": may,
        "register": forms.of(request, RegisterForm, name=name) if may else None,
        "state": forms.of(request, StateForm, name=name) if may else None,
        **_ingesting(by, [row.version.job_id for row in versions if row.state == BaseStatus.INGESTING]),
    }
    return render(request, "base_models/detail.html", context)


def _ingesting(by: Caller, job_ids: list[int | None]) -> dict[str, Any]:
    """The newest that is on its way, live."""
    newest = next((pk for pk in job_ids if pk is not None), None)
    return jobs.live(job_selectors.one(by, newest) if newest is not None else None)


@forms.form(RegisterForm, detail, may=_administers)
def register(request: HttpRequest, data: dict[str, Any], name: str) -> tuple[str, str]:
    by = caller(request)
    wishes = {name: data[name] for name in ("source", "note", "reference")}
    version = services.add_version(by=by, base=selectors.one(by, name), **wishes)
    said = f"{version.address} is on its way. It becomes a draft, which shows whom it would touch."
    return said, reverse("base-model", args=[name])


@forms.form(StateForm, detail, may=_administers)
def change(request: HttpRequest, data: dict[str, Any], name: str) -> tuple[str, str]:
    by = caller(request)
    version = selectors.version(by, selectors.one(by, name), data["version"])
    acts = {"activate": services.activate, "deprecate": services.deprecate, "retire": services.retire}
    acts[data["act"]](by=by, version=version, reason=data["reason"])
    done = {"activate": "current", "deprecate": "deprecated", "retire": "retired"}[data["act"]]
    return f"{version.address} is {done}.", reverse("base-model", args=[name])


@act
def activate(request: HttpRequest, name: str, number: int) -> str:
    by = caller(request)
    version = selectors.version(by, selectors.one(by, name), number)
    services.activate(by=by, version=version, reason=request.POST.get("reason", "").strip())
    return f"{version.address} is current. Adapters on older versions are stale now; see Lineage."


urlpatterns = [
    path("base-models", listing, name="base-models"),
    path("base-models/_new", create, name="base-model-new"),  # no base model can be called so
    path("base-models/<slug:name>", detail, name="base-model"),
    path("base-models/<slug:name>/versions", register, name="base-version-register"),
    path("base-models/<slug:name>/state", change, name="base-version-state"),
    path("base-models/<slug:name>/<int:number>/activate", activate, name="base-version-activate"),
]
