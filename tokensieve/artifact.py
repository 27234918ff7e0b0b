"""Artifacts: plan -> shards + receipts -> COMMIT. The only code that knows the protocol.

    <kind>/<id>/PLAN.json                     what is made, from what; its hash is the id
               /<part>/00007-<sha16>.parquet  immutable, named by its content
               /<folder>-<sha16>/<file>       a folder of files, named by its whole content
               /receipts/00007.json           the shard's commit: files, hashes, counts
               /COMMIT.json                   the artifact's commit: all receipts, in order

All of them are created if absent and never changed. So two runs at once are safe without a lock,
work that is done is found again, and a crash anywhere loses at most the shard in hand. The
documents hold no time, host or run, so the same work always gives the same bytes.
"""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from tokensieve.documents import Document, canonical_json, content_id, parsed, sealed_json
from tokensieve.errors import ConflictError, DamagedError, shortened
from tokensieve.storage import Storage, file_sha256, sha256_hex

CODE_VERSION = 4
"""Raised when the same plan would give other numbers or another file format."""

KINDS = ("corpora", "scores", "selections", "models", "evaluations")


class FileRecord(BaseModel):
    """One published file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    num_bytes: int
    sha256: str
    num_rows: int | None
    """Unset: it is no table."""


class Receipt(BaseModel):
    """The commit of one shard: its files by part, and what was counted while making it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: str
    shard: int
    files: dict[str, FileRecord]
    counts: dict[str, int]


