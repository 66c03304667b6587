"""Adapter versions that come from outside: a PEFT folder, checked by a job against its base version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from django.conf import settings
from django.db import transaction

from registry.access import SYSTEM, Act, Caller, require
from registry.choices import SERVABLE_BASE_STATES, VERSION_TRANSITIONS, JobKind, VersionStatus
from registry.errors import Conflict, Invalid
from registry.models import Adapter, AdapterVersion, BaseVersion, Job, Team, Upload
from registry.services import adapters, artifacts, audit, jobs
from registry.services.artifacts import Stored
from registry.services.numbers import allot
from registry.services.uploads import content
from registry.services.version_states import move_status
from registry.weights import AdapterFacts, archive

F = TypeVar("F")
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
KEPT = (CONFIG, WEIGHTS)
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def create(
    *, by: Caller, adapter: Adapter, base_version: BaseVersion, files: Mapping[str, Path]
) -> AdapterVersion:
    """Store the two files of a PEFT folder (or of one zip of it) and queue their check. `files`: by name.

    Raises Invalid where they are missing or pickled, Conflict where the base version can't serve.
    """
    require(by, Act.TRAIN, adapter.team)
    _check_base(adapter, base_version)
    return _queued(by, adapter, base_version, _stored(files))


def create_new(
    *, by: Caller, team: Team, name: str, vertical: str, base_version: BaseVersion, files: Mapping[str, Path]
) -> AdapterVersion:
    """The same for an adapter that isn't there: it comes with its first version, or not at all."""
    require(by, Act.TRAIN, team)
    wanted = Adapter(team=team, name=name, vertical=vertical, base_model=base_version.base_model)
    _check_base(wanted, base_version)
    if Adapter.objects.filter(team=team, name=name).exists():
        text = f"There is an adapter {wanted.address} already; import a version on its page."
        raise Conflict(text, param="name", code="exists")
    stored = _stored(files)
    with transaction.atomic():
        made = adapters.create(by=by, team=team, name=name, vertical=vertical, base_model=base_version.base_model)
        return _queued(by, made, base_version, stored)


def _stored(files: Mapping[str, Path]) -> dict[str, Stored]:
    if not _zipped(files):
        return artifacts.upload_all(chosen_files(files))
    with TemporaryDirectory(prefix="unpacked-") as folder:
        return artifacts.upload_all(_unpacked(files, Path(folder)))


def create_uploaded(*, by: Caller, adapter: Adapter, base_version: BaseVersion, upload: Upload) -> AdapterVersion:
    """The same, of a complete upload of the team, whose files are in the store already."""
    require(by, Act.TRAIN, adapter.team)
    _check_base(adapter, base_version)
    files = content(upload)
    if _zipped(files):
        with TemporaryDirectory(prefix="fetched-") as folder:
            ((name, stored),) = files.items()
            if stored.size > settings.MAX_UPLOAD_BYTES:
                text = f"{name} has {stored.size:,} bytes; a zip has {settings.MAX_UPLOAD_BYTES:,} at most."
                raise _refusal(f"{text} Upload the folder's files themselves.", "too_large", "upload")
            target = Path(folder) / PurePosixPath(name).name
            artifacts.fetch_file(stored.sha256, target)
            return create(by=by, adapter=adapter, base_version=base_version, files={name: target})
    return _queued(by, adapter, base_version, chosen_files(files, param="upload"))


def _zipped(files: Mapping[str, Any]) -> bool:
    return len(files) == 1 and next(iter(files)).lower().endswith(".zip")


