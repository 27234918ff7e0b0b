"""The response mask: which tokens a model is asked to produce."""

import json
import pickle
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.tiny_models import build_tiny_model
from tokensieve.chat import Encoded, Encoder
from tokensieve.errors import InputError, SettingsError
from tokensieve.ingest.records import Message, Record, RowProblem
from tokensieve.models import load_tokenizer
from tokensieve.templates import load_template
from tokensieve.templates.contents import located, marked

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
    after_first = np.flatnonzero(np.diff(sample.response_T.astype(int)) == -1)[0] + 1
    assert sample.turn_T[[after_first - 1, after_first]].tolist() == [0, 1]


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
    monkeypatch.setattr("tokensieve.templates.loading.TRIAL_SECONDS", 1)
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


ROLE_AND_EOS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}</s>{% endfor %}"
PROMPT = "{% if add_generation_prompt %}<|assistant|>{% endif %}"


def jinja_encoder(tokenizer, folder, text):
    file = folder / "template.jinja"
    file.write_text(text)
    return encoder(tokenizer, str(file))


def contents(encoder, *messages):
    """Return the text of each message that `token_spans` says its tokens stand for."""
    message_T, start_T, end_T = encoder.token_spans(record(*messages))
    spans = zip(message_T, start_T, end_T, strict=True)
    pieces = [(m, messages[m].content[a:b]) for m, a, b in spans if m >= 0]
    return ["".join(text for m, text in pieces if m == n) for n in range(len(messages))]


def test_a_message_that_is_the_end_of_turn_is_text_under_a_jinja_template(tokenizer, tmp_path):
    jinja = jinja_encoder(tokenizer, tmp_path, ROLE_AND_EOS + PROMPT)
    messages = (Message("system", "be brief"), Message("user", "</s>"), ANSWER)

    [sample] = jinja.encode([record(*messages)])

    text = "<|system|>be brief</s><|user|></s></s><|assistant|>It is 4.</s>"
    assert tokenizer.decode(sample.input_ids_T) == text
    assert sample.input_ids_T.tolist().count(tokenizer.eos_token_id) == 3
    assert sample.num_specials == 1
    after_user = tokenizer.decode(sample.input_ids_T).index("<|user|>") + len("<|user|>")
    eos = [n for n, id in enumerate(sample.input_ids_T) if id == tokenizer.eos_token_id]
    assert tokenizer.decode(sample.input_ids_T[: eos[1]]) == text[: after_user + len("</s>")]


def test_a_message_that_is_a_word_of_the_header_is_found_behind_it(tokenizer, tmp_path):
    jinja = jinja_encoder(tokenizer, tmp_path, ROLE_AND_EOS + PROMPT)
    messages = (Message("user", "user"), Message("assistant", "assistant"))

    message_T, start_T, _ = jinja.token_spans(record(*messages))

    [sample] = jinja.encode([record(*messages)])
    assert contents(jinja, *messages) == ["user", "assistant"]
    assert (message_T[sample.response_T][:-1] == 1).all()
    eos = sample.input_ids_T.tolist().index(tokenizer.eos_token_id)
    first = message_T.tolist().index(0)
    assert tokenizer.decode(sample.input_ids_T[first:eos]) == "user"
    assert start_T[first] == 0


def test_contents_that_a_template_moves_are_found_where_they_went(tokenizer, tmp_path):
    moving = (
        "{{ messages[1].content | trim }}</s>{{ messages[0].content }}</s>"
        "{% for m in messages[2:] %}{{ m.content }}</s>{% endfor %}"
    )
    messages = (Message("system", "</s>"), Message("user", "  </s> 2?\n"), ANSWER)
    jinja = jinja_encoder(tokenizer, tmp_path, moving)

    [sample] = jinja.encode([record(*messages)])

    assert tokenizer.decode(sample.input_ids_T) == "</s> 2?</s></s></s>It is 4.</s>"
    assert sample.input_ids_T.tolist().count(tokenizer.eos_token_id) == 3
    assert contents(jinja, *messages) == ["</s>", "</s> 2?", "It is 4."]


@pytest.mark.parametrize(
    "written",
    [
        "{{ m.content | replace('2', 'two') }}",  # rewritten
        "{{ m.content }}, {{ m.content }}",  # twice
        "{{ 'hidden' if m.role == 'user' else m.content }}",  # not at all
        "{{ m.content }}{{ m.content | length }}",  # more depends on it
    ],
)
def test_a_special_name_where_its_message_is_not_located_is_quarantined(
    tokenizer, tmp_path, written
):
    body = f"{{% for m in messages %}}<|{{{{ m.role }}}}|>{written}</s>{{% endfor %}}"
    jinja = jinja_encoder(tokenizer, tmp_path, body + PROMPT)
    named = record(Message("user", "</s> 2?"), ANSWER)

    [ordinary, problem] = jinja.encode([record(USER, ANSWER), named])

    assert isinstance(ordinary, Encoded)
    assert (problem.reason, problem.outcome, problem.field) == (
        "special_token_not_located",
        "quarantined",
        "messages[0]",
    )


@pytest.mark.parametrize(
    ("text", "span"),
    [("<user>", (1, 5)), ("[user>", (-1, -1)), ("<user>>", (-1, -1)), ("<user", (-1, -1))],
)
def test_a_content_is_located_only_if_the_whole_text_agrees(text, span):
    [mark] = marked(["user"])

    assert located(text, ["user"], f"<{mark}>") == (span,)


