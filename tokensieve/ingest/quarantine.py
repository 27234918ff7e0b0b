"""Rejected rows: what is kept of them, what the user is told, and how many are too many."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from tokensieve.errors import QuarantineError, shortened
from tokensieve.ingest.pieces import MAX_EVIDENCE_BYTES, InputFile, Row
from tokensieve.ingest.records import RowProblem, stated_source

REJECTED_SCHEMA = pa.schema(
    [
        pa.field("outcome", pa.string(), nullable=False),  # quarantined | skipped
        pa.field("file", pa.string(), nullable=False),
        pa.field("file_sha256", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),  # as the row names it, or its file's
        pa.field("line", pa.int64(), nullable=False),  # or row, from 1
        pa.field("byte_offset", pa.int64()),  # in the decompressed stream; null in tables
        pa.field("reason", pa.string(), nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("raw", pa.binary(), nullable=False),  # the line, or the row as JSON
        pa.field("raw_bytes", pa.int64(), nullable=False),  # its full length
    ]
)

_LINES_PER_REASON = 20


def rejected_row(file: InputFile, row: Row, problem: RowProblem) -> dict[str, Any]:
    """Return a row of REJECTED_SCHEMA."""
    raw = row.raw
    if not raw and row.value is not None:
        raw = json.dumps(row.value, ensure_ascii=False, default=repr).encode()
    return {
        "outcome": problem.outcome,
        "file": file.name,
        "file_sha256": file.sha256,
        "source": stated_source(row.value or {}) or file.source,
        "line": row.line,
        "byte_offset": row.byte_offset,
        "reason": problem.reason,
        "field": problem.field,
        "detail": problem.detail,
        "raw": raw[:MAX_EVIDENCE_BYTES],
        "raw_bytes": max(row.num_bytes, len(raw)),
    }


def quarantine_lines(rejected: Iterable[pa.Table]) -> list[str]:
    """Return the first 20 quarantined rows per reason, `FILE:LINE:FIELD: reason (detail)` each.

    How many more there are follows. Nothing in a line can move a terminal's cursor.
    """
    lines: dict[str, list[str]] = {}
    num_rows: Counter[str] = Counter()
    for table in rejected:
        for row in table.drop_columns(["raw"]).to_pylist():
            if row["outcome"] == "quarantined":
                shown = lines.setdefault(row["reason"], [])
                num_rows[row["reason"]] += 1
                if len(shown) < _LINES_PER_REASON:
                    shown.append(_line(row))
    for reason, shown in lines.items():
        if num_rows[reason] > len(shown):
            shown.append(f"{reason}: {num_rows[reason] - len(shown)} more rows")
    return [line for shown in lines.values() for line in shown]


def check_quarantine(counts: Mapping[str, int], max_share: float) -> None:
    """Raise QuarantineError if more than `max_share` of the rows are bad, or none is left.

    `counts` are those of `build_shard`, summed over the corpus.
    """
    rows, bad = counts["rows"], counts["quarantined"]
    if counts["scored"] and bad <= max_share * rows:
        return
    reasons = [f"{number} {name}" for name, number in counts.items() if "." in name and number]
    why = "none of them became a sample" if not counts["scored"] else f"{max_share:.2%} are allowed"
    raise QuarantineError(
        f"{bad} of {rows} rows ({bad / rows:.2%}) were quarantined, {counts['skipped']} skipped; "
        f"{why}. {'; '.join(reasons)}. Mend the rows listed, or raise corpus.max_quarantine."
    )


def _line(row: dict[str, Any]) -> str:
    where = f"{_shown(row['file'])}:{row['line']}"
    if row["field"]:
        where += f":{_shown(row['field'])}"
    detail = f" ({_shown(row['detail'])})" if row["detail"] else ""
    return f"{where}: {row['reason']}{detail}"


def _shown(text: str) -> str:
    return shortened(PurePath(text), 300)  # a path: text without quotes around it
