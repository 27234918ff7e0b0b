"""Numbers of each token that may betray noise: how likely it is, and what it shares with others."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tokensieve.corpus import Float32s, Float64s, Int64s, Shard
from tokensieve.sieve.repetition import echo, exchanges, num_holders
from tokensieve.sieve.vocabulary import Vocabulary

_PASSAGE = 8
_NEAR, _AROUND = 2, 8


@dataclass(frozen=True)
class Signal:
    """One number of a token."""

    name: str
    meaning: str
    sign: Literal[1, -1]
    """1: high values betray noise; -1: low values do."""


SIGNALS = (
    Signal("nll", "the reference did not expect the token", 1),
    Signal("nll_near", "nor the tokens up to 2 places before and after it, on average", 1),
    Signal("nll_around", "nor those up to 8 places before and after", 1),
    Signal("number_nll", "the token is a number that the reference did not expect", 1),
    Signal("echo", "the question does not hold the token, as questions to such answers do", -1),
    Signal("echo_around", "nor the tokens up to 8 places before and after, on average", -1),
    Signal("echo_answer", "nor those of the whole answer: it may answer another question", -1),
    Signal("repeated", "the answers of many other samples hold the same 8 tokens", 1),
)


def signals(
    shard: Shard, nll_T: Float32s, vocabulary: Vocabulary, among: Shard | None = None
) -> tuple[Int64s, Float64s]:
    """Return token_C, the tokens with a score, and signals_SC, NaN where a signal has no say.

    nll_T are nats of the reference, NaN where there is no score. What samples share is looked for
    in the shard; or in `among`, in which the shard's samples stand for those of the same ids.
    """
    whole = _in_place(shard, among) if among else shard
    token_C = np.flatnonzero(shard.scorable_T & np.isfinite(nll_T))
    exchange_C = exchanges(shard)[token_C]
    nll_C = nll_T[token_C].astype(np.float64)
    echoes = echo(whole)
    echo_C = echoes.token_T[token_C]
    is_number_C = vocabulary.is_number_V[shard.input_ids_T[token_C]]
    values = (
        nll_C,
        _mean_within(nll_C, exchange_C, _NEAR),
        _mean_within(nll_C, exchange_C, _AROUND),
        np.where(is_number_C, nll_C, np.nan),
        echo_C,
        _mean_within(echo_C, exchange_C, _AROUND),
        echoes.answer_T[token_C],
        np.log1p(num_holders(whole, _PASSAGE)[token_C]),
    )
    return token_C, np.stack(values)


def _in_place(shard: Shard, among: Shard) -> Shard:
    """Return the shard's samples and, after them, those of `among` with other ids."""
    own = set(shard.sample_ids)
    others = [sample for sample, id in enumerate(among.sample_ids) if id not in own]
    is_other_T = np.repeat(np.isin(np.arange(among.num_samples), others), among.lengths_N)
    lengths = np.concatenate([shard.lengths_N, among.lengths_N[others]])
    return Shard(
        sample_ids=shard.sample_ids + [among.sample_ids[sample] for sample in others],
        sources=shard.sources + [among.sources[sample] for sample in others],
        offsets_N1=np.concatenate([[0], np.cumsum(lengths)]),
        input_ids_T=np.concatenate([shard.input_ids_T, among.input_ids_T[is_other_T]]),
        response_T=np.concatenate([shard.response_T, among.response_T[is_other_T]]),
        turn_T=np.concatenate([shard.turn_T, among.turn_T[is_other_T]]),
    )


def _mean_within(values_C: Float64s, exchange_C: Int64s, reach: int) -> Float64s:
    """Return the mean over the tokens of the same answer that are at most `reach` places away."""
    first_C = np.searchsorted(exchange_C, exchange_C, side="left")
    end_C = np.searchsorted(exchange_C, exchange_C, side="right")
    place_C = np.arange(len(values_C))
    start_C = np.maximum(place_C - reach, first_C)
    stop_C = np.minimum(place_C + reach + 1, end_C)
    sum_C1 = np.concatenate([[0.0], np.cumsum(values_C)])
    mean_C: Float64s = (sum_C1[stop_C] - sum_C1[start_C]) / (stop_C - start_C)
    return mean_C
