"""Adapters that come from outside: a PEFT folder for one that is there, or as the first version of a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms as fields
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse

from registry.access import Act, Caller
from registry.dashboard import forms
from registry.dashboard.callers import caller, page
from registry.selectors import addresses, base_models, rights, teams
from registry.services import imports as services
from registry.services.received import received


class FolderForm(forms.Form):
    icon, submit, rest = "upload", "Import", "files"
    base_version = fields.ChoiceField(help_text="What it was trained on: its shapes are checked against it.")
    files = forms.FilesField(  # type: ignore[assignment]
        label="PEFT folder",
        widget=forms.ManyFiles(".json,.safetensors,.zip"),
        help_text="adapter_config.json and adapter_model.safetensors, chosen together, or one zip of the folder.",
    )

    def prepare(self, by: Caller, where: Mapping[str, Any]) -> None:
        base = addresses.adapter_of(by, Act.TRAIN, where["team"], where["name"]).base_model if where else None
        rows = base_models.servable(by, base)
        self.fields["base_version"].choices = [(row.address, row.address) for row in rows]  # type: ignore[attr-defined]


class NewAdapterForm(FolderForm):
    team = fields.ChoiceField()
    name = forms.NameField(help_text="It stands in addresses, such as team/name@1.")
    vertical = forms.VerticalField()
    field_order = ("team", "name", "vertical", "base_version", "files")

    def prepare(self, by: Caller, where: Mapping[str, Any]) -> None:
        super().prepare(by, where)
        self.fields["team"].choices = [(team, team) for team in rights.where_may(by, Act.TRAIN)]  # type: ignore[attr-defined]


def _may_somewhere(request: HttpRequest) -> None:
    rights.require_anywhere(caller(request), Act.TRAIN)


@page
def new(request: HttpRequest) -> HttpResponse:
    _may_somewhere(request)
    context = {"form": forms.of(request, NewAdapterForm), "action": reverse("adapter-import")}
    return render(request, "adapters/import.html", context)


@page
def another(request: HttpRequest, team: str, name: str) -> HttpResponse:
    context = {
        "form": forms.of(request, FolderForm, team=team, name=name),
        "adapter": addresses.adapter_of(caller(request), Act.TRAIN, team, name),
        "action": reverse("version-import", args=[team, name]),
    }
    return render(request, "adapters/import.html", context)


def _may_here(request: HttpRequest, team: str, name: str) -> None:
    addresses.adapter_of(caller(request), Act.TRAIN, team, name)


@forms.form(NewAdapterForm, new, may=_may_somewhere, files=True)
def create(request: HttpRequest, data: dict[str, Any]) -> tuple[str, str]:
    by = caller(request)
    team = teams.team(by, Act.TRAIN, data["team"])
    base = addresses.base_version(data["base_version"], param="base_version")
    named = {"name": data["name"], "vertical": data["vertical"]}
    with received(data["files"], "files") as files:
        made = services.create_new(by=by, team=team, **named, base_version=base, files=files)
    return _landed(made)


@forms.form(FolderForm, another, may=_may_here, files=True)
def add(request: HttpRequest, data: dict[str, Any], team: str, name: str) -> tuple[str, str]:
    by = caller(request)
    adapter = addresses.adapter_of(by, Act.TRAIN, team, name)
    base = addresses.base_version(data["base_version"], param="base_version")
    with received(data["files"], "files") as files:
        made = services.create(by=by, adapter=adapter, base_version=base, files=files)
    return _landed(made)


def _landed(made: Any) -> tuple[str, str]:
    adapter = made.adapter
    where = reverse("adapter-version", args=[adapter.team.slug, adapter.name, made.number])
    return f"{made.address} has arrived and is being checked against {made.base_version.address}.", where


urlpatterns = [
    path("adapters/import", create, name="adapter-import"),
    path("adapters/<slug:team>/<slug:name>/import", add, name="version-import"),
]
