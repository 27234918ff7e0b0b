-- Remember the texts of a corpus's tokens. In: `given`, with token_id, text, special.
INSERT INTO vocabulary BY NAME
SELECT
    $corpus AS corpus,
    token_id,
    text,
    special
FROM given
ON CONFLICT DO NOTHING;
