"""Judge the figures of a cleaned drop against those of the drops before it."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from tokensieve.drift.figures import Figures, population_stability_index
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

_STANDARD_ERRORS = 4.0
"""Means that are nearer to each other than so many of their errors may differ by chance."""
_IN_EVERY_SOURCE: set[Kind] = {"nothing_kept", "eos_never_trained"}
"""True of each source where it is true of the drop, so said once."""


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


def _place(source: str | None) -> str:
    return "the drop" if source is None else f"source {shortened(source)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
