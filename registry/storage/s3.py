"""Objects in an S3 bucket: the only user of boto3."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from registry.storage.store import Entry, Full, Missing, StoreError

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, PartTypeDef

ONE_PART = 64 * 1024 * 1024
BLOCK = 1024 * 1024
# Up to 5 GiB can be copied at once; parts keep each request short, and the store copies several at a time.
COPIES = TransferConfig(multipart_threshold=8 * ONE_PART, multipart_chunksize=4 * ONE_PART)


class S3Store:
    """Each object carries its sha256 as metadata and, up to 64 MiB, as the checksum S3 itself verifies."""

    def __init__(self, bucket: str, prefix: str, endpoint: str) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        config = Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"max_attempts": 4, "mode": "standard"},
            s3={"addressing_style": "path" if endpoint else "auto"},
            # Servers that are not AWS know no CRC trailers; our own digest travels in the signature.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            signature_version="s3v4",
        )
        self.client: S3Client = boto3.client("s3", endpoint_url=endpoint or None, config=config)

    def put(self, key: str, source: Path, *, sha256: str) -> None:
        size = source.stat().st_size
        if self.size(key) == size:
            return
        try:
            if size <= ONE_PART:
                self._put_whole(key, source, sha256)
            else:
                extra = {"Metadata": {"sha256": sha256}}
                self.client.upload_file(str(source), self.bucket, self.prefix + key, ExtraArgs=extra)
        except (ClientError, BotoCoreError) as error:
            raise _translated(error, f"write {key}") from error

    def _put_whole(self, key: str, source: Path, sha256: str) -> None:
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        with source.open("rb") as body:
            self.client.put_object(
                Bucket=self.bucket,
                Key=self.prefix + key,
                Body=body,
                Metadata={"sha256": sha256},
                ChecksumSHA256=checksum,
            )

    def open(self, key: str) -> BinaryIO:
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)
        except (ClientError, BotoCoreError) as error:
            raise _translated(error, f"read {key}") from error
        return cast(BinaryIO, _Body(answer["Body"], key))

    def size(self, key: str) -> int | None:
        try:
            return int(self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)["ContentLength"])
        except (ClientError, BotoCoreError) as error:
            translated = _translated(error, f"look up {key}")
            if isinstance(translated, Missing):
                return None
            raise translated from error

    def delete(self, key: str) -> None:
        try:
            self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)
        except (ClientError, BotoCoreError) as error:
            raise _translated(error, f"delete {key}") from error

    def keys(self, prefix: str) -> Iterator[str]:
        for entry in self.entries(prefix):
            yield entry.key

    def entries(self, prefix: str) -> Iterator[Entry]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.prefix + prefix
        )
        try:
            for page in pages:
                for entry in page.get("Contents", []):
                    key, tag = entry["Key"][len(self.prefix) :], entry.get("ETag", "")
                    yield Entry(key, entry["Size"], entry["LastModified"], tag)
        except (ClientError, BotoCoreError) as error:
            raise _translated(error, f"list {prefix or 'the bucket'}") from error

    def presign(self, key: str, *, filename: str, seconds: int) -> str | None:
        safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in filename)
        params: dict[str, Any] = {
            "Bucket": self.bucket,
            "Key": self.prefix + key,
            "ResponseContentDisposition": f'attachment; filename="{safe}"',
        }
        return self.client.generate_presigned_url("get_object", Params=params, ExpiresIn=seconds)

    # In parts ------------------------------------------------------------------------------------------

    def begin(self, key: str) -> str:
        with _reaching(f"begin an upload of {key}"):
            return self.client.create_multipart_upload(Bucket=self.bucket, Key=self.prefix + key)["UploadId"]

    def sign_part(self, key: str, upload: str, number: int, *, size: int, seconds: int) -> str | None:
        # The length is signed, so that nobody stores more than they said.
        params = {**self._at(key), "UploadId": upload, "PartNumber": number, "ContentLength": size}
        return self.client.generate_presigned_url("upload_part", Params=params, ExpiresIn=seconds)

    def put_part(self, key: str, upload: str, number: int, source: Path) -> None:
        with _reaching(f"take part {number} of {key}"), source.open("rb") as body:
            self.client.upload_part(
                Bucket=self.bucket, Key=self.prefix + key, UploadId=upload, PartNumber=number, Body=body
            )

    def parts(self, key: str, upload: str) -> dict[int, int]:
        return {part["PartNumber"]: part["Size"] for part in self._listed(key, upload)}

    def finish(self, key: str, upload: str) -> None:
        if self.size(key) is not None:
            return
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in self._listed(key, upload)
        ]
        try:
            with _reaching(f"put {key} together"):
                self.client.complete_multipart_upload(
                    Bucket=self.bucket,
                    Key=self.prefix + key,
                    UploadId=upload,
                    MultipartUpload={"Parts": sorted(parts, key=itemgetter("PartNumber"))},
                )
        except Missing:  # another one was first?
            if self.size(key) is None:
                raise

    def adopt(self, source: str, target: str, *, sha256: str) -> bool:
        with _reaching(f"copy {source}"):
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + source)
            sha = hashlib.sha256()
            with _Body(answer["Body"], source) as body:
                while block := body.read(BLOCK):
                    sha.update(block)
            if sha.hexdigest() != sha256:
                return False
            # What was hashed, and no other object that came under the key meanwhile.
            same: dict[str, Any] = {"CopySourceIfMatch": answer["ETag"]}
            extra = {**same, "Metadata": {"sha256": sha256}, "MetadataDirective": "REPLACE"}
            origin: Any = self._at(source)
            self.client.copy(origin, self.bucket, self.prefix + target, ExtraArgs=extra, Config=COPIES)
        if self.size(target) != answer["ContentLength"]:
            raise StoreError(f"The S3 store copied {source} to {target} in another size.")
        return True

    def abort(self, key: str, upload: str) -> None:
        with suppress(Missing), _reaching(f"abort the upload of {key}"):
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.prefix + key, UploadId=upload)

    def begun(self, prefix: str) -> Iterator[tuple[str, str]]:
        pages = self.client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.bucket, Prefix=self.prefix + prefix
        )
        with _reaching(f"list the uploads below {prefix}"):
            for page in pages:
                for entry in page.get("Uploads", []):
                    yield entry["Key"][len(self.prefix) :], entry["UploadId"]

    def _listed(self, key: str, upload: str) -> list[PartTypeDef]:
        pages = self.client.get_paginator("list_parts").paginate(
            Bucket=self.bucket, Key=self.prefix + key, UploadId=upload
        )
        with _reaching(f"list the parts of {key}"):
            return [part for page in pages for part in page.get("Parts", [])]

    def _at(self, key: str) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": self.prefix + key}

    def create_bucket(self) -> None:
        """Make the bucket where it is missing; harmless if it exists."""
        try:
            self.client.head_bucket(Bucket=self.bucket)
        except ClientError:
            self.client.create_bucket(Bucket=self.bucket)


class _Body:
    """An object's stream, whose connection may be cut in the middle."""

    def __init__(self, stream: StreamingBody, key: str) -> None:
        self._stream, self._key = stream, key

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(None if size < 0 else size)
        except (ClientError, BotoCoreError) as error:
            raise _translated(error, f"read {self._key} to its end") from error

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> _Body:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _reaching(act: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise _translated(error, act) from error


def _translated(error: Exception, act: str) -> StoreError:
    code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
    if code in {"404", "NoSuchKey", "NoSuchUpload", "NotFound"}:
        return Missing(f"The store has no such object (to {act}).")
    if code in {"507", "InsufficientStorage", "QuotaExceeded"}:
        return Full("The S3 store has no room.")
    return StoreError(f"The S3 store could not {act}: {error}")
