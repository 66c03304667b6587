"""Random acts once more, those that retrain among them: jobs, campaigns, evaluations, data, waivers, activations.

Where each of the product's invariants has a test that tries to break it:

    1   registry/models/test_triggers.py (numbers, frozen rows)   test_acts.py   stack/test_races.py
    2   registry/test_weights.py   training/kinds/test_verify_import.py   training/trainer/test_train.py
    3   registry/models/test_triggers.py (aliases, histories)   test_acts.py   stack/test_races.py
    4   registry/models/test_triggers.py (assignments)   test_acts.py   stack/test_races.py
    5   registry/models/test_triggers.py (in use)   test_acts.py   registry/api/test_aliases.py
    6   registry/models/test_triggers.py (the audit only grows)   test_acts.py   rules/test_audit.py
    7   registry/models/test_triggers.py (committed bytes)   test_acts.py (sweep)   stack/test_storage.py
    11  test_destruction.py   registry/api/test_datasets.py   here (what was trained on withdrawn data is stale)
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.db.models import Count
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from registry.access import SYSTEM
from registry.choices import CAMPAIGN_TRANSITIONS, FINAL_JOB_STATES, CampaignState, FailureClass, ItemState
from registry.models import (
    Adapter,
    AdapterVersion,
    BaseModel,
    BaseVersion,
    Campaign,
    CampaignItem,
    DatasetVersion,
    Evaluation,
    Job,
    Team,
    Waiver,
)
from registry.selectors import staleness
from registry.services import base_models, campaign_steps, campaigns, jobs, training, version_states, waivers
from registry.services.campaigns import OPEN_ITEMS
from tests import make
from tests.registry.campaigns import RECIPE, measure, train
from tests.registry.services.test_acts import Acts, one, pick

CHANGES = ({"change": "weights"}, {"change": "shape", "shape_fingerprint": "6" * 64}, {"change": "template"})
ENDED = [state for state, after in CAMPAIGN_TRANSITIONS.items() if not after] + [CampaignState.COMPLETED]
DECISIONS = st.lists(st.sampled_from(["promote", "promote", "rollback", "cancel", "pause", "start"]), max_size=3)
LOSSES = st.sampled_from([1.0, 2.0, 3.0])


class CampaignActs(Acts):
    """Every adapter was trained by a job, so that it can be retrained; the team lets activations retrain."""

    # The machine of test_acts.py tries these.
    label = approve = protect_alias = merge = sweep = pin = unassign = remember = add_version = end_base = None

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.folder = TemporaryDirectory()
        self.ended: dict[int, str] = {}
        Team.objects.filter(pk=self.team.pk).update(auto_retrain=True)
        make.make_dataset_version(self.team)
        for number in range(2):
            self.submit(number, 0, promote=True)
            self.end_job(0, "good", 1.0)
        self.update_the_base(CHANGES[0], [1.0, 1.0, 2.0, 1.0], [])

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(which=pick, data=pick, promote=st.booleans())
    def submit(self, which: int, data: int, promote: bool) -> None:
        wish = training.Request(
            adapter=one(Adapter, which),
            dataset=one(DatasetVersion, data),
            recipe=RECIPE,
            promote_to="production" if promote else "",
        )
        self.act(lambda: training.submit(by=self.by, request=wish))

    @rule(which=pick, how=st.sampled_from(["good", "good", "good", "failed", "cancelled"]), loss=LOSSES)
    def end_job(self, which: int, how: str, loss: float) -> None:
        """One that waits, as a worker or a person ends it."""
        waiting = list(Job.objects.filter(state="queued", kind__in=["train", "evaluate"]).order_by("pk"))
        if not waiting:
            return
        job = waiting[which % len(waiting)]
        if how == "cancelled":
            self.act(lambda: jobs.cancel(by=self.by, job_id=job.pk))
        elif how == "failed":
            self.act(
                lambda: jobs.fail(jobs.claim(job.pk, owner="w"), failure=FailureClass.DATA, code="x", message="y")
            )
        elif job.kind == "train":
            self.act(lambda: train(job, Path(self.folder.name)))
        else:
            self.act(lambda: measure(job, new=loss, old=2.0, base=3.0))

    @rule(concurrency=st.integers(1, 2), budget=st.sampled_from([None, 1.0]))
    def plan(self, concurrency: int, budget: float | None) -> None:
        limits = {"concurrency": concurrency, "budget_device_seconds": budget}
        self.act(lambda: campaigns.create(by=self.by, base_model=BaseModel.objects.get(), **limits))

    @rule(
        which=pick, word=st.sampled_from(["start", "start", "pause", "cancel", "promote", "promote", "rollback"])
    )
    def decide(self, which: int, word: str) -> None:
        campaign = one(Campaign, which)
        if campaign is not None:
            self.act(lambda: getattr(campaigns, word)(by=self.by, campaign=campaign))

    @rule()
    def feeder_advances(self) -> None:
        self.act(campaign_steps.advance)

    @rule(losses=st.lists(LOSSES, min_size=4, max_size=4))
    def time_passes(self, losses: list[float]) -> None:
        """Workers end what waits, and the feeder looks between."""
        for loss in losses:
            self.act(campaign_steps.advance)
            self.end_job(0, "good", loss)

    @rule(fields=st.sampled_from(CHANGES), losses=st.lists(LOSSES, min_size=4, max_size=4), words=DECISIONS)
    def update_the_base(self, fields: dict[str, str], losses: list[float], words: list[str]) -> None:
        """The story: an activation starts a campaign, and what came of it is decided upon."""
        draft = make.make_base_version(status="draft", **fields)
        self.act(lambda: base_models.activate(by=SYSTEM, version=draft, reason="newer"))
        self.time_passes(losses)
        for word in words:
            self.decide(Campaign.objects.count() - 1, word)
            self.act(campaign_steps.advance)

    @rule(which=pick, word=st.sampled_from(["deprecate", "retire"]))
    def end_an_old_base(self, which: int, word: str) -> None:
        old = list(BaseVersion.objects.filter(current_of=None).order_by("pk"))
        if old:
            self.act(lambda: getattr(base_models, word)(by=SYSTEM, version=old[which % len(old)], reason="old"))

    @rule(which=pick)
    def activate(self, which: int) -> None:
        """Any of them again."""
        self.act(lambda: base_models.activate(by=SYSTEM, version=one(BaseVersion, which), reason="newer"))

    @rule()
    def new_data(self) -> None:
        make.make_dataset_version(self.team)

    @rule(which=pick)
    def withdraw_data(self, which: int) -> None:
        version = one(DatasetVersion, which)
        self.act(lambda: version_states.withdraw_dataset(by=self.by, version=version, reason="asked to"))

    @rule(which=pick, days=st.sampled_from([-1, 1]))
    def waive(self, which: int, days: int) -> None:
        version, until = one(AdapterVersion, which), timezone.now() + timedelta(days=days)
        self.act(lambda: waivers.waive(by=self.by, version=version, reason="known", until=until))

    @rule(which=pick)
    def end_waiver(self, which: int) -> None:
        waiver = one(Waiver, which)
        if waiver is not None:
            self.act(lambda: waivers.end(by=self.by, waiver=waiver))

    # Invariants ------------------------------------------------------------------------------------------

    @invariant()
    def a_job_ends_once_and_makes_one_version_at_most(self) -> None:
        made = AdapterVersion.objects.exclude(job=None).values("job").annotate(count=Count("pk"))
        assert all(row["count"] == 1 for row in made)
        for pk, state in Job.objects.filter(state__in=FINAL_JOB_STATES).values_list("pk", "state"):
            assert self.ended.setdefault(pk, state) == state

    @invariant()
    def an_evaluation_ends_with_its_job(self) -> None:
        for row in Evaluation.objects.filter(job__state__in=FINAL_JOB_STATES).select_related("job"):
            assert row.state == row.job.state
            assert (row.loss is None) == (row.state != "succeeded")

    @invariant()
    def a_campaign_keeps_to_its_plan(self) -> None:
        for campaign in Campaign.objects.prefetch_related("items__new"):
            states = [item.state for item in campaign.items.all()]
            busy = states.count(ItemState.TRAINING) + states.count(ItemState.EVALUATING)
            assert busy <= campaign.concurrency
            assert all(item.new.base_version_id == campaign.target_id for item in campaign.items.all() if item.new)
            if campaign.state in (*ENDED, CampaignState.REVIEW):
                assert not set(states) & set(OPEN_ITEMS)
            if campaign.state in ENDED:
                assert ItemState.PROMOTING not in states

    @invariant()
    def what_is_promoted_has_passed(self) -> None:
        for item in CampaignItem.objects.filter(state__in=[ItemState.PASSED, ItemState.PROMOTED]):
            assert item.verdict["passed"] is True

    @invariant()
    def stale_is_what_matters_and_stands_on_what_has_passed(self) -> None:
        told = {row.version.pk: {reason.reason for reason in row.reasons} for row in staleness.listing(SYSTEM)}
        named = staleness.that_matter().select_related("base_version__base_model__current", "dataset_version")
        for version in named:
            base, current = version.base_version, version.base_version.base_model.current
            reasons = told.get(version.pk, set())
            assert ("base_superseded" in reasons) == (current is not None and current.number > base.number)
            withdrawn = version.dataset_version is not None and version.dataset_version.status == "withdrawn"
            assert ("dataset_withdrawn" in reasons) == withdrawn
        assert set(told) <= {version.pk for version in named}


@pytest.mark.usefixtures("store")
def test_it_keeps_every_invariant(db: None) -> None:
    run_state_machine_as_test(
        CampaignActs,
        settings=settings(
            max_examples=int(os.environ.get("PLETHORA_TEST_EXAMPLES", "3")),
            stateful_step_count=15,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        ),
    )
