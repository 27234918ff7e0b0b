"""Levanter and Marin, the only trainers here that read a weight for each token from a file.

A weight stands at the token that predicts, one before the token that it is the loss of. Rows of the
format `prebuilt` are neither packed nor padded by the trainer, so each has `max_length` tokens
here; what is filled up has no weight, and nothing before it can see it.
"""

import json
from collections.abc import Mapping
from textwrap import dedent
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokensieve.corpus import Int64s
from tokensieve.exports.format import Destination, Format
from tokensieve.exports.rows import Rows
from tokensieve.exports.tables import PARQUET, moved_back, parquet_writer


def _columns(rows: Rows, to: Destination) -> tuple[Int64s, Mapping[str, Any]]:
    shard, length = rows.shard, to.max_length
    weight_T = moved_back(rows.weight_T, shard.offsets_N1, last=0)
    place_T = _places(shard.offsets_N1, length)
    columns = {"input_ids": shard.input_ids_T, "loss_weights": weight_T}
    num_places = rows.num_rows * length
    filled = {name: _filled(each, place_T, num_places) for name, each in columns.items()}
    return np.arange(rows.num_rows + 1) * length, filled


def _places(offsets_N1: Int64s, length: int) -> Int64s:
    """Return place_T: where each token comes to stand in rows of this length."""
    shift_N = np.arange(len(offsets_N1) - 1) * length - offsets_N1[:-1]
    return np.arange(offsets_N1[-1]) + np.repeat(shift_N, np.diff(offsets_N1))


def _filled(values_T: NDArray[Any], place_T: Int64s, num_places: int) -> NDArray[Any]:
    filled = np.zeros(num_places, dtype=values_T.dtype)
    filled[place_T] = values_T
    return filled


def _recipe(to: Destination) -> dict[str, str]:
    if to.hub_name is None:
        kind, rows = "url", f"train_urls: [{json.dumps(str(to.place / PARQUET))}]"
        cache = str(to.place.with_name(f"{to.place.name}-cache"))
    else:
        kind, rows = "hf", f"id: {json.dumps(to.hub_name)}"
        cache = f"{to.place.name}-cache"
    settings = f"""\
        # Train on this export with Levanter; add how: model, trainer, optimizer.
        initialize_from_hf: {json.dumps(to.model)}
        train_seq_len: {to.max_length}   # the length of every row
        data:
          tokenizer: {json.dumps(to.model)}
          cache_dir: {json.dumps(cache)}
          block_cross_document_attention: false   # a row is one sample; an EOS inside ends a turn
          components:
            tokensieve:
              source:
                type: {kind}
                {rows}
              format:
                type: prebuilt
                input_ids_key: input_ids
                loss_weights_key: loss_weights
        """
    return {"levanter.yaml": dedent(settings)}


LEVANTER = Format(
    name="levanter",
    trainers="Levanter 0.2 of Marin",
    version=1,
    write=parquet_writer(_columns),
    recipe=_recipe,
    signed=True,
    table=PARQUET,
)
