-- Remember that a document of a run is in this index.
INSERT INTO documents VALUES ($run, $document, $content);
