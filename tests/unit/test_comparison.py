"""Whether an arm beats random: intervals, cost, words and tables, on numbers worked out by hand."""

import pytest

from tokensieve.comparison import (
    EXACT_MATCH,
    LOSS,
    ArmResult,
    Difference,
    compare_arms,
    comparison_markdown,
    comparison_table,
    forward_passes,
    task_metric,
    verdict,
)
from tokensieve.comparison.intervals import paired_difference, t_quantile
from tokensieve.settings import TrainingSettings


def arm(name: str, *losses: float, exact_match=None, tasks=None, kept=0.6, passes=1.0, seconds=1.0):
    """Return an arm's results for the seeds 0, 1, ..."""
    kept = 1.0 if name == "full" else kept
    return [
        ArmResult(name, seed, loss, exact_match, tasks or {}, kept, passes, seconds)
        for seed, loss in enumerate(losses)
    ]


RANDOM = arm("random", 2.0, 2.2, 2.4)
FULL = arm("full", 2.1, 2.3, 2.5)


def rows_of(*arms, metric=LOSS):
    return {row.arm: row for row in compare_arms([each for arm in arms for each in arm], metric)}


def verdict_of(*arms, metric=LOSS) -> str:
    return verdict(list(rows_of(*arms, metric=metric).values()), metric)


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [
        (1, 12.706204736),
        (2, 4.302652730),
        (3, 3.182446305),
        (4, 2.776445105),
        (9, 2.262157163),
        (29, 2.045229642),
    ],
)
def test_the_quantiles_are_those_of_the_tables(freedom, quantile):
    assert t_quantile(freedom) == pytest.approx(quantile, abs=1e-9)


def test_an_interval_over_three_pairs_is_the_one_worked_out_by_hand():
    difference = paired_difference({0: 1.0, 1: 2.0, 2: 4.0}, {0: 0.0, 1: 0.0, 2: 1.0})

    # the differences are 1, 2 and 3; s = 1; 4.302653 / sqrt(3) = 2.484138
    assert difference.mean == 2.0
    assert difference.low == pytest.approx(-0.484138, abs=1e-6)
    assert difference.high == pytest.approx(4.484138, abs=1e-6)
    assert difference.half_width == pytest.approx(2.484138, abs=1e-6)


def test_arms_are_paired_by_the_seeds_that_both_have():
    difference = paired_difference({0: 1.0, 2: 5.0, 7: 4.0}, {2: 4.0, 7: 3.0, 9: 0.0})

    assert (difference.mean, difference.num_pairs) == (1.0, 2)
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


def test_one_pair_has_a_difference_and_no_interval():
    assert paired_difference({3: 1.0}, {3: 4.0}) == Difference(-3.0, None, None, 1)


def test_a_row_has_the_mean_the_spread_and_the_paired_differences():
    rows = rows_of(FULL, RANDOM, arm("rho", 1.9, 2.1, 2.3))

    assert list(rows) == ["full", "random", "rho"]
    assert rows["rho"].values == (1.9, 2.1, 2.3)
    assert rows["rho"].mean == pytest.approx(2.1)
    assert rows["rho"].spread == pytest.approx(0.2)
    assert rows["rho"].versus["random"].mean == pytest.approx(-0.1)
    assert rows["rho"].versus["full"].mean == pytest.approx(-0.2)
    assert rows["random"].versus["random"] is None
    assert rows["full"].versus == {"random": None, "full": None}  # nothing is drawn at its rate


def test_an_arm_is_set_beside_random_at_its_own_rate_or_beside_nothing():
    rows = rows_of(
        FULL,
        RANDOM,
        arm("rho", 1.9, 2.1, 2.3, kept=0.6059),
        arm("xtf", 1.9, 2.1, 2.3, kept=0.85),
        arm("sieve", 1.9, 2.1, kept=0.93),
        arm("random@0.93", 2.0, 2.3, kept=0.9299),
    )

    assert rows["rho"].versus["random"].mean == pytest.approx(-0.1)
    assert rows["xtf"].versus["random"] is None
    assert rows["xtf"].versus["full"].mean == pytest.approx(-0.2)
    assert rows["sieve"].versus["random"].mean == pytest.approx((-0.1 - 0.2) / 2)
    assert rows["random@0.93"].versus["random"] is None


def test_each_seed_is_set_beside_random_at_the_rate_that_it_kept():
    sieve = [
        ArmResult("sieve", seed, 1.0, None, {}, kept, 1.0, 1.0)
        for seed, kept in enumerate((0.6, 0.9, 0.7))
    ]

    rows = rows_of(RANDOM, arm("random@0.90", 3.0, 3.5, kept=0.9), sieve)

    difference = rows["sieve"].versus["random"]
    assert (difference.mean, difference.num_pairs) == (((1 - 2) + (1 - 3.5)) / 2, 2)


