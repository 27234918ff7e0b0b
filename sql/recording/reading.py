"""Read what is said of the tokens of a round, shard by shard, each verified and aligned.

Shapes: N = samples of a shard, T = all their tokens one after another.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as types
from numpy.typing import NDArray

from sql.recording.artifacts import Committed
from tokensieve.corpus import Float32s, Shard, read_shard, score_column
from tokensieve.errors import DamagedError
from tokensieve.selection import POLICY

WORDS = ("reason", POLICY)
"""Columns of words that statistics are made of."""
_DECIDED = "decided"
Columns = dict[str, NDArray[Any]]
"""By the names that they have in views, each over T."""


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


def read_shards(corpus: Committed) -> Iterator[tuple[int, Shard]]:
    """Yield the shards of a corpus with their numbers."""
    for number in range(corpus.artifact.num_shards):
        yield number, read_shard(corpus.artifact, corpus.commit, number)


def said_of_tokens(steps: dict[str, Committed], number: int, shard: Shard) -> Columns:
    """Return everything that scores and selection say of a shard's tokens, named as in views."""
    columns: Columns = {}
    for step, each in steps.items():
        _, of_role, role = step.partition("scores.")
        if of_role or step == "selection":
            found = read_lists(each, number, shard)
            columns |= {f"{role}_{name}" if role else name: found[name] for name in found}
    return columns


def read_lists(
    each: Committed, number: int, shard: Shard, names: list[str] | None = None
) -> Columns:
    """Return the lists of numbers, and of WORDS, of a shard: verified, and over its tokens."""
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
    return column.name in WORDS or bool(types.is_floating(column.type.value_type))


def final_weights(columns: Columns) -> Float32s:
    """Return what each token weighed in the end: what its training decided, or the selection."""
    weight_T: Float32s = columns["weight"]
    decided_T = columns.get(_DECIDED, weight_T)
    return np.where(np.isnan(decided_T), weight_T, decided_T)