class Commit(BaseModel):
    """The commit of an artifact: all receipts in shard order, their sums, and notes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: str
    receipts: list[Receipt]
    totals: dict[str, int]
    notes: dict[str, Any]


@dataclass(frozen=True)
class Artifact:
    """A named result that may or may not be finished. Cheap to build; picklable."""

    storage: Storage
    kind: str
    plan: Document

    @cached_property
    def id(self) -> str:
        """Return the name of the artifact: a hash of its plan."""
        return content_id(self.plan)

    @property
    def key(self) -> str:
        """Return the storage key of the artifact's directory."""
        return f"{self.kind}/{self.id}"

    @property
    def num_shards(self) -> int:
        """Return how many shards the plan has."""
        return int(self.plan["num_shards"])

    def declare(self) -> None:
        """Publish the plan, so that status can speak of the artifact before its first shard."""
        self._create_same(f"{self.key}/PLAN.json", canonical_json(self.plan))

    def receipt(self, shard: int) -> Receipt | None:
        """Return the shard's receipt, or None if the shard is not done.

        A receipt whose file is missing or damaged raises DamagedError.
        """
        receipt = self.stated_receipt(shard)
        for file in receipt.files.values() if receipt else ():
            self.verify_file(shard, file)
        return receipt

    def stated_receipt(self, shard: int) -> Receipt | None:
        """Return the shard's receipt like `receipt`, without a look at the files it names."""
        data = self.storage.read(self._receipt_key(shard))
        return None if data is None else self._parsed_receipt(data, shard)

    def stated_receipts(self) -> list[Receipt]:
        """Return the receipts of all shards, known to be done, without a look at their files."""
        receipts = [self.stated_receipt(shard) for shard in range(self.num_shards)]
        return [receipt for receipt in receipts if receipt is not None]

    def required_receipt(self, shard: int) -> Receipt:
        """Return the receipt of a shard that is known to be done."""
        receipt = self.receipt(shard)
        assert receipt is not None, f"{self.key}: shard {shard} is not done"
        return receipt

    def done_shards(self) -> set[int]:
        """Return the numbers of the shards that have a receipt, without checking their files."""
        return {s for s in range(self.num_shards) if self.storage.exists(self._receipt_key(s))}

    def publish(
        self,
        shard: int,
        tables: Mapping[str, pa.Table],
        counts: Mapping[str, int],
        folders: Mapping[str, Path] = MappingProxyType({}),
    ) -> Receipt:
        """Publish the shard's tables and folders (by part), then its receipt; return that.

        Folders lie in the storage's scratch. If another writer was first, its receipt stands and is
        returned.
        """
        files = {part: self._publish_table(part, shard, table) for part, table in tables.items()}
        for name, folder in folders.items():
            files |= self._publish_folder(name, shard, folder)
        abort_point("after_shard_publish", shard)
        receipt = Receipt(plan=self.id, shard=shard, files=files, counts=dict(counts))
        key = self._receipt_key(shard)
        if not self.storage.create(key, sealed_json(receipt)):
            receipt = self._parsed_receipt(self.storage.read(key) or b"", shard)
        abort_point("after_receipt", shard)
        return receipt

    def commit(self, notes: Document | None = None) -> Commit:
        """Publish COMMIT from the receipts of all shards, each verified; return it."""
        receipts = [self.required_receipt(shard) for shard in range(self.num_shards)]
        commit = Commit(
            plan=self.id,
            receipts=receipts,
            totals=summed(_counts(receipts)),
            notes=dict(notes or {}),
        )
        abort_point("before_commit", 0)
        self._create_same(f"{self.key}/COMMIT.json", sealed_json(commit))
        abort_point("after_commit", 0)
        return commit

    def committed(self) -> Commit | None:
        """Return the commit, or None if the artifact is not finished."""
        data = self.storage.read(f"{self.key}/COMMIT.json")
        if data is None:
            return None
        commit = parsed(Commit, data, f"{self.storage}/{self.key}/COMMIT.json")
        self._check("COMMIT.json", "plan", commit.plan, self.id)
        self._check("COMMIT.json", "receipts", len(commit.receipts), self.num_shards)
        for shard, receipt in enumerate(commit.receipts):
            self._check_receipt("COMMIT.json", receipt, shard)
        self._check("COMMIT.json", "totals", commit.totals, summed(_counts(commit.receipts)))
        return commit

    def required_commit(self) -> Commit:
        """Return the commit of an artifact that is known to be finished."""
        commit = self.committed()
        assert commit is not None, f"{self.key}: is made before it is used"
        return commit

    def check_listed(self, listed: Receipt) -> None:
        """Raise DamagedError unless the receipt on disk is the one that the commit lists."""
        receipt = self.stated_receipt(listed.shard)
        if receipt is None:
            raise DamagedError(
                f"{self.storage.place(self._receipt_key(listed.shard))}: is missing, but "
                "COMMIT.json lists it. Bring it back, or delete COMMIT.json and run the same "
                "command again: the shard is made anew."
            )
        self._check(self._receipt_name(listed.shard), "the whole file", receipt, listed)

    def read_table(self, receipt: Receipt, part: str, columns: list[str] | None = None) -> pa.Table:
        """Return a part of the receipt's shard, verified against the receipt's hash."""
        file = receipt.files[part]
        data = pa.BufferReader(self.read_file(receipt.shard, file))
        table = pq.read_table(data, columns=columns, page_checksum_verification=True)
        self._check(self._receipt_name(receipt.shard), "num_rows", file.num_rows, table.num_rows)
        return table

    def read_file(self, shard: int, file: FileRecord) -> bytes:
        """Return the bytes of a shard's file; raise DamagedError if they are not as published."""
        try:
            data = self.storage.read_verified(file.key, file.sha256)
        except DamagedError as error:
            raise self._damaged(shard, error) from None
        self._check(self._receipt_name(shard), "num_bytes", file.num_bytes, len(data))
        return data

    def verify_file(self, shard: int, file: FileRecord) -> None:
        """Raise DamagedError if a shard's file, of any size, is not as published."""
        try:
            num_bytes = self.storage.verify(file.key, file.sha256)
        except DamagedError as error:
            raise self._damaged(shard, error) from None
        self._check(self._receipt_name(shard), "num_bytes", file.num_bytes, num_bytes)

    def folder(self, receipt: Receipt, name: str) -> str:
        """Return where a folder of the receipt lies: a directory, or an s3:// address."""
        return self.storage.place(self._folder_key(name, folder_hashes(receipt, name)))

    def _damaged(self, shard: int, error: DamagedError) -> DamagedError:
        here = self.storage.place(self.key)
        return DamagedError(
            f"{error} To make it anew, delete it, {here}/{self._receipt_name(shard)} and "
            f"{here}/COMMIT.json, as far as they are there, and run the same command again; "
            "all other shards are kept."
        )

    def _publish_table(self, part: str, shard: int, table: pa.Table) -> FileRecord:
        data = parquet_bytes(table)
        sha256 = sha256_hex(data)
        key = self._table_key(part, shard, sha256)
        file = FileRecord(key=key, num_bytes=len(data), sha256=sha256, num_rows=table.num_rows)
        if not self.storage.create(key, data):
            self.read_file(shard, file)
        return file

    def _publish_folder(self, name: str, shard: int, folder: Path) -> dict[str, FileRecord]:
        """Publish a folder's files under names that no other content can have."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        hashes = {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}
        files = {}
        for path, (inside, sha256) in zip(paths, hashes.items(), strict=True):
            key = f"{self._folder_key(name, hashes)}/{inside}"
            num_bytes = path.stat().st_size
            file = FileRecord(key=key, num_bytes=num_bytes, sha256=sha256, num_rows=None)
            if not self.storage.create_from(key, path):
                self.verify_file(shard, file)
            files[f"{name}/{inside}"] = file
        return files

    def _create_same(self, key: str, data: bytes) -> None:
        """Create `key`, or find exactly these bytes there; anything else is a conflict."""
        if not self.storage.create(key, data) and self.storage.read(key) != data:
            raise ConflictError(
                f"{self.storage.place(key)}: stands there with other content than this run makes. "
                "Was it edited, or written by another version? Move it away and run again."
            )

    def _receipt_name(self, shard: int) -> str:
        return f"receipts/{shard:05d}.json"

    def _receipt_key(self, shard: int) -> str:
        return f"{self.key}/{self._receipt_name(shard)}"

    def _file_key(self, part: str, receipt: Receipt) -> str:
        """Return where the content of a receipt's part has to lie."""
        folder, slash, name = part.partition("/")
        if slash:
            return f"{self._folder_key(folder, folder_hashes(receipt, folder))}/{name}"
        return self._table_key(part, receipt.shard, receipt.files[part].sha256)

    def _table_key(self, part: str, shard: int, sha256: str) -> str:
        return f"{self.key}/{part}/{shard:05d}-{sha256[:16]}.parquet"

    def _folder_key(self, name: str, hashes: Mapping[str, str]) -> str:
        return f"{self.key}/{name}-{content_id(hashes)}"

    def _parsed_receipt(self, data: bytes, shard: int) -> Receipt:
        name = self._receipt_name(shard)
        receipt = parsed(Receipt, data, f"{self.storage}/{self.key}/{name}")
        self._check_receipt(name, receipt, shard)
        return receipt

    def _check_receipt(self, name: str, receipt: Receipt, shard: int) -> None:
        """Raise DamagedError unless the receipt speaks of this shard of this artifact."""
        self._check(name, "plan", receipt.plan, self.id)
        self._check(name, "shard", receipt.shard, shard)
        for part, file in receipt.files.items():
            self._check(name, f"{part}.key", file.key, self._file_key(part, receipt))

    def _check(self, name: str, field: str, found: object, wanted: object) -> None:
        if found != wanted:
            raise DamagedError(
                f"{self.storage}/{self.key}/{name}: {field}: says {shortened(found)}, not "
                f"{shortened(wanted)}. It was edited, or belongs elsewhere; bring the original "
                "back, or move the artifact's directory away and run the same command again."
            )


