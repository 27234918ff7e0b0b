"""Which tokens are protected: by the text of the answers, exact to the byte."""

from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.tiny_models import tiny_tokenizer
from tokensieve.corpus import Shard
from tokensieve.errors import SettingsError
from tokensieve.patterns import check_speed
from tokensieve.policies.answers import Answers
from tokensieve.policies.protections import (
    _CODE_FENCES,
    _NUMBERS,
    _TOOL_CALLS,
    PROTECTIONS,
    Guard,
)
from tokensieve.policies.writing import Writing
from tokensieve.settings import PolicySettings, checked

REAL = Path(__file__).resolve().parents[2] / "../shared/models/base-6m"
DOCUMENT = (Path(__file__).resolve().parents[2] / "docs/policies.md").read_text()
TINY = tiny_tokenizer()
EOS = TINY.eos_token_id


def shard_of(*answers, prompt=5):
    """Return samples of one prompt token, and the tokens of one answer each."""
    lengths = [1 + len(ids) for ids in answers]
    offsets_N1 = np.cumsum([0, *lengths])
    input_ids_T = np.array([id for ids in answers for id in [prompt, *ids]], dtype=np.int32)
    response_T = np.ones(len(input_ids_T), dtype=bool)
    response_T[offsets_N1[:-1]] = False
    return Shard(
        sample_ids=[f"s{n}" for n in range(len(answers))],
        sources=["a"] * len(answers),
        offsets_N1=offsets_N1.astype(np.int64),
        input_ids_T=input_ids_T,
        response_T=response_T,
        turn_T=np.zeros(len(input_ids_T), dtype=np.int16),
    )


def ids_of(text, tokenizer=TINY):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def guarded(text, tokenizer=TINY, **settings):
    """Return the protected tokens of an answer, each as text, or as a mark for a part of one."""
    ids = ids_of(text, tokenizer)
    guard_T = Guard(tokenizer, PolicySettings(**settings)).guards(shard_of(ids), 0)
    return [
        tokenizer.decode([id]) for id, guard in zip(ids, guard_T[1:], strict=True) if guard >= 0
    ]


def text_guarded(text, tokenizer=TINY, **settings):
    """Return the characters of the answer whose tokens are protected; the text is ASCII."""
    return "".join(guarded(text, tokenizer, **settings))


def characters(text, name):
    """Return the text with what a kind of protection finds in brackets, whatever the tokens."""
    ids = [[byte + 3 for byte in text.encode()]]
    shard, writing = shard_of(*ids, prompt=3), byte_writing()
    is_found_T = PROTECTIONS[name].find(Answers(shard, writing))[1:]
    marked = "".join(
        f"[{c}]" if is_found else c for c, is_found in zip(text, is_found_T, strict=True)
    )
    return marked.replace("][", "")


def byte_writing():
    """Return the writing of a vocabulary of three special tokens and every byte."""
    pieces_V = [b"<s>", b"</s>", b"<|call|>", *(bytes([byte]) for byte in range(256))]
    is_special_V = np.array([True] * 3 + [False] * 256)
    return Writing(
        pieces_V,
        np.array(list(map(len, pieces_V))),
        is_special_V,
        np.array([not piece.strip() for piece in pieces_V]),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3 kg, 3kg and -4.5e-3", "[3] kg, [3]kg and [-4.5e-3]"),
        ("1,234,567.89 of 1,2345", "[1,234,567.89] of [1],[2345]"),
        ("utf8, x86, v2, a_1 and 2nd", "utf8, x86, v2, a_1 and [2]nd"),
        ("3-5=-2", "[3]-[5]=[-2]"),
        ("$12 is 50% of .5", "$[12] is [50]% of [.5]"),
        ("2024-01-31", "[2024]-[01]-[31]"),
        ("12. Then", "[12]. Then"),
        ("3x4, 12/x", "[3]x4, [12]/x"),
        ("twelve", "twelve"),
    ],
)
def test_a_number_is_one_in_the_text(text, expected):
    assert characters(text, "numbers") == expected


