-- Every artifact's files by part, in shard order.
SELECT
    artifact,
    kind,
    part,
    list(file ORDER BY shard) AS files
FROM shards
GROUP BY ALL
ORDER BY ALL;
