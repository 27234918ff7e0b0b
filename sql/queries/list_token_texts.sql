-- The texts of some tokens of a corpus. In: $corpus, and $token_ids as text.
SELECT
    token_id,
    text
FROM vocabulary
WHERE corpus = $corpus AND token_id IN (SELECT unnest($token_ids)::INTEGER);
