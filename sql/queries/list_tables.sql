-- The tables of an index; none in a new file.
SELECT table_name
FROM duckdb_tables()
WHERE NOT internal;
