"""What a comparison says, in words that do not say more than it does."""

from collections.abc import Sequence

from tokensieve.comparison.intervals import Difference
from tokensieve.comparison.results import FULL, RANDOM, ArmRow, Metric, is_random

_FEW_SEEDS = 5  # with fewer, half an interval is more than 1.5 standard deviations


def verdict(rows: Sequence[ArmRow], metric: Metric) -> str:
    """Return which arms beat random beyond the interval and which are worse, in a few sentences.

    Random is that at the arm's own rate. Beyond: the whole 95 % interval of the paired differences
    lies on one side of 0.
    """
    arms = {row.arm: row for row in rows}
    cleaned = [row for row in rows if row.arm != FULL and not is_random(row.arm)]
    has_random = any(map(is_random, arms))
    if not has_random or not cleaned:
        missing = "an arm that cleans" if has_random else "the arm random"
        return f"{metric.name}: nothing can be said without {missing}."
    against_random = {row.arm: row.versus[RANDOM] for row in cleaned}
    sentences = [
        _winners(against_random, metric),
        _others(against_random, metric),
        _against_full([arms[arm] for arm in _standing(against_random, metric, 1)], metric),
        _full(arms.get(RANDOM), metric),
        _caution(against_random),
    ]
    return f"{metric.name}: " + " ".join(sentence for sentence in sentences if sentence)


def side(difference: Difference | None, metric: Metric) -> int | None:
    """Return 1 for better beyond the interval, -1 for worse, 0 for neither, None if unknown."""
    if difference is None or difference.low is None or difference.high is None:
        return None
    above, below = difference.low > 0, difference.high < 0
    return int(below) - int(above) if metric.lower_is_better else int(above) - int(below)


def _standing(
    against: dict[str, Difference | None], metric: Metric, wanted: int | None
) -> list[str]:
    return [arm for arm, difference in against.items() if side(difference, metric) == wanted]


def _winners(against: dict[str, Difference | None], metric: Metric) -> str:
    winners = _standing(against, metric, 1)
    if not winners:
        known = [each for each in against.values() if side(each, metric) is not None]
        return f"nothing {'beats' if known else 'can be said to beat'} random here."
    figures = [f"{arm} ({_figures(against[arm], metric)})" for arm in winners]
    return f"{_listed(figures)} {_verb(winners, 'beats', 'beat')} random."


def _figures(difference: Difference | None, metric: Metric) -> str:
    assert difference is not None
    unit = f" {metric.unit}" if metric.unit else ""
    return f"{difference.mean:+.4f}{unit}, 95 % {difference.low:+.4f} to {difference.high:+.4f}"


def _others(against: dict[str, Difference | None], metric: Metric) -> str:
    """Return a sentence for each other standing that an arm has."""
    worse, same = (_standing(against, metric, wanted) for wanted in (-1, 0))
    alone = [arm for arm, difference in against.items() if difference is None]
    unknown = [arm for arm in _standing(against, metric, None) if arm not in alone]
    sentences = [
        f"{_listed(worse)} {_verb(worse, 'is', 'are')} worse than random." if worse else "",
        f"{_listed(same)} cannot be told from random." if same else "",
        f"{_listed(unknown)} {_verb(unknown, 'has', 'have')} no interval against random: it takes "
        "two seeds in common, and differences that are not all the same."
        if unknown
        else "",
        f"{_listed(alone)} {_verb(alone, 'has', 'have')} no random at the same rate and seed to "
        "stand beside."
        if alone
        else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _against_full(winners: list[ArmRow], metric: Metric) -> str:
    """Return how the arms that beat random stand against training on every token."""
    if all(row.versus[FULL] is None for row in winners):
        return ""
    arms = [row.arm for row in winners]
    too = _standing({row.arm: row.versus[FULL] for row in winners}, metric, 1)
    if not too:
        not_shown = f"{_listed(arms)} {_verb(arms, 'is', 'are')} not shown to beat"
        return f"{not_shown} training on all tokens (full)."
    return f"{_listed(too)} {_verb(too, 'beats', 'beat')} training on all tokens (full) too."


def _full(random: ArmRow | None, metric: Metric) -> str:
    """Return how training on every token stands against the arm random, which has fewer."""
    standing = side(random.versus[FULL], metric) if random else None
    if standing is None:
        return ""
    words = {1: "is worse than", -1: "is better than", 0: "cannot be told from"}
    return f"Training on all tokens (full) {words[standing]} random."


def _caution(against: dict[str, Difference | None]) -> str:
    """Return what the intervals cannot show."""
    intervals = [d for d in against.values() if d is not None and d.low is not None]
    sentences = []
    if intervals and (fewest := min(each.num_pairs for each in intervals)) < _FEW_SEEDS:
        sentences.append(
            f"An interval over {fewest} seeds is wide: a real difference can hide in it, and more "
            "seeds would show it."
        )
    if len(intervals) > 1:
        sentences.append(
            f"By chance alone one interval in 20 misses 0; there are {len(intervals)} here."
        )
    return " ".join(sentences)


def _listed(names: Sequence[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _verb(names: Sequence[str], singular: str, plural: str) -> str:
    return plural if len(names) > 1 else singular
