"""A sample as spans of text: tokenised again, they are the sample's tokens."""

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.tiny_models import tiny_tokenizer
from tokensieve.corpus import Shard
from tokensieve.exports import Rows
from tokensieve.exports.ms_swift import messages
from tokensieve.exports.spans import Span, Speller, cut

HIGH_BYTES = 3
"""Tokens of a character that the tokenizer has never seen."""


def rows_of(*samples):
    """Return rows of samples, each a list of (text, is_response, is_trained), encoded piece by
    piece.
    """
    tokenizer = tiny_tokenizer()
    ids, response, trained, lengths = [], [], [], []
    for pieces in samples:
        encoded = [tokenizer(text, add_special_tokens=False)["input_ids"] for text, *_ in pieces]
        lengths.append(sum(map(len, encoded)))
        for piece, (_, is_response, is_trained) in zip(encoded, pieces, strict=True):
            ids += piece
            response += [is_response] * len(piece)
            trained += [is_trained] * len(piece)
    shard = Shard(
        sample_ids=[f"s{n}" for n in range(len(samples))],
        offsets_N1=np.cumsum([0, *lengths]),
        input_ids_T=np.array(ids, dtype=np.int32),
        sources=["a"] * len(samples),
        response_T=np.array(response, dtype=bool),
        turn_T=np.zeros(len(ids), dtype=np.int16),
    )
    return Rows(shard, np.array(trained, dtype=np.float32))


def spelt(rows):
    return list(Speller(tiny_tokenizer()).spelt(rows))


def test_spans_are_the_text_cut_where_something_changes():
    [found] = spelt(
        rows_of([("<s>Q: x", False, False), (" yes", True, True), (" no", True, False)])
    )

    assert found.spans == (
        Span("<s>Q: x", False, False),
        Span(" yes", True, True),
        Span(" no", True, False),
    )
    assert found.num_widened == 0
    assert found.pieces == ["<s>Q: x", " yes", " no"]


def test_spans_of_one_kind_are_tokenised_together_whoever_speaks():
    pieces = [("Q", False, False), (" a", True, False), (" b", True, True), ("Q", False, False)]
    [found] = spelt(rows_of(pieces))

    assert found.pieces == ["Q a", " b", "Q"]


def test_a_character_of_several_tokens_is_trained_on_whole():
    rows = rows_of([("Q", False, False), ("\N{SNOWMAN}", True, False), (" b", True, True)])
    rows.weight_T[2] = 1  # the second of the three bytes of the snowman
    [found] = spelt(rows)

    assert rows.shard.lengths_N[0] == 1 + HIGH_BYTES + 2
    assert found.spans == (Span("Q", False, False), Span("\N{SNOWMAN} b", True, True))
    assert found.num_widened == HIGH_BYTES - 1
    assert found.trained_T.tolist() == [False] + [True] * (HIGH_BYTES + 2)


def test_tokens_that_share_characters_are_told_by_their_places():
    offsets_T2 = np.array([[0, 1], [1, 3], [2, 3], [3, 4]])
    response_T = np.array([False, True, True, True])

    found = cut("abcd", offsets_T2, response_T, np.array([False, False, True, False]))

    assert [span.text for span in found.spans] == ["a", "bc", "d"]
    assert found.trained_T.tolist() == [False, True, True, False]


def test_a_sample_that_would_become_other_tokens_has_no_spans():
    split = [("Q", False, False), (" app", True, True), ("les", True, True)]  # " apples" is one
    whole = [("Q", False, False), (" apples", True, True)]

    found = spelt(rows_of(split, whole))

    assert [each is None for each in found] == [True, False]


def test_a_sample_whose_spans_would_become_other_tokens_has_none():
    vocabulary = {"<unk>": 0, "\u2581": 1, "a": 2, "b": 3, "\u2581a": 4}
    backend = Tokenizer(models.BPE(vocabulary, [("\u2581", "a")], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    speller = Speller(PreTrainedTokenizerFast(tokenizer_object=backend))
    rows = rows_of([("ab", True, False)])
    rows.shard.input_ids_T[:] = [4, 3]

    assert [len(each.spans) for each in speller.spelt(rows)] == [1]
    rows.weight_T[1] = 1  # "b" by itself would get a space before it
    assert list(speller.spelt(rows)) == [None]


def test_answers_are_consecutive_messages_and_prompts_lie_between_them():
    spans = (
        Span("Q1", False, False),
        Span("yes", True, True),
        Span("no", True, False),
        Span("Q2", False, False),
        Span("end", True, True),
        Span("\n", False, False),
    )

    assert list(messages(spans)) == [
        {"role": "user", "content": "Q1"},
        {"role": "assistant", "content": "yes", "loss": True},
        {"role": "assistant", "content": "no", "loss": False},
        {"role": "user", "content": "Q2"},
        {"role": "assistant", "content": "end", "loss": True},
        {"role": "assistant", "content": "\n", "loss": False},
    ]