@pytest.mark.parametrize(
    ("text", "protected"),
    [
        ("\u51713\u4e2a", "3"),  # Chinese has no space before a number
        ("3\u00d74", "34"),  # a multiplication sign is no letter
        ("\u0444\u04385 \u03b15 \u00e95", ""),
        ("\u22124.5", "\u22124.5"),
    ],
)
def test_a_number_stands_after_what_is_no_letter_of_a_name(text, protected):
    ids = ids_of(text)

    guard_T = Guard(TINY, PolicySettings(protect=("numbers",))).guards(shard_of(ids), 0)

    kept = [id for id, guard in zip(ids, guard_T[1:], strict=True) if guard == 0]
    assert TINY.decode(kept) == protected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```python\nx = 1\n```\n", "[```python]\nx = 1\n[```]\n"),
        ("a\n  ~~~~ js title=`x`\n  ~~~~", "a\n[  ~~~~ js] title=`x`\n[  ~~~~]"),
        ("use ```x``` here\n```x``` too", "use ```x``` here\n```x``` too"),
        ("``\n~~", "``\n~~"),
    ],
)
def test_a_code_fence_is_a_line_with_its_language(text, expected):
    assert characters(text, "code_fences") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>',
            '[<tool_call>]\n[{"name": "add", "arguments": {]"a": 1[}}]\n[</tool_call>]',
        ),
        (
            '[{"name": "f", "parameters": {"a": {"b": "}"}} }, {"name": "g", "arguments": "{}"}]',
            '[[{"name": "f", "parameters": {]"a": {"b": "}"}[} }], '
            '[{"name": "g", "arguments":] "{}"[}]]',
        ),
        ('{"name": "f", "arguments": {"a": {', '[{"name": "f", "arguments": {]"a": {'),
        ('{"name": "f", "arguments": ' + "[" * 9999, '[{"name": "f", "arguments":] ' + "[" * 9999),
        (
            "<function=add>\n<parameter=a>\n1\n</parameter></function>",
            "[<function=add>]\n[<parameter=a>]\n1\n[</parameter></function>]",
        ),
        ("[TOOL_CALLS]add[ARGS]{}", "[[TOOL_CALLS]]add[[ARGS]]{}"),
        (
            "<|tool_call_begin|>f<|tool_calls_section_end|>",
            "[<|tool_call_begin|>]f[<|tool_calls_section_end|>]",
        ),
        ('<invoke name="f">', '[<invoke name="f">]'),
        ('{"name": "Ann", "age": 3}', '{"name": "Ann", "age": 3}'),
        ("call a tool", "call a tool"),
    ],
)
def test_the_syntax_of_calls_is_that_of_the_common_templates(text, expected):
    assert characters(text, "tool_calls") == expected


def test_the_markers_of_deepseek_are_known():
    ids = ids_of("<\uff5ctool\u2581call\u2581begin\uff5c>f<\uff5ctool\u2581sep\uff5c>g")

    guard_T = Guard(TINY, PolicySettings(protect=("tool_calls",))).guards(shard_of(ids), 0)

    protected = [id for id, guard in zip(ids, guard_T[1:], strict=True) if guard >= 0]
    assert TINY.decode(protected) == (
        "<\uff5ctool\u2581call\u2581begin\uff5c><\uff5ctool\u2581sep\uff5c>"
    )


def test_closing_are_special_tokens_after_which_an_answer_has_no_text():
    a, space = ids_of("a")[0], ids_of("\n")[0]
    shard = shard_of([a, EOS, a, EOS, space, EOS], [a], [EOS, space], [space])

    guard_T = Guard(TINY, PolicySettings(protect=("eos",))).guards(shard, 0)

    starts = shard.offsets_N1[:-1]
    assert np.flatnonzero(guard_T == 0).tolist() == [4, 6, starts[2] + 1]


