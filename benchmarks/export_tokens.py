"""Exports of many shards: the rate beside pyarrow's own write, and bounded memory.

    python benchmarks/export_tokens.py

A selection of 40 shards of 250,000 tokens is made in a temporary directory, and exported in each
format that needs no text, in a process of its own. Prints tokens/s of processor time, the ratio to
the seconds in which pyarrow writes the same three columns, which are held ready, and peak memory.
Fails if the peak of ten times as many shards is more than 1.3 times that of four.
"""

import multiprocessing
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from tokensieve.artifact import Artifact, parquet_bytes
from tokensieve.corpus import Shard, list_array
from tokensieve.exports import FORMATS, Export
from tokensieve.selection import Decision, labels, selection_tables
from tokensieve.storage import LocalStorage
from tokensieve.vocabulary import VOCABULARY_SCHEMA

SHARD_TOKENS = 250_000
SAMPLE_TOKENS = 250
VOCABULARY_SIZE = 32_000
MAX_GROWTH = 1.3


def main() -> None:
    with TemporaryDirectory() as directory:
        root = Path(directory)
        selections = {shards: made(LocalStorage(root / str(shards)), shards) for shards in (4, 40)}
        plain = seconds_of_pyarrow(root)
        names = [name for name, format in FORMATS.items() if not format.needs_base]
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            for name in names:
                _, small = pool.apply(exported, (selections[4], name, root))
                seconds, peak = pool.apply(exported, (selections[40], name, root))
                print(
                    f"{name:14} {40 * SHARD_TOKENS / seconds:12,.0f} tokens/s, "
                    f"{seconds / (40 * plain):4.1f} times pyarrow's write, "
                    f"{peak / 1e6:5,.0f} MB at most, {small / 1e6:5,.0f} MB with 4 shards"
                )
                assert peak < MAX_GROWTH * small


def drawn(number: int) -> Shard:
    draw = np.random.default_rng(number)
    num_samples = SHARD_TOKENS // SAMPLE_TOKENS
    position_T = np.arange(SHARD_TOKENS) % SAMPLE_TOKENS
    return Shard(
        sample_ids=[f"{number}-{n}" for n in range(num_samples)],
        offsets_N1=np.arange(num_samples + 1) * SAMPLE_TOKENS,
        input_ids_T=draw.integers(0, VOCABULARY_SIZE, SHARD_TOKENS, np.int32),
        sources=["a"] * num_samples,
        response_T=position_T >= SAMPLE_TOKENS // 4,
        turn_T=np.zeros(SHARD_TOKENS, dtype=np.int16),
    )


def weights(shard: Shard, number: int) -> np.ndarray:
    kept_T = np.random.default_rng(number).random(SHARD_TOKENS) < 0.6
    return (kept_T & shard.response_T).astype(np.float32)


def made(storage: LocalStorage, num_shards: int) -> Artifact:
    """Return a committed selection of drawn samples."""
    plan = {"num_shards": num_shards, "tokenizer": "drawn", "max_length": SAMPLE_TOKENS}
    plan |= {"template": {"name": "drawn", "fingerprint": ""}, "inputs": []}
    corpus = Artifact(storage, "corpora", plan)
    corpus.declare()
    chosen = {"num_shards": num_shards, "corpus": corpus.id, "scores": {}}
    selection = Artifact(storage, "selections", chosen | {"method": "random", "parameters": {}})
    selection.declare()
    ids = pa.array(range(VOCABULARY_SIZE), pa.int32())
    columns = [ids, ids.cast(pa.string()), pa.array([False] * VOCABULARY_SIZE)]
    for number in range(num_shards):
        shard = drawn(number)
        tables = {"shards": shard.to_table()}
        if number == 0:
            tables["vocabulary"] = pa.table(columns, schema=VOCABULARY_SCHEMA)
        corpus.publish(number, tables, {})
        score_T = np.where(shard.scorable_T, 0.0, np.nan)
        decision = Decision(score_T, weights(shard, number))
        selection.publish(number, *selection_tables(shard, decision, keep_empty=False))
    corpus.commit()
    selection.commit()
    return selection


def seconds_of_pyarrow(root: Path) -> float:
    """Return the processor seconds in which one shard's columns become a file, at best."""
    shard = drawn(0)
    label_T = labels(shard.input_ids_T, weights(shard, 0))
    columns = (shard.input_ids_T, label_T, (label_T != -100).astype(np.int8))
    arrays = [list_array(shard.offsets_N1, column) for column in columns]
    table = pa.Table.from_arrays(arrays, names=["input_ids", "labels", "assistant_masks"])
    found = []
    for _ in range(5):
        start = time.process_time()
        (root / "plain.parquet").write_bytes(parquet_bytes(table))
        found.append(time.process_time() - start)
    return min(found)


def exported(selection: Artifact, name: str, root: Path) -> tuple[float, int]:
    """Return the processor seconds of an export, and the most bytes that this process held."""
    start = time.process_time()
    Export(selection, FORMATS[name], root / "exports", None).made()
    seconds = time.process_time() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
