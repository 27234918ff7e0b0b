"""The objects of a bucket: found, listed, read and written, each request with patience.

A large object is read in ranges of one version, and written in parts that nobody sees before the
last; a few at a time are held.
"""

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from tokensieve.addresses import S3Address
from tokensieve.errors import DamagedError, ServiceError
from tokensieve.storage.hashing import changed, file_sha256, sha256_hex
from tokensieve.storage.s3_connection import Answer, Request, S3Connection
from tokensieve.storage.s3_errors import code, status
from tokensieve.storage.s3_upload import AT_ONCE, Condition, Upload, checksum, held

PART_BYTES = 16 * 2**20
"""Of a large object. What is not larger is written in one request."""
IF_ABSENT: Condition = {"IfNoneMatch": "*"}

_SHA256 = "sha256"
_MOST_PARTS = 10_000
_MOST_UPLOADS = 3
_NEXT_PAGE = {
    "NextContinuationToken": "ContinuationToken",
    "NextKeyMarker": "KeyMarker",
    "NextUploadIdMarker": "UploadIdMarker",
}


class ReplacedError(DamagedError):
    """An object was replaced or removed while it was read."""


@dataclass(frozen=True)
class Found:
    """An object as it was found."""

    num_bytes: int
    etag: str
    """Changes whenever the content changes."""
    sha256: str | None = None
    """Of its bytes, if it was written by `put_file`."""


