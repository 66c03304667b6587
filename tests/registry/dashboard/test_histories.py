"""The page of clients over time says what the API says, in a span of time, to those who may know."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client as Browser

from tests.registry.api.test_histories import made

__all__ = ["made"]  # two versions, production moved from the first to the second
Pages = Callable[[str | None], Browser]
VERSION = "/adapters/health/triage/{}/clients"
ALL = (VERSION.format(1), "/base-models/llama/1/clients", "/datasets/health/notes/1/clients")


@pytest.mark.parametrize("path", ALL)
def test_it_names_ones_own_clients_and_counts_the_others(pages: Pages, made: object, path: str) -> None:
    said = pages("bob").get(path).content.decode()
    assert "/clients/health/ward" in said
    assert "/clients/finance/bank" not in said
    assert ("1 client of other teams" in said) == ("base-models" in path)


def test_a_span_leaves_out_what_lies_outside(pages: Pages, made: object) -> None:
    assert "/clients/health/ward" in pages("bob").get(f"{ALL[0]}?to=2999-01-01").content.decode()
    said = pages("bob").get(f"{ALL[0]}?to=2000-01-01").content.decode()
    assert "No client of yours had it in that time." in said


def test_its_csv_is_of_the_same_span(pages: Pages, made: object) -> None:
    said = pages("bob").get(f"{ALL[0]}?from=2020-01-01").content.decode()
    href = said.partition('href="/api/v1/adapters')[2].partition('"')[0].replace("&amp;", "&")
    rows = pages("bob").get(f"/api/v1/adapters{href}").getvalue().decode()
    assert "from=2020-01-01T00" in href
    assert "health/ward" in rows


def test_a_date_that_is_none_is_said(pages: Pages, made: object) -> None:
    answer = pages("bob").get(f"{ALL[0]}?from=soon")
    assert answer.status_code == 400
    assert "is no date" in answer.content.decode()


def test_another_team_finds_no_such_page(pages: Pages, made: object) -> None:
    for path in (ALL[0], ALL[2]):
        assert pages("charlie").get(path).status_code == 404


def test_the_version_leads_to_it(pages: Pages, made: object) -> None:
    assert VERSION.format(2) in pages("bob").get("/adapters/health/triage/2").content.decode()
