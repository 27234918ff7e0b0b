"""Samples of a round with everything said of their tokens, read from the artifacts' files.

Of the files only those are read in full that hold one of the samples; of the others the ids.

Shapes: N = samples that are asked for, T = all their tokens one after another.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sql.query import limited
from sql.statements import arrow_table, rows, run
from tokensieve.corpus import Float32s, Shard, score_column
from tokensieve.errors import DamagedError, SettingsError, shortened
from tokensieve.storage import Storage
from tokensieve.token_maps import TokenMap, visible_token

MAX_SECONDS = 300.0
Columns = dict[str, NDArray[Any]]
"""By the names that they have in the view `samples`, each over T: numbers, or words."""
Made = dict[str, Any]
"""Run and round, and the ids of what they are made of."""


def read_token_maps(
    storage: Storage, run_name: str, round: int, sample_ids: Sequence[str]
) -> list[TokenMap]:
    """Return the maps of some samples of a round, in the order in which they are asked for.

    Raises SettingsError if the index lacks the round, or the round lacks a sample, DamagedError if
    a file is not what it should be, and what `limited` raises.
    """
    with limited(storage, MAX_SECONDS) as connection:
        made = _made(connection, storage, run_name, round)
        if not sample_ids:
            return []
        reader = _Reader(connection, storage, list(sample_ids))
        shard = reader.read_corpus(made)
        columns = _with_influence(reader.read_columns(made, shard))
        texts = _texts(connection, made["whole"], shard)
    return [_map(made, shard, columns, texts, n) for n in range(shard.num_samples)]


def _made(
    connection: duckdb.DuckDBPyConnection, storage: Storage, run_name: str, round: int
) -> Made:
    found = rows(run(connection, "find_round", run=run_name, round=round))
    if not found:
        raise SettingsError(
            f"{storage}: the index has no round {round} of run {shortened(run_name)}. "
            "`tokensieve status` shows the runs, `tokensieve history RUN` the rounds of one."
        )
    scores = run(connection, "list_round_scores", run=run_name, round=round).fetchall()
    return {"run": run_name, "round": round, "scores": scores, **found[0]}


class _Reader:
    """Reads the samples that are asked for from one artifact after another."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, storage: Storage, sample_ids: list[str]
    ) -> None:
        self._connection, self._storage, self._sample_ids = connection, storage, sample_ids
        self._shards: list[int] = []

    def read_corpus(self, made: Made) -> Shard:
        """Return the samples; from now on only the shards that hold them are read."""
        files = self._files(made["corpus"], "shards")
        asked: dict[str, Any] = {"corpus": made["corpus"], "samples": self._sample_ids}
        found = run(self._connection, "locate_samples", files=files, **asked).fetchall()
        place_of = {id: (shard, row) for id, shard, row in found}
        self._check_found(place_of, made)
        self._shards = sorted({shard for shard, _ in place_of.values()})
        table = self._table([files[shard] for shard in self._shards])
        indices, numbers = (table[name].to_pylist() for name in ("file_index", "file_row_number"))
        shards = [self._shards[index] for index in indices]
        row_at = {place: row for row, place in enumerate(zip(shards, numbers, strict=True))}
        return Shard.from_table(table.take([row_at[place_of[id]] for id in self._sample_ids]))

    def read_columns(self, made: Made, shard: Shard) -> Columns:
        """Return everything that selection, scores and training say of the tokens."""
        columns = dict(self._columns(made["selection"], shard))
        for role, scores in made["scores"]:
            columns |= {f"{role}_{name}": each for name, each in self._columns(scores, shard)}
        if made["model"] is not None:
            [(_, columns["decided"])] = self._columns(made["model"], shard, "decisions")
        return columns

    def _columns(
        self, artifact: str, shard: Shard, part: str = "shards"
    ) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield every list that the artifact has for each sample, by name."""
        files = self._files(artifact, part)
        if part == "shards":
            files = [files[shard] for shard in self._shards]
        table = self._table(files)
        row_of = {id: row for row, id in enumerate(table["sample_id"].to_pylist())}
        if not row_of.keys() >= set(self._sample_ids):
            raise DamagedError(
                f"{self._storage.place(artifact)}: lacks a sample of its corpus. Run `tokensieve "
                "verify`, and the command that made it again."
            )
        table = table.take([row_of[id] for id in self._sample_ids])
        for column in table.schema:
            if pa.types.is_list(column.type):
                yield column.name, score_column(table, column.name, shard)

    def _files(self, artifact: str, part: str) -> list[str]:
        found = run(self._connection, "list_files_of", artifact=artifact, part=part).fetchall()
        return [self._storage.place(key) for (key,) in found]

    def _table(self, files: list[str]) -> pa.Table:
        return arrow_table(self._connection, "read_samples", files=files, samples=self._sample_ids)

    def _check_found(self, place_of: dict[str, tuple[int, int]], made: Made) -> None:
        missing = [id for id in self._sample_ids if id not in place_of]
        if missing:
            more = f" and {len(missing) - 1} more of those asked for" if len(missing) > 1 else ""
            raise SettingsError(
                f"{self._storage}: round {made['round']} of run {shortened(made['run'])} has no "
                f"sample {shortened(missing[0])}{more}. The view `samples` lists them."
            )


def _with_influence(columns: Columns) -> Columns:
    """Return the columns, and what the view `tokens` adds: base nll - reference nll, in nats."""
    if not {"base_nll", "reference_nll"} <= columns.keys():
        return columns
    influence_T = columns["base_nll"].astype(np.float64) - columns["reference_nll"]
    return columns | {"influence": influence_T.astype(np.float32)}


def _texts(connection: duckdb.DuckDBPyConnection, corpus: str, shard: Shard) -> dict[int, str]:
    """Return the text of each token, as it may be shown; what the vocabulary lacks is a number."""
    ids = [str(id) for id in np.unique(shard.input_ids_T)]
    found = run(connection, "list_token_texts", corpus=corpus, token_ids=ids).fetchall()
    return {int(id): f"⟨{id}⟩" for id in ids} | {id: visible_token(text) for id, text in found}


def _map(
    made: Made, shard: Shard, columns: Columns, texts: dict[int, str], sample: int
) -> TokenMap:
    start, end = shard.offsets_N1[sample : sample + 2]
    said = {name: value_T[start:end] for name, value_T in columns.items()}
    words = {name: tuple(said.pop(name)) for name in columns if columns[name].dtype == object}
    token_ids_T, response_T = shard.input_ids_T[start:end], shard.response_T[start:end]
    weight_T: Float32s = np.where(response_T, said.pop("weight"), np.float32("nan"))
    return TokenMap(
        run=made["run"],
        round=made["round"],
        sample_id=shard.sample_ids[sample],
        source=shard.sources[sample],
        texts=tuple(texts[id] for id in token_ids_T.tolist()),
        token_ids_T=token_ids_T,
        response_T=response_T,
        turn_T=shard.turn_T[start:end],
        weight_T=weight_T,
        decided_T=said.pop("decided", None),
        columns=said,
        words=words,
    )
