-- The files of one part of an artifact, in shard order. In: $artifact, $part.
SELECT file
FROM shards
WHERE artifact = $artifact AND part = $part
ORDER BY shard;
