"""Small selections over a real corpus, and exports of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.tiny_plans import commit_corpus
from tokensieve.artifact import Artifact
from tokensieve.corpus import Float32s, Shard, read_shard
from tokensieve.exports import Base, Export, find_format
from tokensieve.models import ModelPlace, companions_fingerprint, load_tokenizer
from tokensieve.planning.steps import corpus_step, selection_step
from tokensieve.selection import Decision, selection_tables
from tokensieve.settings import ClusterSettings, CorpusSettings, S3Settings, SelectionSettings
from tokensieve.storage import Storage

Weigh = Callable[[Shard], Float32s]


def make_selected(
    storage: Storage,
    file: Path,
    base: Path,
    weigh: Weigh,
    template: str = "tulu",
    max_length: int = 96,
    method: str = "full",
) -> Artifact:
    """Return a committed selection of a drop, with weights that a test chooses."""
    place = ModelPlace(str(base), S3Settings())
    settings = CorpusSettings(template=template, max_quarantine=1.0)
    step = corpus_step(storage, (str(file),), place, settings, max_length, ClusterSettings())
    commit_corpus(step)
    corpus = step.artifact
    chosen = SelectionSettings(method=method)
    selection = selection_step(corpus, {}, chosen, base=None).artifact
    selection.declare()
    for number in range(corpus.num_shards):
        shard = read_shard(corpus, corpus.required_commit(), number)
        score_T = np.where(shard.scorable_T, 0.0, np.nan)
        tables = selection_tables(shard, Decision(score_T, weigh(shard)), keep_empty=False)
        selection.publish(number, *tables)
    selection.commit()
    return selection


def every_other(shard: Shard) -> Float32s:
    """Return weights of 1 for a half of the response tokens, the first sample of each shard left
    out whole.
    """
    drawn_T = np.random.default_rng(0).random(len(shard.input_ids_T)) < 0.5
    drawn_T &= shard.scorable_T
    drawn_T[: shard.offsets_N1[1]] = False
    return drawn_T.astype(np.float32)


def export_of(selection: Artifact, format: str, output: Path, base: Path | None) -> Export:
    """Return an export that may or may not be made."""
    given = base and Base(
        str(base), base, load_tokenizer(str(base)), companions_fingerprint(str(base))
    )
    return Export(selection, find_format(format), output, given)
