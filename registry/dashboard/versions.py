"""What is done to one version from its page: archived, quarantined, restored, withdrawn, assigned to a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.urls import path

from registry.access import Act, Caller
from registry.choices import VERSION_TRANSITIONS, VersionStatus
from registry.dashboard.callers import Said, act, caller
from registry.dashboard.slots import slot_of
from registry.dashboard.undoing import undoable
from registry.errors import Invalid
from registry.selectors import adapters as selectors
from registry.selectors import addresses, clients, rights, use
from registry.services import assignments, version_states
from registry.services.assignments import Target

if TYPE_CHECKING:
    from registry.models import AdapterVersion

DONE: dict[str, tuple[Callable[..., AdapterVersion], str]] = {
    "archive": (version_states.archive, "{} is archived: out of the lists, its files stay."),
    "quarantine": (version_states.quarantine, "{} is quarantined: it is served to nobody."),
    "restore": (version_states.restore, "{} is ready again."),
}
MOST_CLIENTS = 100  # offered while typing; any other may be typed whole


def panel(by: Caller, version: AdapterVersion) -> dict[str, Any]:
    """What the page offers: what its status allows and would not be refused; to others who may."""
    team = version.adapter.team
    targets = VERSION_TRANSITIONS[VersionStatus(version.status)]
    may_publish, may_assign = rights.may(by, Act.PUBLISH, team), rights.may(by, Act.ASSIGN, team)
    ready = version.status == VersionStatus.READY
    return {
        "may_publish": may_publish,
        "may_label": rights.may(by, Act.TRAIN, team),
        "may_assign": may_assign and ready,
        "may_restore": VersionStatus.READY in targets and version.status != VersionStatus.VERIFYING,
        "may_archive": VersionStatus.ARCHIVED in targets,
        "may_quarantine": VersionStatus.QUARANTINED in targets,
        "may_withdraw": VersionStatus.WITHDRAWN in targets,
        "users": use.of_version(version) if may_publish else [],
        "publishers": [] if may_publish else rights.who_may(by, Act.PUBLISH, team),
        "assignable": _names(by, version) if may_assign and ready else [],
    }


def _names(by: Caller, version: AdapterVersion) -> list[str]:
    rows = clients.listing(by, team=version.adapter.team.slug).order_by("name")
    return list(rows.values_list("name", flat=True)[:MOST_CLIENTS])


@act
def move(request: HttpRequest, team: str, name: str, number: int, word: str) -> Said:
    by = caller(request)
    version = selectors.version(by, Act.PUBLISH, team, name, str(number))
    service, words = DONE[word]
    service(by=by, version=version, reason=_reason(request))
    return undoable(by, f"adapter:{version.address}", words.format(version.address))


@act
def withdraw(request: HttpRequest, team: str, name: str, number: int) -> str:
    by = caller(request)
    version = selectors.version(by, Act.PUBLISH, team, name, str(number))
    reason = _reason(request)
    if request.POST.get("address", "").strip() != version.address:
        text = (
            f"address: type {version.address} to withdraw it; its files are destroyed and can't be brought back."
        )
        raise Invalid(text, param="address")
    version_states.withdraw(by=by, version=version, reason=reason)
    return f"{version.address} is withdrawn: its files are destroyed, its digest stays in the record."


@act
def assign(request: HttpRequest, team: str, name: str, number: int) -> Said:
    by = caller(request)
    version = selectors.version(by, Act.ASSIGN, team, name, str(number))
    client = addresses.client(by, Act.ASSIGN, f"{team}/{request.POST.get('client', '').strip()}", param="client")
    slot = slot_of(request)
    target = Target(version.adapter, version=version)
    assignments.assign(by=by, client=client, slot=slot, target=target, reason=_reason(request))
    words = f"Slot {slot} of {client.address} is answered by {version.address} from now on."
    return undoable(by, f"slot:{client.address}/{slot}", words)


def _reason(request: HttpRequest) -> str:
    reason = request.POST.get("reason", "").strip()[:2000]
    if not reason:
        raise Invalid("reason: say why; it stays in the audit.", param="reason")
    return reason


ONE = "adapters/<slug:team>/<slug:name>/<int:number>"
urlpatterns = [
    *(path(f"{ONE}/{word}", move, {"word": word}, name=f"version-{word}") for word in DONE),
    path(f"{ONE}/withdraw", withdraw, name="version-withdraw"),
    path(f"{ONE}/assign", assign, name="version-assign"),
]
