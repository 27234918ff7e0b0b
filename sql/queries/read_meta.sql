-- Whose file this is. Fails on a database that is not an index of ours.
SELECT
    format,
    schema_version,
    workspace
FROM meta;
