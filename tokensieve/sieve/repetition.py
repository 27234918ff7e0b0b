"""What the samples of a shard have in common: passages, and words of questions and answers.

No model is asked. A sample is compared with the others only, never with itself.

Shapes: W = distinct (exchange, token) pairs of answers, Q = of questions.
"""

from dataclasses import dataclass

import numpy as np

from tokensieve.corpus import Bools, Float64s, Int32s, Int64s, Shard
from tokensieve.ranking import UInt64s

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_PRIOR_WEIGHT = 4.0
"""How many answers the common experience of words as frequent as this one counts for."""
_NEVER = 1e-6


def exchanges(shard: Shard) -> Int64s:
    """Return exchange_T: which question and answer the token belongs to, counted over the shard."""
    sample_T = np.repeat(np.arange(shard.num_samples), shard.lengths_N)
    first_T = np.ones(len(sample_T), dtype=bool)
    first_T[1:] = (sample_T[1:] != sample_T[:-1]) | (shard.turn_T[1:] != shard.turn_T[:-1])
    return np.cumsum(first_T) - 1


def num_holders(shard: Shard, length: int) -> Int64s:
    """Return how many other samples hold a passage of an answer that the token is part of.

    A passage is `length` tokens of one answer; the one that most samples hold counts, 0 if the
    answer is shorter.
    """
    group_T = 2 * exchanges(shard) + shard.response_T
    sample_T = np.repeat(np.arange(shard.num_samples), shard.lengths_N)
    start = np.arange(len(group_T) - length + 1)
    whole = (group_T[start] == group_T[start + length - 1]) & shard.response_T[start]
    start = start[whole]
    others = _num_others(_hashes(shard.input_ids_T, start, length), sample_T[start])
    holders_T = np.zeros(len(group_T), dtype=np.int64)
    for offset in range(length):
        holders_T[start + offset] = np.maximum(holders_T[start + offset], others)
    return holders_T


@dataclass(frozen=True)
class Echo:
    """How much answers say what their questions speak of."""

    token_T: Float64s
    """Log-odds, in nats, that the token answers this question rather than another sample's: above 0
    where the question holds it, and below where it does not though questions usually would. NaN
    outside answers."""
    answer_T: Float64s
    """Their sum over the distinct tokens of the answer, divided by the root of their number."""


def echo(shard: Shard) -> Echo:
    """Return the echo of each answer in its question.

    With a = P(in the question | in its answer) and b = P(in a question), estimated for each token
    id from the other exchanges, it is log(a / b) where the question holds the token, else
    log((1 - a) / (1 - b)). Token ids that few answers hold take a from all as frequent as they are.
    """
    exchange_T = exchanges(shard)
    num_ids = int(shard.input_ids_T.max(initial=0)) + 1
    key_T = exchange_T * num_ids + shard.input_ids_T
    key_W, word_T = np.unique(key_T[shard.response_T], return_inverse=True)
    key_Q = np.unique(key_T[~shard.response_T])
    held_W = np.isin(key_W, key_Q, assume_unique=True)
    id_W, exchange_W = key_W % num_ids, key_W // num_ids
    num_answers = max(len(np.unique(exchange_W)), 1)
    odds_W = _echo_odds(id_W, held_W, np.bincount(key_Q % num_ids, minlength=num_ids), num_answers)
    num_words = np.bincount(exchange_W, minlength=1)
    answer = np.bincount(exchange_W, odds_W, 1) / np.sqrt(np.maximum(num_words, 1))
    token_T, answer_T = np.full((2, len(key_T)), np.nan)
    token_T[shard.response_T] = odds_W[word_T]
    answer_T[shard.response_T] = answer[exchange_T[shard.response_T]]
    return Echo(token_T, answer_T)


def _echo_odds(id_W: Int64s, held_W: Bools, questions_V: Int64s, num_answers: int) -> Float64s:
    """Return the log-odds of each word; what its own exchange says of it is not counted."""
    answers_W = np.bincount(id_W)[id_W] - 1
    echoed_W = np.bincount(id_W, held_W)[id_W] - held_W
    questions_W = questions_V[id_W] - held_W
    frequency_W = np.ceil(np.log2(questions_W + 1)).astype(np.int64)
    usual = (np.bincount(frequency_W, held_W) + 0.5) / (np.bincount(frequency_W) + 1)
    own_W = (echoed_W + _PRIOR_WEIGHT * usual[frequency_W]) / (answers_W + _PRIOR_WEIGHT)
    any_W = (questions_W + 0.5) / num_answers
    own_W, any_W = (np.clip(each, _NEVER, 1 - _NEVER) for each in (own_W, any_W))
    odds_W: Float64s = np.where(held_W, np.log(own_W / any_W), np.log((1 - own_W) / (1 - any_W)))
    return odds_W


def _hashes(ids_T: Int32s, start: Int64s, length: int) -> UInt64s:
    """Return a hash of the `length` tokens from each start; integers wrap at 64 bits."""
    hashes = np.zeros(len(start), dtype=np.uint64)
    for offset in range(length):
        hashes = (hashes ^ ids_T[start + offset].astype(np.uint64)) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _num_others(passage: UInt64s, sample: Int64s) -> Int64s:
    """Return for each passage how many samples but its own hold it."""
    passages, place = np.unique(passage, return_inverse=True)
    num_samples = int(sample.max(initial=0)) + 1
    held = np.unique(place * num_samples + sample)
    return np.bincount(held // num_samples, minlength=len(passages))[place] - 1
