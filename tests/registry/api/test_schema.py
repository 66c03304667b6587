"""Schemathesis over the whole schema: no server error, and no answer that the schema doesn't describe.

Each operation is asked with what the schema allows and with what it doesn't, at addresses that are there and at
others, by the owner of what is there, by another team's owner, and by nobody.
"""

from __future__ import annotations

import pytest
from django.test import override_settings

from registry.access import SYSTEM
from registry.services import teams
from tests.make import make_engine
from tests.registry.api.bodies import SCHEMA
from tests.registry.filled import fill, kept

UNLIMITED = {"FAILURES_PER_MINUTE": 10**9, "TOKENS_PER_HOUR": 10**9}
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def filled(django_db_setup, django_db_blocker, tmp_path_factory):
    with kept(django_db_blocker, tmp_path_factory.mktemp("schema")), override_settings(**UNLIMITED):
        made = fill(teams.create(by=SYSTEM, slug="health", name="Health"))
        other = fill(teams.create(by=SYSTEM, slug="finance", name="Finance"), name="ledger")
        make_engine(*[one.team.adapters.get().versions.first() for one in (made, other)])
        yield made, other


@pytest.mark.parametrize("each", [1, pytest.param(8, marks=pytest.mark.soak)])
def test_it_answers_as_the_schema_says(filled, each):
    from tests.registry.api.schema_walk import Walk

    made, other = filled
    report = Walk(made, {"owner": made.tokens["owner"], "outsider": other.tokens["owner"]}, each).run()
    print(report.words)  # noqa: T201 - how many cases, and what came of them
    assert report.faults == {}, report.words
    assert len(report.statuses) > 7, report.words
    assert report.cases >= (2000 if each > 1 else 250), report.words


def test_every_operation_says_how_it_refuses():
    for path, item in SCHEMA["paths"].items():
        for method in set(item) & {"get", "post", "put", "patch", "delete"}:
            assert {"401", "403", "404", "422", "429", "503"} <= set(item[method]["responses"]), (method, path)


def test_lists_come_in_pages():
    said = SCHEMA["paths"]["/api/v1/adapters"]["get"]
    shape = said["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert set(SCHEMA["components"]["schemas"][shape]["properties"]) == {"next", "previous", "results"}
    assert {"cursor", "limit"} <= {one["name"] for one in said["parameters"]}
