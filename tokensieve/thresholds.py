"""Where each group's selection ends: exact order statistics of scores that stay on disk.

The shards are read in passes, and only the boundary of each group is looked for. A pass splits the
range in which it lies into bins and goes on with one of them, until the keys inside fit into
memory; a key has 64 bits, so this ends even if every score is the same. The result equals that of
one stable sort of all scores.

Shapes: C = candidates of a shard, G = groups, B = bins of a pass.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from tokensieve.corpus import Int64s
from tokensieve.ranking import Rule, ScoredShard, UInt64s, per_candidate

MAX_HELD = 1 << 22
"""How many keys, or bins, are held in memory: 16 bytes each, and a sort of them."""
MAX_BIN_BITS = 20

Reader = Callable[[int], ScoredShard]
Keys = tuple[UInt64s, Int64s]
"""(key_C, group_C) of a shard."""


@dataclass(frozen=True)
class Threshold:
    """Where one group's selection ends.

    Better scores than `score` are kept. Of the tokens that have exactly this score, those of
    earlier shards are kept, and the first `num_ties` of the group's in `shard`.
    """

    num_candidates: int
    num_kept: int
    score: float | None
    """None if nothing is kept."""
    shard: int
    num_ties: int


@dataclass(frozen=True)
class _Boundary:
    """The range of keys, low to high inclusive, in which each group's last kept key lies."""

    low_G: UInt64s
    high_G: UInt64s
    """Below low if the group keeps nothing."""
    rank_G: Int64s
    """Which of the keys inside, counted from the highest and from 1, is the last one kept."""
    num_inside: int
    bits: int
    """Every range is 2 ** bits keys wide."""

    def inside(self, keys: Keys) -> Keys:
        """Return those of the keys that lie in their group's range."""
        key_C, group_C = keys
        inside_C = key_C >= per_candidate(self.low_G, group_C)
        inside_C &= key_C <= per_candidate(self.high_G, group_C)
        return key_C[inside_C], group_C[inside_C]


def find_thresholds(
    read: Reader, num_shards: int, rule: Rule, max_held: int = MAX_HELD
) -> dict[str, Threshold]:
    """Return the threshold of each group by its name, "" if the whole dataset is one group.

    `read` returns a shard by its number. The shards are read in order, once if all their keys fit
    into memory. Empty if shards can be selected one by one. Raises InputError if a score is
    infinite.
    """
    if not rule.has_thresholds or num_shards == 0:
        return {}
    numbers: dict[str, int] = {}

    def shards() -> Iterator[Keys]:
        return (_keys(read(shard), rule, numbers) for shard in range(num_shards))

    count_GB, held = _counted(shards(), numbers, max_held)
    candidates_G = count_GB.sum(axis=1)
    kept_G = rule.num_kept(candidates_G)
    boundary = _into_bin(_whole_range(candidates_G, kept_G), count_GB)
    if held is None:
        while boundary.bits and boundary.num_inside > max_held:
            boundary = _narrowed(boundary, shards(), max_held)
    if boundary.bits:
        held = [boundary.inside(keys) for keys in held or shards()]
    if held is not None:
        boundary = _exact(boundary, held)
    shard_G, ties_G = _last_ties(boundary, shards() if held is None else held)
    return {
        name: Threshold(
            num_candidates=int(candidates_G[g]),
            num_kept=int(kept_G[g]),
            score=rule.score(int(boundary.low_G[g])) if kept_G[g] else None,
            shard=int(shard_G[g]),
            num_ties=int(ties_G[g]),
        )
        for name, g in numbers.items()
    }


def _keys(scored: ScoredShard, rule: Rule, numbers: dict[str, int]) -> Keys:
    """Return the keys of a shard's candidates, and their groups' numbers."""
    candidate_T, score_C = scored.candidates()
    return rule.keys(score_C), scored.groups(candidate_T, rule, numbers)


def _counted(
    shards: Iterable[Keys], numbers: dict[str, int], max_held: int
) -> tuple[Int64s, list[Keys] | None]:
    """Return count_GB, how many keys of each group are in each bin of the whole range of keys; and
    all keys, or None if they are too many.
    """
    count_GB = np.zeros((0, 2), dtype=np.int64)
    held: list[Keys] | None = []
    for keys in shards:
        if len(count_GB) < len(numbers):
            count_GB = _with_groups(count_GB, len(numbers), max_held)
        bin_C = keys[0] >> np.uint64(64 - _num_bits(count_GB))
        count_GB += _in_bins(bin_C, keys[1], count_GB)
        if held is not None:
            held.append(keys)
            held = held if count_GB.sum() <= max_held else None
    return count_GB, held


def _with_groups(count_GB: Int64s, num_groups: int, max_held: int) -> Int64s:
    """Return the counts with room for more groups, in wider bins if there would be too many."""
    num_before, num_bins = len(count_GB), 1 << _bin_bits(num_groups, max_held)
    wider_GB = np.zeros((num_groups, num_bins), dtype=np.int64)
    if num_before:
        wider_GB[:num_before] = count_GB.reshape(num_before, num_bins, -1).sum(axis=2)
    return wider_GB


