"""A base model's files from their source into the store, read once by a child that knows its class."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from registry.choices import FailureClass
from registry.errors import Invalid, NotFound, Unavailable
from registry.selectors import sources
from registry.services import artifacts, base_models, base_sources, uploads
from registry.services.artifacts import Stored
from registry.services.jobs import Attempt
from training.context import Commit, Context, JobFailure

LARGEST = 2**31 - 1
Answer = TypeVar("Answer")


def run(attempt: Attempt, context: Context) -> Commit:
    version = base_models.ingesting(job=attempt.job)
    context.progress(stage="fetching")
    folder = _fetched(version.source, context)
    context.progress(stage="inspecting")
    seen = context.child({"task": "inspect", "base": str(folder)})
    context.progress(stage="storing")
    files = _stored(folder, context)
    facts = _facts(seen, files)

    def commit() -> tuple[dict[str, Any], dict[str, Any]]:
        base_models.ingested(version=version, files=files, facts=facts)
        return {"base": version.base_model.name, "version": version.number}, context.cost()

    return commit


def _fetched(source: str, context: Context) -> Path:
    """A folder with the files that we take, and no others."""
    folder = context.scratch / "base"
    folder.mkdir()
    kinds = {"file": _from_folder, "s3": _from_s3, "hf": _from_hub, "upload": _from_upload}
    fetch = kinds[source.partition(":")[0]]
    try:
        fetch(source, folder, context)
    except Invalid as error:
        raise JobFailure(FailureClass.DATA, error.code, error.message, param=error.param) from error
    except NotFound as error:
        raise JobFailure(FailureClass.USER, "source_missing", error.message, param="source") from error
    except Unavailable as error:
        raise JobFailure(FailureClass.INFRASTRUCTURE, error.code, error.message, param="source") from error
    return folder


def _from_folder(source: str, folder: Path, context: Context) -> None:
    # A copy, not a link: what is inspected is then what is stored, whoever writes to the source meanwhile.
    origin = base_sources.folder(source)
    base_sources.check_files({path.name for path in origin.iterdir()})
    for name, path in base_sources.files_of(origin).items():
        context.check()
        shutil.copyfile(path, folder / name)


def _from_s3(source: str, folder: Path, context: Context) -> None:
    names = sources.names(*base_sources.bucket(source))
    base_sources.check_files(set(names))
    for name in sorted(filter(base_sources.TAKEN.fullmatch, names)):
        context.check()
        sources.fetch(*base_sources.bucket(source), name, folder / name)


def _from_upload(source: str, folder: Path, context: Context) -> None:
    files = uploads.uploaded(base_sources.uploaded(source) or "")
    base_sources.check_files(set(files))
    for name in sorted(filter(base_sources.TAKEN.fullmatch, files)):
        context.check()
        artifacts.fetch_file(files[name].sha256, folder / name)


def _from_hub(source: str, folder: Path, context: Context) -> None:
    # Here only: the Hub's client is not needed for anything else, and imports slowly.
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415

    repo, revision = base_sources.hub(source)
    info = _asked(repo, lambda: HfApi().model_info(repo, revision=revision))
    names = {file.rfilename for file in info.siblings or []}
    base_sources.check_files(names)
    context.check()
    wanted = sorted(filter(base_sources.TAKEN.fullmatch, names))
    # The commit that was looked at, so that a push in between changes nothing.
    _asked(repo, lambda: snapshot_download(repo, revision=info.sha, local_dir=str(folder), allow_patterns=wanted))
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def _asked(repo: str, ask: Callable[[], Answer]) -> Answer:
    """What the Hub answers, its many errors turned into three."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled  # noqa: PLC0415

    try:
        return ask()
    except OfflineModeIsEnabled as error:
        text = (
            f"This worker may not reach the Hub (HF_HUB_OFFLINE is set); copy {repo} to a folder and use file://."
        )
        raise JobFailure(FailureClass.USER, "hub_offline", text, param="source") from error
    except (HfHubHTTPError, HFValidationError) as error:
        text = f"The Hub refused {repo}: {str(error).strip().splitlines()[0]}"
        raise JobFailure(FailureClass.USER, "hub_refused", text, param="source") from error
    except Exception as error:  # its HTTP library's errors, and which library that is changes
        text = (
            f"The Hub can't be reached for {repo}: {error}; retry, or copy the files to a folder and use file://."
        )
        raise JobFailure(FailureClass.INFRASTRUCTURE, "hub_unreachable", text, param="source") from error


def _stored(folder: Path, context: Context) -> dict[str, Stored]:
    files = {}
    for path in sorted(folder.iterdir()):
        context.check()
        files[path.name] = artifacts.upload(path)
    return files


def _facts(seen: Mapping[str, Any], files: Mapping[str, Stored]) -> base_models.Facts:
    context_length = seen["context_length"]
    return base_models.Facts(
        config_sha256=seen["config_sha256"],
        tokenizer_sha256=seen["tokenizer_sha256"],
        chat_template_sha256=seen["chat_template_sha256"],
        weights_sha256=_weights_digest(files),
        module_table=seen["module_table"],
        shape_fingerprint=seen["shape_fingerprint"],
        parameter_count=seen["parameter_count"],
        dtype=seen["dtype"],
        # A tokenizer that knows no limit says 10^30.
        context_length=context_length if context_length and context_length <= LARGEST else None,
    )


def _weights_digest(files: Mapping[str, Stored]) -> str:
    """sha256 over the names and digests of all weight files."""
    weights = sorted((name, one.sha256) for name, one in files.items() if name.endswith(".safetensors"))
    return hashlib.sha256(json.dumps(weights, separators=(",", ":")).encode()).hexdigest()
