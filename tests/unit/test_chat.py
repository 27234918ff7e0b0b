"""The response mask: which tokens a model is asked to produce."""

import json
import pickle
from pathlib import Path

import pytest

from tests.tiny_models import build_tiny_model
from tokensieve.chat import Encoded, Encoder
from tokensieve.errors import InputError, SettingsError
from tokensieve.ingest.records import Message, Record, RowProblem
from tokensieve.models import load_tokenizer
from tokensieve.templates import load_template

SHARED = Path(__file__).resolve().parents[2] / "../shared"

USER = Message("user", "What is 2 + 2?")
ANSWER = Message("assistant", "It is 4.")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(str(build_tiny_model(tmp_path_factory.mktemp("model"))))


def encoder(tokenizer, template, max_length=1000):
    return Encoder(tokenizer, load_template(template, tokenizer), max_length)


def trained_text(tokenizer, sample, turn=None):
    chosen = [
        id
        for id, response, at in zip(
            sample.input_ids_T, sample.response_T, sample.turn_T, strict=True
        )
        if response and turn in (None, at)
    ]
    return tokenizer.decode(chosen)


def record(*messages):
    return Record(None, None, messages)


@pytest.mark.parametrize(
    ("template", "text", "trained"),
    [
        (
            "tulu",
            "<|user|>\nWhat is 2 + 2?\n<|assistant|>\nIt is 4.{eos}",
            "It is 4.{eos}",
        ),
        (
            "chatml",
            "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n"
            "<|im_start|>assistant\nIt is 4.<|im_end|>\n",
            "It is 4.<|im_end|>",
        ),
        (
            "alpaca",
            "Below is an instruction that describes a task. "
            "Write a response that appropriately completes the request."
            "\n\n### Instruction:\nWhat is 2 + 2?\n\n### Response:\nIt is 4.{eos}",
            "It is 4.{eos}",
        ),
        ("plain", "What is 2 + 2? It is 4.{eos}", " It is 4.{eos}"),
    ],
)
def test_each_template_writes_its_text_and_trains_the_answer_to_its_end(
    tokenizer, template, text, trained
):
    [sample] = encoder(tokenizer, template).encode([record(USER, ANSWER)])

    eos = tokenizer.eos_token
    assert tokenizer.decode(sample.input_ids_T, skip_special_tokens=False).removeprefix(
        tokenizer.bos_token or ""
    ) == text.format(eos=eos)
    assert trained_text(tokenizer, sample) == trained.format(eos=eos)


def test_alpaca_puts_the_input_in_a_section_of_its_own(tokenizer):
    question = Message("user", "Add the numbers.", context="2, 2")

    [sample] = encoder(tokenizer, "alpaca").encode([record(question, ANSWER)])

    assert "### Input:\n2, 2\n\n### Response:\n" in tokenizer.decode(sample.input_ids_T)


def test_every_answer_of_a_conversation_is_trained_and_numbered(tokenizer):
    more = (Message("user", "And 3 + 3?"), Message("assistant", "6"))

    [sample] = encoder(tokenizer, "tulu").encode([record(USER, ANSWER, *more)])

    assert trained_text(tokenizer, sample, turn=0) == f"It is 4.{tokenizer.eos_token}\n"
    assert trained_text(tokenizer, sample, turn=1) == f"6{tokenizer.eos_token}"


def test_special_tokens_named_in_a_message_are_plain_text_and_do_not_shift_the_mask(tokenizer):
    eos = tokenizer.eos_token
    question = Message("user", f"What does {eos} mean?")
    answer = Message("assistant", f"{eos} ends a text.")

    [sample] = encoder(tokenizer, "tulu").encode([record(question, answer)])

    assert sample.num_specials == 2
    assert sample.input_ids_T.tolist().count(tokenizer.eos_token_id) == 1
    assert sample.input_ids_T[-1] == tokenizer.eos_token_id
    assert trained_text(tokenizer, sample) == f"{eos} ends a text.{eos}"


def test_encoding_special_names_changes_nothing_but_those_names(tokenizer):
    eos = tokenizer.eos_token
    plain = encoder(tokenizer, "tulu")
    [ordinary, named] = plain.encode(
        [
            record(USER, ANSWER),
            record(USER, Message("assistant", f"It is 4.{eos}")),
        ]
    )

    shared = len(ordinary.input_ids_T) - 1  # all but the final EOS
    assert named.input_ids_T[:shared].tolist() == ordinary.input_ids_T[:shared].tolist()


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([USER], "no_target"),
        ([USER, Message("assistant", "")], "empty_target"),
        ([USER, Message("assistant", " \n")], "empty_target"),
    ],
)
def test_a_conversation_without_an_answer_is_skipped(tokenizer, messages, reason):
    [problem] = encoder(tokenizer, "tulu").encode([record(*messages)])

    assert (problem.reason, problem.outcome) == (reason, "skipped")


def test_a_long_sample_is_cut_and_the_cut_is_counted(tokenizer):
    [whole] = encoder(tokenizer, "tulu").encode([record(USER, ANSWER)])
    cut_at = len(whole.input_ids_T) - 2

    [cut] = encoder(tokenizer, "tulu", max_length=cut_at).encode([record(USER, ANSWER)])

    assert cut.num_truncated == 2
    assert cut.input_ids_T.tolist() == whole.input_ids_T[:cut_at].tolist()


def test_a_sample_whose_answer_is_cut_away_is_skipped(tokenizer):
    [problem] = encoder(tokenizer, "tulu", max_length=5).encode([record(USER, ANSWER)])

    assert (problem.reason, problem.outcome) == ("target_truncated_away", "skipped")


