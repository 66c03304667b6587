"""Files that came with a request, as services take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile

from registry.errors import Invalid

MOST_FILES = 100


@contextmanager
def received(uploads: Sequence[UploadedFile[Any]], field: str) -> Iterator[dict[str, Path]]:
    """The uploads of one field as files, by name; gone when the block ends. Raises Invalid where there is none."""
    if not uploads or len(uploads) > MOST_FILES:
        text = f"Send 1 to {MOST_FILES} files as multipart/form-data in the field '{field}'."
        raise Invalid.at(field, "required", text)
    with TemporaryDirectory(prefix="upload-") as folder:
        paths: dict[str, Path] = {}
        for index, upload in enumerate(uploads):
            name = _name(upload.name, field, paths)
            own = Path(folder) / str(index)
            own.mkdir()
            paths[name] = _path(upload, own / name[-60:])  # by its name: what is wrong with it is said of that
        yield paths


def _name(name: str | None, field: str, taken: dict[str, Path]) -> str:
    if not name or name in taken or not name.isprintable():
        text = f"Each file of '{field}' needs a name of its own."
        raise Invalid.at(field, "bad_name", text)
    return name


def _path(upload: UploadedFile[Any], target: Path) -> Path:
    """A large one lies on the disk already, and isn't written once more."""
    if isinstance(upload, TemporaryUploadedFile):
        upload.seek(0)  # what Python still holds goes to the disk
        target.symlink_to(upload.temporary_file_path())
        return target
    with target.open("wb") as out:
        for block in upload.chunks():
            out.write(block)
    return target
