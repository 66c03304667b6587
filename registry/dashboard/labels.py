"""Labels of an adapter and of a version, edited on their pages: a line each."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import path

from registry.access import Act
from registry.dashboard.callers import act, caller
from registry.errors import Invalid
from registry.selectors import adapters as selectors
from registry.services import adapters as services

LONGEST = 20_000


def typed(text: str) -> dict[str, str]:
    """`key:value`, one a line. Raises Invalid with the line that is none."""
    return dict(_label(line) for line in text[:LONGEST].splitlines() if line.strip())


def _label(line: str) -> tuple[str, str]:
    key, colon, value = line.strip().partition(":")
    if not colon:
        raise Invalid(f"{line.strip()[:100]!r} is no label; write key:value.", param="labels")
    return key.strip(), value.strip()


@act
def of_adapter(request: HttpRequest, team: str, name: str) -> str:
    by = caller(request)
    adapter = selectors.one(by, Act.TRAIN, team, name)
    services.change(by=by, adapter=adapter, labels=typed(request.POST.get("labels", "")))
    return f"The labels of {adapter.address} are kept."


@act
def of_version(request: HttpRequest, team: str, name: str, number: int) -> str:
    by = caller(request)
    version = selectors.version(by, Act.TRAIN, team, name, str(number))
    services.label_version(by=by, version=version, labels=typed(request.POST.get("labels", "")))
    return f"The labels of {version.address} are kept."


ONE = "adapters/<slug:team>/<slug:name>"
urlpatterns = [
    path(f"{ONE}/labels", of_adapter, name="adapter-labels"),
    path(f"{ONE}/<int:number>/labels", of_version, name="version-labels"),
]
