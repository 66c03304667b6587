"""Adapters, one adapter with its versions, one version; moving an alias."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.access import Act
from registry.dashboard import charts
from registry.dashboard.aliases import guards
from registry.dashboard.callers import act, caller, page, paged
from registry.selectors import adapters as selectors
from registry.selectors import addresses, aliases, overview, rights, staleness
from registry.services import aliases as services


@page
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    asked = {name: request.GET.get(name, "") for name in ("team", "vertical", "q")}
    stale = request.GET.get("stale") == "1"
    shown = paged(request, overview.adapters(by, **asked, only_stale=stale))
    context = {
        "page": shown,
        "rows": overview.table(list(shown)),
        "asked": asked,
        "only_stale": stale,
        "verticals": overview.verticals(by),
        "filtered": stale or any(asked.values()),
        "may_train": rights.may_anywhere(by, Act.TRAIN),
    }
    return render(request, "adapters/list.html", context)


@page
def detail(request: HttpRequest, team: str, name: str) -> HttpResponse:
    by = caller(request)
    adapter = selectors.one(by, Act.READ, team, name)
    current = addresses.current_version(adapter)
    versions = selectors.versions(by, adapter)
    shown = paged(request, versions.order_by("-number"))
    losses = overview.losses(list(versions.order_by("number").values_list("pk", flat=True)))
    may_publish = rights.may(by, Act.PUBLISH, adapter.team)
    found = staleness.of_adapter(adapter)
    context = {
        "adapter": adapter,
        "current": current,
        "stale": found,
        "stale_now": next((row for row in found if current and row.version.pk == current.pk), None),
        "clients": staleness.clients_of([current]).get(current.pk, []) if current else [],
        "page": shown,
        "versions": [(version, losses.get(version.pk)) for version in shown],
        "spark": charts.sparkline(list(losses.values())),
        "history": aliases.histories(adapter)[:50],
        "waiting": aliases.waiting(adapter),
        "successor": overview.successor(current, versions) if not aliases.waiting(adapter) else None,
        "may_publish": may_publish,
        **guards(by, adapter),
    }
    return render(request, "adapters/detail.html", context)


@page
def version(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    by = caller(request)
    row = selectors.version(by, Act.READ, team, name, str(number))
    context = {
        "version": row,
        "adapter": row.adapter,
        "stale": next(iter(staleness.of_versions([row.pk])), None),
        "clients": staleness.clients_of([row]).get(row.pk, []),
        "matters": staleness.that_matter().filter(pk=row.pk).exists(),
        "downloadable": row.status in selectors.DOWNLOADABLE,
    }
    return render(request, "adapters/version.html", context)


@act
def promote(request: HttpRequest, team: str, name: str) -> str:
    by = caller(request)
    adapter = addresses.adapter_of(by, Act.PUBLISH, team, name)
    chosen = addresses.adapter_version(by, Act.PUBLISH, f"{team}/{name}@{request.POST.get('version', '')}")
    alias = request.POST.get("alias", "production") or "production"
    moved = services.move(
        by=by, adapter=adapter, name=alias, version=chosen, reason=request.POST.get("reason", "").strip()
    )
    if hasattr(moved, "alias"):
        return f"{alias} moves to version {chosen.number} as soon as an engine has loaded it."
    return f"{alias} points to version {chosen.number}."


urlpatterns = [
    path("adapters", listing, name="adapters"),
    path("adapters/<slug:team>/<slug:name>", detail, name="adapter"),
    path("adapters/<slug:team>/<slug:name>/promote", promote, name="adapter-promote"),
    path("adapters/<slug:team>/<slug:name>/<int:number>", version, name="adapter-version"),
]
