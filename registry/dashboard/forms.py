"""Forms with fields: each fault stands beside its field, what was typed stays, what is sent twice acts once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, cast
from uuid import uuid4

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from registry.access import Caller
from registry.dashboard.callers import View, caller, page
from registry.errors import Conflict, Forbidden, Invalid, NotFound, RegistryError, faults_of
from registry.models.fields import validate_slug
from registry.services import idempotency

Act = Callable[..., tuple[str, str]]
F = TypeVar("F", bound="Form")
WAIT_SECONDS, LOOK_SECONDS = 5.0, 0.2  # for a first one that is still at work
SEEN = 302  # of a stored answer: where the first one led


class Form(forms.Form):
    """`by` fills it in; `where` is what the address names: a form offers what is theirs."""

    icon, submit = "check", "Save"
    rest: str | None = None  # the field of faults that name something within it, such as a file of an archive
    once = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput, initial=lambda: uuid4().hex)

    def __init__(self, *sent: Any, by: Caller, where: Mapping[str, Any], **options: Any) -> None:
        options.setdefault("auto_id", f"{type(self).__name__.lower()}-%s")
        super().__init__(*sent, **options)
        self.prepare(by, where)

    def prepare(self, by: Caller, where: Mapping[str, Any]) -> None:
        """Offer what there is to choose from."""

    def refuse(self, error: RegistryError) -> None:
        """Each fault at its field, or above all of them."""
        for fault in faults_of(error):
            param = str(fault["param"] or "")
            field = param.partition(".")[0].partition("[")[0]
            within = self.rest and param and field not in self.fields
            text = f"{param}: {fault['message']}" if within else fault["message"]
            self.add_error(field if field in self.fields else self.rest, text)

    def focus(self) -> None:
        """Begin at the first field that is wrong."""
        for name in self.fields:
            if name in self.errors:
                self.fields[name].widget.attrs["autofocus"] = True
                return


class NameField(forms.CharField):
    """A name that stands in addresses."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=63, validators=[validate_slug], **options)
        told = "Lower-case letters, digits and hyphens, such as north-bank."  # a browser's refusal ends with it
        self.widget.attrs |= {"pattern": "[a-z0-9][a-z0-9\\-]*", "title": told}
        self.widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}


class VerticalField(NameField):
    def __init__(self, **options: Any) -> None:
        text = "The industry, such as healthcare, finance, legal, manufacturing or retail."
        super().__init__(help_text=text, **options)


class ReasonField(forms.CharField):
    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=2000, **{"help_text": "It stays in the audit.", **options})


class Files(forms.FileInput):
    """Refused by the browser already where they are more than we take; see sending.js."""

    def __init__(self, accept: str) -> None:
        super().__init__({"accept": accept, "data-most": settings.MAX_UPLOAD_BYTES})


class ManyFiles(Files):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Several files; what comes of it is a list."""

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[Any]]:
        given = cast(Sequence[Any], data or [None])
        return [super(FilesField, self).clean(one, initial) for one in given]


def of(request: HttpRequest, kind: type[F], **where: Any) -> F:
    """The form of a page: as it was refused, else empty."""
    refused = getattr(request, "refused", None)
    if isinstance(refused, kind):
        return refused
    return kind(by=caller(request), where=where)


def form(kind: type[Form], shown: View, *, may: Callable[..., Any], files: bool = False) -> Callable[[Act], View]:
    """A POST of such a form, whose view says what it made and where that is shown.

    A refusal answers with the page `shown`, as a GET does, and in it the form as it was filled in.
    `may` raises where the caller couldn't act: asked first, and of `files` before anything is read of them.
    """

    def guarded(view: Act) -> View:
        @wraps(view)
        def answer(request: HttpRequest, **where: Any) -> HttpResponse:
            if request.method != "POST":
                return shown(request, **where)
            may(request, **where)
            filled, status = kind(request.POST, request.FILES, by=caller(request), where=where), Invalid.status
            try:
                if filled.is_valid():
                    said, made = once(request, lambda: view(request, filled.cleaned_data, **where))
                    messages.success(request, said)
                    return HttpResponseRedirect(made)
            except RegistryError as error:
                if isinstance(error, Forbidden) or (
                    isinstance(error, NotFound) and error.param not in filled.fields
                ):
                    raise
                filled.refuse(error)
                status = error.status
            filled.focus()
            request.refused = filled  # type: ignore[attr-defined]
            response = shown(request, **where)
            response.status_code = status if response.status_code == 200 else response.status_code
            return response

        posted = page(answer)
        if files:
            posted.takes_files = page(_heard(may))  # type: ignore[attr-defined]
        return posted

    return guarded


def _heard(may: Callable[..., Any]) -> View:
    """For BodyLimitMiddleware: nothing where the files may come, else the answer to them."""

    def answer(request: HttpRequest, **where: Any) -> HttpResponse:
        may(request, **where)
        return cast(HttpResponse, None)

    return answer


def once(request: HttpRequest, act: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    """Act, unless this very form was sent before: then what came of the first one."""
    key = request.POST.get("once", "").replace("\0", "").strip()[:64]  # PostgreSQL holds no NUL
    if not key:
        return act()
    row, ours = _reserved(request, key)
    if not ours:
        return row.body["said"], row.body["made"]
    try:
        said, made = act()
        idempotency.store(row.pk, SEEN, {"said": said, "made": made})
        return said, made
    except BaseException:
        idempotency.forget(row.pk)
        raise
    finally:
        idempotency.release(row.pk)


def _reserved(request: HttpRequest, key: str) -> tuple[Any, bool]:
    """Waits a little for a first one that is still at work. Filled in anew, it is another form."""
    who, digest = f"page:{request.user.pk}", _digest(request)
    until = time.monotonic() + WAIT_SECONDS
    while True:
        row, ours = idempotency.reserve(caller=who, key=f"{key}:{digest}", request_sha256=digest)
        if ours or row.status:
            return row, ours
        if time.monotonic() > until:
            text = "You sent this twice, and the first is still at work: look for what it made first."
            raise Conflict(text, code="in_progress")
        time.sleep(LOOK_SECONDS)


def _digest(request: HttpRequest) -> str:
    """Of all that was sent."""
    sent = sorted((name, values) for name, values in request.POST.lists() if name != "csrfmiddlewaretoken")
    sha = hashlib.sha256(f"{request.get_full_path()}\n{sent}".encode())
    idempotency.add_files(sha, request.FILES)
    return sha.hexdigest()
