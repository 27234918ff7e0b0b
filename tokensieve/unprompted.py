"""Answers read without their questions: what a model says of a response if the prompt is left out.

Shapes: N, T as in `corpus`; S = scorable tokens, A = answers (a turn of a sample) that have some,
R = all response tokens of these.
"""

from collections.abc import Callable, Sequence

import numpy as np
from transformers import PreTrainedModel

from tokensieve.corpus import Float32s, Int64s, Shard
from tokensieve.scoring import score_shard
from tokensieve.settings import ScoringSettings


def score_without_prompts(
    model: PreTrainedModel,
    shard: Shard,
    context: Sequence[int],
    settings: ScoringSettings,
    columns: Sequence[str],
    on_batch: Callable[[int], None],
) -> tuple[dict[str, Float32s], dict[str, int]]:
    """Return what `score_shard` does, along the shard's own tokens, of answers after `context`."""
    answers, token_S = without_prompts(shard, context)
    num_tokens, num_read = len(shard.input_ids_T), max(1, len(answers.input_ids_T))
    read = told = 0

    def tell(num: int) -> None:
        nonlocal read, told
        read += num
        done = num_tokens * read // num_read
        on_batch(done - told)
        told = done

    found, counts = score_shard(model, answers, settings, columns, tell)
    on_batch(num_tokens - told)
    num_response = int(shard.response_T.sum())
    num_scorable = counts["response_tokens"] - counts["unscorable_tokens"]
    counts |= {
        "tokens": num_tokens,
        "response_tokens": num_response,
        "unscorable_tokens": num_response - num_scorable,
    }
    return {
        name: _scattered(values[answers.response_T], token_S, num_tokens)
        for name, values in found.items()
    }, counts


def without_prompts(shard: Shard, context: Sequence[int]) -> tuple[Shard, Int64s]:
    """Return the answers as samples, and token_S: where in T their response tokens come from.

    An answer is the ids of `context`, the template around an empty question, and the response
    tokens of one turn. Its own response tokens are those that are scorable in the shard. Without
    any context the first of them stands at position 0, where no model can predict it.
    """
    token_R, answer_R = _answers(shard)
    num_tokens_A = np.bincount(answer_R)
    offsets_A1 = np.concatenate([[0], np.cumsum(num_tokens_A + len(context))]).astype(np.int64)
    is_context_T = np.ones(offsets_A1[-1], dtype=np.bool_)
    is_context_T[np.arange(len(token_R)) + (answer_R + 1) * len(context)] = False
    input_ids_T = np.zeros(len(is_context_T), dtype=np.int32)
    input_ids_T[is_context_T] = np.tile(np.array(context, np.int32), len(num_tokens_A))
    input_ids_T[~is_context_T] = shard.input_ids_T[token_R]
    response_T = ~is_context_T
    response_T[~is_context_T] = shard.scorable_T[token_R]
    first_A = token_R[np.cumsum(num_tokens_A) - num_tokens_A]
    sample_A, turn_A = _sample_of(shard)[first_A].tolist(), shard.turn_T[first_A]
    names = zip(sample_A, turn_A.tolist(), strict=True)
    answers = Shard(
        sample_ids=[f"{shard.sample_ids[sample]}, turn {turn}" for sample, turn in names],
        sources=[shard.sources[sample] for sample in sample_A],
        offsets_N1=offsets_A1,
        input_ids_T=input_ids_T,
        response_T=response_T,
        turn_T=np.repeat(turn_A, np.diff(offsets_A1)),
    )
    return answers, token_R[shard.scorable_T[token_R]]


def _answers(shard: Shard) -> tuple[Int64s, Int64s]:
    """Return the response tokens of answers with any to score, and the number of each's answer."""
    token_R = np.flatnonzero(shard.response_T)
    turn_R2 = np.stack([_sample_of(shard)[token_R], shard.turn_T[token_R]], axis=1)
    begins_R = np.ones(len(token_R), dtype=np.bool_)
    begins_R[1:] = (turn_R2[1:] != turn_R2[:-1]).any(axis=1)
    answer_R = np.cumsum(begins_R) - 1
    counts_A = np.bincount(answer_R, shard.scorable_T[token_R]) > 0
    kept_R = counts_A[answer_R]
    number_A = np.cumsum(counts_A) - 1
    return token_R[kept_R], number_A[answer_R[kept_R]]


def _sample_of(shard: Shard) -> Int64s:
    """Return the number of each token's sample."""
    return np.repeat(np.arange(shard.num_samples), shard.lengths_N)


def _scattered(values_S: Float32s, token_S: Int64s, num_tokens: int) -> Float32s:
    """Return the values where they belong in T, NaN elsewhere."""
    values_T = np.full(num_tokens, np.nan, dtype=np.float32)
    values_T[token_S] = values_S
    return values_T
