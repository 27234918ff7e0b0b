"""TRL's SFTTrainer, and Unsloth's, which reads the same.

`labels` are taken as they are, but up to TRL 1.6 packing drops that column, and what is left says
nothing of what is trained. `assistant_masks` survive it, so both are written and say the same. A
sample is cut at `max_length`, which is 1,024 unless the recipe says more.
"""

from collections.abc import Mapping
from textwrap import dedent
from typing import Any

import numpy as np

from tokensieve.corpus import Int64s
from tokensieve.exports.format import Destination, Format
from tokensieve.exports.rows import Rows
from tokensieve.exports.tables import PARQUET, parquet_writer


def _columns(rows: Rows, to: Destination) -> tuple[Int64s, Mapping[str, Any]]:
    return rows.shard.offsets_N1, {
        "input_ids": rows.shard.input_ids_T,
        "labels": rows.label_T,
        "assistant_masks": rows.trained_T.astype(np.int8),
    }


def _recipe(to: Destination) -> dict[str, str]:
    script = f'''\
        """Train on this export with TRL. Packing is safe: every version keeps the masks."""

        from pathlib import Path

        from datasets import load_dataset
        from trl import SFTConfig, SFTTrainer

        DATA = str(Path(__file__).resolve().parent / {PARQUET!r})
        MODEL = {to.model!r}

        trainer = SFTTrainer(
            model=MODEL,
            args=SFTConfig(
                output_dir="trained",
                packing=True,
                max_length={to.max_length},  # no sample is longer, so none is cut
            ),
            train_dataset=load_dataset("parquet", data_files=DATA, split="train"),
        )
        trainer.train()
        '''
    return {"train.py": dedent(script)}


TRL = Format(
    name="trl",
    trainers="TRL SFTTrainer 0.24 to 1.16, Unsloth",
    version=1,
    write=parquet_writer(_columns),
    recipe=_recipe,
    table=PARQUET,
)
