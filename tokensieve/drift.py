"""Judge what cleaning found in a drop against what it found in the drops before it.

Shapes: B = the bins of influence.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tokensieve.errors import shortened
from tokensieve.settings import DriftSettings

Kind = Literal[
    "kept_share",
    "mean_base_nll",
    "psi",
    "truncated",
    "quarantined",
    "masked_samples",
    "nothing_kept",
    "eos_never_trained",
    "reference_worse",
]
"""The first six are the settings whose limit was passed; the others need no limit."""

INFLUENCE_EDGES = (-4.0, -2.0, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""In nats: one bin below the first, one from each to the next, and one from the last on."""
EMPTY_SHARE = 1e-4
"""What a bin with less counts as: the logarithm of an empty one would be infinite."""

_STANDARD_ERRORS = 4.0
"""Means that are nearer to each other than so many of their errors may differ by chance."""
_IN_EVERY_SOURCE: set[Kind] = {"nothing_kept", "eos_never_trained"}
"""True of each source where it is true of the drop, so said once."""


@dataclass(frozen=True)
class Figures:
    """What cleaning found in a drop, or in one source of it. A share or mean of nothing is NaN."""

    rows: int
    """Read, without those that repeat an earlier sample."""
    quarantined_rows: int
    truncated_rows: int
    """Samples as long as max_length allows, and rows skipped because no answer was left."""
    samples: int
    empty_samples: int
    """Without a kept token."""
    response_tokens: int
    kept_tokens: int
    eos_tokens: int
    """Response tokens that are special to the tokenizer, as EOS and `<|im_end|>` are."""
    kept_eos_tokens: int
    influence_B: tuple[int, ...]
    """Tokens by their influence, in the bins of INFLUENCE_EDGES."""
    mean_base_nll: float
    """Nats per response token."""
    mean_reference_nll: float
    base_nll_error: float
    """Standard error of that mean: how much other samples of the same kind would change it."""
    influence_error: float
    """Standard error of the mean influence."""
    sources: Mapping[str, "Figures"] = field(default_factory=dict)
    """The same by source; empty in the figures of a source."""

    @property
    def kept_share(self) -> float:
        """Return the share of the response tokens that is kept."""
        return _share(self.kept_tokens, self.response_tokens)

    @property
    def truncated(self) -> float:
        """Return the share of the rows that is truncated."""
        return _share(self.truncated_rows, self.rows)

    @property
    def quarantined(self) -> float:
        """Return the share of the rows that is quarantined."""
        return _share(self.quarantined_rows, self.rows)

    @property
    def masked_samples(self) -> float:
        """Return the share of the samples without a kept token."""
        return _share(self.empty_samples, self.samples)


@dataclass(frozen=True)
class Alarm:
    """One figure that is not as it should be."""

    kind: Kind
    source: str | None
    """Unset: the drop as a whole."""
    found: float
    usual: float | None
    """The median over the earlier drops. Unset: the figure needs none."""
    limit: float
    """The distance from `usual` that is allowed, or what `found` itself may not pass."""
    text: str
    """A sentence for people. It quotes nothing of a sample."""


@dataclass(frozen=True)
class _Watched:
    """A figure that is compared with its median over earlier drops, by a limit of its own name."""

    kind: Literal["kept_share", "mean_base_nll", "truncated", "quarantined", "masked_samples"]
    sentence: str
    is_watched_down: bool = False
    """Whether a fall is an alarm too."""
    error: str = ""
    """Name of its standard error, if it is a mean in nats and no share."""

    def told(self, found: float, usual: float, limit: float) -> str:
        """Return the sentence with the numbers in it."""
        if self.error:
            now, before, allowed = f"{found:.3f} nats", f"{usual:.3f}", f"{limit:g}"
        else:
            now, before, allowed = _percent(found), _percent(usual), f"{100 * limit:g} points"
        return f"{self.sentence.format(now)}, {before} before (limit: {allowed})"

    def is_beyond(self, found: Figures, change: float, limit: float) -> bool:
        """Return whether a change is too large, and not by chance; never if it is NaN."""
        error = getattr(found, self.error) if self.error else 0.0
        return change > limit and change > _STANDARD_ERRORS * error


_OF_ROWS = (
    _Watched("truncated", "{} of the rows are cut at max_length"),
    _Watched("quarantined", "{} of the rows are quarantined"),
)
_OF_TOKENS = (
    _Watched("kept_share", "{} of the response tokens are kept", is_watched_down=True),
    _Watched("masked_samples", "{} of the samples have no kept token"),
    _Watched("mean_base_nll", "the mean loss of the base is {}", True, error="base_nll_error"),
)


def influence_bins(lower_nats: Iterable[float], tokens: Iterable[int]) -> tuple[int, ...]:
    """Return influence_B of a finer histogram, whose bins begin at `lower_nats`."""
    influence_B = np.zeros(len(INFLUENCE_EDGES) + 1, dtype=np.int64)
    for lower, num in zip(lower_nats, tokens, strict=True):
        influence_B[np.digitize(lower, INFLUENCE_EDGES)] += num
    return tuple(influence_B.tolist())