def test_tokens_that_come_with_labels_are_taken_as_they_are(tokenizer):
    tokens = ([5, 6, 7, 8, 9, 10], [-100, 6, 7, -100, -100, 10])

    [sample] = encoder(tokenizer, "tulu").encode([Record(None, None, (), tokens)])

    assert sample.input_ids_T.tolist() == [5, 6, 7, 8, 9, 10]
    assert sample.response_T.tolist() == [False, True, True, False, False, True]
    assert sample.turn_T.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("id", [-1, 10**6])
def test_a_token_id_outside_the_vocabulary_is_quarantined(tokenizer, id):
    [problem] = encoder(tokenizer, "tulu").encode([Record(None, None, (), ([1, id], [-100, id]))])

    assert (problem.reason, problem.outcome) == ("token_out_of_vocabulary", "quarantined")


def test_a_token_across_the_edge_of_an_answer_is_quarantined_not_guessed(tokenizer, tmp_path):
    template = tmp_path / "tight.jinja"  # the answer begins in the middle of the word "answer"
    template.write_text(
        "{% for m in messages %}{% if m.role == 'assistant' %}an{{ m.content }}"
        "{% else %}{{ m.content }} {% endif %}{% endfor %}"
        "{% if add_generation_prompt %}an{% endif %}"
    )
    tight = encoder(tokenizer, str(template))
    words = [record(USER, Message("assistant", word)) for word in ("d", "s", "t", "y")]

    results = tight.encode(words)

    joined = [r for r in results if isinstance(r, RowProblem)]
    assert joined, "no pair of letters is one token in this vocabulary: choose others"
    assert {problem.reason for problem in joined} == {"boundary_inside_token"}


def test_a_template_that_rewrites_earlier_text_is_quarantined(tokenizer, tmp_path):
    template = tmp_path / "rewriting.jinja"
    template.write_text(
        "{{ messages | length }}{% for m in messages %}{{ m.content }}\n{% endfor %}"
    )

    [problem] = encoder(tokenizer, str(template)).encode([record(USER, ANSWER)])

    assert problem.reason == "template_not_prefix"


def test_a_template_that_refuses_a_conversation_names_its_reason(tokenizer, tmp_path):
    template = tmp_path / "refusing.jinja"
    template.write_text("{{ raise_exception('no system messages here') }}")

    [problem] = encoder(tokenizer, str(template)).encode([record(USER, ANSWER)])

    assert (problem.reason, problem.detail) == ("template_refuses", "no system messages here")


def test_a_template_that_does_not_end_is_refused(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr("tokensieve.templates.TRIAL_SECONDS", 1)
    template = tmp_path / "endless.jinja"
    template.write_text(
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    )

    with pytest.raises(InputError, match=r"'endless\.jinja': did not end within 1 s"):
        load_template(str(template), tokenizer)


def test_a_jinja_template_gives_the_same_tokens_as_the_built_in_one(tokenizer, tmp_path):
    template = tmp_path / "tulu.jinja"
    template.write_text(
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}"
        "{{ eos_token + '\\n' if m.role == 'assistant' and not loop.last }}"
        "{{ eos_token if m.role == 'assistant' and loop.last }}"
        "{{ '\\n' if m.role != 'assistant' }}{% endfor %}"
        "{{ '<|assistant|>\\n' if add_generation_prompt }}"
    )

    [jinja] = encoder(tokenizer, str(template)).encode([record(USER, ANSWER)])
    [built_in] = encoder(tokenizer, "tulu").encode([record(USER, ANSWER)])

    assert isinstance(built_in, Encoded)
    assert jinja.input_ids_T.tolist() == built_in.input_ids_T.tolist()
    assert jinja.response_T.tolist() == built_in.response_T.tolist()


def test_a_model_without_a_chat_template_is_refused_with_the_choices(tokenizer):
    with pytest.raises(InputError, match="--template tulu, chatml, alpaca, plain"):
        load_template("model", tokenizer)


def test_an_unknown_template_is_refused(tokenizer):
    with pytest.raises(SettingsError, match="neither"):
        load_template("tullu", tokenizer)


def test_token_spans_point_into_each_message(tokenizer):
    conversation = record(USER, ANSWER)
    tulu = encoder(tokenizer, "tulu")

    message_T, start_T, end_T = tulu.token_spans(conversation)

    contents = [message.content for message in conversation.messages]
    for number, content in enumerate(contents):
        inside = message_T == number
        pieces = [content[a:b] for a, b in zip(start_T[inside], end_T[inside], strict=True)]
        assert "".join(pieces) == content


def test_a_row_problem_survives_pickling():
    problem = RowProblem("no_target", "why", "messages[1]", "skipped")

    copy = pickle.loads(pickle.dumps(problem))

    assert vars(copy) == vars(problem)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared golden files")
def test_tokens_and_masks_equal_those_of_the_token_cleaning_authors():
    tokenizer = load_tokenizer(str(SHARED / "models/base-6m"))
    golden = SHARED / "golden/token_cleaning_gsm8k.jsonl"
    rows = [json.loads(line) for line in golden.read_text().splitlines()]
    records = [
        Record(row["id"], None, tuple(Message(**m) for m in row["messages"])) for row in rows
    ]

    samples = encoder(tokenizer, "tulu", max_length=2048).encode(records)

    assert len(samples) == 64
    for row, sample in zip(rows, samples, strict=True):
        assert sample.input_ids_T.tolist() == row["input_ids"]
        assert sample.response_T.tolist() == [label != -100 for label in row["labels"]]