def load_artifact(storage: Storage, kind: str, id: str) -> Artifact:
    """Return the artifact declared under `id`; raise DamagedError if its plan is not there."""
    data = storage.read(f"{kind}/{id}/PLAN.json")
    if data is None:
        raise DamagedError(
            f"{storage}/{kind}/{id}/PLAN.json: is missing, but a run or another artifact "
            "names it. Bring it back, or run the same command again."
        )
    if sha256_hex(data)[:16] != id:
        raise DamagedError(
            f"{storage}/{kind}/{id}/PLAN.json: does not hash to the name of its directory. "
            "It was edited, or moved; bring the original back."
        )
    return Artifact(storage, kind, json.loads(data))


def parquet_bytes(table: pa.Table) -> bytes:
    """Return `table` as Parquet. The same table always gives the same bytes in one environment."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
        store_schema=True,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sum of the counts, key by key."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))


def folder_hashes(receipt: Receipt, folder: str) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder, by its name in the folder."""
    parts = ((part.partition("/"), file) for part, file in receipt.files.items())
    return {name: file.sha256 for (place, _, name), file in parts if place == folder}


def _counts(receipts: Iterable[Receipt]) -> Iterator[Mapping[str, int]]:
    return (receipt.counts for receipt in receipts)


def abort_point(name: str, shard: int) -> None:
    """Kill this process here if a fault test asks for it by TOKENSIEVE_ABORT_AT=name:shard."""
    if os.environ.get("TOKENSIEVE_ABORT_AT") == f"{name}:{shard}":
        os.kill(os.getpid(), signal.SIGKILL)
