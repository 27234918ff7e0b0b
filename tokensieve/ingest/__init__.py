"""Files -> records; what cannot become one goes to quarantine with file, line and field.

directories.py    arguments of a run -> files
opening.py        a path -> a regular file, of a kind told by its first bytes
inventory.py      files -> pieces, packed into shards; each file is read once
pieces.py         the words for it: InputFile, Piece, Row
jsonl.py          lines -> rows                  strict_json.py   line -> object
parquet.py        Parquet -> batches             arrow_stream.py  `datasets` files -> batches
formats.py        what opens a table, by its name
tables.py         batches -> rows                column_types.py  what a column may hold
reader.py         pieces -> rows, whatever the format
records.py        row -> record, whatever its shape
shard.py          pieces -> one corpus shard, its rejected rows, its counts
quarantine.py     rejected rows: schema, messages, limit
duplicates.py     rows with the same id, over all shards
"""

from tokensieve.ingest.inventory import Inventory, NoRowsError, inventory_of, take_inventory
from tokensieve.ingest.pieces import InputFile, Piece, Row
from tokensieve.ingest.reader import RowReader, read_rows

__all__ = [
    "InputFile",
    "Inventory",
    "NoRowsError",
    "Piece",
    "Row",
    "RowReader",
    "inventory_of",
    "read_rows",
    "take_inventory",
]
