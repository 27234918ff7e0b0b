"""Lay the response tokens of a round into temporary tables, one shard in memory at a time.

Shapes: N = samples of a shard, T = all their tokens one after another.
"""

from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.types as types
from numpy.typing import NDArray

from sql.recording.artifacts import Committed
from sql.statements import run, run_given
from tokensieve.corpus import Bools, Float32s, Int32s, Shard, list_array, read_shard, score_column
from tokensieve.errors import DamagedError

_STAGED = ("samples", "tokens", "attributes", "reasons")
_REASON = "reason"
_DECIDED = "decided"
_FINAL = "final_weight"
_ALWAYS = ("base_nll", "reference_nll", _REASON)
"""Columns that statements name, whether or not the round has them."""
Columns = dict[str, NDArray[Any]]


class Decisions:
    """What each token of a corpus last weighed in the training of a round, if that was decided at
    each step.
    """

    def __init__(self, steps: dict[str, Committed]) -> None:
        """Read it, verified: 4 bytes of memory for each token."""
        self._table, self._num_read = None, 0
        if "model" in steps:
            model, [receipt] = steps["model"].artifact, steps["model"].commit.receipts
            if "decisions" in receipt.files:
                self._place = model.storage.place(receipt.files["decisions"].key)
                self._table = model.read_table(receipt, "decisions")

    def next(self, shard: Shard) -> Columns:
        """Return the column of the shard after those before; none if nothing was decided."""
        if self._table is None:
            return {}
        rows = self._table.slice(self._num_read, shard.num_samples)
        self._num_read += shard.num_samples
        return {_DECIDED: _checked_column(rows, "weight", shard, self._place)}


def stage_round(connection: duckdb.DuckDBPyConnection, steps: dict[str, Committed]) -> None:
    """Fill the temporary tables of _STAGED, one shard in memory at a time."""
    for name in _STAGED:
        run(connection, f"create_staged_{name}")
    num_samples, decisions = 0, Decisions(steps)
    for number, shard in _shards(steps["corpus"]):
        sample_N = np.arange(num_samples, num_samples + shard.num_samples, dtype=np.int32)
        num_samples += shard.num_samples
        columns = _said_of_tokens(steps, number, shard) | decisions.next(shard)
        tokens = _tokens_table(shard, sample_N, columns)
        run_given(connection, "stage_samples", _samples_table(shard, sample_N))
        run_given(connection, "stage_tokens", tokens)
        run_given(connection, "stage_attributes", tokens.select([*_numbers(columns), _FINAL]))
        run_given(connection, "stage_reasons", tokens)


def stage_choices(
    connection: duckdb.DuckDBPyConnection, steps: dict[str, Committed], is_before: bool
) -> None:
    """Add to staged_choices what a round kept: the one at hand, or the one before it."""
    decisions = Decisions(steps)
    for number, shard in _shards(steps["corpus"]):
        columns = _lists(steps["selection"], number, shard, ["weight"]) | decisions.next(shard)
        choices = _choices_table(shard, _final_weights(columns))
        run_given(connection, "stage_choices", choices, is_before=is_before)


def _shards(corpus: Committed) -> Iterator[tuple[int, Shard]]:
    for number in range(corpus.artifact.num_shards):
        yield number, read_shard(corpus.artifact, corpus.commit, number)


def _said_of_tokens(steps: dict[str, Committed], number: int, shard: Shard) -> Columns:
    """Return everything that scores and selection say of a shard's tokens, named as in views."""
    columns: Columns = {}
    for step, each in steps.items():
        _, of_role, role = step.partition("scores.")
        if of_role or step == "selection":
            lists = _lists(each, number, shard)
            columns |= {f"{role}_{name}" if role else name: lists[name] for name in lists}
    return columns


def _lists(each: Committed, number: int, shard: Shard, names: list[str] | None = None) -> Columns:
    """Return the lists of numbers, and the reasons, of a shard: verified, and over its tokens."""
    receipt = each.commit.receipts[number]
    wanted = names and ["sample_id", *names]
    table = each.artifact.read_table(receipt, "shards", columns=wanted)
    found = [each.name for each in table.schema if _is_of_tokens(each)]
    place = each.artifact.storage.place(receipt.files["shards"].key)
    return {name: _checked_column(table, name, shard, place) for name in found}


def _checked_column(table: pa.Table, name: str, shard: Shard, place: str) -> NDArray[Any]:
    """Return a column over the shard's tokens; DamagedError names the file if it is not along."""
    try:
        return score_column(table, name, shard)
    except DamagedError as error:
        raise DamagedError(f"{place}: {error}") from None


def _is_of_tokens(column: pa.Field) -> bool:
    if not types.is_list(column.type):
        return False
    return column.name == _REASON or bool(types.is_floating(column.type.value_type))


def _numbers(columns: Columns) -> list[str]:
    return [name for name in columns if name != _REASON]


def _samples_table(shard: Shard, sample_N: Int32s) -> pa.Table:
    return pa.table(
        {
            "sample": sample_N,
            "sample_id": pa.array(shard.sample_ids, pa.string()),
            "source": pa.array(shard.sources, pa.string()),
            "tokens": shard.lengths_N.astype(np.int32),
        }
    )


def _tokens_table(shard: Shard, sample_N: Int32s, columns: Columns) -> pa.Table:
    """Return the response tokens with all that is said of them, null where there is nothing."""
    response_T = shard.response_T
    table = {
        "sample": np.repeat(sample_N, shard.lengths_N)[response_T],
        "turn": shard.turn_T[response_T],
        "token_id": shard.input_ids_T[response_T],
    }
    for name in dict.fromkeys([*_ALWAYS, *columns]):
        type = pa.string() if name == _REASON else pa.float32()
        table[name] = _of_response(columns.get(name), response_T, type)
    table[_FINAL] = _of_response(_final_weights(columns), response_T, pa.float32())
    return pa.table(table)


def _final_weights(columns: Columns) -> Float32s:
    """Return what each token weighed in the end: what its training decided, or the selection."""
    weight_T: Float32s = columns["weight"]
    decided_T = columns.get(_DECIDED, weight_T)
    return np.where(np.isnan(decided_T), weight_T, decided_T)


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
