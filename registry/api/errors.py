"""Every refusal as RFC 9457 problem+json, rendered in this one place."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as ModelInvalid
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions, serializers
from rest_framework.response import Response

from registry import errors
from registry.errors import RegistryError
from registry.storage import Full, StoreError

PROBLEM = "application/problem+json"


def render(failure: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler; None (a 500) only for what is our own fault."""
    error = translated(failure)
    if error is None:
        return None
    request = context["request"]
    response = Response(body(error, getattr(request, "request_id", "")), status=error.status, content_type=PROBLEM)
    if error.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response


def body(error: RegistryError, request_id: str) -> dict[str, Any]:
    problem: dict[str, Any] = {
        "type": f"urn:plethora:error:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "param": error.param,
        "request_id": request_id,
        "errors": errors.faults_of(error) if error.status == 422 else error.errors,
    }
    if error.allowed is not None:
        problem["allowed"] = error.allowed
    problem.update(error.details)
    return {name: sendable(value) for name, value in problem.items()}


def sendable(value: Any) -> Any:
    """Half a surrogate, echoed in a message, could not be encoded."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [sendable(one) for one in value]
    return {key: sendable(one) for key, one in value.items()} if isinstance(value, dict) else value


def answer(error: RegistryError, request: HttpRequest) -> JsonResponse:
    """The problem, where no view of DRF renders it."""
    problem = body(error, getattr(request, "request_id", ""))
    return JsonResponse(problem, status=error.status, content_type=PROBLEM)


def translated(failure: Exception) -> RegistryError | None:
    """The refusal that an exception of DRF, Django or the database stands for."""
    if isinstance(failure, RegistryError):
        return failure
    if isinstance(failure, serializers.ValidationError):
        return invalid(failure.detail)
    if isinstance(failure, exceptions.APIException):
        return _of_drf(failure)
    if isinstance(failure, Http404):
        return errors.NotFound("No such thing here.")
    if isinstance(failure, PermissionDenied):
        return errors.Forbidden("You may not do that.")
    if isinstance(failure, SuspiciousOperation):
        return _suspicious(failure)
    if isinstance(failure, ModelInvalid):
        return invalid(getattr(failure, "message_dict", {"": failure.messages}))
    return _of_outside(failure)


def _suspicious(failure: SuspiciousOperation) -> RegistryError:
    if isinstance(failure, RequestDataTooBig):
        return errors.TooLarge("The body is too large.")
    return errors.Malformed("The request can't be read: too many fields or files, or a host that isn't ours.")


def _of_outside(failure: Exception) -> RegistryError | None:
    """What the database, the store or the disk refused."""
    if isinstance(failure, IntegrityError):
        return errors.Conflict("This contradicts what is stored; look at the object again and retry.")
    if isinstance(failure, DataError):
        return errors.Invalid("A value is too long, too large, or holds a character that can't be stored.")
    if isinstance(failure, OperationalError | InterfaceError):
        return errors.Unavailable("The database is away or busy; try again.", retry_after=2)
    full = isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or isinstance(failure, Full):
        return errors.StorageFull("There is no room left on the disk or in the store.")
    if isinstance(failure, StoreError):
        return errors.Unavailable(f"The store is away: {failure}", code="store_unavailable", retry_after=5)
    return None


KINDS: dict[int, type[RegistryError]] = {
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.NotAllowed,
    413: errors.TooLarge,
    415: errors.UnsupportedMedia,
    429: errors.RateLimited,
}


def _of_drf(failure: exceptions.APIException) -> RegistryError:
    kind = KINDS.get(failure.status_code, errors.Malformed)
    error = kind(str(failure.detail))
    if kind is errors.Malformed:
        error.status, error.code = failure.status_code, str(failure.default_code)
    wait = getattr(failure, "wait", None)
    if wait:
        error.retry_after = int(wait) + 1
    return error


def invalid(detail: Any) -> RegistryError:
    """All fields at once, each as ``{"param", "code", "message"}``."""
    found = list(_flat(detail, ""))
    first = found[0] if found else {"param": None, "message": "Something is wrong with the request."}
    where = f"{first['param']}: " if first["param"] else ""
    return errors.Invalid(f"{where}{first['message']}", param=first["param"], errors=found)


def _flat(detail: Any, path: str) -> Iterator[dict[str, Any]]:
    if isinstance(detail, dict):
        for key, value in detail.items():
            name = (
                path
                if key in ("non_field_errors", "")
                else _joined(path, f"[{key}]" if isinstance(key, int) else str(key))
            )
            yield from _flat(value, name)
    elif isinstance(detail, list):
        for index, value in enumerate(detail):
            nested = f"{path}[{index}]" if isinstance(value, dict | list) and value else path
            yield from _flat(value, nested)
    else:
        yield errors.fault(path or None, getattr(detail, "code", "invalid"), str(detail))


def _joined(path: str, key: str) -> str:
    return f"{path}{key}" if key.startswith("[") else f"{path}.{key}".strip(".")


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """`handler404` below /api."""
    del exception
    return answer(errors.NotFound(f"There is nothing at {request.path}; the schema is at /api/schema/."), request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """`handler400` and `handler403` below /api: what was refused before a view saw it."""
    return answer(translated(exception) or errors.Malformed("The request can't be read."), request)


def server_error(request: HttpRequest) -> HttpResponse:
    """`handler500` below /api."""
    problem: dict[str, Any] = {
        "type": "urn:plethora:error:internal",
        "title": "Our fault",
        "status": 500,
        "detail": "Something broke here. The request id finds it in the log.",
        "code": "internal",
        "param": None,
        "request_id": getattr(request, "request_id", ""),
        "errors": [],
    }
    return JsonResponse(problem, status=500, content_type=PROBLEM)