def _bin_bits(num_groups: int, max_held: int) -> int:
    """Return how many bits tell the bins of a group: as many as the memory has room for."""
    return min(MAX_BIN_BITS, max(1, (max_held // num_groups).bit_length() - 1))


def _num_bits(count_GB: Int64s) -> int:
    """Return how many bits tell the bins that are counted."""
    return int(count_GB.shape[1]).bit_length() - 1


def _in_bins(bin_C: UInt64s, group_C: Int64s, count_GB: Int64s) -> Int64s:
    """Return how many of the candidates are in each bin of each group, in the shape of count_GB."""
    place_C = (group_C << _num_bits(count_GB)) + bin_C.astype(np.int64)
    return np.bincount(place_C, minlength=count_GB.size).reshape(count_GB.shape)


def _whole_range(candidates_G: Int64s, kept_G: Int64s) -> _Boundary:
    """Return a boundary about which nothing is known yet."""
    all_ones = np.uint64(2**64 - 1)
    return _Boundary(
        low_G=np.where(kept_G > 0, np.uint64(0), np.uint64(1)),
        high_G=np.where(kept_G > 0, all_ones, np.uint64(0)),
        rank_G=kept_G,
        num_inside=int(candidates_G[kept_G > 0].sum()),
        bits=64,
    )


def _narrowed(boundary: _Boundary, shards: Iterable[Keys], max_held: int) -> _Boundary:
    """Return the boundary in a range some bits narrower: as many as the memory has bins for."""
    num_groups = len(boundary.rank_G)
    bin_bits = min(_bin_bits(num_groups, max_held), boundary.bits)
    count_GB = np.zeros((num_groups, 1 << bin_bits), dtype=np.int64)
    for keys in shards:
        key_C, group_C = boundary.inside(keys)
        above_C = key_C - per_candidate(boundary.low_G, group_C)
        count_GB += _in_bins(above_C >> np.uint64(boundary.bits - bin_bits), group_C, count_GB)
    return _into_bin(boundary, count_GB)


def _into_bin(boundary: _Boundary, count_GB: Int64s) -> _Boundary:
    """Return the boundary in that of its bins that holds each group's last kept key."""
    bits = boundary.bits - _num_bits(count_GB)
    from_top_GB = np.cumsum(count_GB[:, ::-1], axis=1)[:, ::-1]  # in this bin and above
    active_G = boundary.rank_G > 0
    bin_G = (from_top_GB >= boundary.rank_G[:, None]).sum(axis=1) - 1
    group_G = np.arange(len(bin_G))
    count_G = count_GB[group_G, bin_G]
    above_G = from_top_GB[group_G, bin_G] - count_G
    low_G = boundary.low_G + (bin_G.astype(np.uint64) << np.uint64(bits))
    return _Boundary(
        low_G=np.where(active_G, low_G, boundary.low_G),
        high_G=np.where(active_G, low_G + np.uint64((1 << bits) - 1), boundary.high_G),
        rank_G=np.where(active_G, boundary.rank_G - above_G, 0),
        num_inside=int(count_G[active_G].sum()),
        bits=bits,
    )


def _exact(boundary: _Boundary, held: list[Keys]) -> _Boundary:
    """Return the boundary as one key per group, from all keys inside."""
    key_C = np.concatenate([key_C for key_C, _ in held])
    group_C = np.concatenate([group_C for _, group_C in held])
    if len(boundary.rank_G) > 1:
        key_C = key_C[np.argsort(group_C, kind="stable")]
    end_G = np.cumsum(np.bincount(group_C, minlength=len(boundary.rank_G)))
    low_G, rank_G = boundary.low_G.copy(), boundary.rank_G.copy()
    for g in np.flatnonzero(rank_G):
        inside = key_C[end_G[g - 1] if g else 0 : end_G[g]]
        inside.partition(len(inside) - rank_G[g])
        low_G[g] = inside[len(inside) - rank_G[g]]
        rank_G[g] -= np.count_nonzero(inside > low_G[g])
    high_G = np.where(rank_G > 0, low_G, boundary.high_G)
    return replace(boundary, low_G=low_G, high_G=high_G, rank_G=rank_G, bits=0)


def _last_ties(boundary: _Boundary, inside: Iterable[Keys]) -> tuple[Int64s, Int64s]:
    """Return the shard in which each group's last kept token lies, and its place in the ties."""
    wanted_G = boundary.rank_G.copy()
    shard_G, ties_G = np.zeros_like(wanted_G), np.zeros_like(wanted_G)
    for shard, keys in enumerate(inside):
        _, group_C = boundary.inside(keys)
        count_G = np.bincount(group_C, minlength=len(wanted_G))
        last_G = (wanted_G > 0) & (count_G >= wanted_G)
        shard_G[last_G], ties_G[last_G] = shard, wanted_G[last_G]
        wanted_G -= count_G
    return shard_G, ties_G
