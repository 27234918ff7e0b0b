"""Read an export as LLaMA-Factory does: load the tokenised path, and collate it."""

import json
import os
import sys
from pathlib import Path

os.environ["DISABLE_VERSION_CHECK"] = "1"  # it refuses a newer transformers than it was tested with

import yaml
from llamafactory.data.collator import SFTDataCollatorWith4DAttentionMask
from llamafactory.data.loader import get_dataset
from llamafactory.data.template import TEMPLATES
from llamafactory.hparams import DataArguments
from torch.utils.data import DataLoader
from transformers import AutoTokenizer

recipe = yaml.safe_load((Path(sys.argv[1]) / "llama_factory.yaml").read_text())
tokenizer = AutoTokenizer.from_pretrained(recipe["model_name_or_path"])
template = TEMPLATES[recipe["template"]]
arguments = DataArguments(tokenized_path=recipe["tokenized_path"], dataset=recipe["dataset"])
rows = get_dataset(template, None, arguments, None, recipe["stage"], tokenizer)["train_dataset"]
collate = SFTDataCollatorWith4DAttentionMask(
    tokenizer=tokenizer, template=template, model=None, label_pad_token_id=-100
)
trained = []
for batch in DataLoader(rows, batch_size=4, collate_fn=collate):
    assert batch["input_ids"].shape == batch["labels"].shape == batch["attention_mask"].shape
    trained += batch["labels"][batch["labels"] != -100].tolist()
print(json.dumps({"rows": len(rows), "trained": sorted(trained)}))
