-- Every document of a run that is in this index.
SELECT
    run,
    document,
    content
FROM documents;
