-- Every file of an artifact that is a table, with its size.
SELECT
    file,
    bytes
FROM shards
WHERE num_rows IS NOT NULL;
