"""One prompt, answered side by side by a few adapter versions and the bare base. The address says which."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_POST

from registry.dashboard.answers import Answers, Question
from registry.dashboard.callers import caller, gateway, page
from registry.errors import Forbidden, Invalid, NotFound, RegistryError
from registry.selectors import playground as selectors

PROMPT_CHARACTERS, SYSTEM_CHARACTERS = 20_000, 8_000
MOST_TOKENS = 1024


class QuestionForm(forms.Form):
    """What is asked. A temperature of 0 makes answers comparable: then each version gives its likeliest one."""

    prompt = forms.CharField(max_length=PROMPT_CHARACTERS, strip=False)
    system = forms.CharField(required=False, max_length=SYSTEM_CHARACTERS, strip=False)
    max_tokens = forms.IntegerField(min_value=1, max_value=MOST_TOKENS, initial=128, label="Max tokens")
    temperature = forms.FloatField(min_value=0, max_value=2, initial=0)
    seed = forms.IntegerField(required=False, min_value=0, max_value=2**31 - 1)

    def question(self) -> Question:
        """Raises Invalid that names the first field that is wrong."""
        for name, errors in self.errors.items():
            text = f"{self.fields[name].label or name.capitalize()}: {errors[0]}"
            raise Invalid.at(name, "invalid", text)
        said = self.cleaned_data
        system = [{"role": "system", "content": said["system"]}] if said["system"].strip() else []
        options: dict[str, Any] = {"max_tokens": said["max_tokens"], "temperature": said["temperature"]}
        if said["seed"] is not None:
            options["seed"] = said["seed"]
        return Question([*system, {"role": "user", "content": said["prompt"]}], options)


def _chosen(sent: QueryDict) -> tuple[list[str], str]:
    """The addresses of versions, in their order, and that of a bare base."""
    versions = [text.strip() for text in sent.getlist("version") if text.strip()]
    return versions, sent.get("base", "").strip()


@page
def detail(request: HttpRequest) -> HttpResponse:
    by, problem, columns = caller(request), None, []
    versions, base = _chosen(request.GET)
    try:
        columns = selectors.columns(by, versions, base)
    except (Invalid, NotFound, Forbidden) as error:
        problem = error
    stands = selectors.stands(columns)
    context = {
        "columns": list(zip(columns, stands, strict=True)),
        "problem": problem,
        "inputs": [*versions, *[""] * (selectors.MOST_VERSIONS - len(versions))],
        "base": base,
        "bases": selectors.bases(columns[0].base if columns else None),
        "offered": selectors.offered(by),
        "form": QuestionForm(),
        "limits": {"prompt": PROMPT_CHARACTERS, "system": SYSTEM_CHARACTERS, "tokens": MOST_TOKENS},
        "gateway": gateway(request),
    }
    return render(request, "playground/detail.html", context, status=problem.status if problem else 200)


@page
def answers(request: HttpRequest) -> HttpResponse:
    """A script reads it: refusals are JSON too."""
    by = caller(request)
    try:
        question = QuestionForm(request.POST).question()
        columns = selectors.columns(by, *_chosen(request.POST))
        if not columns:
            raise Invalid.at("version", "required", "Nobody is chosen who could answer; choose a version first.")
        lines = Answers(by, columns, question)
    except RegistryError as error:
        return JsonResponse({"message": error.message, "param": error.param}, status=error.status)
    # A proxy that kept lines back would make every latency that of the whole answer.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    streamed = StreamingHttpResponse(lines, content_type="application/x-ndjson", headers=headers)
    return cast(HttpResponse, streamed)  # both are answers to whoever wraps a view


urlpatterns = [
    path("playground", detail, name="playground"),
    path("playground/answers", require_POST(answers), name="playground-answers"),
]
