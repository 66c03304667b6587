"""Finding adapters and versions: by label, by text, by what was measured, all at once."""

from __future__ import annotations

import pytest

from registry.choices import JobKind, JobState, Split
from registry.models import Evaluation, Job
from registry.services import adapters
from tests.make import make_adapter, make_base_version, make_dataset_version, make_version

ADAPTERS = "/api/v1/adapters"
ALL = "/api/v1/adapter-versions"
VERSIONS = f"{ADAPTERS}/health/triage/versions"
pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def found(world):
    """Two adapters of health; triage has three versions, of which the second was measured best."""
    by, notes = world.by("alice"), make_dataset_version(world.health)
    made = [make_version(world.health, dataset_version=notes) for _ in range(3)]
    other = make_version(world.health, "coding", status="rejected")
    adapters.change(
        by=by, adapter=made[0].adapter, description="Sorts patients", labels={"tier": "a", "site": "north"}
    )
    adapters.change(by=by, adapter=other.adapter, labels={"tier": "a"})
    for version, loss in zip(made, (3.0, 1.5, 2.5), strict=True):
        measure(version, loss)
    adapters.label_version(by=by, version=made[1], labels={"run": "sweep-7", "seed": "1"})
    adapters.label_version(by=by, version=made[2], labels={"run": "sweep-7"})
    return made


def measure(version, loss, *, split=Split.TEST, base=None):
    job = Job.objects.create(kind=JobKind.EVALUATE, team=version.adapter.team, payload={})
    return Evaluation.objects.create(
        job=job, adapter_version=version, on_base=base or version.base_version,
        dataset_version=version.dataset_version, split=split, loss=loss, checks={"exact-match": loss / 10},
        state=JobState.SUCCEEDED,
    )  # fmt: skip


def names(answer, field="name"):
    assert answer.status_code == 200, answer.content
    return sorted(row[field] for row in answer.json()["results"])


OF_ADAPTERS = [
    ("label=tier:a", ["coding", "triage"]),
    ("label=tier:a&label=site:north", ["triage"]),
    ("label=tier:a&label=site:south", []),
    ("q=patients", ["triage"]),
    ("q=NORTH", ["triage"]),
    ("q=cod", ["coding"]),
    ("metric=loss<=2", ["triage"]),
    ("metric=loss<1", []),
    ("metric=loss<=2&metric=loss>2", []),  # no one version is both
    ("metric=checks.exact-match<0.2", ["triage"]),
    ("status=ready&metric=loss<=2", ["triage"]),
    ("status=archived&metric=loss<=2", []),
    ("vertical=healthcare&base_model=llama&stale=false", ["coding", "triage"]),
]


def test_it_finds_adapters(api, found):
    answers = {query: names(api("bob").get(f"{ADAPTERS}?{query}")) for query, _ in OF_ADAPTERS}
    assert answers == dict(OF_ADAPTERS)
    assert not any(names(api("charlie").get(f"{ADAPTERS}?{query}")) for query, _ in OF_ADAPTERS)


OF_VERSIONS = [
    ("metric=loss<=2.5", [2, 3]),
    ("metric=loss<=2.5e0&metric=loss>-1", [2, 3]),
    ("label=run:sweep-7", [2, 3]),
    ("label=run:sweep-7&label=seed:1", [2]),
    ("q=sweep", [2, 3]),
    ("q=notes", [1, 2, 3]),
    ("q=nothing", []),
    ("status=rejected", []),
    ("stale=true", []),
]


def test_it_finds_versions(api, found):
    answers = {query: names(api("bob").get(f"{VERSIONS}?{query}"), "number") for query, _ in OF_VERSIONS}
    assert answers == dict(OF_VERSIONS)
    assert api("charlie").get(f"{VERSIONS}?q=sweep").status_code == 404


