"""`python -m tests.faults.writer TEAM`: dataset versions, one after the other, until it is killed.

It says a line for each version whose transaction is committed: the digest of its rows.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import django


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(slug: str) -> None:
    from django.db import transaction

    from registry.choices import DatasetStatus
    from registry.models import Dataset, DatasetVersion, Team
    from registry.services import artifacts
    from registry.services.numbers import allot

    dataset, _ = Dataset.objects.get_or_create(team=Team.objects.get(slug=slug), name="written", salt="s")
    say("begin")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        while True:
            file.write_bytes(os.urandom(300_000))
            stored = artifacts.upload(file)
            with transaction.atomic():
                manifest = artifacts.commit_manifest({"rows.jsonl": stored})
                DatasetVersion.objects.create(
                    dataset=dataset, number=allot(dataset), source=manifest, manifest=manifest,
                    sha256=hashlib.sha256(file.read_bytes()).hexdigest(), status=DatasetStatus.READY,
                )  # fmt: skip
            say(stored.sha256)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    main(sys.argv[1])
