"""A workspace below a prefix of a bucket: create-if-absent, verified read, probe.

Of two writers of one key the store lets one in, by the condition that the key is absent. A write
whose answer is lost is repeated under the same condition, so what is said to exist may be ours:
whoever creates a key and is told so compares what stands there, as with any other writer.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any

from tokensieve.addresses import S3Address
from tokensieve.errors import DamagedError, SettingsError
from tokensieve.settings.groups import S3Settings
from tokensieve.storage.cache import Cache, cache_home
from tokensieve.storage.disk import disk_errors
from tokensieve.storage.hashing import changed, sha256_hex
from tokensieve.storage.keys import KEY_PART, key_parts
from tokensieve.storage.listing import Leftover, StoredFile
from tokensieve.storage.locking import file_lock
from tokensieve.storage.probing import PROBE_PREFIX, is_probe, new_probe, removed_after
from tokensieve.storage.s3_bucket import IF_ABSENT, ReplacedError, S3Bucket
from tokensieve.storage.s3_connection import S3Connection
from tokensieve.storage.s3_upload import Condition
from tokensieve.storage.scratch import scratch_directory

_FIRST_CONTACT_SECONDS = 5.0
"""How long a store is waited for before anything has been done: the address may be wrong."""
_RIVALS = 8
"""Writers of one key at the same moment: some stores know the condition, but not that it races."""


@dataclass(frozen=True)
class S3Storage:
    """A prefix of a bucket in a store that honours conditional writes."""

    bucket: S3Bucket
    prefix: str

    def __str__(self) -> str:
        """Return the address."""
        return self.bucket.place(self.prefix)

    def place(self, key: str) -> str:
        """Return the address of `key`."""
        return self.bucket.place(self._name(key))

    def local(self, key: str) -> Path:
        """Return a copy of `key` in the cache of this machine, as it stands in the bucket now.

        Raises FileNotFoundError if it does not exist, ResourceError if there is no room for it.
        """
        name = self._name(key)
        while found := self.bucket.found(name):
            try:
                blocks = self.bucket.blocks(name, found)
                return self._cache().file(key, found.etag, found.num_bytes, blocks)
            except ReplacedError:
                continue  # there is a newer one
        raise FileNotFoundError(self.place(key))

    def exists(self, key: str) -> bool:
        """Return whether `key` has been created."""
        return self.bucket.found(self._name(key)) is not None

    def names(self, key: str) -> list[str]:
        """Return the sorted names directly below `key`; empty if there is none.

        For people and clean-up only: no decision about what is done may rest on a listing. The
        names that are seen through a mark which other programs take for a directory are among them.
        """
        below = f"{self._name(key)}/"
        found: set[str] = set()
        for page in self.bucket.objects(below, Delimiter="/"):
            found |= {each["Prefix"].rstrip("/") for each in page.get("CommonPrefixes", [])}
            found |= {each["Key"] for each in page.get("Contents", [])}
        return sorted(filter(KEY_PART.fullmatch, (each.removeprefix(below) for each in found)))

    def files(self, key: str) -> Iterator[StoredFile]:
        """Yield every object below `key` whose name can be a key; for clean-up only, as `names`."""
        return self._files(f"{self._name(key)}/")

    def leftovers(self) -> Iterator[Leftover]:
        """Yield the uploads that were never completed, and what checks wrote; living ones too.

        The size of an upload is not known.
        """
        for page in self.bucket.uploads(f"{self.prefix}/"):
            for each in page.get("Uploads", []):
                found = each["Key"].removeprefix(f"{self.prefix}/")
                yield Leftover(found, 0, _age(page, each["Initiated"]), handle=each["UploadId"])
        for file in self._files(f"{self.prefix}/{PROBE_PREFIX}", Delimiter="/"):
            if is_probe(file.key):
                yield Leftover(file.key, file.num_bytes, file.age, handle="")

    def discard(self, leftover: Leftover) -> None:
        """Remove the parts of an upload, or what a check wrote, if it is still there."""
        if leftover.handle:
            self.bucket.abort_upload(f"{self.prefix}/{leftover.key}", leftover.handle)
        else:
            self.remove(leftover.key)

    def create(self, key: str, data: bytes) -> bool:
        """Create `key` with `data` unless it exists; return whether this call surely created it.

        Raises ServiceError if the store does not answer, SettingsError if it refuses.
        """
        return self.bucket.put(self._name(key), data, IF_ABSENT)

    def create_from(self, key: str, ready: Path) -> bool:
        """Create `key` with the closed file `ready`, like `create`."""
        return self.bucket.upload(self._name(key), ready, IF_ABSENT)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a new directory beside the copies on this machine, removed at the end of the block.

        Those that killed processes left are removed first.
        """
        scratch = cache_home() / "scratch"
        with disk_errors(scratch, 0):
            scratch.mkdir(exist_ok=True)
        with scratch_directory(scratch) as directory:
            yield directory

    def remove(self, key: str) -> None:
        """Remove `key` if it exists. For what no document names, such as old checkpoints."""
        self.bucket.remove(self._name(key))

    def replace(self, key: str, ready: Path) -> None:
        """Put the closed file `ready` in the place of `key`, atomically. For derived files only."""
        self.bucket.upload(self._name(key), ready, {})

    def version(self, key: str) -> str | None:
        """Return what changes whenever the content of `key` does, or None if it does not exist."""
        found = self.bucket.found(self._name(key))
        return None if found is None else found.etag

    def replace_version(self, key: str, ready: Path, version: str | None) -> bool:
        """Replace `key` like `replace` if `version` still stands there; return whether it did.

        False is also the answer to a write of ours that was repeated.
        """
        condition: Condition = IF_ABSENT if version is None else {"IfMatch": version}
        return self.bucket.put_file(self._name(key), ready, condition)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Keep every other process of this machine that takes this lock waiting."""
        lock = self._cache().root / "locks" / key
        with disk_errors(lock, 0):
            lock.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(lock, self.place(key)):
            yield

    def replace_bytes(self, key: str, data: bytes) -> None:
        """Put `data` in the place of `key`, atomically. For derived files only."""
        self.bucket.put(self._name(key), data, {})

    def read(self, key: str) -> bytes | None:
        """Return the bytes of `key`, or None if it does not exist."""
        return self.bucket.read(self._name(key))

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Return the bytes of `key` from `start` to before `end`; DamagedError if it is missing."""
        return self.bucket.read_range(self._name(key), start, end)

    def read_verified(self, key: str, sha256: str) -> bytes:
        """Return the bytes of `key`; raise DamagedError if it is missing or its hash differs."""
        data = self.read(key)
        if data is None:
            raise DamagedError(f"{self.place(key)}: is missing.")
        if sha256_hex(data) != sha256:
            raise changed(self.place(key), sha256, sha256_hex(data))
        return data

    def verify(self, key: str, sha256: str) -> int:
        """Return the size of `key`, of which little is held at a time.

        Raises DamagedError if it is missing or its hash differs.
        """
        found = self.bucket.found(self._name(key))
        if found is None:
            raise DamagedError(f"{self.place(key)}: is missing.")
        hashed = hashlib.sha256()
        for block in self.bucket.blocks(self._name(key), found):
            hashed.update(block)
        if hashed.hexdigest() != sha256:
            raise changed(self.place(key), sha256, hashed.hexdigest())
        return found.num_bytes

    def probe(self) -> None:
        """Check that what a run does can be done here, and that the store arbitrates two writers.

        Raises SettingsError if not, ServiceError if the store does not answer. Once in a process.
        """
        _probe(self._at_first_contact())

    def check_is_there(self) -> None:
        """Raise SettingsError if nothing lies below the prefix."""
        first = self._at_first_contact().bucket.objects(f"{self.prefix}/", MaxKeys=1)
        if not next(first).get("Contents"):
            raise SettingsError(
                f"{self}: no workspace is there. Give the one of your run by --workspace."
            )

    def check_room(self, num_bytes: int) -> None:
        """Return: a store has no end that it tells of."""

    def _files(self, prefix: str, **arguments: str) -> Iterator[StoredFile]:
        """Yield every object with this prefix in the bucket whose name can be a key."""
        for page in self.bucket.objects(prefix, **arguments):
            for each in page.get("Contents", []):
                found = each["Key"].removeprefix(f"{self.prefix}/")
                if all(map(KEY_PART.fullmatch, found.split("/"))):
                    yield StoredFile(found, each["Size"], _age(page, each["LastModified"]))

    def _name(self, key: str) -> str:
        """Return what `key` is called in the bucket."""
        return "/".join((self.prefix, *key_parts(key)))

    def _cache(self) -> Cache:
        """Return the copies of this workspace, of whichever process."""
        endpoint = self.bucket.connection.settings.endpoint
        return Cache(cache_home() / sha256_hex(f"{endpoint} {self}".encode())[:16])

    def _at_first_contact(self) -> "S3Storage":
        connection = replace(self.bucket.connection, patience=_FIRST_CONTACT_SECONDS)
        return replace(self, bucket=replace(self.bucket, connection=connection))


