"""Objects on S3 that others own: found, listed, and read as they were when they were found.

Every read is on the condition that the object still has the ETag it was found with. So what comes
of several reads, of whichever machine, is always from one content.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from tokensieve.addresses import s3_address
from tokensieve.errors import InputError, SettingsError
from tokensieve.settings.groups import S3Settings
from tokensieve.storage.s3_bucket import Found, ReplacedError, S3Bucket
from tokensieve.storage.s3_connection import S3Connection

_FIRST_BYTES = 64 << 10
_MOST_BYTES = 8 << 20


@dataclass(frozen=True)
class S3Object:
    """An object as it was found: a recipe to read it from any machine, not a connection."""

    bucket: S3Bucket
    key: str
    found: Found

    def __str__(self) -> str:
        """Return its address."""
        return f"s3://{self.bucket.name}/{self.key}"

    @property
    def name(self) -> str:
        """Return the last part of its address."""
        return self.key.rpartition("/")[2]

    @property
    def num_bytes(self) -> int:
        """Return its size."""
        return self.found.num_bytes

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end`, which is above `start` and within the object.

        Raises InputError if the object was replaced or removed, or may not be read; ServiceError if
        the store does not answer.
        """
        with _given(self):
            return self.bucket.read_range(self.key, start, end, self.found.etag)


@dataclass(frozen=True)
class Listing:
    """What lies below an address, without the empty objects that stand for folders."""

    files: list[S3Object]
    """By key."""
    folders: list[str]
    """Their names, if they were not gone through."""


@dataclass(frozen=True)
class Written:
    """What lies below an address, and when it was written, in seconds since 1970."""

    objects: list[tuple[S3Object, float]]
    """By key; without the empty objects that stand for folders."""
    now: float
    """The time by the clock of the store, which has set the others too."""


def find_object(address: str, s3: S3Settings) -> S3Object | None:
    """Return the object at an address, or None if there is none.

    Raises SettingsError if that can be no address, InputError and ServiceError as `S3Object.read`.
    """
    bucket, key = _bucket(address, s3)
    if not key or address.endswith("/"):
        return None
    with _given(address):
        found = bucket.found(key)
    return None if found is None else S3Object(bucket, key, found)


def list_objects(address: str, s3: S3Settings, into_folders: bool) -> Listing:
    """Return what lies below an address, of which no more than names and sizes are read.

    Raises as `find_object`.
    """
    bucket, prefix = _bucket(address, s3)
    delimiter = {} if into_folders else {"Delimiter": "/"}
    listing = Listing([], [])
    with _given(address):
        below = f"{prefix}/" if prefix else ""
        for page in bucket.objects(below, **delimiter):
            _add(listing, bucket, page)
    return listing


def list_written(address: str, s3: S3Settings) -> Written:
    """Return everything below an address, and when it was written. Raises as `find_object`."""
    bucket, prefix = _bucket(address, s3)
    objects: list[tuple[S3Object, float]] = []
    now = 0.0
    with _given(address):
        for page in bucket.objects(f"{prefix}/" if prefix else ""):
            now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
            listing = Listing([], [])
            _add(listing, bucket, page)
            times = {each["Key"]: each["LastModified"] for each in page.get("Contents", [])}
            objects += [(each, times[each.key].timestamp()) for each in listing.files]
    return Written(objects, now)


def _bucket(address: str, s3: S3Settings) -> tuple[S3Bucket, str]:
    """Return the bucket of an address, and the rest of it."""
    try:
        name, key = s3_address(address)
    except SettingsError as error:
        raise SettingsError(f"an address of an input {error}.") from None
    return S3Bucket(name, S3Connection(s3)), key


def _add(listing: Listing, bucket: S3Bucket, page: dict[str, Any]) -> None:
    for each in page.get("CommonPrefixes", []):
        listing.folders.append(each["Prefix"].rstrip("/").rpartition("/")[2])
    for each in page.get("Contents", []):
        is_marker = each["Key"].endswith("/") and each["Size"] == 0
        if not is_marker:
            listing.files.append(S3Object(bucket, each["Key"], Found(each["Size"], each["ETag"])))


@contextmanager
def _given(place: object) -> Iterator[None]:
    """Turn what the storage of workspaces says of a place into what to say of an input."""
    try:
        yield
    except ReplacedError:
        raise InputError(
            f"{place}: changed since the run was planned: it was replaced or removed. Run the same "
            "command again to plan anew; inputs may not change while a run reads them."
        ) from None
    except SettingsError as error:
        raise InputError(str(error)) from None


class ObjectFile(io.RawIOBase):
    """An object as a file to be read. Read on without a jump, it asks for more each time."""

    def __init__(self, found: S3Object) -> None:
        """Begin at the first byte; nothing is read yet."""
        self._object = found
        self._position = 0
        self._block = memoryview(b"")
        self._block_start = 0
        self._block_size = _FIRST_BYTES

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position; return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._object.num_bytes}
        self._position = max(0, base[whence] + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as what was read ahead goes; return how many bytes that were."""
        view = memoryview(buffer).cast("B")
        if self._position >= self._object.num_bytes or not view:
            return 0
        if not 0 <= self._position - self._block_start < len(self._block):
            self._read_block(len(view))
        inside = self._block[self._position - self._block_start :][: len(view)]
        view[: len(inside)] = inside
        self._position += len(inside)
        return len(inside)

    def _read_block(self, wanted: int) -> None:
        """Read a block from the position on: twice the last one if it follows that."""
        goes_on = self._position == self._block_start + len(self._block)
        size = 2 * self._block_size if goes_on else _FIRST_BYTES
        self._block_size = min(max(size, wanted), _MOST_BYTES)
        self._block = memoryview(b"")  # one at a time is held
        end = min(self._position + self._block_size, self._object.num_bytes)
        self._block = memoryview(self._object.read(self._position, end))
        self._block_start = self._position
