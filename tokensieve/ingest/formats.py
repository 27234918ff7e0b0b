"""The formats of tables: what opens a file, by the name that its first bytes give it."""

from collections.abc import Callable

from tokensieve.ingest.arrow_stream import open_arrow
from tokensieve.ingest.opening import Place
from tokensieve.ingest.parquet import open_parquet
from tokensieve.ingest.tables import Table

TABLES: dict[str, Callable[[Place], Table]] = {"parquet": open_parquet, "arrow": open_arrow}
"""A file of any other name holds lines."""
