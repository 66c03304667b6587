"""Where a base version may come from, and what of it we take.

file:///dir            below PLETHORA_BASE_ROOTS, links resolved
s3://bucket/prefix     with the installation's own S3 credentials; below PLETHORA_BASE_ROOTS if it names any
hf://org/repo@revision from the Hugging Face Hub, if PLETHORA_BASE_ROOTS names it (hf:// is all of it)
upload:{id}            the files at the top of a complete upload
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

from django.conf import settings

from registry.errors import Invalid

HF = re.compile(r"hf://(?P<repo>[\w.-]{1,96}/[\w.-]{1,96})(@(?P<revision>[\w./-]{1,200}))?")
FORMS = "file:///folder, s3://bucket/prefix, hf://org/repo@revision or upload:{id}"
TAKEN = re.compile(
    r"config\.json|generation_config\.json|[\w.-]+\.safetensors|[\w.-]+\.safetensors\.index\.json|tokenizer[\w.-]*\.json"
    r"|tokenizer\.model|special_tokens_map\.json|added_tokens\.json|vocab\.json|vocab\.txt|merges\.txt|chat_template\.(json|jinja)"
)
PICKLE = re.compile(r".*\.(bin|pt|pth|ckpt|pkl|pickle)", re.IGNORECASE)


def check(source: str, *, reference: bool = False) -> None:
    """Raises Invalid, naming `source` and what to write instead."""
    scheme = source.partition("://")[0]
    if reference and scheme != "file":
        text = "Only the files of a folder (file:///folder) can stay where they are; leave out reference."
        raise Invalid(text, param="reference", code="not_local")
    if scheme == "file":
        folder(source)
    elif scheme == "hf":
        _require_root(f"hf://{hub(source)[0]}")
    elif scheme == "s3":
        bucket(source)
        _require_root(source)
    elif uploaded(source) is not None:
        return  # whose it is and what it holds, `base_models.add_version` asks
    else:
        _refuse(f"{source[:200]!r} is no source; write {FORMS}.")


def folder(source: str) -> Path:
    """The folder that a file:// source names, below a root of PLETHORA_BASE_ROOTS once links are resolved."""
    parts = _split(source)
    text = unquote(parts.path)
    if parts.netloc or not text.startswith("/") or "\0" in text:
        _refuse("A file source is an absolute folder of the server: file:///folder.")
    try:
        path = Path(text).resolve()
    except (OSError, RuntimeError):
        _refuse(f"{text} can't be followed: a loop of links?")
    if not _below_roots(path):
        roots = ", ".join(map(str, settings.BASE_ROOTS))
        _refuse(f"{path} is not below {roots}; move it there, or add its root to PLETHORA_BASE_ROOTS.")
    if not _is_folder(path):
        _refuse(f"There is no folder {path} on this server that we can read.", code="source_missing")
    return path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, or a folder on the way that is closed to us
        return False


def files_of(path: Path) -> dict[str, Path]:
    """The files of a local base model that we take, by name. Raises Invalid on links that leave the roots."""
    taken = {}
    for file in sorted(path.iterdir()):
        if not file.is_file() or not TAKEN.fullmatch(file.name):
            continue
        if file.is_symlink() and not _below_roots(file.resolve()):
            _refuse(f"{file.name} links to {file.resolve()}, outside PLETHORA_BASE_ROOTS; copy the file instead.")
        taken[file.name] = file
    return taken


def check_files(names: set[str]) -> None:
    """Raises Invalid unless these are the files of a base model that holds no pickle."""
    if not any(name.endswith(".safetensors") for name in names):
        pickled = sorted(name for name in names if PICKLE.fullmatch(name))
        if pickled:
            text = f"{pickled[0]} holds pickled weights, which run code when loaded; save it as safetensors"
            _refuse(f"{text} (model.save_pretrained(folder)).", code="pickle_refused")
        _refuse("There is no .safetensors file at the source.", code="weights_missing")
    for needed in ("config.json", "tokenizer.json"):
        if needed not in names:
            _refuse(f"There is no {needed} at the source; a base model needs it.", code="file_missing")


def hub(source: str) -> tuple[str, str | None]:
    """Repository and revision of an hf:// source."""
    found = HF.fullmatch(source)
    if found is None or ".." in source:
        _refuse(f"{source[:200]!r} is no Hub address; write hf://org/repo@revision.")
    return found["repo"], found["revision"]


def uploaded(source: str) -> str | None:
    """The id that an upload: source names; None where it is of another kind."""
    return source.removeprefix("upload:") if source.startswith("upload:") else None


def bucket(source: str) -> tuple[str, str]:
    """Bucket and prefix of an s3:// source."""
    parts = _split(source)
    if not parts.netloc or not parts.path.strip("/"):
        _refuse(f"{source[:200]!r} is no S3 address; write s3://bucket/prefix.")
    return parts.netloc, parts.path


def _split(source: str) -> SplitResult:
    try:
        return urlsplit(source)
    except ValueError:
        _refuse(f"{source[:200]!r} can't be read as an address; write {FORMS}.")


def remote_roots(scheme: str) -> list[str]:
    """The roots of PLETHORA_BASE_ROOTS that are not on this machine: s3 or hf."""
    return [root for root in settings.REMOTE_BASE_ROOTS if root.startswith(f"{scheme}://")]


def _require_root(address: str) -> None:
    """Where the settings name buckets (or parts of the Hub), others are refused."""
    below, roots = f"{address.rstrip('/')}/", remote_roots(address.partition("://")[0])
    if roots and not any(below.startswith(f"{root.rstrip('/')}/") for root in roots):
        text = f"{address} is not below a root of PLETHORA_BASE_ROOTS; an operator may add it there."
        _refuse(text, code="source_not_allowed")


def _below_roots(path: Path) -> bool:
    return any(path.is_relative_to(root) for root in settings.BASE_ROOTS)


def _refuse(message: str, *, code: str = "bad_source") -> NoReturn:
    raise Invalid(message, param="source", code=code)
