"""Read an export as torchtune does: packed, and collated."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

from torchtune.data import padded_collate_sft

recipe = runpy.run_path(str(Path(sys.argv[1]) / "tokensieve_data.py"))
tokenizer = SimpleNamespace(max_seq_len=int(sys.argv[2]))
rows = recipe["train_dataset"](tokenizer)
packs = recipe["train_dataset"](tokenizer, packed=True)
packed = [label for pack in packs for label in pack["labels"].tolist() if label != -100]
batch = padded_collate_sft([rows[n] for n in range(len(rows))], padding_idx=0, ignore_idx=-100)
unpacked = batch["labels"][batch["labels"] != -100].tolist()
assert sorted(packed) == sorted(unpacked)
print(json.dumps({"rows": len(rows), "trained": sorted(packed)}))
