"""Planted noise: what changes, where it is said to be, and which tokens it makes noisy."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny_models import tiny_tokenizer
from tokensieve.chat import Encoder
from tokensieve.ingest.records import to_record
from tokensieve.models import load_model, load_tokenizer
from tokensieve.noise import demo
from tokensieve.noise.corpus import GENERAL, TASKS, make_records
from tokensieve.noise.encoding import encode_records
from tokensieve.noise.labels import corpus_labels, noise_labels
from tokensieve.noise.planting import (
    BOILERPLATE,
    KINDS,
    NoiseSpan,
    Planted,
    plant_noise,
    read_planted,
    write_planted,
)
from tokensieve.scoring import score_shard
from tokensieve.settings import ScoringSettings
from tokensieve.templates import load_template

GSM8K = Path(__file__).resolve().parents[2] / "../shared/data/gsm8k/sft.jsonl"


def answer_of(record) -> str:
    return record["messages"][1]["content"]


def planted_by_kind(kind: str, num_records: int = 300):
    """Yield (clean answer, noisy answer, span) of records that all have this kind of noise."""
    clean = make_records(num_records, seed=5)
    noisy, planted = plant_noise(clean, rate=1.0, seed=0, kinds=[kind])
    for before, after, each in zip(clean, noisy, planted, strict=True):
        for span in each.spans.get(1, []):
            yield answer_of(before), answer_of(after), span


def test_the_same_seed_gives_the_same_records_with_unique_ids():
    assert make_records(50, seed=1) == make_records(50, seed=1)
    assert make_records(50, seed=1) != make_records(50, seed=2)
    ids = [r["id"] for seed in (1, 2) for r in make_records(50, seed)]
    ids += [r["id"] for r in make_records(50, 1, GENERAL)]
    assert len(set(ids)) == 150
    assert {r["source"] for r in make_records(6, seed=1)} == set(TASKS)


def test_the_answers_of_the_tasks_are_right():
    for record in make_records(600, seed=3):
        question, answer = (m["content"] for m in record["messages"])
        for left, sign, right, result in re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)", answer):
            found = {"+": int(left) + int(right), "-": int(left) - int(right)}
            assert int(result) == found.get(sign, int(left) * int(right))
        if record["source"] == "lists":
            given, ordered = ([int(n) for n in re.findall(r"\d", t)] for t in (question, answer))
            assert ordered == (sorted(given) if "sorted" in answer else given[::-1])
        if record["source"] == "lookup":
            thing, price = re.findall(r"price of (\w+) is (\d)", answer)[0]
            assert f"{thing} {price}" in question


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_span_changes(kind):
    changes = list(planted_by_kind(kind))
    assert len(changes) > 100
    for before, after, span in changes:
        assert span.kind == kind
        assert 0 <= span.start < span.end <= len(after)
        kept = after[: span.start] + after[span.end :]
        tail = len(after) - span.end
        if kind == "boilerplate":
            assert kept.strip() == before
            assert after[span.start : span.end] in BOILERPLATE
        else:
            assert before[: span.start] == after[: span.start]
            assert before[len(before) - tail :] == after[span.end :]


def test_a_wrong_number_is_another_number_of_as_many_digits():
    for before, after, span in planted_by_kind("wrong_number"):
        old, new = (text[span.start : span.end] for text in (before, after))
        assert old.isdigit()
        assert new.isdigit()
        assert len(old) == len(new)
        assert old != new


def test_every_corrupted_word_is_another_one_and_at_most_a_third_are():
    for before, after, span in planted_by_kind("corrupted"):
        old = before[span.start : len(before) - (len(after) - span.end)].split()
        new = after[span.start : span.end].split()
        assert len(old) == len(new) <= len(before.split()) / 3
        assert all(one != other for one, other in zip(old, new, strict=True))


def test_a_swapped_answer_is_that_of_another_record():
    answers = {answer_of(record) for record in make_records(300, seed=5)}
    for before, after, span in planted_by_kind("swapped"):
        assert after != before
        assert after in answers
        assert (span.start, span.end) == (0, len(after))


def test_the_rate_is_the_share_of_noisy_answers():
    records = make_records(2000, seed=0)
    for rate, low, high in ((0.0, 0, 0), (0.3, 540, 660), (1.0, 2000, 2000)):
        noisy, planted = plant_noise(records, rate, seed=0)
        changed = [n for n in range(2000) if noisy[n] != records[n]]
        assert changed == [n for n in range(2000) if planted[n].spans]
        assert low <= len(changed) <= high  # three standard deviations
    kinds = [span.kind for each in planted for span in each.spans[1]]
    assert set(kinds) == set(KINDS)


def test_noise_does_not_depend_on_the_order_of_the_records():
    records = make_records(60, seed=0)
    forwards = plant_noise(records, 0.5, seed=7)
    backwards = plant_noise(records[::-1], 0.5, seed=7)
    assert forwards[0] == backwards[0][::-1]
    assert forwards[1] == backwards[1][::-1]
    assert plant_noise(records, 0.5, seed=8)[0] != forwards[0]


def test_only_answers_are_changed_and_each_on_its_own():
    turns = [("system", "Be brief."), ("user", "1?"), ("assistant", " It is 41. "), ("user", "2?")]
    messages = [{"role": role, "content": content} for role, content in turns]
    record = {"id": "x", "source": "a", "messages": [*messages, {**messages[2], "content": "7"}]}
    [noisy], [planted] = plant_noise([record], 1.0, seed=0, kinds=["wrong_number"])
    contents = [m["content"] for m in noisy["messages"]]
    assert contents[:2] + contents[3:4] == ["Be brief.", "1?", "2?"]
    assert re.fullmatch(r"It is \d\d\.", contents[2])
    assert planted.spans == {
        2: [NoiseSpan(6, 8, "wrong_number")],
        4: [NoiseSpan(0, 1, "wrong_number")],
    }
    assert record["messages"][2]["content"] == " It is 41. "  # the input is left as it was


def test_an_answer_that_allows_no_noise_stays_clean():
    record = {"id": "x", "source": "a", "messages": [{"role": "assistant", "content": "Yes"}]}
    kinds = ["wrong_number", "corrupted", "swapped"]
    noisy, planted = plant_noise([record], 1.0, seed=0, kinds=kinds)
    assert noisy == [record]
    assert planted == [Planted("x", {})]


def test_the_places_of_noise_come_back_from_their_file(tmp_path):
    _, planted = plant_noise(make_records(40, seed=0), 0.5, seed=0)
    write_planted(tmp_path / "planted.jsonl", planted)
    assert read_planted(tmp_path / "planted.jsonl") == {p.id: p for p in planted if p.spans}


def test_a_token_is_noise_if_one_of_its_characters_is():
    planted = Planted("x", {1: [NoiseSpan(4, 9, "wrong_number")], 3: [NoiseSpan(0, 2, "swapped")]})
    spans = [(-1, -1, -1), (0, 4, 9), (1, 0, 4), (1, 3, 5), (1, 5, 8), (1, 8, 12), (1, 9, 10)]
    spans += [(3, 1, 4), (-1, -1, -1)]
    columns = tuple(np.array(column) for column in zip(*spans, strict=True))
    assert noise_labels(planted, columns).tolist() == [0, 0, 0, 2, 2, 2, 0, 4, 0]
    assert noise_labels(None, columns).tolist() == [0] * 9


def test_noisy_tokens_spell_the_planted_text():
    tokenizer = tiny_tokenizer()
    encoder = Encoder(tokenizer, load_template("tulu", tokenizer), max_length=512)
    noisy, planted = plant_noise(make_records(60, seed=0), 1.0, seed=0)
    shard = encode_records(noisy, encoder)
    label_T = corpus_labels(noisy, {each.id: each for each in planted}, encoder)
    assert len(label_T) == len(shard.input_ids_T)
    assert not label_T[~shard.response_T].any()
    for record, each, tokens in zip(noisy, planted, shard.slices(), strict=True):
        [span] = each.spans[1]
        labels = label_T[tokens]
        assert set(labels.tolist()) == {0, 1 + KINDS.index(span.kind)}
        marked = tokenizer.decode(shard.input_ids_T[tokens][labels > 0])
        assert answer_of(record)[span.start : span.end] in marked
        assert len(marked) <= span.end - span.start + 12  # the tokens at its edges


@pytest.mark.skipif(not GSM8K.exists(), reason="the shared data are not here")
def test_noise_is_planted_into_a_real_corpus():
    rows = [json.loads(line) for line in GSM8K.read_text(encoding="utf-8").splitlines()][:500]
    noisy, planted = plant_noise(rows, 0.4, seed=0)
    assert 160 <= sum(bool(each.spans) for each in planted) <= 240
    assert all(to_record(record).messages for record in noisy)


@pytest.fixture(scope="module")
def small_demo(tmp_path_factory):
    """The demonstration with a tenth of its samples: the models are worse, the way is the same."""
    sizes = {"corpus": 120, "holdout": 12, "general": 150, "base": 12, "reference": 480}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "_NUM_SAMPLES", sizes)
        yield demo.make_demo(tmp_path_factory.mktemp("demo") / "made")


def test_the_demo_is_whole_and_made_only_once(small_demo):
    rows = [json.loads(line) for line in small_demo.corpus.read_text().splitlines()]
    assert len(rows) == 120
    assert rows[0].keys() == {"id", "source", "messages"}
    assert 30 <= len(read_planted(small_demo.planted)) <= 66
    assert [path.name for path in small_demo.directory.parent.iterdir()] == ["made"]
    unseen = [json.loads(line)["messages"] for line in small_demo.holdout.read_text().splitlines()]
    assert len(unseen) == 12
    assert not [messages for messages in unseen if messages in [row["messages"] for row in rows]]
    before = small_demo.base.stat().st_mtime_ns
    assert demo.make_demo(small_demo.directory) == small_demo
    assert small_demo.base.stat().st_mtime_ns == before


def test_the_demos_reference_is_better_on_clean_tokens_and_not_on_noise(small_demo):
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in small_demo.corpus.read_text().splitlines()]
    tokenizer = load_tokenizer(str(small_demo.base))
    encoder = Encoder(tokenizer, load_template("model", tokenizer), max_length=256)
    shard = encode_records(rows, encoder)
    label_T = corpus_labels(rows, read_planted(small_demo.planted), encoder)
    nll = []
    for directory in (small_demo.base, small_demo.reference):
        model = load_model(str(directory), "float32", 0)
        columns, _ = score_shard(model, shard, ScoringSettings(), ("nll",), lambda _: None)
        nll.append(columns["nll"])
    influence_T = nll[0] - nll[1]
    clean = influence_T[shard.scorable_T & (label_T == 0)].mean()
    noise = influence_T[shard.scorable_T & (label_T > 0)].mean()
    assert clean > 1  # nats
    assert noise < clean - 1
