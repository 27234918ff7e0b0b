"""Pieces -> one corpus shard: every row becomes a sample or is rejected, and is counted."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tokensieve.chat import Encoded, Encoder
from tokensieve.corpus import Shard
from tokensieve.ingest.pieces import InputFile, Piece, Row
from tokensieve.ingest.quarantine import REJECTED_SCHEMA, rejected_row
from tokensieve.ingest.reader import RowReader
from tokensieve.ingest.records import Record, RowProblem, num_ignored_fields, to_record

ROWS_SCHEMA = pa.schema(
    [
        pa.field("file", pa.int32(), nullable=False),  # index into the inventory's files
        pa.field("line", pa.int64(), nullable=False),
        pa.field("id_hash", pa.binary(16), nullable=False),
        pa.field("normal_id_hash", pa.binary(8), nullable=False),  # of the id in Unicode's NFC
        pa.field("content_hash", pa.binary(8), nullable=False),
    ]
)
"""Where each sample of a shard comes from, and what `find_duplicates` compares."""


@dataclass(frozen=True)
class BuiltShard:
    """A shard of a corpus, and what its rows were."""

    shard: Shard
    rejected: pa.Table
    """The rows that became no sample, in REJECTED_SCHEMA."""
    rows: pa.Table
    """One row per sample, in ROWS_SCHEMA."""
    counts: dict[str, int]
    """rows = scored + quarantined + skipped, and what they held."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """A row that became a sample."""

    file: int
    row: Row
    record: Record
    encoded: Encoded


def build_shard(reader: RowReader, pieces: Sequence[Piece], encoder: Encoder) -> BuiltShard:
    """Return the shard that holds the rows of `pieces`, in their order.

    Raises InputError if a file changed since the inventory; then nothing of the shard is valid.
    """
    read = [(piece.file, row) for piece in pieces for row in reader.rows(piece)]
    rows = [(file, row) for file, row in read if not row.is_blank]
    records = [_record(row) for _, row in rows]
    encodable = [each for each in records if isinstance(each, Record)]
    encoded = encoder.encode(encodable)
    assert len(encoded) == len(encodable), "the encoder must answer for every record"
    results = iter(encoded)
    samples, rejected = [], []
    for (file, row), record in zip(rows, records, strict=True):
        result = next(results) if isinstance(record, Record) else record
        if isinstance(result, RowProblem):
            rejected.append(rejected_row(reader.files[file], row, result))
        elif isinstance(record, Record):
            samples.append(_Sample(file, row, record, result))
    counts = _counts(samples, rejected) | {"rows": len(rows), "blank": len(read) - len(rows)}
    assert counts["rows"] == counts["scored"] + counts["quarantined"] + counts["skipped"]
    return BuiltShard(
        shard=_shard(reader.files, samples),
        rejected=pa.Table.from_pylist(rejected, schema=REJECTED_SCHEMA),
        rows=_rows_table(reader.files, samples),
        counts=dict(sorted(counts.items())),
    )


def _record(row: Row) -> Record | RowProblem:
    if row.value is None:
        assert row.problem is not None, "a blank line is no row"
        return row.problem
    try:
        return to_record(row.value)
    except RowProblem as problem:
        return problem


def _counts(samples: list[_Sample], rejected: list[dict[str, Any]]) -> dict[str, int]:
    counts = Counter({"quarantined": 0, "skipped": 0})
    for row in rejected:
        counts[row["outcome"]] += 1
        counts[f"{row['outcome']}.{row['reason']}"] += 1
    ignored = (num_ignored_fields(s.row.value or {}) + s.row.num_unread for s in samples)
    return dict(counts) | {
        "scored": len(samples),
        "tokens": sum(len(s.encoded.input_ids_T) for s in samples),
        "response_tokens": sum(int(s.encoded.response_T.sum()) for s in samples),
        "truncated_tokens": sum(s.encoded.num_truncated for s in samples),
        "specials_as_text": sum(s.encoded.num_specials for s in samples),
        "ignored_fields": sum(ignored),
    }


def _shard(files: Sequence[InputFile], samples: list[_Sample]) -> Shard:
    encoded = [sample.encoded for sample in samples]
    lengths = [len(each.input_ids_T) for each in encoded]
    return Shard(
        sample_ids=[_sample_id(files, sample) for sample in samples],
        sources=[sample.record.source or files[sample.file].source for sample in samples],
        offsets_N1=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        input_ids_T=_joined([each.input_ids_T for each in encoded], np.int32),
        response_T=_joined([each.response_T for each in encoded], np.bool_),
        turn_T=_joined([each.turn_T for each in encoded], np.int16),
    )


def _joined(arrays: list[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *arrays])


def _sample_id(files: Sequence[InputFile], sample: _Sample) -> str:
    return sample.record.id or f"{files[sample.file].sha256[:12]}-{sample.row.line}"


def _rows_table(files: Sequence[InputFile], samples: list[_Sample]) -> pa.Table:
    ids = [_sample_id(files, sample) for sample in samples]
    columns = [
        [sample.file for sample in samples],
        [sample.row.line for sample in samples],
        [_hash(id, 16) for id in ids],
        [_hash(unicodedata.normalize("NFC", id), 8) for id in ids],
        [_hash(_content(sample.record), 8) for sample in samples],
    ]
    arrays = [
        pa.array(values, field.type) for values, field in zip(columns, ROWS_SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=ROWS_SCHEMA)


def _content(record: Record) -> str:
    """Return all of a record that training would see."""
    messages = [(each.role, each.content, each.context) for each in record.messages]
    return repr((messages, record.tokens))


def _hash(text: str, num_bytes: int) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=num_bytes).digest()