def test_only_what_was_measured_on_test_rows_and_its_own_base_counts(api, found):
    measure(found[0], 0.1, split=Split.VALIDATION)
    measure(found[0], 0.1, base=make_base_version(shape_fingerprint="6" * 64))
    assert names(api("bob").get(f"{VERSIONS}?metric=loss<1"), "number") == []


OF_ALL = [
    ("", ["health/coding@1", "health/triage@1", "health/triage@2", "health/triage@3"]),
    ("team=health&metric=loss<2", ["health/triage@2"]),
    ("team=finance", []),
    ("q=patients&status=ready&label=seed:1", ["health/triage@2"]),
    ("vertical=healthcare&base_model=llama&status=rejected", ["health/coding@1"]),
]


def test_it_searches_the_versions_of_all_adapters(api, found):
    answers = {query: names(api("bob").get(f"{ALL}?{query}"), "address") for query, _ in OF_ALL}
    assert answers == dict(OF_ALL)
    assert not any(names(api("charlie").get(f"{ALL}?{query}"), "address") for query, _ in OF_ALL)


def test_stale_versions_are_found_across_adapters(api, found):
    make_base_version()
    assert names(api("bob").get(f"{ALL}?stale=true"), "address") == ["health/triage@3"]


NONSENSE = [
    *[
        ("metric", text)
        for text in ("loss", "loss<=", "loss=2", "beauty<=2", "loss<=x", "loss<=1e999", "loss<=nan")
    ],
    *[("metric", text) for text in ("\x00", "9" * 200, ["loss<1"] * 11)],
    *[("label", text) for text in ("novalue", "a\x00:b", ["a:b"] * 11)],
    ("q", "\x00"),
    ("q", "a" * 101),
]


@pytest.mark.parametrize("path", [ADAPTERS, VERSIONS, ALL])
def test_nonsense_is_named(api, world, path):
    make_adapter(world.health)
    answers = [(param, api("bob").get(path, {param: value})) for param, value in NONSENSE]
    assert [answer.status_code for _, answer in answers] == [422] * len(NONSENSE)
    assert [answer.json()["param"] for _, answer in answers] == [param for param, _ in answers]


@pytest.mark.parametrize("path", [ADAPTERS, VERSIONS, ALL])
def test_a_search_costs_the_same_number_of_queries_however_long(
    api, found, world, path, django_assert_num_queries
):
    query = {"metric": "loss<9", "label": [], "q": "t", "stale": "false"}
    api("bob").get(path, query)  # the first use of a token is noted
    with django_assert_num_queries(COSTS[path]):
        assert api("bob").get(path, query).json()["results"]
    for _ in range(3):
        measure(make_version(world.health, dataset_version=found[0].dataset_version), 2.0)
    with django_assert_num_queries(COSTS[path]):
        assert api("bob").get(path, query).json()["results"]


COSTS = {ADAPTERS: 5, VERSIONS: 8, ALL: 7}


# Labels of versions


def test_labels_are_replaced_whole(api, found):
    one = f"{VERSIONS}/2"
    answer = api("erin").patch(one, {"labels": {"note": "kept"}}, format="json")
    assert (answer.status_code, answer.json()["labels"]) == (200, {"note": "kept"})
    assert api("bob").get(one).json()["labels"] == {"note": "kept"}


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404), (None, 401)])
def test_only_editors_label(api, found, who, status):
    assert api(who).patch(f"{VERSIONS}/2", {"labels": {}}, format="json").status_code == status


@pytest.mark.parametrize("body", [{}, {"labels": {"bad key!": "x"}}, {"labels": {"k": "\x00"}}, {"labels": None}])
def test_a_label_that_cannot_be_kept_is_named(api, found, body):
    answer = api("alice").patch(f"{VERSIONS}/2", body, format="json")
    assert (answer.status_code, answer.json()["param"].partition(".")[0]) == (422, "labels")


def test_labels_honour_if_match(api, found):
    answer = api("alice").patch(f"{VERSIONS}/2", {"labels": {}}, format="json", HTTP_IF_MATCH='"old"')
    assert answer.status_code == 412
