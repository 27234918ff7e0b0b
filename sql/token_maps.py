"""Samples of a round with everything said of their tokens, read from the artifacts' files."""

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sql.published import connect_published
from sql.query import lock_down
from sql.statements import Value, arrow_table, run
from tokensieve.corpus import Float32s
from tokensieve.errors import SettingsError, shortened
from tokensieve.storage import Storage
from tokensieve.token_maps import TokenMap, visible_token


def read_token_maps(
    storage: Storage, run_name: str, round: int, sample_ids: Sequence[str]
) -> list[TokenMap]:
    """Return the maps of some samples of a round, in the order in which they are asked for.

    Raises SettingsError if the index lacks the round, or the round lacks a sample, and what
    `connect_published` raises.
    """
    with connect_published(storage) as connection:
        lock_down(connection, storage)
        found = run(connection, "find_round", run=run_name, round=round).fetchall()
        if not found:
            raise SettingsError(
                f"{storage}: the index has no round {round} of run {shortened(run_name)}. "
                "`tokensieve status` shows the runs, `tokensieve history` the rounds of one."
            )
        asked: dict[str, Value] = {"run": run_name, "round": round, "samples": list(sample_ids)}
        table = arrow_table(connection, "read_samples", **asked)
        row_of = {id: row for row, id in enumerate(table["sample_id"].to_pylist())}
        missing = [id for id in sample_ids if id not in row_of]
        if missing:
            raise SettingsError(
                f"{storage}: round {round} of run {shortened(run_name)} has no sample "
                f"{shortened(missing[0])} ({len(missing)} such). The view `samples` lists them."
            )
        texts = _texts(connection, found[0][0], table)
    return [_map(table.slice(row_of[id], 1), texts) for id in sample_ids]


def _texts(connection: duckdb.DuckDBPyConnection, corpus: str, table: pa.Table) -> dict[int, str]:
    """Return the text of each token of the samples, as it may be shown."""
    ids = pc.unique(table["input_ids"].combine_chunks().flatten()).to_pylist()
    found = run(connection, "list_token_texts", corpus=corpus, token_ids=ids).fetchall()
    return {id: visible_token(text) for id, text in found}


def _map(row: pa.Table, texts: dict[int, str]) -> TokenMap:
    numbers, words = _numbers(row), _words(row)
    token_ids_T = row["input_ids"][0].values.to_numpy()
    response_T = row["response"][0].values.to_numpy(zero_copy_only=False)
    return TokenMap(
        run=row["run"][0].as_py(),
        round=row["round"][0].as_py(),
        sample_id=row["sample_id"][0].as_py(),
        source=row["source"][0].as_py(),
        texts=tuple(texts.get(id, f"⟨{id}⟩") for id in token_ids_T.tolist()),
        token_ids_T=token_ids_T,
        response_T=response_T,
        turn_T=row["turn"][0].values.to_numpy(),
        weight_T=np.where(response_T, numbers.pop("weight"), np.float32("nan")),
        decided_T=numbers.pop("decided", None),
        columns=_with_influence(numbers),
        words=words,
    )


def _numbers(row: pa.Table) -> dict[str, Float32s]:
    """Return every list of floats that the sample has, by name, NaN where there is none."""
    return {
        column.name: row[column.name][0].values.to_numpy(zero_copy_only=False)
        for column in row.schema
        if pa.types.is_list(column.type)
        and pa.types.is_floating(column.type.value_type)
        and row[column.name][0].is_valid
    }


def _words(row: pa.Table) -> dict[str, tuple[str | None, ...]]:
    """Return every list of words that the sample has, by name."""
    return {
        column.name: tuple(row[column.name][0].values.to_pylist())
        for column in row.schema
        if pa.types.is_list(column.type)
        and pa.types.is_string(column.type.value_type)
        and row[column.name][0].is_valid
    }


def _with_influence(numbers: dict[str, Float32s]) -> dict[str, Float32s]:
    """Return the numbers, with what the view `tokens` adds: base nll - reference nll, in nats."""
    if not {"base_nll", "reference_nll"} <= numbers.keys():
        return numbers
    influence_T = numbers["base_nll"].astype(np.float64) - numbers["reference_nll"]
    return {"influence": influence_T.astype(np.float32), **numbers}
