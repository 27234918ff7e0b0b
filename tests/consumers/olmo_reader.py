"""Read an export as OLMo-core does: pack it, collate it, and make the labels of its loss."""

import json
import runpy
import sys
from pathlib import Path

from olmo_core.data import DataCollator
from olmo_core.data.utils import get_document_indices, get_labels

recipe = runpy.run_path(str(Path(sys.argv[1]) / "olmo_data.py"))
dataset = recipe["dataset"].build()
dataset.prepare()
collate = DataCollator(pad_token_id=dataset.pad_token_id)
trained = []
for number in range(len(dataset)):
    labels = get_labels(collate([dataset[number]]))
    trained += labels[labels != -100].tolist()
rows = sum(len(get_document_indices(path)) for path in dataset.paths)
print(json.dumps({"rows": rows, "trained": sorted(trained)}))
