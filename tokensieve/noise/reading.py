"""The conversations of a drop, in whatever format, as records that noise can be planted into."""

from collections.abc import Iterable, Iterator

from tokensieve.errors import InputError
from tokensieve.ingest import Inventory, RowReader
from tokensieve.ingest.records import Record as IngestRecord
from tokensieve.ingest.records import RowProblem, to_record
from tokensieve.noise.corpus import Record
from tokensieve.templates import joined_content


def plantable_records(inventory: Inventory) -> tuple[list[Record], int]:
    """Return the conversations of the files in order, and how many other rows there are.

    Rows that are tokenised already have no text to plant into; they and rows with a problem are the
    others. Raises InputError if nothing but others is there.
    """
    found = list(_records(inventory))
    records = [record for record in found if record is not None]
    if not records:
        names = ", ".join(file.name for file in inventory.files)
        raise InputError(f"{names}: hold no conversation into which noise could be planted.")
    return records, len(found) - len(records)


def _records(inventory: Inventory) -> Iterator[Record | None]:
    pieces = (piece for shard in inventory.shards for piece in shard)
    with RowReader(inventory.files) as reader:
        for piece in pieces:
            file = inventory.files[piece.file]
            for row in reader.rows(piece):
                if not row.is_blank:
                    yield _record(row.value, f"{file.sha256[:12]}-{row.line}", file.source)


def _record(value: dict[str, object] | None, id: str, source: str) -> Record | None:
    """Return the row as a record; None if it is no conversation."""
    try:
        record = to_record(value) if value is not None else None
    except RowProblem:
        return None
    if record is None or not record.messages:
        return None
    messages = [{"role": m.role, "content": joined_content(m)} for m in record.messages]
    return {"id": record.id or id, "source": record.source or source, "messages": messages}


def records_by_id(records: Iterable[Record]) -> dict[str, IngestRecord]:
    """Return the records as the ingest reads them."""
    return {record["id"]: to_record(record) for record in records}
