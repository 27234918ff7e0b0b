"""Read the rows of planned pieces."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Self

from tokensieve.ingest.formats import TABLES
from tokensieve.ingest.jsonl import LineCursor
from tokensieve.ingest.pieces import Cursor, InputFile, Piece, Row
from tokensieve.ingest.tables import TableCursor


class RowReader:
    """Reads pieces of an inventory's files.

    It keeps the file it read last open: a compressed stream can only be read forwards, and a table
    is hashed when it is opened, so pieces that are read in order cost one pass per file.
    """

    def __init__(self, files: Sequence[InputFile]) -> None:
        """Read from these files, those of the inventory."""
        self.files = files
        self._file: int | None = None
        self._cursor: Cursor | None = None

    def rows(self, piece: Piece) -> Iterator[Row]:
        """Yield the rows of the piece, blank lines too.

        Raises InputError if the file changed since the inventory; what was yielded before is then
        worth nothing.
        """
        yield from self._cursor_before(piece).rows(piece)

    def close(self) -> None:
        """Close what is open; reading opens it again."""
        if self._cursor is not None:
            self._cursor.close()
        self._cursor = None

    def __enter__(self) -> Self:
        """Return the reader, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what is open."""
        self.close()

    def _cursor_before(self, piece: Piece) -> Cursor:
        if self._cursor is None or self._file != piece.file or not self._cursor.is_before(piece):
            self.close()
            self._cursor = _open(self.files[piece.file])
            self._file = piece.file
        return self._cursor


def read_rows(file: InputFile, piece: Piece) -> Iterator[Row]:
    """Yield the rows of one piece of a file, as `RowReader.rows`."""
    cursor = _open(file)
    with closing(cursor):
        yield from cursor.rows(piece)


def _open(file: InputFile) -> Cursor:
    if file.format in TABLES:
        return TableCursor(file, TABLES[file.format])
    return LineCursor(file)
