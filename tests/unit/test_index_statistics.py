"""The statistics of a round whose tokens lie in several shards, sources and turns."""

from itertools import chain

import numpy as np
import pytest

from sql.index import update_index
from tests.reading import rows
from tests.tiny_workspace import Sample, finish_run, make_corpus, make_scores, make_selection
from tokensieve.storage import LocalStorage

SHARES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
QUANTILES = ", ".join(f"influence_p{share * 100:02.0f}" for share in SHARES)
NAN = float("nan")
STRANGE = [0.0, -0.0, 1e-45, -1e-45, 3.0, 3.0, -3.0, 1e30, -1e30, 0.03125, -0.03125]
NUM_SHARDS, NUM_SAMPLES, NUM_TOKENS = 4, 9, 8  # response tokens, half of them of the second turn
PLACES = [
    (f"source {n % 3}", t // 4)
    for _ in range(NUM_SHARDS)
    for n in range(NUM_SAMPLES)
    for t in range(NUM_TOKENS)
]
DRAWS = {
    "around zero": lambda rng, size: rng.laplace(0, 0.5, size),
    "of every magnitude": lambda rng, size: (
        rng.choice([-1, 1], size) * 10 ** rng.uniform(-30, 9, size)
    ),
    "ties": lambda rng, size: rng.choice([0.0, -0.0, 0.5], size),
    "strange": lambda rng, size: rng.choice(STRANGE, size),
    "hardly apart": lambda rng, size: 1 + rng.integers(0, 9, size) * 2.0**-23,
    "unknown now and then": lambda rng, size: rng.choice([NAN, 0.1, -2.0, 0.7], size),
}


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    return storage


def recorded(storage: LocalStorage, influence: np.ndarray) -> None:
    """Record a round whose tokens have these influences; every other one is kept."""
    turns = (0, *(t // 4 for t in range(NUM_TOKENS)))
    tokens = (0, *(1 + t % 5 for t in range(NUM_TOKENS)))
    shards = [
        [Sample(f"{s}-{n}", f"source {n % 3}", tokens, turns) for n in range(NUM_SAMPLES)]
        for s in range(NUM_SHARDS)
    ]
    corpus = make_corpus(storage, shards)
    base = influence.reshape(NUM_SHARDS, -1)
    num_unknown = int(np.isnan(base).sum())
    scores = {
        "base": make_scores(corpus, "base", base.tolist(), non_finite=num_unknown),
        "reference": make_scores(corpus, "reference", np.zeros_like(base).tolist()),
    }
    kept = np.tile([1.0, 0.0], base.shape[1] // 2).tolist()
    finish_run(storage, "run", [(corpus, scores, make_selection(corpus, [kept] * NUM_SHARDS))])
    update_index(storage)


def quantiles(influence: np.ndarray) -> list[float]:
    known = influence[~np.isnan(influence)]
    return np.quantile(known, SHARES, method="inverted_cdf").tolist()


@pytest.mark.parametrize("draw", DRAWS)
def test_quantiles_of_the_round_its_sources_and_turns_are_those_of_numpy(storage, draw):
    drawn = DRAWS[draw](np.random.default_rng(0), len(PLACES)).astype(np.float32)
    influence = drawn.astype(np.float64)
    recorded(storage, drawn)

    of_source = {
        name: [source == name for source, _ in PLACES] for name in ("source 0", "source 2")
    }
    of_turn = {number: [turn == number for _, turn in PLACES] for number in (0, 1)}
    by_source = rows(storage, f"SELECT source, {QUANTILES} FROM source_stats ORDER BY source")
    by_turn = rows(storage, f"SELECT turn, {QUANTILES} FROM turn_stats ORDER BY turn")

    assert [list(row) for row in rows(storage, f"SELECT {QUANTILES} FROM round_stats")] == [
        quantiles(influence)
    ]
    assert [list(row) for row in (by_source[0], by_source[2])] == [
        [name, *quantiles(influence[chosen])] for name, chosen in of_source.items()
    ]
    assert [list(row) for row in by_turn] == [
        [number, *quantiles(influence[chosen])] for number, chosen in of_turn.items()
    ]


def test_tokens_of_all_shards_are_in_every_statistic(storage):
    influence = np.tile([0.5, -0.25, 1.0, 0.0], len(PLACES) // 4).astype(np.float32)
    recorded(storage, influence)

    counts = "sum(response_tokens), sum(kept_tokens)"
    tables = ("round_stats", "source_stats", "turn_stats", "token_stats", "sample_stats")
    found = [rows(storage, f"SELECT {counts} FROM {table}") for table in tables]

    assert list(chain(*found)) == [(288, 144)] * 5
    assert rows(storage, "SELECT mean_influence, positive_share FROM round_stats") == [
        (0.3125, 0.5)
    ]
    assert rows(storage, "SELECT token_id, response_tokens, kept_tokens FROM token_stats") == [
        (1, 72, 36), (2, 72, 36), (3, 72, 36), (4, 36, 0), (5, 36, 36)
    ]  # fmt: skip
    assert rows(
        storage,
        "SELECT source, lower_nats, influence_tokens, kept_tokens FROM influence_histogram"
        " WHERE source = 'source 1' ORDER BY lower_nats",
    ) == [
        ("source 1", -0.25, 24, 0),
        ("source 1", 0.0, 24, 0),
        ("source 1", 0.5, 24, 24),
        ("source 1", 1.0, 24, 24),
    ]
