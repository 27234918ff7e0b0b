"""Axolotl. A dataset of these three columns with an empty `type` is taken as it is.

What Axolotl prepares is kept under a name made of its settings, not of the data: a path that is
named by its content is never taken for an older one.
"""

import json
from collections.abc import Mapping
from textwrap import dedent
from typing import Any

import numpy as np

from tokensieve.corpus import Int64s
from tokensieve.exports.format import Destination, Format
from tokensieve.exports.rows import Rows
from tokensieve.exports.tables import PARQUET, parquet_writer


def labelled_columns(rows: Rows, to: Destination) -> tuple[Int64s, Mapping[str, Any]]:
    """Return the three columns that trainers take who want no other."""
    input_ids_T = rows.shard.input_ids_T
    return rows.shard.offsets_N1, {
        "input_ids": input_ids_T,
        "attention_mask": np.ones(len(input_ids_T), dtype=np.int8),
        "labels": rows.label_T,
    }


def _recipe(to: Destination) -> dict[str, str]:
    if to.hub_name is None:
        path, how = str(to.place / "data"), "ds_type: parquet"
    else:
        path, how = to.hub_name, "split: train"
    settings = f"""\
        # Train on this export with Axolotl; add how: adapter, learning_rate, micro_batch_size, …
        base_model: {json.dumps(to.model)}
        datasets:
          - path: {json.dumps(path)}
            {how}
            type:                      # empty: the rows are tokenised
        sequence_len: {to.max_length}  # no sample is longer, so none is dropped
        sample_packing: true
        dataset_prepared_path: prepared
        output_dir: trained
        """
    return {"axolotl.yaml": dedent(settings)}


AXOLOTL = Format(
    name="axolotl",
    trainers="Axolotl 0.18 and 0.19",
    version=1,
    write=parquet_writer(labelled_columns),
    recipe=_recipe,
    table=PARQUET,
)
