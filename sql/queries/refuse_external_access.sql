-- Files, networks and extensions are shut off; DuckDB does not let anyone undo this.
SET enable_external_access = FALSE;
