"""What is remembered: the DuckDB index of the artifacts. The only importer of duckdb.

Every statement is a file: schema/NNN_*.sql, views/*.sql, queries/verb_noun.sql.
"""

from sql.explanation import explain_token
from sql.published import connect_published, index_place
from sql.statements import rows, run
from sql.token_maps import read_token_maps

__all__ = ["connect_published", "explain_token", "index_place", "read_token_maps", "rows", "run"]
