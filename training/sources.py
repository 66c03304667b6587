"""The places that a base model's files come from: what lies there, and how one file is fetched.

A tag changes when the file does; a file without one is fetched anew by each attempt.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings

from registry.choices import FailureClass
from registry.errors import Unavailable
from registry.selectors import sources
from registry.services import artifacts, base_sources, uploads
from training.context import JobFailure

Answer = TypeVar("Answer")
Told = Callable[[int], None]  # hears of bytes that have come, and may raise


@dataclass(frozen=True)
class Remote:
    name: str
    size: int
    tag: str = ""
    sha256: str = ""  # where the source says it


@dataclass(frozen=True)
class Listing:
    """`revision`: the commit that was looked at. `reference`: the file itself, where it is to stay."""

    files: list[Remote]
    fetch: Callable[[Remote, Path, Told], None]
    revision: str = ""
    reference: Callable[[Remote], Path] | None = None


def listed(source: str, *, reference: bool = False) -> Listing:
    """Raises Invalid, NotFound, Unavailable or JobFailure."""
    kind = source.partition(":")[0]
    if kind == "file":
        return _folder(source, reference=reference)
    return {"s3": _bucket, "hf": _hub, "upload": _upload}[kind](source)


def _folder(source: str, *, reference: bool) -> Listing:
    # Copies, unless links are wished: what is inspected is then what is stored, whoever writes there meanwhile.
    origin = base_sources.folder(source)
    taken = base_sources.files_of(origin)
    files = [Remote(name, path.stat().st_size, _stamp(path)) for name, path in taken.items()]
    others = [Remote(path.name, 0) for path in origin.iterdir() if path.name not in taken]

    def fetch(one: Remote, target: Path, told: Told) -> None:
        shutil.copyfile(taken[one.name], target)
        told(one.size)

    return Listing(files + others, fetch, reference=(lambda one: taken[one.name].resolve()) if reference else None)


def _stamp(path: Path) -> str:
    seen = path.stat()
    return f"{seen.st_size}-{seen.st_mtime_ns}-{seen.st_ino}"


def _bucket(source: str) -> Listing:
    name, prefix = base_sources.bucket(source)
    with _reached():
        files = [Remote(entry.key, entry.size, entry.tag) for entry in sources.entries(name, prefix)]

    def fetch(one: Remote, target: Path, told: Told) -> None:
        with _reached():
            sources.fetch(name, prefix, one.name, target, told=told)

    return Listing(sorted(files, key=lambda one: one.name), fetch)


@contextmanager
def _reached() -> Iterator[None]:
    """A bucket that is away takes a try; our own store would only make the job wait."""
    try:
        yield
    except Unavailable as error:
        raise JobFailure(
            FailureClass.INFRASTRUCTURE, "source_unavailable", error.message, param="source"
        ) from error


def _upload(source: str) -> Listing:
    files = uploads.uploaded(base_sources.uploaded(source) or "")

    def fetch(one: Remote, target: Path, told: Told) -> None:
        artifacts.fetch_file(files[one.name].sha256, target)
        told(one.size)

    return Listing([Remote(name, file.size) for name, file in sorted(files.items())], fetch)


# The Hugging Face Hub ----------------------------------------------------------------------------------


def _hub(source: str) -> Listing:
    # Here only: the Hub's client is not needed for anything else, and imports slowly.
    from huggingface_hub import HfApi, hf_hub_download  # noqa: PLC0415

    repo, wished = base_sources.hub(source)
    if not base_sources.remote_roots("hf"):
        raise _offline(repo, "PLETHORA_BASE_ROOTS names no hf:// root")
    api = HfApi(endpoint=settings.HF_ENDPOINT)
    info = _asked(repo, lambda: api.model_info(repo, revision=wished, files_metadata=True))
    revision = info.sha or wished or "main"

    def fetch(one: Remote, target: Path, told: Told) -> None:
        # The commit that was looked at, so that a push in between changes nothing.
        local, endpoint = target.parent, settings.HF_ENDPOINT
        _asked(
            repo,
            lambda: hf_hub_download(repo, one.name, revision=revision, local_dir=local, endpoint=endpoint),
        )
        shutil.rmtree(target.parent / ".cache", ignore_errors=True)
        told(one.size)

    files = sorted((_sibling(file) for file in info.siblings or []), key=lambda one: one.name)
    return Listing(files, fetch, revision)


def _sibling(file: Any) -> Remote:
    sha256 = str(file.lfs.sha256) if file.lfs else ""
    return Remote(file.rfilename, file.size or 0, sha256 or file.blob_id or "", sha256)


def _asked(repo: str, ask: Callable[[], Answer]) -> Answer:
    """What the Hub answers, its many errors turned into three."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled  # noqa: PLC0415

    try:
        return ask()
    except OfflineModeIsEnabled as error:
        raise _offline(repo, "HF_HUB_OFFLINE is set") from error
    except (HfHubHTTPError, HFValidationError) as error:
        raise _refused(repo, error) from error
    except Exception as error:  # its HTTP library's errors, and which library that is changes
        text = (
            f"The Hub can't be reached for {repo}: {error}; retry, or copy the files to a folder and use file://."
        )
        raise JobFailure(FailureClass.INFRASTRUCTURE, "hub_unreachable", text, param="source") from error


def _offline(repo: str, why: str) -> JobFailure:
    text = f"This worker may not reach the Hub ({why}); copy {repo} to a folder and use file://."
    return JobFailure(FailureClass.USER, "hub_offline", text, param="source")


def _refused(repo: str, error: Exception) -> JobFailure:
    """A refusal is the request's fault; a failure of the Hub's own passes."""
    text = f"The Hub refused {repo}: {str(error).strip().splitlines()[0]}"
    status = getattr(getattr(error, "response", None), "status_code", 400)
    failure = FailureClass.INFRASTRUCTURE if status >= 500 or status == 429 else FailureClass.USER
    return JobFailure(failure, "hub_refused", text, param="source")