def test_a_special_name_made_by_a_message_and_the_template_together_is_text(tokenizer, tmp_path):
    jinja = jinja_encoder(
        tokenizer, tmp_path, "{% for m in messages %}{{ m.content }}>{{ eos_token }}{% endfor %}"
    )

    [sample] = jinja.encode([record(Message("user", "</s"), ANSWER)])

    assert tokenizer.decode(sample.input_ids_T) == "</s></s>It is 4.></s>"
    assert sample.input_ids_T.tolist().count(tokenizer.eos_token_id) == 2


def test_special_names_in_an_alpaca_input_are_text(tokenizer):
    question = Message("user", "Explain.", context="a </s> b")

    [sample] = encoder(tokenizer, "alpaca").encode([record(question, ANSWER)])

    assert sample.num_specials == 1
    assert sample.input_ids_T.tolist().count(tokenizer.eos_token_id) == 1


def test_a_conversation_that_begins_with_an_answer_has_a_mask_under_jinja(tokenizer, tmp_path):
    jinja = jinja_encoder(tokenizer, tmp_path, ROLE_AND_EOS + PROMPT)

    [sample] = jinja.encode([record(ANSWER)])

    assert trained_text(tokenizer, sample) == "It is 4.</s>"


def test_a_template_that_asks_for_the_date_gets_the_same_one_every_day(
    tokenizer, tmp_path, monkeypatch
):
    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 5, 6)

    dated = "Today is {{ strftime_now('%d %b %Y') }}.</s>" + ROLE_AND_EOS + PROMPT
    file = tmp_path / "dated.jinja"
    file.write_text(dated)
    template = load_template(str(file), tokenizer)
    today = template.render([USER, ANSWER]).text

    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Tomorrow)

    assert today.startswith("Today is 26 Jul 2024.</s><|user|>What is 2 + 2?</s>")
    assert template.render([USER, ANSWER]).text == today
    direct = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a"}], chat_template=dated, tokenize=False
    )
    assert direct.startswith("Today is 06 May 2031.")  # the clock that a template has elsewhere


def test_the_date_is_part_of_a_fingerprint(tokenizer, tmp_path, monkeypatch):
    file = tmp_path / "plain.jinja"
    file.write_text(ROLE_AND_EOS)
    before = load_template(str(file), tokenizer).fingerprint

    monkeypatch.setattr("tokensieve.templates.jinja.DATE", datetime(2025, 1, 1))

    assert before.startswith("jinja-2-")
    assert load_template(str(file), tokenizer).fingerprint != before


def test_a_template_that_fails_names_its_error(tokenizer, tmp_path):
    jinja = jinja_encoder(tokenizer, tmp_path, "{{ messages[0].content + 1 }}")

    [problem] = jinja.encode([record(USER, ANSWER)])

    assert problem.reason == "template_refuses"
    assert "can only concatenate str" in problem.detail


MODELS = [
    "tiny",
    pytest.param(
        "base-6m",
        marks=pytest.mark.skipif(not SHARED.exists(), reason="needs the shared models"),
    ),
]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("template", ["tulu", "chatml", "alpaca", "plain"])
@pytest.mark.parametrize("space", [" ", "\n", "\n\n  ", "\t", "\u00a0"])
def test_white_space_around_contents_makes_no_token_straddle_an_answer(
    tokenizer, model, template, space
):
    if model != "tiny":
        tokenizer = load_tokenizer(str(SHARED / "models" / model))
    end = "<|im_end|>" if template == "chatml" else tokenizer.eos_token
    spaced = encoder(tokenizer, template)
    question = Message("user", "What is 2 + 2?")
    answer = Message("assistant", f"{space}It is 4.{space}")

    [one, two] = spaced.encode([record(question, answer), record(question, answer, USER, ANSWER)])

    assert trained_text(tokenizer, one).lstrip(" ") == f"It is 4.{end}"
    assert trained_text(tokenizer, two, turn=1).lstrip(" ") == f"It is 4.{end}"
    assert contents(spaced, question, answer)[1] == "It is 4."


def test_plain_puts_a_space_before_an_answer_unless_the_prompt_ends_its_line(tokenizer):
    plain = encoder(tokenizer, "plain")
    prompts = ("Add:", "Add: ", "Add:\n")

    samples = plain.encode([record(Message("user", each), ANSWER) for each in prompts])

    texts = [tokenizer.decode(each.input_ids_T) for each in samples]
    assert texts == ["Add: It is 4.</s>", "Add: It is 4.</s>", "Add:\nIt is 4.</s>"]
    trained = [trained_text(tokenizer, each) for each in samples]
    assert trained == [" It is 4.</s>", " It is 4.</s>", "It is 4.</s>"]


def test_an_answer_of_which_the_tokenizer_knows_nothing_is_skipped():
    words = {"<unk>": 0, "</s>": 1, "known": 2}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    small = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="</s>")
    answers = [Message("assistant", text) for text in ("strange words", "known words")]

    unknown, known = encoder(small, "plain").encode([record(USER, each) for each in answers])

    assert (unknown.reason, unknown.outcome) == ("only_unknown_tokens", "skipped")
    assert known.response_T.sum() == 3


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
