from __future__ import annotations

import hashlib

import pytest

from registry.access import SYSTEM
from registry.choices import BaseStatus
from registry.errors import NotFound
from registry.models import BaseModel
from registry.services import base_models, base_sources, teams, uploads
from registry.services.announced import Announced
from registry.storage import store

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def uploaded(tmp_path):
    """`uploaded(files)`: a complete upload."""

    def made(files):
        announced = [Announced(path, len(one), hashlib.sha256(one).hexdigest()) for path, one in files.items()]
        team = teams.create(by=SYSTEM, slug="t", name="T")
        upload = uploads.create(by=SYSTEM, team=team, files=announced)
        for file in upload.files.all():
            (tmp_path / "part").write_bytes(files[file.path])
            store().put_part(file.key, file.parts_id, 1, tmp_path / "part")
        return uploads.complete(by=SYSTEM, upload=upload)

    return made


def add(upload):
    base = BaseModel.objects.create(name="stories")
    return base_models.add_version(by=SYSTEM, base=base, source=f"upload:{upload.pk}")


def test_it_takes_an_uploads_files_as_they_are(db, run, shared, uploaded):
    folder = shared / "base-models" / "stories260k-v1"
    upload = uploaded({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
    before = sorted(store().keys(""))
    version = add(upload)
    assert run(version.job).error is None
    version.refresh_from_db()
    assert (version.status, version.parameter_count) == (BaseStatus.DRAFT, 260_032)
    assert version.manifest.files.items() <= upload.manifest.files.items()
    assert sorted(store().keys("")) == before


def test_an_upload_that_is_over_is_no_source(db, uploaded, django_capture_on_commit_callbacks):
    upload = uploaded({"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"x"})
    version = add(upload)
    with django_capture_on_commit_callbacks(execute=True):
        uploads.abort(by=SYSTEM, upload=upload)
    with pytest.raises(NotFound, match="is over"):
        uploads.uploaded(base_sources.uploaded(version.source))
