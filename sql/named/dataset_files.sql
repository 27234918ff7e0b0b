-- The files of the training-ready dataset that a round made, to hand to a trainer.
-- In: $run = last, $round = last. Below the workspace.
SELECT
    shards.file,
    shards.num_rows AS samples,
    shards.bytes,
    shards.sha256
FROM rounds
INNER JOIN shards ON rounds.selection = shards.artifact AND shards.part = 'train'
WHERE rounds.run = $run AND rounds.round = $round
ORDER BY shards.shard;