def test_each_turn_of_a_conversation_is_closed_by_itself():
    a = ids_of("a")[0]
    shard = shard_of([a, EOS, a, a, EOS])
    response_T = np.array([False, True, True, False, True, True])

    guard_T = Guard(TINY, PolicySettings(protect=("eos",))).guards(
        replace(shard, response_T=response_T), 0
    )

    assert np.flatnonzero(guard_T == 0).tolist() == [2, 5]


def test_tokens_of_a_prompt_are_never_protected_and_no_match_goes_over_one():
    one = ids_of("1")[0]
    shard = replace(
        shard_of([one, one, one, one]), response_T=np.array([False, True, False, True, True])
    )
    guard = Guard(TINY, PolicySettings(protect_pattern="11"))

    assert np.flatnonzero(guard.guards(shard, 0) == 0).tolist() == [3, 4]


def test_the_first_protection_of_a_token_is_named_and_the_users_pattern_comes_last():
    settings = PolicySettings(protect=("numbers", "eos"), protect_pattern="1|x|<")
    shard = shard_of([ids_of("1")[0], ids_of("x")[0], EOS])

    assert settings.protections == ("eos", "numbers", "protect_pattern")
    assert Guard(TINY, settings).guards(shard, 0).tolist() == [-1, 1, 2, 0]


def test_a_token_that_overlaps_a_match_is_protected_as_a_whole():
    assert guarded("she has 13", protect_pattern="e h") == ["she", " has"]
    assert guarded("she has 13", protect_pattern="s $") == []


def test_a_match_of_nothing_protects_nothing():
    assert guarded("she has 13", protect_pattern="x*") == []
    assert guarded("she has 13", protect_pattern="(?=13)") == []
    assert guarded("", protect_pattern="x*") == []


def test_a_sample_that_begins_with_an_answer_does_not_go_on_with_the_one_before():
    one = ids_of("1")[0]
    shard = replace(shard_of([one], [one], prompt=one), response_T=np.ones(4, dtype=bool))

    assert Answers(shard, Writing.of(TINY)).texts == ["11", "11"]


def test_a_token_that_writes_nothing_holds_nothing():
    writing = replace(byte_writing(), length_V=byte_writing().length_V.copy())
    writing.pieces_V[2], writing.length_V[2] = b"", 0
    a = 3 + ord("a")

    answers = Answers(shard_of([a, 2, a]), writing)

    assert answers.texts == ["aa"]
    assert answers.holding([[(0, 2)]]).tolist() == [False, True, False, True]


TEXTS = [
    "na\u00efve \U0001f469\u200d\U0001f469\u200d\U0001f467 ok",
    "e\u0301a \u0928\u093f\u4e2d\u6587 \u0663\u0664 x",
    "\ud55c\U00010348\ufffd\u00a0\U0001f1e9\U0001f1ea",
]