def _unpacked(files: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """The two files of a zip, unpacked into `folder`; the rest of it stays packed."""
    (source,) = files.values()
    chosen = chosen_files(archive.members(source, most_bytes=settings.MAX_UPLOAD_BYTES))
    for name, member in chosen.items():
        archive.extract(source, member, folder / name)
    return {name: folder / name for name in chosen}


def _queued(
    by: Caller, adapter: Adapter, base_version: BaseVersion, stored: Mapping[str, Stored]
) -> AdapterVersion:
    with transaction.atomic():
        number = allot(adapter)
        obj = f"adapter:{adapter.address}@{number}"
        job = jobs.create(by=by, kind=JobKind.VERIFY_IMPORT, team=adapter.team, payload={}, obj=obj)
        # Last, because it locks the artifacts: who brings the same bytes waits from here on.
        manifest = artifacts.commit_manifest(stored)
        version = AdapterVersion.objects.create(
            adapter=adapter,
            number=number,
            base_version=base_version,
            manifest=manifest,
            job=job,
            status=VersionStatus.VERIFYING,
            created_by=by.person,
        )
        after = {"base": base_version.address, "manifest_sha256": version.manifest_sha256}
        audit.record(by, "adapter_version.import", obj, team=adapter.team, after=after)
    return version


def chosen_files(files: Mapping[str, F], *, param: str = "files") -> dict[str, F]:
    """The two files that make an adapter, of the folder nearest to the top. Others (README.md) are left out."""
    folders = sorted({PurePosixPath(name).parent for name in files}, key=lambda one: len(one.parts))
    whole = [one for one in folders if all(str(one / name) in files for name in KEPT)]
    if len(whole) > 1 and len(whole[0].parts) == len(whole[1].parts):
        raise _refusal(f"{whole[0]} and {whole[1]} hold an adapter each; send one.", "ambiguous", param)
    if whole:
        return {name: files[str(whole[0] / name)] for name in KEPT}
    by_name = {name.rpartition("/")[2]: path for name, path in files.items()}
    pickled = sorted(name for name in by_name if name.lower().endswith(PICKLES))
    if pickled and WEIGHTS not in by_name:
        raise _refusal(
            f"{pickled[0]} is a pickle, which may run code when it is loaded; save the adapter with"
            " safe_serialization=True and upload adapter_model.safetensors.",
            "pickle_refused",
            param,
        )
    missing = [name for name in KEPT if name not in by_name] or ["a folder with both adapter files"]
    found = ", ".join(sorted(by_name)[:10]) or "nothing"
    raise _refusal(
        f"{' and '.join(missing)} is missing (found {found}); upload a PEFT folder's files.", "file_missing", param
    )


def importing(*, job: Job) -> AdapterVersion:
    """The version that an import job is about."""
    rows = AdapterVersion.objects.select_related(
        "adapter__team", "base_version__manifest", "manifest", "created_by"
    )
    return rows.get(job=job)


def verified(*, version: AdapterVersion, facts: AdapterFacts, probe: dict[str, Any]) -> AdapterVersion:
    """The files fit: ready. Call it in the transaction that ends the job."""
    AdapterVersion.objects.filter(pk=version.pk, status=VersionStatus.VERIFYING).update(
        rank=facts.rank,
        alpha=facts.alpha,
        target_modules=facts.target_modules,
        trainable_parameters=facts.trainable_parameters,
        bytes=facts.bytes,
        peft_loadable=facts.peft_loadable,
        vllm_servable=facts.vllm_servable,
        vllm_reason=facts.vllm_reason,
        probe=probe,
    )
    move_status(version, VERSION_TRANSITIONS, VersionStatus.READY)
    by = SYSTEM.behalf(version.created_by.email if version.created_by else "")
    after = {"status": VersionStatus.READY, "manifest_sha256": version.manifest_sha256}
    obj, team = f"adapter:{version.address}", version.adapter.team
    audit.record(by, "adapter_version.ready", obj, team=team, after=after)
    return version


def _check_base(adapter: Adapter, base_version: BaseVersion) -> None:
    if base_version.base_model_id != adapter.base_model_id:
        raise _refusal(
            f"{adapter.address} is made for {adapter.base_model.name}, not {base_version.address}.",
            "other_base_model",
            param="base_version",
        )
    if base_version.status not in SERVABLE_BASE_STATES:
        raise Conflict(
            f"{base_version.address} is {base_version.status}; import for an active base version.",
            param="base_version",
            code="base_not_servable",
        )


def _refusal(message: str, code: str, param: str = "files") -> Invalid:
    return Invalid(message, param=param, code=code)
