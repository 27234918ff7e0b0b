"""Read an export as Axolotl does: its loader, its packing sampler and its collator."""

import json
import sys
from pathlib import Path

import yaml
from axolotl.monkeypatch.data.batch_dataset_fetcher import apply_multipack_dataloader_patch
from axolotl.utils.collators import V2BatchSamplerDataCollatorForSeq2Seq
from axolotl.utils.data import prepare_datasets
from axolotl.utils.dict import DictDefault
from axolotl.utils.samplers import MultipackBatchSampler, get_dataset_lengths
from torch.utils.data import DataLoader, SequentialSampler
from transformers import AutoTokenizer


def main():
    recipe = DictDefault(yaml.safe_load((Path(sys.argv[1]) / "axolotl.yaml").read_text()))
    recipe |= {"batch_size": 1, "micro_batch_size": 1, "gradient_accumulation_steps": 1}
    recipe |= {"num_epochs": 1, "seed": 0}
    recipe |= {"dataset_num_proc": 1, "val_set_size": 0, "tokenizer_config": recipe["base_model"]}
    recipe |= {"sample_packing_group_size": 100_000, "sample_packing_bin_size": 200}
    recipe = DictDefault(recipe)
    tokenizer = AutoTokenizer.from_pretrained(recipe.base_model)
    rows, *_ = prepare_datasets(recipe, tokenizer)
    sampler = MultipackBatchSampler(
        SequentialSampler(rows),
        batch_size=1,
        batch_max_len=recipe.sequence_len,
        lengths=get_dataset_lengths(rows),
        drop_last=False,
        num_processes=1,
        group_size=recipe.sample_packing_group_size,
        bin_size=recipe.sample_packing_bin_size,
    )
    collate = V2BatchSamplerDataCollatorForSeq2Seq(tokenizer=tokenizer, padding=True)
    wanted = ["input_ids", "attention_mask", "labels", "position_ids"]
    rows = rows.select_columns([name for name in rows.column_names if name in wanted])
    apply_multipack_dataloader_patch()
    trained = []
    for batch in DataLoader(rows, batch_sampler=sampler, collate_fn=collate):
        trained += batch["labels"][batch["labels"] != -100].tolist()
    print(json.dumps({"rows": len(rows), "trained": sorted(trained)}))


if __name__ == "__main__":  # its sampler starts processes
    main()
