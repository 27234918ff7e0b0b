"""Scores that somebody else made: a number for each token, from one column of a Parquet file.

Shapes: M = samples of the file, V = all their numbers one after another, L = tokens of one sample;
N and T as in `corpus`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as types

from tokensieve.corpus import Bools, Float32s, Int64s, Shard
from tokensieve.errors import InputError, shortened
from tokensieve.ingest.opening import Place, open_regular, reading
from tokensieve.ingest.parquet import check_ending, checked_file
from tokensieve.storage import sha256_hex

_ID = "sample_id"
_LISTS = pa.large_list(pa.float32())
_BATCH_ROWS = 4096


@dataclass(frozen=True)
class ExternalScores:
    """The numbers of a file, whole in memory."""

    path: Place
    sha256: str
    """Of the very bytes that the numbers were read from."""
    column: str
    """Name of the column of lists; its unit, sign and meaning are its maker's."""
    rows: Mapping[str, int]
    """Row of each sample that has a list, from 0."""
    offsets_M1: Int64s
    """Where the list of each row begins, and the end."""
    values_V: Float32s
    """NaN where the file holds null or NaN, infinite beyond the range of float32."""

    def along(self, sample_id: str, response_L: Bools) -> Float32s:
        """Return value_L of a sample that the file has, NaN where it holds no number.

        Raises InputError unless its list is as long as the sample or as its response.
        """
        row = self.rows[sample_id]
        values = self.values_V[self.offsets_M1[row] : self.offsets_M1[row + 1]]
        if len(values) == len(response_L):
            return values
        num_response = int(np.count_nonzero(response_L))
        if len(values) != num_response:
            raise InputError(
                f"{self.path}:{row + 1}:{self.column}: sample {shortened(sample_id)} has "
                f"{len(values)} numbers, but {len(response_L)} tokens, {num_response} of them of a "
                "response. Give one number for each, made with this tokenizer and template."
            )
        value_L = np.full(len(response_L), np.nan, dtype=np.float32)
        value_L[response_L] = values
        return value_L


def read_external(path: Place) -> ExternalScores:
    """Return the numbers of a Parquet file: `sample_id`, and one column of lists of floats.

    Its other columns are not read. Raises InputError for a file that cannot be read or has other
    columns than these, and for an id that is missing or stands twice.
    """
    with open_regular(path) as opened, reading(path):
        data = opened.readall()  # at once: what is hashed is what is read
    check_ending(path, len(data), data)
    with reading(path):
        file = checked_file(path, pa.BufferReader(data))
        column = _score_column(path, file.schema_arrow)
        ids, lengths_M, values_V = _lists(path, file, column)
    return ExternalScores(
        path=path,
        sha256=sha256_hex(data),
        column=column,
        rows=ids,
        offsets_M1=np.concatenate([[0], np.cumsum(lengths_M, dtype=np.int64)]),
        values_V=values_V,
    )


def external_column(external: ExternalScores, shard: Shard) -> tuple[Float32s, dict[str, int]]:
    """Return value_T, NaN where there is no score, and what was counted.

    Only response tokens that a model could predict have a score, like in `score_shard`, and of the
    counts response_tokens = scored_tokens + non_finite_tokens + unscorable_tokens likewise. Tokens
    without a number, or with an infinite one, are not finite; a sample that the file lacks has no
    score and is one of missing_samples, all others are known_samples. Raises InputError for a list
    of the wrong length.
    """
    value_T = np.full(len(shard.input_ids_T), np.nan, dtype=np.float32)
    num_known = 0
    for sample_id, span in zip(shard.sample_ids, shard.slices(), strict=True):
        if sample_id in external.rows:
            value_T[span] = external.along(sample_id, shard.response_T[span])
            num_known += 1
    scorable_T = shard.scorable_T
    value_T[~(scorable_T & np.isfinite(value_T))] = np.nan
    num_response, num_scorable = int(shard.response_T.sum()), int(scorable_T.sum())
    num_scored = int(np.count_nonzero(~np.isnan(value_T)))
    counts = {
        "tokens": len(value_T),
        "response_tokens": num_response,
        "scored_tokens": num_scored,
        "non_finite_tokens": num_scorable - num_scored,
        "unscorable_tokens": num_response - num_scorable,
        "known_samples": num_known,
        "missing_samples": shard.num_samples - num_known,
    }
    return value_T, counts


