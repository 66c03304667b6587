"""What the schema says of all operations alike: pages, refusals, conditions, repeated POSTs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from rest_framework.fields import empty

from registry.api.errors import PROBLEM
from registry.api.views import View

STRING = {"type": "string"}
FAULT = {
    "type": "object",
    "properties": {"param": {"type": ["string", "null"]}, "code": STRING, "message": STRING},
    "required": ["param", "code", "message"],
}
PROBLEM_SCHEMA = {
    "type": "object",
    "description": "RFC 9457. `errors` holds every fault, `allowed` the states that it could have gone to.",
    "properties": {
        "type": STRING,
        "title": STRING,
        "status": {"type": "integer"},
        "detail": STRING,
        "code": STRING,
        "param": {"type": ["string", "null"]},
        "request_id": STRING,
        "errors": {"type": "array", "items": FAULT},
        "allowed": {"type": "array", "items": STRING},
    },
    "required": ["type", "title", "status", "detail", "code", "param", "request_id", "errors"],
}
REFUSALS = {
    400: "It can't be read at all.",
    401: "No credentials, or none that are good.",
    403: "The role or the token's scopes don't allow it.",
    404: "It is missing, or it is another team's.",
    422: "Fields are wrong; `errors` names each of them.",
    429: "Too many requests; see Retry-After.",
    503: "Something that this needs is away; see Retry-After.",
}
OF_WRITES = {
    409: "Its state, or that of something it needs, doesn't allow it.",
    412: "It is not the object that `If-Match` names.",
    428: "It is protected: `If-Match` is needed.",
    507: "There is no room left.",
}
OF_BODIES = {413: "The body is too large.", 415: "The body is of a media type that isn't taken here."}
OF_BYTES = {409: "The bytes are gone or not there yet.", 416: "The file has no such bytes."}
HEADERS = {
    "get": ("If-None-Match", "304 where it still has this ETag."),
    "post": ("Idempotency-Key", "A POST repeated with the same key and body acts once."),
    "put": ("If-Match", "412 where it has another ETag."),
    "patch": ("If-Match", "412 where it has another ETag."),
    "delete": ("If-Match", "412 where it has another ETag."),
}
METHODS = tuple(HEADERS)
ANYTHING = [{}, {"type": "null"}]


class Schema(AutoSchema):
    """Lists come in the pages of their view."""

    def _get_paginator(self) -> Any:
        return self.view.pages() if isinstance(self.view, View) else super()._get_paginator()  # type: ignore[no-untyped-call]

    def _get_serializer_field_meta(self, field: Any, direction: str) -> Any:
        """A field of an answer whose default is None says null where the way to its value breaks off."""
        meta = super()._get_serializer_field_meta(field, direction)  # type: ignore[no-untyped-call]
        if direction == "response" and getattr(field, "default", empty) is None:
            meta["nullable"] = True
        return meta

    def get_description(self) -> str:  # type: ignore[override]  # as in spectacular
        """The view's own words, not those of the class that all views share."""
        words = str(super().get_description() or "")
        return "" if words == (View.__doc__ or "").strip() else words


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """spectacular's hook after generating: what every operation may answer, and the headers that it heeds."""
    del generator, request, public
    result["components"].setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    for item in result["paths"].values():
        for method in METHODS:
            if method in item:
                _complete(item[method], method)
    plain: dict[str, Any] = _plain(result)
    return plain


def _plain(schema: Any) -> Any:
    """Anything, or null, is anything: as one of two it would be refused for being both."""
    if isinstance(schema, dict):
        if schema.get("oneOf") == ANYTHING:
            return {key: value for key, value in schema.items() if key != "oneOf"}
        return {key: _plain(value) for key, value in schema.items()}
    return [_plain(one) for one in schema] if isinstance(schema, list) else schema


def _complete(operation: dict[str, Any], method: str) -> None:
    responses = operation["responses"]
    for status, words in _refusals(operation, method).items():
        responses.setdefault(str(status), _problem(words))
    name, words = HEADERS[method]
    header = {"in": "header", "name": name, "schema": STRING, "description": words}
    operation.setdefault("parameters", []).append(header)
    if method == "get":
        responses.setdefault("304", {"description": "It still has the ETag that `If-None-Match` names."})


def _refusals(operation: dict[str, Any], method: str) -> dict[int, str]:
    sends_bytes = "'format': 'binary'" in str(operation["responses"])
    return {
        **REFUSALS,
        **(OF_WRITES if method != "get" else {}),
        **(OF_BODIES if "requestBody" in operation else {}),
        **(OF_BYTES if sends_bytes else {}),
    }


def _problem(words: str) -> dict[str, Any]:
    return {"description": words, "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
