"""The person in front of the page, as the actor of services and selectors; and what a refusal looks like to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from registry.access import Caller
from registry.errors import Forbidden, NotFound, RegistryError

if TYPE_CHECKING:
    from registry.models import User

View = Callable[..., HttpResponse]
PER_PAGE = 50


@dataclass(frozen=True)
class Reverse:
    """The act that takes one back: where it is posted, and the fields, which say what must still hold."""

    url: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Said:
    """What an act says, with its reverse where it has one; `made` is the address of what it made."""

    words: str
    reverse: Reverse | None = None
    made: str = ""


Act = Callable[..., str | tuple[str, str] | Said]


def caller(request: HttpRequest) -> Caller:
    """To be called behind `login_required` only."""
    return Caller(user=cast("User", request.user), request_id=getattr(request, "request_id", ""))


def gateway(request: HttpRequest) -> str:
    """The chat API's address, on the host by which the person came here."""
    return f"http://{request.get_host().partition(':')[0]}:{settings.SERVING_PORT}"


def page(view: View) -> View:
    """For those who signed in; refusals become pages of their own."""

    @wraps(view)
    def answer(request: HttpRequest, **where: Any) -> HttpResponse:
        try:
            return view(request, **where)
        except Forbidden as error:
            raise PermissionDenied(error.message) from error
        except RegistryError as error:
            posted = request.method == "POST"  # what was typed names nothing, and the page itself is there
            if isinstance(error, NotFound) and not posted:
                raise Http404(error.message) from error
            back = _back(request, "") if posted else ""
            return render(request, "refused.html", {"error": error, "back": back}, status=error.status)

    return _signed_in(answer)


def _signed_in(view: View) -> View:
    """A page sends a stranger to the sign-in; an island sends the whole window there.

    A redirect would be followed by htmx, which would put the sign-in page into the island.
    """
    guarded = login_required(view)

    @wraps(view)
    def answer(request: HttpRequest, **where: Any) -> HttpResponse:
        if request.headers.get("HX-Request") and not request.user.is_authenticated:
            shown = urlsplit(request.headers.get("HX-Current-URL", ""))
            wish = f"{shown.path or '/'}{'?' if shown.query else ''}{shown.query}"
            login = f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': wish})}"
            return HttpResponse(status=204, headers={"HX-Redirect": login})
        return guarded(request, **where)

    return answer


def act(view: Act) -> View:
    """A POST that calls one service and returns what to say; then back to the page, or to `next`.

    Where something new was made, the view returns its address too, and that is where the person lands. The reverse
    of an act stands in its message, which the next page shows as a button beside the words.
    """

    @wraps(view)
    def answer(request: HttpRequest, **where: Any) -> HttpResponse:
        try:
            said = view(request, **where)
        except RegistryError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(_back(request, request.headers.get("Referer", "")))
        told = (
            said
            if isinstance(said, Said)
            else Said(said)
            if isinstance(said, str)
            else Said(said[0], made=said[1])
        )
        kept = json.dumps(asdict(told.reverse)) if told.reverse else ""
        messages.success(request, told.words, extra_tags=kept)
        return HttpResponseRedirect(told.made or _back(request, request.POST.get("next", "")))

    return login_required(require_POST(answer))


def shown_once(back: str, *words: str) -> Callable[[View], View]:
    """A POST that answers with the page itself and a secret on it: a redirect would have to keep that somewhere.

    Asked for again, as browsers do when people come back, it leads to the page `back` of the same `words`.
    """

    def guarded(view: View) -> View:
        posted = page(view)

        @wraps(view)
        def answer(request: HttpRequest, **where: Any) -> HttpResponse:
            if request.method != "POST":
                return HttpResponseRedirect(reverse(back, kwargs={word: where[word] for word in words}))
            shown = posted(request, **where)
            shown["Cache-Control"] = "no-store"
            return shown

        return answer

    return guarded


def _back(request: HttpRequest, wish: str) -> str:
    """Only to ourselves."""
    for url in (wish, request.headers.get("Referer", "")):
        if url and url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure()):
            return url
    return "/"


def paged(request: HttpRequest, rows: Any) -> Page[Any]:
    """50 rows; a page number that isn't one is the first page."""
    return Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