def num_unknown_samples(external: ExternalScores, totals: Mapping[str, int]) -> int:
    """Return how many samples of the file the corpus lacks, given the counts over all its shards.

    Raises InputError if it lacks all of them: then the file is of another corpus.
    """
    if not totals["known_samples"]:
        first = next(iter(external.rows), "")
        raise InputError(
            f"{external.path}: {_ID}: none of its {len(external.rows)} samples is in the corpus, "
            f"the first being {shortened(first)}. Take the ids from the corpus's `samples` view."
        )
    return len(external.rows) - totals["known_samples"]


def _score_column(path: Place, schema: pa.Schema) -> str:
    """Return the name of the only column of lists of floats."""
    for name in schema.names:
        if schema.names.count(name) > 1:
            raise InputError(f"{path}: has two columns {shortened(name)}. Rename one.")
    _check_ids(path, schema)
    found = [each.name for each in schema if _is_float_list(each.type)]
    if len(found) != 1:
        told = shortened(", ".join(f"{each.name}: {each.type}" for each in schema), 200)
        raise InputError(
            f"{path}: must have exactly one column of lists of floats beside {_ID}, but has "
            f"{len(found)} of them ({told}). Write them to files of their own."
        )
    return str(found[0])


def _check_ids(path: Place, schema: pa.Schema) -> None:
    if _ID not in schema.names:
        told = shortened(", ".join(schema.names), 200)
        raise InputError(f"{path}: has no column {_ID}; found {told}. Name the samples in one.")
    type = schema.field(_ID).type
    plain = type.value_type if types.is_dictionary(type) else type
    is_text = types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain)
    if not (is_text or types.is_integer(plain)):
        raise InputError(
            f"{path}: column {_ID} must hold strings or integers, but is of type "
            f"{shortened(type, 200)}. Convert it before."
        )


def _is_float_list(type: pa.DataType) -> bool:
    is_list = types.is_list(type) or types.is_large_list(type) or types.is_fixed_size_list(type)
    return bool(is_list and types.is_floating(type.value_type))


def _lists(
    path: Place, file: pq.ParquetFile, column: str
) -> tuple[dict[str, int], Int64s, Float32s]:
    """Return the row of each sample that has a list, and lengths_M and values_V of the lists."""
    rows: dict[str, int] = {}
    without_list: list[str] = []
    lengths, values = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.float32)]
    for batch in file.iter_batches(_BATCH_ROWS, columns=[_ID, column], use_threads=False):
        ids = _new_ids(path, rows, batch[_ID])
        lists = batch[column].cast(_LISTS)
        without_list += [ids[row] for row in np.flatnonzero(lists.is_null())]
        lengths.append(pc.list_value_length(lists).fill_null(0).to_numpy())
        values.append(lists.flatten().to_numpy(zero_copy_only=False))  # null becomes NaN
    for sample_id in without_list:
        del rows[sample_id]
    return rows, np.concatenate(lengths), np.concatenate(values)


def _new_ids(path: Place, rows: dict[str, int], ids: pa.Array) -> list[str]:
    """Add the next rows by their ids, which are returned; InputError for one that cannot be."""
    added = []
    for value in ids:
        sample_id = _text(path, len(rows), value)
        if sample_id in rows:
            raise InputError(
                f"{path}:{len(rows) + 1}:{_ID}: {shortened(sample_id)} stands in row "
                f"{rows[sample_id] + 1} too. Leave one."
            )
        rows[sample_id] = len(rows)
        added.append(sample_id)
    return added


def _text(path: Place, row: int, value: pa.Scalar) -> str:
    if not value.is_valid:
        raise InputError(f"{path}:{row + 1}:{_ID}: is null. Name the sample.")
    try:
        return str(value.as_py())
    except UnicodeDecodeError as error:
        detail = shortened(error, 200)
        raise InputError(f"{path}:{row + 1}:{_ID}: is no UTF-8 ({detail}). Mend it.") from None
