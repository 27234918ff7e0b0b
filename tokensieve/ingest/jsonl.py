"""JSONL files: one object per line; a bad line is a problem of that line alone."""

import re
from collections.abc import Iterator
from pathlib import Path

from tokensieve.errors import InputError
from tokensieve.ingest.lines import BLANK, BYTE_ORDER_MARK, HashedFile, Line, Lines
from tokensieve.ingest.opening import Place, open_regular, refuse_strangers
from tokensieve.ingest.pieces import MAX_ROW_BYTES, Cutter, InputFile, Piece, Row, Scan, changed
from tokensieve.ingest.records import RowProblem
from tokensieve.ingest.strict_json import parse_object

_OLD_MAC_ENDS = re.compile(rb"\}\r\s*\{")
_SUFFIXES: dict[str, str] = {"gzip": ".gz", "zstd": ".zst"}


class LineCursor:
    """Reads pieces of a JSONL file; those that follow each other cost one pass."""

    def __init__(self, file: InputFile) -> None:
        """Open the file."""
        self._file = file
        self._lines = Lines(file.path, open_regular(file.path))

    def is_before(self, piece: Piece) -> bool:
        """Return whether the piece still lies ahead."""
        return self._lines.offset <= piece.start

    def rows(self, piece: Piece) -> Iterator[Row]:
        """Yield the rows of the piece; InputError at its end if its bytes are not as planned."""
        lines = self._lines
        lines.skip_to(piece.start, piece.first_row - 1)
        lines.take_digest()
        while lines.offset < piece.end and (line := lines.next_line(piece.end)):
            yield _row(line)
        if lines.take_digest() != piece.sha256:
            raise changed(self._file, piece.first_row)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def scan(path: Place, file: int, bytes_before: int) -> Scan:
    """Return the pieces and counts of a JSONL file, read once; InputError if it is not JSONL."""
    hashed = HashedFile(open_regular(path))
    lines = Lines(path, hashed)
    try:
        warnings = _check_head(path, lines)
        cutter = Cutter(file, bytes_before)
        num_blank, line = 0, None
        while following := lines.next_line():
            line = following
            num_blank += line.is_blank
            if cutter.grow(line.num_bytes):
                cutter.cut(lines.offset, lines.number + 1, lines.take_digest())
        cutter.cut(lines.offset, lines.number + 1, lines.take_digest())
        _check_tail(path, line)
        num_bytes, sha256 = hashed.finish()
    finally:
        lines.close()
    num_rows = lines.number - num_blank
    return Scan(num_bytes, sha256, cutter.pieces, num_rows, num_blank, warnings)


def _row(line: Line) -> Row:
    """Return the line as a row: its value, its problem, or neither if it is blank."""
    value = problem = None
    if line.is_too_long:
        detail = f"the line has {line.num_bytes} bytes; the limit is {MAX_ROW_BYTES}"
        problem = RowProblem("line_too_long", detail)
    elif not line.is_blank:
        try:
            value = parse_object(line.raw)
        except RowProblem as found:
            problem = found
    return Row(line.number, line.offset, line.raw.rstrip(b"\r\n"), line.num_bytes, value, problem)


def _check_head(path: Place, lines: Lines) -> list[str]:
    """Return warnings about the file's beginning; raise InputError if it is not JSONL at all."""
    head = lines.head().removeprefix(BYTE_ORDER_MARK)
    refuse_strangers(path, head[:64])
    first, line_end, _ = head.lstrip(BLANK).partition(b"\n")
    if _begins_array(first, bool(line_end)):
        raise InputError(
            f"{path}:1: looks like a JSON array, not JSONL. Convert it: jq -c '.[]' FILE"
        )
    if first.strip(BLANK) == b"{":
        raise InputError(
            f"{path}:1: looks like pretty-printed JSON, not JSONL. Convert it: jq -c . FILE"
        )
    if _OLD_MAC_ENDS.search(first):
        raise InputError(
            f"{path}:1: has old-Mac line ends (carriage returns). Convert it: tr '\\r' '\\n'"
        )
    suffix = Path(str(path)).suffix
    if suffix in _SUFFIXES.values() and suffix != _SUFFIXES.get(lines.kind):
        return [f"{path}: is named {suffix}, but its content is {lines.kind}"]
    return []


def _begins_array(first: bytes, is_whole: bool) -> bool:
    """Return whether a file with this first line is one JSON array, not a stray list in a row."""
    if not first.startswith(b"["):
        return False
    if not is_whole:
        return True
    try:
        parse_object(first)
    except RowProblem as problem:
        return problem.reason != "not_an_object" or first.startswith(b"[{")
    return False


def _check_tail(path: Place, line: Line | None) -> None:
    """Raise InputError if the last line ends in the middle of a value: the file was cut."""
    if line is None or line.raw.endswith(b"\n") or line.is_blank:
        return
    problem = _row(line).problem
    if problem is not None and problem.reason == "json_truncated":
        raise InputError(
            f"{path}:{line.number}: the file is cut in this line ({problem.detail}). "
            "Copy it again, or remove the line if nothing else is missing."
        )
