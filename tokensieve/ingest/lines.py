"""Bytes -> lines: plain, gzip or zstd, in bounded memory; lines end at b"\\n" and nowhere else."""

import gzip
import hashlib
import io
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

from tokensieve.ingest.opening import Place, kind_of, reading
from tokensieve.ingest.pieces import MAX_EVIDENCE_BYTES, MAX_ROW_BYTES

BLANK = b" \t\r\n"
"""What a blank line may hold: the white space of JSON."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the decompressed stream."""

    number: int
    offset: int
    raw: bytes
    """With its end, without a byte order mark; only its beginning if the line is too long."""
    num_bytes: int
    is_too_long: bool

    @property
    def is_blank(self) -> bool:
        """Return whether the line holds nothing but white space."""
        return not self.is_too_long and not self.raw.strip(BLANK)


class Lines:
    """The lines of one file, read forwards in bounded memory."""

    def __init__(self, path: Place, file: io.RawIOBase) -> None:
        """Read the open `file`, whatever its compression; `path` is its name."""
        self.path = path
        self.kind = kind_of(path)
        self.offset = 0
        self.number = 0
        """Lines read or skipped so far."""
        self._digest = hashlib.sha256()
        self._file = file
        self._stream = _decompressed(file, self.kind)

    def head(self) -> bytes:
        """Return the first bytes without moving: at most a chunk, empty if there are none."""
        with reading(self.path):
            return self._stream.peek(1)

    def next_line(self, end: int | None = None) -> Line | None:
        """Return the line that begins here, up to byte `end` at most; None where nothing is."""
        offset, most = self.offset, MAX_ROW_BYTES + 1
        with reading(self.path):
            raw = self._readline(most if end is None else min(most, end - offset))
            if not raw:
                return None
            is_too_long = len(raw) == MAX_ROW_BYTES + 1 and not raw.endswith(b"\n")
            if is_too_long:
                raw = raw[:MAX_EVIDENCE_BYTES]
                self._pass_rest_of_line(end)
        if offset == 0:
            raw = raw.removeprefix(BYTE_ORDER_MARK)
        self.number += 1
        return Line(self.number, offset, raw, self.offset - offset, is_too_long)

    def take_digest(self) -> str:
        """Return the SHA-256 of what was read since the last call."""
        digest, self._digest = self._digest, hashlib.sha256()
        return digest.hexdigest()

    def skip_to(self, offset: int, number: int) -> None:
        """Go forwards to the line after line `number`, which begins at `offset`."""
        with reading(self.path):
            if self.kind == "plain":
                self._stream.seek(offset)
            else:
                _pass(self._stream, offset - self.offset)
        self.offset, self.number = offset, number

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._file.close()

    def _readline(self, most: int) -> bytes:
        raw: bytes = self._stream.readline(most)
        self.offset += len(raw)
        self._digest.update(raw)
        return raw

    def _pass_rest_of_line(self, end: int | None) -> None:
        while True:
            raw = self._readline(_CHUNK if end is None else min(_CHUNK, end - self.offset))
            if not raw or raw.endswith(b"\n"):
                return


def _decompressed(file: io.RawIOBase, kind: str) -> io.BufferedReader:
    raw: Any = file
    if kind == "gzip":
        raw = gzip.GzipFile(fileobj=io.BufferedReader(file, _CHUNK))
    elif kind == "zstd":
        raw = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    return io.BufferedReader(raw, _CHUNK)


def _pass(stream: BinaryIO, num_bytes: int) -> None:
    """Read and forget this many bytes, or what there is."""
    while num_bytes > 0 and (chunk := stream.read(min(_CHUNK, num_bytes))):
        num_bytes -= len(chunk)


class HashedFile(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, file: io.RawIOBase) -> None:
        """Hash what will be read of the open `file`."""
        self._file = file
        self._digest = hashlib.sha256()
        self._num_bytes = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; return how many bytes there were."""
        num_bytes = self._file.readinto(buffer) or 0
        self._digest.update(memoryview(buffer)[:num_bytes])
        self._num_bytes += num_bytes
        return num_bytes

    def finish(self) -> tuple[int, str]:
        """Return the size and SHA-256 of the file, of which what is left is read now."""
        while self.read(_CHUNK):
            pass
        return self._num_bytes, self._digest.hexdigest()

    def close(self) -> None:
        """Close the file below, too."""
        self._file.close()
        super().close()