def population_stability_index(expected_B: Sequence[int], found_B: Sequence[int]) -> float:
    """Return how far two histograms of counts are apart: 0 where their shares are the same.

    The sum over bins of (f - e) * ln(f / e), where f and e are the bins' shares, each at least
    EMPTY_SHARE. Source: Siddiqi, Credit Risk Scorecards (2006), who calls less than 0.1 stable and
    more than 0.25 a major shift. Raises ValueError if a histogram is empty or has other bins.
    """
    if len(expected_B) != len(found_B) or not sum(expected_B) or not sum(found_B):
        raise ValueError("two histograms of the same bins are needed, each with a count")
    expected, found = _bin_shares(expected_B), _bin_shares(found_B)
    return float(np.sum((found - expected) * np.log(found / expected)))


def find_alarms(
    found: Figures, history: Sequence[Figures], limits: DriftSettings
) -> tuple[Alarm, ...]:
    """Return what is not as it should be: of the drop as a whole, then of its sources by name.

    `history` are the figures of earlier drops in any order. What compares with them is silent until
    there are `min_history`. Sources are judged if there are several, each against its own history.
    """
    alarms = [
        *_wrong_in_itself(None, found),
        *_unlike_before(None, found, history, limits, _OF_ROWS),
        *_other_tokens(None, found, history, limits),
    ]
    if len(found.sources) > 1:
        said = {alarm.kind for alarm in alarms} & _IN_EVERY_SOURCE
        for source in sorted(found.sources):
            of_source = _alarms_of_source(source, found, history, limits)
            alarms += [alarm for alarm in of_source if alarm.kind not in said]
    return tuple(alarms)


def _alarms_of_source(
    source: str, found: Figures, history: Sequence[Figures], limits: DriftSettings
) -> Iterator[Alarm]:
    """Yield the alarms of one source. Its rows are judged where it used to be large enough, too:
    of a source that is lost in quarantine, hardly a token is left.
    """
    figures = found.sources[source]
    past = [each.sources[source] for each in history if source in each.sources]
    large = [each for each in past if each.response_tokens >= limits.min_tokens]
    yield from _unlike_before(source, figures, large, limits, _OF_ROWS)
    if figures.response_tokens >= limits.min_tokens:
        yield from _wrong_in_itself(source, figures)
        yield from _other_tokens(source, figures, large, limits)


def _wrong_in_itself(source: str | None, found: Figures) -> Iterator[Alarm]:
    """Yield the alarms that need no history."""
    place = _place(source)
    if found.response_tokens and not found.kept_tokens:
        text = f"{place}: none of the {found.response_tokens:,} response tokens is kept"
        yield Alarm("nothing_kept", source, 0, None, 0, text)
    elif found.response_tokens and not found.kept_eos_tokens:
        which = f"none of the {found.eos_tokens:,} is kept" if found.eos_tokens else "there is none"
        text = f"{place}: no EOS is trained: {which}, so a model does not learn to stop"
        yield Alarm("eos_never_trained", source, 0, None, 0, text)
    base, reference = found.mean_base_nll, found.mean_reference_nll
    if reference - base > _STANDARD_ERRORS * found.influence_error:  # never where one is NaN
        text = f"{place}: the reference is worse than the base: {reference:.3f} > {base:.3f} nats"
        yield Alarm("reference_worse", source, reference, None, base, text)


def _other_tokens(
    source: str | None, found: Figures, history: Sequence[Figures], limits: DriftSettings
) -> Iterator[Alarm]:
    """Yield the alarms of tokens that are unlike those of earlier drops."""
    yield from _unlike_before(source, found, history, limits, _OF_TOKENS)
    compared = [each.influence_B for each in history if sum(each.influence_B)]
    if len(compared) < limits.min_history or not sum(found.influence_B):
        return
    pooled_B = [sum(counts) for counts in zip(*compared, strict=True)]
    psi = population_stability_index(pooled_B, found.influence_B)
    if psi > limits.psi:
        text = f"{_place(source)}: influence is spread otherwise than before: PSI {psi:.3f}"
        yield Alarm("psi", source, psi, None, limits.psi, f"{text} (limit {limits.psi:g})")


def _unlike_before(
    source: str | None,
    found: Figures,
    history: Sequence[Figures],
    limits: DriftSettings,
    watched: Iterable[_Watched],
) -> Iterator[Alarm]:
    """Yield the figures that are further from their median over `history` than their limits."""
    for each in watched:
        now, limit = getattr(found, each.kind), getattr(limits, each.kind)
        known = [past for past in (getattr(f, each.kind) for f in history) if not math.isnan(past)]
        if len(known) < limits.min_history:
            continue
        usual = median(known)
        change = abs(now - usual) if each.is_watched_down else now - usual
        if each.is_beyond(found, change, limit):
            text = f"{_place(source)}: {each.told(now, usual, limit)}"
            yield Alarm(each.kind, source, now, usual, limit, text)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _bin_shares(counts_B: Sequence[int]) -> NDArray[np.float64]:
    share_B = np.asarray(counts_B, dtype=np.float64) / sum(counts_B)
    return np.maximum(share_B, EMPTY_SHARE)


def _place(source: str | None) -> str:
    return "the drop" if source is None else f"source {shortened(source)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
