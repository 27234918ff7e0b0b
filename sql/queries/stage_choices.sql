-- Add the samples of one shard. In: $is_before; `given`: sample_id, source, input_ids, kept.
INSERT INTO staged_choices BY NAME
SELECT
    $is_before AS is_before,
    sample_id,
    source,
    hash(input_ids) AS tokens_hash,
    kept
FROM given;