@pytest.mark.parametrize("text", TEXTS)
def test_of_a_character_that_is_split_every_part_is_protected_and_no_other_token(text):
    encoding = TINY(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, places = encoding["input_ids"], encoding["offset_mapping"]
    assert len(ids) > len(text)
    answers = Answers(shard_of(ids), Writing.of(TINY))
    assert answers.texts == [text]

    for place in range(len(text)):
        found = answers.holding([[(place, place + 1)]])[1:].tolist()

        assert found == [start <= place < end for start, end in places], text[place]


def test_a_character_cut_in_two_is_bytes_that_only_a_pattern_of_bytes_matches():
    ids = ids_of("1\U0001f600")

    cut = Answers(shard_of(ids[:-1], ids[-1:]), Writing.of(TINY))

    assert cut.texts == ["1\udcf0\udc9f\udc98", "\udc80"]
    found_T = cut.holding([[(2, 3)], [(0, 1)]])
    assert found_T.tolist() == [False, False, False, True, False, False, True]


sentences = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(st.lists(sentences, max_size=4), st.data())
def test_the_tokens_that_hold_a_span_are_those_whose_bytes_overlap_it(texts, data):
    answers = [ids_of(text) for text in texts]
    shard, writing = shard_of(*answers), Writing.of(TINY)
    edges = [sorted(data.draw(st.tuples(*[st.integers(0, len(t))] * 2))) for t in texts]

    found_T = Answers(shard, writing).holding([[tuple(each)] for each in edges])

    expected = []
    for text, ids, (start, end) in zip(texts, answers, edges, strict=True):
        first, last = len(text[:start].encode()), len(text[:end].encode())
        stops = list(accumulate(len(writing.pieces_V[id]) for id in ids))
        begins = [0, *stops][: len(ids)]
        expected += [False, *(b < last and e > first for b, e in zip(begins, stops, strict=True))]
    assert found_T.tolist() == expected


def test_answers_are_counted_even_where_there_is_none():
    writing = Writing.of(TINY)
    for shard in (shard_of(), shard_of([]), shard_of([], [])):
        answers = Answers(shard, writing)

        assert answers.texts == []
        assert answers.closing().tolist() == answers.holding([]).tolist()
        assert not answers.closing().any()


def test_what_closes_an_answer_and_what_is_blank_is_told_of_pieces_too():
    names = ["<unk>", "</s>", "\u2581", "\u2581a", "b", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>"]
    vocabulary = {name: id for id, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    writing = Writing.of(PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>"))

    assert np.flatnonzero(writing.is_blank_V).tolist() == [2]
    assert np.flatnonzero(writing.is_special_V).tolist() == [1]
    answers = Answers(shard_of([3, 5, 6, 7, 8, 2, 1, 2]), writing)
    assert answers.texts == [" a\U0001f600 </s> "]
    assert np.flatnonzero(answers.closing()).tolist() == [7]


@pytest.mark.skipif(not REAL.exists(), reason="the trained models are not here")
def test_the_tokens_of_a_trained_vocabulary_write_what_its_decoder_writes():
    tokenizer = AutoTokenizer.from_pretrained(REAL)
    texts = ["There are 12 - 5 = <<12-5=7>>7 apples.\n#### 7", *TEXTS, "\n\n  \t```py\nx\n```"]

    answers = Answers(shard_of(*(ids_of(text, tokenizer) for text in texts)), Writing.of(tokenizer))

    decoded = [tokenizer.decode(ids_of(text, tokenizer)) for text in texts]
    assert answers.texts == decoded
    assert text_guarded("\nIt is <<12-5=7>>7", tokenizer, protect=("numbers",)) == "12577"


def test_a_pattern_that_hangs_on_the_answers_is_ended_and_named(monkeypatch):
    monkeypatch.setattr("tokensieve.policies.protections.MAX_SECONDS", 0.5)
    guard = Guard(TINY, PolicySettings(protect_pattern="(a|aa)+$"))

    with pytest.raises(SettingsError, match=r"protect_pattern: .* 0\.5 s to search .* shard 7\. "):
        guard.guards(shard_of(ids_of("a" * 60 + "b")), 7)


@pytest.mark.parametrize("pattern", ["(", "a{2,1}", ""])
def test_what_is_no_pattern_is_refused_with_its_place(pattern):
    with pytest.raises(SettingsError, match=r"^protect_pattern: "):
        checked(PolicySettings, {"protect_pattern": pattern})


def test_every_protection_that_can_be_set_is_defined_with_a_sentence_that_the_document_has():
    with pytest.raises(SettingsError, match="'eos', 'tool_calls', 'code_fences' or 'numbers'"):
        checked(PolicySettings, {"protect": ["code"]})
    assert list(PROTECTIONS) == ["eos", "tool_calls", "code_fences", "numbers"]
    for name, each in PROTECTIONS.items():
        assert f"\n| `{name}` | {each.meaning} |\n" in DOCUMENT


def test_the_patterns_of_our_own_take_no_longer_than_those_of_users_may(monkeypatch):
    monkeypatch.setattr("tokensieve.patterns._TRIAL_SECONDS", 5)

    for pattern in (_TOOL_CALLS, _CODE_FENCES, _NUMBERS):
        check_speed(pattern.pattern, "ours")
