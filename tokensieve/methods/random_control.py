"""The control of every comparison: as many tokens, drawn at random.

A token's number is a hash of the seed, its sample's id and its position. So it depends on nothing
else: not on shards, workers, the order of the samples or which other samples there are.
"""

import hashlib

import numpy as np

from tokensieve.corpus import Float64s, Int64s
from tokensieve.methods.method import Evidence, Method
from tokensieve.ranking import UInt64s

STEP = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio, made odd: the step between a sample's counters."""


def uniform(evidence: Evidence) -> Float64s:
    """Return a number in [0, 1) for each token, uniform and independent.

    SplitMix64 (Steele, Lea and Flood, OOPSLA 2014; mixer of Stafford, variant 13): the hash of seed
    and sample is its state, the position the number of steps taken.
    """
    shard = evidence.shard
    state_N = np.array([_state(evidence.seed, id) for id in shard.sample_ids], dtype=np.uint64)
    bits_T = _mixed(np.repeat(state_N, shard.lengths_N) + _positions(shard.offsets_N1) * STEP)
    return (bits_T >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _state(seed: int, sample_id: str) -> int:
    digest = hashlib.blake2b(f"{seed}:{sample_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _positions(offsets_N1: Int64s) -> UInt64s:
    """Return each token's position in its sample, from 1."""
    place_T = np.arange(1, offsets_N1[-1] + 1)
    return (place_T - np.repeat(offsets_N1[:-1], np.diff(offsets_N1))).astype(np.uint64)


def _mixed(bits_T: UInt64s) -> UInt64s:
    """Return SplitMix64's output for each state; integers wrap at 64 bits."""
    bits_T = (bits_T ^ (bits_T >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits_T = (bits_T ^ (bits_T >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits_T ^ (bits_T >> np.uint64(31))


RANDOM = Method(
    name="random",
    source="the control; Token Cleaning (arXiv 2502.01968) draws it from a fixed seed",
    summary="keeps a share of the tokens drawn at random: what cleaning has to beat",
    judge=uniform,
    columns={},
    direction="high",
    default_scope="dataset",
    draws=True,
)
