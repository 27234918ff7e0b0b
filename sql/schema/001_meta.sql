-- Whose file this is, and how it was made. One row, and no time in it: the same rounds give the
-- same index.
CREATE TABLE meta (
    format VARCHAR NOT NULL CHECK (format = 'tokensieve index'),  -- by which it is known
    schema_version INTEGER NOT NULL,  -- another one: the index is made anew from the artifacts
    workspace VARCHAR NOT NULL  -- absolute; the views read the artifacts below it
);
