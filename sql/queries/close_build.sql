-- Write everything into the database file, so that it stands alone without a log.
CHECKPOINT;
