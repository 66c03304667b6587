"""Cases of schemathesis, sent to the application in this process. To be imported late: it takes seconds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as generation
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi import checks

from tests.registry.api.bodies import GOOD, SCHEMA
from tests.registry.filled import Filled, undone

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
# Who asks; whether the address is one that is there; how much of the body is made up.
GOOD_ONE = ("owner", True, "nothing")
PLANS = (
    ("outsider", True, "nothing"),
    ("nobody", True, "all"),
    ("owner", True, "one field"),
    ("owner", False, "all"),
    ("outsider", True, "all"),
    ("owner", True, "all"),
    ("outsider", False, "one field"),
    ("nobody", False, "nothing"),
)


@contextmanager
def connection_kept() -> Iterator[None]:
    """It is in the transaction of a test, and PostgreSQL's would be closed around each request."""
    signals = request_started, request_finished
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


@dataclass
class Report:
    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def words(self) -> str:
        return "\n\n".join((f"{self.cases} cases: {dict(self.statuses)}", *self.faults.values()))


@dataclass
class Walk:
    filled: Filled
    tokens: dict[str, str]
    each: int  # cases of an operation in each of the two modes
    report: Report = field(default_factory=Report)

    def run(self) -> Report:
        schema = schemathesis.openapi.from_dict(SCHEMA)
        schema.app = get_wsgi_application()
        with connection_kept():
            for result in schema.get_all_operations():
                for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
                    self._operation(result.ok(), mode)
        return self.report

    def _operation(self, operation: Any, mode: GenerationMode) -> None:
        plans = [GOOD_ONE] if mode == GenerationMode.POSITIVE else []

        def send(case: Any) -> None:
            plan = plans.pop() if plans else PLANS[self.report.cases % len(PLANS)]
            self._send(case, *plan)

        sparing = generation(
            max_examples=self.each, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        sparing(given(operation.as_strategy(generation_mode=mode))(send))()

    def _send(self, case: Any, who: str, there: bool, made_up: str) -> None:
        if there:
            case.path_parameters = self._parameters(case.operation.path)
        case.body = body(case, made_up)
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who in self.tokens else {}
        with undone():
            self._look(case, headers)

    def _parameters(self, path: str) -> dict[str, str]:
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>.+)", path), self.filled.path(path))
        assert found is not None
        return found.groupdict()

    def _look(self, case: Any, headers: dict[str, str]) -> None:
        response = case.call(headers=headers)
        self.report.cases += 1
        self.report.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except (FailureGroup, Failure) as failed:
            for one in getattr(failed, "exceptions", [failed]):
                key = f"{case.operation.label}: {response.status_code} {one.title}"
                asked = case.as_curl_command()[:500]
                self.report.faults[key] = f"{key}\n{one.message}\n{asked}\n{response.content[:600]!r}"


def body(case: Any, made_up: str) -> Any:
    """A good one, or a good one with one field made up, or what was made up."""
    if made_up == "all" or case.media_type != "application/json":
        return case.body
    good = GOOD.get(case.operation.path.removeprefix("/api/v1"), {})
    if made_up == "nothing" or not isinstance(case.body, dict):
        return good
    return {**good, **dict(list(case.body.items())[-1:])}