def test_nothing_is_said_of_an_arm_that_has_no_random_at_its_rate():
    rho, xtf = arm("rho", 1.90, 2.11, 2.29), arm("xtf", 1.0, 1.1, 1.3, kept=0.85)

    text = verdict_of(FULL, RANDOM, rho, xtf)

    assert text.startswith("Held-out loss: rho (-0.1000 nats per token")
    assert "xtf has no random at the same rate and seed to stand beside." in text
    assert "xtf beats" not in text
    assert "has no interval" not in text


def test_the_order_of_the_results_changes_no_figure():
    results = [*FULL, *RANDOM, *arm("rho", 1.9, 2.15, 2.3)]

    backwards = compare_arms(results[::-1], LOSS)

    assert backwards[::-1] == compare_arms(results, LOSS)


def test_one_seed_has_no_spread():
    assert rows_of(arm("rho", 2.0))["rho"].spread is None


def test_an_arm_that_a_metric_says_nothing_of_has_no_row():
    rho = arm("rho", 2.0, exact_match=0.5, tasks={"arc/acc": 0.25})

    assert rows_of(RANDOM, rho, metric=EXACT_MATCH)["rho"].values == (0.5,)
    assert list(rows_of(RANDOM, rho, metric=EXACT_MATCH)) == ["rho"]
    assert rows_of(RANDOM, rho, metric=task_metric("arc/acc", False))["rho"].mean == 0.25


def test_cost_is_relative_to_full():
    rows = rows_of(arm("full", 2.0, passes=2.0), arm("rho", 2.0, passes=3.0, seconds=None))

    assert rows["rho"].extra_compute == 1.5
    assert rows["full"].extra_compute == 1.0
    assert rows["full"].seconds == 1.0
    assert rows["rho"].seconds is None
    partly = [ArmResult("rho", n, 2.0, None, {}, 1, 1, each) for n, each in enumerate((2.0, None))]
    assert rows_of(partly)["rho"].seconds is None
    assert rows_of(arm("rho", 2.0))["rho"].extra_compute is None


@pytest.mark.parametrize(
    ("scored", "tuning", "checkpointing", "passes"),
    [
        (0, "lora", False, 2.0),
        (0, "lora", True, 3.0),
        (0, "full", False, 3.0),
        (0, "full", True, 4.0),
        (200, "full", False, 5.0),
    ],
)
def test_training_costs_a_forward_pass_and_what_its_backward_pass_computes(
    scored, tuning, checkpointing, passes
):
    training = TrainingSettings(tuning=tuning, gradient_checkpointing=checkpointing)

    assert forward_passes(scored, 100, 100, training) == passes


def test_the_published_costs_of_the_methods_come_out():
    """Token Cleaning on 50k samples, 10k of warm-up, an adapter with checkpointing."""
    training = TrainingSettings(tuning="lora", gradient_checkpointing=True)
    full = forward_passes(0, 50, 50, training)

    assert forward_passes(2 * 50, 10 + 50, 50, training) / full == pytest.approx(1.87, abs=0.005)
    assert forward_passes(2 * 40, 50, 50, training) / full == pytest.approx(1.53, abs=0.005)


def test_an_arm_that_is_better_in_every_pair_beats_random_and_full():
    text = verdict_of(FULL, RANDOM, arm("rho", 1.90, 2.11, 2.29))

    assert text.startswith(
        "Held-out loss: rho (-0.1000 nats per token, 95 % -0.1248 to -0.0752) beats random."
    )
    assert "rho beats training on all tokens (full) too." in text
    assert "Training on all tokens (full) is worse than random." in text
    assert "An interval over 3 seeds is wide" in text
    assert "one interval in 20" not in text


def test_it_is_said_that_nothing_beats_random():
    text = verdict_of(FULL, RANDOM, arm("rho", 1.9, 2.3, 2.4), arm("worse", 3.0, 3.2, 3.41))

    assert text.startswith("Held-out loss: nothing beats random here.")
    assert "worse is worse than random." in text
    assert "rho cannot be told from random." in text
    assert "By chance alone one interval in 20 misses 0; there are 2 here." in text


def test_an_arm_may_beat_random_and_not_full():
    full = arm("full", 1.8, 2.0, 2.2)

    text = verdict_of(full, RANDOM, arm("rho", 1.90, 2.11, 2.29))

    assert "rho is not shown to beat training on all tokens (full)." in text
    assert "Training on all tokens (full) is better than random." in text


