"""Add up the response tokens of a round in temporary tables, one shard in memory at a time.

What is held grows with the samples, sources, turns and vocabulary of the round, not with its
tokens: quantiles take a second pass over the shards, for the influences near them only.

Shapes: N = samples of a shard, T = all their tokens one after another.
"""

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sql.recording.artifacts import Committed
from sql.recording.reading import (
    WORDS,
    Columns,
    Decisions,
    final_weights,
    read_lists,
    read_shards,
    said_of_tokens,
)
from sql.statements import run, run_given
from tokensieve.corpus import Bools, Float32s, Float64s, Int32s, Shard, list_array
from tokensieve.ranking import ordered
from tokensieve.selection import POLICY

_SUMS = ("bins", "token_ids", "histogram")
_STAGED = (*_SUMS, "samples", "specials", "attributes", "reasons", "policies", "values")
_COMPARED = ("base_nll", "reference_nll")
_ALWAYS = (*_COMPARED, *WORDS)
"""Columns that statements name, whether or not the round has them."""
_FINAL = "final_weight"
_BIN_BITS = 17
"""Of a number: its sign, its exponent, and so much of its fraction that a bin is 3 % wide."""


def stage_round(
    connection: duckdb.DuckDBPyConnection, steps: dict[str, Committed], whole: str
) -> None:
    """Fill the temporary tables of _STAGED. `whole`: id of the corpus with the vocabulary.

    Call it outside of a transaction: within one, a temporary table keeps all that it ever held.
    """
    for name in _STAGED:
        run(connection, f"create_staged_{name}")
    decisions = Decisions(steps)
    for number, shard in read_shards(steps["corpus"]):
        columns = said_of_tokens(steps, number, shard) | decisions.next(shard)
        _stage_shard(connection, shard, columns, whole)
    run(connection, "find_boundaries")
    _stage_values(connection, steps)


def _stage_shard(
    connection: duckdb.DuckDBPyConnection, shard: Shard, columns: Columns, whole: str
) -> None:
    tokens = _tokens_table(shard, columns)
    run(connection, "create_staged_tokens")
    run_given(connection, "stage_tokens", tokens)
    run_given(connection, "stage_samples", _samples_table(shard))
    for name in _SUMS:
        run(connection, f"stage_{name}")
    run(connection, "stage_specials", whole=whole)
    numbers = [name for name in columns if name not in WORDS]
    run_given(connection, "stage_attributes", tokens.select([*numbers, _FINAL]))
    run_given(connection, "stage_reasons", tokens.select(["source", "reason"]))
    run_given(connection, "stage_policies", tokens.select(["source", POLICY, _FINAL]))


def _stage_values(connection: duckdb.DuckDBPyConnection, steps: dict[str, Committed]) -> None:
    """Read the shards again, for the influences in the bins that hold a quantile."""
    bins = [bin for (bin,) in run(connection, "list_boundary_bins").fetchall()]
    if not bins:
        return
    is_wanted_B = np.zeros(1 << _BIN_BITS, dtype=bool)
    is_wanted_B[bins] = True
    compared = {f"scores.{role}": steps[f"scores.{role}"] for role in ("base", "reference")}
    for number, shard in read_shards(steps["corpus"]):
        influence_T = _influence(said_of_tokens(compared, number, shard), shard)
        chosen_T = shard.response_T & is_wanted_B[_bins(influence_T)] & ~np.isnan(influence_T)
        given = _places(shard, chosen_T) | {
            "bin": _bins(influence_T)[chosen_T],
            "influence": influence_T[chosen_T],
        }
        run_given(connection, "stage_values", pa.table(given))


def stage_choices(
    connection: duckdb.DuckDBPyConnection, steps: dict[str, Committed], is_before: bool
) -> None:
    """Add to staged_choices what a round kept: the one at hand, or the one before it."""
    decisions = Decisions(steps)
    for number, shard in read_shards(steps["corpus"]):
        columns = read_lists(steps["selection"], number, shard, ["weight"])
        choices = _choices_table(shard, final_weights(columns | decisions.next(shard)))
        run_given(connection, "stage_choices", choices, is_before=is_before)


def _samples_table(shard: Shard) -> pa.Table:
    return pa.table(
        {
            "sample": _numbers(shard),
            "sample_id": pa.array(shard.sample_ids, pa.string()),
            "source": pa.array(shard.sources, pa.string()),
            "tokens": shard.lengths_N.astype(np.int32),
        }
    )


def _tokens_table(shard: Shard, columns: Columns) -> pa.Table:
    """Return the response tokens with all that is said of them, null where there is nothing."""
    response_T, influence_T = shard.response_T, _influence(columns, shard)
    table = {
        **_places(shard, response_T),
        "sample": np.repeat(_numbers(shard), shard.lengths_N)[response_T],
        "token_id": shard.input_ids_T[response_T],
        "influence": _of_response(influence_T, response_T, pa.float64()),
        "bin": pa.array(_bins(influence_T)[response_T], mask=np.isnan(influence_T)[response_T]),
    }
    for name in dict.fromkeys([*_ALWAYS, *columns]):
        type = pa.string() if name in WORDS else pa.float32()
        table[name] = _of_response(columns.get(name), response_T, type)
    table[_FINAL] = _of_response(final_weights(columns), response_T, pa.float32())
    return pa.table(table)


def _numbers(shard: Shard) -> Int32s:
    return np.arange(shard.num_samples, dtype=np.int32)


def _places(shard: Shard, chosen_T: Bools) -> dict[str, Any]:
    """Return source and turn of the chosen tokens."""
    sample_C = np.repeat(_numbers(shard), shard.lengths_N)[chosen_T]
    source = pa.DictionaryArray.from_arrays(sample_C, pa.array(shard.sources, pa.string()))
    return {"source": source, "turn": shard.turn_T[chosen_T]}


def _influence(columns: Columns, shard: Shard) -> Float64s:
    """Return base nll - reference nll of each token, in nats; NaN where either is missing."""
    unknown_T = np.full(len(shard.input_ids_T), np.nan)
    base_T, reference_T = (columns.get(name, unknown_T) for name in _COMPARED)
    influence_T: Float64s = base_T.astype(np.float64) - reference_T.astype(np.float64)
    return influence_T


def _bins(influence_T: Float64s) -> Int32s:
    """Return the bin of each influence; the higher, the higher the influence."""
    return (ordered(influence_T + 0.0) >> np.uint64(64 - _BIN_BITS)).astype(np.int32)


def _of_response(values_T: NDArray[Any] | None, response_T: Bools, type: pa.DataType) -> pa.Array:
    if values_T is None:
        return pa.nulls(int(response_T.sum()), type)
    return pa.array(values_T[response_T], type, from_pandas=True)


def _choices_table(shard: Shard, weight_T: Float32s) -> pa.Table:
    """Return the samples, and along their tokens whether each is kept: null in the prompt."""
    kept_T = pa.array(weight_T > 0, mask=~shard.response_T)
    offsets_N1 = pa.array(shard.offsets_N1, pa.int32())
    return pa.table(
        {
            "sample_id": pa.array(shard.sample_ids, pa.string()),
            "source": pa.array(shard.sources, pa.string()),
            "input_ids": list_array(shard.offsets_N1, shard.input_ids_T),
            "kept": pa.ListArray.from_arrays(offsets_N1, kept_T),
        }
    )
