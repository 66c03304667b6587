"""What an installation does for its store by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.access import SYSTEM
from registry.choices import JobState
from registry.models import Artifact, Job
from registry.services import upkeep
from tests.make import make_manifest

pytestmark = pytest.mark.usefixtures("db", "store")


@pytest.fixture
def old():
    """An installation of two days."""
    make_manifest({"a": b"a"})
    Artifact.objects.update(created_at=timezone.now() - timedelta(days=2))


def end_all():
    Job.objects.update(state=JobState.SUCCEEDED)


def kinds():
    return [job.kind for job in upkeep.start_due()]


def test_a_young_installation_starts_nothing():
    make_manifest({"a": b"a"})
    assert kinds() == []


def test_it_starts_one_at_a_time_and_each_in_its_interval(old):
    assert kinds() == ["sweep"]
    assert kinds() == []
    end_all()
    assert kinds() == ["scrub"]
    end_all()
    assert kinds() == []
    Job.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert kinds() == ["sweep"]


def test_a_dry_run_is_no_sweep(old):
    upkeep.sweep(by=SYSTEM, dry_run=True)
    end_all()
    assert kinds() == ["sweep"]


def test_zero_hours_are_never(old, settings):
    settings.SWEEP_HOURS = settings.SCRUB_HOURS = 0
    assert kinds() == []
