"""Read an export as ms-swift does: load the messages, and encode them for training."""

import json
import runpy
import sys
from pathlib import Path

import yaml
from swift.dataset import load_dataset
from swift.model import get_model_processor
from swift.template import get_template

recipe = yaml.safe_load((Path(sys.argv[1]) / "ms_swift.yaml").read_text())
runpy.run_path(recipe["external_plugins"][0])
_, processor = get_model_processor(recipe["model"], model_type="llama", load_model=False)
template = get_template(
    processor,
    template_type=recipe["template"],
    max_length=recipe["max_length"],
    loss_scale=recipe["loss_scale"],
)
template.set_mode("train")
rows, _ = load_dataset(recipe["dataset"], shuffle=False)
encoded = [template.encode(row) for row in rows]
trained = [label for each in encoded for label in each["labels"] if label != -100]
ids = [[int(id) for id in each["input_ids"]] for each in encoded]
print(json.dumps({"rows": len(ids), "trained": sorted(map(int, trained)), "ids": ids}))
