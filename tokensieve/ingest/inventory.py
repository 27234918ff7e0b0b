"""The inventory of a drop: its files, what they hold, and the shards they are cut into."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokensieve.addresses import is_address
from tokensieve.errors import InputError
from tokensieve.ingest.column_types import NOTHING, kind_of_column
from tokensieve.ingest.directories import FoundFile, find_files
from tokensieve.ingest.formats import TABLES
from tokensieve.ingest.jsonl import scan
from tokensieve.ingest.opening import Place, kind_of
from tokensieve.ingest.parquet import warn_of_joined_files
from tokensieve.ingest.pieces import InputFile, Piece, Scan, pack
from tokensieve.ingest.tables import Table, scan_table
from tokensieve.settings.groups import S3Settings

MAX_TOLD = 5
"""Files that a message names."""


class NoRowsError(InputError):
    """The files can be read, and hold nothing."""


@dataclass(frozen=True)
class Inventory:
    """What a drop holds. The same files give the same inventory, whatever the machine."""

    files: tuple[InputFile, ...]
    shards: tuple[tuple[Piece, ...], ...]
    """The pieces of each shard, in the order of the files and of their rows."""
    num_rows: tuple[int, ...]
    """Rows of each file, without blank lines."""
    num_blank: tuple[int, ...]
    """Blank lines of each file."""
    warnings: tuple[str, ...]
    """What the user should know before the run, one message each."""


def take_inventory(paths: Sequence[str], split: str, s3: S3Settings) -> Inventory:
    """Return the inventory of what `paths` name: files, directories, `s3://bucket/key`, reached as
    `s3` says, `hf://name[:config]`.

    Raises InputError for anything that cannot be read as it is, and for a drop without rows.
    """
    return inventory_of(*find_files(paths, split, s3))


def inventory_of(found: Sequence[FoundFile], warnings: Sequence[str]) -> Inventory:
    """Return the inventory of files that were found, with the warnings of finding them.

    Files are read whole, in bounded memory: JSONL once, tables once more for their hash. Raises
    InputError as `take_inventory`, for a drop without rows NoRowsError.
    """
    scanned = _Scanned([*warnings])
    for file in found:
        scanned.add(file)
    scans = scanned.scans
    if not any(each.num_rows for each in scans):
        raise NoRowsError(f"{_told(found)}: the drop has no rows. Are these the right files?")
    return Inventory(
        files=_named(scanned),
        shards=pack([piece for each in scans for piece in each.pieces]),
        num_rows=tuple(each.num_rows for each in scans),
        num_blank=tuple(each.num_blank for each in scans),
        warnings=tuple(scanned.warnings),
    )


class _Scanned:
    """The files scanned so far, each content once."""

    def __init__(self, warnings: list[str]) -> None:
        self.files: list[FoundFile] = []
        self.formats: list[str] = []
        self.scans: list[Scan] = []
        self.warnings = warnings
        self._seen: dict[str, Place] = {}
        self._columns: dict[str, tuple[str, Place]] = {}
        self._num_bytes = 0

    def add(self, file: FoundFile) -> None:
        """Scan the file, and keep it unless one before it has the same content."""
        format, found = self._scan(file)
        if (first := self._seen.get(found.sha256)) is not None:
            self.warnings.append(f"{file.path}: has the content of {first}; it is read once")
            return
        self._seen[found.sha256] = file.path
        self.files.append(file)
        self.formats.append(format)
        self.scans.append(found)
        self._num_bytes += sum(piece.num_bytes for piece in found.pieces)
        self.warnings += found.warnings
        if not found.num_rows:
            self.warnings.append(f"{file.path}: has no rows ({found.num_blank} blank lines)")

    def _scan(self, file: FoundFile) -> tuple[str, Scan]:
        format = "arrow" if file.is_stream else kind_of(file.path)
        if format not in TABLES:
            return "jsonl", scan(file.path, len(self.files), self._num_bytes)
        if format == "parquet":
            self.warnings += warn_of_joined_files(file.path)
        return format, self._scan_table(file.path, TABLES[format](file.path))

    def _scan_table(self, path: Place, table: Table) -> Scan:
        """Scan a table whose columns hold the same as those of the tables before it."""
        for name in table.columns:
            kind = kind_of_column(path, name, table.schema.field(name).type)
            if kind == NOTHING:
                continue
            other_kind, other = self._columns.setdefault(name, (kind, path))
            if kind != other_kind:
                raise InputError(
                    f"{path}: column {name} holds {kind}, but {other_kind} in {other}. Convert one."
                )
        return scan_table(path, table, len(self.files), self._num_bytes)


def _told(found: Sequence[FoundFile]) -> str:
    """Return the paths of the files as a message can hold them."""
    told = [str(file.path) for file in found[:MAX_TOLD]]
    return ", ".join(told) + (f" and {len(found) - MAX_TOLD} more" if len(found) > MAX_TOLD else "")


def _named(scanned: _Scanned) -> tuple[InputFile, ...]:
    names = shortest_names([str(file.path) for file in scanned.files])
    sources = _sources(scanned.files)
    together = zip(scanned.files, names, sources, scanned.formats, scanned.scans, strict=True)
    return tuple(
        InputFile(file.path, name, source, format, each.num_bytes, each.sha256)
        for file, name, source, format, each in together
    )


def _sources(files: Sequence[FoundFile]) -> list[str]:
    """Return each file's source, or its unique name where another file or dataset has that source.

    The files of one dataset have one source.
    """
    owners = [_owner(file) for file in files]
    kinds = dict(zip(owners, files, strict=True))
    names = dict(zip(kinds, shortest_names(list(kinds)), strict=True))
    bare = {owner: _bare(names[owner], file) for owner, file in kinds.items()}
    same_source = Counter(file.source for file in kinds.values())
    same_bare = Counter(bare.values())
    unique = {o: bare[o] if same_bare[bare[o]] == 1 else names[o] for o in kinds}
    together = zip(owners, files, strict=True)
    return [f.source if same_source[f.source] == 1 else unique[owner] for owner, f in together]


def _owner(file: FoundFile) -> str:
    """Return the file, or the dataset that it is one of."""
    return str(Path(str(file.path)).absolute().parent) if file.is_stream else str(file.path)


def _bare(name: str, file: FoundFile) -> str:
    """Return a file's name without its extensions; a dataset's name has none."""
    if file.is_stream:
        return name
    return str(Path(name.removesuffix(".gz").removesuffix(".zst")).with_suffix(""))


def shortest_names(paths: Sequence[str]) -> list[str]:
    """Return for each of these different paths its shortest end that no other one has."""
    names = [""] * len(paths)
    parts = {n: _parts(path) for n, path in enumerate(paths)}
    length = 1
    while parts:
        ends = {n: "/".join(each[-length:]) for n, each in parts.items()}
        count = Counter(ends.values())
        for n, end in ends.items():
            if count[end] == 1:
                names[n] = end
                del parts[n]
        length += 1
    return names


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")) if is_address(path) else Path(path).absolute().parts
