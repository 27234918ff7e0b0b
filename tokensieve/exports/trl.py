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
from tokensieve.exports.tables import PARQUET, loading, parquet_writer


def _columns(rows: Rows, to: Destination) -> tuple[Int64s, Mapping[str, Any]]:
    return rows.shard.offsets_N1, {
        "input_ids": rows.shard.input_ids_T,
        "labels": rows.label_T,
        "assistant_masks": rows.trained_T.astype(np.int8),
    }


def _recipe(to: Destination) -> dict[str, str]:
    script = '''\
        """Train on this export with TRL. Packing is safe: every version keeps the masks."""

        {load.imports}from datasets import load_dataset
        from trl import SFTConfig, SFTTrainer

        DATA = {load.data}
        MODEL = {to.model!r}

        trainer = SFTTrainer(
            model=MODEL,
            args=SFTConfig(
                output_dir="trained",
                packing=True,
                max_length={to.max_length},  # no sample is longer, so none is cut
            ),
            train_dataset={load.call},
        )
        trainer.train()
        '''
    load = loading(to, "parquet", PARQUET)
    return {"train.py": dedent(script).format(to=to, load=load)}


TRL = Format(
    name="trl",
    trainers="TRL SFTTrainer 0.24 to 1.16, Unsloth",
    version=1,
    write=parquet_writer(_columns),
    recipe=_recipe,
    table=PARQUET,
)