@dataclass(frozen=True)
class S3Bucket:
    """A bucket and how its store is reached: a recipe without secrets."""

    name: str
    connection: S3Connection

    def place(self, key: str) -> str:
        """Return the address of `key`."""
        return str(S3Address(self.name, key))

    def found(self, key: str) -> Found | None:
        """Return the size and version of `key`, or None if it does not exist."""

        async def head(client: Any) -> Found | None:
            try:
                answer = await client.head_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if status(error) != 404:
                    raise
                return None
            return Found(answer["ContentLength"], answer["ETag"], answer["Metadata"].get(_SHA256))

        return self._answer(head, key, "s3:GetObject")

    def read(self, key: str) -> bytes | None:
        """Return the bytes of `key`, or None if it does not exist."""

        async def get(client: Any) -> bytes | None:
            try:
                return await _body(client.get_object(Bucket=self.name, Key=key))
            except ClientError as error:
                if code(error) != "NoSuchKey":
                    raise
                return None

        return self._answer(get, key, "s3:GetObject")

    def read_range(self, key: str, start: int, end: int, etag: str | None = None) -> bytes:
        """Return the bytes of `key` from `start` to before `end`, which are known to be there.

        Raises ReplacedError if they are not, or `key` is not of the version `etag`.
        """
        return self._answer(self._range(key, start, end, etag), key, "s3:GetObject")

    def blocks(self, key: str, found: Found) -> Iterator[bytes]:
        """Return the bytes of `key` as it was found, in order, of which little is held at a time.

        Raises ReplacedError if it was replaced or removed since, DamagedError after the last one if
        they are not those that were written.
        """
        blocks = self._blocks(key, found)
        return self._checked(blocks, key, found.sha256) if found.sha256 else blocks

    def put(self, key: str, data: bytes, condition: Condition) -> bool:
        """Write `key` in one request; return whether the condition held.

        If it did not, what stands there may still be ours: of a write whose answer was lost.
        """

        async def put(client: Any) -> bool:
            given = {"Bucket": self.name, "Key": key, **condition}
            return await held(client.put_object(Body=data, **checksum(sha256_hex(data)), **given))

        return self._answer(put, key, "s3:PutObject")

    def put_file(self, key: str, path: Path, condition: Condition) -> bool:
        """Write `key` with the bytes of a closed file of 5 GB at most, like `put`.

        In one request: not every store knows a condition other than absence for one in parts.
        """
        sha256 = file_sha256(path)

        async def put(client: Any) -> bool:
            given = {"Bucket": self.name, "Key": key, "Metadata": {_SHA256: sha256}, **condition}
            with path.open("rb") as file:
                return await held(client.put_object(Body=file, **checksum(sha256), **given))

        return self._answer(put, key, "s3:PutObject", path.stat().st_size)

    def upload(self, key: str, path: Path, condition: Condition) -> bool:
        """Write `key` with the bytes of a closed file of any size, like `put`."""
        size = path.stat().st_size
        if size <= PART_BYTES:
            return self.put(key, path.read_bytes(), condition)
        part_bytes = max(PART_BYTES, -(-size // _MOST_PARTS))
        for _ in range(_MOST_UPLOADS):
            with path.open("rb") as file:
                parts = iter(partial(file.read, part_bytes), b"")
                is_written = self.put_parts(key, parts, condition)
            if is_written is not None:
                return is_written
        raise ServiceError(
            f"{self.place(key)}: its upload was removed {_MOST_UPLOADS} times before it was "
            "complete. See what removes it, then run the same command again."
        )

    def put_parts(self, key: str, parts: Iterator[bytes], condition: Condition) -> bool | None:
        """Write `key` in parts, like `put`; return None if its upload was removed meanwhile.

        All parts but the last have to be of one size, of 5 MiB at least.
        """
        upload = Upload(self.connection, self.name, key)
        return self.connection.wait_for(partial(upload.send, parts, condition))

    def abort_upload(self, key: str, id: str) -> None:
        """Remove the parts of an upload that was never completed, if there are any."""
        upload = Upload(self.connection, self.name, key)
        self.connection.wait_for(partial(upload.abort, id))

    def remove(self, key: str) -> None:
        """Remove `key` if it exists."""

        async def delete(client: Any) -> None:
            await client.delete_object(Bucket=self.name, Key=key)

        self._answer(delete, key, "s3:DeleteObject")

    def objects(self, prefix: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Yield the pages of a listing of what begins with `prefix`, as the store answers them."""
        return self._pages("list_objects_v2", "s3:ListBucket", {"Prefix": prefix, **arguments})

    def uploads(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Yield the pages of a listing of the uploads that were never completed."""
        action = "s3:ListBucketMultipartUploads"
        return self._pages("list_multipart_uploads", action, {"Prefix": prefix})

    def _pages(
        self, operation: str, action: str, arguments: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        more: dict[str, str] | None = {}
        while more is not None:
            given = {"Bucket": self.name, **arguments, **more}

            async def ask(client: Any, given: dict[str, Any] = given) -> dict[str, Any]:
                answer: dict[str, Any] = await getattr(client, operation)(**given)
                return answer

            page = self._answer(ask, arguments["Prefix"], action)
            yield page
            is_last = not page["IsTruncated"]
            more = None if is_last else {_NEXT_PAGE[n]: page[n] for n in _NEXT_PAGE if n in page}

    def _answer(
        self, request: Request[Answer], key: str, action: str, num_bytes: int = 0
    ) -> Answer:
        return self.connection.wait_for(
            partial(self.connection.ask, request, self.place(key), action, num_bytes)
        )

    def _blocks(self, key: str, found: Found) -> Iterator[bytes]:
        stride = PART_BYTES * AT_ONCE
        for start in range(0, found.num_bytes, stride):
            end = min(start + stride, found.num_bytes)
            yield from self.connection.wait_for(partial(self._ranges, key, start, end, found.etag))

    def _checked(self, blocks: Iterator[bytes], key: str, sha256: str) -> Iterator[bytes]:
        hashed = hashlib.sha256()
        for block in blocks:
            hashed.update(block)
            yield block
        if hashed.hexdigest() != sha256:
            raise changed(self.place(key), sha256, hashed.hexdigest())

    async def _ranges(self, key: str, start: int, end: int, etag: str) -> list[bytes]:
        """Return some ranges that follow each other, asked for at once."""
        pieces = [
            self.connection.ask(
                self._range(key, first, min(first + PART_BYTES, end), etag),
                self.place(key),
                "s3:GetObject",
            )
            for first in range(start, end, PART_BYTES)
        ]
        return await asyncio.gather(*pieces)

    def _range(self, key: str, start: int, end: int, etag: str | None) -> Request[bytes]:
        async def get(client: Any) -> bytes:
            pinned = {} if etag is None else {"IfMatch": etag}
            given = {"Bucket": self.name, "Key": key, "Range": f"bytes={start}-{end - 1}"}
            try:
                return await _body(client.get_object(**given, **pinned))
            except ClientError as error:
                if status(error) not in (404, 412, 416) or code(error) == "NoSuchBucket":
                    raise
            raise ReplacedError(
                f"{self.place(key)}: is missing, or was replaced while it was read."
            )

        return get


async def _body(request: Any) -> bytes:
    """Return the whole body of an answer."""
    async with (await request)["Body"] as body:
        data: bytes = await body.read()
    return data