def open_s3(address: S3Address, settings: S3Settings) -> S3Storage:
    """Return the workspace at an address, reached as the settings say."""
    return S3Storage(S3Bucket(address.bucket, S3Connection(settings)), address.prefix)


@cache
def _probe(storage: S3Storage) -> None:
    """Do everything once that a run does, on an object of its own."""
    bucket, key = storage.bucket, new_probe()
    name = f"{storage.prefix}/{key}"
    with removed_after(storage, [key]):
        with ThreadPoolExecutor(_RIVALS) as pool:
            rivals = [pool.submit(bucket.put, name, bytes([n]), IF_ABSENT) for n in range(_RIVALS)]
        winners = sum(rival.result() for rival in rivals)
        is_written_again = bucket.put(name, b"again", IF_ABSENT)
        is_written_in_parts = bucket.put_parts(name, iter([b"parts"]), IF_ABSENT)
        if winners > 1 or is_written_again or is_written_in_parts or not bucket.read(name):
            raise SettingsError(
                f"{storage}: this store cannot arbitrate two writers: it writes over what stands "
                "there although it is told not to (If-None-Match). Choose another store."
            )


def _age(page: dict[str, Any], written: datetime) -> float:
    """Return the seconds from a time to that of a listing, both by the clock of the store."""
    headers = page["ResponseMetadata"]["HTTPHeaders"]
    return (parsedate_to_datetime(headers["date"]) - written).total_seconds()
