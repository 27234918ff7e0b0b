"""Lay the response tokens of a round into temporary tables, one shard in memory at a time.

Shapes: N = samples of a shard, T = all their tokens one after another.
"""

from collections.abc import Iterator, Mapping

import duckdb
import numpy as np
import pyarrow as pa

from sql.recording.artifacts import Committed
from sql.statements import run, run_given
from tokensieve.corpus import Float32s, Int32s, Shard, list_array, read_shard, score_column
from tokensieve.errors import DamagedError

_WEIGHT = {"weight": ("selection", "weight")}
_COLUMNS = _WEIGHT | {f"{role}_nll": (f"scores.{role}", "nll") for role in ("base", "reference")}
"""Step and column that each staged column is read from."""


def stage_round(connection: duckdb.DuckDBPyConnection, steps: dict[str, Committed]) -> None:
    """Fill staged_samples and staged_tokens, one shard in memory at a time."""
    run(connection, "create_staged_samples")
    run(connection, "create_staged_tokens")
    num_samples = 0
    for shard, columns in _shards(steps, _COLUMNS):
        sample_N = np.arange(num_samples, num_samples + shard.num_samples, dtype=np.int32)
        num_samples += shard.num_samples
        run_given(connection, "stage_samples", _samples_table(shard, sample_N))
        run_given(connection, "stage_tokens", _tokens_table(shard, sample_N, columns))


def stage_choices(
    connection: duckdb.DuckDBPyConnection, steps: dict[str, Committed], is_before: bool
) -> None:
    """Add to staged_choices what a round kept: the one at hand, or the one before it."""
    for shard, columns in _shards(steps, _WEIGHT):
        table = _choices_table(shard, columns["weight"])
        run_given(connection, "stage_choices", table, is_before=is_before)


def _shards(
    steps: dict[str, Committed], wanted: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[Shard, dict[str, Float32s]]]:
    """Yield each shard with its columns over T, verified and compared with the corpus."""
    corpus = steps["corpus"]
    for number in range(corpus.artifact.num_shards):
        shard = read_shard(corpus.artifact, corpus.commit, number)
        columns = {
            name: _column(steps[step], number, column, shard)
            for name, (step, column) in wanted.items()
            if step in steps
        }
        yield shard, columns


def _column(each: Committed, number: int, name: str, shard: Shard) -> Float32s:
    receipt = each.commit.receipts[number]
    table = each.artifact.read_table(receipt, "shards", columns=["sample_id", name])
    try:
        return score_column(table, name, shard)
    except DamagedError as error:
        path = each.artifact.storage.path(receipt.files["shards"].key)
        raise DamagedError(f"{path}: {error}") from None


def _samples_table(shard: Shard, sample_N: Int32s) -> pa.Table:
    return pa.table(
        {
            "sample": sample_N,
            "sample_id": pa.array(shard.sample_ids, pa.string()),
            "source": pa.array(shard.sources, pa.string()),
            "tokens": shard.lengths_N.astype(np.int32),
        }
    )


def _tokens_table(shard: Shard, sample_N: Int32s, columns: dict[str, Float32s]) -> pa.Table:
    """Return the response tokens with their scores and weights, null where there is none."""
    response_T = shard.response_T
    nothing_T = np.full(len(response_T), np.nan, dtype=np.float32)
    table = {
        "sample": np.repeat(sample_N, shard.lengths_N)[response_T],
        "turn": shard.turn_T[response_T],
        "token_id": shard.input_ids_T[response_T],
    }
    for name in ("base_nll", "reference_nll", "weight"):
        values_T = columns.get(name, nothing_T)
        table[name] = pa.array(values_T[response_T], pa.float32(), from_pandas=True)
    return pa.table(table)


def _choices_table(shard: Shard, weight_T: Float32s) -> pa.Table:
    """Return the samples, and along their tokens whether each is kept: null in the prompt."""
    kept_T = pa.array(weight_T != 0, mask=~shard.response_T)
    offsets_N1 = pa.array(shard.offsets_N1, pa.int32())
    return pa.table(
        {
            "sample_id": pa.array(shard.sample_ids, pa.string()),
            "source": pa.array(shard.sources, pa.string()),
            "input_ids": list_array(shard.offsets_N1, shard.input_ids_T),
            "kept": pa.ListArray.from_arrays(offsets_N1, kept_T),
        }
    )
