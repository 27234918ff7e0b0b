-- The values of the settings called $names, as text.
SELECT
    name,
    value
FROM duckdb_settings()
WHERE list_contains($names, name);
