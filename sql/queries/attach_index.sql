-- A database file, only to be read, in place of the one in memory. In: $file.
ATTACH $file AS tokensieve (READ_ONLY);  -- noqa: PRS
