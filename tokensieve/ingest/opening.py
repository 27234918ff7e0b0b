"""Open a file as what it is: a regular file, of a kind told by its first bytes, not its name."""

import hashlib
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from tokensieve.errors import InputError, shortened
from tokensieve.objects import ObjectFile, S3Object

Place = str | S3Object
"""Where a file lies: a path of this machine, or an object on S3 as it was found."""
KINDS: dict[bytes, str] = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PAR1": "parquet",
    b"PARE": "parquet",
}
"""What a file is by its first bytes; `plain` by any others."""
_STRANGERS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the data. Run `git lfs pull`",
    b"<": "is an HTML or XML page, perhaps an error message of a server. Download the file again",
    b"\xff\xfe\0\0": "is UTF-32. Convert it to UTF-8: iconv -f UTF-32 -t UTF-8",
    b"\0\0\xfe\xff": "is UTF-32. Convert it to UTF-8: iconv -f UTF-32 -t UTF-8",
    b"\xff\xfe": "is UTF-16. Convert it to UTF-8: iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "is UTF-16. Convert it to UTF-8: iconv -f UTF-16 -t UTF-8",
    b"{\0\0\0": "is UTF-32. Convert it to UTF-8: iconv -f UTF-32LE -t UTF-8",
    b"\0\0\0{": "is UTF-32. Convert it to UTF-8: iconv -f UTF-32BE -t UTF-8",
    b"{\0": "is UTF-16. Convert it to UTF-8: iconv -f UTF-16LE -t UTF-8",
    b"\0{": "is UTF-16. Convert it to UTF-8: iconv -f UTF-16BE -t UTF-8",
    b"PK\x03\x04": "is a zip archive. Unpack it first",
    b"BZh": "is a bzip2 file. Unpack it, or compress it with gzip or zstd",
    b"\xfd7zXZ": "is an xz file. Unpack it, or compress it with gzip or zstd",
    b"ARROW1": "is an Arrow file. Give the directory that `save_to_disk` made, or Parquet",
}
_CHUNK = 1 << 20
_FILE_TYPES = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Place) -> io.RawIOBase:
    """Return the file, open and unbuffered; raise InputError at once if it is no regular file."""
    if isinstance(path, S3Object):
        return ObjectFile(path)
    with reading(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # pipes: no waiting
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind != stat.S_IFREG:
            os.close(descriptor)
            what = _FILE_TYPES.get(kind, "something else")
            raise InputError(f"{path}: is {what}, not a file. Give files or dataset directories.")
        return io.FileIO(descriptor)


def open_native(path: Place) -> pa.NativeFile:
    """Return the file as Arrow reads it, only a file of exactly this name."""
    if isinstance(path, S3Object):
        return pa.PythonFile(io.BufferedReader(ObjectFile(path), _CHUNK), mode="r")
    return pa.OSFile(path)


def kind_of(path: Place) -> str:
    """Return what the file's first bytes say; raise InputError if it holds no rows for us."""
    with open_regular(path) as file, reading(path):
        head = file.read(64) or b""
    for magic, kind in KINDS.items():
        if head.startswith(magic):
            return kind
    refuse_strangers(path, head)
    if Path(str(path)).suffix == ".parquet":
        raise InputError(
            f"{path}: is not a complete Parquet file ({file_size(path)} bytes, beginning "
            f"{shortened(head[:60])}). Copy it again."
        )
    return "plain"


def refuse_strangers(path: Place, head: bytes) -> None:
    """Raise InputError if the first bytes are those of something that is not JSONL."""
    for magic, what in _STRANGERS.items():
        if head.startswith(magic):
            raise InputError(f"{path}:1: {what} (it begins {shortened(head[:60])}).")


def file_size(path: Place) -> int:
    """Return the file's size in bytes."""
    if isinstance(path, S3Object):
        return path.num_bytes
    return Path(path).stat().st_size


def content_of(path: Place) -> tuple[int, str]:
    """Return size and SHA-256 of the file."""
    with open_regular(path) as file, reading(path):
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()


@contextmanager
def reading(path: Place) -> Iterator[None]:
    """Turn what the system or Arrow says of an unreadable file into an InputError naming it."""
    try:
        yield
    except (OSError, EOFError, UnicodeError, zlib.error, pa.ArrowException) as error:
        of_system = isinstance(error, OSError) and error.strerror
        advice = "Check the path and its permissions" if of_system else "Copy the file again"
        detail = of_system or shortened(error, 200)
        raise InputError(f"{path}: cannot be read: {detail}. {advice}.") from None