def test_higher_exact_match_is_better():
    random = [ArmResult("random", n, 2.0, each, {}, 1, 1, 1) for n, each in enumerate((0.1, 0.2))]
    rho = [ArmResult("rho", n, 2.0, each, {}, 1, 1, 1) for n, each in enumerate((0.3, 0.401))]

    text = verdict_of(random, rho, metric=EXACT_MATCH)

    assert text.startswith("Exact match: rho (+0.2005, 95 % +0.1941 to +0.2069) beats random.")


def test_an_arm_is_judged_by_the_direction_of_the_figure():
    random = arm("random", 2.0, 2.0, tasks={"sums/mae": 3.0})
    rho = [
        ArmResult("rho", seed, 2.0, None, {"sums/mae": value}, 0.6, 1.0, 1.0)
        for seed, value in enumerate((2.0, 2.01))
    ]

    rows = compare_arms([*random, *rho], task_metric("sums/mae", lower_is_better=True))
    assert "rho (-0.9950" in verdict(rows, task_metric("sums/mae", lower_is_better=True))
    assert "rho is worse than random" in verdict(rows, task_metric("sums/mae", False))


def test_differences_that_are_all_the_same_have_no_interval():
    random, rho = (arm(name, 2.0, 2.0, 2.0, exact_match=share) for name, share in GUESSES)

    [_, row] = compare_arms([*random, *rho], EXACT_MATCH)

    assert row.versus["random"] == Difference(pytest.approx(0.1), None, None, 3)


GUESSES = (("random", 0.2), ("rho", 0.3))


def test_one_seed_says_nothing_about_chance():
    text = verdict_of(arm("random", 2.0), arm("rho", 1.0))

    assert text.startswith("Held-out loss: nothing can be said to beat random here.")
    assert "rho has no interval against random: it takes two seeds in common" in text


def test_five_seeds_are_not_called_wide():
    random = arm("random", 2.0, 2.1, 2.2, 2.3, 2.4)

    assert "wide" not in verdict_of(random, arm("rho", 1.9, 2.0, 2.15, 2.2, 2.3))


def test_without_random_or_without_another_arm_nothing_is_said():
    assert verdict_of(FULL, arm("rho", 1.0)) == (
        "Held-out loss: nothing can be said without the arm random."
    )
    assert verdict_of(FULL, RANDOM) == (
        "Held-out loss: nothing can be said without an arm that cleans."
    )


def test_several_arms_are_listed_in_one_sentence():
    better = [arm(name, 1.90, 2.11, 2.29) for name in ("a", "b", "c")]

    text = verdict_of(FULL, RANDOM, *better)

    assert "a, b and c beat training on all tokens (full) too." in text


TABLE = """\
Held-out loss (nats per token), lower is better
arm             seeds    mean  spread     minus random       minus full  passes  x full  sec
full                3  2.3000  0.2000                -                -    2.00    1.00   60
random              3  2.2000  0.2000                -  -0.1000+-0.0000    1.00    0.50    1
rho                 2  2.0050  0.1485  -0.0950+-0.0635  -0.1950+-0.0635    3.00    1.50    -
a-very-long...      1  1.0000       -          -1.0000          -1.1000    1.00    0.50    1
minus random: at the arm's own rate; +-: half the 95 % interval of the differences paired by
seed (/n: of fewer pairs than seeds);
passes: cost in forward passes over the corpus; x full: relative to that of full."""


def rows_of_the_table():
    arms = [
        arm("full", 2.1, 2.3, 2.5, passes=2.0, seconds=60.2),
        RANDOM,
        arm("rho", 1.90, 2.11, passes=3.0, seconds=None),
        arm("a-very-long-name-of-a-method", 1.0),
    ]
    return list(rows_of(*arms).values())


def test_the_table_is_aligned_and_fits_a_terminal():
    table = comparison_table(rows_of_the_table(), LOSS)

    assert table == TABLE
    assert table.isascii()
    assert max(map(len, table.splitlines())) < 100


def test_fewer_pairs_than_seeds_are_shown_and_the_table_still_fits():
    rows = rows_of(
        arm("full", 2.1, 2.3), arm("random", 2.0, 2.2), arm("self-evolving", 1.9, 2.11, 2.3)
    )

    table = comparison_table(list(rows.values()), LOSS)

    assert "-0.0950+-0.0635/2  -0.1950+-0.0635/2" in table
    assert max(map(len, table.splitlines())) < 100


def test_the_markdown_has_the_same_cells():
    lines = comparison_markdown(rows_of_the_table(), LOSS).splitlines()

    assert lines[0] == "**Held-out loss (nats per token), lower is better**"
    assert lines[2].startswith("| arm | seeds | mean | spread | minus random |")
    assert lines[3] == "| --- |" + " ---: |" * 8
    assert lines[6] == (
        "| rho | 2 | 2.0050 | 0.1485 | -0.0950+-0.0635 | -0.1950+-0.0635 | 3.00 | 1.50 | - |"
    )
