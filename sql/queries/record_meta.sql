-- Sign a new index.
INSERT INTO meta VALUES ($format, $schema_version, $workspace);
