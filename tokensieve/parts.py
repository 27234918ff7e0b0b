"""Contiguous, equal parts of a corpus, each a corpus of its own, and the slices of its scores.

Self-evolving cleaning scores, selects and trains part by part (Token Cleaning, arXiv 2502.01968):
of N samples in the order of the files, each of P parts has floor(N / P), and the N mod P last
samples are in none. A part keeps the shards of its corpus, as far as it reaches into them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tokensieve.artifact import CODE_VERSION, Artifact, Commit, load_artifact
from tokensieve.corpus import Shard, read_shard
from tokensieve.errors import SettingsError


@dataclass(frozen=True)
class Span:
    """Some neighbouring samples of one shard of the whole corpus."""

    shard: int
    start: int
    end: int


@dataclass(frozen=True)
class Part:
    """One part of a corpus."""

    artifact: Artifact
    corpus: Artifact
    spans: tuple[Span, ...]
    """Its shards."""


def num_left_out(commit: Commit, num_parts: int) -> int:
    """Return how many samples at the end of a corpus are in none of its parts."""
    return sum(_sizes(commit)) % num_parts


def part_of(corpus: Artifact, commit: Commit, part: int, num_parts: int) -> Part:
    """Return a part of a committed corpus; SettingsError if there are fewer samples than parts."""
    sizes = _sizes(commit)
    size = sum(sizes) // num_parts
    if not size:
        raise SettingsError(
            f"rounds.rounds: the corpus has {sum(sizes)} samples, too few for {num_parts} parts. "
            "Ask for fewer rounds, or give more data."
        )
    spans = _spans(sizes, part * size, (part + 1) * size)
    plan = {
        "kind": "corpora",
        "code": CODE_VERSION,
        "num_shards": len(spans),
        "of": corpus.id,
        "part": part,
        "num_parts": num_parts,
    }
    return Part(Artifact(corpus.storage, "corpora", plan), corpus, spans)


def cut_part(part: Part, commit: Commit) -> Commit:
    """Return the commit of the part, made from the committed corpus unless it is there."""
    finished = part.artifact.committed()
    if finished is not None:
        return finished
    part.artifact.declare()
    for number, span in enumerate(part.spans):
        if part.artifact.stated_receipt(number) is None:
            whole = read_shard(part.corpus, commit, span.shard)
            table = whole.to_table().slice(span.start, span.end - span.start)
            tables = {"shards": table}
            if number == 0:
                tables["vocabulary"] = part.corpus.read_table(commit.receipts[0], "vocabulary")
            part.artifact.publish(number, tables, _counts(Shard.from_table(table)))
    return part.artifact.commit()


def sliced_scores(scores: Artifact, part: Part) -> Artifact:
    """Return the part's share of the scores of the whole corpus."""
    plan = {
        "kind": "scores",
        "code": CODE_VERSION,
        "num_shards": len(part.spans),
        "corpus": part.artifact.id,
        "of": scores.id,
    }
    return Artifact(scores.storage, "scores", plan)


def slice_scores(sliced: Artifact, scores: Artifact, part: Part, corpus: Commit) -> Commit:
    """Return the commit of the slice, made from committed scores unless it is there.

    `corpus` is the commit of the whole corpus.
    """
    finished = sliced.committed()
    if finished is not None:
        return finished
    sliced.declare()
    whole = scores.required_commit()
    for number, span in enumerate(part.spans):
        if sliced.stated_receipt(number) is None:
            samples = read_shard(part.corpus, corpus, span.shard)
            table = scores.read_table(whole.receipts[span.shard], "shards")
            assert table["sample_id"].to_pylist() == samples.sample_ids, "scores of another corpus"
            table = table.slice(span.start, span.end - span.start)
            sliced.publish(number, {"shards": table}, _score_counts(table, samples, span))
    return sliced.commit()


def scores_of(selections: Iterable[Artifact]) -> list[Artifact]:
    """Return the scores that selections were made from, those of planted copies too, each once and
    as it was computed: whole, where a selection was made from a slice.
    """
    found = {}
    for selection in selections:
        planted = selection.plan.get("planted", {})
        for id in [*selection.plan["scores"].values(), *planted.values()]:
            scores = load_artifact(selection.storage, "scores", id)
            whole = load_artifact(scores.storage, "scores", scores.plan.get("of", id))
            found[whole.id] = whole
    return list(found.values())


def _sizes(commit: Commit) -> list[int]:
    """Return the number of samples of each shard, without those that repeat an earlier one."""
    duplicates = commit.notes.get("duplicates", {})
    return [
        receipt.counts["scored"] - len(duplicates.get(str(receipt.shard), []))
        for receipt in commit.receipts
    ]


def _spans(sizes: list[int], start: int, end: int) -> tuple[Span, ...]:
    """Return the samples from `start` to before `end`, shard by shard."""
    first = np.cumsum([0, *sizes]).tolist()
    inside = ((max(start, first[n]), min(end, first[n + 1]), n) for n in range(len(sizes)))
    return tuple(Span(n, low - first[n], high - first[n]) for low, high, n in inside if low < high)


def _counts(shard: Shard) -> dict[str, int]:
    return {
        "rows": shard.num_samples,
        "scored": shard.num_samples,
        "quarantined": 0,
        "skipped": 0,
        "tokens": len(shard.input_ids_T),
        "response_tokens": int(shard.response_T.sum()),
    }


def _score_counts(table: pa.Table, whole: Shard, span: Span) -> dict[str, int]:
    """Return what was counted of the slice, in the words of scoring."""
    bounds = slice(int(whole.offsets_N1[span.start]), int(whole.offsets_N1[span.end]))
    num_response = int(whole.response_T[bounds].sum())
    num_scorable = int(whole.scorable_T[bounds].sum())
    values = table.column(1).combine_chunks().flatten()  # all columns lack the same scores
    num_scored = len(values) - values.null_count
    return {
        "tokens": bounds.stop - bounds.start,
        "response_tokens": num_response,
        "scored_tokens": num_scored,
        "non_finite_tokens": num_scorable - num_scored,
        "unscorable_tokens": num_response - num_scorable,
    }
