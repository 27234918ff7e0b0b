"""A sieve: noise it plants, signals it reads, curves it fits, rates it finds, verdicts it gives."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tokensieve.chat import load_encoder
from tokensieve.corpus import Shard
from tokensieve.errors import InputError
from tokensieve.noise.encoding import encode_records
from tokensieve.sieve import (
    KINDS,
    SIGNALS,
    Lesson,
    Sieve,
    Vocabulary,
    fit_sieve,
    plant,
    planted_share,
)
from tokensieve.sieve.additive import Additive, fit_additive, quantile_knots
from tokensieve.sieve.rate import Cut, find_cut
from tokensieve.sieve.repetition import echo, num_holders
from tokensieve.sieve.signals import signals

SHARED = Path(__file__).resolve().parents[2] / "../shared"
END = 2
"""The special token that ends an answer."""
TEXTS = [
    *("<s>", "<q>", "</s>", ".", " 1", " 2", " 3", " 10", " 20", "\n"),
    *(f" word{n}" for n in range(90)),
]
VOCABULARY = Vocabulary.of(TEXTS, [id < 3 for id in range(len(TEXTS))])
WORD = 10
"""Id of the first word."""


def shard_of(*samples: list[tuple[list[int], list[int]]]) -> Shard:
    """Return samples s0, s1, ... of exchanges: question ids and answer ids."""
    ids, response, turn, lengths = [], [], [], []
    for sample in samples:
        for number, (question, answer) in enumerate(sample):
            ids += question + answer
            response += [False] * len(question) + [True] * len(answer)
            turn += [number] * (len(question) + len(answer))
        lengths.append(sum(len(question) + len(answer) for question, answer in sample))
    return Shard(
        sample_ids=[f"s{n}" for n in range(len(samples))],
        sources=["" for _ in samples],
        offsets_N1=np.cumsum([0, *lengths]),
        input_ids_T=np.array(ids, dtype=np.int32),
        response_T=np.array(response, dtype=bool),
        turn_T=np.array(turn, dtype=np.int16),
    )


def corpus_of(num_samples: int, seed: int) -> Shard:
    """Return samples whose answers repeat what their questions name, among words all use."""
    draw = np.random.default_rng(seed)
    samples = []
    for _ in range(num_samples):
        names = draw.choice(np.arange(40, 100), 3, replace=False).tolist()
        number = int(draw.integers(4, 7))
        common = draw.integers(WORD, 40, 20).tolist()
        question = [0, 1, *common[:6], *names, number, 1]
        answer = [*common[6:10], names[0], number, 3, *common[10:14], names[1], number, 3, names[2]]
        samples.append([(question, [*answer, 3, END])])
    return shard_of(*samples)


def usual_nll(shard: Shard, seed: int) -> np.ndarray:
    nll_T = np.random.default_rng(seed).exponential(0.5, len(shard.input_ids_T))
    return np.where(shard.scorable_T, nll_T, np.nan).astype(np.float32)


def lesson_of(shard: Shard, nll_T: np.ndarray, share: float) -> Lesson:
    """Return a lesson whose reference is surprised by planted noise, unless it is swapped."""
    planted, label_P = plant(shard, VOCABULARY, share, seed=0)
    surprise_P = np.array([0, 4, 4, 2, 0], dtype=np.float32)[label_P]
    return Lesson(shard, nll_T, planted, usual_nll(planted, seed=9) + surprise_P, label_P)


@pytest.fixture(scope="module")
def noisy() -> tuple[Shard, np.ndarray, np.ndarray]:
    """Return a corpus, its nll, and where 40 answers belong to another question."""
    shard = corpus_of(400, seed=1)
    ids_T = shard.input_ids_T.copy()
    is_noise_T = np.zeros(len(ids_T), dtype=bool)
    spans = list(shard.slices())[:40]
    for n, span in enumerate(spans):
        to = np.flatnonzero(shard.response_T[span])[:-1] + span.start
        of = np.flatnonzero(shard.response_T[spans[n - 1]])[:-1] + spans[n - 1].start
        ids_T[to], is_noise_T[to] = shard.input_ids_T[of], True
    shard = replace(shard, input_ids_T=ids_T)
    return shard, usual_nll(shard, seed=2), is_noise_T


def test_a_vocabulary_knows_numbers_of_the_same_form_and_ends_of_sentences():
    assert VOCABULARY.alike == {4: [5, 6], 5: [4, 6], 6: [4, 5], 7: [8], 8: [7]}
    assert VOCABULARY.is_number_V.nonzero()[0].tolist() == [4, 5, 6, 7, 8]
    assert VOCABULARY.sentence_ends == {3, 9}
    assert VOCABULARY.content([11, 12, END, 9]) == [11, 12]
    assert VOCABULARY.sentences == []


def test_sentences_are_spelled_with_the_longest_tokens_that_fit():
    letters = sorted({letter for letter in map(chr, range(32, 127))})
    vocabulary = Vocabulary.of([*letters, "Read", "Re", " more"], [False] * (len(letters) + 3))
    spelled = vocabulary.sentences[4][:4]
    assert [[*letters, "Read", "Re", " more"][id] for id in spelled] == ["Read", " more", " ", "a"]


def test_planted_noise_lies_in_answers_and_the_labels_say_where():
    shard = corpus_of(300, seed=0)
    planted, label_P = plant(shard, VOCABULARY, 0.5, seed=0)
    original = dict(zip(shard.sample_ids, shard.slices(), strict=True))
    seen = set()
    for id, span in zip(planted.sample_ids, planted.slices(), strict=True):
        label, before = label_P[span], shard.input_ids_T[original[id]].tolist()
        kind = int(label.max())
        seen.add(kind)
        assert set(label.tolist()) <= {0, kind}
        assert (planted.response_T[span] | (label == 0)).all()
        assert planted.input_ids_T[span][-1] == END
        clean = planted.input_ids_T[span][label == 0].tolist()
        if kind == 0 or KINDS[kind - 1] == "foreign":
            assert clean == before
        elif KINDS[kind - 1] != "swapped":
            assert len(planted.input_ids_T[span]) == len(before)
            assert clean == [t for t, noise in zip(before, label > 0, strict=True) if not noise]
            assert (planted.input_ids_T[span][label > 0] != np.array(before)[label > 0]).all()
    assert {1, 2, 3, 4} <= seen
    assert 110 < planted.num_samples < 190


def test_a_swapped_answer_is_another_samples_and_comes_once():
    shard = corpus_of(200, seed=0)
    planted, label_P = plant(shard, VOCABULARY, 0.5, seed=0)

    def answers(of: Shard) -> dict[str, tuple[int, ...]]:
        slices = zip(of.sample_ids, of.slices(), strict=True)
        return {id: tuple(of.input_ids_T[s][of.response_T[s]].tolist()) for id, s in slices}

    own, copies = answers(shard), answers(planted)
    spans = zip(planted.sample_ids, planted.slices(), strict=True)
    swapped = [id for id, span in spans if (label_P[span] == 1 + KINDS.index("swapped")).any()]
    given = [copies[id] for id in swapped]
    assert len(swapped) > 10
    assert sorted(given) == sorted(own[id] for id in swapped)
    assert all(copies[id] != own[id] for id in swapped)


def test_planting_depends_on_seed_and_samples_only():
    shard = corpus_of(60, seed=0)
    first, again = (plant(shard, VOCABULARY, 0.5, seed=0) for _ in range(2))
    other = plant(shard, VOCABULARY, 0.5, seed=1)
    assert first[0].input_ids_T.tolist() == again[0].input_ids_T.tolist()
    assert first[1].tolist() == again[1].tolist()
    assert first[0].sample_ids != other[0].sample_ids


def test_a_shard_without_samples_or_answers_has_an_empty_copy():
    for shard in (shard_of(), shard_of([([0, 11], [END])], [([0, 11, 12], [])])):
        planted, label_P = plant(shard, VOCABULARY, 1.0, seed=0)
        assert (planted.num_samples, planted.offsets_N1.tolist(), len(label_P)) == (0, [0], 0)
        assert planted.response_T.dtype == bool


def test_a_large_corpus_is_copied_in_part():
    assert planted_share(0) == planted_share(300_000) == 0.5
    assert planted_share(15_000_000) == 0.01


def test_a_passage_counts_for_all_its_tokens_in_the_other_samples_that_hold_it():
    shard = shard_of(
        [([0], [11, 12, 13, 14])],
        [([0], [12, 13, 14, 15])],
        [([0], [12, 13]), ([0], [12, 13, 14, 12, 13, 14])],
        [([11, 12, 13], [14])],
    )
    assert num_holders(shard, 3).tolist() == [
        *(0, 0, 2, 2, 2),
        *(0, 2, 2, 2, 0),
        *(0, 0, 0, 0, 2, 2, 2, 2, 2, 2),
        *(0, 0, 0, 0),
    ]


def test_an_answer_echoes_the_words_that_its_question_holds():
    names = [[20, 21], [22, 23], [24, 25], [26, 27]]
    shard = shard_of(*([([0, *each], [11, *each])] for each in names))
    swapped = shard_of(
        [([0, *names[1]], [11, *names[0]])],
        *([([0, *each], [11, *each])] for each in names[1:]),
    )
    assert (echo(shard).answer_T[shard.response_T] > 1).all()
    assert np.isnan(echo(shard).token_T[~shard.response_T]).all()
    echoes = echo(swapped).answer_T[swapped.response_T].reshape(4, 3)[:, 0]
    assert echoes.argmin() == 0
    assert (echo(swapped).token_T[4:6] < 0).all()


def test_the_echo_of_a_word_is_the_log_odds_of_its_other_exchanges():
    shard = shard_of([([20], [20])], [([20], [20])], [([21], [20])])
    # Word 20 in the first answer: of the two others, one has it in its question as well. Once in
    # other questions, it is as frequent as in both of the first two answers, which echo it.
    own = (1 + 4 * (2 + 0.5) / (2 + 1)) / (2 + 4)
    assert echo(shard).token_T[1] == pytest.approx(np.log(own / ((1 + 0.5) / 3)))
    # In the third: both others echo it, and no answer with a word twice in other questions does.
    own = (2 + 4 * 0.5 / 2) / (2 + 4)
    assert echo(shard).token_T[5] == pytest.approx(np.log((1 - own) / (1 - (2 + 0.5) / 3)))


def test_signals_are_those_of_tokens_with_a_score_and_stay_in_their_answer():
    shard = shard_of([([0], [11, 12, 4]), ([11], [13])], [([0], [14])])
    nll_T = np.array([np.nan, 3, 5, 1, np.nan, 8, np.nan, np.nan], dtype=np.float32)
    token_C, signals_SC = signals(shard, nll_T, VOCABULARY)
    by_name = dict(zip([signal.name for signal in SIGNALS], signals_SC.tolist(), strict=True))
    assert token_C.tolist() == [1, 2, 3, 5]
    assert by_name["nll"] == [3, 5, 1, 8]
    assert by_name["nll_near"] == by_name["nll_around"] == [3, 3, 3, 8]
    assert by_name["number_nll"][2] == 1
    assert np.isnan(by_name["number_nll"]).tolist() == [True, True, False, True]


def test_a_copy_is_compared_with_the_samples_in_whose_midst_it_stands():
    passage = list(range(20, 28))
    shard = shard_of(*([([0], passage)] for _ in range(4)))
    copy = replace(shard_of([([0], passage)]), sample_ids=["s2"])
    nll_P = np.full(9, 1, dtype=np.float32)
    assert signals(copy, nll_P, VOCABULARY)[1][-1].tolist() == [0] * 8
    assert signals(copy, nll_P, VOCABULARY, among=shard)[1][-1].tolist() == [np.log1p(3)] * 8


def test_a_cut_loses_the_fewest_tokens():
    planted_P = np.array([9.0, 8.0, 7.0, 1.0])
    corpus_C = np.array([9.5, 8.5, 7.5, *np.linspace(0, 0.9, 17), 1.5, 2.5, 3.5, 4.5])
    # Above 7 lie 3 of 4 planted tokens and 3 of 24 of the corpus: at most 1/6 of it is noise.
    assert find_cut(planted_P, corpus_C) == Cut(rate=pytest.approx(1 / 6), threshold=7.0)


def test_a_corpus_with_nothing_above_the_planted_noise_has_no_noise():
    cut = find_cut(np.array([5.0, 6.0, 7.0]), np.linspace(-3, 3, 50))
    assert (cut.rate, cut.threshold) == (0.0, 7.0)


def test_curves_rise_in_the_direction_of_their_sign_even_where_the_data_falls():
    draw = np.random.default_rng(0)
    signals_SR = draw.normal(size=(len(SIGNALS), 4000))
    is_noise_R = draw.random(4000) < 1 / (1 + np.exp(-2 * signals_SR[0] - 2 * signals_SR[7]))
    signals_SR[7] *= -1  # the data says: few repetitions betray noise
    signals_SR[3, :2000] = np.nan
    model = fit_additive(signals_SR, is_noise_R, np.ones(4000), quantile_knots(signals_SR))
    assert all((np.diff(heights) >= 0).all() for heights in model.heights)
    assert model.heights[0][-1] > 4
    assert model.heights[7][-1] < 0.05
    added_SR = model.contributions(signals_SR)
    assert (added_SR[3, :2000] == 0).all()
    assert model.log_odds(added_SR)[5] == pytest.approx(model.intercept + added_SR[:, 5].sum())


def test_the_fit_is_the_minimum_of_the_loss():
    draw = np.random.default_rng(0)
    signals_SR = np.zeros((len(SIGNALS), 1000))
    signals_SR[0] = draw.normal(size=1000)
    is_noise_R = draw.random(1000) < 1 / (1 + np.exp(-signals_SR[0]))
    knots = quantile_knots(signals_SR)
    model = fit_additive(signals_SR, is_noise_R, np.ones(1000), knots)

    def loss(heights: np.ndarray, intercept: float) -> float:
        moved = Additive(knots, (heights, *model.heights[1:]), intercept)
        log_odds_R = moved.log_odds(moved.contributions(signals_SR))
        ridge = 5 * (np.diff(heights, prepend=0) ** 2).sum()
        return float(np.logaddexp(0, np.where(is_noise_R, -1, 1) * log_odds_R).sum() + ridge)

    least = loss(model.heights[0], model.intercept)
    for place in range(len(knots[0])):
        if model.heights[0][place] > (model.heights[0][place - 1] if place else 0):
            for change in (-0.01, 0.01):
                step = np.where(np.arange(len(knots[0])) >= place, change, 0)
                assert loss(model.heights[0] + step, model.intercept) > least - 1e-6
    assert min(loss(model.heights[0], model.intercept + c) for c in (-0.01, 0.01)) > least


def test_a_sieve_finds_answers_to_other_questions_without_having_seen_a_label(noisy):
    shard, nll_T, is_noise_T = noisy
    sieve = fit_sieve([lesson_of(shard, nll_T, share=0.5)], VOCABULARY)
    verdict = sieve.judge(shard, nll_T, VOCABULARY)
    scored_T = np.isfinite(nll_T)
    dropped_T = verdict.log_odds_T >= 0
    assert np.isnan(verdict.log_odds_T).tolist() == (~scored_T).tolist()
    assert dropped_T[is_noise_T].mean() > 0.9
    assert dropped_T[scored_T & ~is_noise_T].mean() < 0.02
    assert sieve.rates["swapped"] == pytest.approx(is_noise_T.sum() / scored_T.sum(), abs=0.02)
    found_T = dropped_T & is_noise_T
    names = [SIGNALS[signal].name for signal in verdict.signal_T[found_T]]
    assert (verdict.kind_T[found_T] == KINDS.index("swapped")).mean() > 0.5
    assert names.count("echo_answer") > 0.5 * len(names)


def test_a_sieve_says_that_the_tokens_of_a_garbled_run_were_not_expected():
    shard = corpus_of(400, seed=5)
    draw = np.random.default_rng(6)
    ids_T, nll_T = shard.input_ids_T.copy(), usual_nll(shard, seed=7)
    is_noise_T = np.zeros(len(ids_T), dtype=bool)
    for span in list(shard.slices())[:120]:
        run = slice(span.stop - 10, span.stop - 3)
        ids_T[run], nll_T[run], is_noise_T[run] = draw.integers(40, 100, 7), nll_T[run] + 4, True
    shard = replace(shard, input_ids_T=ids_T)
    sieve = fit_sieve([lesson_of(shard, nll_T, share=0.5)], VOCABULARY)
    verdict = sieve.judge(shard, nll_T, VOCABULARY)
    dropped_T = verdict.log_odds_T >= 0
    found_T = dropped_T & is_noise_T
    assert found_T.sum() > 0.9 * is_noise_T.sum()
    assert dropped_T[np.isfinite(nll_T) & ~is_noise_T].mean() < 0.03
    assert {KINDS[n] for n in verdict.kind_T[found_T]} <= {"garbled", "foreign"}
    assert {SIGNALS[n].name for n in verdict.signal_T[found_T]} <= {"nll", "nll_near", "nll_around"}


def test_a_sieve_keeps_a_clean_corpus():
    shard = corpus_of(400, seed=3)
    nll_T = usual_nll(shard, seed=4)
    sieve = fit_sieve([lesson_of(shard, nll_T, share=0.5)], VOCABULARY)
    verdict = sieve.judge(shard, nll_T, VOCABULARY)
    assert (verdict.log_odds_T >= 0)[np.isfinite(nll_T)].mean() < 0.02
    assert (verdict.signal_T[~np.isfinite(nll_T)] == -1).all()


def test_a_sieve_is_the_same_after_json_and_every_time(noisy):
    shard, nll_T, _ = noisy
    sieve, again = (fit_sieve([lesson_of(shard, nll_T, share=0.3)], VOCABULARY) for _ in range(2))
    read = Sieve.from_dict(json.loads(json.dumps(sieve.to_dict())))
    assert sieve.to_dict() == again.to_dict() == read.to_dict()
    verdicts = [each.judge(shard, nll_T, VOCABULARY) for each in (sieve, read)]
    for name in ("log_odds_T", "kind_T", "signal_T"):
        first, second = (getattr(verdict, name) for verdict in verdicts)
        np.testing.assert_array_equal(first, second)


def test_a_corpus_too_small_to_learn_from_is_refused():
    shard = corpus_of(10, seed=0)
    with pytest.raises(InputError, match="a sieve needs 8 of one kind"):
        fit_sieve([lesson_of(shard, usual_nll(shard, 0), share=1.0)], VOCABULARY)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data and models")
def test_in_real_data_answers_of_other_questions_do_not_echo_theirs():
    lines = (SHARED / "data/gsm8k/sft.jsonl").read_text("utf-8").splitlines()[:600]
    records = [json.loads(line) for line in lines]
    for record, other in zip(records[:30], [*records[1:30], records[0]], strict=True):
        record["messages"] = [record["messages"][0], other["messages"][1]]
    encoder = load_encoder(str(SHARED / "models/base-6m"), "tulu", 1024)
    shard = encode_records(records, encoder)
    answers = echo(shard).answer_T[shard.offsets_N1[1:] - 1]
    below = (answers[:30, None] < answers[None, 30:]).mean()
    assert below > 0.98
