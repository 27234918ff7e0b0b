"""Writing an object in parts, of which nothing is visible before all of them are complete."""

import asyncio
import base64
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from botocore.exceptions import ClientError

from tokensieve.addresses import S3Address
from tokensieve.errors import TokensieveError
from tokensieve.storage.hashing import sha256_hex
from tokensieve.storage.s3_connection import Answer, Request, S3Connection
from tokensieve.storage.s3_errors import code, status

AT_ONCE = 4
"""Parts or ranges of an object that are on their way, and held, at a time."""

Condition = dict[str, str]
"""What has to be true of a key when it is written, in the words of the store's API."""

Part = dict[str, Any]
"""What an upload is completed with for each part."""


@dataclass(frozen=True)
class Upload:
    """An object that is to be written in parts."""

    connection: S3Connection
    bucket: str
    key: str

    async def send(self, parts: Iterator[bytes], condition: Condition) -> bool | None:
        """Return whether the condition held when the parts became the object.

        None: others removed the upload, and nothing stands under the key. Whatever goes wrong, the
        parts are removed.
        """
        upload = await self._ask(self._begin, "s3:PutObject")
        is_written: bool | None = False
        try:
            sent = await self._send_parts(upload, parts)
            is_written = await self._ask(self._complete(upload, sent, condition), "s3:PutObject")
        finally:
            if not is_written:
                with suppress(TokensieveError):  # something else is the news, and gc finds them
                    await self.abort(upload)
        return is_written

    async def abort(self, upload: str) -> None:
        """Remove the parts of the upload with this id, if there are any."""

        async def abort(client: Any) -> None:
            try:
                await client.abort_multipart_upload(**self._object, UploadId=upload)
            except ClientError as error:
                if code(error) != "NoSuchUpload":
                    raise

        await self._ask(abort, "s3:AbortMultipartUpload")

    async def _begin(self, client: Any) -> str:
        answer = await client.create_multipart_upload(**self._object, ChecksumAlgorithm="SHA256")
        return str(answer["UploadId"])

    async def _send_parts(self, upload: str, parts: Iterator[bytes]) -> list[Part]:
        numbers, sent = count(1), list[Part]()
        while batch := list(islice(parts, AT_ONCE)):
            requests = [self._send_part(upload, next(numbers), data) for data in batch]
            num_bytes = sum(map(len, batch))  # they share the line
            sent += await asyncio.gather(
                *(self._ask(each, "s3:PutObject", num_bytes) for each in requests)
            )
        return sent

    def _send_part(self, upload: str, number: int, data: bytes) -> Request[Part]:
        checked = checksum(sha256_hex(data))

        async def send(client: Any) -> Part:
            named = {"UploadId": upload, "PartNumber": number}
            answer = await client.upload_part(Body=data, **self._object, **named, **checked)
            return {"PartNumber": number, "ETag": answer["ETag"], **checked}

        return send

    def _complete(
        self, upload: str, sent: list[Part], condition: Condition
    ) -> Request[bool | None]:
        async def complete(client: Any) -> bool | None:
            named = {"UploadId": upload, "MultipartUpload": {"Parts": sent}}
            try:
                return await held(
                    client.complete_multipart_upload(**self._object, **named, **condition)
                )
            except ClientError as error:
                if code(error) != "NoSuchUpload":
                    raise
            return await self._stands_there(client)

        return complete

    async def _stands_there(self, client: Any) -> bool | None:
        """Return what an upload that is no more came to: False if the key exists, else None.

        It may be ours all the same, of an answer that was lost.
        """
        try:
            await client.head_object(**self._object)
        except ClientError as error:
            if status(error) != 404:
                raise
            return None
        return False

    @property
    def _object(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key}

    async def _ask(self, request: Request[Answer], action: str, num_bytes: int = 0) -> Answer:
        place = str(S3Address(self.bucket, self.key))
        return await self.connection.ask(request, place, action, num_bytes)


async def held(request: Any) -> bool:
    """Return whether the condition of a write held."""
    try:
        await request
    except ClientError as error:
        if status(error) == 412 or code(error) == "NoSuchKey":  # wanted there, and nothing is
            return False
        raise
    return True


def checksum(sha256: str) -> dict[str, str]:
    """Return what lets the store refuse bytes that were damaged on their way."""
    return {"ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode()}
